//! Settling: at a cut, what the tail wrote up to its end moves into the base. First planned, with
//! the state root that results, then written in one transaction.
//!
//! What the overlay holds is gathered, as it fits into memory. What the spill holds is not: it is
//! walked once for the plan, and once more when it is written.
//!
//! Both halves of a large cut can be done [aside](crate::aside), while calls go on: then the plan is
//! good for as long as nothing changes that it covers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sync_protocol::{Position, StateRoot};

use crate::aside::{Aside, Work, give_way};
use crate::base::{Base, BaseChanges, BaseReader, KEYS_A_STEP};
use crate::crash_point::CrashPoint;
use crate::editor::{Buffer, Editor};
use crate::error::{DataError, StoreError};
use crate::key::{Key, Space};
use crate::migrate::Moves;
use crate::overlay::{Overlay, Row};
use crate::root::{RowHasher, RowSum};
use crate::schema::{Schema, TableId};
use crate::state::{Inner, State};
use crate::versions::Versions;
use crate::view::{ALL, Write};

/// A row that a cut writes by itself, beside what calls wrote: the row with this key becomes
/// exactly this one, or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// The table.
    pub table: TableId,
    /// BSATN of all columns.
    pub row: Vec<u8>,
    /// Whether the row with this row's key goes; its other columns do not matter then.
    pub delete: bool,
}

/// What settling will write, and the state root that results.
pub struct Settlement {
    /// Root of the state at the cut.
    pub root: StateRoot,
    pub(crate) changes: BaseChanges,
    /// How many values come from the spill.
    spilled: usize,
    /// The other schema that comes with the cut, if one does.
    pub(crate) moves: Option<Box<Moves>>,
    /// A label above those of the commits that leave the tail, and of no others.
    end: u64,
    /// Labels below it of commits that stay in the tail all the same.
    staying: BTreeSet<u64>,
    basis: Basis,
}

/// What a settlement was planned on.
#[derive(Clone, Copy)]
enum Basis {
    /// The whole overlay, of this generation.
    Generation(u64),
    /// What it covers of the overlay, watched under this number while it was planned aside.
    Watch(u64),
}

/// A settlement that is being planned aside. Dropping it waits for a thread that does it.
#[derive(Debug)]
pub struct Planning(Work<Result<Settlement, StoreError>>);

impl Planning {
    /// Looks whether it is done.
    pub fn is_done(&mut self) -> bool {
        self.0.is_done()
    }

    /// The settlement, once it is done. Whether it is still good, [`State::can_settle`] says.
    ///
    /// # Errors
    /// If the disk failed.
    ///
    /// # Panics
    /// If the planning did.
    pub fn wait(self) -> Result<Settlement, StoreError> {
        self.0.wait()
    }
}

impl Settlement {
    /// Rows, index entries and sequences that will be written or deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.writes.len() + self.spilled
    }

    /// Whether the state stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.moves.is_none()
    }
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement")
            .field("root", &self.root)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Works out what a cut writes: everything executed up to and with `through` (`None`: nothing
    /// of the overlay), then `extra`, in its order. Changes nothing.
    ///
    /// # Errors
    /// If the disk fails, or a row of `extra` does not fit its table.
    pub fn plan_settle(
        &self,
        through: Option<&Position>,
        extra: Vec<RowWrite>,
    ) -> Result<Settlement, StoreError> {
        self.plan_before(self.end_of(through)?, BTreeSet::new(), extra)
    }

    /// The same, of commits with labels below `end`, without those that are `staying`.
    pub(crate) fn plan_before(
        &self,
        end: u64,
        staying: BTreeSet<u64>,
        extra: Vec<RowWrite>,
    ) -> Result<Settlement, StoreError> {
        let Inner {
            schema,
            base,
            overlay,
            spill,
            hasher,
            generation,
            ..
        } = &*self.0;
        let spilled = spill.at(end)?;
        let mut buffer = Buffer::default();
        for (key, value) in overlay.settling_but(end, &staying) {
            let old = old_of(base, key.as_bytes())?;
            let mut new = value.clone();
            if planted!(FlushPastTheCut) {
                new = overlay.get(key).and_then(Versions::visible).cloned();
            }
            buffer.writes.insert(key.clone(), Write { old, new });
        }
        for write in extra {
            let bad = |why: String| StoreError::BadWrite {
                table: write.table,
                why,
            };
            let plan = schema
                .plan(write.table)
                .ok_or_else(|| bad("no such table".to_owned()))?;
            if plan.event {
                return Err(bad("events are never kept".to_owned()));
            }
            let mut editor = Editor {
                base,
                spill: spilled,
                overlay: None,
                before: ALL,
                reads: None,
                buffer: &mut buffer,
            };
            match editor.set(plan, &write.row, write.delete) {
                Ok(_) => {}
                Err(DataError::Store(error)) => return Err(error),
                Err(refused) => return Err(bad(refused.to_string())),
            }
        }
        let mut totals = Totals {
            schema,
            hasher,
            sum: base.sum().clone(),
            counts: base.counts().to_vec(),
        };
        let mut spilled_len = 0;
        if let Some(spilled) = spilled {
            // What is written above the spill hides it, but what it replaces is in the base.
            for (key, write) in &mut buffer.writes {
                write.old = old_of(base, key.as_bytes())?;
            }
            spilled.each(|key, new| {
                if !buffer.writes.contains_key(&Key::from(key)) {
                    let old = old_of(base, key)?;
                    totals.replace(key, old.as_ref(), new.as_ref())?;
                    spilled_len += 1;
                }
                Ok(())
            })?;
        }
        let mut writes: Vec<(Key, Option<Row>)> = Vec::with_capacity(buffer.writes.len());
        for (key, Write { old, new }) in buffer.writes {
            let changes = totals.replace(key.as_bytes(), old.as_ref(), new.as_ref())?;
            if changes || spilled.is_some() {
                writes.push((key, new));
            }
        }
        let Totals { sum, counts, .. } = totals;
        let root = sum.root();
        let changes = BaseChanges {
            writes,
            sum,
            counts,
        };
        Ok(Settlement {
            root,
            changes,
            spilled: spilled_len,
            moves: None,
            end,
            staying,
            basis: Basis::Generation(*generation),
        })
    }

    /// Starts to plan, aside, what a cut writes: everything executed up to and with `through`, and
    /// nothing else. `None` if that is to be done here: it is not much, the base is still being
    /// written, or a part of it is in the spill.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn plan_aside(&mut self, through: &Position) -> Result<Option<Planning>, StoreError> {
        let end = self.end_of(Some(through))?;
        let Inner {
            schema,
            base,
            overlay,
            spill,
            hasher,
            ..
        } = &mut *self.0;
        let aside = base.aside();
        if base.is_writing()
            || !aside.takes(overlay.written_before(end))
            || spill.at(end)?.is_some()
        {
            return Ok(None);
        }
        let settling = overlay.settling(end).into_iter();
        let writes = settling
            .map(|(key, value)| match planted!(FlushPastTheCut) {
                true => (
                    key.clone(),
                    overlay.get(key).and_then(Versions::visible).cloned(),
                ),
                false => (key.clone(), value.clone()),
            })
            .collect();
        let frozen = Frozen {
            writes,
            base: base.reader()?,
            schema: Arc::clone(schema),
            hasher: hasher.clone(),
            sum: base.sum().clone(),
            counts: base.counts().to_vec(),
            end,
            watch: overlay.watch_labels(through),
        };
        let work = base.begin(move || frozen.plan());
        Ok(Some(Planning(work)))
    }

    /// Whether a settlement still says what a cut has to write: not if what it covers has changed
    /// since it was planned, or another cut was settled.
    #[must_use]
    pub fn can_settle(&self, settlement: &Settlement) -> bool {
        match settlement.basis {
            Basis::Generation(planned) => planned == self.0.generation,
            Basis::Watch(watch) => self.0.overlay.is_unchanged(watch, settlement.end),
        }
    }

    /// Whether the last cut is still being written to the base.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.0.base.is_writing()
    }

    /// Looks whether a cut that is written aside has come into the base.
    ///
    /// # Errors
    /// If writing it failed. The state must not be used any more then: open it again to see whether
    /// the cut was written.
    pub fn look(&mut self) -> Result<(), StoreError> {
        self.0.base.look()
    }

    /// Drops something of so many parts, aside if that is long work.
    pub fn discard(&mut self, parts: usize, thing: impl Send + 'static) {
        let aside = self.0.base.aside();
        self.0.discarder.discard(aside, parts, thing);
    }

    /// Large cuts are planned and written so from now on.
    pub fn set_aside(&mut self, aside: Aside) {
        self.0.base.set_aside(aside);
    }

    /// A label above those of the commits that `through` covers, and of no others; of the oldest one
    /// if there is no `through`.
    pub(crate) fn end_of(&self, through: Option<&Position>) -> Result<u64, StoreError> {
        let Inner { overlay, spill, .. } = &*self.0;
        let Some(through) = through else {
            return Ok(spill.labels().map_or(overlay.start(), |(first, _)| first));
        };
        let end = overlay.end_of(through);
        if end > overlay.start() {
            return Ok(end);
        }
        Ok(spill.end_of(through)?.unwrap_or(end))
    }

    /// Writes a settlement to the base, durably and all or nothing, as the state of the cut at
    /// `height`; the overlay keeps what is later. With a planned migration the state has another
    /// schema afterwards.
    ///
    /// # Durability
    /// A large cut may be written [aside](Aside), and then is not durable when this returns:
    /// [`State::is_settling`]. After a crash the base may be at the cut before.
    ///
    /// # Errors
    /// If the disk fails. The state must not be used any more then: open it again to see whether
    /// the cut was written.
    ///
    /// # Panics
    /// If the overlay lost something since the settlement was planned, or `height` is not later
    /// than the last.
    pub fn settle(&mut self, settlement: Settlement, height: u64) -> Result<(), StoreError> {
        assert!(
            self.can_settle(&settlement),
            "the overlay changed since the settlement was planned"
        );
        let Inner {
            schema,
            base,
            overlay,
            spill,
            generation,
            discarder,
            ..
        } = &mut *self.0;
        let Settlement {
            changes,
            moves,
            end,
            staying,
            ..
        } = settlement;
        assert!(
            base.height().is_none_or(|last| last < height),
            "cuts settle in order"
        );
        let spilled = spill.at(end)?;
        let had_spilled = spilled.is_some();
        match moves {
            None => {
                base.apply(changes, spilled, height, schema)?;
                let counts = spill.forget(end)?;
                overlay.take_back_counts(&counts);
                let forgotten = overlay.forget_but(end, &staying);
                discarder.discard(base.aside(), forgotten.len(), forgotten);
            }
            Some(moves) => {
                let new = Arc::clone(moves.migration.schema());
                base.apply_migration(changes, height, schema, (spilled, overlay), *moves)?;
                // Everything is settled: nothing later was executed.
                spill.forget(end)?;
                *overlay = Overlay::new(new.tables().len());
                *schema = new;
            }
        }
        *generation += 1;
        if had_spilled {
            base.passes(CrashPoint::SpillForgotten)?;
        }
        Ok(())
    }
}

/// What the base holds under a key that is written, as far as that is of interest: entries follow
/// their rows.
fn old_of(base: &Base, key: &[u8]) -> Result<Option<Row>, StoreError> {
    match has_old(key) {
        true => base.get(key),
        false => Ok(None),
    }
}

fn has_old(key: &[u8]) -> bool {
    !matches!(Space::of(key), Some(Space::Index(_)))
}

/// All that planning a cut takes, held still.
struct Frozen {
    writes: Vec<(Key, Option<Row>)>,
    base: BaseReader,
    schema: Arc<Schema>,
    hasher: RowHasher,
    sum: RowSum,
    counts: Vec<u64>,
    end: u64,
    watch: u64,
}

impl Frozen {
    fn plan(self) -> Result<Settlement, StoreError> {
        let Self {
            mut writes,
            base,
            schema,
            hasher,
            sum,
            counts,
            end,
            watch,
        } = self;
        writes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut totals = Totals {
            schema: &schema,
            hasher: &hasher,
            sum,
            counts,
        };
        let mut changing = Vec::with_capacity(writes.len());
        for (number, (key, new)) in writes.into_iter().enumerate() {
            if number % KEYS_A_STEP == 0 {
                give_way();
            }
            let old = match has_old(key.as_bytes()) {
                true => base.get(key.as_bytes())?,
                false => None,
            };
            if totals.replace(key.as_bytes(), old.as_ref(), new.as_ref())? {
                changing.push((key, new));
            }
        }
        let Totals { sum, counts, .. } = totals;
        Ok(Settlement {
            root: sum.root(),
            changes: BaseChanges {
                writes: changing,
                sum,
                counts,
            },
            spilled: 0,
            moves: None,
            end,
            staying: BTreeSet::new(),
            basis: Basis::Watch(watch),
        })
    }
}

/// What a cut changes as a whole, summed up value by value.
pub(crate) struct Totals<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) hasher: &'a RowHasher,
    pub(crate) sum: RowSum,
    pub(crate) counts: Vec<u64>,
}

impl Totals<'_> {
    /// Notes that a key gets another value. Tells whether that changes anything; entries are taken
    /// to change always.
    pub(crate) fn replace(
        &mut self,
        key: &[u8],
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Result<bool, StoreError> {
        let space = Space::of(key);
        if let Some(Space::Rows(_) | Space::Sequences(_)) = space {
            if old == new {
                return Ok(false);
            }
            if let Some(row) = old {
                self.hasher.take_away(&mut self.sum, key, row);
            }
            if let Some(row) = new {
                self.hasher.add(&mut self.sum, key, row);
            }
        }
        if let Some(Space::Rows(table)) = space
            && let Some(plan) = self.schema.plan(table)
        {
            let count = &mut self.counts[plan.slot];
            let change = i64::from(new.is_some()) - i64::from(old.is_some());
            *count = count
                .checked_add_signed(change)
                .ok_or_else(|| StoreError::damaged(format!("row count of table {}", plan.name)))?;
        }
        Ok(true)
    }
}
