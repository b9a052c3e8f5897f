//! What a call has read, and what a change at one position means for calls at later ones: only those
//! that read something that changed have to run again (ORDERING 2.3).
//!
//! A read is remembered as a hash of the stored key, absent keys included, and as the bounds of what
//! was scanned. A false alarm costs a needless execution and nothing else, so hashes need not tell
//! all keys apart.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use sync_protocol::Position;

use crate::key::{Key, SPACE_BYTES};
use crate::limits::{READ_KEYS_MAX, READ_RANGES_MAX};

/// What one call has read, of what it had not written itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Hashes of keys, sorted, each once.
    keys: Box<[u64]>,
    /// Most calls have none.
    others: Option<Box<OtherReads>>,
}

/// What is not a single key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OtherReads {
    /// From the first up to but without the second.
    ranges: Vec<(Key, Key)>,
    /// Slots of tables whose rows were counted, sorted.
    counts: Vec<usize>,
    /// Spaces of which so much was read that all of it counts, sorted.
    whole: Vec<[u8; SPACE_BYTES]>,
}

/// What a call has read so far. Once it has been told, it is empty and keeps its allocations for the next
/// call.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Hashes of keys.
    keys: Vec<u64>,
    /// Spaces of these keys, sorted.
    spaces: Vec<[u8; SPACE_BYTES]>,
    others: OtherReads,
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

fn space(key: &[u8]) -> [u8; SPACE_BYTES] {
    key.first_chunk().copied().unwrap_or_default()
}

fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(place) = list.binary_search(&item) {
        list.insert(place, item);
    }
}

/// The read of one key, absent or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMark {
    hash: u64,
    space: [u8; SPACE_BYTES],
}

impl ReadMark {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self {
            hash: hash(key),
            space: space(key),
        }
    }
}

impl Reading {
    pub(crate) fn key(&mut self, key: &[u8]) {
        self.mark(&ReadMark::of(key));
    }

    pub(crate) fn mark(&mut self, mark: &ReadMark) {
        let ReadMark { hash, space } = *mark;
        // What is looked up is mostly looked up again when it is written.
        if self.keys.last() == Some(&hash) {
            return;
        }
        if self.others.whole.binary_search(&space).is_ok() {
            return;
        }
        self.keys.push(hash);
        insert(&mut self.spaces, space);
        if self.keys.len() >= 2 * READ_KEYS_MAX {
            self.tidy();
        }
    }

    pub(crate) fn range(&mut self, low: &Key, high: &Key) {
        let OtherReads { ranges, whole, .. } = &mut self.others;
        let is_last = |last: &(Key, Key)| last.0 == *low && last.1 == *high;
        let is_whole = whole.binary_search(&space(low.as_bytes())).is_ok();
        if is_whole || ranges.last().is_some_and(is_last) {
            return;
        }
        ranges.push((low.clone(), high.clone()));
        if ranges.len() > READ_RANGES_MAX {
            for (low, _) in std::mem::take(ranges) {
                insert(whole, space(low.as_bytes()));
            }
        }
    }

    pub(crate) fn count(&mut self, slot: usize) {
        insert(&mut self.others.counts, slot);
    }

    /// Sorts out repetitions; of what is still too much, whole tables count.
    fn tidy(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        if self.keys.len() > READ_KEYS_MAX {
            self.keys.clear();
            for space in std::mem::take(&mut self.spaces) {
                insert(&mut self.others.whole, space);
            }
        }
    }

    /// As it is kept, once the call has ended. Nothing of it is left here.
    pub(crate) fn take(&mut self) -> Reads {
        self.tidy();
        let keys = Box::from(self.keys.as_slice());
        self.keys.clear();
        self.spaces.clear();
        let others = std::mem::take(&mut self.others);
        Reads {
            keys,
            others: (others != OtherReads::default()).then(|| Box::new(others)),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.spaces.clear();
        self.others = OtherReads::default();
    }
}

impl Reads {
    /// Bytes of memory, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let others = self.others.as_ref().map_or(0, |others| {
            let heap = |(low, high): &(Key, Key)| low.heap_bytes() + high.heap_bytes();
            size_of::<OtherReads>()
                + others.ranges.len() * size_of::<(Key, Key)>()
                + others.ranges.iter().map(heap).sum::<usize>()
                + others.counts.len() * size_of::<usize>()
                + others.whole.len() * SPACE_BYTES
        });
        size_of::<Self>() + size_of_val(&*self.keys) + others
    }
}

/// What a call that ran anew at its position, or was withdrawn, changes for later calls.
#[derive(Debug, Default)]
pub struct Changed {
    /// Keys under which something else is visible now, up to the position that writes it next, with
    /// it; to the end if there is none.
    pub(crate) keys: Vec<(Key, Option<Position>)>,
    /// Rows more or fewer from here on, by the table's slot.
    pub(crate) counts: Vec<(usize, i64)>,
}

/// All that has changed so far in a sweep that goes from earlier positions to later ones.
#[derive(Debug, Default)]
pub struct Dirt {
    keys: BTreeMap<Key, Option<Position>>,
    hashes: BTreeMap<u64, Option<Position>>,
    /// A bit for each hash, to tell quickly that one is not there.
    bloom: u64,
    spaces: BTreeMap<[u8; SPACE_BYTES], Option<Position>>,
    counts: BTreeMap<usize, i64>,
}

impl Dirt {
    /// Adds what changed at a position that is later than all before.
    pub fn add(&mut self, changed: Changed) {
        for (key, stop) in changed.keys {
            let hash = hash(key.as_bytes());
            self.bloom |= 1 << (hash & 63);
            self.hashes.insert(hash, stop);
            let widest = self.spaces.entry(space(key.as_bytes())).or_insert(stop);
            *widest = later(*widest, stop);
            self.keys.insert(key, stop);
        }
        for (slot, change) in changed.counts {
            *self.counts.entry(slot).or_default() += change;
        }
    }

    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.counts.values().all(|change| *change == 0)
    }

    /// Whether something that has changed is written here.
    #[must_use]
    pub fn meets(&self, written: &Changed) -> bool {
        let mut keys = written.keys.iter();
        keys.any(|(key, _)| self.keys.contains_key(key))
    }

    /// Whether the call at `position` may have read something that has changed.
    #[must_use]
    pub fn touches(&self, reads: &Reads, position: &Position) -> bool {
        let open = |stop: &Option<Position>| {
            stop.is_none_or(|stop| *position <= stop)
                && !(planted!(StopBeforeNextWriter) && *stop == Some(*position))
        };
        let of_key = |hash: &&u64| self.bloom & (1 << (**hash & 63)) != 0;
        let mut keys = reads.keys.iter().filter(of_key);
        if keys.any(|hash| self.hashes.get(hash).is_some_and(open)) {
            return true;
        }
        let Some(others) = &reads.others else {
            return false;
        };
        let OtherReads {
            ranges,
            counts,
            whole,
        } = &**others;
        let mut whole = whole.iter();
        let mut counts = counts.iter();
        whole.any(|space| self.spaces.get(space).is_some_and(open))
            || counts.any(|slot| self.counts.get(slot).is_some_and(|change| *change != 0))
            || ranges.iter().any(|(low, high)| {
                let mut inside = self.keys.range(low.clone()..high.clone());
                inside.any(|(_, stop)| open(stop))
            })
    }
}

/// The later of two ends; none is the latest.
fn later(one: Option<Position>, other: Option<Position>) -> Option<Position> {
    Some(one?.max(other?))
}
