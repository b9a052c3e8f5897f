//! How much of other members' work this peer does at once: for each author a share of entries, of
//! bytes, and of the units that its calls use, which fills up again with time (token buckets).
//!
//! What is beyond an author's share is *held back*, as what comes from the future is: stored,
//! counted among the heads, told to whoever asks; not run, not built on by this peer, not pushed,
//! until the share has filled up or a cut covers it. So a flood delays whoever makes it. It is this
//! peer's own business and nothing of validity: another may hold back something else, and both come
//! to the same rows when all has run.
//!
//! Time is an argument here as everywhere in the core. A restart forgets what was used up.

mod account;
mod holding;

use std::collections::{BTreeMap, BTreeSet};

use sync_protocol::{DeviceKey, EntryId, Position, Stub, Tick};

use crate::limits::{
    BYTES_AT_ONCE, BYTES_PER_S, ENTRIES_AT_ONCE, ENTRIES_PER_S, HELD_BYTES_MAX, HELD_ENTRIES_MAX,
    RELAYED_TIMES, START_UNITS, UNITS_AT_ONCE, UNITS_PER_S,
};
use account::Account;
pub(crate) use account::Why;

/// A share that fills up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What may be used at once when it is full.
    pub at_once: u64,
    /// What comes back every second.
    pub per_second: u64,
}

/// What this peer does for each author other than itself, in each database. Local: no outcome
/// depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Entries that may run.
    pub entries: Share,
    /// Their bytes.
    pub bytes: Share,
    /// Units that their calls may use, known after they ran.
    pub units: Share,
    /// Units of an author's calls that a start runs again.
    pub start_units: u64,
    /// Entries that may be held back; beyond it no more are taken in from the author.
    pub held_entries_max: usize,
    /// Their bytes, on disk.
    pub held_bytes_max: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            entries: Share {
                at_once: ENTRIES_AT_ONCE,
                per_second: ENTRIES_PER_S,
            },
            bytes: Share {
                at_once: BYTES_AT_ONCE,
                per_second: BYTES_PER_S,
            },
            units: Share {
                at_once: UNITS_AT_ONCE,
                per_second: UNITS_PER_S,
            },
            start_units: START_UNITS,
            held_entries_max: HELD_ENTRIES_MAX,
            held_bytes_max: HELD_BYTES_MAX,
        }
    }
}

/// What of a member is held back here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldBack {
    pub(crate) member: DeviceKey,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) why: Why,
}

/// The accounts of one database.
#[derive(Debug)]
pub(crate) struct Ration {
    quotas: Quotas,
    /// Of authors some of whose entries came since the start. Only who may write has entries that
    /// count, so there are no more than members.
    accounts: BTreeMap<DeviceKey, Account>,
    /// Entries of others that may run and have not yet, and who vouches for each.
    unrun: BTreeMap<EntryId, Option<DeviceKey>>,
    /// Authors of whom this sweep has held back what can be, of what so and so vouches for.
    cut_short: BTreeSet<(DeviceKey, Option<DeviceKey>)>,
    /// What comes now is from the own log.
    is_start: bool,
    release_at: Option<Tick>,
}

impl Ration {
    /// Accounts with full shares.
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            accounts: BTreeMap::new(),
            unrun: BTreeMap::new(),
            cut_short: BTreeSet::new(),
            is_start: false,
            release_at: None,
        }
    }

    /// The tail of the own log is about to run: until [`Self::end_start`] more units are there for it.
    pub(crate) fn begin_start(&mut self) {
        self.is_start = true;
    }

    /// The tail of the own log has run, as far as it may at once.
    pub(crate) fn end_start(&mut self) {
        self.is_start = false;
        for account in self.accounts.values_mut() {
            account.end_start(&self.quotas);
        }
    }

    /// An entry of the own log, by somebody else, that is about to run again. It costs no share.
    pub(crate) fn note_from_log(&mut self, entry: EntryId) {
        self.unrun.insert(entry, None);
    }

    fn account(&mut self, author: &DeviceKey, now: Tick) -> &mut Account {
        let (quotas, is_start) = (&self.quotas, self.is_start);
        let account = self
            .accounts
            .entry(*author)
            .or_insert_with(|| Account::new(quotas, is_start, now));
        account.fill(quotas, now);
        account
    }

    /// Whether no more of an author's entries are taken in from a remote: as many are held back as
    /// may be. From others they may be what theirs builds on, so there is more room for those.
    pub(crate) fn is_full(&self, author: &DeviceKey, from: &DeviceKey) -> bool {
        let times = if author == from { 1 } else { RELAYED_TIMES };
        self.accounts.get(author).is_some_and(|account| {
            account.held_len() >= self.quotas.held_entries_max.saturating_mul(times)
                || account.held_bytes() >= self.quotas.held_bytes_max.saturating_mul(times)
        })
    }

    /// Whether entries of others are about to run for the first time.
    pub(crate) fn is_unrun(&self) -> bool {
        !self.unrun.is_empty()
    }

    /// The calls of an entry have run for the first time since it came.
    pub(crate) fn note_ran(&mut self, author: &DeviceKey, entry: &EntryId, units: u64, now: Tick) {
        let Some(vouched_by) = self.unrun.remove(entry) else {
            return;
        };
        self.account(author, now).own.take_units(units);
        if let Some(voucher) = vouched_by {
            self.account(&voucher, now).vouched.take_units(units);
        }
    }

    /// A cut covers it.
    pub(crate) fn forget(&mut self, entry: &Stub) {
        self.unrun.remove(&entry.id);
        if let Some(account) = self.accounts.get_mut(&entry.header.author) {
            account.unhold(&entry.position(0));
        }
    }

    fn unhold(&mut self, position: &Position) -> bool {
        let account = self.accounts.get_mut(&position.author);
        account.is_some_and(|account| account.unhold(position))
    }

    /// When it may be looked again what may run, if something is held back.
    pub(crate) fn release_at(&self) -> Option<Tick> {
        self.release_at
    }

    /// How many entries are held back.
    pub(crate) fn held_len(&self) -> usize {
        self.accounts.values().map(Account::held_len).sum()
    }

    /// Of whom something is held back, and why.
    pub(crate) fn held_back(&self) -> impl Iterator<Item = HeldBack> + '_ {
        let accounts = self.accounts.iter();
        let holding = accounts.filter(|(_, account)| account.held_len() > 0);
        holding.map(|(member, account)| HeldBack {
            member: *member,
            entries: account.held_len(),
            bytes: account.held_bytes(),
            why: account.why(),
        })
    }
}

#[cfg(test)]
mod tests {
    use sync_protocol::Hlc;

    use super::*;

    #[test]
    fn there_is_more_room_for_what_others_bring() {
        let quotas = Quotas {
            held_entries_max: 3,
            held_bytes_max: 1_000,
            ..Quotas::default()
        };
        let (author, other) = (DeviceKey([1; 32]), DeviceKey([2; 32]));
        let mut ration = Ration::new(quotas);
        let mut hold = |number: u64, bytes: usize| {
            let position = Position {
                hlc: Hlc(number),
                author,
                ..Position::MIN
            };
            let account = ration.account(&author, Tick(0));
            account.hold(position, bytes, false, Why::Entries);
            (
                ration.is_full(&author, &author),
                ration.is_full(&author, &other),
            )
        };
        assert_eq!(hold(1, 10), (false, false));
        assert_eq!(hold(2, 10), (false, false));
        assert_eq!(hold(3, 10), (true, false));
        assert_eq!(hold(4, 3_000), (true, false));
        assert_eq!(hold(5, 2_000), (true, true));
        let told: Vec<HeldBack> = ration.held_back().collect();
        assert_eq!((told[0].entries, told[0].bytes), (5, 5_030));
        assert!(!ration.is_full(&other, &other));
    }
}
