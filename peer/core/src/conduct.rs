//! Remotes that broke the rules: how often, why, and for how long they are kept outside.
//!
//! A conversation counts faults and says when it is enough. What it counted is kept here when its
//! link goes down, so that hanging up wipes nothing out. Whoever is cut off is refused for a while
//! that grows with each time. Slowness is no fault: a remote that is silent, behind or away is
//! never found here.

use std::collections::BTreeMap;

use sync_protocol::{DeviceKey, Tick};

/// Milliseconds for which a remote is refused the first time.
const REFUSE_FIRST_MS: u64 = 60_000;

/// How much longer each further time: 1, 4, 16, 64 … minutes.
const REFUSE_GROWTH: u64 = 4;

/// Milliseconds for which a remote is refused at most: a day.
const REFUSE_MAX_MS: u64 = 24 * 3_600 * 1_000;

/// Milliseconds without a further one after which one time is forgiven.
const FORGIVE_CUT_OFF_MS: u64 = REFUSE_MAX_MS;

/// Milliseconds after which one fault is forgiven, as in a conversation.
const FORGIVE_FAULT_MS: u64 = 30_000;

/// Remotes remembered. A device key costs nothing, so whoever would be forgiven first gives way.
const REMOTES_MAX: usize = 1_024;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 256;

/// A remote that is kept outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// Who.
    pub remote: DeviceKey,
    /// What it did last, for a person.
    pub why: String,
    /// How often it was cut off, as far as that is not forgiven.
    pub times: u32,
    /// Milliseconds until it may come back.
    pub left_ms: u64,
}

#[derive(Clone, Debug, Default)]
struct Record {
    faults: u32,
    faults_at: Tick,
    times: u32,
    cut_off_at: Tick,
    refused_until: Tick,
    why: String,
}

impl Record {
    fn faults(&self, now: Tick) -> u32 {
        let forgiven = now.since(self.faults_at) / (FORGIVE_FAULT_MS * 1_000);
        self.faults
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn times(&self, now: Tick) -> u32 {
        let forgiven = now.since(self.cut_off_at) / (FORGIVE_CUT_OFF_MS * 1_000);
        self.times
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// When nothing of it matters any more.
    fn forgiven_at(&self) -> Tick {
        let faults = u64::from(self.faults) * FORGIVE_FAULT_MS;
        let times = u64::from(self.times).saturating_mul(FORGIVE_CUT_OFF_MS);
        self.faults_at
            .plus_ms(faults)
            .max(self.cut_off_at.plus_ms(times))
    }
}

/// What is remembered of remotes that broke rules.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    remotes: BTreeMap<DeviceKey, Record>,
}

impl Conduct {
    /// Cuts a remote off. Gives the milliseconds for which it is refused.
    pub(crate) fn cut_off(&mut self, remote: DeviceKey, now: Tick, why: &str) -> u64 {
        let record = self.record(remote, now);
        let before = record.times(now);
        let wait = REFUSE_GROWTH
            .checked_pow(before)
            .and_then(|times| REFUSE_FIRST_MS.checked_mul(times))
            .map_or(REFUSE_MAX_MS, |wait| wait.min(REFUSE_MAX_MS));
        *record = Record {
            faults: 0,
            faults_at: now,
            times: before.saturating_add(1),
            cut_off_at: now,
            refused_until: now.plus_ms(wait),
            why: why[..why.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
        };
        wait
    }

    /// Keeps the faults that a conversation had counted when its link went down.
    pub(crate) fn keep_faults(&mut self, remote: DeviceKey, now: Tick, faults: u32) {
        if faults > 0 {
            let record = self.record(remote, now);
            record.faults = record.faults(now).max(faults);
            record.faults_at = now;
        }
    }

    /// Faults of earlier links that are not forgiven yet.
    pub(crate) fn faults(&self, remote: &DeviceKey, now: Tick) -> u32 {
        self.remotes
            .get(remote)
            .map_or(0, |record| record.faults(now))
    }

    /// Those who are kept outside now.
    pub(crate) fn cut_off_now(&self, now: Tick) -> Vec<CutOff> {
        self.remotes
            .iter()
            .filter(|(_, record)| record.refused_until > now)
            .map(|(remote, record)| CutOff {
                remote: *remote,
                why: record.why.clone(),
                times: record.times,
                left_ms: record.refused_until.since(now) / 1_000,
            })
            .collect()
    }

    fn record(&mut self, remote: DeviceKey, now: Tick) -> &mut Record {
        if !self.remotes.contains_key(&remote) && self.remotes.len() >= REMOTES_MAX {
            self.remotes.retain(|_, record| record.forgiven_at() > now);
            if self.remotes.len() >= REMOTES_MAX
                && let Some(first) = self
                    .remotes
                    .iter()
                    .min_by_key(|(_, record)| record.forgiven_at())
                    .map(|(remote, _)| *remote)
            {
                self.remotes.remove(&first);
            }
        }
        self.remotes.entry(remote).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: DeviceKey = DeviceKey([7; 32]);
    const START: Tick = Tick(1_000_000);

    #[test]
    fn each_time_is_four_times_as_long_up_to_a_day_and_forgiven_by_the_day() {
        let mut conduct = Conduct::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| conduct.cut_off(REMOTE, START, "it lied") / 60_000)
            .collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 1_024, 1_440, 1_440]);
        let mut conduct = Conduct::default();
        conduct.cut_off(REMOTE, START, "it lied");
        conduct.cut_off(REMOTE, START, "it lied again");
        let day_later = START.plus_ms(FORGIVE_CUT_OFF_MS);
        assert_eq!(conduct.cut_off(REMOTE, day_later, "once more"), 4 * 60_000);
    }

    #[test]
    fn a_refusal_is_listed_with_its_reason_until_it_ends() {
        let mut conduct = Conduct::default();
        conduct.cut_off(REMOTE, START, &"é".repeat(1_000));
        let listed = conduct.cut_off_now(START.plus_ms(10_000));
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].times, listed[0].left_ms), (1, 50_000));
        assert_eq!(listed[0].why.len(), REASON_BYTES_MAX);
        assert!(conduct.cut_off_now(START.plus_ms(60_000)).is_empty());
    }

    #[test]
    fn faults_outlive_a_link_and_fade() {
        let mut conduct = Conduct::default();
        conduct.keep_faults(REMOTE, START, 6);
        conduct.keep_faults(REMOTE, START, 2);
        assert_eq!(conduct.faults(&REMOTE, START), 6);
        let later = START.plus_ms(4 * FORGIVE_FAULT_MS);
        assert_eq!(conduct.faults(&REMOTE, later), 2);
        conduct.cut_off(REMOTE, later, "enough");
        assert_eq!(conduct.faults(&REMOTE, later), 0, "paid for");
    }

    #[test]
    fn new_keys_push_out_the_mildest_first() {
        let mut conduct = Conduct::default();
        for _ in 0..5 {
            conduct.cut_off(REMOTE, START, "a repeated offender");
        }
        for n in 0..2 * REMOTES_MAX as u64 {
            let mut key = DeviceKey::ZERO;
            key.0[..8].copy_from_slice(&n.to_be_bytes());
            conduct.keep_faults(key, START, 1);
        }
        assert_eq!(conduct.remotes.len(), REMOTES_MAX);
        assert!(conduct.remotes.contains_key(&REMOTE));
    }
}
