//! Row versions of the tail, in memory: what every executed call wrote, by position, above the
//! base. A late entry takes back what was written at and after its position; a cut moves what was
//! written up to its end into the base. Beyond a budget the oldest commits go to the
//! [spill](crate::spill), and only the later ones are here.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::iter::repeat_n;
use std::sync::Arc;

use sync_protocol::Position;

use crate::key::Key;
use crate::limits::ROW_OVERHEAD_BYTES;

/// A row in BSATN. Shared, never changed.
pub type Row = Arc<[u8]>;

/// What one commit wrote under one key: a value, or `None` where it deleted.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) commit: u64,
    pub(crate) value: Option<Row>,
}

/// The versions of one key, oldest first, the newest apart: most keys have one, and it is the one
/// that is read.
#[derive(Debug)]
pub(crate) struct Versions {
    older: VecDeque<Version>,
    newest: Version,
}

impl Versions {
    /// What is visible: a value, or `None` where the newest version deleted.
    pub(crate) fn visible(&self) -> Option<&Row> {
        self.newest.value.as_ref()
    }

    /// The newest version of commits before `end`.
    fn before(&self, end: u64) -> Option<&Version> {
        if self.newest.commit < end {
            return Some(&self.newest);
        }
        let count = self.older.partition_point(|version| version.commit < end);
        self.older.get(count.checked_sub(1)?)
    }

    /// The versions of commits before `end`, oldest first.
    pub(crate) fn all_before(&self, end: u64) -> impl Iterator<Item = &Version> {
        let all = self.older.iter().chain([&self.newest]);
        all.take_while(move |version| version.commit < end)
    }

    /// Drops the versions of commits before `end` and takes them off `bytes`. Tells whether one is
    /// left.
    fn forget(&mut self, end: u64, key: &Key, bytes: &mut usize) -> bool {
        while let Some(oldest) = self.older.pop_front_if(|oldest| oldest.commit < end) {
            *bytes -= version_bytes(key, oldest.value.as_ref());
        }
        let is_left = self.newest.commit >= end;
        if !is_left {
            *bytes -= version_bytes(key, self.newest.value.as_ref());
        }
        is_left
    }
}

/// Change in the number of rows, by the table's slot, where there is one.
pub(crate) type Counts = Vec<(usize, i64)>;

#[derive(Debug)]
struct Commit {
    position: Position,
    /// How many keys of the journal are its own.
    keys: usize,
    counts: Counts,
}

/// The versions above the base and the spill.
#[derive(Debug)]
pub(crate) struct Overlay {
    keys: BTreeMap<Key, Versions>,
    /// The commits that wrote something, by ascending position; the first has number `first`.
    commits: VecDeque<Commit>,
    first: u64,
    /// Every key that the commits wrote, commit after commit. Makes taking back and settling cost
    /// what they touch, not what there is.
    journal: VecDeque<Key>,
    /// Rows beyond the base's, spilled commits included, by the table's slot.
    counts: Vec<i64>,
    bytes: usize,
}

/// What a version costs beside its row: itself, its journal entry and its share of the map.
const VERSION_BYTES: usize = ROW_OVERHEAD_BYTES + size_of::<Version>() + 2 * size_of::<Key>();

impl Overlay {
    pub(crate) fn new(tables: usize) -> Self {
        Self {
            keys: BTreeMap::new(),
            commits: VecDeque::new(),
            first: 0,
            journal: VecDeque::new(),
            counts: vec![0; tables],
            bytes: 0,
        }
    }

    /// The newest version of a key: `None` means that the base decides.
    pub(crate) fn get(&self, key: &Key) -> Option<&Versions> {
        self.keys.get(key)
    }

    /// The keys from `low` up to but without `high`, in order. `low` must not be greater.
    pub(crate) fn range(&self, low: &Key, high: &Key) -> btree_map::Range<'_, Key, Versions> {
        use std::ops::Bound::{Excluded, Included};
        self.keys.range((Included(low), Excluded(high)))
    }

    pub(crate) fn iter(&self) -> btree_map::Iter<'_, Key, Versions> {
        self.keys.iter()
    }

    /// Position of the newest commit that wrote something.
    pub(crate) fn last_position(&self) -> Option<&Position> {
        self.commits.back().map(|commit| &commit.position)
    }

    /// Rows beyond the base's in the table with this slot.
    pub(crate) fn count(&self, slot: usize) -> i64 {
        self.counts[slot]
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Row and entry versions held.
    pub(crate) fn len(&self) -> usize {
        self.journal.len()
    }

    /// Commits held.
    pub(crate) fn commits_len(&self) -> usize {
        self.commits.len()
    }

    /// Adds what one call wrote. Its position is later than every other's.
    pub(crate) fn commit(
        &mut self,
        position: Position,
        writes: impl Iterator<Item = (Key, Option<Row>)>,
        counts: Counts,
    ) {
        let number = self.first + self.commits.len() as u64;
        let before = self.journal.len();
        for (key, value) in writes {
            self.bytes += version_bytes(&key, value.as_ref());
            self.journal.push_back(key.clone());
            let version = Version {
                commit: number,
                value,
            };
            match self.keys.entry(key) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(Versions {
                        older: VecDeque::new(),
                        newest: version,
                    });
                }
                btree_map::Entry::Occupied(mut held) => {
                    let versions = held.get_mut();
                    let older = std::mem::replace(&mut versions.newest, version);
                    versions.older.push_back(older);
                }
            }
        }
        for (slot, change) in &counts {
            self.counts[*slot] += change;
        }
        let keys = self.journal.len() - before;
        if keys > 0 {
            self.commits.push_back(Commit {
                position,
                keys,
                counts,
            });
        }
    }

    /// Drops everything written at or after `from`. Tells whether there was anything.
    pub(crate) fn rewind(&mut self, from: &Position) -> bool {
        let before = self.commits.len();
        while let Some(commit) = self.commits.pop_back_if(|commit| commit.position >= *from) {
            for _ in 0..commit.keys {
                let key = self
                    .journal
                    .pop_back()
                    .expect("a commit's keys are in the journal");
                let btree_map::Entry::Occupied(mut held) = self.keys.entry(key) else {
                    unreachable!("a key in the journal has versions");
                };
                self.bytes -= version_bytes(held.key(), held.get().newest.value.as_ref());
                match held.get_mut().older.pop_back() {
                    Some(older) => held.get_mut().newest = older,
                    None => {
                        held.remove();
                    }
                }
            }
            self.take_back_counts(&commit.counts);
        }
        self.commits.len() < before
    }

    /// Undoes changes of row counts.
    pub(crate) fn take_back_counts(&mut self, counts: &Counts) {
        for (slot, change) in counts {
            self.counts[*slot] -= change;
        }
    }

    /// Counts its next commit from `number` on. Only while it holds none.
    pub(crate) fn restart_at(&mut self, number: u64) {
        assert!(self.commits.is_empty(), "commits keep their numbers");
        self.first = number;
    }

    /// Number of the first commit after `through`: all before it are at or before `through`.
    pub(crate) fn end_of(&self, through: &Position) -> u64 {
        self.first
            + self
                .commits
                .partition_point(|commit| commit.position <= *through) as u64
    }

    /// Number of the oldest commit here: what [`Overlay::end_of`] answers if it covers nothing.
    pub(crate) fn start(&self) -> u64 {
        self.first
    }

    /// The keys written by commits before `end`, each once, with its newest value among them.
    pub(crate) fn settling(&self, end: u64) -> Vec<(&Key, &Option<Row>)> {
        // A few hot keys are in the journal over and over; a few calls touch few of many keys.
        if self.keys.len() <= self.written_before(end) {
            let newest = self
                .keys
                .iter()
                .map(|(key, versions)| (key, versions.before(end)));
            return newest
                .filter_map(|(key, newest)| Some((key, &newest?.value)))
                .collect();
        }
        let numbers = (self.first..end).zip(&self.commits);
        let writers = numbers.flat_map(|(number, commit)| repeat_n(number, commit.keys));
        let newest = writers.zip(&self.journal).filter_map(|(number, key)| {
            // A key that was written again before the end has its turn at its last writer.
            let newest = self.keys.get(key)?.before(end)?;
            (newest.commit == number).then_some((key, &newest.value))
        });
        newest.collect()
    }

    /// The keys written by commits before `end`, each once, in order, with its versions.
    pub(crate) fn written(&self, end: u64) -> Vec<(&Key, &Versions)> {
        let count = self.written_before(end);
        if self.keys.len() <= count {
            return self.keys.iter().collect();
        }
        let mut keys: Vec<&Key> = self.journal.iter().take(count).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| self.keys.get_key_value(key))
            .collect()
    }

    /// The commits before `end`, oldest first: position, changes of row counts, keys.
    pub(crate) fn records(
        &self,
        end: u64,
    ) -> impl Iterator<Item = (&Position, &Counts, impl Iterator<Item = &Key>)> {
        let mut from = 0;
        (self.first..end)
            .zip(&self.commits)
            .map(move |(_, commit)| {
                let keys = self.journal.range(from..from + commit.keys);
                from += commit.keys;
                (&commit.position, &commit.counts, keys)
            })
    }

    /// Number of the first commit that stays if at least `versions` of the oldest versions go.
    pub(crate) fn end_of_oldest(&self, versions: usize) -> u64 {
        let mut end = self.first;
        let mut left = versions;
        for commit in &self.commits {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(commit.keys);
            end += 1;
        }
        end
    }

    /// Forgets the commits before `end`: the base holds what they wrote.
    pub(crate) fn forget(&mut self, end: u64) {
        let settled = (self.first..end).zip(&self.commits);
        for (slot, change) in settled.flat_map(|(_, commit)| &commit.counts) {
            self.counts[*slot] -= change;
        }
        self.hand_over(end);
    }

    /// Forgets the commits before `end`, but not that they change row counts: the spill holds what
    /// they wrote.
    pub(crate) fn hand_over(&mut self, end: u64) {
        let written = self.written_before(end);
        let journal = self.journal.drain(..written);
        let bytes = &mut self.bytes;
        if self.keys.len() <= written {
            drop(journal);
            self.keys
                .retain(|key, versions| versions.forget(end, key, bytes));
        } else {
            for key in journal {
                if let btree_map::Entry::Occupied(mut held) = self.keys.entry(key) {
                    let key = held.key().clone();
                    if !held.get_mut().forget(end, &key, bytes) {
                        held.remove();
                    }
                }
            }
        }
        while self.first < end && self.commits.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// How many keys of the journal were written by commits before `end`.
    fn written_before(&self, end: u64) -> usize {
        (self.first..end)
            .zip(&self.commits)
            .map(|(_, commit)| commit.keys)
            .sum()
    }
}

fn version_bytes(key: &Key, value: Option<&Row>) -> usize {
    VERSION_BYTES + key.heap_bytes() + value.map_or(0, |row| row.len())
}
