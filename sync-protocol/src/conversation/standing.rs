//! Small memories of a conversation, each with a bound: own heads of the recent past, ids, and what
//! the remote's clock said.

use std::collections::{BTreeSet, VecDeque};

use super::limits::{HISTORY_LEN, REMEMBERED_IDS_MAX};
use crate::ids::{EntryId, HeadsHash};

/// Own heads hashes of the recent past, each with how many entries had come in by then. A remote that
/// says one of them holds nothing that we lack.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(HeadsHash, u64)>);

impl History {
    pub(super) fn note(&mut self, heads: HeadsHash, entries: u64) {
        if let Some((last, count)) = self.0.back_mut()
            && *last == heads
        {
            // The heads may have been noted before the entries that made them were counted.
            *count = entries;
            return;
        }
        if self.0.len() == HISTORY_LEN {
            self.0.pop_front();
        }
        self.0.push_back((heads, entries));
    }

    /// How many entries had come in when these were our heads.
    pub(super) fn entries_at(&self, heads: &HeadsHash) -> Option<u64> {
        let mut latest_first = self.0.iter().rev();
        let found = latest_first.find(|(known, _)| known == heads)?;
        Some(found.1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, heads: &HeadsHash) -> bool {
        self.entries_at(heads).is_some()
    }
}

/// Ids, the oldest of which are forgotten.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    set: BTreeSet<EntryId>,
    order: VecDeque<EntryId>,
}

impl RecentIds {
    /// True if it is new.
    pub(super) fn insert(&mut self, id: EntryId) -> bool {
        if !self.set.insert(id) {
            return false;
        }
        if self.order.len() == REMEMBERED_IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.order.push_back(id);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_bounded() {
        let mut history = History::default();
        let mut ids = RecentIds::default();
        let hash = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            bytes
        };
        let many = u32::try_from(2 * REMEMBERED_IDS_MAX).expect("small");
        for n in 0..many {
            history.note(HeadsHash(hash(n)), u64::from(n));
            assert!(ids.insert(EntryId(hash(n))));
            assert!(!ids.insert(EntryId(hash(n))));
        }
        assert!(history.contains(&HeadsHash(hash(many - 1))));
        assert!(!history.contains(&HeadsHash(hash(0))));
        let last = HeadsHash(hash(many - 1));
        assert_eq!(history.entries_at(&last), Some(u64::from(many - 1)));
        history.note(last, 7);
        assert_eq!(history.entries_at(&last), Some(7), "counted late");
        assert_eq!(ids.set.len(), REMEMBERED_IDS_MAX);
        assert_eq!(ids.order.len(), REMEMBERED_IDS_MAX);
        assert!(!ids.set.contains(&EntryId(hash(0))));
    }
}
