//! Opening a redb file that a [`Disk`](crate::disk::Disk) hands out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::Database;

use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use crate::page_sums::PageSums;

/// Empties a file that no database has open.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn empty(backend: &dyn DiskFile) -> Result<(), StoreError> {
    backend.set_len(0).map_err(|source| StoreError::Io {
        what: "emptying a database file".to_owned(),
        source,
    })
}

/// Opens a redb file, making a database of it if it is empty. Errors call it `name`.
///
/// # Errors
/// If it cannot be read or written, is damaged, or is no redb file.
pub(crate) fn open(
    name: &'static str,
    backend: Arc<dyn DiskFile>,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    let sums = PageSums::open(name, Arc::clone(&backend)).map_err(|error| failed(name, error))?;
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes);
    // After a crash redb looks for the commit that is whole among pages that may be anything, and
    // not all of its code expects that. Nothing of ours is seen before it has returned.
    let open = AssertUnwindSafe(|| builder.create_with_backend(sums.clone()));
    let db = catch_unwind(open)
        .map_err(|_| StoreError::damaged(format!("{name}: it cannot be repaired")))??;
    if sums.is_unsure() {
        pass(&*backend, CrashPoint::RepairAccepted)?;
    }
    sums.be_sure().map_err(|error| failed(name, error))?;
    Ok(db)
}

fn failed(name: &str, source: io::Error) -> StoreError {
    StoreError::io(format!("opening {name}"), source)
}
