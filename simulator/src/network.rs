//! The made-up network: links between pairs, and how long a message takes, if it arrives.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::{Faults, Topology};
use crate::seed::Dice;

/// Microseconds that every message takes at least.
const FLIGHT_US_MIN: u64 = 200;

/// The network between peers, which are numbered.
#[derive(Debug)]
pub(crate) struct Network {
    dice: Dice,
    topology: Topology,
    peers: usize,
    /// Links that are up, lower number first, with a number that tells one life of a link from the
    /// next.
    up: BTreeMap<(usize, usize), u64>,
    lives: u64,
    /// Who does not hear whom, though the link seems up: (speaker, listener).
    deaf: BTreeSet<(usize, usize)>,
    /// When the last message of a direction arrives: later ones do not overtake it.
    last_arrival: BTreeMap<(usize, usize), u64>,
}

/// A message that was sent, and the life of the link it travels on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flights {
    pub(crate) life: u64,
    pub(crate) arrivals: Vec<u64>,
}

impl Network {
    pub(crate) fn new(dice: Dice, topology: Topology, peers: usize) -> Self {
        Self {
            dice,
            topology,
            peers,
            up: BTreeMap::new(),
            lives: 0,
            deaf: BTreeSet::new(),
            last_arrival: BTreeMap::new(),
        }
    }

    pub(crate) fn topology(&self) -> Topology {
        self.topology
    }

    /// Whether the two may have a link at all.
    pub(crate) fn allows(&self, a: usize, b: usize) -> bool {
        self.topology.links(a, b, self.peers)
    }

    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        self.up.contains_key(&pair(a, b))
    }

    /// How many links of a peer are up.
    pub(crate) fn links_of(&self, at: usize) -> usize {
        self.up.keys().filter(|(a, b)| *a == at || *b == at).count()
    }

    /// How many links are up.
    pub(crate) fn links(&self) -> usize {
        self.up.len()
    }

    /// True: the link was down.
    pub(crate) fn raise(&mut self, a: usize, b: usize) -> bool {
        if !self.allows(a, b) || self.is_up(a, b) {
            return false;
        }
        self.lives += 1;
        self.up.insert(pair(a, b), self.lives);
        true
    }

    /// True: the link was up. What is on its way is lost.
    pub(crate) fn drop_link(&mut self, a: usize, b: usize) -> bool {
        for direction in [(a, b), (b, a)] {
            self.last_arrival.remove(&direction);
        }
        self.up.remove(&pair(a, b)).is_some()
    }

    pub(crate) fn is_alive(&self, a: usize, b: usize, life: u64) -> bool {
        self.up.get(&pair(a, b)) == Some(&life)
    }

    pub(crate) fn deafen(&mut self, speaker: usize, listener: usize) {
        self.deaf.insert((speaker, listener));
    }

    pub(crate) fn undeafen(&mut self, speaker: usize, listener: usize) {
        self.deaf.remove(&(speaker, listener));
    }

    pub(crate) fn is_deaf(&self, speaker: usize, listener: usize) -> bool {
        self.deaf.contains(&(speaker, listener))
    }

    pub(crate) fn hear_all(&mut self) {
        self.deaf.clear();
    }

    /// When copies of a message sent now arrive: none, one or two.
    pub(crate) fn send(&mut self, from: usize, to: usize, now_us: u64, faults: &Faults) -> Flights {
        let Some(&life) = self.up.get(&pair(from, to)) else {
            return Flights {
                life: 0,
                arrivals: Vec::new(),
            };
        };
        // Drawn in any case: what is lost must not shift what follows.
        let lost = self.dice.percent(faults.lose_percent);
        let doubled = self.dice.percent(faults.double_percent);
        let mut arrivals = Vec::new();
        for _ in 0..=u8::from(doubled) {
            let flight = FLIGHT_US_MIN + self.dice.below(faults.delay_ms * 1_000);
            let mut arrival = now_us + flight;
            if !faults.reorder {
                let last = self.last_arrival.entry((from, to)).or_default();
                arrival = arrival.max(*last + 1);
                *last = arrival;
            }
            arrivals.push(arrival);
        }
        if lost || self.is_deaf(from, to) {
            arrivals.clear();
        }
        Flights { life, arrivals }
    }

    /// How long something takes that travels outside of links, such as a join.
    pub(crate) fn aside_us(&mut self, faults: &Faults) -> u64 {
        FLIGHT_US_MIN + self.dice.below(faults.delay_ms * 1_000)
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn network() -> Network {
        Network::new(Seed(1).child("network"), Topology::Line, 3)
    }

    #[test]
    fn messages_travel_on_links_only_and_keep_their_order() {
        let mut network = network();
        assert!(!network.raise(0, 2), "not in a line");
        assert!(network.send(0, 1, 0, &Faults::NONE).arrivals.is_empty());
        assert!(network.raise(1, 0));
        assert!(!network.raise(0, 1), "it is up");
        let mut last = 0;
        for at in 0..100 {
            let sent = network.send(0, 1, at, &Faults::NONE);
            assert!(network.is_alive(0, 1, sent.life));
            assert!(sent.arrivals[0] > last);
            last = sent.arrivals[0];
        }
        let old = network.send(0, 1, 0, &Faults::NONE).life;
        assert!(network.drop_link(0, 1));
        assert!(network.raise(0, 1));
        assert!(!network.is_alive(0, 1, old), "what was on its way is lost");
    }

    #[test]
    fn loss_doubles_and_deafness_happen() {
        let mut network = network();
        network.raise(0, 1);
        let faults = Faults {
            lose_percent: 30,
            double_percent: 30,
            ..Faults::NONE
        };
        let counts: Vec<_> = (0..200)
            .map(|at| network.send(0, 1, at, &faults).arrivals.len())
            .collect();
        assert!([0, 1, 2].iter().all(|count| counts.contains(count)));
        network.deafen(0, 1);
        assert!(network.send(0, 1, 0, &Faults::NONE).arrivals.is_empty());
        assert!(!network.send(1, 0, 0, &Faults::NONE).arrivals.is_empty());
        network.undeafen(0, 1);
        assert!(!network.send(0, 1, 0, &Faults::NONE).arrivals.is_empty());
    }
}
