//! Table state of one database: the base on disk and the overlay above it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use sync_protocol::{Position, StateRoot};

use crate::base::{Base, BaseCaches, Stored};
use crate::crash_point::DiskFile;
use crate::discard::Discarder;
use crate::editor::Buffer;
use crate::error::{DataError, StoreError};
use crate::key::{Key, Space};
use crate::limits::BASE_CACHE_BYTES;
use crate::overlay::{Overlay, Row};
use crate::plan::{IndexPlan, TablePlan};
use crate::range::{KeyRange, Range};
use crate::reads::{Changed, Reading};
use crate::root::RowHasher;
use crate::schema::{IndexId, IndexKind, Schema, TableId};
use crate::spill::{OverlayBudget, Spill};
use crate::transaction::{CallContext, Transaction};
use crate::view::{ALL, View};
use crate::watch::Watch;

/// How a database's state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// Whether wide `auto_inc` columns count 1, 2, 3 too. Part of the database's genesis: all
    /// peers have the same.
    pub sequential_auto_inc: bool,
    /// Bytes of memory for pages and rows of the base file.
    pub base_cache_bytes: usize,
    /// Keys the hash that places rows in memory, so that nobody who writes rows can choose those that
    /// fall together. No outcome depends on it.
    pub cache_secret: u64,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self {
            sequential_auto_inc: false,
            base_cache_bytes: BASE_CACHE_BYTES,
            cache_secret: 0,
        }
    }
}

/// Table state: what the last cut left on disk, and above it the versions of the tail.
///
/// A pointer, cheap to move: a [`Transaction`] takes it and gives it back.
pub struct State(pub(crate) Box<Inner>);

pub(crate) struct Inner {
    pub(crate) schema: Arc<Schema>,
    pub(crate) options: StateOptions,
    pub(crate) base: Base,
    pub(crate) overlay: Overlay,
    pub(crate) spill: Spill,
    pub(crate) hasher: RowHasher,
    /// Grows whenever the overlay loses something, so that a stale plan is noticed.
    pub(crate) generation: u64,
    /// The last transaction's buffer, emptied: its allocations serve the next one.
    pub(crate) spare: Option<Box<Buffer>>,
    /// The last transaction's notes of what it read, emptied: the same.
    pub(crate) spare_reading: Option<Box<RefCell<Reading>>>,
    pub(crate) tracks_reads: bool,
    /// Of what somebody wants to know how it changes.
    pub(crate) watch: Option<Watch>,
    pub(crate) discarder: Discarder,
}

/// Versions of a key from which on it is written over and over.
const REWRITES: usize = 8;

impl State {
    /// Opens the base file, creating it if it is empty. The overlay starts empty: the tail has to
    /// be executed again.
    ///
    /// Indexes that the stored state does not have are built, those that the schema no longer has
    /// are dropped, before it returns.
    ///
    /// # Errors
    /// If the file cannot be read or written, or was written under other columns than the
    /// schema's.
    pub fn open(
        backend: Box<dyn DiskFile>,
        schema: Schema,
        options: StateOptions,
    ) -> Result<Self, StoreError> {
        Self::open_choosing(backend, options, |_| Ok(schema))
    }

    /// As [`State::open`], for a schema that the stored rows themselves tell: `choose` is shown
    /// them and says which.
    ///
    /// # Errors
    /// As [`State::open`], and what `choose` gives.
    pub fn open_choosing<E: From<StoreError>>(
        backend: Box<dyn DiskFile>,
        options: StateOptions,
        choose: impl FnOnce(&Stored<'_>) -> Result<Schema, E>,
    ) -> Result<Self, E> {
        let caches = BaseCaches {
            bytes: options.base_cache_bytes,
            secret: options.cache_secret,
        };
        let mut base = Base::open(backend, caches)?;
        let schema = choose(&Stored::of(&base))?;
        base.fit(&schema)?;
        Ok(Self(Box::new(Inner {
            overlay: Overlay::new(schema.tables().len()),
            spill: Spill::none(),
            schema: Arc::new(schema),
            options,
            base,
            hasher: RowHasher::new(),
            generation: 0,
            spare: None,
            spare_reading: None,
            tracks_reads: false,
            watch: None,
            discarder: Discarder::default(),
        })))
    }

    /// The same, with a file for the row versions of a tail that is too long for memory. What the
    /// file holds is lost. Without one everything stays in memory.
    ///
    /// # Panics
    /// If something has been spilled already.
    #[must_use]
    pub fn spilling_to(mut self, file: Box<dyn DiskFile>, budget: OverlayBudget) -> Self {
        assert_eq!(self.0.spill.len(), 0, "a tail is spilled to one file");
        self.0.spill = Spill::to(file, budget);
        self
    }

    /// How much of the tail stays in memory from now on; [`State::relieve`] keeps to it.
    pub fn set_overlay_budget(&mut self, budget: OverlayBudget) {
        self.0.spill.set_budget(budget);
    }

    /// Moves the oldest versions of the tail to the spill file if they take more memory than they
    /// may. Costs a comparison if they do not.
    ///
    /// # Errors
    /// If the disk fails. The state must not be used any more then.
    pub fn relieve(&mut self) -> Result<(), StoreError> {
        let Inner { spill, overlay, .. } = &mut *self.0;
        if spill.relieve(overlay)? {
            self.0.generation += 1;
        }
        Ok(())
    }

    /// Whether the tail fills more than half of the memory that it may: soon it has to be spilled.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.0.spill.is_pressed(&self.0.overlay)
    }

    /// Whether the tail in memory wrote so many versions or more, and a few keys over and over: each version takes time
    /// at a cut, each key too, and a cut sooner leaves fewer versions for the same keys.
    #[must_use]
    pub fn is_rewritten(&self, versions: usize) -> bool {
        let Inner { overlay, .. } = &*self.0;
        overlay.len() >= versions && overlay.keys_len() * REWRITES <= overlay.len()
    }

    /// Height of the last cut that was settled; `None` before the first.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.0.base.height()
    }

    /// The tables.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.0.schema
    }

    /// Starts the transaction of one call, on top of everything executed so far.
    ///
    /// # Panics
    /// If something at or after `context.position` has been executed: [`State::rewind`] first.
    #[must_use]
    pub fn begin(self, context: CallContext) -> Transaction {
        let last = self.last_position();
        assert!(
            last.is_none_or(|last| *last < context.position) || planted!(OrderByArrival),
            "a call must come after all executed ones: rewind to {:?} first",
            context.position
        );
        Transaction::begin(self, context, None)
    }

    /// From now on calls remember what they read.
    pub fn track_reads(&mut self) {
        self.0.tracks_reads = true;
    }

    /// Whether a call at this position can run, again or for the first time, while later ones
    /// stay: not if what it sees or wrote has been spilled.
    #[must_use]
    pub fn can_amend(&self, position: &Position) -> bool {
        let spilled = self.0.spill.last_position();
        spilled.is_none_or(|last| last < position)
    }

    /// Starts the transaction of a call that has its place amid others that have been executed: it
    /// sees those before it, and what it writes takes the place of what it wrote there before.
    ///
    /// # Panics
    /// Unless [`State::can_amend`].
    #[must_use]
    pub fn begin_amid(self, context: CallContext) -> Transaction {
        assert!(
            self.can_amend(&context.position),
            "what was spilled stays as it is: rewind to {:?} first",
            context.position
        );
        let before = self.0.overlay.label_at(&context.position);
        Transaction::begin(self, context, Some(before))
    }

    /// Takes back what the call at this position wrote, while later ones stay.
    ///
    /// # Panics
    /// Unless [`State::can_amend`].
    pub fn withdraw(&mut self, position: &Position) -> Changed {
        assert!(self.can_amend(position), "what was spilled stays as it is");
        let Inner { overlay, watch, .. } = &mut *self.0;
        if let Some(watch) = watch {
            watch.note_all(overlay.keys_at(position).iter(), overlay);
        }
        self.0.generation += 1;
        self.0.overlay.amend(*position, Vec::new(), Vec::new())
    }

    /// Position of the last call that wrote something.
    pub(crate) fn last_position(&self) -> Option<&Position> {
        let Inner { overlay, spill, .. } = &*self.0;
        overlay.last_position().or_else(|| spill.last_position())
    }

    /// Takes back everything executed at or after `from`.
    ///
    /// # Errors
    /// If the disk fails. The state must not be used any more then.
    pub fn rewind(&mut self, from: &Position) -> Result<(), StoreError> {
        let Inner {
            overlay,
            spill,
            generation,
            watch,
            ..
        } = &mut *self.0;
        if let Some(watch) = watch {
            watch.note_all(overlay.keys_from(from), overlay);
        }
        if overlay.rewind(from) {
            *generation += 1;
        }
        if let Some(watch) = watch
            && overlay.commits_len() == 0
            && spill.last_position().is_some_and(|last| last >= from)
            && let Some(spilled) = spill.at_end()?
        {
            watch.note_spill(spilled)?;
        }
        if overlay.commits_len() == 0
            && let Some((counts, next)) = spill.rewind(from)?
        {
            overlay.take_back_counts(&counts);
            overlay.restart_at(next);
            *generation += 1;
        }
        Ok(())
    }

    /// Root of the visible state. Costs two hashes per row that the tail has changed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn root(&self) -> Result<StateRoot, StoreError> {
        let Inner {
            base,
            overlay,
            spill,
            hasher,
            ..
        } = &*self.0;
        let mut sum = base.sum().clone();
        let mut replace = |key: &[u8], new: Option<&Row>| -> Result<(), StoreError> {
            if let Some(Space::Rows(_) | Space::Sequences(_)) = Space::of(key) {
                let old = base.get(key)?;
                if old.as_ref() != new {
                    old.iter()
                        .for_each(|row| hasher.take_away(&mut sum, key, row));
                    new.iter().for_each(|row| hasher.add(&mut sum, key, row));
                }
            }
            Ok(())
        };
        for (key, versions) in overlay.iter() {
            replace(key.as_bytes(), versions.visible())?;
        }
        if let Some(spilled) = spill.at_end()? {
            spilled.each(|key, value| match overlay.get(&Key::from(key)) {
                Some(_) => Ok(()),
                None => replace(key, value.as_ref()),
            })?;
        }
        Ok(sum.root())
    }

    /// Root of the state at the last cut.
    #[must_use]
    pub fn final_root(&self) -> StateRoot {
        self.0.base.sum().root()
    }

    /// The visible rows of a table, in key order, one after the other. An error ends them.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], or the store's failure.
    pub fn rows(
        &self,
        table: TableId,
    ) -> Result<impl Iterator<Item = Result<Row, StoreError>>, DataError> {
        Ok(self.view()?.rows(self.plan(table)?)?)
    }

    /// The same as they were after the calls up to and with `through`.
    ///
    /// # Errors
    /// As [`State::rows`].
    pub fn rows_through<'a>(
        &'a self,
        table: TableId,
        through: &Position,
    ) -> Result<impl Iterator<Item = Result<Row, StoreError>> + use<'a>, DataError> {
        let end = self.end_of(Some(through))?;
        let view = View {
            spill: self.0.spill.at(end)?,
            before: end,
            ..self.view()?
        };
        Ok(view.rows(self.plan(table)?)?)
    }

    /// How many visible rows a table has. Counted as they change, so it costs nothing.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`].
    pub fn row_count(&self, table: TableId) -> Result<u64, DataError> {
        let slot = self.plan(table)?.slot;
        Ok(self
            .0
            .base
            .count(slot)
            .saturating_add_signed(self.0.overlay.count(slot)))
    }

    /// The visible rows that a range of an index stands for, in the index's order, one after the
    /// other. An error ends them. (Index values that agree in their first 480 key bytes come in an
    /// order that is the same for all peers, but not by value.)
    ///
    /// # Errors
    /// [`DataError::NoSuchIndex`], [`DataError::WrongIndexAlgo`], [`DataError::Decode`], or the
    /// store's failure.
    pub fn scan_index<'a>(
        &'a self,
        index: IndexId,
        range: &Range<'_>,
    ) -> Result<impl Iterator<Item = Result<Row, StoreError>> + use<'a>, DataError> {
        let (plan, index) = index_plan(&self.0.schema, index)?;
        Ok(self
            .view()?
            .scan(plan, index, key_range(plan, index, range)?)?)
    }

    /// The rows of a table at the last cut, in key order.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], [`DataError::ScanTooLarge`], or the store's failure.
    pub fn final_rows(&self, table: TableId) -> Result<Vec<Row>, DataError> {
        let view = View {
            base: &self.0.base,
            spill: None,
            overlay: None,
            before: ALL,
            writes: None,
            recent: None,
            reads: None,
        };
        view.rows(self.plan(table)?)?.collect_bounded()
    }

    /// Bytes of memory that the tail's versions take, estimated; those in the spill file take none.
    #[must_use]
    pub fn overlay_bytes(&self) -> usize {
        self.0.overlay.bytes()
    }

    /// Versions of rows and index entries that the tail holds, spilled ones included.
    #[must_use]
    pub fn overlay_len(&self) -> usize {
        self.0.overlay.len() + self.0.spill.len()
    }

    /// Bytes of rows and keys in the spill file.
    #[must_use]
    pub fn spilled_bytes(&self) -> u64 {
        self.0.spill.bytes()
    }

    pub(crate) fn view(&self) -> Result<View<'_>, StoreError> {
        Ok(View {
            base: &self.0.base,
            spill: self.0.spill.at_end()?,
            overlay: Some(&self.0.overlay),
            before: ALL,
            writes: None,
            recent: None,
            reads: None,
        })
    }

    fn plan(&self, table: TableId) -> Result<&TablePlan, DataError> {
        self.0
            .schema
            .plan(table)
            .ok_or(DataError::NoSuchTable(table))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("height", &self.height())
            .field("overlay_len", &self.overlay_len())
            .finish_non_exhaustive()
    }
}

/// An index's plan, and its table's.
pub(crate) fn index_plan(
    schema: &Schema,
    index: IndexId,
) -> Result<(&TablePlan, &IndexPlan), DataError> {
    let (plan, place) = schema
        .index_plan(index)
        .ok_or(DataError::NoSuchIndex(index))?;
    Ok((plan, &plan.indexes[place]))
}

/// The stored keys of a range, if the index may be asked for it.
pub(crate) fn key_range(
    plan: &TablePlan,
    index: &IndexPlan,
    range: &Range<'_>,
) -> Result<KeyRange, DataError> {
    if index.kind == IndexKind::Hash && !range.is_point(index.columns.len()) {
        return Err(DataError::WrongIndexAlgo(index.id));
    }
    let range = range.simplified(index.columns.len());
    KeyRange::of(plan, index, &range).map_err(DataError::Decode)
}
