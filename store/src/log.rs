//! The log: every entry that was accepted, the cuts, and which entries each covers. Append only.
//!
//! What a call returns `Ok` for is on the disk, except for [`Log::begin_append`].

mod appending;
pub(crate) mod journal;
mod retreat;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};
use sync_protocol::{
    Cut, CutId, DeviceKey, Entry, EntryId, FinalEntry, Hlc, POSITION_BYTES, Position, Stub, Term,
};

use crate::aside::{Aside, Worker};
use crate::backend;
use crate::base::exact;
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use appending::Appending;
use journal::{Journal, insert};

/// Format of the log that this release writes. It reads that before, which had no journal.
const FORMAT: u32 = 2;
const FORMAT_WITHOUT_JOURNAL: u32 = 1;

/// Bytes of what is kept of a final entry.
const FINAL_BYTES: usize = 80;

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
    /// How often the journal had been merged when it was last waited for.
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
        raise_format(&db)?;
        let journal = Journal::open(Arc::clone(&db), Arc::clone(&file), files.journal)?;
        Ok(Self {
            readers: RefCell::default(),
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
        let stored = self.readers()?.entries.get(id.0)?;
        Ok(stored.map(|entry| entry.value().to_vec()))
    }

    /// Whether the log holds an entry.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn holds(&self, id: &EntryId) -> Result<bool, StoreError> {
        self.settle()?;
        let is_new = self.journal().find(id).is_some();
        Ok(is_new || self.readers()?.entries.get(id.0)?.is_some())
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

    /// Adds a cut and the entries it covers, by position, in one durable commit. Entries that the
    /// log does not hold yet are appended. A cut that it holds already changes nothing.
    ///
    /// # Errors
    /// If the disk fails, or the cut's height is not one more than the last one's; then nothing of
    /// it is in.
    pub fn put_cut(&mut self, cut: &Cut, segment: &[Arc<Entry>]) -> Result<(), StoreError> {
        let entries = segment.iter();
        self.write_cut(
            cut,
            entries.map(|entry| (&**entry.stub(), Some(&**entry.encoded()))),
        )
    }

    /// The same of entries that the log holds already.
    ///
    /// # Errors
    /// As [`Log::put_cut`], and if the log does not hold one of them.
    pub fn put_cut_of_tail<'a>(
        &mut self,
        cut: &Cut,
        segment: impl Iterator<Item = &'a Stub>,
    ) -> Result<(), StoreError> {
        self.write_cut(cut, segment.map(|entry| (entry, None)))
    }

    fn write_cut<'a>(
        &mut self,
        cut: &Cut,
        segment: impl Iterator<Item = (&'a Stub, Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let last = self.last_height()?;
        let expected = last.map_or(0, |last| last + 1);
        if cut.height != expected {
            if self.cut_id(cut.height)? == Some(cut.id()) {
                return Ok(());
            }
            return Err(StoreError::CutOutOfTurn {
                height: cut.height,
                expected,
            });
        }
        let mut write = self.begin_write()?;
        if planted!(CutBeforeSync) {
            leave_unsynced(&mut write);
        }
        {
            let mut held = write.open_table(ENTRIES)?;
            for entry in self.journal().entries() {
                held.insert(entry.id.0, &**entry.encoded())?;
            }
            let mut tail = write.open_table(TAIL)?;
            let mut order = write.open_table(ORDER)?;
            let mut finals = write.open_table(FINALS)?;
            for (ordinal, (entry, encoded)) in (0_u32..).zip(segment) {
                if tail.remove(entry.position(0).to_bytes())?.is_none() {
                    if let Some(encoded) = encoded {
                        held.insert(entry.id.0, encoded)?;
                    } else if held.get(entry.id.0)?.is_none() {
                        return Err(missing(&entry.id));
                    }
                }
                order.insert((cut.height, ordinal), entry.id.0)?;
                finals.insert(entry.id.0, encode_final(&final_entry(entry, cut.height)))?;
            }
            write
                .open_table(CUTS)?
                .insert(cut.height, stored_cut(cut).as_slice())?;
            for entry in self.journal().entries() {
                if finals.get(entry.id.0)?.is_none() {
                    tail.insert(entry.position(0).to_bytes(), ())?;
                }
            }
        }
        self.commit(write, CrashPoint::CutLogged)
    }

    /// The bytes of the cut at `height`.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn cut(&self, height: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.readers()?.cuts.get(height)? {
            Some(stored) => Ok(Some(split_cut(stored.value())?.1.to_vec())),
            None => Ok(None),
        }
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
        let readers = self.readers()?;
        let last = readers.cuts.last()?;
        Ok(last.map(|(height, _)| height.value()))
    }

    /// The id of the cut at `height`.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn cut_id(&self, height: u64) -> Result<Option<CutId>, StoreError> {
        match self.readers()?.cuts.get(height)? {
            Some(stored) => Ok(Some(split_cut(stored.value())?.0)),
            None => Ok(None),
        }
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
        let readers = self.readers()?;
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
        let write = self.begin_merging()?;
        write.open_table(NOTES)?.insert(name, fact)?;
        self.commit(write, CrashPoint::NoteMade)
    }

    /// A transaction after all that was appended. What the journal holds is not in it.
    fn begin_write(&mut self) -> Result<redb::WriteTransaction, StoreError> {
        self.settle()?;
        self.readers.take();
        Ok(self.db.begin_write()?)
    }

    /// The same, with what the journal holds.
    fn begin_merging(&mut self) -> Result<redb::WriteTransaction, StoreError> {
        let write = self.begin_write()?;
        insert(&write, self.journal().entries().iter())?;
        Ok(write)
    }

    /// Makes a transaction durable that has all that the journal holds.
    fn commit(
        &mut self,
        write: redb::WriteTransaction,
        point: CrashPoint,
    ) -> Result<(), StoreError> {
        write.commit()?;
        pass(&*self.file, point)?;
        self.journal().clear()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// The tables with all that was appended.
    pub(crate) fn merged(&self) -> Result<Arc<Readers>, StoreError> {
        self.settle()?;
        self.journal().merge(&[])?;
        self.drop_old_readers();
        self.readers()
    }

    /// The tables as they are, or as they were before what is being appended.
    fn readers(&self) -> Result<Arc<Readers>, StoreError> {
        if let Some(readers) = &*self.readers.borrow() {
            return Ok(Arc::clone(readers));
        }
        let readers = Arc::new(self.open_readers()?);
        self.readers.replace(Some(Arc::clone(&readers)));
        Ok(readers)
    }

    /// After a merge: whoever reads the tables as they were keeps pages from being used again.
    fn drop_old_readers(&self) {
        let merges = self.journal().merges();
        if self.merges.replace(merges) != merges {
            self.readers.take();
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

/// Makes a log of the format before one of this.
fn raise_format(db: &Database) -> Result<(), StoreError> {
    let stored = db.begin_read()?.open_table(NOTES)?.get(NOTE_FORMAT)?;
    let stored = stored.map(|format| format.value().to_vec());
    match u32::from_le_bytes(exact("format of the log file", stored.as_deref())?) {
        FORMAT => Ok(()),
        FORMAT_WITHOUT_JOURNAL => {
            let write = db.begin_write()?;
            write
                .open_table(NOTES)?
                .insert(NOTE_FORMAT, FORMAT.to_le_bytes().as_slice())?;
            Ok(write.commit()?)
        }
        found => Err(StoreError::Format {
            file: "log.redb",
            found,
            known: FORMAT,
        }),
    }
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

/// A cut as stored: its id is asked for often, and would cost a decoding and a hash.
pub(crate) fn stored_cut(cut: &Cut) -> Vec<u8> {
    [cut.id().as_bytes(), &**cut.encoded()].concat()
}

pub(crate) fn split_cut(stored: &[u8]) -> Result<(CutId, &[u8]), StoreError> {
    let (id, cut) = stored
        .split_first_chunk::<32>()
        .ok_or_else(|| StoreError::damaged("log: a cut"))?;
    Ok((CutId(*id), cut))
}

pub(crate) fn final_entry(entry: &Stub, height: u64) -> FinalEntry {
    FinalEntry {
        author: entry.header.author,
        epoch: entry.header.epoch,
        seq: entry.header.seq,
        last_time: entry.last_time(),
        base_term: entry.header.base.term,
        base_height: entry.header.base.height,
        height,
    }
}

pub(crate) fn encode_final(entry: &FinalEntry) -> [u8; FINAL_BYTES] {
    let mut bytes = [0; FINAL_BYTES];
    bytes[..32].copy_from_slice(&entry.author.0);
    let numbers = [
        entry.epoch,
        entry.seq,
        entry.last_time.0,
        entry.base_term.0,
        entry.base_height,
        entry.height,
    ];
    for (bytes, number) in bytes[32..].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    bytes
}

pub(crate) fn decode_final(bytes: &[u8; FINAL_BYTES]) -> FinalEntry {
    let mut author = DeviceKey::ZERO;
    author.0.copy_from_slice(&bytes[..32]);
    let mut numbers = [0; 6];
    for (number, bytes) in numbers.iter_mut().zip(bytes[32..].as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    let [epoch, seq, last_time, base_term, base_height, height] = numbers;
    FinalEntry {
        author,
        epoch,
        seq,
        last_time: Hlc(last_time),
        base_term: Term(base_term),
        base_height,
        height,
    }
}
