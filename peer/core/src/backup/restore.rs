//! Putting a backup back: its log and its modules. The rows are made from these by whoever opens the database.

use std::io::Read;
use std::sync::Arc;

use store::limits::LOG_CACHE_BYTES;
use store::{Disk, Log};
use sync_protocol::limits::MODULE_BYTES_MAX;
use sync_protocol::{BlobHash, Cut, Entry, Stub};

use super::reading::{About, BackupError, Piece, Reader, Summary};
use crate::requests::databases::check_name;
use crate::restart::{NAME_NOTE, NAMES_BETWEEN};

/// Bytes of entries that are written to the log at a time.
const BATCH_BYTES: usize = 1 << 20;

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup is of.
    pub about: About,
    /// How much was in it.
    pub summary: Summary,
}

/// Puts a backup into `disk`, which must not hold the database. What the entries and cuts say is not looked
/// at: [`check_database`](crate::check::check_database) does that, and tells what somebody forged. `progress` hears how much
/// there is so far.
///
/// After an error the disk holds a part of it, which is of no use.
///
/// # Errors
/// If the backup is not whole or not as it was written, or the disk fails.
pub fn restore<R: Read>(
    mut reader: Reader<R>,
    disk: &dyn Disk,
    progress: &mut dyn FnMut(Summary),
) -> Result<Restored, BackupError> {
    let database = reader.about().database;
    let mut into = Target {
        log: Log::open(disk.log(&database)?, LOG_CACHE_BYTES)?,
        batch: Vec::new(),
        batch_bytes: 0,
        uncovered: Vec::new(),
        blob: None,
        disk,
    };
    loop {
        match reader.next()? {
            Some(piece) => into.take(piece)?,
            None => break,
        }
        progress(reader.found());
    }
    into.finish_blob()?;
    into.write_batch()?;
    let about = reader.about().clone();
    // Names are no part of what is signed, and stand in the way of nothing.
    let names = about.names.iter().filter(|name| check_name(name).is_ok());
    let names: Vec<&str> = names.map(String::as_str).collect();
    if !names.is_empty() {
        let note = names.join(&NAMES_BETWEEN.to_string());
        into.log.put_note(NAME_NOTE, note.as_bytes())?;
    }
    Ok(Restored {
        about,
        summary: reader.found(),
    })
}

/// Where a backup goes.
struct Target<'a> {
    log: Log,
    /// Entries that are not in the log yet.
    batch: Vec<Arc<Entry>>,
    batch_bytes: usize,
    /// Entries that no cut has covered yet.
    uncovered: Vec<Arc<Stub>>,
    /// The blob that comes in parts.
    blob: Option<(BlobHash, Vec<u8>)>,
    disk: &'a dyn Disk,
}

impl Target<'_> {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), BackupError> {
        match piece {
            Piece::Entry(bytes) => {
                let entry = Entry::open(bytes)
                    .map_err(|_| BackupError::Damaged("an entry cannot be read"))?;
                self.uncovered.push(Arc::clone(entry.stub()));
                self.batch_bytes += bytes.len();
                self.batch.push(Arc::new(entry));
                if self.batch_bytes > BATCH_BYTES {
                    self.write_batch()?;
                }
            }
            Piece::Cut(bytes) => {
                let cut =
                    Cut::open(bytes).map_err(|_| BackupError::Damaged("a cut cannot be read"))?;
                self.write_batch()?;
                let covered = std::mem::take(&mut self.uncovered);
                let covered = covered.iter().map(|stub| &**stub);
                self.log.put_cut_of_tail(&cut, covered)?;
            }
            Piece::Blob(hash, part) => {
                if self.blob.as_ref().is_none_or(|(of, _)| *of != hash) {
                    self.finish_blob()?;
                    self.blob = Some((hash, Vec::new()));
                }
                if let Some((_, whole)) = &mut self.blob {
                    if whole.len() + part.len() > MODULE_BYTES_MAX {
                        return Err(BackupError::Damaged("a module is too long"));
                    }
                    whole.extend_from_slice(part);
                }
            }
        }
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), BackupError> {
        self.log.append(&self.batch)?;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn finish_blob(&mut self) -> Result<(), BackupError> {
        let Some((hash, whole)) = self.blob.take() else {
            return Ok(());
        };
        if BlobHash::of(&whole) != hash {
            return Err(BackupError::Damaged(
                "a module is not the one that was named",
            ));
        }
        self.disk.put_blob(&whole)?;
        Ok(())
    }
}
