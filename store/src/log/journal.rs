//! The journal: where entries and cuts are written first. One write and one sync of their own bytes make them
//! durable; a commit to the tables would write a page and more for each entry. They come into the tables together
//! with many others.
//!
//! The file has two halves, each of [frames](super::frames). When one is full what it holds is merged into the
//! tables aside, and the other one is written to meanwhile. What has come into the tables is zeroed before anything
//! else is written there: no bytes that somebody sent earlier can be taken for a frame.

use std::fmt;
use std::sync::Arc;

use redb::Database;
use sync_protocol::{Entry, EntryId};

use super::frames::{
    ALIGN, Found, cut_frame, cut_frame_bytes, entries_frame, entries_frame_bytes, read_frames,
};
use super::logged_cut::LoggedCut;
use super::merging::{News, insert, insert_entries, insert_found};
use crate::aside::{Aside, Work, Worker};
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;

/// Bytes of the file.
pub(crate) const JOURNAL_BYTES: usize = 2 * HALF_BYTES;

/// Bytes of each half. What does not fit into one goes into the tables.
pub(crate) const HALF_BYTES: usize = 256 << 10;

/// The journal of one log, open.
pub(super) struct Journal {
    files: Files,
    aside: Aside,
    is_sized: bool,
    /// Which half is written to.
    half: Half,
    /// Where its next frame begins.
    end: usize,
    /// What is in it.
    news: News,
    /// What is in the other one, while it is being merged.
    merging: Option<Merging>,
    /// How often news have come from here into the tables.
    merges: u64,
    worker: Worker,
    /// The file or the tables are being written, or that failed: it is not known what they hold.
    is_unsure: bool,
}

struct Merging {
    news: Arc<News>,
    work: Work<Result<(), StoreError>>,
}

#[derive(Clone)]
struct Files {
    db: Arc<Database>,
    /// The file under `db`, which is told of crash points.
    tables: Arc<dyn DiskFile>,
    journal: Arc<dyn DiskFile>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

impl Half {
    fn start(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => HALF_BYTES,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Journal {
    /// Opens the file and brings what a crash left in it into the tables. `may_be_half`: it may be as long as one
    /// half, as it was in the format before.
    ///
    /// # Errors
    /// If the disk fails, or the journal is damaged.
    pub(super) fn open(
        db: Arc<Database>,
        tables: Arc<dyn DiskFile>,
        file: Box<dyn DiskFile>,
        may_be_half: bool,
    ) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("reading the journal", error);
        // Nothing was ever written beyond.
        let len = file.len().map_err(failed)?.min(JOURNAL_BYTES as u64) as usize;
        let mut bytes = vec![0; JOURNAL_BYTES];
        file.read(0, &mut bytes[..len]).map_err(failed)?;
        let is_whole = len == JOURNAL_BYTES || (may_be_half && len == HALF_BYTES);
        if !is_whole && bytes.iter().any(|byte| *byte != 0) {
            return Err(StoreError::damaged("journal: it was cut short"));
        }
        let files = Files {
            db,
            tables,
            journal: file.into(),
        };
        let mut found = Found::default();
        let halves = bytes.split_at(HALF_BYTES);
        read_frames(halves.0, &mut found)?;
        read_frames(halves.1, &mut found)?;
        if !found.entries.is_empty() || !found.cuts.is_empty() {
            let write = files.db.begin_write()?;
            insert_found(&write, found)?;
            write.commit()?;
            pass(&*files.tables, CrashPoint::EntriesMerged)?;
        }
        for (half, bytes) in [(Half::First, halves.0), (Half::Second, halves.1)] {
            // A frame that was being written is zeroed too.
            let last = bytes.iter().rposition(|byte| *byte != 0);
            files.clear(half, last.map_or(0, |at| at + 1))?;
        }
        Ok(Self {
            files,
            aside: Aside::Never,
            is_sized: len == JOURNAL_BYTES,
            half: Half::First,
            end: 0,
            news: News::default(),
            merging: None,
            merges: 0,
            worker: Worker::standing_back("journal"),
            is_unsure: false,
        })
    }

    /// Says where a full half is merged from now on.
    pub(super) fn set_aside(&mut self, aside: Aside) {
        self.aside = aside;
    }

    /// An entry that is here and perhaps not in the tables.
    pub(super) fn find(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        let merging = self.merging.as_ref();
        let found = self.news.find(id);
        found.or_else(|| merging.and_then(|merging| merging.news.find(id)))
    }

    /// The cuts that are here and perhaps not in the tables, by height.
    pub(super) fn cuts(&self) -> Vec<Arc<LoggedCut>> {
        let merging = self.merging.iter().flat_map(|merging| &merging.news.cuts);
        merging.chain(&self.news.cuts).cloned().collect()
    }

    /// How often news have come from here into the tables: whoever reads those sees the ones before.
    pub(super) const fn merges(&self) -> u64 {
        self.merges
    }

    /// Makes entries durable, here or in the tables.
    ///
    /// # Errors
    /// If the disk fails; then it has to be opened again.
    pub(super) fn append(&mut self, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
        if !self.make_room(entries_frame_bytes(entries))? {
            return self.merge_with(entries);
        }
        self.write(&entries_frame(entries), !planted!(AcknowledgeBeforeSync))?;
        self.news.entries.extend_from_slice(entries);
        pass(&*self.files.tables, CrashPoint::EntriesAppended)
    }

    /// Makes a cut durable whose entries are, unless it is too long. Tells whether it was not.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(super) fn append_cut(&mut self, cut: &Arc<LoggedCut>) -> Result<bool, StoreError> {
        if !self.make_room(cut_frame_bytes(cut))? {
            return Ok(false);
        }
        self.write(&cut_frame(cut), !planted!(CutBeforeSync))?;
        self.news.cuts.push(Arc::clone(cut));
        pass(&*self.files.tables, CrashPoint::CutLogged)?;
        Ok(true)
    }

    /// Makes room for a frame in the half that is written to; the other one then, whose merge may have to be waited
    /// for. Tells whether there can be as much.
    fn make_room(&mut self, bytes: usize) -> Result<bool, StoreError> {
        self.check()?;
        self.look()?;
        if bytes > HALF_BYTES {
            return Ok(false);
        }
        if self.end + bytes > HALF_BYTES {
            self.turn()?;
        }
        Ok(true)
    }

    fn write(&mut self, frame: &[u8], is_synced: bool) -> Result<(), StoreError> {
        self.is_unsure = true;
        let failed = |error| StoreError::io("writing the journal", error);
        let file = &self.files.journal;
        if !self.is_sized {
            // Room that is there already is not looked for again at each sync.
            file.write(0, &vec![0; JOURNAL_BYTES]).map_err(failed)?;
            file.sync_data().map_err(failed)?;
            self.is_sized = true;
        }
        let at = self.half.start() + self.end;
        file.write(at as u64, frame).map_err(failed)?;
        if is_synced {
            file.sync_data().map_err(failed)?;
        }
        self.is_unsure = false;
        self.end += frame.len();
        Ok(())
    }

    /// Begins to merge the half that is written to, and goes on with the other.
    fn turn(&mut self) -> Result<(), StoreError> {
        self.finish()?;
        let news = Arc::new(std::mem::take(&mut self.news));
        let (files, half, end) = (self.files.clone(), self.half, self.end);
        let merged = Arc::clone(&news);
        let merge = move || {
            files.merge(&merged, &[])?;
            files.clear(half, end)
        };
        let work = Work::start(self.aside, &mut self.worker, merge);
        self.merging = Some(Merging { news, work });
        self.half = self.half.other();
        self.end = 0;
        Ok(())
    }

    /// Looks whether what is being merged has come into the tables.
    fn look(&mut self) -> Result<(), StoreError> {
        let merging = self.merging.as_mut();
        match merging.is_some_and(|merging| merging.work.is_done()) {
            true => self.finish(),
            false => Ok(()),
        }
    }

    /// Waits for that.
    fn finish(&mut self) -> Result<(), StoreError> {
        let Some(Merging { work, .. }) = self.merging.take() else {
            return Ok(());
        };
        self.merges += 1;
        let merged = work.wait();
        self.is_unsure |= merged.is_err();
        merged
    }

    /// Brings all that is here into the tables, durably.
    ///
    /// # Errors
    /// If the disk fails; then it has to be opened again.
    pub(super) fn merge(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.finish()?;
        match self.news.is_empty() {
            true => Ok(()),
            false => self.merge_with(&[]),
        }
    }

    /// The same, and `more` with it.
    fn merge_with(&mut self, more: &[Arc<Entry>]) -> Result<(), StoreError> {
        self.finish()?;
        self.is_unsure = true;
        self.files.merge(&self.news, more)?;
        self.files.clear(self.half, self.end)?;
        self.is_unsure = false;
        self.end = 0;
        self.news = News::default();
        self.merges += 1;
        Ok(())
    }

    /// Once something could not be written, only opening it again tells what the files hold.
    fn check(&self) -> Result<(), StoreError> {
        match self.is_unsure {
            true => Err(StoreError::NotAppended {
                why: "writing the log failed before".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

impl Files {
    /// Puts news and more entries into the tables, in one durable commit.
    fn merge(&self, news: &News, more: &[Arc<Entry>]) -> Result<(), StoreError> {
        let write = self.db.begin_write()?;
        insert(&write, news)?;
        insert_entries(&write, more, |_| false)?;
        write.commit()?;
        pass(&*self.tables, CrashPoint::EntriesMerged)
    }

    /// Zeroes the frames of a half up to `end`: what they hold is durable in the tables. A restart after an error
    /// finds them again.
    fn clear(&self, half: Half, end: usize) -> Result<(), StoreError> {
        if end == 0 {
            return Ok(());
        }
        let failed = |error| StoreError::io("clearing the journal", error);
        let zero = |from: usize, to: usize| {
            let at = (half.start() + from) as u64;
            self.journal.write(at, &vec![0; to - from])?;
            self.journal.sync_data()
        };
        // The first header by itself: without it there are no frames. A disk that writes sectors in any
        // order could otherwise leave whole frames behind a spoilt one, which looks like damage.
        let first = end.min(ALIGN);
        zero(0, first).map_err(failed)?;
        if first < end {
            zero(first, end).map_err(failed)?;
        }
        pass(&*self.tables, CrashPoint::JournalCleared)
    }
}

impl Drop for Journal {
    /// A log that was closed is all in its tables, whose pages have sums of their own. Where that does not
    /// succeed the next start does it.
    fn drop(&mut self) {
        let _ = self.merge();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("end", &self.end)
            .field("news", &self.news)
            .finish_non_exhaustive()
    }
}
