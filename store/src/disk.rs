//! Where a peer's databases and blobs lie.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use sync_protocol::{BlobHash, DatabaseId};

use crate::artifacts::Artifacts;
use crate::aside::Aside;
use crate::crash_point::{CrashPoint, CrashWatch, DiskFile, stopped};
use crate::error::StoreError;
use crate::limits::ARTIFACT_SPARES_BYTES;
use crate::log::LogFiles;
use crate::unsynced::Unsynced;

/// A peer's storage: four files per database, and blobs by hash. A trait, so that the simulator can
/// lend a made-up one.
pub trait Disk: Send {
    /// The databases that are here, by id.
    ///
    /// # Errors
    /// If the disk fails.
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError>;

    /// The files of a database's log, made if they do not exist.
    ///
    /// # Errors
    /// If the disk fails.
    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError>;

    /// The base file of a database, made if it does not exist.
    ///
    /// # Errors
    /// If the disk fails.
    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError>;

    /// A second base file for a database, empty whatever was there before: to be filled while the
    /// first stays as it is.
    ///
    /// # Errors
    /// If the disk fails.
    fn spare_base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError>;

    /// Puts the second base file in place of the first, in one step that a crash does not divide.
    /// Both must be closed.
    ///
    /// # Errors
    /// If there is no second file, or the disk fails.
    fn use_spare_base(&self, database: &DatabaseId) -> Result<(), StoreError>;

    /// Keeps a file for people to look at, under `dump` and `name`, beside a database's own. One
    /// of the same name is replaced.
    ///
    /// # Errors
    /// If the disk fails.
    fn put_dump(
        &self,
        database: &DatabaseId,
        dump: &str,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError>;

    /// The spill file of a database, emptied: what a tail too long for memory needs until the next
    /// start. Nothing in it has to be durable.
    ///
    /// # Errors
    /// If the disk fails.
    fn spill(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError>;

    /// Removes a database, whose files must be closed. Blobs stay: others may need them.
    ///
    /// # Errors
    /// If the disk fails.
    fn remove(&self, database: &DatabaseId) -> Result<(), StoreError>;

    /// A blob, checked against its hash.
    ///
    /// # Errors
    /// If the disk fails or the blob is damaged.
    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError>;

    /// Bytes of a blob.
    ///
    /// # Errors
    /// If the disk fails.
    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError>;

    /// A part of a blob: up to `len` bytes from `offset` on, fewer at its end. Not checked: whoever
    /// puts the parts together checks the whole.
    ///
    /// # Errors
    /// If the disk fails.
    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a blob. It is durable when this returns, and never there in part.
    ///
    /// # Errors
    /// If the disk fails.
    fn put_blob(&self, blob: &[u8]) -> Result<BlobHash, StoreError>;

    /// Blobs of which only the beginning is here, with its bytes.
    ///
    /// # Errors
    /// If the disk fails.
    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError>;

    /// Writes bytes of a partial blob at `offset`, where it then ends with them: what lay beyond is
    /// cut off. Durable when this returns. The hash is a name only, nothing is checked.
    ///
    /// # Errors
    /// If the disk fails, or the partial blob is shorter than `offset`.
    fn write_partial(&self, hash: &BlobHash, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// The beginning of a blob, as far as it is here. Not checked.
    ///
    /// # Errors
    /// If the disk fails.
    fn partial(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes a partial blob, if it is there.
    ///
    /// # Errors
    /// If the disk fails.
    fn remove_partial(&self, hash: &BlobHash) -> Result<(), StoreError>;

    /// A compiled module that was kept, as its file is: nobody has looked at it. `None` also if it
    /// cannot be read, because whoever asks can make it again.
    fn artifact(&self, _name: &BlobHash) -> Option<Vec<u8>> {
        None
    }

    /// Keeps a compiled module until the room is needed. Neither durable nor promised: a disk that
    /// is full or cannot be written keeps none.
    fn put_artifact(&self, _name: &BlobHash, _artifact: &[u8]) {}

    /// Where long work on its files is done.
    fn aside(&self) -> Aside {
        Aside::Never
    }

    /// Bytes that can still be written; `None` if the disk has no end that is known.
    ///
    /// # Errors
    /// If the disk fails.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

const DATABASES: &str = "databases";
const BLOBS: &str = "blobs";
const PARTIAL: &str = "partial";
const COMPILED: &str = "compiled";
pub(crate) const LOG: &str = "log.redb";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const BASE: &str = "base.redb";
const SPARE_BASE: &str = "unfinished-base.redb";
const SPILL: &str = "spill.redb";

/// Files that were not finished: half-written blobs, databases being removed.
const UNFINISHED: &str = "unfinished-";

/// A data directory: `log.redb`, `journal`, `base.redb`, `spill.redb` and folders with dumps in
/// `databases/<id>`, `blobs/<hash>` and `blobs/partial/<hash>`; compiled modules in `compiled`.
#[derive(Debug)]
pub struct DirDisk {
    databases: PathBuf,
    blobs: PathBuf,
    partial: PathBuf,
    artifacts: Artifacts,
    /// Tests alone watch.
    watch: Option<CrashWatch>,
}

impl DirDisk {
    /// Opens a data directory, making what is missing and clearing away what a crash left
    /// unfinished. One process only: a lock on the directory is the caller's.
    ///
    /// # Errors
    /// If the directory cannot be made, read or written.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open_watched(data_dir, None)
    }

    /// The same for a test: `watch` hears of the crash points that are passed outside of database
    /// files, and may end the work at one of them. What was written by then is there, as after the
    /// end of a process; to forget what was not synced is
    /// [`MemoryDisk`](crate::MemoryDisk)'s business.
    ///
    /// # Errors
    /// As [`DirDisk::open`], and if the work ends.
    pub fn open_watched(data_dir: &Path, watch: Option<CrashWatch>) -> Result<Self, StoreError> {
        let disk = Self {
            watch,
            ..Self::at(data_dir)
        };
        for dir in [&disk.databases, &disk.blobs, &disk.partial] {
            fs::create_dir_all(dir).map_err(failed("making", dir))?;
            for (path, name) in children(dir)? {
                if name.starts_with(UNFINISHED) {
                    let removed = if path.is_dir() {
                        fs::remove_dir_all(&path)
                    } else {
                        fs::remove_file(&path)
                    };
                    removed.map_err(failed("removing", &path))?;
                    disk.passes(CrashPoint::LeftoverCleared)?;
                } else if path.join(SPARE_BASE).exists() {
                    let spare = path.join(SPARE_BASE);
                    fs::remove_file(&spare).map_err(failed("removing", &spare))?;
                    disk.passes(CrashPoint::LeftoverCleared)?;
                }
            }
        }
        sync_dir(&disk.blobs)?;
        sync_dir(data_dir)?;
        Ok(disk)
    }

    /// The directory, as it is.
    pub(crate) fn at(data_dir: &Path) -> Self {
        Self {
            databases: data_dir.join(DATABASES),
            blobs: data_dir.join(BLOBS),
            partial: data_dir.join(BLOBS).join(PARTIAL),
            artifacts: Artifacts::at(data_dir.join(COMPILED)),
            watch: None,
        }
    }

    fn passes(&self, point: CrashPoint) -> Result<(), StoreError> {
        match &self.watch {
            Some(watch) => watch.pass(point).map_err(|error| stopped(point, error)),
            None => Ok(()),
        }
    }

    /// Where a database's files are.
    pub(crate) fn path_of(&self, database: &DatabaseId) -> PathBuf {
        self.databases.join(database.to_string())
    }

    /// Blobs by the hash that their name says, in order, and the names of files that are none.
    pub(crate) fn blobs(&self) -> Result<(Vec<BlobHash>, Vec<String>), StoreError> {
        let (mut blobs, mut others) = (Vec::new(), Vec::new());
        for (_, name) in children(&self.blobs)? {
            match name.parse::<BlobHash>() {
                Ok(hash) if hash.to_string() == name => blobs.push(hash),
                // The folder of partial blobs.
                _ if name == PARTIAL => {}
                _ => others.push(name),
            }
        }
        blobs.sort_unstable();
        others.sort_unstable();
        Ok((blobs, others))
    }

    /// What a crash left half done among the databases.
    pub(crate) fn unfinished(&self) -> Result<Vec<String>, StoreError> {
        let names = children(&self.databases)?.into_iter().map(|(_, name)| name);
        Ok(names.filter(|name| name.starts_with(UNFINISHED)).collect())
    }

    fn file(&self, database: &DatabaseId, name: &str) -> Result<Box<dyn DiskFile>, StoreError> {
        let dir = self.databases.join(database.to_string());
        let path = dir.join(name);
        let new = !path.exists();
        fs::create_dir_all(&dir).map_err(failed("making", &dir))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("opening", &path))?;
        if new {
            self.passes(CrashPoint::FileNamed)?;
            // A file whose name is lost in a crash is lost itself, whatever was synced into it.
            sync_dir(&dir)?;
            sync_dir(&self.databases)?;
        }
        Ok(Box::new(FileBackend::new(file)?))
    }

    fn blob_path(&self, hash: &BlobHash) -> PathBuf {
        self.blobs.join(hash.to_string())
    }

    fn open_blob(&self, hash: &BlobHash) -> Result<Option<(PathBuf, File)>, StoreError> {
        let path = self.blob_path(hash);
        match File::open(&path) {
            Ok(file) => Ok(Some((path, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("opening", &path)(error)),
        }
    }
}

impl Disk for DirDisk {
    fn databases(&self) -> Result<Vec<DatabaseId>, StoreError> {
        let mut ids = Vec::new();
        for (path, name) in children(&self.databases)? {
            if let Ok(id) = name.parse::<DatabaseId>()
                && id.to_string() == name
                && path.join(LOG).exists()
            {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn log(&self, database: &DatabaseId) -> Result<LogFiles, StoreError> {
        Ok(LogFiles {
            tables: self.file(database, LOG)?,
            journal: self.file(database, JOURNAL)?,
        })
    }

    fn base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        self.file(database, BASE)
    }

    fn spare_base(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = self.databases.join(database.to_string()).join(SPARE_BASE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removing", &path)(error));
            }
            _ => {}
        }
        let file = self.file(database, SPARE_BASE)?;
        self.passes(CrashPoint::SpareEmptied)?;
        Ok(file)
    }

    fn use_spare_base(&self, database: &DatabaseId) -> Result<(), StoreError> {
        let dir = self.databases.join(database.to_string());
        let (spare, base) = (dir.join(SPARE_BASE), dir.join(BASE));
        // What redb wrote last is durable already; the rename must not come before it.
        File::open(&spare)
            .and_then(|file| file.sync_all())
            .map_err(failed("syncing", &spare))?;
        self.passes(CrashPoint::SpareSynced)?;
        fs::rename(&spare, &base).map_err(failed("replacing", &base))?;
        self.passes(CrashPoint::SpareInPlace)?;
        sync_dir(&dir)
    }

    fn put_dump(
        &self,
        database: &DatabaseId,
        dump: &str,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let dir = self.databases.join(database.to_string()).join(dump);
        fs::create_dir_all(&dir).map_err(failed("making", &dir))?;
        let path = dir.join(name);
        let mut file = File::create(&path).map_err(failed("making", &path))?;
        self.passes(CrashPoint::DumpBegun)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("writing", &path))?;
        self.passes(CrashPoint::DumpWritten)?;
        sync_dir(&dir)
    }

    fn spill(&self, database: &DatabaseId) -> Result<Box<dyn DiskFile>, StoreError> {
        let dir = self.databases.join(database.to_string());
        let path = dir.join(SPILL);
        fs::create_dir_all(&dir).map_err(failed("making", &dir))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(failed("emptying", &path))?;
        self.passes(CrashPoint::SpillEmptied)?;
        Ok(Box::new(Unsynced(FileBackend::new(file)?)))
    }

    fn aside(&self) -> Aside {
        Aside::Thread
    }

    fn remove(&self, database: &DatabaseId) -> Result<(), StoreError> {
        let dir = self.databases.join(database.to_string());
        if !dir.exists() {
            return Ok(());
        }
        // Renamed first: a crash in between must not leave a database with half its files.
        let going = self.databases.join(format!("{UNFINISHED}{database}"));
        fs::rename(&dir, &going).map_err(failed("removing", &dir))?;
        self.passes(CrashPoint::RemovalNamed)?;
        sync_dir(&self.databases)?;
        fs::remove_dir_all(&going).map_err(failed("removing", &going))
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((path, mut file)) = self.open_blob(hash)? else {
            return Ok(None);
        };
        let mut blob = Vec::new();
        file.read_to_end(&mut blob)
            .map_err(failed("reading", &path))?;
        checked(hash, blob).map(Some)
    }

    fn blob_len(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        let Some((path, file)) = self.open_blob(hash)? else {
            return Ok(None);
        };
        Ok(Some(
            file.metadata().map_err(failed("reading", &path))?.len(),
        ))
    }

    fn blob_part(
        &self,
        hash: &BlobHash,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((path, mut file)) = self.open_blob(hash)? else {
            return Ok(None);
        };
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(len as u64).read_to_end(&mut part))
            .map_err(failed("reading", &path))?;
        Ok(Some(part))
    }

    fn put_blob(&self, blob: &[u8]) -> Result<BlobHash, StoreError> {
        let hash = BlobHash::of(blob);
        let path = self.blob_path(&hash);
        // A blob under its name is whole: it got the name after its bytes were durable. One that
        // was damaged since is written again.
        if matches!(self.blob(&hash), Ok(Some(_))) {
            return Ok(hash);
        }
        let partial = self.blobs.join(format!("{UNFINISHED}{hash}"));
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(blob)?;
            file.sync_all()
        };
        write().map_err(failed("writing", &path))?;
        self.passes(CrashPoint::BlobWritten)?;
        fs::rename(&partial, &path).map_err(failed("naming", &path))?;
        self.passes(CrashPoint::BlobNamed)?;
        sync_dir(&self.blobs)?;
        Ok(hash)
    }

    fn partials(&self) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        let mut partials = Vec::new();
        for (path, name) in children(&self.partial)? {
            if let Ok(hash) = name.parse::<BlobHash>()
                && hash.to_string() == name
            {
                let len = fs::metadata(&path).map_err(failed("reading", &path))?.len();
                partials.push((hash, len));
            }
        }
        partials.sort_unstable();
        Ok(partials)
    }

    fn write_partial(&self, hash: &BlobHash, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.partial.join(hash.to_string());
        let new = !path.exists();
        let cut_back = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if file.metadata()?.len() < offset {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.set_len(offset)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        };
        let mut file = cut_back().map_err(failed("writing", &path))?;
        self.passes(CrashPoint::PartialCutBack)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(failed("writing", &path))?;
        self.passes(CrashPoint::PartialWritten)?;
        if new {
            sync_dir(&self.partial)?;
        }
        Ok(())
    }

    fn partial(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.partial.join(hash.to_string());
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &path)(error)),
        }
    }

    fn remove_partial(&self, hash: &BlobHash) -> Result<(), StoreError> {
        let path = self.partial.join(hash.to_string());
        match fs::remove_file(&path) {
            Ok(()) => {
                self.passes(CrashPoint::PartialRemoved)?;
                sync_dir(&self.partial)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("removing", &path)(error)),
        }
    }

    fn artifact(&self, name: &BlobHash) -> Option<Vec<u8>> {
        self.artifacts.get(name).ok()
    }

    fn put_artifact(&self, name: &BlobHash, artifact: &[u8]) {
        let needed = ARTIFACT_SPARES_BYTES + artifact.len() as u64;
        if matches!(self.free_bytes(), Ok(Some(free)) if free >= needed) {
            // It was no more than an attempt: the next start compiles.
            let _ = self.artifacts.put(name, artifact, self.watch.as_ref());
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let stat = rustix::fs::statvfs(&self.databases)
            .map_err(|error| failed("asking for the room in", &self.databases)(error.into()))?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

/// What is in a directory, by path and name; names that are not text are nobody's of ours.
fn children(dir: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let mut children = Vec::new();
    for child in fs::read_dir(dir).map_err(failed("reading", dir))? {
        let child = child.map_err(failed("reading", dir))?;
        if let Ok(name) = child.file_name().into_string() {
            children.push((child.path(), name));
        }
    }
    Ok(children)
}

/// Makes names in a directory durable.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("syncing", dir))
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io {
        what: format!("{doing} {}", path.display()),
        source,
    }
}

/// The blob, if it is the one that the hash names.
pub(crate) fn checked(hash: &BlobHash, blob: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if BlobHash::of(&blob) == *hash {
        Ok(blob)
    } else {
        Err(StoreError::damaged(format!("blob {hash}")))
    }
}
