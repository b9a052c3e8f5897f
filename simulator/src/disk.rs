//! Disks for the test of the test: one that lies about what is safe.

use std::ops::Bound;

use redb::{BackendError, StorageBackend};
use store::{Aside, CrashPoint, Disk, DiskFile, LogFiles, MemoryDisk, StoreError};
use sync_protocol::{BlobHash, DatabaseId};

/// A disk that says it has synced and has not, as cheap ones do. With it acknowledged calls do get
/// lost: a simulator that does not notice is worth nothing.
pub(crate) struct LyingDisk(pub(crate) MemoryDisk);

#[derive(Debug)]
struct LyingFile(Box<dyn DiskFile>);

impl Disk for LyingDisk {
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError> {
        self.0.databases()
    }

    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError> {
        let LogFiles { tables, journal } = self.0.log(database)?;
        Ok(LogFiles {
            tables: Box::new(LyingFile(tables)),
            journal: Box::new(LyingFile(journal)),
        })
    }

    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.0.base(database)
    }

    fn spare_base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.0.spare_base(database)
    }

    fn use_spare_base(&self, database: &DatabaseId) -> Result<(), StoreError> {
        self.0.use_spare_base(database)
    }

    fn put_dump(
        &self,
        database: &DatabaseId,
        dump: &str,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        self.0.put_dump(database, dump, name, text)
    }

    fn spill(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.0.spill(database)
    }

    fn aside(&self) -> Aside {
        self.0.aside()
    }

    fn remove(&self, database: &DatabaseId) -> Result<(), StoreError> {
        self.0.remove(database)
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.blob(hash)
    }

    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        self.0.blob_len(hash)
    }

    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.blob_part(hash, offset, len)
    }

    fn put_blob(&self, blob: &[u8]) -> Result<BlobHash, StoreError> {
        self.0.put_blob(blob)
    }

    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        self.0.partials()
    }

    fn write_partial(&self, hash: &BlobHash, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.write_partial(hash, offset, bytes)
    }

    fn partial(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.partial(hash)
    }

    fn remove_partial(&self, hash: &BlobHash) -> Result<(), StoreError> {
        self.0.remove_partial(hash)
    }
}

impl DiskFile for LyingFile {
    fn passes(&self, point: CrashPoint) -> std::io::Result<()> {
        self.0.passes(point)
    }
}

impl StorageBackend for LyingFile {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> std::io::Result<()> {
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
