//! Opening a redb file that a [`Disk`](crate::disk::Disk) hands out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Database, StorageBackend};

use crate::error::StoreError;
use crate::page_sums::PageSums;

/// Opens a redb file, making a database of it if it is empty. Errors call it `name`.
///
/// # Errors
/// If it cannot be read or written, is damaged, or is no redb file.
pub(crate) fn open(
    name: &'static str,
    backend: Box<dyn StorageBackend>,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    open_shared(name, backend.into(), cache_bytes)
}

/// Empties a file that no database has open.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn empty(backend: &dyn StorageBackend) -> Result<(), StoreError> {
    backend.set_len(0).map_err(|source| StoreError::Io {
        what: "emptying a database file".to_owned(),
        source,
    })
}

/// The same with a file that is opened again after the database was closed.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_shared(
    name: &'static str,
    backend: Arc<dyn StorageBackend>,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    let sums = PageSums::open(name, backend).map_err(|error| failed(name, error))?;
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes);
    // After a crash redb looks for the commit that is whole among pages that may be anything, and
    // not all of its code expects that. Nothing of ours is seen before it has returned.
    let open = AssertUnwindSafe(|| builder.create_with_backend(sums.clone()));
    let db = catch_unwind(open)
        .map_err(|_| StoreError::damaged(format!("{name}: it cannot be repaired")))??;
    sums.be_sure().map_err(|error| failed(name, error))?;
    Ok(db)
}

fn failed(name: &str, source: io::Error) -> StoreError {
    StoreError::io(format!("opening {name}"), source)
}
