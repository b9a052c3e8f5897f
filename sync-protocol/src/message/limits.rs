//! Bounds of what two peers say to each other. Unlike those of [`crate::limits`] they decide
//! nothing about validity: a peer with others would only be slower, or be cut off.

use crate::limits::{
    BLOB_CHUNK_BYTES, CUT_BYTES_MAX, GOSSIP_ENTRY_BYTES_MAX, MESSAGE_BYTES_MAX, PULL_BYTES_MAX,
};

/// Ids in one message: half a mebibyte of them.
pub const IDS_PER_MESSAGE_MAX: usize = 16_384;

/// Bytes of the smallest entry: its hashes, keys and signature alone are longer.
pub const ENTRY_BYTES_MIN: usize = 200;

/// Entries in one message: more than the smallest ones that fit into a page.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 8_192;

/// Chains that one side tells of its tail. Every author starts a chain per start of its process;
/// a tail with more of them is compared by ids alone.
pub const CHAINS_MAX: usize = 32_768;

/// Segments in one answer: a day of idle cuts takes a few hundred round trips, not one each.
pub const SEGMENTS_PER_MESSAGE_MAX: usize = 256;

/// Heads that an answer names, so that the asker can check by the hash links that it holds all.
pub const HEADS_PER_MESSAGE_MAX: usize = 1_024;

/// Cuts by which an asker says what history it has: one for each doubling of a 64-bit height, and
/// the last few.
pub const KNOWN_CUTS_MAX: usize = 80;

/// Equivocation proofs in one message.
pub const PROOFS_PER_MESSAGE_MAX: usize = 64;

/// Ranges of the tail in one message: 16 parts for each of 256 that differ.
pub const RANGES_MAX: usize = 4_096;

/// Ids that one message tells of ranges of the tail, over all of them: 128 KiB.
pub const RANGE_IDS_MAX: usize = 4_096;

/// Addresses at which one peer says it listens.
pub const ADDRESSES_PER_PEER_MAX: usize = 16;

/// Bytes of one address: the longest sensible multiaddr has a relay in it.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Address records in one message: a second's worth of signatures to check at the very most.
pub const ADDRESS_RECORDS_PER_MESSAGE_MAX: usize = 64;

/// Members of one database whose address records are kept and passed on.
pub const ADDRESSED_PEERS_MAX: usize = 1_024;

/// Bytes a segment adds to an answer besides its entries.
const SEGMENT_OVERHEAD_BYTES: usize = 32;

// Whatever one side may put into a message fits into one frame of the other.
const _: () = assert!(IDS_PER_MESSAGE_MAX * 32 < MESSAGE_BYTES_MAX / 2);
const _: () = assert!(CHAINS_MAX * (32 + 10 + 10) < MESSAGE_BYTES_MAX / 2);
const _: () = assert!(PULL_BYTES_MAX / ENTRY_BYTES_MIN < ENTRIES_PER_MESSAGE_MAX);
const _: () = assert!(
    // A range with a fingerprint and the longest bound; ids; heads.
    RANGES_MAX * (1 + 10 + 32 + 1 + 16) + RANGE_IDS_MAX * 32 + HEADS_PER_MESSAGE_MAX * 32
        < MESSAGE_BYTES_MAX / 2
);
const _: () = assert!(BLOB_CHUNK_BYTES < MESSAGE_BYTES_MAX / 2);
const _: () = assert!(
    // The page may be exceeded by one entry and its cuts: a page is never empty.
    PULL_BYTES_MAX
        + GOSSIP_ENTRY_BYTES_MAX
        + 2 * CUT_BYTES_MAX
        + SEGMENTS_PER_MESSAGE_MAX * SEGMENT_OVERHEAD_BYTES
        + ENTRIES_PER_MESSAGE_MAX * 4
        + HEADS_PER_MESSAGE_MAX * 32
        < MESSAGE_BYTES_MAX
);
const _: () = assert!(
    ADDRESS_RECORDS_PER_MESSAGE_MAX
        * (32 + 10 + 64 + ADDRESSES_PER_PEER_MAX * (ADDRESS_BYTES_MAX + 4))
        < MESSAGE_BYTES_MAX
);
