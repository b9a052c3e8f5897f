//! Every bound of the protocol, with its unit and its reason. They are part of the protocol: a
//! peer that used others would judge entries differently.

/// Parents of one entry. Sixteen heads at once are merged by one entry; more take a second one.
pub const PARENTS_MAX: usize = 16;

/// Invocations of one entry.
pub const INVOCATIONS_MAX: usize = 4_096;

/// Bytes of a body. Bounds what one entry can cost before it is checked.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// Bytes of the arguments of one invocation.
pub const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// Bytes of a canonical header: 16 parents and all fields at their longest fit.
pub const HEADER_BYTES_MAX: usize = 1_024;

/// Bytes at which an author flushes its batch.
pub const BATCH_BYTES: usize = 32 << 10;

/// Milliseconds after which an author flushes its batch.
pub const BATCH_WAIT_MS: u64 = 20;

/// Bytes of an entry that travels whole; larger bodies travel by hash.
pub const GOSSIP_ENTRY_BYTES_MAX: usize = 48 << 10;

/// Bytes of a reducer's name.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of an issuer or a subject: SpacetimeDB's bound.
pub const CLAIM_BYTES_MAX: usize = 128;

/// Bytes of a token's payload cut to the allow-list.
pub const CLAIMS_BYTES_MAX: usize = 4 << 10;

/// Bytes of a provider's token that a call carries. A longer one holds more than a database is to
/// know.
pub const TOKEN_BYTES_MAX: usize = 4 << 10;

/// Audiences that a database takes of one issuer: one for each application.
pub const AUDIENCES_MAX: usize = 8;

/// Claims of an issuer's tokens that modules may see.
pub const CLAIM_NAMES_MAX: usize = 16;

/// Keys of one issuer. Providers have two or three, and more while they change them.
pub const ISSUER_KEYS_MAX: usize = 16;

/// Bytes of an issuer's key: RSA of 4,096 bits takes half of it.
pub const ISSUER_KEY_BYTES_MAX: usize = 1 << 10;

/// Bytes of a canonical cut: all heads, finalisers and signatures at their longest fit.
pub const CUT_BYTES_MAX: usize = 48 << 10;

/// System calls of one entry that carry signatures or tickets: each admission costs one check of
/// a signature and each report two, before the entry is accepted.
pub const PROOFS_PER_ENTRY_MAX: usize = 64;

/// Revocations of one author, the first by position, that strike what they have not seen. Each costs a
/// walk over the tail. Further ones act from their positions on, and with the cut that covers them.
pub const REVOCATIONS_MAX: usize = 16;

/// Bytes of a database's suggested name.
pub const DATABASE_NAME_BYTES_MAX: usize = 128;

/// Microseconds since the Unix epoch that an invocation's time may reach: modules read it as a
/// signed number.
pub const HLC_MAX: u64 = i64::MAX as u64;

/// Bits by which an invocation's index is shifted: 2^16 members never share a microsecond.
pub const STRIDE_MAX: u8 = 16;

/// Microseconds an entry may lie ahead of mesh time before it is held back.
pub const AHEAD_US_MAX: u64 = 60_000_000;

/// Entries that wait for something missing, for one connection that brought them.
pub const PENDING_ENTRIES_MAX: usize = 1_024;

/// Bytes of entries that wait for something missing, for one connection that brought them.
pub const PENDING_BYTES_MAX: usize = 4 << 20;

/// Stubs whose bodies are awaited, for one connection that offered them.
pub const STUBS_MAX: usize = 64;

/// Bytes of the bodies that are awaited, for one connection that offered their stubs. They lie on
/// disk as far as they are here, one at a time.
pub const STUBS_BODY_BYTES_MAX: usize = 64 << 20;

/// Entries kept though their author may not write, over all authors. Each author has the bounds
/// of a connection for itself, but keys cost nothing, so there is a bound for all of them.
pub const QUARANTINE_ENTRIES_MAX: usize = 4_096;

/// Bytes of entries kept though their author may not write, over all authors.
pub const QUARANTINE_BYTES_MAX: usize = 16 << 20;

/// Headers of entries that a cut covered lately, kept to recognise a second one in their place.
pub const COVERED_HEADERS_MAX: usize = 4_096;

/// Heads that a cut names.
pub const FRONTIER_MAX: usize = 1_024;

/// Finalisers and recovery keys that a cut or a genesis names.
pub const FINALISERS_MAX: usize = 64;

/// Bytes of one message between peers: holds a page of entries, a chunk of a blob, and all
/// addresses that one message may tell.
pub const MESSAGE_BYTES_MAX: usize = 6 << 20;

/// Bytes of entries in one answer of a pull.
pub const PULL_BYTES_MAX: usize = 1 << 20;

/// Bytes of one chunk of a blob.
pub const BLOB_CHUNK_BYTES: usize = 256 << 10;

/// Bytes of a module.
pub const MODULE_BYTES_MAX: usize = 64 << 20;

/// Neighbours that get a new entry at once; the others get its id.
pub const EAGER_NEIGHBOURS_MAX: usize = 8;

/// Milliseconds after which two connected peers compare heads again.
pub const EQUALISE_EVERY_MS: u64 = 30_000;

/// Microseconds a finaliser has held what it covers.
pub const SETTLE_US: u64 = 1_000_000;

// A page may be exceeded by one entry.
const _: () = assert!(PULL_BYTES_MAX + GOSSIP_ENTRY_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX <= STUBS_BODY_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX <= MODULE_BYTES_MAX);
// A stub must be told from a small entry, and a small entry from nothing.
const _: () = assert!(HEADER_BYTES_MAX + 64 + 2 < GOSSIP_ENTRY_BYTES_MAX);
const _: () = assert!(ARGUMENTS_BYTES_MAX < BODY_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX < ARGUMENTS_BYTES_MAX);
const _: () = assert!(ISSUER_KEYS_MAX * (ISSUER_KEY_BYTES_MAX + 256) < ARGUMENTS_BYTES_MAX);
const _: () = assert!(BATCH_BYTES < GOSSIP_ENTRY_BYTES_MAX);
const _: () = assert!(INVOCATIONS_MAX <= u16::MAX as usize);
// Id and index of an invocation are shifted into its time, and a header must have room for both.
const _: () = assert!((INVOCATIONS_MAX as u64) << STRIDE_MAX < HLC_MAX);
const _: () = assert!(PARENTS_MAX * 32 + 32 * 4 + 64 < HEADER_BYTES_MAX);
// 32 bytes a head, 32 a key of a finaliser, 96 a signature with its key, and some for the rest.
const _: () = assert!(FRONTIER_MAX * 32 + FINALISERS_MAX * (32 + 96) + 256 < CUT_BYTES_MAX);
const _: () = assert!(QUARANTINE_ENTRIES_MAX >= PENDING_ENTRIES_MAX);
const _: () = assert!(QUARANTINE_BYTES_MAX >= PENDING_BYTES_MAX);
const _: () = assert!(CUT_BYTES_MAX < MESSAGE_BYTES_MAX);
