//! Changes to rows: set semantics, unique checks, and index entries that follow their rows. All
//! goes into a buffer; what lies below is only read.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::btree_map::Entry;

use crate::base::Base;
use crate::error::{DataError, StoreError};
use crate::key::Key;
use crate::limits::{ROW_BYTES_MAX, ROW_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX};
use crate::overlay::{Overlay, Row};
use crate::plan::{Cells, IndexPlan, TablePlan};
use crate::reads::Reading;
use crate::recent::Recent;
use crate::sequence::Numbering;
use crate::spill::SpillAt;
use crate::view::{View, Write, Writes, damaged_row};

/// What a call has written so far.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) writes: Writes,
    pub(crate) recent: RefCell<Recent>,
    /// Space for the key of a row that is looked up.
    pub(crate) point_key: RefCell<Vec<u8>>,
    /// Change in the number of rows, by the table's slot.
    pub(crate) counts: Vec<(usize, i64)>,
    /// Whether a table of events is among what was written.
    pub(crate) events: bool,
    /// Numbers drawn by time.
    pub(crate) drawn: u64,
    bytes: usize,
    scratch: Scratch,
}

/// Space that every operation needs, kept so that it is allocated once.
#[derive(Debug, Default)]
struct Scratch {
    ends: Vec<u32>,
    old_ends: Vec<u32>,
    row_key: Vec<u8>,
    old_row_key: Vec<u8>,
    entry_key: Vec<u8>,
}

impl Buffer {
    /// Change in the number of rows of the table with this slot.
    pub(crate) fn count(&self, slot: usize) -> i64 {
        self.counts
            .iter()
            .find(|(counted, _)| *counted == slot)
            .map_or(0, |(_, change)| *change)
    }

    fn add_count(&mut self, slot: usize, change: i64) {
        match self.counts.iter_mut().find(|(counted, _)| *counted == slot) {
            Some((_, count)) => *count += change,
            None => self.counts.push((slot, change)),
        }
    }

    /// Sets a key. `old` is its value before this call, if the call has not written it yet.
    fn put(&mut self, key: &[u8], old: Option<Row>, new: Option<Row>) {
        let held = |row: &Option<Row>| row.as_ref().map_or(0, |row| row.len());
        self.bytes += ROW_OVERHEAD_BYTES + key.len() + held(&old) + held(&new);
        match self.writes.entry(Key::from(key)) {
            Entry::Occupied(held) => held.into_mut().new = new,
            Entry::Vacant(free) => {
                free.insert(Write { old, new });
            }
        }
    }

    /// Forgets everything, keeping the scratch space.
    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.recent.get_mut().clear();
        self.counts.clear();
        self.events = false;
        self.drawn = 0;
        self.bytes = 0;
    }
}

/// Changes rows in a buffer over the layers below.
pub(crate) struct Editor<'a> {
    pub(crate) base: &'a Base,
    pub(crate) spill: Option<SpillAt<'a>>,
    pub(crate) overlay: Option<&'a Overlay>,
    /// As in [`View`].
    pub(crate) before: u64,
    /// As in [`View`].
    pub(crate) reads: Option<&'a RefCell<Reading>>,
    pub(crate) buffer: &'a mut Buffer,
}

/// A walked row and its stored key.
#[derive(Clone, Copy)]
struct Side<'a> {
    cells: Cells<'a>,
    row_key: &'a [u8],
}

impl Editor<'_> {
    pub(crate) fn view(&self) -> View<'_> {
        View {
            base: self.base,
            spill: self.spill,
            overlay: self.overlay,
            before: self.before,
            reads: self.reads,
            writes: Some(&self.buffer.writes),
            recent: Some(&self.buffer.recent),
        }
    }

    /// Runs `work` with the scratch space taken out, and puts it back.
    fn with_scratch<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Scratch) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        if self.buffer.bytes > TRANSACTION_BYTES_MAX {
            return Err(DataError::TransactionTooLarge);
        }
        let mut scratch = std::mem::take(&mut self.buffer.scratch);
        let result = work(self, &mut scratch);
        self.buffer.scratch = scratch;
        result
    }

    /// Inserts a row; see [`Transaction::insert`](crate::Transaction::insert).
    pub(crate) fn insert(
        &mut self,
        plan: &TablePlan,
        numbering: &Numbering,
        row: &[u8],
    ) -> Result<Vec<u8>, DataError> {
        self.with_scratch(|editor, scratch| {
            let Scratch {
                ends,
                row_key,
                entry_key,
                ..
            } = scratch;
            let mut row = Cow::Borrowed(row);
            let numbers = editor.number(plan, numbering, &mut row, ends)?;
            let cells = plan.cells(&row, ends).map_err(DataError::Decode)?;
            plan.row_key(&cells, row_key).map_err(DataError::Decode)?;
            if let Some(held) = editor.view().get(plan.slot, row_key)? {
                if *held == *row {
                    return Ok(numbers);
                }
                return Err(taken(&plan.name));
            }
            editor.check_unique(plan, None, &cells, entry_key)?;
            let side = Side { cells, row_key };
            editor.write_entries(plan, None, Some(side), entry_key)?;
            editor.buffer.put(row_key, None, Some(Row::from(&*row)));
            editor.buffer.add_count(plan.slot, 1);
            editor.buffer.events |= plan.event;
            Ok(numbers)
        })
    }

    /// Replaces the row with the same value of a unique index; see
    /// [`Transaction::update`](crate::Transaction::update).
    pub(crate) fn update(
        &mut self,
        plan: &TablePlan,
        index: &IndexPlan,
        numbering: &Numbering,
        row: &[u8],
    ) -> Result<Vec<u8>, DataError> {
        self.with_scratch(|editor, scratch| {
            let Scratch {
                ends,
                old_ends,
                row_key,
                old_row_key,
                entry_key,
            } = scratch;
            let mut row = Cow::Borrowed(row);
            let numbers = editor.number(plan, numbering, &mut row, ends)?;
            let cells = plan.cells(&row, ends).map_err(DataError::Decode)?;
            plan.row_key(&cells, row_key).map_err(DataError::Decode)?;

            let old = if index.is_row_key {
                old_row_key.clone_from(row_key);
                editor.view().get(plan.slot, row_key)?
            } else {
                plan.entry_key(index, &cells, row_key, entry_key)
                    .map_err(DataError::Decode)?;
                let held = editor
                    .view()
                    .get(plan.slot, entry_key)?
                    .ok_or(DataError::NoSuchRow)?;
                old_row_key.clear();
                old_row_key.extend_from_slice(&held);
                editor.view().get(plan.slot, &held)?
            };
            let old = match old {
                Some(old) => old,
                None if index.is_row_key => return Err(DataError::NoSuchRow),
                None => return Err(StoreError::damaged("index: an entry without a row").into()),
            };
            if *old == *row {
                return Ok(numbers);
            }
            let moves = old_row_key != row_key;
            if moves && editor.view().get(plan.slot, row_key)?.is_some() {
                return Err(taken(&plan.name));
            }
            let old_cells = plan
                .cells(&old, old_ends)
                .map_err(|why| damaged_row(plan, why))?;
            editor.check_unique(plan, Some(&old_cells), &cells, entry_key)?;
            let before = Side {
                cells: old_cells,
                row_key: old_row_key,
            };
            let after = Side { cells, row_key };
            editor.write_entries(plan, Some(before), Some(after), entry_key)?;
            if moves {
                editor.buffer.put(old_row_key, Some(Row::clone(&old)), None);
                editor.buffer.put(row_key, None, Some(Row::from(&*row)));
            } else {
                editor
                    .buffer
                    .put(row_key, Some(Row::clone(&old)), Some(Row::from(&*row)));
            }
            editor.buffer.events |= plan.event;
            Ok(numbers)
        })
    }

    /// Deletes a row that is exactly this one. Tells whether there was one.
    pub(crate) fn delete_equal(&mut self, plan: &TablePlan, row: &[u8]) -> Result<bool, DataError> {
        self.with_scratch(|editor, scratch| {
            let Scratch {
                ends,
                row_key,
                entry_key,
                ..
            } = scratch;
            let cells = plan.cells(row, ends).map_err(DataError::Decode)?;
            plan.row_key(&cells, row_key).map_err(DataError::Decode)?;
            match editor.view().get(plan.slot, row_key)? {
                Some(held) if *held == *row => {
                    editor.delete(plan, Side { cells, row_key }, held.clone(), entry_key)?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }

    /// Deletes a row that a scan of the same view has just found.
    pub(crate) fn delete_found(&mut self, plan: &TablePlan, row: &Row) -> Result<(), DataError> {
        self.with_scratch(|editor, scratch| {
            let Scratch {
                ends,
                row_key,
                entry_key,
                ..
            } = scratch;
            let damaged = |why| damaged_row(plan, why);
            let cells = plan.cells(row, ends).map_err(damaged)?;
            plan.row_key(&cells, row_key).map_err(damaged)?;
            editor.delete(plan, Side { cells, row_key }, row.clone(), entry_key)
        })
    }

    /// Makes the row with this key exactly this one, or go: what a cut writes. Returns whether
    /// that changed anything.
    pub(crate) fn set(
        &mut self,
        plan: &TablePlan,
        row: &[u8],
        delete: bool,
    ) -> Result<bool, DataError> {
        let held = self.with_scratch(|editor, scratch| {
            let Scratch { ends, row_key, .. } = scratch;
            let cells = plan.cells(row, ends).map_err(DataError::Decode)?;
            plan.row_key(&cells, row_key).map_err(DataError::Decode)?;
            Ok(editor.view().get(plan.slot, row_key)?)
        })?;
        if let Some(held) = &held {
            if !delete && **held == *row {
                return Ok(false);
            }
            self.delete_found(plan, held)?;
        }
        if !delete {
            self.insert(plan, &Numbering::AsGiven, row)?;
        }
        Ok(held.is_some() || !delete)
    }

    fn delete(
        &mut self,
        plan: &TablePlan,
        side: Side<'_>,
        row: Row,
        entry_key: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        self.write_entries(plan, Some(side), None, entry_key)?;
        self.buffer.put(side.row_key, Some(row), None);
        self.buffer.add_count(plan.slot, -1);
        Ok(())
    }

    /// Gives numbers to the `auto_inc` columns that are 0, and returns them.
    fn number(
        &mut self,
        plan: &TablePlan,
        numbering: &Numbering,
        row: &mut Cow<'_, [u8]>,
        ends: &mut Vec<u32>,
    ) -> Result<Vec<u8>, DataError> {
        if row.len() > ROW_BYTES_MAX {
            return Err(DataError::RowTooLarge { bytes: row.len() });
        }
        let mut numbers = Vec::new();
        if plan.auto_inc.is_empty() || matches!(numbering, Numbering::AsGiven) {
            return Ok(numbers);
        }
        for auto_inc in &plan.auto_inc {
            let cells = plan.cells(row, ends).map_err(DataError::Decode)?;
            if cells.cell(auto_inc.column).iter().all(|byte| *byte == 0) {
                let start = cells.start(auto_inc.column);
                let number = self.draw(plan, auto_inc, numbering)?;
                let number = &number[..auto_inc.width];
                row.to_mut()[start..start + auto_inc.width].copy_from_slice(number);
                numbers.extend_from_slice(number);
            }
        }
        Ok(numbers)
    }

    /// Sets the last number of a sequence.
    pub(crate) fn put_sequence(&mut self, key: &[u8], old: Option<Row>, last: u128) {
        self.buffer
            .put(key, old, Some(Row::from(last.to_le_bytes().as_slice())));
    }

    /// Whether another row holds a value that the new row has in a unique index. Where the old
    /// row has the same, the entry is its own.
    fn check_unique(
        &self,
        plan: &TablePlan,
        old: Option<&Cells<'_>>,
        new: &Cells<'_>,
        entry_key: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        for index in plan.stored_indexes().filter(|index| index.unique) {
            if old.is_some_and(|old| plan.same_in(index, old, new)) {
                continue;
            }
            plan.entry_key(index, new, &[], entry_key)
                .map_err(DataError::Decode)?;
            if self.view().get(plan.slot, entry_key)?.is_some() {
                return Err(taken(&index.name));
            }
        }
        Ok(())
    }

    /// Moves the entries of all indexes from the old row to the new one.
    fn write_entries(
        &mut self,
        plan: &TablePlan,
        old: Option<Side<'_>>,
        new: Option<Side<'_>>,
        entry_key: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        // One allocation serves the entries of all indexes, and none is made without an index.
        let (mut old_value, mut new_value) = (None, None);
        let value = |value: &mut Option<Row>, side: Side<'_>| {
            value.get_or_insert_with(|| Row::from(side.row_key)).clone()
        };
        for index in plan.stored_indexes() {
            let same = match (&old, &new) {
                (Some(old), Some(new)) => plan.same_in(index, &old.cells, &new.cells),
                _ => false,
            };
            match (old, new) {
                (Some(old), Some(new)) if same && old.row_key == new.row_key => {}
                (Some(old), Some(new)) if same && index.unique => {
                    plan.entry_key(index, &new.cells, new.row_key, entry_key)
                        .map_err(DataError::Decode)?;
                    let (old, new) = (value(&mut old_value, old), value(&mut new_value, new));
                    self.buffer.put(entry_key, Some(old), Some(new));
                }
                _ => {
                    if let Some(old) = old {
                        plan.entry_key(index, &old.cells, old.row_key, entry_key)
                            .map_err(|why| damaged_row(plan, why))?;
                        self.buffer
                            .put(entry_key, Some(value(&mut old_value, old)), None);
                    }
                    if let Some(new) = new {
                        plan.entry_key(index, &new.cells, new.row_key, entry_key)
                            .map_err(DataError::Decode)?;
                        self.buffer
                            .put(entry_key, None, Some(value(&mut new_value, new)));
                    }
                }
            }
        }
        Ok(())
    }
}

fn taken(index: &str) -> DataError {
    DataError::UniqueAlreadyExists {
        index: index.to_owned(),
    }
}
