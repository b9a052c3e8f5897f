//! Every bound of documents, with its unit and its reason. They decide about the outcome of calls,
//! so they belong to the engine number.

/// Bytes of a change, uncompressed: a screenful of text pasted is a tenth of it.
pub const CHANGE_BYTES_MAX: usize = 256 << 10;

/// Operations of a change: a character typed is one, a character deleted is one.
pub const CHANGE_OPS_MAX: usize = 16 << 10;

/// Operations that the operations of a change take the place of, all told.
pub const CHANGE_PREDECESSORS_MAX: usize = 2 * CHANGE_OPS_MAX;

/// Changes that a change directly depends on: one for each branch that its actor had seen.
pub const CHANGE_DEPENDENCIES_MAX: usize = 256;

/// Actors that a change names beside its own.
pub const CHANGE_ACTORS_MAX: usize = 256;

/// Bytes of an actor's name. Libraries draw 16.
pub const ACTOR_BYTES_MAX: usize = 64;

/// Bytes of a key of a map, of a change's message, of a mark's name.
pub const NAME_BYTES_MAX: usize = 1 << 10;

/// Bytes of all changes of one document in memory, uncompressed.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Operations of one document in memory: some 300 bytes each while it is judged and merged.
pub const DOCUMENT_OPS_MAX: usize = 500_000;

/// Small changes that are kept once they were read, for whoever asks for them again: a few of each of those who type
/// at the same time.
pub const RECENT_CHANGES_MAX: usize = 32;

/// Bytes of a change that is kept so.
pub const RECENT_CHANGE_BYTES_MAX: usize = 2 << 10;

/// Operations of a change that is kept so: some 100 bytes each, so that all of them are a quarter of a megabyte.
pub const RECENT_CHANGE_OPS_MAX: usize = 64;

/// The highest counter of an operation. Automerge has room for twice as many.
pub const COUNTER_MAX: u64 = (1 << 31) - 1;

/// How far the first counter of a change may lie beyond all that it has seen: an actor who looks
/// at an earlier state of a document goes on from the counter of the latest.
pub const COUNTER_GAP_MAX: u64 = 1 << 20;

/// Levels of objects within objects in a value that is put into a document, and on a path.
pub const DEPTH_MAX: usize = 32;

/// Bytes of what is asked of a document as JSON or as text.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
