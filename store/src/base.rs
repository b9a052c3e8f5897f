//! Table state at the last cut, in one redb file: rows, index entries and sequences in one ordered
//! table, and beside them what a cut changes as a whole (height, row counts, sum of rows).
//!
//! One read transaction is kept between cuts, so that a look-up costs a walk down a tree and
//! nothing else, and what is asked for again not even that ([`RowCache`]). A large cut is written
//! [aside](crate::aside): until it is in the file, what it changes lies above the file's rows as they
//! were before.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use crate::aside::{Aside, Work, Worker, give_way};
use crate::backend;
use crate::base_range::BaseRange;
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;
use crate::key::{Key, Space};
use crate::key_hash::KeyHasher;
use crate::overlay::Row;
use crate::reindex::bounds;
use crate::root::{RowSum, SUM_BYTES};
use crate::row_cache::RowCache;
use crate::schema::{Schema, TableId};
use crate::spill::SpillAt;
use crate::unwritten::Unwritten;

/// Format of the base file that this release writes and reads.
pub(crate) const FORMAT: u32 = 1;

pub(crate) type BytesTable = TableDefinition<'static, &'static [u8], &'static [u8]>;
type BytesRows = ReadOnlyTable<&'static [u8], &'static [u8]>;
pub(crate) type BytesRange = redb::Range<'static, &'static [u8], &'static [u8]>;

/// Stored key → row in BSATN, row key, or last number of a sequence.
pub(crate) const ROWS: BytesTable = TableDefinition::new("rows");
/// Name → value of what there is one of.
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
/// Table number → its rows, as a count.
const COUNTS: TableDefinition<'static, u32, u64> = TableDefinition::new("counts");
/// Table number → fingerprint of the columns its rows were written under.
pub(crate) const TABLES: TableDefinition<'static, u32, &'static [u8]> =
    TableDefinition::new("tables");
/// Index number → fingerprint of what its entries were written under.
pub(crate) const INDEXES: TableDefinition<'static, u32, &'static [u8]> =
    TableDefinition::new("indexes");

const META_FORMAT: &str = "format";
const META_HEIGHT: &str = "height";
const META_SUM: &str = "sum";

/// By ascending key: a value, or `None` to delete.
pub(crate) type KeyWrites = Vec<(Key, Option<Row>)>;

/// Everything that one cut changes.
#[derive(Debug)]
pub(crate) struct BaseChanges {
    pub(crate) writes: KeyWrites,
    pub(crate) sum: RowSum,
    /// Rows by the table's slot.
    pub(crate) counts: Vec<u64>,
}

/// Memory for what the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BaseCaches {
    /// Bytes, half of them for pages and half for values.
    pub(crate) bytes: usize,
    /// Keys the hash that places values.
    pub(crate) secret: u64,
}

/// The base file, open.
pub(crate) struct Base {
    /// `None` while a cut is written here, as a kept reader would keep the pages alive that the cut
    /// frees; and ever after, if writing one failed.
    rows: Option<BytesRows>,
    /// The last cut, while it is written aside: `rows` are those before it.
    unwritten: Option<Unwritten>,
    aside: Aside,
    /// Writes cuts, and plans them.
    worker: Worker,
    /// Values as they are in the file, with what the last cut makes of them where it is on its way.
    cache: RowCache,
    hasher: KeyHasher,
    db: Arc<Database>,
    /// The file under `db`, which is told of crash points.
    file: Arc<dyn DiskFile>,
    height: Option<u64>,
    sum: RowSum,
    counts: Vec<u64>,
}

impl Base {
    /// Opens the file, creating it if it is empty. It has to be fitted to a schema before it is
    /// asked for counts.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub(crate) fn open(backend: Box<dyn DiskFile>, caches: BaseCaches) -> Result<Self, StoreError> {
        let file: Arc<dyn DiskFile> = backend.into();
        let hasher = KeyHasher::of(caches.secret);
        let cache = RowCache::new(caches.bytes / 2, hasher.clone());
        let db = backend::open("base.redb", Arc::clone(&file), caches.bytes / 2)?;
        if create_tables(&db)? {
            pass(&*file, CrashPoint::TablesMade)?;
        }
        let read = db.begin_read()?;
        let meta = read.open_table(META)?;
        let format = meta.get(META_FORMAT)?.map(|value| value.value().to_vec());
        let format = u32::from_le_bytes(exact("format of the base file", format.as_deref())?);
        if format != FORMAT {
            return Err(StoreError::Format {
                file: "base.redb",
                found: format,
                known: FORMAT,
            });
        }
        let height = match meta.get(META_HEIGHT)? {
            Some(value) => Some(u64::from_le_bytes(exact(
                "height of the base",
                Some(value.value()),
            )?)),
            None => None,
        };
        let sum = match meta.get(META_SUM)? {
            Some(value) => RowSum::from_bytes(&exact::<SUM_BYTES>(
                "sum of the base's rows",
                Some(value.value()),
            )?),
            None => RowSum::empty(),
        };
        let rows = Some(read.open_table(ROWS)?);
        Ok(Self {
            rows,
            unwritten: None,
            aside: Aside::Never,
            worker: Worker::standing_back("cut"),
            cache,
            hasher,
            db: Arc::new(db),
            file,
            height,
            sum,
            counts: Vec::new(),
        })
    }

    /// Reads the counts of the schema's tables.
    pub(crate) fn read_counts(&mut self, schema: &Schema) -> Result<(), StoreError> {
        let mut stored = BTreeMap::new();
        for entry in self.db.begin_read()?.open_table(COUNTS)?.iter()? {
            let (id, count) = entry?;
            stored.insert(TableId(id.value()), count.value());
        }
        self.counts = schema
            .tables()
            .iter()
            .map(|table| stored.get(&table.id).copied().unwrap_or(0))
            .collect();
        Ok(())
    }

    /// Height of the cut whose state this is; `None` before the first.
    pub(crate) fn height(&self) -> Option<u64> {
        self.height
    }

    pub(crate) fn sum(&self) -> &RowSum {
        &self.sum
    }

    /// Rows of the table with this slot.
    pub(crate) fn count(&self, slot: usize) -> u64 {
        self.counts[slot]
    }

    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    fn rows(&self) -> Result<&BytesRows, StoreError> {
        self.rows.as_ref().ok_or(StoreError::Stopped)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let rows = self.rows()?;
        let unwritten = self.unwritten.as_ref();
        if let Some(value) = unwritten.and_then(|unwritten| unwritten.get(key)) {
            return Ok(value.clone());
        }
        if let Some(value) = self.cache.get(key) {
            return Ok(Some(value));
        }
        let value = read(rows, key)?;
        value.iter().for_each(|value| self.cache.put(key, value));
        Ok(value)
    }

    /// The keys from `low` up to but without `high`, in order, with their values.
    pub(crate) fn range(&self, low: &[u8], high: &[u8]) -> Result<BaseRange<'_>, StoreError> {
        let stored = self.stored_range(low, high)?;
        let unwritten = self.unwritten.as_ref();
        let unwritten = unwritten.map_or(&[][..], |unwritten| unwritten.range(low, high));
        BaseRange::merge(stored, unwritten)
    }

    /// The same of the file alone, while no cut is on its way there.
    pub(crate) fn stored_range(&self, low: &[u8], high: &[u8]) -> Result<BytesRange, StoreError> {
        Ok(self.rows()?.range::<&[u8]>(low..high)?)
    }

    /// A reader of the rows for another thread. No cut is on its way into the file.
    pub(crate) fn reader(&self) -> Result<BaseReader, StoreError> {
        let db = Arc::clone(&self.db);
        Ok(BaseReader {
            rows: db.begin_read()?.open_table(ROWS)?,
            _db: db,
        })
    }

    /// Large cuts are written so from now on.
    pub(crate) fn set_aside(&mut self, aside: Aside) {
        self.aside = aside;
    }

    pub(crate) fn aside(&self) -> Aside {
        self.aside
    }

    /// Starts work on a cut, aside if that is how it is done.
    pub(crate) fn begin<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Work<T> {
        Work::start(self.aside, &mut self.worker, job)
    }

    /// Whether the last cut is still on its way into the file.
    pub(crate) fn is_writing(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Looks whether the last cut has come into the file, and reads it from there if it has.
    ///
    /// # Errors
    /// If writing it failed: nothing can be read any more.
    pub(crate) fn look(&mut self) -> Result<(), StoreError> {
        let unwritten = self.unwritten.as_mut();
        if unwritten.is_some_and(|unwritten| unwritten.work.is_done()) {
            self.finish()?;
        }
        Ok(())
    }

    /// Waits until the last cut has come into the file.
    ///
    /// # Errors
    /// If writing it failed: nothing can be read any more.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        let Some(Unwritten { work, .. }) = self.unwritten.take() else {
            return Ok(());
        };
        self.rows = None;
        work.wait()?;
        self.refresh()
    }

    /// Writes one cut, durably, all or nothing: what the spill holds up to it, then `changes` above
    /// that. A large one is still on its way into the file when this returns.
    ///
    /// # Errors
    /// If the disk fails. The file then holds the state before or after the cut; open it again to
    /// see which.
    pub(crate) fn apply(
        &mut self,
        changes: BaseChanges,
        spilled: Option<SpillAt<'_>>,
        height: u64,
        schema: &Arc<Schema>,
    ) -> Result<(), StoreError> {
        self.finish()?;
        let BaseChanges {
            writes,
            sum,
            counts,
        } = changes;
        let writer = CutWriter {
            db: Arc::clone(&self.db),
            cache: self.cache.clone(),
            file: Arc::clone(&self.file),
            schema: Arc::clone(schema),
            height,
            sum: sum.clone(),
            counts: counts.clone(),
            is_first: self.height.is_none(),
        };
        if spilled.is_some() || writer.is_first || !self.aside.takes(writes.len()) {
            self.rows = None;
            writer.write(&writes, spilled)?;
            return self.is_now(height, sum, counts);
        }
        let writes = Arc::new(writes);
        let shared = Arc::clone(&writes);
        let work = self.begin(move || writer.write(&shared, None));
        self.unwritten = Some(Unwritten::new(writes, self.hasher.clone(), work));
        self.height = Some(height);
        self.sum = sum;
        self.counts = counts;
        Ok(())
    }

    pub(crate) fn passes(&self, point: CrashPoint) -> Result<(), StoreError> {
        pass(&*self.file, point)
    }

    /// Lets go of the last commit's pages, and of what was read from them.
    pub(crate) fn forget_reader(&mut self) {
        self.rows = None;
        self.cache.clear();
    }

    /// The state of the cut at `height` has been written.
    pub(crate) fn is_now(
        &mut self,
        height: u64,
        sum: RowSum,
        counts: Vec<u64>,
    ) -> Result<(), StoreError> {
        self.height = Some(height);
        self.sum = sum;
        self.counts = counts;
        self.refresh()
    }

    /// A durable write transaction. No cut is on its way into the file.
    pub(crate) fn begin_write(&self) -> Result<redb::WriteTransaction, StoreError> {
        begin_write(&self.db)
    }

    /// Reads what the last commit wrote from now on.
    pub(crate) fn refresh(&mut self) -> Result<(), StoreError> {
        self.rows = None;
        self.rows = Some(self.db.begin_read()?.open_table(ROWS)?);
        Ok(())
    }

    /// Fingerprints of tables and indexes as stored.
    pub(crate) fn fingerprints(
        &self,
        table: TableDefinition<'static, u32, &'static [u8]>,
    ) -> Result<BTreeMap<u32, Vec<u8>>, StoreError> {
        let read = self.db.begin_read()?;
        let mut found = BTreeMap::new();
        for entry in read.open_table(table)?.iter()? {
            let (id, fingerprint) = entry?;
            found.insert(id.value(), fingerprint.value().to_vec());
        }
        Ok(found)
    }

    /// The count stored for a table, also for one that the schema no longer has.
    pub(crate) fn stored_count(&self, id: u32) -> Result<u64, StoreError> {
        let counts = self.db.begin_read()?.open_table(COUNTS)?;
        Ok(counts.get(id)?.map_or(0, |count| count.value()))
    }
}

/// Cuts are rare and large, so each also saves what makes opening after a crash quick.
fn begin_write(db: &Database) -> Result<redb::WriteTransaction, StoreError> {
    let mut write = db.begin_write()?;
    write.set_quick_repair(true);
    Ok(write)
}

fn read(rows: &BytesRows, key: &[u8]) -> Result<Option<Row>, StoreError> {
    Ok(rows.get(key)?.map(|value| Row::from(value.value())))
}

/// Reads rows as they were at the last cut, beside the base.
pub(crate) struct BaseReader {
    rows: BytesRows,
    /// A reader does not keep the file open by itself.
    _db: Arc<Database>,
}

impl BaseReader {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        read(&self.rows, key)
    }
}

/// Writes one cut into the file.
struct CutWriter {
    db: Arc<Database>,
    cache: RowCache,
    file: Arc<dyn DiskFile>,
    schema: Arc<Schema>,
    height: u64,
    sum: RowSum,
    counts: Vec<u64>,
    is_first: bool,
}

impl CutWriter {
    fn write(self, writes: &KeyWrites, spilled: Option<SpillAt<'_>>) -> Result<(), StoreError> {
        let write = begin_write(&self.db)?;
        {
            let mut rows = write.open_table(ROWS)?;
            if let Some(spilled) = spilled {
                self.cache.clear();
                write_spilled(spilled, &mut rows)?;
            }
            self.cache.write(writes);
            write_keys(writes, &mut rows)?;
            write_meta(&write, self.height, &self.sum)?;
            write_counts(&write, &self.schema, &self.counts)?;
            if self.is_first {
                write_fingerprints(&write, &self.schema)?;
            }
        }
        pass(&*self.file, CrashPoint::CutWritten)?;
        write.commit()?;
        pass(&*self.file, CrashPoint::CutSettled)
    }
}

/// Keys of a cut that are written, or summed up, before others may go.
pub(crate) const KEYS_A_STEP: usize = 16;

/// Writes values under their keys.
pub(crate) fn write_keys(
    writes: &KeyWrites,
    rows: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
) -> Result<(), StoreError> {
    for (number, (key, value)) in writes.iter().enumerate() {
        if number % KEYS_A_STEP == 0 {
            give_way();
        }
        match value {
            Some(value) => rows.insert(key.as_bytes(), &**value)?,
            None => rows.remove(key.as_bytes())?,
        };
    }
    Ok(())
}

/// What a cut changes as a whole, into its transaction.
pub(crate) fn write_meta(
    write: &redb::WriteTransaction,
    height: u64,
    sum: &RowSum,
) -> Result<(), StoreError> {
    let mut meta = write.open_table(META)?;
    meta.insert(META_HEIGHT, height.to_le_bytes().as_slice())?;
    meta.insert(META_SUM, sum.to_bytes().as_slice())?;
    Ok(())
}

/// Counts of rows that are not stored so yet. Those of tables that are gone go.
pub(crate) fn write_counts(
    write: &redb::WriteTransaction,
    schema: &Schema,
    counted: &[u64],
) -> Result<(), StoreError> {
    let mut counts = write.open_table(COUNTS)?;
    for (table, count) in schema.tables().iter().zip(counted) {
        if counts.get(table.id.0)?.map(|held| held.value()) != Some(*count) {
            counts.insert(table.id.0, count)?;
        }
    }
    if counts.len()? > schema.tables().len() as u64 {
        counts.retain(|id, _| schema.table(TableId(id)).is_some())?;
    }
    Ok(())
}

/// What a base file holds, before it is known what all of it means.
pub struct Stored<'a>(&'a Base);

impl<'a> Stored<'a> {
    pub(crate) fn of(base: &'a Base) -> Self {
        Self(base)
    }

    /// Height of the cut whose state this is; `None` before the first.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.0.height
    }

    /// The rows stored under a table's number, in key order. For small tables: they are collected.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn rows(&self, table: TableId) -> Result<Vec<Row>, StoreError> {
        let (low, high) = bounds(Space::Rows(table));
        self.0
            .stored_range(&low, &high)?
            .map(|item| Ok(Row::from(item?.1.value())))
            .collect()
    }
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base(height {:?})", self.height)
    }
}

/// Writes what the spill holds, value by value.
pub(crate) fn write_spilled(
    spilled: SpillAt<'_>,
    rows: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
) -> Result<(), StoreError> {
    spilled.each(|key, value| {
        match value {
            Some(value) => rows.insert(key, &*value)?,
            None => rows.remove(key)?,
        };
        Ok(())
    })
}

/// Writes which columns and indexes the stored bytes were made under.
pub(crate) fn write_fingerprints(
    write: &redb::WriteTransaction,
    schema: &Schema,
) -> Result<(), StoreError> {
    let mut tables = write.open_table(TABLES)?;
    let mut indexes = write.open_table(INDEXES)?;
    tables.retain(|_, _| false)?;
    indexes.retain(|_, _| false)?;
    for plan in schema.plans() {
        tables.insert(plan.id.0, plan.fingerprint().as_slice())?;
        for index in plan.stored_indexes() {
            indexes.insert(index.id.0, plan.index_fingerprint(index).as_slice())?;
        }
    }
    Ok(())
}

/// An empty file becomes a base without rows, and the answer is yes; in any other all tables exist
/// already.
fn create_tables(db: &Database) -> Result<bool, StoreError> {
    if db.begin_read()?.list_tables()?.next().is_some() {
        return Ok(false);
    }
    let write = db.begin_write()?;
    write.open_table(ROWS)?;
    write.open_table(COUNTS)?;
    write.open_table(TABLES)?;
    write.open_table(INDEXES)?;
    write
        .open_table(META)?
        .insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    write.commit()?;
    Ok(true)
}

/// A stored value of fixed length.
pub(crate) fn exact<const N: usize>(
    what: &'static str,
    value: Option<&[u8]>,
) -> Result<[u8; N], StoreError> {
    value
        .and_then(|value| value.try_into().ok())
        .ok_or_else(|| StoreError::damaged(what))
}
