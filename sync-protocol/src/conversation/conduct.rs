//! Whether a remote behaves: faults are counted and forgiven with time, and what costs us work is
//! given in portions.

use super::limits::{FAULTS_MAX, FORGIVE_EVERY_MS};
use crate::time::Tick;

/// Faults of one remote.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    faults: u32,
    forgiven_until: Tick,
}

impl Conduct {
    /// With faults from before.
    pub(super) fn remembering(now: Tick, faults: u32) -> Self {
        Self {
            faults: faults.min(FAULTS_MAX - 1),
            forgiven_until: now,
        }
    }

    /// Faults that are not forgiven yet.
    pub(super) fn faults(&self) -> u32 {
        self.faults
    }

    /// Counts a fault that weighs `points`. True: it was the last straw, report the remote.
    pub(super) fn fault(&mut self, now: Tick, points: u32) -> bool {
        let forgiven = now.since(self.forgiven_until) / (FORGIVE_EVERY_MS * 1_000);
        if forgiven > 0 {
            self.faults = self
                .faults
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.forgiven_until = now;
        }
        self.faults = self.faults.saturating_add(points);
        let report = self.faults >= FAULTS_MAX;
        if report {
            self.faults = 0;
        }
        report
    }
}

/// A portion that fills up again with time (a token bucket).
#[derive(Debug)]
pub(super) struct Portion {
    left: u64,
    at_once: u64,
    per_second: u64,
    filled: Tick,
}

impl Portion {
    pub(super) fn new(at_once: u64, per_second: u64) -> Self {
        Self {
            left: at_once,
            at_once,
            per_second,
            filled: Tick(0),
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Tick) -> bool {
        self.take_some(1, now)
    }

    /// Takes so many, if there is one: the last may be owed.
    pub(super) fn take_some(&mut self, some: u64, now: Tick) -> bool {
        // Whole units only, and the clock moves by what they took: nothing is lost by rounding.
        let us_per_unit = 1_000_000 / self.per_second;
        let units = now.since(self.filled) / us_per_unit;
        self.filled = Tick(self.filled.0 + units * us_per_unit);
        self.left = self.at_once.min(self.left.saturating_add(units));
        let taken = self.left > 0;
        if taken {
            self.left = self.left.saturating_sub(some);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_and_are_forgiven_with_time() {
        let mut conduct = Conduct::default();
        let start = Tick(0).plus_ms(FORGIVE_EVERY_MS);
        for _ in 1..FAULTS_MAX {
            assert!(!conduct.fault(start, 1));
        }
        let later = start.plus_ms(2 * FORGIVE_EVERY_MS);
        assert!(!conduct.fault(later, 1), "two were forgiven");
        assert!(!conduct.fault(later, 1));
        assert!(conduct.fault(later, 1));
        assert!(
            !conduct.fault(later, 1),
            "reported once, then counted afresh"
        );
        assert!(conduct.fault(later, FAULTS_MAX), "a heavy one is enough");
    }

    #[test]
    fn a_portion_fills_up_again() {
        let mut portion = Portion::new(3, 10);
        let start = Tick(7);
        assert_eq!(
            [0; 5].map(|_| portion.take(start)),
            [true, true, true, false, false]
        );
        let later = start.plus_ms(100);
        assert_eq!([0; 2].map(|_| portion.take(later)), [true, false]);
        let much_later = later.plus_ms(1_000_000);
        assert_eq!(
            [0; 4].map(|_| portion.take(much_later)),
            [true, true, true, false]
        );
    }
}
