//! The log: every entry that was accepted, the cuts, and which entries each covers. Append only.
//!
//! What a call returns `Ok` for is on the disk, except for [`Log::begin_append`].

mod appending;
pub(crate) mod frames;
pub(crate) mod journal;
pub(crate) mod logged_cut;
mod merging;
mod retreat;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};
use sync_protocol::{Cut, CutId, Entry, EntryId, FinalEntry, POSITION_BYTES, Position, Stub};

use crate::aside::{Aside, Worker};
use crate::backend;
use crate::base::exact;
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use appending::Appending;
use journal::Journal;
use logged_cut::{FINAL_BYTES, LoggedCut};
pub(crate) use logged_cut::{decode_final, encode_final, final_entry, split_cut, stored_cut};
use merging::{News, insert};

/// Format of the log that this release writes. It reads those before: one had no journal, one only entries there,
/// in a file of half the size.
const FORMAT: u32 = 3;
const FORMAT_WITHOUT_JOURNAL: u32 = 1;
const FORMAT_WITH_HALF: u32 = 2;

type Id = [u8; 32];
/// Height of a cut and place in its segment.
type Place = (u64, u32);

/// Entry id → the entry as it was sealed.
const ENTRIES: TableDefinition<'static, Id, &'static [u8]> = TableDefinition::new("entries");
/// Position of each entry that no cut covers.
const TAIL: TableDefinition<'static, [u8; POSITION_BYTES], ()> = TableDefinition::new("tail");
/// Height → id of the cut, then its bytes.
const CUTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("cuts");
/// Place in the final order → entry id.
const ORDER: TableDefinition<'static, Place, Id> = TableDefinition::new("order");
/// Entry id → what is kept of it once a cut covers it.
const FINALS: TableDefinition<'static, Id, [u8; FINAL_BYTES]> = TableDefinition::new("finals");
/// Height → id and bytes of a cut that this peer has promised to follow, see [`Log::retreat`].
const PLEDGE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("pledge");
/// Name → small local fact.
const NOTES: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("notes");

const NOTE_FORMAT: &str = "tombolo:format";

pub(crate) struct Readers {
    pub(crate) entries: ReadOnlyTable<Id, &'static [u8]>,
    pub(crate) tail: ReadOnlyTable<[u8; POSITION_BYTES], ()>,
    pub(crate) cuts: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) order: ReadOnlyTable<Place, Id>,
    pub(crate) finals: ReadOnlyTable<Id, [u8; FINAL_BYTES]>,
    pub(crate) notes: ReadOnlyTable<&'static str, &'static [u8]>,
}

/// The files of a log.
pub struct LogFiles {
    /// The tables: a redb file.
    pub tables: Box<dyn DiskFile>,
    /// What has not come into the tables yet.
    pub journal: Box<dyn DiskFile>,
}

/// The log of one database, open.
pub struct Log {
    /// The tables, opened at the first read after a write. While the journal is merged they may be as they were
    /// before, which makes a difference to entries and tail alone.
    readers: RefCell<Option<Arc<Readers>>>,
    /// The cuts that are in the journal and not in these, by height.
    unmerged: RefCell<Vec<Arc<LoggedCut>>>,
    /// How often the journal had been merged when it was last looked at.
    merges: Cell<u64>,
    /// Waited for before anything is read or written that it changes.
    appending: RefCell<Appending>,
    aside: Aside,
    worker: Worker,
    /// Locked by whoever appends; everybody else waits for that first.
    journal: Arc<Mutex<Journal>>,
    db: Arc<Database>,
    /// The file under `db`, which is told of crash points.
    file: Arc<dyn DiskFile>,
}

impl Log {
    /// Opens the files, filling those that are empty. `cache_bytes` of the tables' pages are kept in memory.
    ///
    /// # Errors
    /// If they cannot be read or written, are damaged, or have another format.
    pub fn open(files: LogFiles, cache_bytes: usize) -> Result<Self, StoreError> {
        let file: Arc<dyn DiskFile> = files.tables.into();
        let db = Arc::new(backend::open("log.redb", Arc::clone(&file), cache_bytes)?);
        if create_tables(&db)? {
            pass(&*file, CrashPoint::TablesMade)?;
        }
        let format = format_of(&db)?;
        let of_half = format == FORMAT_WITH_HALF;
        let journal = Journal::open(Arc::clone(&db), Arc::clone(&file), files.journal, of_half)?;
        if format != FORMAT {
            raise_format(&db)?;
        }
        Ok(Self {
            readers: RefCell::default(),
            unmerged: RefCell::default(),
            merges: Cell::default(),
            appending: RefCell::default(),
            aside: Aside::Never,
            worker: Worker::new("log"),
            journal: Arc::new(Mutex::new(journal)),
            db,
            file,
        })
    }

    /// An entry's bytes as they were sealed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn entry(&self, id: &EntryId) -> Result<Option<Vec<u8>>, StoreError> {
        self.settle()?;
        if let Some(entry) = self.journal().find(id) {
            return Ok(Some(entry.encoded().to_vec()));
        }
        self.refresh();
        let stored = self.readers()?.entries.get(id.0)?;
        Ok(stored.map(|entry| entry.value().to_vec()))
    }

    /// Whether the log holds an entry.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn holds(&self, id: &EntryId) -> Result<bool, StoreError> {
        self.settle()?;
        if self.journal().find(id).is_some() {
            return Ok(true);
        }
        self.refresh();
        Ok(self.readers()?.entries.get(id.0)?.is_some())
    }

    /// The entries that no cut covers, by position.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn tail(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let readers = self.merged()?;
        let mut entries = Vec::new();
        for item in readers.tail.iter()? {
            let position = Position::from_bytes(&item?.0.value());
            entries.push(entry_of(&readers, &position.entry.0)?);
        }
        Ok(entries)
    }

    /// A page of the same: those at and after `from`, as many as fit into `bytes_max` bytes, at
    /// least one; and where the next page begins.
    ///
    /// # Errors
    /// As [`Log::tail`].
    pub fn tail_page(
        &self,
        from: &Position,
        bytes_max: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<Position>), StoreError> {
        let readers = self.merged()?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for item in readers.tail.range(from.to_bytes()..)? {
            let position = Position::from_bytes(&item?.0.value());
            let entry = entry_of(&readers, &position.entry.0)?;
            bytes += entry.len();
            if bytes > bytes_max && !entries.is_empty() {
                return Ok((entries, Some(position)));
            }
            entries.push(entry);
        }
        Ok((entries, None))
    }

    /// Their ids alone, by position.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn tail_ids(&self) -> Result<Vec<EntryId>, StoreError> {
        let readers = self.merged()?;
        let mut ids = Vec::new();
        for item in readers.tail.iter()? {
            ids.push(Position::from_bytes(&item?.0.value()).entry);
        }
        Ok(ids)
    }

    /// Adds a cut and the entries it covers, by position, durably. Entries that the log does not hold yet are
    /// appended. A cut that it holds already changes nothing.
    ///
    /// # Errors
    /// If the disk fails, or the cut's height is not one more than the last one's; then nothing of
    /// it is in.
    pub fn put_cut(&mut self, cut: &Cut, segment: &[Arc<Entry>]) -> Result<(), StoreError> {
        let stubs = segment.iter().map(|entry| &**entry.stub());
        if self.is_next(cut)? {
            self.write_cut(Arc::new(LoggedCut::new(cut, stubs)), segment)?;
        }
        Ok(())
    }

    /// The same of entries that the log holds already: all that is to be made durable is the cut and which they are.
    /// They take their places in the tables later, and aside.
    ///
    /// # Errors
    /// As [`Log::put_cut`]. If the log does not hold one of them that is found out, at the latest, when the cut comes
    /// into the tables; whoever asks for something then hears that the log is damaged.
    pub fn put_cut_of_tail<'a>(
        &mut self,
        cut: &Cut,
        segment: impl Iterator<Item = &'a Stub>,
    ) -> Result<(), StoreError> {
        if !self.is_next(cut)? {
            return Ok(());
        }
        self.settle()?;
        let logged = Arc::new(LoggedCut::new(cut, segment));
        if !self.journal().append_cut(&logged)? {
            return self.write_cut(logged, &[]);
        }
        self.refresh();
        let unmerged = self.unmerged.get_mut();
        // A half that was turned may have been merged at once; then it is among them.
        if unmerged
            .last()
            .is_none_or(|last| last.height() < cut.height)
        {
            unmerged.push(logged);
        }
        Ok(())
    }

    /// Whether a cut follows the last one; not if it is there already.
    fn is_next(&self, cut: &Cut) -> Result<bool, StoreError> {
        let last = self.last_height()?;
        let expected = last.map_or(0, |last| last + 1);
        if cut.height == expected {
            return Ok(true);
        }
        match self.cut_id(cut.height)? == Some(cut.id()) {
            true => Ok(false),
            false => Err(StoreError::CutOutOfTurn {
                height: cut.height,
                expected,
            }),
        }
    }

    /// Puts a cut into the tables, and of its entries those that are new.
    fn write_cut(&mut self, cut: Arc<LoggedCut>, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
        let mut write = self.begin_write()?;
        if planted!(CutBeforeSync) {
            leave_unsynced(&mut write);
        }
        let news = News {
            entries: entries.to_vec(),
            cuts: vec![cut],
        };
        insert(&write, &news)?;
        self.commit(write, CrashPoint::CutLogged)
    }

    /// The bytes of the cut at `height`.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn cut(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_cut(height, |_, cut| cut.to_vec())
    }

    /// The bytes of the highest cut.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn last_cut(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.last_height()? {
            Some(height) => self.cut(height),
            None => Ok(None),
        }
    }

    /// Height of the highest cut.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn last_height(&self) -> Result<Option<u64>, StoreError> {
        if let Some(last) = self.unmerged.borrow().last() {
            return Ok(Some(last.height()));
        }
        let readers = self.readers()?;
        let last = readers.cuts.last()?;
        Ok(last.map(|(height, _)| height.value()))
    }

    /// The id of the cut at `height`.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn cut_id(&self, height: u64) -> Result<Option<CutId>, StoreError> {
        self.read_cut(height, |id, _| id)
    }

    fn read_cut<T>(
        &self,
        height: u64,
        read: impl FnOnce(CutId, &[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let split = |stored: &[u8]| split_cut(stored).map(|(id, cut)| Some(read(id, cut)));
        if let Some(cut) = self.unmerged_at(height) {
            return split(cut.stored());
        }
        match self.readers()?.cuts.get(height)? {
            Some(stored) => split(stored.value()),
            None => Ok(None),
        }
    }

    /// The cut at `height`, if it is one that has perhaps not come into the tables.
    fn unmerged_at(&self, height: u64) -> Option<Arc<LoggedCut>> {
        let unmerged = self.unmerged.borrow();
        unmerged.iter().find(|cut| cut.height() == height).cloned()
    }

    /// Entries that the cut at `height` covers, from place `from` on, in order: as many as fit
    /// into `bytes_max`, at least one, and whether there are more. Empty if there is no such cut.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn segment(
        &self,
        height: u64,
        from: u32,
        bytes_max: usize,
    ) -> Result<(Vec<Vec<u8>>, bool), StoreError> {
        let readers = match self.unmerged_at(height) {
            Some(_) => self.merged()?,
            None => self.readers()?,
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let places = (
            Bound::Included((height, from)),
            Bound::Included((height, u32::MAX)),
        );
        for item in readers.order.range::<Place>(places)? {
            let entry = entry_of(&readers, &item?.1.value())?;
            bytes += entry.len();
            if bytes > bytes_max && !entries.is_empty() {
                return Ok((entries, true));
            }
            entries.push(entry);
        }
        Ok((entries, false))
    }

    /// What is kept of an entry that a cut covers.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn final_entry(&self, id: &EntryId) -> Result<Option<FinalEntry>, StoreError> {
        let unmerged = self.unmerged.borrow();
        // What is asked for is mostly what entries build on, in the last of them.
        let known = unmerged.iter().rev().find_map(|cut| cut.final_entry(id));
        if known.is_some() {
            return Ok(known);
        }
        let stored = self.readers()?.finals.get(id.0)?;
        Ok(stored.map(|stored| decode_final(&stored.value())))
    }

    /// How many entries the log holds.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn entries_len(&self) -> Result<u64, StoreError> {
        Ok(self.merged()?.entries.len()?)
    }

    /// A small local fact that was noted under this name.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let fact = self.readers()?.notes.get(name)?;
        Ok(fact.map(|fact| fact.value().to_vec()))
    }

    /// Notes a small local fact, durably. Names that begin with `tombolo:` are the log's own.
    ///
    /// # Errors
    /// If the disk fails.
    ///
    /// # Panics
    /// If the name is one of the log's own.
    pub fn put_note(&mut self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        assert!(
            !name.starts_with("tombolo:"),
            "{name} is kept for the log itself"
        );
        let write = self.begin_write()?;
        write.open_table(NOTES)?.insert(name, fact)?;
        self.commit(write, CrashPoint::NoteMade)
    }

    /// A transaction after all that was appended. The journal is empty: what is taken back here must not come again from
    /// there.
    fn begin_write(&mut self) -> Result<redb::WriteTransaction, StoreError> {
        self.settle()?;
        self.journal().merge()?;
        self.refresh();
        self.readers.take();
        Ok(self.db.begin_write()?)
    }

    fn commit(&self, write: redb::WriteTransaction, point: CrashPoint) -> Result<(), StoreError> {
        write.commit()?;
        pass(&*self.file, point)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// The tables with all that was appended.
    pub(crate) fn merged(&self) -> Result<Arc<Readers>, StoreError> {
        self.settle()?;
        self.journal().merge()?;
        self.refresh();
        self.readers()
    }

    /// The tables as they are, or as they were before what is in the journal.
    fn readers(&self) -> Result<Arc<Readers>, StoreError> {
        if let Some(readers) = &*self.readers.borrow() {
            return Ok(Arc::clone(readers));
        }
        let readers = Arc::new(self.open_readers()?);
        self.readers.replace(Some(Arc::clone(&readers)));
        Ok(readers)
    }

    /// After a merge: what has come into the tables is read there. Whoever reads them as they were keeps pages from
    /// being used again.
    fn refresh(&self) {
        let journal = self.journal();
        if self.merges.replace(journal.merges()) != journal.merges() {
            self.readers.take();
            self.unmerged.replace(journal.cuts());
        }
    }

    fn open_readers(&self) -> Result<Readers, StoreError> {
        let read = self.db.begin_read()?;
        Ok(Readers {
            entries: read.open_table(ENTRIES)?,
            tail: read.open_table(TAIL)?,
            cuts: read.open_table(CUTS)?,
            order: read.open_table(ORDER)?,
            finals: read.open_table(FINALS)?,
            notes: read.open_table(NOTES)?,
        })
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    // If somebody panicked within, what the file holds is found at the next start.
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The commit of a write leaves it to a later one to sync.
fn leave_unsynced(write: &mut redb::WriteTransaction) {
    write
        .set_durability(redb::Durability::None)
        .expect("no savepoint was touched");
}

/// An empty file becomes a log without entries, and the answer is yes; in any other all tables
/// exist already.
fn create_tables(db: &Database) -> Result<bool, StoreError> {
    if db.begin_read()?.list_tables()?.next().is_some() {
        return Ok(false);
    }
    let write = db.begin_write()?;
    write.open_table(ENTRIES)?;
    write.open_table(TAIL)?;
    write.open_table(CUTS)?;
    write.open_table(ORDER)?;
    write.open_table(FINALS)?;
    write.open_table(PLEDGE)?;
    write
        .open_table(NOTES)?
        .insert(NOTE_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    write.commit()?;
    Ok(true)
}

/// A format that this release knows.
fn format_of(db: &Database) -> Result<u32, StoreError> {
    let stored = db.begin_read()?.open_table(NOTES)?.get(NOTE_FORMAT)?;
    let stored = stored.map(|format| format.value().to_vec());
    match u32::from_le_bytes(exact("format of the log file", stored.as_deref())?) {
        known @ (FORMAT | FORMAT_WITHOUT_JOURNAL | FORMAT_WITH_HALF) => Ok(known),
        found => Err(StoreError::Format {
            file: "log.redb",
            found,
            known: FORMAT,
        }),
    }
}

/// Makes a log of a format before one of this. Nothing is in its journal any more.
fn raise_format(db: &Database) -> Result<(), StoreError> {
    let write = db.begin_write()?;
    write
        .open_table(NOTES)?
        .insert(NOTE_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    Ok(write.commit()?)
}

fn entry_of(readers: &Readers, id: &Id) -> Result<Vec<u8>, StoreError> {
    match readers.entries.get(id)? {
        Some(entry) => Ok(entry.value().to_vec()),
        None => Err(missing(&EntryId(*id))),
    }
}

fn missing(id: &EntryId) -> StoreError {
    StoreError::damaged(format!("log: entry {id} is missing"))
}
