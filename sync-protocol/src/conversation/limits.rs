//! Waits and bounds of a conversation. They decide nothing about validity: with others a peer
//! would only be slower, or hold more in memory for each link.

use crate::limits::EQUALISE_EVERY_MS;

/// Milliseconds after the first Hello until it is said again to a remote that has not said its
/// own; doubled each time, up to the regular interval.
pub(super) const HELLO_AGAIN_MS: u64 = 2_000;

/// Milliseconds from a change here until the remote is told the new standing: a burst of entries
/// is told once.
pub(super) const STANDING_WAIT_MS: u64 = 250;

/// Milliseconds from hearing of a difference until it is pulled: what is being pushed anyway
/// arrives first.
pub(super) const COMPARE_WAIT_MS: u64 = 1_000;

/// Milliseconds from hearing an entry's id until it is asked for: an eager neighbour is faster.
pub(super) const GRAFT_WAIT_MS: u64 = 200;

/// Milliseconds until a question is repeated; doubled each time, so that a slow link is not filled
/// with copies of one large answer.
pub(super) const ANSWER_WAIT_MS: u64 = 4_000;

/// Milliseconds that a question waits for its answer at most before it is repeated for the first time,
/// when answers have been slow: twice as long as the one before took.
pub(super) const ANSWER_WAIT_MAX_MS: u64 = 16_000;

/// Bytes of the first answer on a link: a telephone line carries them before it is asked again.
pub(super) const ANSWER_BYTES_FIRST: usize = 32 << 10;

/// Bytes of an answer on the slowest link.
pub(super) const ANSWER_BYTES_MIN: usize = 8 << 10;

/// Milliseconds that an answer may take: the next is as many times longer as the one before was
/// quicker. More than a link by satellite takes for a few bytes.
pub(super) const CARRIED_SOON_MS: u64 = 1_000;

/// How many times longer the next answer is at most.
pub(super) const LONGER_MAX: usize = 8;

/// Milliseconds after which the answer was too long.
pub(super) const CARRIED_LATE_MS: u64 = 2_000;

/// Milliseconds after which it is looked again whether another conversation is still pulling what
/// this one wants too.
pub(super) const HOLD_MS: u64 = 500;

/// Bytes per second below which a remote that sends history page by page does not count as getting
/// on, so that others are asked too: a telephone line of 64 kbit/s is faster.
pub(super) const PACE_BYTES_PER_S: u64 = 4 << 10;

/// Blobs remembered that a remote does not have: more than can be wanted of one remote.
pub(super) const LACKING_MAX: usize = 256;

/// How often a question is asked before the link is reported: 4, 8, 16 and 32 seconds.
pub(super) const ASKS_MAX: u8 = 4;

/// Milliseconds between two prunes of one link: entries that were under way may still be doubles.
pub(super) const PRUNE_EVERY_MS: u64 = 1_000;

/// Bytes of fresh entries pushed at once; more are left to be pulled.
pub(super) const PUSH_BYTES_MAX: usize = 256 << 10;

/// Ids of fresh entries told at once; more are left to be pulled.
pub(super) const HAVE_IDS_MAX: usize = 1_024;

/// Cuts that a remote may be behind and still be pushed what is fresh: entries that name a cut it
/// does not know would only wait there.
pub(super) const BEHIND_CUTS_MAX: u64 = 8;

/// Entries asked for by id in one question.
pub(super) const ASKED_IDS_MAX: usize = 512;

/// Ids remembered of each kind (announced, wanted, asked for, known at the remote): half a
/// mebibyte each at most.
pub(super) const REMEMBERED_IDS_MAX: usize = 16_384;

/// Own heads hashes remembered, to see that a remote is merely behind.
pub(super) const HISTORY_LEN: usize = 256;

/// Generations of missing parents fetched one by one before the whole tail is compared instead.
pub(super) const CHASE_DEPTH_MAX: u8 = 8;

/// Chains that are told before long tails are compared by ranges instead: 4.4 KB of them.
pub(super) const VECTOR_CHAINS_MAX: usize = 100;

/// Entries of a tail that is compared by chains, however many they are: ranges save nothing there.
pub(super) const VECTOR_TAIL_MAX: usize = 2_000;

/// Answers about ranges before what they brought is pulled. An honest remote needs one for each
/// power of 16 in the tail's length, and one for each 4,096 ids.
pub(super) const RANGE_ROUNDS_MAX: u8 = 64;

/// Passes over the ranges that may bring nothing, one after the other, before ids are compared: the
/// tail may have changed during the first.
pub(super) const VAIN_PASSES_MAX: u8 = 2;

/// Pages of ids that may bring nothing, one after the other, before the comparison is given up.
pub(super) const VAIN_PAGES_MAX: u8 = 2;

/// Ids that are looked at in one comparison of whole tails: half a gibibyte of them.
pub(super) const COMPARED_IDS_MAX: u32 = 1 << 24;

/// Questions about ranges that a remote may ask at once, and per second after that: each may cost
/// 4,096 fingerprints, some milliseconds.
pub(super) const RANGE_QUESTIONS_AT_ONCE: u64 = 256;

/// Questions about ranges answered per second when they keep coming.
pub(super) const RANGE_QUESTIONS_PER_S: u64 = 16;

/// Faults a remote may make before it is reported. Each is forgiven after a while, because a
/// version with a mistake in it is not an attack.
pub(super) const FAULTS_MAX: u32 = 10;

/// Milliseconds after which one fault is forgiven.
pub(super) const FORGIVE_EVERY_MS: u64 = 30_000;

/// Questions a remote may ask at once, and per second after that. An honest one waits for each
/// answer, so it stays below even on the fastest link.
pub(super) const QUESTIONS_AT_ONCE: u64 = 4_096;

/// Questions answered per second when they keep coming.
pub(super) const QUESTIONS_PER_S: u64 = 2_048;

/// Proofs and cuts, whose check costs signatures, taken at once and per second after that.
pub(super) const SIGNED_AT_ONCE: u64 = 512;

/// Proofs and cuts taken per second when they keep coming.
pub(super) const SIGNED_PER_S: u64 = 64;

/// Entries pushed whole over one link at once, each 4 KiB of one for one more; what is beyond is left
/// to be asked for. As many as an author may have run at once.
pub(super) const PUSHED_AT_ONCE: u64 = 32_768;

/// Entries pushed whole per second after that: some authors' shares. More would be verified in the
/// time of others.
pub(super) const PUSHED_PER_S: u64 = 4_096;

/// Bytes of an entry that count as one more.
pub(super) const PUSHED_UNIT_BYTES: usize = 4 << 10;

/// So many times as much is taken from a remote before it counts as a fault: what it pushed while
/// it was not heard comes all at once.
pub(super) const PUSHED_TIMES: u64 = 2;

const _: () = assert!(HELLO_AGAIN_MS < EQUALISE_EVERY_MS);
const _: () = assert!(RANGE_QUESTIONS_AT_ONCE > RANGE_ROUNDS_MAX as u64);
// What one answer about ranges brings can be kept.
const _: () = assert!(crate::message::limits::RANGE_IDS_MAX < REMEMBERED_IDS_MAX);
const _: () = assert!(LACKING_MAX > crate::limits::STUBS_MAX);
const _: () = assert!(HOLD_MS < ANSWER_WAIT_MS);
const _: () = assert!(CARRIED_LATE_MS < ANSWER_WAIT_MS && ANSWER_WAIT_MS < ANSWER_WAIT_MAX_MS);
const _: () = assert!(ANSWER_BYTES_FIRST < crate::limits::PULL_BYTES_MAX);
const _: () = assert!(ANSWER_BYTES_FIRST < crate::limits::BLOB_CHUNK_BYTES);
const _: () = assert!(ASKED_IDS_MAX <= crate::limits::PENDING_ENTRIES_MAX);
