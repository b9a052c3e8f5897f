//! What strangers may ask for, in portions that fill up again with time. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Keys remembered. Whoever has not asked for longest is forgotten, which gives him a full portion.
const KEYS_MAX: usize = 4_096;

/// A portion that fills up again, one every so often.
#[derive(Clone, Copy, Debug)]
struct Portion {
    left: u32,
    filled: Instant,
}

/// A portion for each key.
#[derive(Debug)]
pub(super) struct Portions<K> {
    portions: BTreeMap<K, Portion>,
    at_once: u32,
    every: Duration,
}

impl<K: Ord + Copy> Portions<K> {
    /// `at_once` for each, and one more after each `every`.
    pub(super) fn new(at_once: u32, every: Duration) -> Self {
        Self {
            portions: BTreeMap::new(),
            at_once,
            every,
        }
    }

    /// Takes one for `key`, if there is one.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if !self.portions.contains_key(&key) && self.portions.len() >= KEYS_MAX {
            let full_after = self.every * self.at_once;
            self.portions
                .retain(|_, portion| portion.filled + full_after > now);
            if self.portions.len() >= KEYS_MAX
                && let Some(oldest) = self
                    .portions
                    .iter()
                    .min_by_key(|(_, portion)| portion.filled)
                    .map(|(key, _)| *key)
            {
                self.portions.remove(&oldest);
            }
        }
        let portion = self.portions.entry(key).or_insert(Portion {
            left: self.at_once,
            filled: now,
        });
        while portion.left < self.at_once && portion.filled + self.every <= now {
            portion.left += 1;
            portion.filled += self.every;
        }
        if portion.left == self.at_once {
            portion.filled = now;
        }
        let taken = portion.left > 0;
        portion.left = portion.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_used_up_and_fills_again() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut portions = Portions::new(2, second);
        let mut take = |key: u8, after: u32| portions.take(key, start + second * after);
        assert_eq!([take(1, 0), take(1, 0), take(1, 0)], [true, true, false]);
        assert!(take(2, 0), "another has his own");
        assert_eq!([take(1, 1), take(1, 1)], [true, false]);
        assert_eq!(
            [take(1, 100), take(1, 100), take(1, 100)],
            [true, true, false]
        );
    }

    #[test]
    fn keys_are_bounded() {
        let start = Instant::now();
        let mut portions = Portions::new(1, Duration::from_secs(60));
        for key in 0..2 * KEYS_MAX {
            assert!(portions.take(key, start));
        }
        assert_eq!(portions.portions.len(), KEYS_MAX);
        assert!(!portions.take(2 * KEYS_MAX - 1, start));
    }
}
