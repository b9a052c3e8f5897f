//! When a remote is tried next. Pure: time and dice are arguments.

/// Milliseconds before the second try.
const RETRY_FIRST_MS: u64 = 1_000;

/// Milliseconds between tries of a wanted remote that has long been away.
pub(super) const RETRY_MAX_MS: u64 = 15_000;

/// Milliseconds for which a try is taken to be under way if nothing is heard of it.
const TRY_MS: u64 = 20_000;

/// When something is tried next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) failures: u32,
    pub(super) at_ms: u64,
    /// A try is taken to be under way until `at_ms`, unless its end is heard of.
    pub(super) trying: bool,
}

impl Retry {
    /// The first try is at this time.
    pub(super) fn at(at_ms: u64) -> Self {
        Self {
            at_ms,
            ..Self::default()
        }
    }

    /// A try begins.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.at_ms = now_ms + TRY_MS;
        self.trying = true;
    }

    /// After a failure: 1, 2, 4 … s, a quarter more or less by `jitter`, so that peers cut off
    /// together do not come back together.
    pub(super) fn failed(&mut self, now_ms: u64, max_ms: u64, jitter: u32) {
        let wait = (RETRY_FIRST_MS << self.failures.min(16)).min(max_ms);
        let wait = wait * 3 / 4 + (wait / 2) * u64::from(jitter) / u64::from(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.trying = false;
        self.at_ms = now_ms + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_one_second_to_fifteen() {
        let mut retry = Retry::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            retry.failed(0, RETRY_MAX_MS, u32::MAX / 2);
            waits.push((retry.at_ms + 500) / 1_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
        let mut early = Retry::default();
        early.failed(0, RETRY_MAX_MS, 0);
        let mut late = Retry::default();
        late.failed(0, RETRY_MAX_MS, u32::MAX);
        assert_eq!((early.at_ms, late.at_ms), (750, 1_250));
    }
}
