//! The hash that places keys in memory.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;
use quick_cache::Equivalent;

use crate::key::Key;

/// Places keys. Keyed, so that nobody who writes rows can choose those that fall together; with the same
/// secret, a run goes as it did before.
#[derive(Clone)]
pub(crate) struct KeyHasher(FixedState);

impl KeyHasher {
    /// The one of this secret.
    pub(crate) fn of(secret: u64) -> Self {
        Self(FixedState::with_seed(secret))
    }

    /// Where a key has its place.
    #[inline]
    pub(crate) fn place(&self, key: &[u8]) -> u64 {
        self.0.hash_one(KeyBytes(key))
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = <FixedState as BuildHasher>::Hasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// Bytes of a key, which have the place of the key.
#[derive(Clone, Copy, Hash)]
pub(crate) struct KeyBytes<'a>(pub(crate) &'a [u8]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyBytes(self.as_bytes()).hash(state);
    }
}

impl Equivalent<Key> for KeyBytes<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.as_bytes()
    }
}
