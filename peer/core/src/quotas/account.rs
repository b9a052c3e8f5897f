//! One author's shares, and what of it is held back.

use std::collections::BTreeMap;
use std::fmt;

use sync_protocol::{Position, Tick};

use super::{Quotas, Share};

/// Parts of one: shares are counted in millionths, so that a microsecond's worth is a whole number.
const PARTS: i64 = 1_000_000;

fn parts(amount: u64) -> i64 {
    i64::try_from(amount)
        .unwrap_or(i64::MAX)
        .saturating_mul(PARTS)
}

/// What is left of a share. Below zero it is owed.
#[derive(Clone, Copy, Debug)]
struct Left(i64);

impl Left {
    fn fill(&mut self, share: Share, us: u64) {
        let full = parts(share.at_once);
        if self.0 < full {
            // So many a second are as many millionths a microsecond.
            let gained = i64::try_from(us.saturating_mul(share.per_second)).unwrap_or(i64::MAX);
            self.0 = self.0.saturating_add(gained).min(full);
        }
    }

    fn take(&mut self, amount: u64) {
        self.0 = self.0.saturating_sub(parts(amount));
    }

    fn is_some(self) -> bool {
        self.0 > 0
    }

    fn is_full(self, share: Share) -> bool {
        self.0 >= parts(share.at_once)
    }

    /// Microseconds until there is something.
    fn wait_us(self, share: Share) -> u64 {
        let owed = 1_i64.saturating_sub(self.0).max(0).unsigned_abs();
        owed.div_ceil(share.per_second.max(1))
    }
}

/// What is left of the three shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    entries: Left,
    bytes: Left,
    units: Left,
}

impl Allowance {
    fn full(quotas: &Quotas) -> Self {
        Self {
            entries: Left(parts(quotas.entries.at_once)),
            bytes: Left(parts(quotas.bytes.at_once)),
            units: Left(parts(quotas.units.at_once)),
        }
    }

    fn fill(&mut self, quotas: &Quotas, us: u64) {
        self.entries.fill(quotas.entries, us);
        self.bytes.fill(quotas.bytes, us);
        self.units.fill(quotas.units, us);
    }

    /// Whether another entry may run. The last one may cost more than is left.
    pub(super) fn is_some(&self) -> bool {
        self.entries.is_some() && self.bytes.is_some() && self.units.is_some()
    }

    pub(super) fn has_units(&self) -> bool {
        self.units.is_some()
    }

    pub(super) fn take_entry(&mut self, bytes: usize) {
        self.entries.take(1);
        self.bytes.take(bytes as u64);
    }

    pub(super) fn take_units(&mut self, units: u64) {
        self.units.take(units);
    }

    /// Microseconds until another entry may run.
    pub(super) fn wait_us(&self, quotas: &Quotas) -> u64 {
        let entries = self.entries.wait_us(quotas.entries);
        let bytes = self.bytes.wait_us(quotas.bytes);
        entries.max(bytes).max(self.units.wait_us(quotas.units))
    }

    fn is_full(&self, quotas: &Quotas) -> bool {
        self.entries.is_full(quotas.entries)
            && self.bytes.is_full(quotas.bytes)
            && self.units.is_full(quotas.units)
    }
}

/// Why entries of an author are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It writes more entries than its share.
    Entries,
    /// It writes more bytes.
    Bytes,
    /// Its calls take more of the processor.
    Units,
    /// Its clock is ahead.
    Ahead,
    /// They build on what is held back of others.
    Others,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entries => "it writes more entries than its share",
            Self::Bytes => "it writes more bytes than its share",
            Self::Units => "its calls take more of the processor than its share",
            Self::Ahead => "its clock is ahead",
            Self::Others => "they build on what is held back of others",
        })
    }
}

/// An entry that is held back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    bytes: usize,
    /// Its share was taken before it turned out that others' calls used up the units.
    pub(super) is_paid: bool,
}

/// What one author may do, and what waits.
#[derive(Debug)]
pub(super) struct Account {
    /// For its own entries.
    pub(super) own: Allowance,
    /// For what its entries build on that is held back of others: who has seen it run vouches for
    /// it. Otherwise a member that floods each peer with something else would hold up everybody's.
    pub(super) vouched: Allowance,
    /// In order, so that what is built on comes first.
    held: BTreeMap<Position, Held>,
    held_bytes: usize,
    why: Why,
    is_told: bool,
    filled: Tick,
}

impl Account {
    pub(super) fn new(quotas: &Quotas, is_start: bool, now: Tick) -> Self {
        let mut own = Allowance::full(quotas);
        if is_start {
            let start = quotas.start_units.max(quotas.units.at_once);
            own.units = Left(parts(start));
        }
        Self {
            own,
            vouched: own,
            held: BTreeMap::new(),
            held_bytes: 0,
            why: Why::Entries,
            is_told: false,
            filled: now,
        }
    }

    pub(super) fn end_start(&mut self, quotas: &Quotas) {
        let full = parts(quotas.units.at_once);
        for allowance in [&mut self.own, &mut self.vouched] {
            allowance.units.0 = allowance.units.0.min(full);
        }
    }

    pub(super) fn fill(&mut self, quotas: &Quotas, now: Tick) {
        let us = now.since(self.filled);
        if us == 0 {
            return;
        }
        self.filled = now;
        self.own.fill(quotas, us);
        self.vouched.fill(quotas, us);
        if self.held.is_empty() && self.own.is_full(quotas) {
            self.is_told = false;
        }
    }

    pub(super) fn hold(&mut self, position: Position, bytes: usize, is_paid: bool, why: Why) {
        if self
            .held
            .insert(position, Held { bytes, is_paid })
            .is_none()
        {
            self.held_bytes += bytes;
        }
        self.why = why;
    }

    pub(super) fn unhold(&mut self, position: &Position) -> bool {
        let held = self.held.remove(position);
        self.held_bytes -= held.map_or(0, |held| held.bytes);
        held.is_some()
    }

    pub(super) fn held(&self, position: &Position) -> Option<Held> {
        self.held.get(position).copied()
    }

    /// The first one in order.
    pub(super) fn first(&self) -> Option<Position> {
        self.held.keys().next().copied()
    }

    /// Drops those that are held no more.
    pub(super) fn retain(&mut self, is_held: impl Fn(&Position) -> bool) {
        let bytes = &mut self.held_bytes;
        self.held.retain(|position, held| {
            let stays = is_held(position);
            *bytes -= if stays { 0 } else { held.bytes };
            stays
        });
    }

    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn why(&self) -> Why {
        self.why
    }

    pub(super) fn set_why(&mut self, why: Why) {
        self.why = why;
    }

    /// What is used up, if something is.
    pub(super) fn used_up(&self) -> Option<Why> {
        if !self.own.units.is_some() {
            Some(Why::Units)
        } else if !self.own.entries.is_some() {
            Some(Why::Entries)
        } else if !self.own.bytes.is_some() {
            Some(Why::Bytes)
        } else {
            None
        }
    }

    /// True the first time since all of its share was left.
    pub(super) fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share {
        at_once: 10,
        per_second: 4,
    };

    fn quotas() -> Quotas {
        Quotas {
            entries: SHARE,
            bytes: SHARE,
            units: SHARE,
            start_units: 50,
            ..Quotas::default()
        }
    }

    #[test]
    fn a_share_is_used_up_owed_and_fills_up_again_to_the_microsecond() {
        let mut left = Left(parts(SHARE.at_once));
        left.take(10);
        assert!(!left.is_some());
        assert_eq!(left.wait_us(SHARE), 1);
        left.take(2);
        let wait = left.wait_us(SHARE);
        left.fill(SHARE, wait - 1);
        assert!(!left.is_some());
        left.fill(SHARE, 1);
        assert!(left.is_some());
        // However often it is looked at, nothing is lost by rounding.
        let (mut often, mut once) = (left, left);
        for _ in 0..1_000 {
            often.fill(SHARE, 7);
        }
        once.fill(SHARE, 7_000);
        assert_eq!(often.0, once.0);
        left.fill(SHARE, u64::MAX);
        assert!(left.is_full(SHARE));
        left.take(u64::MAX);
        left.take(u64::MAX);
        assert!(!left.is_some(), "however much is owed");
    }

    #[test]
    fn each_of_the_three_shares_is_a_reason_of_its_own() {
        let mut account = Account::new(&quotas(), false, Tick(0));
        assert_eq!(account.used_up(), None);
        account.own.take_entry(10);
        assert_eq!(account.used_up(), Some(Why::Bytes));
        for _ in 0..9 {
            account.own.take_entry(0);
        }
        assert_eq!(account.used_up(), Some(Why::Entries));
        account.own.take_units(11);
        assert_eq!(account.used_up(), Some(Why::Units));
        assert_eq!(account.own.wait_us(&quotas()), 250_001);
    }

    #[test]
    fn a_start_may_run_more_and_leaves_no_more_than_a_full_share() {
        let mut account = Account::new(&quotas(), true, Tick(0));
        account.own.take_units(45);
        assert!(account.own.has_units());
        account.end_start(&quotas());
        let mut fresh = Account::new(&quotas(), true, Tick(0));
        fresh.end_start(&quotas());
        fresh.own.take_units(10);
        assert!(!fresh.own.has_units());
    }

    #[test]
    fn an_episode_is_told_once() {
        let mut account = Account::new(&quotas(), false, Tick(0));
        account.own.take_entry(1);
        assert!(account.tell());
        assert!(!account.tell());
        account.fill(&quotas(), Tick(1_000));
        assert!(!account.tell(), "it goes on");
        account.fill(&quotas(), Tick(60_000_000));
        assert!(account.tell(), "another one");
    }
}
