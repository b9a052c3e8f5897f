//! Values of the base that are asked for again and again, by their keys: beside a page that holds one of
//! them a hundred others lie that nobody asks for, and the way to it goes through every level of the tree.
//!
//! The base says of each cut what it changes here. What is read while a cut is on its way into the file
//! and is changed by it is not asked for here.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::base::KeyWrites;
use crate::key::{Key, Space};
use crate::key_hash::{KeyBytes, KeyHasher};
use crate::overlay::Row;

/// Bytes that a value costs beside itself and what its key has on the heap: its place (80) and the way there
/// (12), with a quarter more of both for what was kept before ([`GHOSTS`]), the counts of a shared value (16),
/// and rounding (13).
const PLACE_BYTES: usize = 144;

/// Of so many keys, for each that is kept, it is known that they were kept before: who is asked for again soon
/// after it had to go stays longer.
const GHOSTS: f64 = 0.25;

/// What most values take with their places, to know beforehand how many there will be.
const USUAL_BYTES: usize = PLACE_BYTES + 32;

/// Parts with a lock and a table each. A table that grows is copied, so they are small: of ten million rows
/// a part is copied in some milliseconds. A fixed number, as what is kept depends on it.
const PARTS: usize = 64;

/// Keeps values of the base. A clone is the same cache.
#[derive(Clone)]
pub(crate) struct RowCache(Arc<Cache<Key, Row, Bytes, KeyHasher>>);

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Row> for Bytes {
    fn weight(&self, key: &Key, row: &Row) -> u64 {
        (PLACE_BYTES + key.heap_bytes() + row.len()) as u64
    }
}

impl RowCache {
    /// An empty one that is going to take so many bytes at the most.
    pub(crate) fn new(bytes: usize, hasher: KeyHasher) -> Self {
        let options = OptionsBuilder::new()
            .shards(PARTS)
            .estimated_items_capacity(bytes / USUAL_BYTES)
            .weight_capacity(bytes as u64)
            .ghost_allocation(GHOSTS)
            .build()
            .expect("both capacities are given");
        let lifecycle = DefaultLifecycle::default();
        Self(Arc::new(Cache::with_options(
            options, Bytes, hasher, lifecycle,
        )))
    }

    /// The value of a key, if it is kept.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Row> {
        self.0.get(&KeyBytes(key))
    }

    /// Keeps what was read.
    pub(crate) fn put(&self, key: &[u8], value: &Row) {
        self.0.insert(Key::from(key), Row::clone(value));
    }

    /// What a cut writes. Rows that were written are likely to be read; entries of most indexes are walked
    /// through, and nobody asks for one.
    pub(crate) fn write(&self, writes: &KeyWrites) {
        for (key, value) in writes {
            match value {
                Some(value) if matches!(Space::of(key.as_bytes()), Some(Space::Index(_))) => {
                    // It was not there, and stays so.
                    let _ = self.0.replace(key.clone(), Row::clone(value), true);
                }
                Some(value) => self.0.insert(key.clone(), Row::clone(value)),
                None => drop(self.0.remove(key)),
            }
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        Key::from([&[0, 0, 0, 1][..], &n.to_be_bytes()].concat().as_slice())
    }

    fn entry(n: u32) -> Key {
        let space = Space::Index(crate::schema::IndexId(1)).bytes();
        Key::from([&space[..], &n.to_be_bytes()].concat().as_slice())
    }

    fn row(n: u32) -> Row {
        Row::from(&n.to_le_bytes()[..])
    }

    fn cache(bytes: usize) -> RowCache {
        RowCache::new(bytes, KeyHasher::of(3))
    }

    #[test]
    fn a_cut_changes_what_is_kept() {
        let cache = cache(1 << 20);
        for n in 0..3 {
            cache.put(key(n).as_bytes(), &row(n));
        }
        cache.put(entry(1).as_bytes(), &row(1));
        let value = |n: u32| Some(row(n));
        cache.write(&vec![
            (key(1), value(11)),
            (key(2), None),
            (key(4), value(14)),
            (entry(1), value(21)),
            (entry(2), value(22)),
        ]);
        let kept = [0, 1, 2, 4].map(|n| cache.get(key(n).as_bytes()));
        assert_eq!(kept, [value(0), value(11), None, value(14)]);
        let entries = [1, 2].map(|n| cache.get(entry(n).as_bytes()));
        assert_eq!(entries, [value(21), None], "only those that were asked for");
        cache.clear();
        assert_eq!(cache.get(key(0).as_bytes()), None);
    }

    #[test]
    fn it_keeps_within_its_bytes() {
        let bytes = 1 << 20;
        let cache = cache(bytes);
        for n in 0..50_000 {
            cache.put(key(n).as_bytes(), &row(n));
        }
        assert!(cache.0.weight() <= bytes as u64, "{}", cache.0.weight());
        let kept = bytes / (PLACE_BYTES + 4);
        assert!(cache.0.len() > kept * 9 / 10, "{}", cache.0.len());
        // One that is larger than a part is not kept, and does no harm.
        cache.put(key(0).as_bytes(), &Row::from(vec![0; bytes].as_slice()));
        assert_eq!(cache.get(key(0).as_bytes()), None);
    }
}
