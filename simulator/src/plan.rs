//! What to run, and how to say it again on the command line.

use std::fmt;

use crate::faults::{Fault, Faults};
use crate::seed::Seed;

/// Peers of a world at most.
pub const PEERS_MAX: usize = 50;

/// A run: its seed, and what is left out of what the seed draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything.
    pub seed: Seed,
    /// Peers, 2 to [`PEERS_MAX`]; `None`: the seed decides.
    pub peers: Option<usize>,
    /// Faults that do not happen although the seed draws them.
    pub without: Vec<Fault>,
    /// Calls that are made at most while things go wrong; `None`: as many as the time allows.
    pub calls: Option<u64>,
    /// Whether to keep the lines of the trace.
    pub keep_trace: bool,
}

impl Plan {
    /// The run of a seed, nothing left out.
    #[must_use]
    pub fn of(seed: Seed) -> Self {
        Self {
            seed,
            peers: None,
            without: Vec::new(),
            calls: None,
            keep_trace: false,
        }
    }

    /// The faults of this run.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let drawn = Faults::draw(&mut self.seed.child("faults"));
        self.without.iter().copied().fold(drawn, Faults::without)
    }

    /// How many peers it has. Large worlds are rare: they cost as many small ones.
    #[must_use]
    pub fn peers(&self) -> usize {
        let mut dice = self.seed.child("peers");
        let drawn = match dice.below(100) {
            0..=86 => dice.between(2, 5),
            87..=96 => dice.between(6, 12),
            97..=98 => dice.between(13, 24),
            _ => dice.between(25, PEERS_MAX as u64),
        };
        let drawn = usize::try_from(drawn).unwrap_or(PEERS_MAX);
        self.peers.unwrap_or(drawn).clamp(2, PEERS_MAX)
    }
}

/// The arguments that run it again.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}", self.seed.0)?;
        if let Some(peers) = self.peers {
            write!(f, " --peers {peers}")?;
        }
        if let Some(calls) = self.calls {
            write!(f, " --calls {calls}")?;
        }
        if !self.without.is_empty() {
            let names: Vec<_> = self.without.iter().map(|fault| fault.name()).collect();
            write!(f, " --without {}", names.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told() {
        let plan = Plan {
            peers: Some(3),
            calls: Some(20),
            without: vec![Fault::Loss, Fault::Delay],
            ..Plan::of(Seed(9))
        };
        assert_eq!(
            plan.to_string(),
            "--seed 9 --peers 3 --calls 20 --without loss,delay"
        );
        assert!(!plan.faults().has(Fault::Loss));
        assert_eq!(Plan::of(Seed(9)).to_string(), "--seed 9");
    }

    #[test]
    fn worlds_have_two_to_fifty_peers() {
        let peers: Vec<_> = (0..500).map(|seed| Plan::of(Seed(seed)).peers()).collect();
        assert!(peers.iter().all(|peers| (2..=PEERS_MAX).contains(peers)));
        for size in [2, 5, 8, 20, 40] {
            assert!(peers.iter().any(|peers| *peers >= size), "none of {size}");
        }
        let small = peers.iter().filter(|peers| **peers <= 5).count();
        assert!(small > 400, "{small} of 500 are small");
    }
}
