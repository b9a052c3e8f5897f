//! An ordered map from stored keys. They are looked for by their first eight bytes, as one number: that
//! finds nearly all of them, and a search reads a few bytes of each node instead of whole keys.
//!
//! Order and answers are those of a `BTreeMap<Key, V>`.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound::{Excluded, Included};

use crate::key::Key;

/// One bucket of so many is taken out by itself: to build a tree anew touches each that stays.
const FEW: usize = 8;

/// Keys and their values, in the order of the keys.
#[derive(Debug)]
pub(crate) struct KeyMap<V> {
    buckets: BTreeMap<u64, Bucket<V>>,
    len: usize,
}

/// The keys that begin with the same eight bytes.
#[derive(Debug)]
enum Bucket<V> {
    /// Nearly always: a table's number and four bytes of a primary key.
    One(Key, V),
    /// Two or more; one is left at times, and none never.
    Many(BTreeMap<Key, V>),
}

impl<V> Default for KeyMap<V> {
    fn default() -> Self {
        Self {
            buckets: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<V> KeyMap<V> {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    #[inline]
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        Some(self.get_key_value(key)?.1)
    }

    /// The key as it is held here, and its value.
    #[inline]
    pub(crate) fn get_key_value(&self, key: &Key) -> Option<(&Key, &V)> {
        match self.buckets.get(&key.first_bytes())? {
            Bucket::One(held, value) => (held == key).then_some((held, value)),
            Bucket::Many(all) => all.get_key_value(key),
        }
    }

    /// The value of a key, to change it.
    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        match self.buckets.get_mut(&key.first_bytes())? {
            Bucket::One(held, value) => (held == key).then_some(value),
            Bucket::Many(all) => all.get_mut(key),
        }
    }

    /// Makes a value of what comes if the key is new, or changes the one that it has.
    pub(crate) fn put<T>(
        &mut self,
        key: Key,
        comes: T,
        new: impl FnOnce(T) -> V,
        change: impl FnOnce(&mut V, T),
    ) {
        match self.buckets.entry(key.first_bytes()) {
            btree_map::Entry::Vacant(free) => {
                free.insert(Bucket::One(key, new(comes)));
                self.len += 1;
            }
            btree_map::Entry::Occupied(mut bucket) => {
                let bucket = bucket.get_mut();
                match bucket {
                    Bucket::One(held, value) if *held == key => return change(value, comes),
                    Bucket::One(..) => bucket.make_room(),
                    Bucket::Many(_) => {}
                }
                let Bucket::Many(all) = bucket else {
                    unreachable!("room was made for more than one");
                };
                match all.entry(key) {
                    btree_map::Entry::Occupied(mut held) => change(held.get_mut(), comes),
                    btree_map::Entry::Vacant(free) => {
                        free.insert(new(comes));
                        self.len += 1;
                    }
                }
            }
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        let btree_map::Entry::Occupied(mut bucket) = self.buckets.entry(key.first_bytes()) else {
            return None;
        };
        let removed = match bucket.get_mut() {
            Bucket::One(held, _) if held != key => return None,
            Bucket::One(..) => match bucket.remove() {
                Bucket::One(_, value) => value,
                Bucket::Many(_) => unreachable!("it was looked at"),
            },
            Bucket::Many(all) => {
                let value = all.remove(key)?;
                if all.is_empty() {
                    bucket.remove();
                }
                value
            }
        };
        self.len -= 1;
        Some(removed)
    }

    /// Keeps the keys of which `keeps` says so, which may change their values. Where many go, what is left is
    /// built anew: taking them out one by one would balance the tree as often.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&Key, &mut V) -> bool) {
        let mut len = 0;
        let mut emptied = Vec::new();
        for (first, bucket) in &mut self.buckets {
            let left = match bucket {
                Bucket::One(key, value) => usize::from(keeps(key, value)),
                Bucket::Many(all) => {
                    all.retain(|key, value| keeps(key, value));
                    all.len()
                }
            };
            len += left;
            if left == 0 {
                emptied.push(*first);
            }
        }
        self.len = len;
        if emptied.len() * FEW < self.buckets.len() {
            for first in &emptied {
                self.buckets.remove(first);
            }
        } else if !emptied.is_empty() {
            let mut emptied = emptied.into_iter().peekable();
            let buckets = std::mem::take(&mut self.buckets).into_iter();
            let kept = buckets.filter(|(first, _)| emptied.next_if_eq(first).is_none());
            self.buckets = kept.collect();
        }
    }

    /// All keys and values, in order.
    pub(crate) fn iter(&self) -> Range<'_, V> {
        Range {
            buckets: self.buckets.range(..),
            within: None,
            bounds: None,
        }
    }

    /// The keys from `low` up to but without `high`, in order. `low` must not be greater.
    pub(crate) fn range(&self, low: &Key, high: &Key) -> Range<'_, V> {
        // Of two keys, the smaller one has no greater number.
        let buckets = self.buckets.range(low.first_bytes()..=high.first_bytes());
        Range {
            buckets,
            within: None,
            bounds: Some((low.clone(), high.clone())),
        }
    }

    /// All values, to change them, in the order of their keys.
    pub(crate) fn for_each_value(&mut self, mut change: impl FnMut(&mut V)) {
        for bucket in self.buckets.values_mut() {
            match bucket {
                Bucket::One(_, value) => change(value),
                Bucket::Many(all) => all.values_mut().for_each(&mut change),
            }
        }
    }
}

impl<V> Bucket<V> {
    /// Lets the bucket hold more than one key.
    fn make_room(&mut self) {
        let held = std::mem::replace(self, Self::Many(BTreeMap::new()));
        if let (Self::One(key, value), Self::Many(all)) = (held, self) {
            all.insert(key, value);
        }
    }
}

/// Keys and values, in order.
#[derive(Debug)]
pub(crate) struct Range<'a, V> {
    buckets: btree_map::Range<'a, u64, Bucket<V>>,
    /// What is left of the bucket with several keys.
    within: Option<btree_map::Range<'a, Key, V>>,
    /// From the first up to but without the second.
    bounds: Option<(Key, Key)>,
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (&'a Key, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.within.as_mut().and_then(Iterator::next) {
                return Some(next);
            }
            match (self.buckets.next()?.1, &self.bounds) {
                (Bucket::One(key, value), Some((low, high))) if key < low || key >= high => {}
                (Bucket::One(key, value), _) => return Some((key, value)),
                (Bucket::Many(all), None) => self.within = Some(all.range(..)),
                (Bucket::Many(all), Some((low, high))) => {
                    self.within = Some(all.range((Included(low), Excluded(high))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different keys, many of which begin alike, some shorter than eight bytes.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let alike = prop::collection::vec(0_u8..2, 0..4)
            .prop_map(|end| [&[0, 0, 0, 9, 1, 2, 3, 4][..], &end].concat());
        let short = prop::collection::vec(0_u8..3, 1..7);
        let apart = (0_u8..4, 0_u8..4).prop_map(|(a, b)| vec![0, 0, 0, a, 0, 0, 0, b]);
        prop_oneof![alike, short, apart]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<u8>, u32),
        Remove(Vec<u8>),
        KeepEven,
        /// Few go.
        KeepMost,
        Add(u32),
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (keys(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
            3 => keys().prop_map(Step::Remove),
            1 => Just(Step::KeepEven),
            2 => Just(Step::KeepMost),
            1 => any::<u32>().prop_map(Step::Add),
        ]
    }

    proptest! {
        /// Whatever is done to it, it answers as a map of whole keys does.
        #[test]
        fn it_is_an_ordered_map(
            steps in prop::collection::vec(steps(), 0..100),
            low in keys(),
            high in keys(),
        ) {
            let key = |bytes: &[u8]| Key::from(bytes);
            let mut map = KeyMap::default();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(bytes, value) => {
                        map.put(key(&bytes), value, |new| new, |held, new| *held ^= new);
                        let held = model.entry(key(&bytes));
                        held.and_modify(|held| *held ^= value).or_insert(value);
                    }
                    Step::Remove(bytes) => {
                        prop_assert_eq!(map.remove(&key(&bytes)), model.remove(&key(&bytes)));
                    }
                    Step::KeepEven => {
                        map.retain(|_, value| *value % 2 == 0);
                        model.retain(|_, value| *value % 2 == 0);
                    }
                    Step::KeepMost => {
                        map.retain(|_, value| *value % 16 > 0);
                        model.retain(|_, value| *value % 16 > 0);
                    }
                    Step::Add(more) => {
                        map.for_each_value(|value| *value = value.wrapping_add(more));
                        model.values_mut().for_each(|value| *value = value.wrapping_add(more));
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter().eq(model.iter()));
            for bytes in [&low, &high] {
                prop_assert_eq!(map.get(&key(bytes)), model.get(&key(bytes)));
                prop_assert_eq!(map.get_mut(&key(bytes)), model.get_mut(&key(bytes)));
            }
            let (low, high) = (key(low.as_slice().min(&high)), key(low.as_slice().max(&high)));
            let between = model.range((Included(&low), Excluded(&high)));
            match low == high {
                true => prop_assert_eq!(map.range(&low, &high).next(), None),
                false => prop_assert!(map.range(&low, &high).eq(between)),
            }
        }
    }
}
