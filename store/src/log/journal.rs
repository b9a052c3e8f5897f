//! The journal: where entries are written first. One write and one sync of their own bytes make them
//! durable; a commit to the tables would write a dozen pages for them. They come into the tables together
//! with many others: when the journal is full, with the next cut, or when somebody reads the tables.
//!
//! The file is frames, one for each append, from its start on, and zeros behind them. A frame begins at a
//! multiple of 64, so that its header lies in one sector; `docs/FILE_FORMAT.md` has its bytes. The next one is
//! begun only after the sync of the one before, so a crash spoils the last one at most, which nobody was told
//! of. What has come into the tables is zeroed before anything else is written: no bytes that somebody
//! sent earlier can be taken for a frame.

use std::fmt;
use std::sync::Arc;

use redb::{Database, ReadableTable, WriteTransaction};
use sync_protocol::{Entry, EntryId};

use super::{ENTRIES, TAIL};
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use crate::xxh64::xxh64;

/// Bytes of the file. What does not fit goes into the tables, with all that is here.
pub(crate) const JOURNAL_BYTES: usize = 256 << 10;

/// Frames begin at multiples of this.
const ALIGN: usize = 64;

/// The sum of the rest of the header, the body's sum, the body's length, zeros.
const HEADER_BYTES: usize = 32;

/// Seeds of the two sums: one is never the other.
const HEADER_SEED: u64 = 0x746f_6d62_6f6c_6f31;
const BODY_SEED: u64 = 0x746f_6d62_6f6c_6f32;

/// The journal of one log, open.
pub(super) struct Journal {
    db: Arc<Database>,
    /// The file under `db`, which is told of crash points.
    tables: Arc<dyn DiskFile>,
    file: Box<dyn DiskFile>,
    is_sized: bool,
    /// Where the next frame begins.
    end: usize,
    /// What is in the frames and perhaps not in the tables.
    entries: Vec<Arc<Entry>>,
    /// How often entries have come from here into the tables.
    merges: u64,
    /// The file is being written, or that failed: it is not known what it holds.
    is_unsure: bool,
}

impl Journal {
    /// Opens the file and brings what a crash left in it into the tables.
    ///
    /// # Errors
    /// If the disk fails, or the journal is damaged.
    pub(super) fn open(
        db: Arc<Database>,
        tables: Arc<dyn DiskFile>,
        file: Box<dyn DiskFile>,
    ) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("reading the journal", error);
        // Nothing was ever written beyond.
        let len = file.len().map_err(failed)?.min(JOURNAL_BYTES as u64) as usize;
        let mut bytes = vec![0; JOURNAL_BYTES];
        file.read(0, &mut bytes[..len]).map_err(failed)?;
        if len < JOURNAL_BYTES && bytes.iter().any(|byte| *byte != 0) {
            return Err(StoreError::damaged("journal: it was cut short"));
        }
        let mut journal = Self {
            db,
            tables,
            file,
            is_sized: len == JOURNAL_BYTES,
            end: 0,
            entries: read_frames(&bytes)?,
            merges: 0,
            is_unsure: false,
        };
        // A frame that was being written is zeroed too.
        journal.end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        journal.merge(&[])?;
        journal.clear()?;
        Ok(journal)
    }

    /// What is here and perhaps not in the tables.
    pub(super) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// One of them.
    pub(super) fn find(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.entries.iter().rfind(|entry| entry.id == *id)
    }

    /// How often entries have come from here into the tables: whoever reads those sees the ones before.
    pub(super) const fn merges(&self) -> u64 {
        self.merges
    }

    /// Makes entries durable, here or in the tables.
    ///
    /// # Errors
    /// If the disk fails; then it has to be opened again.
    pub(super) fn append(&mut self, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
        if self.end + frame_bytes(body_bytes(entries)) > JOURNAL_BYTES {
            return self.merge(entries);
        }
        self.begin_writing()?;
        let failed = |error| StoreError::io("writing the journal", error);
        if !self.is_sized {
            // Room that is there already is not looked for again at each sync.
            self.file
                .write(0, &vec![0; JOURNAL_BYTES])
                .map_err(failed)?;
            self.file.sync_data().map_err(failed)?;
            self.is_sized = true;
        }
        let frame = frame_of(entries);
        self.file.write(self.end as u64, &frame).map_err(failed)?;
        if !planted!(AcknowledgeBeforeSync) {
            self.file.sync_data().map_err(failed)?;
        }
        self.is_unsure = false;
        self.end += frame.len();
        self.entries.extend_from_slice(entries);
        pass(&*self.tables, CrashPoint::EntriesAppended)
    }

    /// Brings all that is here into the tables, and `more` with it, in one durable commit.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn merge(&mut self, more: &[Arc<Entry>]) -> Result<(), StoreError> {
        if self.entries.is_empty() && more.is_empty() {
            return Ok(());
        }
        self.check()?;
        let write = self.db.begin_write()?;
        insert(&write, self.entries.iter().chain(more))?;
        write.commit()?;
        pass(&*self.tables, CrashPoint::EntriesMerged)?;
        self.clear()
    }

    /// Once something could not be written, only opening it again tells what the file holds.
    fn check(&self) -> Result<(), StoreError> {
        match self.is_unsure {
            true => Err(StoreError::NotAppended {
                why: "writing the journal failed before".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn begin_writing(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.is_unsure = true;
        Ok(())
    }

    /// Forgets all that is here: it is durable in the tables.
    ///
    /// # Errors
    /// If the disk fails; then a restart finds it again.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.merges += 1;
        self.entries.clear();
        if self.end == 0 {
            return Ok(());
        }
        self.begin_writing()?;
        let failed = |error| StoreError::io("clearing the journal", error);
        // The first header by itself: without it there are no frames. A disk that writes sectors in any
        // order could otherwise leave whole frames behind a spoilt one, which looks like damage.
        let (first, rest) = (self.end.min(ALIGN), self.end.saturating_sub(ALIGN));
        self.file.write(0, &vec![0; first]).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        if rest > 0 {
            let zeros = vec![0; rest];
            self.file.write(first as u64, &zeros).map_err(failed)?;
            self.file.sync_data().map_err(failed)?;
        }
        self.is_unsure = false;
        self.end = 0;
        pass(&*self.tables, CrashPoint::JournalCleared)
    }
}

impl Drop for Journal {
    /// A log that was closed is all in its tables, whose pages have sums of their own. Where that does not
    /// succeed the next start does it.
    fn drop(&mut self) {
        let _ = self.merge(&[]);
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("end", &self.end)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// Puts entries into the tables and into the tail, unless they are there already.
pub(super) fn insert<'a>(
    write: &WriteTransaction,
    entries: impl Iterator<Item = &'a Arc<Entry>>,
) -> Result<(), StoreError> {
    let mut held = write.open_table(ENTRIES)?;
    let mut tail = write.open_table(TAIL)?;
    for entry in entries {
        // What a cut covers is among those that are there.
        if held.get(entry.id.0)?.is_none() {
            held.insert(entry.id.0, &**entry.encoded())?;
            if !planted!(LostTailWrite) {
                tail.insert(entry.position(0).to_bytes(), ())?;
            }
        }
    }
    Ok(())
}

fn body_bytes(entries: &[Arc<Entry>]) -> usize {
    entries.iter().map(|entry| 4 + entry.encoded().len()).sum()
}

/// Bytes of a frame with so many in its body.
fn frame_bytes(body: usize) -> usize {
    HEADER_BYTES.saturating_add(body).next_multiple_of(ALIGN)
}

pub(crate) fn frame_of(entries: &[Arc<Entry>]) -> Vec<u8> {
    let bytes = body_bytes(entries);
    let mut frame = Vec::with_capacity(frame_bytes(bytes));
    frame.resize(HEADER_BYTES, 0);
    for entry in entries {
        // A frame is no longer than the journal.
        frame.extend_from_slice(&(entry.encoded().len() as u32).to_le_bytes());
        frame.extend_from_slice(entry.encoded());
    }
    frame.resize(frame_bytes(bytes), 0);
    let (header, body) = frame.split_at_mut(HEADER_BYTES);
    header[8..16].copy_from_slice(&xxh64(BODY_SEED, body).to_le_bytes());
    header[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
    // The sum itself is zero so far.
    let sum = xxh64(HEADER_SEED, header);
    header[..8].copy_from_slice(&sum.to_le_bytes());
    frame
}

/// What is in the frames. One that was being written when the power failed ends them.
pub(crate) fn read_frames(mut bytes: &[u8]) -> Result<Vec<Arc<Entry>>, StoreError> {
    let mut entries = Vec::new();
    while let Some((body, rest)) = split_frame(bytes)? {
        read_body(body, &mut entries)?;
        bytes = rest;
    }
    Ok(entries)
}

/// A body, and what follows its frame.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The first frame; none if it was not written to its end.
fn split_frame(bytes: &[u8]) -> Result<Option<Split<'_>>, StoreError> {
    let damaged = || StoreError::damaged("journal: a frame");
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    // It lies in one sector, which is written as a whole or not at all.
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let (mut summed, mut header_sum, mut body_sum, mut len) = (*header, [0; 8], [0; 8], [0; 4]);
    summed[..8].fill(0);
    header_sum.copy_from_slice(&header[..8]);
    body_sum.copy_from_slice(&header[8..16]);
    len.copy_from_slice(&header[16..20]);
    if u64::from_le_bytes(header_sum) != xxh64(HEADER_SEED, &summed) {
        return Err(damaged());
    }
    let len = u32::from_le_bytes(len) as usize;
    let (frame, after) = bytes
        .split_at_checked(frame_bytes(len))
        .ok_or_else(damaged)?;
    let body = &frame[HEADER_BYTES..];
    match xxh64(BODY_SEED, body) == u64::from_le_bytes(body_sum) {
        true => Ok(Some((&body[..len], after))),
        // The next one is begun only when this one is durable.
        false if after.iter().any(|byte| *byte != 0) => Err(damaged()),
        false => Ok(None),
    }
}

fn read_body(mut body: &[u8], entries: &mut Vec<Arc<Entry>>) -> Result<(), StoreError> {
    let damaged = || StoreError::damaged("journal: an entry");
    while !body.is_empty() {
        let (len, rest) = body.split_first_chunk().ok_or_else(damaged)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (entry, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
        let entry = Entry::open(entry).map_err(|_| damaged())?;
        entries.push(Arc::new(entry));
        body = rest;
    }
    Ok(())
}
