//! Which visible rows are different since somebody last asked: what subscriptions are fed with. A
//! row is remembered as it was before it was first touched, and compared when it is asked for, so
//! what was undone and done again in between does not show (ORDERING 8).

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::key::{Key, Space};
use crate::limits::WATCHED_KEYS_MAX;
use crate::overlay::{Overlay, Row};
use crate::schema::TableId;
use crate::spill::SpillAt;
use crate::state::State;
use crate::transaction::RowChange;

/// What changed in the watched tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Rows that are different now, in key order.
    pub changes: Vec<RowChange>,
    /// More was touched than is remembered: what was read before has to be read again.
    pub lost: bool,
}

/// Rows of some tables as they were.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Sorted.
    tables: Vec<TableId>,
    before: BTreeMap<Key, Option<Row>>,
    lost: bool,
}

impl Watch {
    fn watches(&self, key: &Key) -> bool {
        match Space::of(key.as_bytes()) {
            Some(Space::Rows(table)) => self.tables.binary_search(&table).is_ok(),
            _ => false,
        }
    }

    /// Remembers what was visible under a key that is about to change, unless it is remembered.
    pub(crate) fn note(&mut self, key: &Key, visible: impl FnOnce() -> Option<Row>) {
        if self.lost || !self.watches(key) || self.before.contains_key(key) {
            return;
        }
        if self.before.len() == WATCHED_KEYS_MAX {
            self.lost = true;
            self.before = BTreeMap::new();
            return;
        }
        self.before.insert(key.clone(), visible());
    }

    /// What is about to be taken back from the overlay.
    pub(crate) fn note_all<'a>(&mut self, keys: impl Iterator<Item = &'a Key>, overlay: &Overlay) {
        for key in keys {
            let visible = || overlay.get(key)?.visible().cloned();
            self.note(key, visible);
        }
    }

    /// What the spill holds, some of which is about to be taken back; the overlay is empty.
    pub(crate) fn note_spill(&mut self, spill: SpillAt<'_>) -> Result<(), StoreError> {
        spill.each(|key, value| {
            self.note(&Key::from(key), || value);
            Ok(())
        })
    }
}

impl State {
    /// From now on changes of these tables are remembered, and of no others; what was remembered
    /// of those that stay is kept. Without any it costs nothing.
    pub fn watch(&mut self, mut tables: Vec<TableId>) {
        tables.sort_unstable();
        tables.dedup();
        if tables.is_empty() {
            self.0.watch = None;
            return;
        }
        let watch = self.0.watch.get_or_insert_default();
        watch.tables = tables;
        let tables = std::mem::take(&mut watch.tables);
        watch
            .before
            .retain(|key, _| match Space::of(key.as_bytes()) {
                Some(Space::Rows(table)) => tables.binary_search(&table).is_ok(),
                _ => false,
            });
        watch.tables = tables;
    }

    /// Whether anything is watched: not after the state was opened.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watch.is_some()
    }

    /// Rows of the watched tables that are different from what they were when this was last
    /// called. Costs a look at each row that was touched.
    ///
    /// # Errors
    /// If the disk fails; what was remembered is forgotten then.
    pub fn take_changes(&mut self) -> Result<Watched, StoreError> {
        let Some(watch) = &mut self.0.watch else {
            return Ok(Watched::default());
        };
        let lost = std::mem::take(&mut watch.lost);
        let before = std::mem::take(&mut watch.before);
        let view = self.view()?;
        let mut changes = Vec::new();
        for (key, old) in before {
            let new = view.get_uncounted(key.as_bytes())?;
            if let Some(Space::Rows(table)) = Space::of(key.as_bytes())
                && old != new
            {
                changes.push(RowChange { table, old, new });
            }
        }
        Ok(Watched { changes, lost })
    }
}
