//! Settling: at a cut, what the overlay holds up to its end moves into the base. First planned,
//! with the state root that results, then written in one transaction.

use std::fmt;
use std::sync::Arc;

use sync_protocol::{Position, StateRoot};

use crate::base::BaseChanges;
use crate::editor::{Buffer, Editor};
use crate::error::{DataError, StoreError};
use crate::key::{Key, Space};
use crate::migrate::Moves;
use crate::overlay::{Overlay, Row};
use crate::schema::TableId;
use crate::state::{Inner, State};
use crate::view::Write;

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
    /// The other schema that comes with the cut, if one does.
    pub(crate) moves: Option<Box<Moves>>,
    /// Number of the first commit that stays in the overlay.
    end: u64,
    generation: u64,
}

impl Settlement {
    /// Rows, index entries and sequences that will be written or deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.writes.len()
    }

    /// Whether the state stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.writes.is_empty() && self.moves.is_none()
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
        let Inner {
            schema,
            base,
            overlay,
            hasher,
            generation,
            ..
        } = &*self.0;
        let end = through.map_or(overlay.start(), |through| overlay.end_of(through));
        let mut buffer = Buffer::default();
        for (key, value) in overlay.settling(end) {
            let old = match Space::of(key.as_bytes()) {
                // Entries follow their rows: what they were is of no interest.
                Some(Space::Index(_)) => None,
                _ => base.get(key.as_bytes())?,
            };
            let new = value.clone();
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
                overlay: None,
                buffer: &mut buffer,
            };
            match editor.set(plan, &write.row, write.delete) {
                Ok(_) => {}
                Err(DataError::Store(error)) => return Err(error),
                Err(refused) => return Err(bad(refused.to_string())),
            }
        }
        let mut sum = base.sum().clone();
        let mut counts = base.counts().to_vec();
        let mut writes: Vec<(Key, Option<Row>)> = Vec::with_capacity(buffer.writes.len());
        for (key, Write { old, new }) in buffer.writes {
            let bytes = key.as_bytes();
            let space = Space::of(bytes);
            if let Some(Space::Rows(_) | Space::Sequences(_)) = space {
                if old == new {
                    continue;
                }
                old.iter()
                    .for_each(|row| hasher.take_away(&mut sum, bytes, row));
                new.iter().for_each(|row| hasher.add(&mut sum, bytes, row));
            }
            if let Some(Space::Rows(table)) = space
                && let Some(plan) = schema.plan(table)
            {
                let count = &mut counts[plan.slot];
                let change = i64::from(new.is_some()) - i64::from(old.is_some());
                *count = count.checked_add_signed(change).ok_or_else(|| {
                    StoreError::damaged(format!("row count of table {}", plan.name))
                })?;
            }
            writes.push((key, new));
        }
        let root = sum.root();
        let changes = BaseChanges {
            writes,
            sum,
            counts,
        };
        Ok(Settlement {
            root,
            changes,
            moves: None,
            end,
            generation: *generation,
        })
    }

    /// Writes a settlement to the base, durably and all or nothing, as the state of the cut at
    /// `height`; the overlay keeps what is later. With a planned migration the state has another
    /// schema afterwards.
    ///
    /// # Errors
    /// If the disk fails. The state must not be used any more then: open it again to see whether
    /// the cut was written.
    ///
    /// # Panics
    /// If the overlay lost something since the settlement was planned, or `height` is not later
    /// than the last.
    pub fn settle(&mut self, settlement: Settlement, height: u64) -> Result<(), StoreError> {
        let Inner {
            schema,
            base,
            overlay,
            generation,
            ..
        } = &mut *self.0;
        let Settlement {
            changes,
            moves,
            end,
            generation: planned,
            ..
        } = settlement;
        assert_eq!(
            *generation, planned,
            "the overlay changed since the settlement was planned"
        );
        assert!(
            base.height().is_none_or(|last| last < height),
            "cuts settle in order"
        );
        match moves {
            None => {
                base.apply(changes, height, schema)?;
                overlay.forget(end);
            }
            Some(moves) => {
                let new = Arc::clone(moves.migration.schema());
                base.apply_migration(changes, height, schema, overlay, *moves)?;
                *overlay = Overlay::new(new.tables().len());
                *schema = new;
            }
        }
        *generation += 1;
        Ok(())
    }
}
