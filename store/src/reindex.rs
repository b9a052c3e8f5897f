//! Makes a stored state fit a schema with other indexes: new ones are built from the rows, dropped
//! ones go. Columns never change here.

use redb::Table;

use crate::base::{Base, INDEXES, ROWS, TABLES, write_fingerprints};
use crate::crash_point::CrashPoint;
use crate::error::StoreError;
use crate::key::Space;
use crate::plan::{IndexPlan, TablePlan};
use crate::range::KeyRange;
use crate::schema::{IndexId, Schema, TableId};
use crate::view::damaged_row;

impl Base {
    /// Checks that the stored rows were written under this schema's columns, and brings the
    /// indexes up to date in one transaction.
    pub(crate) fn fit(&mut self, schema: &Schema) -> Result<(), StoreError> {
        self.read_counts(schema)?;
        if self.height().is_none() {
            return Ok(());
        }
        let tables = self.fingerprints(TABLES)?;
        for (id, fingerprint) in &tables {
            let id = TableId(*id);
            match schema.plan(id) {
                Some(plan) if plan.fingerprint() == **fingerprint => {}
                Some(plan) => {
                    return Err(StoreError::TableChanged {
                        table: plan.name.clone(),
                        id,
                    });
                }
                None if self.stored_count(id.0)? == 0 => {}
                None => {
                    return Err(StoreError::TableChanged {
                        table: "without a name".to_owned(),
                        id,
                    });
                }
            }
        }
        let indexes = self.fingerprints(INDEXES)?;
        let fits = |plan: &TablePlan, index: &IndexPlan| {
            indexes
                .get(&index.id.0)
                .is_some_and(|held| *held == plan.index_fingerprint(index))
        };
        let stored = |id: u32| {
            let (plan, place) = schema.index_plan(IndexId(id))?;
            let index = &plan.indexes[place];
            (!index.is_row_key && fits(plan, index)).then_some(())
        };
        let gone: Vec<u32> = indexes
            .keys()
            .copied()
            .filter(|id| stored(*id).is_none())
            .collect();
        let new: Vec<(&TablePlan, &IndexPlan)> = schema
            .plans()
            .iter()
            .flat_map(|plan| plan.stored_indexes().map(move |index| (plan, index)))
            .filter(|(plan, index)| !fits(plan, index))
            .collect();
        let same_tables = tables.len() == schema.plans().len()
            && schema
                .plans()
                .iter()
                .all(|plan| tables.contains_key(&plan.id.0));
        if gone.is_empty() && new.is_empty() && same_tables {
            return Ok(());
        }
        let write = self.begin_write()?;
        {
            let mut rows = write.open_table(ROWS)?;
            for id in gone {
                let (low, high) = bounds(Space::Index(IndexId(id)));
                rows.retain_in::<&[u8], _>(low.as_slice()..high.as_slice(), |_, _| false)?;
            }
            self.passes(CrashPoint::IndexesDropped)?;
            for (plan, index) in new {
                self.build(plan, index, &mut rows)?;
            }
            write_fingerprints(&write, schema)?;
        }
        self.passes(CrashPoint::IndexesBuilt)?;
        write.commit()?;
        self.passes(CrashPoint::Reindexed)?;
        self.refresh()
    }

    /// Rows are read from the last commit while entries are written, so they need not fit into
    /// memory.
    fn build(
        &self,
        plan: &TablePlan,
        index: &IndexPlan,
        entries: &mut Table<'_, &'static [u8], &'static [u8]>,
    ) -> Result<(), StoreError> {
        let (low, high) = bounds(Space::Rows(plan.id));
        let (mut ends, mut key) = (Vec::new(), Vec::new());
        for item in self.stored_range(&low, &high)? {
            let (row_key, row) = item?;
            let damaged = |why| damaged_row(plan, why);
            let cells = plan.cells(row.value(), &mut ends).map_err(damaged)?;
            plan.entry_key(index, &cells, row_key.value(), &mut key)
                .map_err(damaged)?;
            if entries.insert(key.as_slice(), row_key.value())?.is_some() {
                let (index, id) = (index.name.clone(), index.id);
                return Err(StoreError::NotUnique { index, id });
            }
        }
        Ok(())
    }
}

pub(crate) fn bounds(space: Space) -> (Vec<u8>, Vec<u8>) {
    match KeyRange::space(space) {
        KeyRange::Between { low, high, .. } => (low, high),
        KeyRange::Point(_) => unreachable!("a space is never a point"),
    }
}
