//! Backups: the history of one database in one file, taken while the peer runs, and put back.
//!
//! A backup is what the log holds, as its authors signed it, with the modules that it names: everything else is
//! made from that. So it can be checked by whoever has it, and no table in it can be forged. No key is in it.

pub(crate) mod format;
mod reading;
mod restore;
mod taking;

pub use reading::{About, BackupError, Reader, Summary};
pub use restore::{Restored, restore};
pub use taking::{BackupCursor, BackupPage};
