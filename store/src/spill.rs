//! Row versions of the oldest commits of a long tail, on disk: what the overlay has no memory for.
//! The overlay hands its oldest commits over; they come back into nobody's memory, but are read,
//! taken back and settled where they lie.
//!
//! The file is disposable: after a crash the tail runs again, so it is emptied at every start, and
//! nothing in it has to be durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use sync_protocol::Position;

use crate::backend;
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use crate::key::Key;
use crate::limits::{OVERLAY_BYTES_MAX, OVERLAY_COMMITS_MAX, SPILL_CACHE_BYTES};
use crate::overlay::{Counts, Overlay, Row};
use crate::spill_record::{Record, read_newest, read_value, write_newest, write_value};
use crate::versions::Version;

type Bytes = &'static [u8];

/// Stored key → its newest version here: commit, then value.
const NEWEST: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("newest");
/// Stored key and commit → an older version's value.
const OLDER: TableDefinition<'static, (Bytes, u64), Bytes> = TableDefinition::new("older");
/// Label of a commit → its position, changes of row counts, and the keys that it wrote.
const COMMITS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("commits");

/// How much of the tail's row versions stays in memory. What is beyond goes to the spill file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayBudget {
    /// Bytes of memory, as [`State::overlay_bytes`](crate::State::overlay_bytes) estimates them.
    pub bytes: usize,
    /// Calls that wrote something.
    pub commits: usize,
}

impl Default for OverlayBudget {
    fn default() -> Self {
        Self {
            bytes: OVERLAY_BYTES_MAX,
            commits: OVERLAY_COMMITS_MAX,
        }
    }
}

struct Readers {
    newest: ReadOnlyTable<Bytes, Bytes>,
    older: ReadOnlyTable<(Bytes, u64), Bytes>,
    commits: ReadOnlyTable<u64, Bytes>,
}

/// Commits on disk. Labelled as the overlay labelled them; the overlay's follow.
struct SpillFile {
    /// `None` while something is written, and ever after if that failed.
    readers: Option<Readers>,
    db: Database,
    /// No label here is below.
    first: u64,
    /// All labels here are below.
    end: u64,
    last: Position,
    versions: usize,
    /// Bytes of keys and values.
    bytes: u64,
}

/// Where a tail's oldest commits go, and what is there.
pub(crate) struct Spill {
    /// `None`: everything stays in memory.
    backend: Option<Arc<dyn DiskFile>>,
    budget: OverlayBudget,
    /// `None`: nothing is there.
    file: Option<SpillFile>,
}

impl Spill {
    /// A tail that stays in memory, whatever it takes.
    pub(crate) fn none() -> Self {
        Self {
            backend: None,
            budget: OverlayBudget::default(),
            file: None,
        }
    }

    /// Spills to this file, whose content is lost.
    pub(crate) fn to(backend: Box<dyn DiskFile>, budget: OverlayBudget) -> Self {
        Self {
            backend: Some(backend.into()),
            budget,
            file: None,
        }
    }

    pub(crate) fn set_budget(&mut self, budget: OverlayBudget) {
        self.budget = budget;
    }

    /// Whether the overlay holds more than half of what it may.
    pub(crate) fn is_pressed(&self, overlay: &Overlay) -> bool {
        let OverlayBudget { bytes, commits } = self.budget;
        overlay.bytes() > bytes / 2 || overlay.commits_len() > commits / 2
    }

    /// Position of the newest commit here.
    pub(crate) fn last_position(&self) -> Option<&Position> {
        self.file.as_ref().map(|file| &file.last)
    }

    /// Labels between which those of the commits here are: from the first up to but without the
    /// second.
    pub(crate) fn labels(&self) -> Option<(u64, u64)> {
        self.file.as_ref().map(|file| (file.first, file.end))
    }

    /// Row and entry versions held.
    pub(crate) fn len(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.versions)
    }

    /// Bytes of keys and values held; the file is larger.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.bytes)
    }

    /// What is visible here.
    ///
    /// # Errors
    /// If writing failed earlier.
    pub(crate) fn at_end(&self) -> Result<Option<SpillAt<'_>>, StoreError> {
        self.at(u64::MAX)
    }

    /// What commits before `end` made visible; `None` if there is none here.
    ///
    /// # Errors
    /// If writing failed earlier.
    pub(crate) fn at(&self, end: u64) -> Result<Option<SpillAt<'_>>, StoreError> {
        match &self.file {
            Some(file) if file.first < end => Ok(Some(SpillAt {
                readers: file.readers()?,
                first: file.first,
                file_end: file.end,
                end,
            })),
            _ => Ok(None),
        }
    }

    /// Takes over the overlay's oldest commits until it holds no more than half of its budget.
    /// Does nothing within the budget, or without a file.
    ///
    /// # Errors
    /// If the disk fails; the overlay then still holds what was not taken over.
    pub(crate) fn relieve(&mut self, overlay: &mut Overlay) -> Result<bool, StoreError> {
        let OverlayBudget { bytes, commits } = self.budget;
        if overlay.bytes() <= bytes && overlay.commits_len() <= commits {
            return Ok(false);
        }
        let Some(backend) = &self.backend else {
            return Ok(false);
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(SpillFile::make(backend, overlay.start())?),
        };
        while overlay.commits_len() > 0
            && (overlay.bytes() > bytes / 2 || overlay.commits_len() > commits / 2)
        {
            // By versions, because nobody counts the bytes of a commit; a few rounds suffice.
            let end = overlay.end_of_oldest(overlay.len().div_ceil(2));
            file.take(overlay, end)?;
            pass(&**backend, CrashPoint::SpillTaken)?;
            drop(overlay.hand_over(end));
        }
        Ok(true)
    }

    /// Drops everything written at or after `from`. Gives back the changes of row counts of what
    /// was dropped, and the label that the next commit has if there was anything.
    ///
    /// # Errors
    /// If the disk fails: nothing here may be used any more.
    pub(crate) fn rewind(&mut self, from: &Position) -> Result<Option<(Counts, u64)>, StoreError> {
        let Some(file) = self.file.as_mut().filter(|file| file.last >= *from) else {
            return Ok(None);
        };
        let counts = file.rewind(from)?;
        let end = file.end;
        self.clear_if_empty()?;
        Ok(Some((counts, end)))
    }

    /// Forgets the commits before `end`: the base holds what they wrote. Gives back their changes
    /// of row counts.
    ///
    /// # Errors
    /// If the disk fails: nothing here may be used any more.
    pub(crate) fn forget(&mut self, end: u64) -> Result<Counts, StoreError> {
        let Some(file) = self.file.as_mut().filter(|file| file.first < end) else {
            return Ok(Counts::new());
        };
        let counts = file.forget(end)?;
        self.clear_if_empty()?;
        Ok(counts)
    }

    /// A label above those of the commits here at or before `through`, and of no others.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn end_of(&self, through: &Position) -> Result<Option<u64>, StoreError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let readers = file.readers()?;
        let (mut low, mut high) = (file.first, file.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match readers.commits.range(middle..high)?.next() {
                Some(found) => {
                    let (label, record) = found?;
                    if Record::read(record.value())?.position <= *through {
                        low = label.value() + 1;
                    } else {
                        high = middle;
                    }
                }
                None => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// An empty file is given back to the disk: the next long tail may be years away.
    fn clear_if_empty(&mut self) -> Result<(), StoreError> {
        if self.file.as_ref().is_none_or(|file| file.first < file.end) {
            return Ok(());
        }
        self.file = None;
        match &self.backend {
            Some(backend) => backend::empty(&**backend),
            None => Ok(()),
        }
    }
}

impl SpillFile {
    fn make(backend: &Arc<dyn DiskFile>, first: u64) -> Result<Self, StoreError> {
        backend::empty(&**backend)?;
        let db = backend::open("spill.redb", Arc::clone(backend), SPILL_CACHE_BYTES)?;
        let write = db.begin_write()?;
        write.open_table(NEWEST)?;
        write.open_table(OLDER)?;
        write.open_table(COMMITS)?;
        write.commit()?;
        let mut file = Self {
            readers: None,
            db,
            first,
            end: first,
            last: Position::MIN,
            versions: 0,
            bytes: 0,
        };
        file.refresh()?;
        Ok(file)
    }

    fn readers(&self) -> Result<&Readers, StoreError> {
        self.readers.as_ref().ok_or(StoreError::SpillFailed)
    }

    fn refresh(&mut self) -> Result<(), StoreError> {
        let read = self.db.begin_read()?;
        self.readers = Some(Readers {
            newest: read.open_table(NEWEST)?,
            older: read.open_table(OLDER)?,
            commits: read.open_table(COMMITS)?,
        });
        Ok(())
    }

    /// Writes the commits before `end` of the overlay, which keeps them until this has succeeded.
    fn take(&mut self, overlay: &Overlay, end: u64) -> Result<(), StoreError> {
        self.readers = None;
        let (mut versions, mut bytes) = (0, 0);
        let mut last = self.last;
        let write = self.db.begin_write()?;
        {
            let mut newest = write.open_table(NEWEST)?;
            let mut older = write.open_table(OLDER)?;
            let mut commits = write.open_table(COMMITS)?;
            let mut buffer = Vec::new();
            for (key, held) in overlay.written(end) {
                let key = key.as_bytes();
                let mut before = match newest.get(key)? {
                    Some(stored) => Some(read_newest(stored.value())?),
                    None => None,
                };
                for version in held.all_before(end) {
                    if let Some(before) = before.replace(version.clone()) {
                        write_value(&mut buffer, before.value.as_ref());
                        older.insert((key, before.commit), buffer.as_slice())?;
                    }
                    versions += 1;
                    bytes += held_bytes(key, version.value.as_ref());
                }
                if let Some(version) = before {
                    write_newest(&mut buffer, &version);
                    newest.insert(key, buffer.as_slice())?;
                }
            }
            for (label, position, counts, keys) in overlay.records(end) {
                let keys = keys.iter().map(Key::as_bytes);
                Record::write(&mut buffer, position, counts, keys);
                commits.insert(label, buffer.as_slice())?;
                last = *position;
            }
        }
        write.commit()?;
        self.end = end;
        self.last = last;
        self.versions += versions;
        self.bytes += bytes;
        self.refresh()
    }

    fn rewind(&mut self, from: &Position) -> Result<Counts, StoreError> {
        self.readers = None;
        let mut undone = CountSum::default();
        let write = self.db.begin_write()?;
        {
            let mut newest = write.open_table(NEWEST)?;
            let mut older = write.open_table(OLDER)?;
            let mut commits = write.open_table(COMMITS)?;
            let mut buffer = Vec::new();
            self.end = self.first;
            loop {
                let (number, record) = match commits.last()? {
                    Some((label, record)) => (label.value(), Record::read(record.value())?),
                    None => break,
                };
                self.last = record.position;
                if record.position < *from {
                    self.end = number + 1;
                    break;
                }
                for key in &record.keys {
                    let key = key.as_slice();
                    let gone = match newest.remove(key)? {
                        Some(stored) => read_newest(stored.value())?,
                        None => return Err(StoreError::SpillDamaged),
                    };
                    self.drop_version(key, gone.value.as_ref());
                    let before = {
                        let mut before = older.range::<(&[u8], u64)>((key, 0)..(key, number))?;
                        match before.next_back() {
                            Some(item) => {
                                let (place, value) = item?;
                                Some(Version {
                                    commit: place.value().1,
                                    value: read_value(value.value())?,
                                })
                            }
                            None => None,
                        }
                    };
                    if let Some(before) = before {
                        older.remove((key, before.commit))?;
                        write_newest(&mut buffer, &before);
                        newest.insert(key, buffer.as_slice())?;
                    }
                }
                undone.add(&record.counts);
                commits.remove(number)?;
            }
        }
        write.commit()?;
        self.refresh()?;
        Ok(undone.into_counts())
    }

    fn forget(&mut self, end: u64) -> Result<Counts, StoreError> {
        let mut settled = CountSum::default();
        let readers = self.readers()?;
        if readers.commits.range(end..)?.next().is_none() {
            // The file goes as a whole; only the counts are of interest.
            for commit in readers.commits.iter()? {
                settled.add(&Record::read(commit?.1.value())?.counts);
            }
            self.first = self.end;
            return Ok(settled.into_counts());
        }
        self.readers = None;
        let write = self.db.begin_write()?;
        {
            let mut newest = write.open_table(NEWEST)?;
            let mut older = write.open_table(OLDER)?;
            let mut commits = write.open_table(COMMITS)?;
            for commit in commits.extract_from_if(..end, |_, _| true)? {
                let (label, record) = commit?;
                let (label, record) = (label.value(), Record::read(record.value())?);
                for key in &record.keys {
                    let key = key.as_slice();
                    let value = match older.remove((key, label))? {
                        Some(stored) => read_value(stored.value())?,
                        None => match newest.remove(key)? {
                            Some(stored) => read_newest(stored.value())?.value,
                            None => return Err(StoreError::SpillDamaged),
                        },
                    };
                    self.drop_version(key, value.as_ref());
                }
                settled.add(&record.counts);
            }
        }
        write.commit()?;
        self.first = end;
        self.refresh()?;
        Ok(settled.into_counts())
    }

    fn drop_version(&mut self, key: &[u8], value: Option<&Row>) {
        self.versions -= 1;
        self.bytes -= held_bytes(key, value);
    }
}

fn held_bytes(key: &[u8], value: Option<&Row>) -> u64 {
    (key.len() + value.map_or(0, |row| row.len())) as u64
}

/// Changes of row counts of many commits, added up.
#[derive(Default)]
struct CountSum(BTreeMap<usize, i64>);

impl CountSum {
    fn add(&mut self, counts: &Counts) {
        for (slot, change) in counts {
            *self.0.entry(*slot).or_default() += change;
        }
    }

    fn into_counts(self) -> Counts {
        self.0.into_iter().collect()
    }
}

/// What the commits before some number made visible.
#[derive(Clone, Copy)]
pub(crate) struct SpillAt<'a> {
    readers: &'a Readers,
    first: u64,
    file_end: u64,
    end: u64,
}

impl<'a> SpillAt<'a> {
    /// The newest version of a key: `None` means that the base decides.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Version>, StoreError> {
        match self.readers.newest.get(key)? {
            Some(stored) => self.resolve(key, stored.value()),
            None => Ok(None),
        }
    }

    /// The newest version before the end of a key whose newest at all is `stored`.
    fn resolve(&self, key: &[u8], stored: &[u8]) -> Result<Option<Version>, StoreError> {
        let newest = read_newest(stored)?;
        if newest.commit < self.end {
            return Ok(Some(newest));
        }
        let places = (key, 0)..(key, self.end);
        let mut before = self.readers.older.range::<(&[u8], u64)>(places)?;
        let Some(item) = before.next_back() else {
            return Ok(None);
        };
        let (place, value) = item?;
        Ok(Some(Version {
            commit: place.value().1,
            value: read_value(value.value())?,
        }))
    }

    /// The keys from `low` up to but without `high`, in order, with what is visible of them.
    pub(crate) fn range(&self, low: &[u8], high: &[u8]) -> Result<SpillRange<'a>, StoreError> {
        Ok(SpillRange {
            at: *self,
            range: self.readers.newest.range::<&[u8]>(low..high)?,
        })
    }

    /// Shows every key that the commits wrote, each once, with what is visible of it.
    pub(crate) fn each(
        &self,
        mut see: impl FnMut(&[u8], Option<Row>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.end >= self.file_end {
            for item in self.readers.newest.iter()? {
                let (key, stored) = item?;
                see(key.value(), read_newest(stored.value())?.value)?;
            }
            return Ok(());
        }
        for commit in self.readers.commits.range(self.first..self.end)? {
            let (number, record) = commit?;
            let number = number.value();
            for key in &Record::read(record.value())?.keys {
                // A key that was written again before the end has its turn at its last writer.
                if let Some(version) = self.get(key)?
                    && version.commit == number
                {
                    see(key, version.value)?;
                }
            }
        }
        Ok(())
    }
}

/// Keys of the spill in order; see [`SpillAt::range`].
pub(crate) struct SpillRange<'a> {
    at: SpillAt<'a>,
    range: redb::Range<'static, Bytes, Bytes>,
}

/// A key and what is visible of it: a value, or `None` where it was deleted.
pub(crate) type SpillItem = (redb::AccessGuard<'static, Bytes>, Option<Row>);

impl SpillRange<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<SpillItem>, StoreError> {
        for item in self.range.by_ref() {
            let (key, stored) = item?;
            if let Some(version) = self.at.resolve(key.value(), stored.value())? {
                return Ok(Some((key, version.value)));
            }
        }
        Ok(None)
    }
}
