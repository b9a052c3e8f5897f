//! Small memories of a conversation, each with a bound: own heads of the recent past, ids, and what
//! the remote's clock said.

use std::collections::{BTreeSet, VecDeque};

use super::limits::{HISTORY_LEN, REMEMBERED_IDS_MAX};
use crate::ids::{EntryId, HeadsHash};

/// Own heads hashes of the recent past. A remote that says one of them holds nothing that we lack.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<HeadsHash>);

impl History {
    pub(super) fn note(&mut self, heads: HeadsHash) {
        if self.0.back() != Some(&heads) {
            if self.0.len() == HISTORY_LEN {
                self.0.pop_front();
            }
            self.0.push_back(heads);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, heads: &HeadsHash) -> bool {
        self.0.contains(heads)
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
            history.note(HeadsHash(hash(n)));
            assert!(ids.insert(EntryId(hash(n))));
            assert!(!ids.insert(EntryId(hash(n))));
        }
        assert!(history.contains(&HeadsHash(hash(many - 1))));
        assert!(!history.contains(&HeadsHash(hash(0))));
        assert_eq!(ids.set.len(), REMEMBERED_IDS_MAX);
        assert_eq!(ids.order.len(), REMEMBERED_IDS_MAX);
        assert!(!ids.set.contains(&EntryId(hash(0))));
    }
}
