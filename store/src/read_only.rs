//! A data directory that is looked at and never changed: what redb writes when it opens or repairs
//! a file stays in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};
use sync_protocol::{BlobHash, DatabaseId};

use crate::crash_point::DiskFile;
use crate::disk::{BASE, DirDisk, Disk, JOURNAL, LOG};
use crate::error::StoreError;
use crate::log::LogFiles;
use crate::page_sums::PAGE_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;

/// A data directory, read only.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    dir: DirDisk,
}

impl ReadOnlyDisk {
    /// Looks at a data directory. Nothing is made, cleared away or locked.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: DirDisk::at(data_dir),
        }
    }

    /// Every blob by the hash that its name says, in order, and names of files that are none.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn blobs(&self) -> Result<(Vec<BlobHash>, Vec<String>), StoreError> {
        self.dir.blobs()
    }

    /// What a crash left half done in the directory of the databases, by name.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn unfinished(&self) -> Result<Vec<String>, StoreError> {
        self.dir.unfinished()
    }

    fn open(&self, path: PathBuf) -> Result<Box<dyn DiskFile>, StoreError> {
        let file = File::open(&path)
            .map_err(|error| StoreError::io(format!("opening {}", path.display()), error))?;
        let backend = FileBackend::new(file)?;
        Ok(Box::new(Frozen::new(Box::new(backend))))
    }

    fn refused() -> StoreError {
        StoreError::io(
            "writing to a directory that is only looked at",
            io::ErrorKind::ReadOnlyFilesystem.into(),
        )
    }
}

impl Disk for ReadOnlyDisk {
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError> {
        self.dir.databases()
    }

    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError> {
        let dir = self.dir.path_of(database);
        let journal = dir.join(JOURNAL);
        Ok(LogFiles {
            tables: self.open(dir.join(LOG))?,
            journal: match journal.exists() {
                true => self.open(journal)?,
                // What an earlier version wrote has none.
                false => Box::new(InMemoryBackend::new()),
            },
        })
    }

    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.open(self.dir.path_of(database).join(BASE))
    }

    fn spill(&self, _: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        Err(Self::refused())
    }

    fn spare_base(&self, _: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        Err(Self::refused())
    }

    fn use_spare_base(&self, _: &DatabaseId) -> Result<(), StoreError> {
        Err(Self::refused())
    }

    fn put_dump(&self, _: &DatabaseId, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        Err(Self::refused())
    }

    fn remove(&self, _: &DatabaseId) -> Result<(), StoreError> {
        Err(Self::refused())
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.dir.blob(hash)
    }

    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        self.dir.blob_len(hash)
    }

    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.dir.blob_part(hash, offset, len)
    }

    fn put_blob(&self, _: &[u8]) -> Result<BlobHash, StoreError> {
        Err(Self::refused())
    }

    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        Ok(Vec::new())
    }

    fn write_partial(&self, _: &BlobHash, _: u64, _: &[u8]) -> Result<(), StoreError> {
        Err(Self::refused())
    }

    fn partial(&self, _: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn remove_partial(&self, _: &BlobHash) -> Result<(), StoreError> {
        Err(Self::refused())
    }
}

/// A disk whose bases lie on another one: what is run from its logs leaves its own bases as they
/// are.
pub struct BaseElsewhere {
    /// Logs and blobs.
    pub disk: Box<dyn Disk>,
    /// Bases.
    pub bases: Box<dyn Disk>,
}

impl Disk for BaseElsewhere {
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError> {
        self.disk.databases()
    }

    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError> {
        self.disk.log(database)
    }

    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.bases.base(database)
    }

    fn spill(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.bases.spill(database)
    }

    fn spare_base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.bases.spare_base(database)
    }

    fn use_spare_base(&self, database: &DatabaseId) -> Result<(), StoreError> {
        self.bases.use_spare_base(database)
    }

    fn put_dump(
        &self,
        database: &DatabaseId,
        dump: &str,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        self.bases.put_dump(database, dump, name, text)
    }

    fn remove(&self, database: &DatabaseId) -> Result<(), StoreError> {
        self.bases.remove(database)
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.blob(hash)
    }

    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        self.disk.blob_len(hash)
    }

    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.blob_part(hash, offset, len)
    }

    fn put_blob(&self, blob: &[u8]) -> Result<BlobHash, StoreError> {
        self.bases.put_blob(blob)
    }

    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        self.bases.partials()
    }

    fn write_partial(&self, hash: &BlobHash, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.bases.write_partial(hash, offset, bytes)
    }

    fn partial(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.bases.partial(hash)
    }

    fn remove_partial(&self, hash: &BlobHash) -> Result<(), StoreError> {
        self.bases.remove_partial(hash)
    }
}

/// A file that stays as it is: what is written to it is kept in memory and read from there.
#[derive(Debug)]
pub(crate) struct Frozen {
    file: Box<dyn DiskFile>,
    changes: Mutex<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    /// The length, once it was changed.
    len: Option<u64>,
    /// The shortest it ever was: what lay beyond in the file is gone.
    kept: Option<u64>,
}

impl Frozen {
    pub(crate) fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file,
            changes: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it is now; zeros where there is nothing.
    fn page(&self, changes: &Changes, page: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(bytes) = changes.pages.get(&page) {
            return Ok(bytes.clone());
        }
        let mut bytes = Box::new([0; PAGE_BYTES]);
        let end = changes.kept.unwrap_or(u64::MAX).min(self.file.len()?);
        let start = page * PAGE;
        let there = usize::try_from(end.saturating_sub(start)).unwrap_or(PAGE_BYTES);
        let there = there.min(PAGE_BYTES);
        if there > 0 {
            self.file.read(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

impl DiskFile for Frozen {}

impl StorageBackend for Frozen {
    fn len(&self) -> io::Result<u64> {
        match self.lock().len {
            Some(len) => Ok(len),
            None => self.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(out.len() as u64);
        if end > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let changes = self.lock();
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let within = usize::try_from(at % PAGE).map_err(io::Error::other)?;
            let step = rest.len().min(PAGE_BYTES - within);
            let (now, later) = rest.split_at_mut(step);
            let page = self.page(&changes, at / PAGE)?;
            now.copy_from_slice(&page[within..within + step]);
            at += step as u64;
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        let mut changes = self.lock();
        if len < now {
            changes.pages.retain(|page, _| page * PAGE < len);
            let kept = changes.kept.unwrap_or(u64::MAX).min(len);
            changes.kept = Some(kept);
            if let Some(last) = changes.pages.get_mut(&(len / PAGE)) {
                last[usize::try_from(len % PAGE).map_err(io::Error::other)?..].fill(0);
            }
        }
        changes.len = Some(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let len = self.len()?;
        let mut changes = self.lock();
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let within = usize::try_from(at % PAGE).map_err(io::Error::other)?;
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            let mut page = self.page(&changes, at / PAGE)?;
            page[within..within + now.len()].copy_from_slice(now);
            changes.pages.insert(at / PAGE, page);
            at += now.len() as u64;
            rest = later;
        }
        changes.len = Some(len.max(at));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let disk = MemoryDisk::new();
        let id = DatabaseId([1; 32]);
        let file = disk.base(&id).expect("memory");
        file.set_len(10_000).expect("memory");
        file.write(0, &[7; 10_000]).expect("memory");
        let frozen = Frozen::new(disk.base(&id).expect("memory"));
        frozen.write(4_000, &[8; 200]).expect("memory");
        let mut bytes = vec![0; 10_000];
        frozen.read(0, &mut bytes).expect("memory");
        assert_eq!(
            (bytes[3_999], bytes[4_000], bytes[4_199], bytes[4_200]),
            (7, 8, 8, 7)
        );
        frozen.set_len(4_100).expect("memory");
        frozen.set_len(9_000).expect("memory");
        assert!(frozen.read(8_999, &mut [0; 2]).is_err(), "past the end");
        let mut bytes = vec![1; 9_000];
        frozen.read(0, &mut bytes).expect("memory");
        assert_eq!(
            (bytes[0], bytes[4_099], bytes[4_100], bytes[8_500]),
            (7, 8, 0, 0)
        );
        let mut bytes = vec![0; 10_000];
        file.read(0, &mut bytes).expect("memory");
        assert_eq!(bytes, [7; 10_000], "the file stays as it is");
    }
}
