//! Row versions of the tail, in memory: what every executed call wrote, by position, above the
//! base. A late entry takes back what was written at and after its position, or changes what was
//! written at some positions only; a cut moves what was written up to its end into the base. Beyond
//! a budget the oldest commits go to the [spill](crate::spill), and only the later ones are here.
//!
//! Versions name their commit by a *label*: a number that grows with the position and leaves room
//! between neighbours, so that a commit can come in between without the others getting new ones.

mod settling;

use std::collections::VecDeque;
use std::sync::Arc;

use sync_protocol::Position;

use crate::aside::give_way;
use crate::key::Key;
use crate::key_map::{self, KeyMap};
use crate::limits::ROW_OVERHEAD_BYTES;
use crate::reads::Changed;
use crate::versions::{Version, Versions};

/// A row in BSATN. Shared, never changed.
pub type Row = Arc<[u8]>;

/// Change in the number of rows, by the table's slot, where there is one.
pub(crate) type Counts = Vec<(usize, i64)>;

#[derive(Debug)]
struct Commit {
    label: u64,
    position: Position,
    /// Every key that it wrote. Makes taking back and settling cost what they touch, not what there
    /// is.
    keys: Box<[Key]>,
    counts: Counts,
}

/// The versions above the base and the spill.
#[derive(Debug)]
pub(crate) struct Overlay {
    keys: KeyMap<Versions>,
    /// The commits that wrote something, by ascending position and label.
    commits: VecDeque<Commit>,
    /// The label of the next commit, above all that there are.
    next: u64,
    /// No label here is below: those of the spill are.
    floor: u64,
    /// No commit with a label below has changed, come or gone since [`Overlay::watch_labels`].
    changed_from: u64,
    /// How often that was called.
    watches: u64,
    /// The last position that is watched: a commit that comes at or before it is a change, whatever
    /// its label.
    watched: Option<Position>,
    /// Rows beyond the base's, spilled commits included, by the table's slot.
    counts: Vec<i64>,
    versions: usize,
    bytes: usize,
}

/// What was forgotten, to be dropped: that takes longer than to forget it.
#[derive(Debug)]
pub(crate) struct Forgotten {
    commits: Vec<Commit>,
    versions: Vec<Version>,
}

/// Pieces of it that are dropped before others may go.
const PIECES_A_STEP: usize = 128;

impl Drop for Forgotten {
    fn drop(&mut self) {
        let Self { commits, versions } = self;
        while !commits.is_empty() || !versions.is_empty() {
            give_way();
            commits.truncate(commits.len().saturating_sub(PIECES_A_STEP));
            versions.truncate(versions.len().saturating_sub(PIECES_A_STEP));
        }
    }
}

impl Forgotten {
    /// How many pieces it is.
    pub(crate) fn len(&self) -> usize {
        self.commits.len() + self.versions.len()
    }
}

/// What a version costs beside its row: itself, its place among its commit's keys and its share of
/// the map.
const VERSION_BYTES: usize = ROW_OVERHEAD_BYTES + size_of::<Version>() + 2 * size_of::<Key>();

/// Room between the labels of commits that follow each other: some hundred more fit in between
/// before all get new labels, and there are enough for a call a microsecond for half a year.
const GAP: u64 = 1 << 20;

/// Keys that are walked past in the time in which one is looked up.
const LOOK_UP_COST: usize = 8;

/// A commit that comes in between takes this part of the room, so that many can follow it.
const SHARE: u64 = 64;

impl Overlay {
    pub(crate) fn new(tables: usize) -> Self {
        Self {
            keys: KeyMap::default(),
            commits: VecDeque::new(),
            next: 0,
            floor: 0,
            changed_from: 0,
            watches: 0,
            watched: None,
            counts: vec![0; tables],
            versions: 0,
            bytes: 0,
        }
    }

    /// The versions of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&Versions> {
        self.keys.get(key)
    }

    /// The keys from `low` up to but without `high`, in order. `low` must not be greater.
    pub(crate) fn range(&self, low: &Key, high: &Key) -> key_map::Range<'_, Versions> {
        self.keys.range(low, high)
    }

    pub(crate) fn iter(&self) -> key_map::Range<'_, Versions> {
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

    /// The same, of commits before `end`.
    pub(crate) fn count_before(&self, slot: usize, end: u64) -> i64 {
        let later = self.commits.iter().rev();
        let later = later.take_while(|commit| commit.label >= end);
        let change = |commit: &Commit| {
            let counted = commit.counts.iter().find(|(counted, _)| *counted == slot);
            counted.map_or(0, |(_, change)| *change)
        };
        self.counts[slot] - later.map(change).sum::<i64>()
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Row and entry versions held.
    pub(crate) fn len(&self) -> usize {
        self.versions
    }

    /// Keys that have versions here.
    pub(crate) fn keys_len(&self) -> usize {
        self.keys.len()
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
        let label = self.next;
        let mut keys = Vec::with_capacity(writes.size_hint().1.unwrap_or(0));
        for (key, value) in writes {
            self.bytes += version_bytes(&key, value.as_ref());
            keys.push(key.clone());
            let version = Version {
                commit: label,
                value,
            };
            self.keys.put(key, version, Versions::of, |held, version| {
                held.put(version);
            });
        }
        for (slot, change) in &counts {
            self.counts[*slot] += change;
        }
        if !keys.is_empty() {
            if self.watched.is_some_and(|watched| position <= watched) {
                self.changed_from = 0;
            }
            self.versions += keys.len();
            self.next = label + GAP;
            self.commits.push_back(Commit {
                label,
                position,
                keys: keys.into_boxed_slice(),
                counts,
            });
        }
    }

    /// What a call at `position` sees are the commits before this label.
    pub(crate) fn label_at(&self, position: &Position) -> u64 {
        let mut at = self.place_of(position);
        if planted!(CountTwice) && self.holds_at(at, position) {
            at += 1;
        }
        self.commits
            .get(at)
            .map_or(self.next, |commit| commit.label)
    }

    /// What the call at `position` wrote.
    pub(crate) fn keys_at(&self, position: &Position) -> &[Key] {
        let place = self.place_of(position);
        match self.holds_at(place, position) {
            true => &self.commits[place].keys,
            false => &[],
        }
    }

    /// What calls at `from` and later wrote; a key that several wrote comes several times.
    pub(crate) fn keys_from(&self, from: &Position) -> impl Iterator<Item = &Key> {
        let place = self.place_of(from);
        let later = self.commits.range(place..);
        later.flat_map(|commit| commit.keys.iter())
    }

    fn holds_at(&self, place: usize, position: &Position) -> bool {
        let held = self.commits.get(place);
        held.is_some_and(|commit| commit.position == *position)
    }

    fn place_of(&self, position: &Position) -> usize {
        let before = |commit: &Commit| commit.position < *position;
        self.commits.partition_point(before)
    }

    /// Lets the call at `position` have written this, whatever it wrote before; later calls stay.
    /// Tells what that changes for them.
    pub(crate) fn amend(
        &mut self,
        position: Position,
        writes: Vec<(Key, Option<Row>)>,
        counts: Counts,
    ) -> Changed {
        let mut changed = Changed::default();
        let place = self.place_of(&position);
        let is_held = self.holds_at(place, &position);
        if !is_held && writes.is_empty() {
            return changed;
        }
        let label = match is_held {
            true => self.commits[place].label,
            false => self.label_before(place),
        };
        self.changed_from = self.changed_from.min(label);
        let (old_keys, old_counts) = match is_held {
            true => {
                let commit = &mut self.commits[place];
                (
                    std::mem::take(&mut commit.keys),
                    std::mem::take(&mut commit.counts),
                )
            }
            false => (Box::default(), Counts::new()),
        };
        for key in &old_keys {
            // Both are in order.
            if writes
                .binary_search_by(|(written, _)| written.cmp(key))
                .is_err()
            {
                if !planted!(StaleReadAfterRollback) {
                    self.take_version(key, label);
                }
                changed.keys.push((key.clone(), self.stop(key, label)));
            }
        }
        let mut keys = Vec::with_capacity(writes.len());
        for (key, value) in writes {
            let known = self.keys.get(&key).and_then(|held| held.get(label));
            if known.is_none_or(|known| known.value != value) {
                changed.keys.push((key.clone(), self.stop(&key, label)));
                self.put_version(&key, label, value);
            }
            keys.push(key);
        }
        self.take_back_counts(&old_counts);
        for (slot, change) in &counts {
            self.counts[*slot] += change;
        }
        changed.counts = old_counts.iter().map(|(slot, old)| (*slot, -old)).collect();
        changed.counts.extend(&counts);
        if keys.is_empty() {
            self.commits.remove(place);
        } else if is_held {
            let commit = &mut self.commits[place];
            commit.keys = keys.into_boxed_slice();
            commit.counts = counts;
        } else {
            let keys = keys.into_boxed_slice();
            self.commits.insert(
                place,
                Commit {
                    label,
                    position,
                    keys,
                    counts,
                },
            );
            self.next = self.next.max(label + GAP);
        }
        changed
    }

    fn put_version(&mut self, key: &Key, label: u64, value: Option<Row>) {
        self.bytes += version_bytes(key, value.as_ref());
        self.versions += 1;
        let version = Version {
            commit: label,
            value,
        };
        let mut replaced = None;
        self.keys
            .put(key.clone(), version, Versions::of, |held, version| {
                replaced = held.put(version);
            });
        if let Some(before) = replaced {
            self.bytes -= version_bytes(key, before.value.as_ref());
            self.versions -= 1;
        }
    }

    fn take_version(&mut self, key: &Key, label: u64) -> Option<Version> {
        let held = self.keys.get_mut(key)?;
        let gone = match held.take(label) {
            Some(gone) => Some(gone),
            None => self.keys.remove(key).map(Versions::into_newest),
        };
        if let Some(gone) = &gone {
            self.bytes -= version_bytes(key, gone.value.as_ref());
            self.versions -= 1;
        }
        gone
    }

    /// Up to which position a change of what the commit with this label wrote can be seen: the next
    /// that writes the key sees it, and nobody after.
    fn stop(&self, key: &Key, label: u64) -> Option<Position> {
        let next = self.keys.get(key)?.after(label)?;
        let place = self.commits.partition_point(|commit| commit.label < next);
        self.commits.get(place).map(|commit| commit.position)
    }

    /// A label for a commit that comes before the one at `place`.
    fn label_before(&mut self, place: usize) -> u64 {
        let room = |overlay: &Self| {
            let low = match place.checked_sub(1) {
                Some(before) => overlay.commits[before].label + 1,
                None => overlay.floor,
            };
            let high = overlay.commits.get(place);
            (low, high.map_or(low + GAP, |commit| commit.label))
        };
        let (mut low, mut high) = room(self);
        if low >= high {
            self.label_anew();
            (low, high) = room(self);
        }
        low + (high - low) / SHARE
    }

    /// From now on it is noted which commits change, and whether some come at or before `through`.
    /// Gives a number to ask with.
    pub(crate) fn watch_labels(&mut self, through: &Position) -> u64 {
        self.changed_from = u64::MAX;
        self.watched = Some(*through);
        self.watches += 1;
        self.watches
    }

    /// Whether the commits before `end` are as they were when [`Overlay::watch_labels`] gave this
    /// number, and nobody has called it since.
    pub(crate) fn is_unchanged(&self, watch: u64, end: u64) -> bool {
        self.watches == watch && self.changed_from >= end
    }

    /// Gives all commits new labels, with room between them.
    fn label_anew(&mut self) {
        self.changed_from = 0;
        let old: Vec<u64> = self.commits.iter().map(|commit| commit.label).collect();
        let floor = self.floor;
        let new = |place: usize| floor + GAP * (place as u64 + 1);
        for (place, commit) in self.commits.iter_mut().enumerate() {
            commit.label = new(place);
        }
        self.next = new(old.len());
        let relabel = |version: &mut Version| {
            let place = old.partition_point(|label| *label < version.commit);
            version.commit = new(place);
        };
        self.keys
            .for_each_value(|versions| versions.each_mut(relabel));
    }

    /// Drops everything written at or after `from`. Tells whether there was anything.
    pub(crate) fn rewind(&mut self, from: &Position) -> bool {
        let before = self.commits.len();
        while let Some(commit) = self.commits.pop_back_if(|commit| commit.position >= *from) {
            for key in &commit.keys {
                self.take_version(key, commit.label);
            }
            if !planted!(StaleCountAfterRollback) {
                self.take_back_counts(&commit.counts);
            }
            self.next = commit.label;
            self.changed_from = self.changed_from.min(commit.label);
        }
        self.commits.len() < before
    }

    /// Undoes changes of row counts.
    pub(crate) fn take_back_counts(&mut self, counts: &Counts) {
        for (slot, change) in counts {
            self.counts[*slot] -= change;
        }
    }

    /// Labels its next commit from `label` on. Only while it holds none.
    pub(crate) fn restart_at(&mut self, label: u64) {
        assert!(self.commits.is_empty(), "commits keep their labels");
        self.next = label;
        self.floor = label;
    }
}

/// Bytes of memory of a version, estimated.
pub(crate) fn version_bytes(key: &Key, value: Option<&Row>) -> usize {
    VERSION_BYTES + key.heap_bytes() + value.map_or(0, |row| row.len())
}
