//! A disk in memory that can lose power: what was not synced is gone, and whoever held its files
//! open holds nothing any more. For tests and the simulator.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use sync_protocol::{BlobHash, DatabaseId};

use crate::aside::Aside;
use crate::crash_point::{CrashPoint, DiskFile, Passed, stopped};
use crate::disk::{Disk, checked};
use crate::error::StoreError;
use crate::log::LogFiles;

/// A disk in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileName {
    Log(DatabaseId),
    Journal(DatabaseId),
    Base(DatabaseId),
    SpareBase(DatabaseId),
    Spill(DatabaseId),
}

#[derive(Default)]
struct Shared {
    files: BTreeMap<FileName, MemoryFile>,
    blobs: BTreeMap<BlobHash, Arc<[u8]>>,
    /// By database, dump and name.
    dumps: BTreeMap<(DatabaseId, String, String), String>,
    partials: BTreeMap<BlobHash, Vec<u8>>,
    /// Counts losses of power: a file opened before the last one is dead.
    power: u64,
    /// Writes and syncs that still succeed; `None`: all.
    left: Option<u64>,
    /// Writes and syncs so far.
    done: u64,
    /// Writes that still find room; `None`: all.
    room: Option<u64>,
    /// Bytes that it says are free.
    free: Option<u64>,
    /// Reads that still succeed; `None`: all.
    readable: Option<u64>,
    /// Reads until one gives back a wrong bit, and which.
    spoil: Option<(u64, u64)>,
    passed: Passed,
    aside: Aside,
}

/// A file: what a crash leaves of it, and what has been done to it since it was last synced.
#[derive(Default)]
struct MemoryFile {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

/// What a crash leaves of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It never reached the disk.
    Nothing,
    /// All of it.
    Whole,
    /// So many of its first bytes.
    First(usize),
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content, as a backup of a directory is: what is not synced yet
    /// is in it too.
    #[must_use]
    pub fn backup(&self) -> Self {
        let shared = self.lock();
        let files = shared.files.iter().map(|(name, file)| {
            let copy = MemoryFile {
                synced: file.now.clone(),
                now: file.now.clone(),
                unsynced: Vec::new(),
            };
            (*name, copy)
        });
        let copy = Shared {
            files: files.collect(),
            blobs: shared.blobs.clone(),
            dumps: shared.dumps.clone(),
            ..Shared::default()
        };
        Self {
            shared: Arc::new(Mutex::new(copy)),
        }
    }

    /// The power fails and comes back: nothing unsynced is left, and open files are dead.
    pub fn crash(&self) {
        self.crash_keeping(|_| false);
    }

    /// As [`MemoryDisk::crash`], but the unsynced writes for which `keep` says so did reach the
    /// disk. It is asked for one after the other, file by file, with a running number.
    pub fn crash_keeping(&self, mut keep: impl FnMut(u64) -> bool) {
        self.crash_tearing(|number, _| match keep(number) {
            true => Kept::Whole,
            false => Kept::Nothing,
        });
    }

    /// As [`MemoryDisk::crash_keeping`], but a write may reach the disk in part: `keep` is told how
    /// many bytes it has, 0 for a change of the file's length.
    pub fn crash_tearing(&self, mut keep: impl FnMut(u64, usize) -> Kept) {
        let mut shared = self.lock();
        shared.power += 1;
        shared.left = None;
        shared.passed.disarm();
        let mut asked = 0;
        for file in shared.files.values_mut() {
            for change in std::mem::take(&mut file.unsynced) {
                match keep(asked, change.bytes()) {
                    Kept::Nothing => {}
                    Kept::Whole => change.apply(&mut file.synced),
                    Kept::First(bytes) => change.first(bytes).apply(&mut file.synced),
                }
                asked += 1;
            }
            file.now.clone_from(&file.synced);
        }
    }

    /// After `count` more writes the disk is full: further ones fail, all else goes on, until
    /// [`MemoryDisk::make_room`].
    pub fn fill_after(&self, count: u64) {
        self.lock().room = Some(count);
    }

    /// There is room again.
    pub fn make_room(&self) {
        self.lock().room = None;
    }

    /// Says from now on that so many bytes are free; `None`: it does not know.
    pub fn say_free(&self, bytes: Option<u64>) {
        self.lock().free = bytes;
    }

    /// After `count` more reads every further one fails; `None`: none does.
    pub fn fail_reads_after(&self, count: Option<u64>) {
        self.lock().readable = count;
    }

    /// The read after so many others gives back one bit that was not written: the bit of this
    /// number, counted from the start of what is read, around its end. Once; what is stored stays.
    pub fn spoil_read_after(&self, spoil: Option<(u64, u64)>) {
        self.lock().spoil = spoil;
    }

    /// Says from now on that long work is done so.
    pub fn set_aside(&self, aside: Aside) {
        self.lock().aside = aside;
    }

    /// After `count` more writes and syncs every further one fails, until [`MemoryDisk::crash`].
    pub fn fail_after(&self, count: u64) {
        self.lock().left = Some(count);
    }

    /// The power fails when `point` is passed for the `nth` time from now on, 1 being the next:
    /// that pass and every further write and sync fail, until [`MemoryDisk::crash`] brings the power
    /// back. A crash before then disarms it.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn crash_at(&self, point: CrashPoint, nth: u64) {
        self.lock().passed.arm(point, nth);
    }

    /// Where the power failed, if it did since [`MemoryDisk::crash_at`].
    #[must_use]
    pub fn crashed_at(&self) -> Option<CrashPoint> {
        self.lock().passed.failed_at()
    }

    /// How often each crash point was passed so far.
    #[must_use]
    pub fn passed(&self) -> BTreeMap<CrashPoint, u64> {
        self.lock().passed.counts()
    }

    /// A file that was kept for people to look at.
    #[must_use]
    pub fn dump(&self, database: &DatabaseId, dump: &str, name: &str) -> Option<String> {
        let key = (*database, dump.to_owned(), name.to_owned());
        self.lock().dumps.get(&key).cloned()
    }

    /// Writes and syncs that succeeded so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().done
    }

    fn open(&self, name: FileName) -> Result<Box<dyn DiskFile>, StoreError> {
        let mut shared = self.lock();
        if let Entry::Vacant(place) = shared.files.entry(name) {
            place.insert(MemoryFile::default());
            shared.pass(CrashPoint::FileNamed)?;
        }
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            name,
            power: shared.power,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every change below is complete before anything can panic, so a poisoned lock is whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("files", &self.files.keys())
            .field("power", &self.power)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn spend(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("the power is off"))?;
        }
        self.done += 1;
        Ok(())
    }

    /// Takes the room for one write.
    fn place(&mut self) -> io::Result<()> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        }
        Ok(())
    }

    fn spoil_read(&mut self, out: &mut [u8]) {
        let bits = out.len() as u64 * 8;
        match self.spoil {
            Some((0, bit)) if bits > 0 => {
                let bit = bit % bits;
                let at = (bit / 8) as usize;
                out[at] ^= 1 << (bit % 8);
                self.spoil = None;
            }
            Some((left, bit)) if left > 0 => self.spoil = Some((left - 1, bit)),
            _ => {}
        }
    }

    fn spend_read(&mut self) -> io::Result<()> {
        if let Some(readable) = &mut self.readable {
            *readable = readable
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("the disk cannot be read"))?;
        }
        Ok(())
    }

    /// # Errors
    /// If the power is off, or fails here.
    fn passes(&mut self, point: CrashPoint) -> io::Result<()> {
        if self.left == Some(0) {
            return Err(io::Error::other("the power is off"));
        }
        let passed = self.passed.pass(point);
        if passed.is_err() {
            self.left = Some(0);
        }
        passed
    }

    fn pass(&mut self, point: CrashPoint) -> Result<(), StoreError> {
        self.passes(point).map_err(|error| stopped(point, error))
    }

    fn failed(error: io::Error) -> StoreError {
        StoreError::Io {
            what: "writing a file".to_owned(),
            source: error,
        }
    }
}

impl Change {
    /// Bytes it writes.
    fn bytes(&self) -> usize {
        match self {
            Self::SetLen(_) => 0,
            Self::Write { data, .. } => data.len(),
        }
    }

    /// Its first bytes alone.
    fn first(self, bytes: usize) -> Self {
        match self {
            Self::SetLen(len) => Self::SetLen(len),
            Self::Write { offset, mut data } => {
                data.truncate(bytes);
                Self::Write { offset, data }
            }
        }
    }

    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => file.resize(*len, 0),
            Self::Write { offset, data } => {
                // A write may survive a change of length that it relied on.
                let end = offset + data.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(data);
            }
        }
    }
}

impl Disk for MemoryDisk {
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError> {
        let shared = self.lock();
        let logs = shared.files.keys().filter_map(|name| match name {
            FileName::Log(id) => Some(*id),
            _ => None,
        });
        Ok(logs.collect())
    }

    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError> {
        Ok(LogFiles {
            tables: self.open(FileName::Log(*database))?,
            journal: self.open(FileName::Journal(*database))?,
        })
    }

    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.open(FileName::Base(*database))
    }

    fn spill(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        let name = FileName::Spill(*database);
        {
            let mut shared = self.lock();
            shared.files.remove(&name);
            shared.pass(CrashPoint::SpillEmptied)?;
        }
        self.open(name)
    }

    fn aside(&self) -> Aside {
        self.lock().aside
    }

    fn remove(&self, database: &DatabaseId) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.spend().map_err(Shared::failed)?;
        shared.files.remove(&FileName::Spill(*database));
        shared.files.remove(&FileName::Log(*database));
        shared.files.remove(&FileName::Journal(*database));
        shared.files.remove(&FileName::Base(*database));
        shared.files.remove(&FileName::SpareBase(*database));
        shared.dumps.retain(|(id, ..), _| id != database);
        shared.pass(CrashPoint::RemovalNamed)
    }

    fn spare_base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        let name = FileName::SpareBase(*database);
        {
            let mut shared = self.lock();
            shared.spend().map_err(Shared::failed)?;
            shared.files.remove(&name);
        }
        let file = self.open(name)?;
        self.lock().pass(CrashPoint::SpareEmptied)?;
        Ok(file)
    }

    fn use_spare_base(&self, database: &DatabaseId) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.spend().map_err(Shared::failed)?;
        if !shared.files.contains_key(&FileName::SpareBase(*database)) {
            return Err(Shared::failed(io::ErrorKind::NotFound.into()));
        }
        shared.pass(CrashPoint::SpareSynced)?;
        if let Some(spare) = shared.files.remove(&FileName::SpareBase(*database)) {
            shared.files.insert(FileName::Base(*database), spare);
        }
        shared.pass(CrashPoint::SpareInPlace)
    }

    fn put_dump(
        &self,
        database: &DatabaseId,
        dump: &str,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.spend().map_err(Shared::failed)?;
        let key = (*database, dump.to_owned(), name.to_owned());
        shared.dumps.insert(key.clone(), String::new());
        shared.pass(CrashPoint::DumpBegun)?;
        shared.dumps.insert(key, text.to_owned());
        shared.pass(CrashPoint::DumpWritten)
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        let blob = self.lock().blobs.get(hash).cloned();
        blob.map(|blob| checked(hash, blob.to_vec())).transpose()
    }

    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().blobs.get(hash).map(|blob| blob.len() as u64))
    }

    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().blobs.get(hash).map(|blob| {
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(blob.len());
            let end = start.saturating_add(len).min(blob.len());
            blob[start..end].to_vec()
        }))
    }

    fn put_blob(&self, blob: &[u8]) -> Result<BlobHash, StoreError> {
        let hash = BlobHash::of(blob);
        let mut shared = self.lock();
        shared.place().map_err(Shared::failed)?;
        shared.spend().map_err(Shared::failed)?;
        shared.pass(CrashPoint::BlobWritten)?;
        shared.blobs.insert(hash, blob.into());
        shared.pass(CrashPoint::BlobNamed)?;
        Ok(hash)
    }

    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        let shared = self.lock();
        let partials = shared.partials.iter();
        Ok(partials
            .map(|(hash, bytes)| (*hash, bytes.len() as u64))
            .collect())
    }

    fn write_partial(&self, hash: &BlobHash, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.place().map_err(Shared::failed)?;
        shared.spend().map_err(Shared::failed)?;
        let start = place(offset).map_err(Shared::failed)?;
        let partial = shared.partials.entry(*hash).or_default();
        if partial.len() < start {
            return Err(Shared::failed(io::ErrorKind::UnexpectedEof.into()));
        }
        partial.truncate(start);
        shared.pass(CrashPoint::PartialCutBack)?;
        let partial = shared.partials.entry(*hash).or_default();
        partial.extend_from_slice(bytes);
        shared.pass(CrashPoint::PartialWritten)
    }

    fn partial(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().partials.get(hash).cloned())
    }

    fn remove_partial(&self, hash: &BlobHash) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.spend().map_err(Shared::failed)?;
        if shared.partials.remove(hash).is_some() {
            shared.pass(CrashPoint::PartialRemoved)?;
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().free)
    }
}

/// A file, until the power fails.
#[derive(Debug)]
struct OpenFile {
    disk: MemoryDisk,
    name: FileName,
    power: u64,
}

impl OpenFile {
    fn with<T>(&self, work: impl FnOnce(&mut Shared, FileName) -> io::Result<T>) -> io::Result<T> {
        let mut shared = self.disk.lock();
        if shared.power != self.power {
            return Err(io::Error::other("the file was open when the power failed"));
        }
        work(&mut shared, self.name)
    }

    fn change(&self, change: impl FnOnce() -> Change) -> io::Result<()> {
        self.with(|shared, name| {
            shared.place()?;
            shared.spend()?;
            let file = shared.file(name)?;
            let change = change();
            change.apply(&mut file.now);
            file.unsynced.push(change);
            Ok(())
        })
    }
}

impl Shared {
    fn file(&mut self, name: FileName) -> io::Result<&mut MemoryFile> {
        self.files
            .get_mut(&name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for OpenFile {
    fn passes(&self, point: CrashPoint) -> io::Result<()> {
        self.with(|shared, _| shared.passes(point))
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|shared, name| Ok(shared.file(name)?.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|shared, name| {
            shared.spend_read()?;
            let start = place(offset)?;
            let file = &shared.file(name)?.now;
            let end = start.checked_add(out.len());
            let bytes = end.and_then(|end| file.get(start..end));
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            shared.spoil_read(out);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = place(len)?;
        self.change(|| Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|shared, name| {
            shared.spend()?;
            let file = shared.file(name)?;
            for change in std::mem::take(&mut file.unsynced) {
                change.apply(&mut file.synced);
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = place(offset)?;
        self.change(|| Change::Write {
            offset,
            data: data.to_vec(),
        })
    }
}
