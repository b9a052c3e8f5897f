//! Writes a migration: one transaction with everything the cut changes.

use redb::Table;

use super::{Moves, ended_sequences, moved_rows};
use crate::base::{
    Base, BaseChanges, ROWS, write_counts, write_fingerprints, write_keys, write_meta,
    write_spilled,
};
use crate::crash_point::CrashPoint;
use crate::error::StoreError;
use crate::overlay::Overlay;
use crate::plan::TablePlan;
use crate::reindex::bounds;
use crate::schema::Schema;
use crate::spill::SpillAt;
use crate::view::{ALL, View, damaged_row};

type Rows<'a> = Table<'a, &'static [u8], &'static [u8]>;

impl Base {
    /// Writes one cut and the migration that comes with it, durably, all or nothing. The
    /// `tail`, spill and overlay, holds exactly what the cut settles. Rows are read from the last commit while they are
    /// written, so they need not fit into memory; until it is done the file holds them twice.
    ///
    /// # Errors
    /// If the disk fails. The file then holds the state before or after the cut; open it again to
    /// see which.
    pub(crate) fn apply_migration(
        &mut self,
        changes: BaseChanges,
        height: u64,
        old: &Schema,
        tail: (Option<SpillAt<'_>>, &Overlay),
        moves: Moves,
    ) -> Result<(), StoreError> {
        let Moves {
            migration, counts, ..
        } = &moves;
        self.finish()?;
        let write = self.begin_write()?;
        {
            let mut rows = write.open_table(ROWS)?;
            let (spill, overlay) = tail;
            if let Some(spilled) = spill {
                write_spilled(spilled, &mut rows)?;
            }
            write_keys(&changes.writes, &mut rows)?;
            for space in &moves.cleared {
                let (low, high) = bounds(*space);
                rows.retain_in::<&[u8], _>(low.as_slice()..high.as_slice(), |_, _| false)?;
            }
            for key in ended_sequences(migration, old) {
                rows.remove(key.as_slice())?;
            }
            self.passes(CrashPoint::SpacesCleared)?;
            let view = View {
                base: self,
                spill,
                overlay: Some(overlay),
                before: ALL,
                writes: None,
                recent: None,
                reads: None,
            };
            for (before, after) in migration.staying(old) {
                moves.write_table(view, before, after, &mut rows)?;
            }
            write_meta(&write, height, &changes.sum)?;
            write_counts(&write, migration.schema(), counts)?;
            write_fingerprints(&write, migration.schema())?;
        }
        // A kept reader would keep the pages alive that this frees.
        self.forget_reader();
        self.passes(CrashPoint::RowsMoved)?;
        write.commit()?;
        self.passes(CrashPoint::Migrated)?;
        self.is_now(height, changes.sum, moves.counts)
    }
}

impl Moves {
    /// Writes the rows of one table again, and the entries that are made from them.
    fn write_table(
        &self,
        view: View<'_>,
        before: &TablePlan,
        after: &TablePlan,
        rows: &mut Rows<'_>,
    ) -> Result<(), StoreError> {
        let rewritten = self.rewritten.contains(&before.id);
        let built = self.built.get(&after.id).map_or(&[][..], Vec::as_slice);
        if after.event || (!rewritten && built.is_empty()) {
            return Ok(());
        }
        let appended = self.migration.appended(before.id);
        let (mut ends, mut row_key, mut key) = (Vec::new(), Vec::new(), Vec::new());
        for row in moved_rows(view, before, appended)? {
            let row = row?;
            let damaged = |why| damaged_row(after, why);
            let cells = after.cells(&row, &mut ends).map_err(damaged)?;
            after.row_key(&cells, &mut row_key).map_err(damaged)?;
            if rewritten && rows.insert(row_key.as_slice(), row.as_slice())?.is_some() {
                return Err(StoreError::damaged(format!(
                    "table {}: two rows have one primary key",
                    after.name
                )));
            }
            for place in built {
                let index = &after.indexes[*place];
                after
                    .entry_key(index, &cells, &row_key, &mut key)
                    .map_err(damaged)?;
                if rows.insert(key.as_slice(), row_key.as_slice())?.is_some() {
                    let (index, id) = (index.name.clone(), index.id);
                    return Err(StoreError::NotUnique { index, id });
                }
            }
        }
        Ok(())
    }
}
