//! The base: rows that their tables' columns describe, under the keys that they make; index entries
//! and rows that have each other; counts and the sum that the state root comes from.

use sync_protocol::StateRoot;

use super::{Checked, PROGRESS_EVERY, Progress, check_pages};
use crate::base::{Base, BaseCaches, Stored, exact};
use crate::crash_point::DiskFile;
use crate::error::StoreError;
use crate::key::{SPACE_BYTES, Space};
use crate::limits::BASE_CACHE_BYTES;
use crate::plan::TablePlan;
use crate::root::{RowHasher, RowSum};
use crate::schema::Schema;

/// What a base that could be read says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseFacts {
    /// Height of the cut whose state it is; `None` before the first.
    pub height: Option<u64>,
    /// Root of the rows that are there, computed anew.
    pub root: StateRoot,
}

/// Looks at a base file. `choose` is shown its rows and says what tables they are of; `None` ends
/// the check there. What was found is in the list, one line a check; the facts are there if
/// the file could be read to its end.
///
/// # Errors
/// If the file cannot be read.
pub fn check_base(
    open: &dyn Fn() -> Result<Box<dyn DiskFile>, StoreError>,
    choose: &mut dyn FnMut(&Stored<'_>) -> Option<Schema>,
    progress: &mut Progress<'_>,
) -> Result<(Vec<Checked>, Option<BaseFacts>), StoreError> {
    let mut pages = check_pages("pages of the base", "base.redb", open()?)?;
    let caches = BaseCaches {
        bytes: BASE_CACHE_BYTES,
        secret: 0,
    };
    let mut base = match Base::open(open()?, caches) {
        Ok(base) => base,
        Err(error) => {
            pages.unopened(&error);
            return Ok((vec![pages], None));
        }
    };
    let Some(schema) = choose(&Stored::of(&base)) else {
        return Ok((vec![pages], None));
    };
    if let Err(error) = base.fit(&schema) {
        pages.found(|| format!("the tables do not fit: {error}"));
        return Ok((vec![pages], None));
    }
    let schema = &schema;
    let mut walk = Walk {
        base: &base,
        schema,
        rows: Checked::new("rows"),
        entries: Checked::new("index entries"),
        sequences: Checked::new("sequences"),
        totals: Checked::new("row counts"),
        hasher: RowHasher::new(),
        sum: RowSum::empty(),
        counts: vec![0; schema.tables().len()],
        ends: Vec::new(),
        key: Vec::new(),
    };
    let walked = walk.all(progress);
    let facts = match &walked {
        Ok(()) => Some(BaseFacts {
            height: base.height(),
            root: walk.sum.root(),
        }),
        Err(_) => None,
    };
    let Walk {
        mut rows,
        entries,
        sequences,
        totals,
        ..
    } = walk;
    if let Err(error) = walked {
        rows.found(|| format!("they cannot be read to their end: {error}"));
    }
    Ok((vec![pages, rows, entries, sequences, totals], facts))
}

struct Walk<'a> {
    base: &'a Base,
    schema: &'a Schema,
    rows: Checked,
    entries: Checked,
    sequences: Checked,
    totals: Checked,
    hasher: RowHasher,
    sum: RowSum,
    counts: Vec<u64>,
    ends: Vec<u32>,
    key: Vec<u8>,
}

impl Walk<'_> {
    fn all(&mut self, progress: &mut Progress<'_>) -> Result<(), StoreError> {
        let total: u64 = self.base.counts().iter().sum();
        for item in self.base.stored_range(&[], &[0xFF; SPACE_BYTES + 1])? {
            let (key, value) = item?;
            let (key, value) = (key.value(), value.value());
            match Space::of(key) {
                Some(Space::Rows(id)) => match self.schema.plan(id) {
                    Some(plan) => {
                        self.row(plan, key, value)?;
                        self.hasher.add(&mut self.sum, key, value);
                        if self.rows.count.is_multiple_of(PROGRESS_EVERY) {
                            progress("rows", self.rows.count, total);
                        }
                    }
                    None => self
                        .rows
                        .found(|| format!("a row of table {}, which is not there", id.0)),
                },
                Some(Space::Index(id)) => match self.schema.index_plan(id) {
                    Some((plan, place)) => self.entry(plan, place, key, value)?,
                    None => self
                        .entries
                        .found(|| format!("an entry of index {}, which is not there", id.0)),
                },
                Some(Space::Sequences(id)) => {
                    self.sequences.count += 1;
                    let sound = self.schema.plan(id).is_some()
                        && exact::<16>("sequence", Some(value)).is_ok();
                    self.sequences
                        .expect(sound, || format!("a sequence of table {} is damaged", id.0));
                    self.hasher.add(&mut self.sum, key, value);
                }
                None => self
                    .rows
                    .found(|| "a key that belongs to nothing".to_owned()),
            }
        }
        for (plan, (found, stored)) in self
            .schema
            .plans()
            .iter()
            .zip(self.counts.iter().zip(self.base.counts()))
        {
            self.totals.count += 1;
            self.totals.expect(found == stored, || {
                format!(
                    "table {}: {found} rows are there, {stored} are counted",
                    plan.name
                )
            });
        }
        let stored = self.base.sum().root();
        let found = self.sum.root();
        self.totals.expect(stored == found, || {
            format!("the sum of the rows says {stored}, the rows say {found}")
        });
        Ok(())
    }

    /// A row: it is one, it lies under its key, and every index has its entry.
    fn row(&mut self, plan: &TablePlan, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        self.rows.count += 1;
        self.counts[plan.slot] += 1;
        let cells = match plan.cells(row, &mut self.ends) {
            Ok(cells) => cells,
            Err(why) => {
                self.rows.found(|| format!("table {}: {why}", plan.name));
                return Ok(());
            }
        };
        let made = plan.row_key(&cells, &mut self.key);
        self.rows.expect(made.is_ok() && self.key == key, || {
            format!("table {}: a row lies under the key of another", plan.name)
        });
        for index in plan.stored_indexes() {
            let made = plan.entry_key(index, &cells, key, &mut self.key);
            let entry = self.base.get(&self.key)?;
            let sound = made.is_ok() && entry.is_some_and(|entry| *entry == *key);
            self.entries.expect(sound, || {
                format!("index {}: the entry of a row is missing", index.name)
            });
        }
        Ok(())
    }

    /// An index entry: its row is there and makes this entry.
    fn entry(
        &mut self,
        plan: &TablePlan,
        place: usize,
        key: &[u8],
        row_key: &[u8],
    ) -> Result<(), StoreError> {
        self.entries.count += 1;
        let index = &plan.indexes[place];
        let row = match Space::of(row_key) {
            Some(Space::Rows(id)) if id == plan.id => self.base.get(row_key)?,
            _ => None,
        };
        let made = row.and_then(|row| {
            let cells = plan.cells(&row, &mut self.ends).ok()?;
            plan.entry_key(index, &cells, row_key, &mut self.key).ok()
        });
        self.entries.expect(made.is_some() && self.key == key, || {
            format!("index {}: an entry without its row", index.name)
        });
        Ok(())
    }
}
