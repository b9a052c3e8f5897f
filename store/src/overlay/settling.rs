//! What leaves the overlay: at a cut into the base, under pressure into the spill.

use std::collections::BTreeSet;

use sync_protocol::Position;

use super::{Commit, Counts, Forgotten, LOOK_UP_COST, Overlay, Row};
use crate::key::Key;
use crate::reads::Changed;
use crate::versions::Versions;

impl Overlay {
    /// A label above those of all commits at or before `through`, and of no others.
    pub(crate) fn end_of(&self, through: &Position) -> u64 {
        let end = self
            .commits
            .partition_point(|commit| commit.position <= *through);
        self.commits
            .get(end)
            .map_or(self.next, |commit| commit.label)
    }

    /// Label of the oldest commit here: what [`Overlay::end_of`] answers if it covers nothing.
    pub(crate) fn start(&self) -> u64 {
        self.commits
            .front()
            .map_or(self.next, |commit| commit.label)
    }

    fn before(&self, end: u64) -> impl Iterator<Item = &Commit> {
        self.commits
            .iter()
            .take_while(move |commit| commit.label < end)
    }

    /// The keys written by commits before `end`, each once, with its newest value among them.
    pub(crate) fn settling(&self, end: u64) -> Vec<(&Key, &Option<Row>)> {
        // A few hot keys are written over and over; a few calls touch few of many keys.
        if self.walks_all(self.written_before(end)) {
            let newest = self
                .keys
                .iter()
                .map(|(key, versions)| (key, versions.before(end)));
            return newest
                .filter_map(|(key, newest)| Some((key, &newest?.value)))
                .collect();
        }
        let writers = self
            .before(end)
            .flat_map(|commit| commit.keys.iter().map(|key| (commit.label, key)));
        let newest = writers.filter_map(|(label, key)| {
            // A key that was written again before the end has its turn at its last writer.
            let newest = self.keys.get(key)?.before(end)?;
            (newest.commit == label).then_some((key, &newest.value))
        });
        newest.collect()
    }

    /// The same, without what the commits with the labels `staying` wrote.
    pub(crate) fn settling_but(
        &self,
        end: u64,
        staying: &BTreeSet<u64>,
    ) -> Vec<(&Key, &Option<Row>)> {
        if staying.is_empty() {
            return self.settling(end);
        }
        let going = self
            .before(end)
            .filter(|commit| !staying.contains(&commit.label));
        let writers = going.flat_map(|commit| commit.keys.iter().map(|key| (commit.label, key)));
        let newest = writers.filter_map(|(label, key)| {
            let versions = self.keys.get(key)?;
            let mut newest = versions.before(end)?;
            while staying.contains(&newest.commit) {
                newest = versions.before(newest.commit)?;
            }
            (newest.commit == label).then_some((key, &newest.value))
        });
        newest.collect()
    }

    /// The labels of what the calls at these positions wrote, of those that wrote something.
    pub(crate) fn labels_of(&self, positions: &[Position]) -> impl Iterator<Item = u64> {
        positions.iter().filter_map(|position| {
            let place = self.place_of(position);
            self.holds_at(place, position)
                .then(|| self.commits[place].label)
        })
    }

    /// What the call at `position` wrote, as a change that every later call sees.
    pub(crate) fn written_at(&self, position: &Position) -> Changed {
        let place = self.place_of(position);
        if !self.holds_at(place, position) {
            return Changed::default();
        }
        let commit = &self.commits[place];
        Changed {
            keys: commit.keys.iter().map(|key| (key.clone(), None)).collect(),
            counts: commit.counts.clone(),
        }
    }

    /// The keys written by commits before `end`, each once, in order, with its versions.
    pub(crate) fn written(&self, end: u64) -> Vec<(&Key, &Versions)> {
        if self.walks_all(self.written_before(end)) {
            let written = self.keys.iter();
            return written
                .filter(|(_, versions)| versions.before(end).is_some())
                .collect();
        }
        let mut keys: Vec<&Key> = self.before(end).flat_map(|commit| &commit.keys).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| self.keys.get_key_value(key))
            .collect()
    }

    /// The commits before `end`, oldest first: label, position, changes of row counts, keys.
    pub(crate) fn records(
        &self,
        end: u64,
    ) -> impl Iterator<Item = (u64, &Position, &Counts, &[Key])> {
        self.before(end).map(|commit| {
            let Commit {
                label,
                position,
                keys,
                counts,
            } = commit;
            (*label, position, counts, &**keys)
        })
    }

    /// A label above those of the commits that go if at least `versions` of the oldest versions do.
    pub(crate) fn end_of_oldest(&self, versions: usize) -> u64 {
        let mut left = versions;
        for commit in &self.commits {
            if left == 0 {
                return commit.label;
            }
            left = left.saturating_sub(commit.keys.len());
        }
        self.next
    }

    /// Forgets the commits before `end`: the base holds what they wrote.
    pub(crate) fn forget(&mut self, end: u64) -> Forgotten {
        let forgotten = self.hand_over(end);
        for (slot, change) in forgotten.commits.iter().flat_map(|commit| &commit.counts) {
            self.counts[*slot] -= change;
        }
        forgotten
    }

    /// The same, without the commits with the labels `staying`. Those keep their labels, so that all that are left
    /// are in order.
    pub(crate) fn forget_but(&mut self, end: u64, staying: &BTreeSet<u64>) -> Forgotten {
        if staying.is_empty() {
            return self.forget(end);
        }
        self.changed_from = 0;
        let count = self.commits.partition_point(|commit| commit.label < end);
        let before = self.commits.drain(..count);
        let (kept, commits): (Vec<Commit>, Vec<Commit>) =
            before.partition(|commit| staying.contains(&commit.label));
        for commit in kept.into_iter().rev() {
            self.commits.push_front(commit);
        }
        let mut versions = Vec::new();
        for commit in &commits {
            for key in &commit.keys {
                versions.extend(self.take_version(key, commit.label));
            }
            self.take_back_counts(&commit.counts);
        }
        Forgotten { commits, versions }
    }

    /// Forgets the commits before `end`, but not that they change row counts: the spill holds what
    /// they wrote.
    pub(crate) fn hand_over(&mut self, end: u64) -> Forgotten {
        self.changed_from = 0;
        let settled = self.commits.partition_point(|commit| commit.label < end);
        let commits: Vec<_> = self.commits.drain(..settled).collect();
        let written: usize = commits.iter().map(|commit| commit.keys.len()).sum();
        self.versions -= written;
        let walks_all = self.walks_all(written);
        let bytes = &mut self.bytes;
        let mut versions = Vec::with_capacity(written);
        if walks_all {
            self.keys
                .retain(|key, held| held.forget(end, key, bytes, &mut versions));
        } else {
            for key in commits.iter().flat_map(|commit| &commit.keys) {
                if let Some(held) = self.keys.get_mut(key)
                    && !held.forget(end, key, bytes, &mut versions)
                {
                    self.keys.remove(key);
                }
            }
        }
        self.floor = self.floor.max(end);
        self.next = self.next.max(end);
        Forgotten { commits, versions }
    }

    /// Whether it is cheaper to walk past all keys than to look for those of so many versions.
    fn walks_all(&self, versions: usize) -> bool {
        self.keys.len() <= versions.saturating_mul(LOOK_UP_COST)
    }

    /// How many versions the commits before `end` wrote.
    pub(crate) fn written_before(&self, end: u64) -> usize {
        self.before(end).map(|commit| commit.keys.len()).sum()
    }
}
