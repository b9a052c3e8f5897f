//! Reading a backup, frame by frame. It may be cut short, damaged, or made to do harm: every length is bounded
//! before there is memory for it, and only the end says that it is whole.

use std::io::{self, Read};

use serde::Deserialize;
use sync_protocol::{BlobHash, DatabaseId, DeviceKey};

use super::format::{Described, End, FRAME_BYTES_MAX, HEAD_BYTES, Kind, MAGIC, hasher, split_blob};

/// Names of a database, at most: as many as a peer takes, and far from harm.
const NAMES_MAX: usize = 1_024;

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file does not begin as one.
    #[error("this is no backup of a database, or it was made by another version of tombolo")]
    NotABackup,
    /// It ends before its end.
    #[error(
        "the backup is incomplete: it was cut short while it was written or copied; use another one"
    )]
    Incomplete,
    /// Its bytes are not those that were written.
    #[error("the backup is damaged ({0}); use another one")]
    Damaged(&'static str),
    /// The file cannot be read.
    #[error("the backup cannot be read: {0}")]
    Io(#[source] io::Error),
    /// What is in it cannot be written here.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Which database.
    pub database: DatabaseId,
    /// The peer that took the backup.
    pub device: DeviceKey,
    /// What it called the database, the name first.
    pub names: Vec<String>,
}

/// How much is in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cuts, the one over the genesis included.
    pub cuts: u64,
    /// Entries, those that no cut covers included.
    pub entries: u64,
    /// Modules.
    pub blobs: u64,
}

/// One piece of a backup.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// An entry's bytes.
    Entry(&'a [u8]),
    /// A cut's bytes, over the entries since the cut before.
    Cut(&'a [u8]),
    /// Bytes of a blob, after those that came before.
    Blob(BlobHash, &'a [u8]),
}

/// A backup that is being read.
pub struct Reader<R> {
    source: R,
    about: About,
    hasher: blake3::Hasher,
    frame: Vec<u8>,
    found: Summary,
    /// The blob whose parts come.
    blob: Option<BlobHash>,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads what it is of.
    ///
    /// # Errors
    /// If it is no backup.
    pub fn open(mut source: R) -> Result<Self, BackupError> {
        let mut magic = [0; MAGIC.len()];
        read(&mut source, &mut magic).map_err(|error| match error {
            BackupError::Incomplete => BackupError::NotABackup,
            other => other,
        })?;
        if magic != *MAGIC {
            return Err(BackupError::NotABackup);
        }
        let mut reader = Self {
            source,
            about: About {
                database: DatabaseId([0; 32]),
                device: DeviceKey([0; 32]),
                names: Vec::new(),
            },
            hasher: hasher(),
            frame: Vec::new(),
            found: Summary::default(),
            blob: None,
            is_over: false,
        };
        reader.hasher.update(&magic);
        let kind = reader.read_frame()?;
        let described = value::<Described>(&reader.frame);
        let described = described.filter(|described| {
            kind == Kind::About && (1..=NAMES_MAX).contains(&described.names.len())
        });
        let Described {
            database,
            device,
            names,
        } = described.ok_or(BackupError::Damaged("what it is of cannot be read"))?;
        reader.about = About {
            database,
            device,
            names,
        };
        Ok(reader)
    }

    /// What it is of.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Reads all of it and keeps nothing: whether it is whole and as it was written. What is in it
    /// is looked at when it is restored.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify(mut self) -> Result<Summary, BackupError> {
        while self.next()?.is_some() {}
        Ok(self.found)
    }

    /// How much was read so far.
    pub(crate) fn found(&self) -> Summary {
        self.found
    }

    /// The next piece; `None` at the end, once it is known that nothing is missing.
    pub(crate) fn next(&mut self) -> Result<Option<Piece<'_>>, BackupError> {
        if self.is_over {
            return Ok(None);
        }
        let kind = self.read_frame()?;
        if kind != Kind::Blob {
            self.blob = None;
        }
        match kind {
            Kind::About => Err(BackupError::Damaged("it begins twice")),
            Kind::Entry => {
                self.found.entries += 1;
                Ok(Some(Piece::Entry(&self.frame)))
            }
            Kind::Cut => {
                self.found.cuts += 1;
                Ok(Some(Piece::Cut(&self.frame)))
            }
            Kind::Blob => {
                let (hash, part) =
                    split_blob(&self.frame).ok_or(BackupError::Damaged("a module has no name"))?;
                if self.blob.replace(hash) != Some(hash) {
                    self.found.blobs += 1;
                }
                Ok(Some(Piece::Blob(hash, part)))
            }
            Kind::End => {
                let end = value::<End>(&self.frame)
                    .ok_or(BackupError::Damaged("its end cannot be read"))?;
                let counted = Summary {
                    cuts: end.cuts,
                    entries: end.entries,
                    blobs: end.blobs,
                };
                if end.hash != *self.hasher.finalize().as_bytes() || counted != self.found {
                    return Err(BackupError::Damaged("its sum is another"));
                }
                if self.source.read(&mut [0]).map_err(BackupError::Io)? != 0 {
                    return Err(BackupError::Damaged("something follows its end"));
                }
                self.is_over = true;
                Ok(None)
            }
        }
    }

    fn read_frame(&mut self) -> Result<Kind, BackupError> {
        let mut head = [0; HEAD_BYTES];
        read(&mut self.source, &mut head)?;
        let [kind, len @ ..] = head;
        let kind = Kind::of(kind).ok_or(BackupError::Damaged("a part of an unknown kind"))?;
        let len = u32::from_le_bytes(len) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(BackupError::Damaged("a part is too long"));
        }
        self.frame.resize(len, 0);
        read(&mut self.source, &mut self.frame)?;
        // The end's hash is over what stands before the end.
        if kind != Kind::End {
            self.hasher.update(&head);
            self.hasher.update(&self.frame);
        }
        Ok(kind)
    }
}

/// Fills the buffer.
fn read(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), BackupError> {
    source
        .read_exact(buffer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::Incomplete,
            _ => BackupError::Io(error),
        })
}

fn value<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}
