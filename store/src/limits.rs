//! Every bound of the store, with its unit and its reason. Those on rows, keys and scans decide
//! outcomes of calls, so they are part of what all peers of one engine number agree on.

/// Bytes of one row in BSATN.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// Bytes that one scan may hold, rows and bookkeeping together. A scan is a snapshot taken when it
/// is opened, so its rows are all in memory at once.
pub const SCAN_BYTES_MAX: usize = 64 << 20;

/// Bytes that the uncommitted writes of one call may hold.
pub const TRANSACTION_BYTES_MAX: usize = 256 << 20;

/// Bytes of memory that a row costs beside its own, in scans, write buffers and the overlay:
/// pointers, counters and the allocator's share.
pub const ROW_OVERHEAD_BYTES: usize = 64;

/// Bytes of one part (row key or index key) of a stored key. Longer parts are cut to
/// [`KEY_PREFIX_BYTES`] and end in a hash of the whole.
pub const KEY_PART_BYTES_MAX: usize = 512;

/// Bytes of a cut part that are still the sort-preserving encoding; its hash takes the rest.
pub const KEY_PREFIX_BYTES: usize = KEY_PART_BYTES_MAX - 32;

/// Columns of one table.
pub const COLUMNS_MAX: usize = 1_024;

/// Tables of one database, system tables included.
pub const TABLES_MAX: usize = 4_096;

/// Indexes of one table.
pub const INDEXES_MAX: usize = 256;

/// How deep a column's type may nest. Rows are walked by recursion, so this bounds the stack.
pub const TYPE_DEPTH_MAX: usize = 64;

/// Types within one table's row type. Resolving references can blow a small definition up.
pub const TYPE_NODES_MAX: usize = 65_536;

/// Elements of an array whose elements take no bytes. Their number alone costs the reader memory,
/// and no bytes of the row bound it.
pub const EMPTY_ELEMENTS_MAX: usize = 65_536;

/// Table and index numbers lie below this: the two bits above tell rows, indexes and sequences
/// apart in a stored key.
pub const ID_MAX: u32 = 1 << 30;

/// Taken numbers that a sequence skips one by one; after these its strides double, so that a full
/// stretch of any length costs a bounded number of look-ups.
pub const SEQUENCE_STEPS_MAX: u32 = 1_024;

/// Bytes of a disk that are left free: calls and entries of others are refused before that. A cut
/// that was begun, the largest entries and what redb writes when it closes its files fit into it
/// many times.
pub const DISK_RESERVE_BYTES: u64 = 64 << 20;

/// Keys that a call has read and that are remembered one by one; of a call that reads more, every
/// change of the tables it read counts.
pub const READ_KEYS_MAX: usize = 256;

/// Rows that are remembered as they were before they changed, between two times that a peer tells
/// its clients: of more, all is read again.
pub const WATCHED_KEYS_MAX: usize = 1 << 20;

/// Ranges of a call that are remembered one by one.
pub const READ_RANGES_MAX: usize = 64;

/// Compiled modules that are kept on disk, besides those that databases here no longer run.
pub const ARTIFACTS_MAX: usize = 16;

/// Bytes of a compiled module that is kept: several times those of the largest module.
pub const ARTIFACT_BYTES_MAX: u64 = 512 << 20;

/// Bytes that must be free beyond an artifact, so that what can be made again never takes the room
/// of what cannot.
pub const ARTIFACT_SPARES_BYTES: u64 = 4 * DISK_RESERVE_BYTES;

/// Bytes of memory that the row versions of a tail may take. What is beyond goes to the spill
/// file, oldest first, until half of this is left. [`OVERLAY_COMMITS_MAX`] calls fit that write two
/// small rows each and no entries of indexes.
pub const OVERLAY_BYTES_MAX: usize = 64 << 20;

/// Calls whose row versions may be in memory: more than a busy peer makes until a cut covers them, so
/// that a spill file means that no cut comes.
pub const OVERLAY_COMMITS_MAX: usize = 160_000;

/// Keys that the check of a new unique constraint remembers at a time, 16 bytes each: 32 MiB. A
/// larger table is read in several passes.
pub const CHECKED_KEYS_MAX: usize = 1 << 21;

/// Bytes of cache for a spill file. It is there only while a tail is too long for memory.
pub const SPILL_CACHE_BYTES: usize = 8 << 20;

/// Bytes of cache for a base file, unless the options say otherwise. redb would take 1 GiB. Beyond
/// a few MiB a cache saves the copy from the system's and the sum over the page.
pub const BASE_CACHE_BYTES: usize = 16 << 20;

/// Bytes of cache for a log file at most: it is appended to, and read mostly where it ends.
pub const LOG_CACHE_BYTES: usize = 4 << 20;

// A scan must be able to hold the largest row, and a transaction the largest scan.
const _: () = assert!(ROW_BYTES_MAX + ROW_OVERHEAD_BYTES < SCAN_BYTES_MAX);
const _: () = assert!(SCAN_BYTES_MAX < TRANSACTION_BYTES_MAX);
const _: () = assert!(KEY_PREFIX_BYTES > 2 * 32);
