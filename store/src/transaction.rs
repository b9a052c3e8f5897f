//! The transaction of one call: it reads what is visible and its own writes, and either all of
//! its writes become a version of the overlay, or none.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::sync::Arc;

use sync_protocol::{Hlc, Position};

use crate::editor::{Buffer, Editor};
use crate::error::DataError;
use crate::key::{Key, Space};
use crate::layout;
use crate::overlay::Row;
use crate::plan::TablePlan;
use crate::range::{KeyRange, Range, point_key, unique_point};
use crate::reads::{Changed, ReadMark, Reading, Reads};
use crate::schema::{IndexId, Schema, TableId};
use crate::sequence::Numbering;
use crate::state::{State, index_plan, key_range};
use crate::view::{ALL, View, Write};

/// When a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Its place in the one order: the version of what it writes.
    pub position: Position,
    /// Its own time, from which wide `auto_inc` columns are numbered.
    pub time: Hlc,
}

/// One row that a transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: TableId,
    /// The row before, if there was one.
    pub old: Option<Row>,
    /// The row after, if there is one. For a table of events: the event.
    pub new: Option<Row>,
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The state, with what the call wrote if that was kept.
    pub state: State,
    /// The events that it told, in key order.
    pub events: Vec<RowChange>,
    /// What it read, if [`State::track_reads`] asked for it.
    pub reads: Option<Reads>,
    /// What is different for calls that ran before, at later positions.
    pub changed: Changed,
}

/// A call's transaction. Owns the state, so that it can live wherever the call does.
pub struct Transaction {
    state: State,
    context: CallContext,
    numbering: Numbering,
    /// Boxed, as what follows: a transaction moves a dozen times between the core and the module.
    buffer: Box<Buffer>,
    reads: Option<Box<RefCell<Reading>>>,
    /// Of the tail it sees commits with labels before this one.
    before: u64,
    /// Whether calls at later positions have been executed.
    amid: bool,
    /// Whether the store itself failed: then nothing here may become an outcome.
    failed: Cell<bool>,
}

impl Transaction {
    /// With `before`, amid calls at later positions: it sees commits with labels before that.
    pub(crate) fn begin(mut state: State, context: CallContext, before: Option<u64>) -> Self {
        let numbering = if state.0.options.sequential_auto_inc {
            Numbering::BySequence
        } else {
            Numbering::ByTime(context.time)
        };
        let buffer = state.0.spare.take().unwrap_or_default();
        let tracks = state.0.tracks_reads;
        let reads = tracks.then(|| state.0.spare_reading.take().unwrap_or_default());
        Self {
            state,
            context,
            numbering,
            buffer,
            reads,
            before: before.unwrap_or(ALL),
            amid: before.is_some(),
            failed: Cell::new(false),
        }
    }

    /// The tables.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        self.state.schema()
    }

    /// When the call runs.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// Inserts a row, BSATN of all columns. A row that is already there stays as it is.
    ///
    /// Returns the numbers given to `auto_inc` columns that were 0: BSATN, in column order.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], [`Decode`](DataError::Decode),
    /// [`RowTooLarge`](DataError::RowTooLarge),
    /// [`UniqueAlreadyExists`](DataError::UniqueAlreadyExists) if another row has the same primary
    /// key or the same value of a unique index, [`AutoIncOverflow`](DataError::AutoIncOverflow),
    /// [`TransactionTooLarge`](DataError::TransactionTooLarge). Rows are then as before; drawn
    /// numbers stay drawn.
    pub fn insert(&mut self, table: TableId, row: &[u8]) -> Result<Vec<u8>, DataError> {
        let numbering = self.numbering;
        self.edit(|schema, mut editor| {
            let plan = schema.plan(table).ok_or(DataError::NoSuchTable(table))?;
            editor.insert(plan, &numbering, row)
        })
    }

    /// Replaces the row that has the same value of a unique index by this one.
    ///
    /// Returns the numbers given to `auto_inc` columns that were 0: BSATN, in column order.
    ///
    /// # Errors
    /// As [`Transaction::insert`], and [`DataError::NoSuchIndex`] also for an index of another
    /// table, [`IndexNotUnique`](DataError::IndexNotUnique), [`NoSuchRow`](DataError::NoSuchRow).
    pub fn update(
        &mut self,
        table: TableId,
        index: IndexId,
        row: &[u8],
    ) -> Result<Vec<u8>, DataError> {
        let numbering = self.numbering;
        self.edit(|schema, mut editor| {
            if schema.plan(table).is_none() {
                return Err(DataError::NoSuchTable(table));
            }
            let (plan, found) = index_plan(schema, index)?;
            if plan.id != table {
                return Err(DataError::NoSuchIndex(index));
            }
            if !found.unique {
                return Err(DataError::IndexNotUnique(index));
            }
            editor.update(plan, found, &numbering, row)
        })
    }

    /// Deletes the rows of `relation`, BSATN of a list of rows. Returns how many there were.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], [`Decode`](DataError::Decode): nothing is deleted then.
    /// [`TransactionTooLarge`](DataError::TransactionTooLarge): some may be.
    pub fn delete_all_by_eq(&mut self, table: TableId, relation: &[u8]) -> Result<u32, DataError> {
        self.edit(|schema, mut editor| {
            let plan = schema.plan(table).ok_or(DataError::NoSuchTable(table))?;
            let mut deleted = 0;
            for row in rows_of_relation(plan, relation)? {
                deleted += u32::from(editor.delete_equal(plan, row)?);
            }
            Ok(deleted)
        })
    }

    /// Deletes all rows of a table. Returns how many there were.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], [`ScanTooLarge`](DataError::ScanTooLarge): nothing is deleted
    /// then. [`TransactionTooLarge`](DataError::TransactionTooLarge): some may be.
    pub fn clear(&mut self, table: TableId) -> Result<u64, DataError> {
        self.edit(|schema, mut editor| {
            let plan = schema.plan(table).ok_or(DataError::NoSuchTable(table))?;
            let rows = editor.view().rows(plan)?.collect_bounded()?;
            rows.iter()
                .try_for_each(|row| editor.delete_found(plan, row))?;
            Ok(rows.len() as u64)
        })
    }

    /// Deletes the rows that a range of an index stands for. Returns how many there were.
    ///
    /// # Errors
    /// As [`Transaction::scan_range`]: nothing is deleted then.
    /// [`TransactionTooLarge`](DataError::TransactionTooLarge): some may be.
    pub fn delete_by_range(&mut self, index: IndexId, range: &Range<'_>) -> Result<u32, DataError> {
        self.edit(|schema, mut editor| {
            let (plan, index) = index_plan(schema, index)?;
            let range = key_range(plan, index, range)?;
            let rows = editor.view().scan(plan, index, range)?.collect_bounded()?;
            rows.iter()
                .try_for_each(|row| editor.delete_found(plan, row))?;
            Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
        })
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`].
    pub fn row_count(&self, table: TableId) -> Result<u64, DataError> {
        let plan = self
            .schema()
            .plan(table)
            .ok_or(DataError::NoSuchTable(table))?;
        if let Some(reads) = &self.reads
            && !planted!(ForgetCountRead)
        {
            reads.borrow_mut().count(plan.slot);
        }
        let inner = &*self.state.0;
        let tail = match self.amid {
            true => inner.overlay.count_before(plan.slot, self.before),
            false => inner.overlay.count(plan.slot),
        };
        Ok(inner
            .base
            .count(plan.slot)
            .saturating_add_signed(tail)
            .saturating_add_signed(self.buffer.count(plan.slot)))
    }

    /// All rows of a table, in key order.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], [`ScanTooLarge`](DataError::ScanTooLarge).
    pub fn scan(&self, table: TableId) -> Result<Vec<Row>, DataError> {
        self.look(|schema, view| {
            let plan = schema.plan(table).ok_or(DataError::NoSuchTable(table))?;
            view.rows(plan)?.collect_bounded()
        })
    }

    /// The rows that a range of an index stands for, in the index's order; see
    /// [`State::scan_index`] for very long values.
    ///
    /// # Errors
    /// [`DataError::NoSuchIndex`], [`Decode`](DataError::Decode),
    /// [`WrongIndexAlgo`](DataError::WrongIndexAlgo) if the index answers points only,
    /// [`ScanTooLarge`](DataError::ScanTooLarge).
    pub fn scan_range(&self, index: IndexId, range: &Range<'_>) -> Result<Vec<Row>, DataError> {
        let mut rows = Vec::new();
        self.scan_range_into(index, range, &mut rows)?;
        Ok(rows)
    }

    /// The same, into a list that was used before: what it held is gone.
    ///
    /// # Errors
    /// As [`Transaction::scan_range`].
    pub fn scan_range_into(
        &self,
        index: IndexId,
        range: &Range<'_>,
        rows: &mut Vec<Row>,
    ) -> Result<(), DataError> {
        rows.clear();
        self.look(|schema, view| {
            let (plan, index) = index_plan(schema, index)?;
            if let Some(values) = unique_point(index, range) {
                let mut key = self.buffer.point_key.borrow_mut();
                point_key(plan, index, values, &mut key).map_err(DataError::Decode)?;
                rows.extend(view.point(plan, index, &key)?);
                return Ok(());
            }
            let scan = view.scan(plan, index, key_range(plan, index, range)?)?;
            *rows = scan.collect_bounded()?;
            Ok(())
        })
    }

    /// What reading a point of a unique index is noted as, for calls that need not read it because they
    /// know what is there.
    ///
    /// # Errors
    /// [`DataError::NoSuchIndex`], [`Decode`](DataError::Decode),
    /// [`IndexNotUnique`](DataError::IndexNotUnique).
    pub fn read_mark(&self, index: IndexId, point: &[u8]) -> Result<ReadMark, DataError> {
        let (plan, found) = index_plan(self.schema(), index)?;
        match key_range(plan, found, &Range::point(point))? {
            KeyRange::Point(key) => Ok(ReadMark::of(&key)),
            KeyRange::Between { .. } => Err(DataError::IndexNotUnique(index)),
        }
    }

    /// Notes a read, as if it had been made.
    pub fn note_read(&self, mark: &ReadMark) {
        if let Some(reads) = &self.reads {
            reads.borrow_mut().mark(mark);
        }
    }

    /// The rows of a table that are different now, in key order.
    pub fn changes_of(&self, table: TableId) -> impl Iterator<Item = RowChange> {
        let space = Space::Rows(table).bytes();
        let writes = self.buffer.writes.range(Key::from(&space[..])..);
        let writes = writes.take_while(move |(key, _)| key.as_bytes().starts_with(&space));
        let changed = writes.filter(|(_, write)| write.old != write.new);
        changed.map(move |(_, write)| RowChange {
            table,
            old: write.old.clone(),
            new: write.new.clone(),
        })
    }

    /// Forgets what was written. What was read stays noted: whatever the call does instead depends on
    /// it.
    pub fn undo(&mut self) {
        self.buffer.clear();
    }

    /// Keeps what the call did. Returns the rows that are different now, in key order, events
    /// among them.
    ///
    /// # Panics
    /// If the store failed during the call: the caller must stop then, not go on.
    #[must_use]
    pub fn commit(mut self) -> (State, Vec<RowChange>) {
        let (changes, _) = self.keep(true);
        (self.give_back(), changes)
    }

    /// Keeps what the call did, or forgets it.
    ///
    /// # Panics
    /// As [`Transaction::commit`].
    #[must_use]
    pub fn end(mut self, keep: bool) -> Ended {
        let reads = self.reads.as_mut().map(|reads| reads.get_mut().take());
        let (events, changed) = match keep {
            true => self.keep(false),
            false => (Vec::new(), self.forget()),
        };
        Ended {
            state: self.give_back(),
            events,
            reads,
            changed,
        }
    }

    /// A call that ran before at this position and fails now has written nothing.
    fn forget(&mut self) -> Changed {
        match self.amid {
            true => self.state.withdraw(&self.context.position),
            false => Changed::default(),
        }
    }

    /// Gives the events that were told; with `all`, all rows that are different.
    fn keep(&mut self, all: bool) -> (Vec<RowChange>, Changed) {
        assert!(
            !self.failed.get(),
            "a call during which the store failed has no outcome"
        );
        let inner = &mut *self.state.0;
        if self.buffer.events {
            drop_events_entries(&inner.schema, &mut self.buffer);
        }
        let mut changes = Vec::new();
        let mut counts = mem::take(&mut self.buffer.counts);
        counts.retain(|(slot, change)| *change != 0 && !inner.schema.plans()[*slot].event);
        let schema = &inner.schema;
        let events = self.buffer.events;
        let writes = mem::take(&mut self.buffer.writes);
        if let Some(watch) = &mut inner.watch {
            let overlay = &inner.overlay;
            if self.amid {
                watch.note_all(overlay.keys_at(&self.context.position).iter(), overlay);
            }
            // Amid others, a later call's version of a row is what is visible.
            for (key, write) in writes.iter().filter(|(_, write)| write.old != write.new) {
                watch.note(key, || match overlay.get(key) {
                    Some(versions) if self.amid => versions.visible().cloned(),
                    _ => write.old.clone(),
                });
            }
        }
        let kept = writes.into_iter().filter_map(|(key, write)| {
            let Write { old, new } = write;
            if old == new {
                return None;
            }
            if (all || events)
                && let Some(Space::Rows(table)) = Space::of(key.as_bytes())
            {
                let is_event = events && schema.plan(table).is_some_and(|plan| plan.event);
                if all || is_event {
                    changes.push(RowChange {
                        table,
                        old,
                        new: new.clone(),
                    });
                }
                if is_event {
                    return None;
                }
            }
            Some((key, new))
        });
        let position = self.context.position;
        let mut changed = Changed::default();
        if self.amid {
            let kept = kept.collect();
            changed = inner.overlay.amend(position, kept, counts);
            inner.generation += 1;
        } else {
            inner.overlay.commit(position, kept, counts);
        }
        (changes, changed)
    }

    /// Forgets what the call did.
    #[must_use]
    pub fn abort(self) -> State {
        self.end(false).state
    }

    fn give_back(mut self) -> State {
        self.buffer.clear();
        self.state.0.spare = Some(self.buffer);
        if let Some(mut reads) = self.reads {
            reads.get_mut().clear();
            self.state.0.spare_reading = Some(reads);
        }
        self.state
    }

    fn edit<T>(
        &mut self,
        work: impl FnOnce(&Schema, Editor<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let inner = &*self.state.0;
        let buffer = &mut self.buffer;
        let result = match inner.spill.at_end() {
            Ok(spill) => {
                let editor = Editor {
                    base: &inner.base,
                    spill,
                    overlay: Some(&inner.overlay),
                    before: self.before,
                    reads: self.reads.as_deref(),
                    buffer,
                };
                work(&inner.schema, editor)
            }
            Err(failed) => Err(failed.into()),
        };
        self.note_failure(&result);
        result
    }

    fn look<T>(
        &self,
        work: impl FnOnce(&Schema, View<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let inner = &*self.state.0;
        let result = match inner.spill.at_end() {
            Ok(spill) => {
                let view = View {
                    base: &inner.base,
                    spill,
                    overlay: Some(&inner.overlay),
                    before: self.before,
                    reads: self.reads.as_deref(),
                    writes: (!self.buffer.writes.is_empty()).then_some(&self.buffer.writes),
                    recent: Some(&self.buffer.recent),
                };
                work(&inner.schema, view)
            }
            Err(failed) => Err(failed.into()),
        };
        self.note_failure(&result);
        result
    }

    fn note_failure<T>(&self, result: &Result<T, DataError>) {
        if let Err(error) = result
            && error.is_fatal()
        {
            self.failed.set(true);
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("context", &self.context)
            .field("writes", &self.buffer.writes.len())
            .finish_non_exhaustive()
    }
}

/// The rows of a BSATN list, all of them checked.
fn rows_of_relation<'a>(plan: &TablePlan, relation: &'a [u8]) -> Result<Vec<&'a [u8]>, DataError> {
    let mut rest = relation;
    let count = layout::take_count(&mut rest).map_err(DataError::Decode)?;
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..count {
        let row = plan
            .take_row(&mut rest, &mut ends)
            .map_err(DataError::Decode)?;
        rows.push(row);
        if row.is_empty() {
            // Rows without bytes are all the same, and no bytes bound how many are announced.
            break;
        }
    }
    if rest.is_empty() {
        Ok(rows)
    } else {
        Err(DataError::Decode("bytes are left over after the rows"))
    }
}

/// Events are never kept, so the entries that made their unique checks go too.
fn drop_events_entries(schema: &Schema, buffer: &mut Buffer) {
    buffer
        .writes
        .retain(|key: &Key, _| match Space::of(key.as_bytes()) {
            Some(Space::Index(index)) => schema
                .index_plan(index)
                .is_some_and(|(plan, _)| !plan.event),
            _ => true,
        });
}
