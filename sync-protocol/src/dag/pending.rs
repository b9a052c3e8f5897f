//! Entries that wait for a parent or for the cut they name. Nothing is said about them yet: they
//! are not forwarded, and whoever brought them is charged for the room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cut::CutRef;
use crate::entry::Entry;
use crate::ids::{DeviceKey, EntryId};
use crate::limits::{PENDING_BYTES_MAX, PENDING_ENTRIES_MAX};

type Brought = (Arc<Entry>, Option<DeviceKey>);

#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: BTreeMap<EntryId, Waiting>,
    /// Who waits for each missing entry, which may itself be waiting.
    waits_for: BTreeMap<EntryId, BTreeSet<EntryId>>,
    usage: BTreeMap<DeviceKey, Usage>,
    /// All that ever waited.
    #[cfg(feature = "plants")]
    waited: BTreeSet<EntryId>,
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<Entry>,
    from: Option<DeviceKey>,
    missing: BTreeSet<EntryId>,
    cut: Option<CutRef>,
    /// An ancestor that was missing when this was last asked: a short cut for the next question.
    toward: Option<EntryId>,
}

/// Entries and bytes kept on somebody's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

impl Usage {
    pub(super) fn add(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes -= bytes;
    }

    /// A single entry always has room: the largest is larger than the bound.
    pub(super) fn has_room(&self, bytes: usize, entries_max: usize, bytes_max: usize) -> bool {
        self.entries == 0 || self.entries < entries_max && self.bytes + bytes <= bytes_max
    }
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    #[cfg(feature = "plants")]
    pub(super) fn has_waited(&self, id: &EntryId) -> bool {
        self.waited.contains(id)
    }

    /// The cut that a waiting entry lacks; `None` if the entry does not wait at all.
    pub(super) fn cut_of(&self, id: &EntryId) -> Option<Option<CutRef>> {
        self.waiting.get(id).map(|waiting| waiting.cut)
    }

    /// Keeps an entry until what it lacks is here. False if the connection's room is full.
    pub(super) fn insert(
        &mut self,
        entry: Arc<Entry>,
        from: Option<DeviceKey>,
        missing: BTreeSet<EntryId>,
        cut: Option<CutRef>,
    ) -> bool {
        let bytes = entry.encoded().len();
        if let Some(remote) = from {
            let usage = self.usage.entry(remote).or_default();
            if !usage.has_room(bytes, PENDING_ENTRIES_MAX, PENDING_BYTES_MAX) {
                return false;
            }
            usage.add(bytes);
        }
        #[cfg(feature = "plants")]
        self.waited.insert(entry.id);
        for parent in &missing {
            self.waits_for.entry(*parent).or_default().insert(entry.id);
        }
        self.waiting.insert(
            entry.id,
            Waiting {
                entry,
                from,
                missing,
                cut,
                toward: None,
            },
        );
        true
    }

    /// For each of `ids` an ancestor, or itself, that is not even waiting: those to ask for. What
    /// else it lacks has been told when that which waits for it came.
    pub(super) fn nearest_missing(&self, ids: &[EntryId]) -> Vec<EntryId> {
        let missing: BTreeSet<EntryId> = ids.iter().filter_map(|id| self.walk(*id).1).collect();
        missing.into_iter().collect()
    }

    /// The same for what the waiting entry `id` lacks. Remembers the ways, so that a long chain is
    /// walked once.
    pub(super) fn missing_of(&mut self, id: &EntryId) -> Vec<EntryId> {
        let mut missing = BTreeSet::new();
        for parent in self
            .waiting
            .get(id)
            .map(|w| w.missing.clone())
            .unwrap_or_default()
        {
            let (path, end) = self.walk(parent);
            for id in path {
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.toward = end;
                }
            }
            missing.extend(end);
        }
        missing.into_iter().collect()
    }

    /// The way over waiting entries from `id` to something missing; to nothing if it ends at an
    /// entry that lacks its cut alone.
    fn walk(&self, id: EntryId) -> (Vec<EntryId>, Option<EntryId>) {
        let mut path = Vec::new();
        let mut at = id;
        while let Some(waiting) = self.waiting.get(&at) {
            path.push(at);
            let toward = waiting.toward.filter(|id| self.waits_for.contains_key(id));
            let Some(next) = toward.or_else(|| waiting.missing.first().copied()) else {
                return (path, None);
            };
            at = next;
        }
        (path, Some(at))
    }

    /// An entry is here: gives back those that lack nothing any more.
    pub(super) fn arrived(&mut self, id: &EntryId) -> Vec<Brought> {
        let mut ready = Vec::new();
        for waiting_id in self.waits_for.remove(id).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&waiting_id) else {
                continue;
            };
            waiting.missing.remove(id);
            if waiting.missing.is_empty() && waiting.cut.is_none() {
                ready.extend(self.remove(&waiting_id));
            }
        }
        ready
    }

    /// The same for all that are missed and `here`.
    pub(super) fn all_arrived(&mut self, here: impl Fn(&EntryId) -> bool) -> Vec<Brought> {
        let missed: Vec<EntryId> = self
            .waits_for
            .keys()
            .copied()
            .filter(|id| here(id))
            .collect();
        missed.iter().flat_map(|id| self.arrived(id)).collect()
    }

    /// This cut is here: gives back those that named it or one of a lower place.
    pub(super) fn waiting_for_cut(&mut self, here: CutRef) -> Vec<Brought> {
        let named = |waiting: &Waiting| waiting.cut.is_some_and(|cut| cut.place() <= here.place());
        let ids: Vec<EntryId> = self
            .waiting
            .iter()
            .filter(|(_, w)| named(w))
            .map(|(id, _)| *id)
            .collect();
        ids.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Removes everything that waits for `id`, directly or not.
    pub(super) fn remove_waiting_for(&mut self, id: EntryId) -> Vec<(EntryId, Option<DeviceKey>)> {
        let mut removed = Vec::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let waiting = self.waits_for.get(&id).cloned().unwrap_or_default();
            for id in waiting {
                removed.extend(self.remove(&id).map(|(_, from)| (id, from)));
                stack.push(id);
            }
        }
        removed
    }

    /// Removes everything that a connection brought.
    pub(super) fn forget(&mut self, remote: &DeviceKey) {
        let brought = |waiting: &Waiting| waiting.from == Some(*remote);
        let ids: Vec<EntryId> = self
            .waiting
            .iter()
            .filter(|(_, w)| brought(w))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.remove(&id);
        }
        self.usage.remove(remote);
    }

    fn remove(&mut self, id: &EntryId) -> Option<Brought> {
        let Waiting {
            entry,
            from,
            missing,
            ..
        } = self.waiting.remove(id)?;
        for parent in missing {
            if let Some(children) = self.waits_for.get_mut(&parent) {
                children.remove(id);
                if children.is_empty() {
                    self.waits_for.remove(&parent);
                }
            }
        }
        if let Some(remote) = from
            && let Some(usage) = self.usage.get_mut(&remote)
        {
            usage.remove(entry.encoded().len());
            if usage.entries == 0 {
                self.usage.remove(&remote);
            }
        }
        Some((entry, from))
    }
}
