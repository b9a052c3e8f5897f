//! Tells, of nearly all keys that are not among some, that they are not, with one look into memory that is
//! small enough for a processor's cache.

use crate::key_hash::KeyHasher;

/// Bits for each key: with three of them set, one in a hundred keys that are not there looks as if it were.
const BITS_PER_KEY: usize = 16;

/// A Bloom filter whose bits of one key lie in one word.
///
/// Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters (2007), section 3.
pub(crate) struct KeyFilter {
    hasher: KeyHasher,
    /// A power of two of them.
    words: Box<[u64]>,
}

impl KeyFilter {
    /// The filter of these keys.
    pub(crate) fn of<'a>(hasher: KeyHasher, keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let bits = keys.len().saturating_mul(BITS_PER_KEY);
        let words = bits.div_ceil(u64::BITS as usize).next_power_of_two();
        let mut filter = Self {
            hasher,
            words: vec![0; words].into_boxed_slice(),
        };
        for key in keys {
            let (word, bits) = filter.place(key);
            filter.words[word] |= bits;
        }
        filter
    }

    /// Whether the key may be among them; if not, it is not.
    #[inline]
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        let (word, bits) = self.place(key);
        self.words[word] & bits == bits
    }

    /// A key's word, and its bits in there.
    #[inline]
    fn place(&self, key: &[u8]) -> (usize, u64) {
        let hash = self.hasher.place(key);
        let bits = [46, 52, 58].map(|from| 1 << ((hash >> from) & 63));
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are wanted")]
        let word = hash as usize & (self.words.len() - 1);
        (word, bits.into_iter().fold(0, |all, bit| all | bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(keys: &[Vec<u8>]) -> KeyFilter {
        KeyFilter::of(KeyHasher::of(7), keys.iter().map(Vec::as_slice))
    }

    fn keys(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
        let key = |n: u32| [&[0, 0, 0, 1][..], &n.to_be_bytes()].concat();
        numbers.map(key).collect()
    }

    #[test]
    fn it_has_all_its_keys_and_few_others() {
        let held = keys(0..10_000);
        let filter = filter(&held);
        assert!(held.iter().all(|key| filter.may_have(key)));
        let others = keys(10_000..110_000);
        let mistaken = others.iter().filter(|key| filter.may_have(key)).count();
        assert!(mistaken < 2_500, "{mistaken} of {}", others.len());
    }

    #[test]
    fn one_of_nothing_has_nothing() {
        let filter = filter(&[]);
        assert!(keys(0..100).iter().all(|key| !filter.may_have(key)));
    }
}
