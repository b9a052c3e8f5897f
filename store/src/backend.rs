//! Opening a redb file that a [`Disk`](crate::disk::Disk) hands out.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, Database, StorageBackend};

use crate::error::StoreError;

/// Bytes of the page at the front of a redb file.
const HEADER_BYTES: usize = 4_096;

/// Bytes that redb's magic number takes at the front of the file. It is written last.
const MAGIC_BYTES: usize = 9;

/// A file that was not finished is no longer than this: redb makes new ones of 72 KiB.
const UNFINISHED_BYTES_MAX: u64 = 1 << 20;

/// Opens a redb file, making a database of it if it is empty.
///
/// # Errors
/// If it cannot be read or written, or is no redb file.
pub(crate) fn open(
    backend: Box<dyn StorageBackend>,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    open_shared(backend.into(), cache_bytes)
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
    backend: Arc<dyn StorageBackend>,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    let failed = |source| StoreError::Io {
        what: "opening a database file".to_owned(),
        source,
    };
    if is_unfinished(&*backend).map_err(failed)? {
        backend.set_len(0).map_err(failed)?;
    }
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes);
    Ok(builder.create_with_backend(AnyBackend(backend))?)
}

/// Whether a crash interrupted the making of the file: redb refuses such a file for ever, but it
/// has never held anything. Only a file without a single byte beyond its header counts, so that
/// damage to a header can never cost a database.
fn is_unfinished(backend: &dyn StorageBackend) -> io::Result<bool> {
    let len = backend.len()?;
    if len == 0 || len > UNFINISHED_BYTES_MAX {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    backend.read(0, &mut bytes)?;
    let header = bytes.len().min(HEADER_BYTES);
    let magic = bytes.len().min(MAGIC_BYTES);
    Ok(bytes[..magic]
        .iter()
        .chain(&bytes[header..])
        .all(|byte| *byte == 0))
}

/// redb wants a type, a disk hands out trait objects.
#[derive(Debug)]
struct AnyBackend(Arc<dyn StorageBackend>);

impl StorageBackend for AnyBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
