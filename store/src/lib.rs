//! Entries and rows of one database: on disk, and the tail's row versions in memory.
//!
//! Two files hold a database, and a third what was appended last. The *log* ([`Log`]) has every accepted entry
//! and every cut; entries lie in its *journal* until many of them are put into its tables together. The *base* has all rows as they were at the last cut; it is written
//! once per cut. Above the base lies the *overlay*, in memory: what the calls of the tail wrote, by
//! position. What it has no memory for is in the *spill*, a file that is emptied at every start.
//! Together they are the [`State`]. After a crash overlay and spill are gone and the tail is executed
//! again from the log.
//!
//! A call runs in a [`Transaction`], which takes the state and gives it back. A late entry
//! [rewinds](State::rewind) the overlay; a cut [settles](State::settle) it into the base. The
//! *state root* hashes all rows and depends on nothing but them.
//!
//! Rows are BSATN, checked against their table's columns before they are kept. Tables, indexes and
//! sequences share one ordered space of keys whose bytes compare as the values do, so a scan is a
//! walk and every peer walks in the same order.
//!
//! Not known here: WebAssembly, the network, clocks, SQL, who may do what. The only IO is through
//! [`Disk`] and its files, which are backends of redb. The places where a crash leaves a state of its
//! own have names: [`CrashPoint`].
//!
//! `docs/FILE_FORMAT.md` says what every byte on disk means.

#![forbid(unsafe_code)]

#[macro_use]
mod planted;

mod apart;
mod artifacts;
mod aside;
mod backend;
mod base;
mod base_range;
mod check;
mod crash_point;
mod discard;
mod disk;
mod editor;
mod error;
mod key;
mod key_filter;
mod key_hash;
mod key_map;
mod layout;
pub mod limits;
mod log;
mod memory_disk;
mod migrate;
mod overlay;
mod page_sums;
mod plan;
mod range;
mod read_only;
mod reads;
mod recent;
mod reindex;
mod root;
mod row_cache;
mod schema;
mod sequence;
mod settle;
mod spill;
mod spill_record;
mod state;
#[cfg(test)]
mod tests;
mod transaction;
mod unsynced;
mod unwritten;
mod versions;
mod view;
mod watch;
mod xxh64;

pub use aside::Aside;
pub use base::Stored;
pub use check::{BaseFacts, Checked, LogFacts, Progress, check_base, check_log};
pub use crash_point::{CrashPoint, CrashWatch, DiskFile};
pub use disk::{DirDisk, Disk};
pub use error::{DataError, SchemaError, StoreError};
pub use layout::sort_key;
pub use log::{Log, LogFiles};
pub use memory_disk::{Kept, MemoryDisk};
pub use migrate::{DataCheck, Migration};
pub use overlay::Row;
pub use range::Range;
pub use read_only::{BaseElsewhere, ReadOnlyDisk};
pub use reads::{Changed, Dirt, ReadMark, Reads};
pub use schema::{Column, IndexId, IndexKind, IndexSchema, Schema, TableId, TableSchema};
pub use settle::{Planning, RowWrite, Settlement};
pub use spill::OverlayBudget;
pub use state::{State, StateOptions};
pub use transaction::{CallContext, Ended, RowChange, Transaction};
pub use watch::Watched;
