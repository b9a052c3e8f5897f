//! The data directory of one peer: its key, its lock, and what it tells the command line.
//!
//! ```text
//! <data-dir>/             mode 0700
//!   lock                  locked while a peer runs (flock); empty
//!   peer.key              mode 0600: the ed25519 secret key as 64 hex digits and a line end
//!   owner.token           mode 0600: a token for the peer's own identity, new at each start
//!   tls.key, tls.crt      mode 0600: the certificate that `start --tls` made, and its key, in PEM
//!   run.json              who runs here and where it listens; there only while it runs
//!   addresses.json        ports that were chosen, and where other peers were found
//!   blobs/, compiled/, databases/   mode 0700: the store's
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sync_protocol::{DatabaseId, SecretKey};

use super::clock::dice;

/// Bytes read of any of the small files here, so that a wrong file cannot fill the memory.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// The store's folders. Its files have the rights that the system gives them, so the folders are shut.
const STORE_FOLDERS: [&str; 3] = ["blobs", "compiled", "databases"];

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// Another peer runs on it.
    #[error(
        "the data directory {dir} is in use by process {pid}: stop that `tombolo start`, or \
         choose another directory with --data-dir"
    )]
    InUse {
        /// Which directory.
        dir: PathBuf,
        /// The other process, as it wrote to run.json.
        pid: String,
    },
    /// The key file does not hold a key.
    #[error(
        "{0} does not hold 64 hex digits: restore it from a backup; a peer with a new key is not \
         a member of the databases here"
    )]
    DamagedKey(PathBuf),
    /// The directory belongs to another peer.
    #[error(
        "{0} is another key already: a directory is one peer's; choose an empty one with --data-dir"
    )]
    OtherKey(PathBuf),
    /// The file system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What `run.json` says of a running peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunInfo {
    /// Its process.
    pub(crate) pid: u32,
    /// Where its HTTP side listens, as a URL.
    pub(crate) http: String,
    /// The SHA-256 of the certificate that it shows there, if that is over TLS: the command line
    /// knows the peer by it, whatever names are in the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// Where other peers reach it: multiaddrs that end in `/p2p/…`.
    pub(crate) p2p: Vec<String>,
    /// Its device key in hex.
    pub(crate) device_key: String,
    /// Version of the program.
    pub(crate) version: String,
}

/// A data directory that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    dir: PathBuf,
    /// Held, not read: the lock goes when the file is closed, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is not there, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] names the process that has it.
    pub(crate) fn open(dir: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io("create the directory", dir))?;
        let data_dir = Self::lock(dir)?;
        // Left by a peer that was killed; nobody runs here, we hold the lock.
        let _ = fs::remove_file(dir.join("run.json"));
        Ok(data_dir)
    }

    /// Locks a directory that is there, and changes nothing else in it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] names the process that has it.
    pub(crate) fn lock(dir: &Path) -> Result<Self, DataDirError> {
        let path = dir.join("lock");
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = match opened {
            // A directory that cannot be written can still be looked at.
            Err(error) if path.exists() => File::open(&path).map_err(|_| error),
            opened => opened,
        };
        let lock = lock.map_err(io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_run_info(dir).map_or_else(
                    |_| "unknown (it is starting or stopping)".to_owned(),
                    |run| run.pid.to_string(),
                );
                return Err(DataDirError::InUse {
                    dir: dir.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock", &path)(source)),
        }
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Whether a directory holds a device's key. Nothing is made or changed.
    ///
    /// # Errors
    /// [`DataDirError::DamagedKey`], or if it cannot be read.
    pub(crate) fn look_at_key(dir: &Path) -> Result<bool, DataDirError> {
        let path = dir.join("peer.key");
        match read_small(&path) {
            Ok(text) => parse_key(&path, &text).map(|_| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// The device's key, made on the first start.
    ///
    /// # Errors
    /// A key file that cannot be read is never replaced.
    pub(crate) fn peer_key(&self) -> Result<SecretKey, DataDirError> {
        let path = self.dir.join("peer.key");
        let text = match read_small(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = format!("{}\n", data_encoding::HEXLOWER.encode(&dice::<32>()));
                write_whole(&path, 0o600, text.as_bytes())?;
                text
            }
            Err(error) => return Err(io("read", &path)(error)),
        };
        protect(&path)?;
        parse_key(&path, &text)
    }

    /// Becomes the peer whose key is in `file`, if this directory has none yet or that one.
    ///
    /// # Errors
    /// If it has another, or `file` does not hold a key.
    pub(crate) fn take_key(&self, file: &Path) -> Result<(), DataDirError> {
        let text = read_small(file).map_err(io("read", file))?;
        let key = parse_key(file, &text)?;
        if !Self::look_at_key(&self.dir)? {
            let text = format!("{}\n", data_encoding::HEXLOWER.encode(&key.to_bytes()));
            return write_whole(&self.dir.join("peer.key"), 0o600, text.as_bytes());
        }
        match self.peer_key()?.public() == key.public() {
            true => Ok(()),
            false => Err(DataDirError::OtherKey(self.dir.join("peer.key"))),
        }
    }

    /// Makes the store's folders, for the owner alone. The directory itself may have been made by
    /// somebody else, with other rights.
    pub(crate) fn shut_store(&self) -> Result<(), DataDirError> {
        for folder in STORE_FOLDERS {
            let folder = self.dir.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(io("create the directory", &folder))?;
            protect(&folder)?;
        }
        Ok(())
    }

    /// Writes the token of the peer's own identity for the command line.
    pub(crate) fn write_owner_token(&self, token: &str) -> Result<(), DataDirError> {
        write_whole(
            &self.dir.join("owner.token"),
            0o600,
            format!("{token}\n").as_bytes(),
        )
    }

    /// Tells the command line who runs here.
    pub(crate) fn write_run_info(&self, run: &RunInfo) -> Result<(), DataDirError> {
        let text = serde_json::to_string_pretty(run).unwrap_or_default();
        write_whole(
            &self.dir.join("run.json"),
            0o600,
            format!("{text}\n").as_bytes(),
        )
    }

    /// Takes `run.json` away: nobody runs here any more.
    pub(crate) fn remove_run_info(&self) {
        let _ = fs::remove_file(self.dir.join("run.json"));
    }

    /// Where a database's files are.
    pub(crate) fn database(&self, database: &DatabaseId) -> PathBuf {
        self.dir.join("databases").join(database.to_string())
    }
}

fn parse_key(path: &Path, text: &str) -> Result<SecretKey, DataDirError> {
    let damaged = || DataDirError::DamagedKey(path.to_owned());
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.trim().as_bytes())
        .map_err(|_| damaged())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| damaged())?;
    Ok(SecretKey::from_bytes(&bytes))
}

/// Who runs on a data directory.
///
/// # Errors
/// Not found when nobody does.
pub(crate) fn read_run_info(dir: &Path) -> io::Result<RunInfo> {
    let text = read_small(&dir.join("run.json"))?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

/// The token of the peer's own identity.
pub(crate) fn read_owner_token(dir: &Path) -> io::Result<String> {
    Ok(read_small(&dir.join("owner.token"))?.trim().to_owned())
}

/// Reads a small text file.
pub(crate) fn read_small(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, SMALL_FILE_BYTES_MAX), &mut text)?;
    Ok(text)
}

/// Takes all rights to a file or folder from everybody but its owner.
pub(crate) fn protect(path: &Path) -> Result<(), DataDirError> {
    let mode = fs::metadata(path).map_err(io("look at", path))?.mode();
    if mode & 0o077 != 0 {
        let mode = mode & 0o700;
        tracing::warn!(
            "{} was open to others: mode set to {mode:04o}",
            path.display()
        );
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io("protect", path))?;
    }
    Ok(())
}

/// Whether everybody on this machine may read a file.
pub(crate) fn is_for_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

/// Writes a file so that a reader, or a peer after a crash, sees all of it or what was there
/// before.
pub(crate) fn write_whole(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), DataDirError> {
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(".new");
    let scratch = PathBuf::from(scratch);
    let written = (|| {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, path)?;
        path.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    })();
    written.map_err(io("write", path))
}

/// Wraps an IO error with what was tried on what.
fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |source| DataDirError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path().join("a/b");
        let data = DataDir::open(&dir).expect("opens");
        data.peer_key().expect("key");
        data.write_owner_token("t").expect("writes");
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("peer.key")), 0o600);
        assert_eq!(mode(&dir.join("owner.token")), 0o600);
        assert_eq!(read_owner_token(&dir).expect("reads"), "t");
    }

    #[test]
    fn rows_are_for_their_owner_alone_also_in_a_folder_that_was_open() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = scratch.path().join("open");
        fs::create_dir_all(dir.join("databases")).expect("makes");
        for folder in [&dir, &dir.join("databases")] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("sets");
        }
        let data = DataDir::open(&dir).expect("opens");
        data.shut_store().expect("shuts");
        assert_eq!(mode(&dir), 0o755, "the person's own choice");
        for folder in STORE_FOLDERS {
            assert_eq!(mode(&dir.join(folder)), 0o700, "{folder}");
        }
    }

    #[test]
    fn the_key_stays_and_a_damaged_one_is_not_replaced() {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = DataDir::open(scratch.path()).expect("opens");
        let key = data.peer_key().expect("made");
        assert_eq!(data.peer_key().expect("read").to_bytes(), key.to_bytes());
        let path = scratch.path().join("peer.key");
        fs::write(&path, "garbage").expect("writes");
        assert!(matches!(data.peer_key(), Err(DataDirError::DamagedKey(_))));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "garbage");
    }

    #[test]
    fn a_second_peer_is_refused_by_name() {
        let scratch = tempfile::tempdir().expect("scratch");
        let first = DataDir::open(scratch.path()).expect("opens");
        first
            .write_run_info(&RunInfo {
                pid: 4_711,
                http: "http://127.0.0.1:3000".into(),
                certificate: None,
                p2p: vec![],
                device_key: String::new(),
                version: String::new(),
            })
            .expect("writes");
        let refused = DataDir::open(scratch.path()).expect_err("locked");
        assert!(refused.to_string().contains("process 4711"), "{refused}");
        drop(first);
        let _second = DataDir::open(scratch.path()).expect("free again");
        assert!(
            read_run_info(scratch.path()).is_err(),
            "what a killed peer left is gone"
        );
    }
}
