//! Transfers over WebSocket from many connections at once, each with many calls on their way.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::instant;
use crate::connection::{Connection, Protocol};
use crate::dice::Dice;
use crate::figures::within_ms;
use crate::socket::Target;

const CONNECTIONS: u64 = 8;

/// Which accounts money moves between.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    /// For each account how often it or one before it is taken, out of the last of these.
    up_to: Arc<[f64]>,
}

impl Accounts {
    /// So many accounts. The one in place `n`, counted from 1, is taken `n^alpha` times less often than
    /// the first (Zipf): with 0 all are alike, with 1.5 nearly three of ten transfers are from the first.
    pub(crate) fn new(count: u32, alpha: f64) -> Self {
        let mut sum = 0.0;
        let up_to = (1..=count).map(|place| {
            sum += f64::from(place).powf(-alpha);
            sum
        });
        Self {
            up_to: up_to.collect(),
        }
    }

    /// From where and to where: two accounts.
    pub(crate) fn pair(&self, dice: &mut Dice) -> (u32, u32) {
        loop {
            let (from, to) = (self.pick(dice), self.pick(dice));
            if from != to {
                return (from, to);
            }
        }
    }

    fn pick(&self, dice: &mut Dice) -> u32 {
        let all = self.up_to.last().copied().unwrap_or_default();
        let point = dice.unit() * all;
        let place = self.up_to.partition_point(|up_to| *up_to <= point);
        place.min(self.up_to.len() - 1) as u32
    }
}

/// What came of it.
pub(crate) struct Loaded {
    seconds: f64,
    /// Of each call, in order of length.
    latencies: Vec<Duration>,
}

impl Loaded {
    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// Milliseconds within which this share of the calls was answered.
    pub(crate) fn within_ms(&self, share: f64) -> f64 {
        within_ms(&self.latencies, share)
    }
}

/// Makes so many transfers, the same ones for the same `seed`.
///
/// # Errors
/// If one of the connections ends, or a call is not answered.
pub(crate) fn run(
    target: &Target,
    protocol: Protocol,
    accounts: &Accounts,
    calls: u64,
    seed: u64,
) -> anyhow::Result<Loaded> {
    let start = instant();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (target, accounts) = (target.clone(), accounts.clone());
            let dice = Dice(seed * CONNECTIONS + number);
            std::thread::spawn(move || {
                Connection::open(&target, protocol, accounts, dice)?.transfer(calls / CONNECTIONS)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for thread in threads {
        let done = thread.join();
        latencies.extend(done.map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Loaded { seconds, latencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 10,000 transfers are from the first account.
    fn from_the_first(alpha: f64) -> usize {
        let accounts = Accounts::new(100, alpha);
        let mut dice = Dice(1);
        let pairs = (0..10_000).map(|_| accounts.pair(&mut dice));
        let pairs: Vec<_> = pairs.collect();
        assert!(
            pairs
                .iter()
                .all(|(from, to)| from != to && *from < 100 && *to < 100)
        );
        pairs.iter().filter(|(from, _)| *from == 0).count()
    }

    #[test]
    fn accounts_are_taken_as_often_as_alpha_says() {
        assert!((50..200).contains(&from_the_first(0.0)));
        assert!((2_500..3_600).contains(&from_the_first(1.5)));
    }

    #[test]
    fn shares_of_latencies() {
        let latencies = (1..=100).map(Duration::from_millis).collect();
        let loaded = Loaded {
            seconds: 2.0,
            latencies,
        };
        assert_eq!(loaded.rate(), 50.0);
        assert_eq!(loaded.within_ms(0.5).round(), 51.0);
        assert_eq!(loaded.within_ms(1.0).round(), 100.0);
    }
}
