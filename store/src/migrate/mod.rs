//! Another schema for the rows that are here: what a module upgrade does to a database.
//!
//! It is one step of a cut. First the questions that only rows can answer ([`State::holds`]), then
//! the plan with the state root that results ([`State::plan_migration`]), then everything in one
//! write together with what the cut settles ([`State::settle`]): a crash leaves the state before or
//! after. Rows are read one after the other and never collected, so a table may be larger than
//! memory.
//!
//! A row changes in two ways only: bytes are put behind it (columns that were added), and its
//! stored key is another (a primary key came or went, or there is none and the row grew).
//!
//! A migration may also empty a database: then the tables that go may have rows, and those that come
//! may bring some, which were written in another state that began empty.

mod check;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sync_protocol::Position;

pub use check::DataCheck;

use crate::error::StoreError;
use crate::key::{Key, Space};
use crate::overlay::Row;
use crate::plan::TablePlan;
use crate::schema::{Schema, TableId};
use crate::settle::{RowWrite, Settlement, Totals};
use crate::state::State;
use crate::view::{View, damaged_row};

/// From the schema that a state has to another one. Tables and indexes that have the same number
/// in both are the same; whatever is different about an index is a new number's business.
#[derive(Clone, Debug)]
pub struct Migration {
    schema: Arc<Schema>,
    /// BSATN of the columns that each table's rows get behind those they have.
    appended: BTreeMap<TableId, Vec<u8>>,
    /// Columns whose sequences end.
    sequences_ended: BTreeSet<(TableId, u16)>,
    /// Tables that go may have rows.
    empties: bool,
    /// What is written beside it, by stored key.
    brought: Arc<[(Key, Row)]>,
}

impl Migration {
    /// To `schema`, with rows as they are.
    #[must_use]
    pub fn to(schema: Schema) -> Self {
        Self {
            schema: Arc::new(schema),
            appended: BTreeMap::new(),
            sequences_ended: BTreeSet::new(),
            empties: false,
            brought: Arc::new([]),
        }
    }

    /// To `schema`, and nothing stays of the rows of tables that it lacks.
    #[must_use]
    pub fn emptying(schema: Schema) -> Self {
        Self {
            empties: true,
            ..Self::to(schema)
        }
    }

    /// Brings along what another state wrote that has this schema and began empty: its rows, index
    /// entries and sequences. They are of tables that the state to be migrated does not have, or of
    /// rows that it has not.
    pub fn bring(&mut self, written: Settlement) {
        let writes = written.changes.writes.into_iter();
        self.brought = writes.filter_map(|(key, row)| Some((key, row?))).collect();
    }

    /// This one, and after it another to `schema`.
    #[must_use]
    pub fn then(&self, schema: Schema) -> Self {
        Self {
            schema: Arc::new(schema),
            ..self.clone()
        }
    }

    /// Puts BSATN of further columns behind every row of a table.
    pub fn append(&mut self, table: TableId, columns: &[u8]) {
        self.appended
            .entry(table)
            .or_default()
            .extend_from_slice(columns);
    }

    /// Ends the sequence of a column: if it ever numbers rows again, it begins anew.
    pub fn end_sequence(&mut self, table: TableId, column: u16) {
        self.sequences_ended.insert((table, column));
    }

    /// The schema that it leads to.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn appended(&self, table: TableId) -> &[u8] {
        self.appended.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Whether the rows of a table, or their keys, become other bytes.
    fn rewrites(&self, old: &TablePlan, new: &TablePlan) -> bool {
        !old.event && (!self.appended(old.id).is_empty() || !old.has_key_of(new))
    }

    /// What becomes of each table of `old` that stays: its two plans.
    fn staying<'a>(
        &'a self,
        old: &'a Schema,
    ) -> impl Iterator<Item = (&'a TablePlan, &'a TablePlan)> {
        old.plans()
            .iter()
            .filter_map(|plan| Some((plan, self.schema.plan(plan.id)?)))
    }
}

/// A planned migration, in a [`Settlement`].
pub(crate) struct Moves {
    pub(crate) migration: Migration,
    /// Spaces whose keys all go before anything is written into them.
    cleared: BTreeSet<Space>,
    /// Tables whose rows are written again.
    rewritten: BTreeSet<TableId>,
    /// Indexes whose entries are made from the rows: table, then place of the index in its plan.
    built: BTreeMap<TableId, Vec<usize>>,
    /// Rows of each table after it, by slot of the new schema.
    counts: Vec<u64>,
}

impl State {
    /// As [`State::plan_settle`], and at the same cut another schema. Reads the rows of every
    /// table that is rewritten, once. Changes nothing.
    ///
    /// # Errors
    /// If the disk fails, a row of `extra` does not fit its table (as the schema before says), or a
    /// table that is dropped has rows and the migration does not empty: [`State::holds`] was to be
    /// asked first.
    ///
    /// # Panics
    /// If the overlay holds anything later than `through`: [`State::rewind`] first.
    pub fn plan_migration(
        &self,
        through: Option<&Position>,
        extra: Vec<RowWrite>,
        migration: Migration,
    ) -> Result<Settlement, StoreError> {
        assert!(
            self.last_position() <= through,
            "a migration reads the rows at its cut: rewind to it first"
        );
        let mut settlement = self.plan_settle(through, extra)?;
        let old = &*self.0.schema;
        let new = &*migration.schema;
        let (mut cleared, mut rewritten) = (BTreeSet::new(), BTreeSet::new());
        let mut built: BTreeMap<TableId, Vec<usize>> = BTreeMap::new();
        let mut counts = vec![0; new.plans().len()];
        for plan in old.plans() {
            let count = settlement.changes.counts[plan.slot];
            match new.plan(plan.id) {
                Some(plan) => counts[plan.slot] = count,
                None if count > 0 && !migration.empties => {
                    let (table, id) = (plan.name.clone(), plan.id);
                    return Err(StoreError::TableChanged { table, id });
                }
                None => {
                    cleared.insert(Space::Rows(plan.id));
                    cleared.extend(plan.stored_indexes().map(|index| Space::Index(index.id)));
                }
            }
        }
        for (before, after) in migration.staying(old) {
            let rewrites = migration.rewrites(before, after);
            if rewrites {
                cleared.insert(Space::Rows(before.id));
                rewritten.insert(before.id);
            }
            for index in before.stored_indexes() {
                let stays = after.stored_indexes().any(|other| {
                    other.id == index.id
                        && after.index_fingerprint(other) == before.index_fingerprint(index)
                });
                if rewrites || !stays {
                    cleared.insert(Space::Index(index.id));
                }
            }
            for (place, index) in after.indexes.iter().enumerate() {
                let held = before.stored_indexes().any(|other| other.id == index.id);
                let space = Space::Index(index.id);
                if !index.is_row_key && (!held || cleared.contains(&space)) {
                    built.entry(after.id).or_default().push(place);
                }
            }
        }
        self.move_sum(&migration, &rewritten, &mut settlement)?;
        // What is written again from the rows need not be written as it was.
        settlement.changes.writes.retain(|(key, _)| {
            Space::of(key.as_bytes()).is_none_or(|space| !cleared.contains(&space))
        });
        self.bring(&migration, &mut settlement, &mut counts)?;
        settlement.moves = Some(Box::new(Moves {
            migration,
            cleared,
            rewritten,
            built,
            counts,
        }));
        Ok(settlement)
    }

    /// Writes what the migration brings along.
    fn bring(
        &self,
        migration: &Migration,
        settlement: &mut Settlement,
        counts: &mut Vec<u64>,
    ) -> Result<(), StoreError> {
        let changes = &mut settlement.changes;
        let mut totals = Totals {
            schema: &migration.schema,
            hasher: &self.0.hasher,
            sum: changes.sum.clone(),
            counts: std::mem::take(counts),
        };
        for (key, row) in migration.brought.iter() {
            totals.replace(key.as_bytes(), None, Some(row))?;
            changes.writes.push((key.clone(), Some(Row::clone(row))));
        }
        let Totals {
            sum, counts: after, ..
        } = totals;
        *counts = after;
        settlement.root = sum.root();
        changes.sum = sum;
        Ok(())
    }

    /// Brings the sum of rows to what it is after the migration.
    fn move_sum(
        &self,
        migration: &Migration,
        rewritten: &BTreeSet<TableId>,
        settlement: &mut Settlement,
    ) -> Result<(), StoreError> {
        let hasher = &self.0.hasher;
        let sum = &mut settlement.changes.sum;
        let (mut old_key, mut new_key) = (Vec::new(), Vec::new());
        let (mut ends, mut new_ends) = (Vec::new(), Vec::new());
        for (before, after) in migration.staying(&self.0.schema) {
            if !rewritten.contains(&before.id) {
                continue;
            }
            for row in self.view()?.rows(before)? {
                let row = row?;
                let cells = before
                    .cells(&row, &mut ends)
                    .map_err(|why| damaged_row(before, why))?;
                before
                    .row_key(&cells, &mut old_key)
                    .map_err(|why| damaged_row(before, why))?;
                hasher.take_away(sum, &old_key, &row);
                let row = [&row, migration.appended(before.id)].concat();
                let cells = after
                    .cells(&row, &mut new_ends)
                    .map_err(|why| damaged_row(after, why))?;
                after
                    .row_key(&cells, &mut new_key)
                    .map_err(|why| damaged_row(after, why))?;
                hasher.add(sum, &new_key, &row);
            }
        }
        let old = self.0.schema.plans().iter();
        let dropped = old.filter(|plan| migration.schema.plan(plan.id).is_none() && !plan.event);
        for plan in dropped {
            for row in self.view()?.rows(plan)? {
                let row = row?;
                let cells = plan
                    .cells(&row, &mut ends)
                    .map_err(|why| damaged_row(plan, why))?;
                plan.row_key(&cells, &mut old_key)
                    .map_err(|why| damaged_row(plan, why))?;
                hasher.take_away(sum, &old_key, &row);
            }
        }
        for key in ended_sequences(migration, &self.0.schema) {
            if let Some(held) = self.view()?.get_uncounted(&key)? {
                hasher.take_away(sum, &key, &held);
            }
        }
        settlement.root = sum.root();
        Ok(())
    }
}

/// Stored keys of the sequences that a migration ends: those it names, and all of dropped tables.
fn ended_sequences<'a>(
    migration: &'a Migration,
    old: &'a Schema,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let named = migration.sequences_ended.iter().copied();
    let dropped = old
        .tables()
        .iter()
        .filter(|table| migration.schema.table(table.id).is_none())
        .flat_map(|table| table.auto_inc.iter().map(|column| (table.id, *column)));
    let keys: BTreeSet<(TableId, u16)> = named.chain(dropped).collect();
    keys.into_iter().map(|(table, column)| {
        let mut key = Space::Sequences(table).bytes().to_vec();
        key.extend_from_slice(&column.to_be_bytes());
        key
    })
}

/// All rows of a table that are visible, as the migration makes them.
fn moved_rows<'a>(
    view: View<'a>,
    plan: &'a TablePlan,
    appended: &'a [u8],
) -> Result<impl Iterator<Item = Result<Vec<u8>, StoreError>> + 'a, StoreError> {
    Ok(view
        .rows(plan)?
        .map(move |row| Ok([&row?[..], appended].concat())))
}
