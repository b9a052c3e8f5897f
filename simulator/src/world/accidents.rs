//! What goes wrong, when, and for how long.

use super::{Event, World};
use crate::faults::Faults;

/// A kind of accident that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unlink,
    Partition,
    Deafen,
    Crash,
}

const KINDS: [Kind; 4] = [Kind::Unlink, Kind::Partition, Kind::Deafen, Kind::Crash];

/// An accident that lasts until it is mended.
#[derive(Clone, Debug)]
pub(super) enum Accident {
    /// Nothing gets through in these directions.
    Silence(Vec<(usize, usize)>),
}

impl World {
    /// From now on things go wrong.
    pub(crate) fn hurt(&mut self, faults: Faults) {
        self.say(format_args!("hurt"));
        self.faults = faults;
        for kind in KINDS {
            self.next_accident(kind);
        }
        self.begin_mischief();
    }

    /// From now on nothing goes wrong any more, and what is broken is mended.
    pub(crate) fn heal(&mut self) {
        self.say(format_args!("heal"));
        self.faults = self.faults.healed();
        self.network.hear_all();
        self.end_mischief();
        for at in 0..self.nodes.len() {
            if self.nodes[at].power_left.is_some() {
                // It would fail yet: let it fail now, and for the last time.
                self.power_off(at);
            }
            self.power_on(at);
        }
    }

    fn next_accident(&mut self, kind: Kind) {
        let every_ms = match kind {
            Kind::Unlink => self.faults.unlink_every_ms,
            Kind::Partition => self.faults.partition_every_ms,
            Kind::Deafen => self.faults.deafen_every_ms,
            Kind::Crash => self.faults.crash_every_ms,
        };
        if every_ms > 0 {
            let wait = self.accidents.around(every_ms * 1_000);
            self.after(wait, Event::Accident(kind));
        }
    }

    pub(super) fn accident(&mut self, kind: Kind) {
        let peers = self.nodes.len();
        let a = self.accidents.index(peers);
        let b = (a + 1 + self.accidents.index(peers - 1)) % peers;
        let lasts_us = self.accidents.between(100_000, 15_000_000);
        match kind {
            Kind::Unlink => {
                if self.network.is_up(a, b) {
                    self.counts.disturbances += 1;
                    self.say(format_args!("the link of {a} and {b} is lost"));
                    self.unlink(a, b);
                }
            }
            Kind::Partition => {
                let side: Vec<bool> = (0..peers).map(|_| self.accidents.coin()).collect();
                let across = |a: usize, b: usize| side[a] != side[b];
                let pairs = (0..peers).flat_map(|a| (0..peers).map(move |b| (a, b)));
                let cut: Vec<_> = pairs.filter(|(a, b)| across(*a, *b)).collect();
                self.silence(cut, lasts_us);
            }
            Kind::Deafen => self.silence(vec![(a, b)], lasts_us),
            Kind::Crash => {
                if !self.nodes[a].is_on() {
                    // One that is down cannot fall.
                } else if self.faults.crash_in_step {
                    self.nodes[a].fail_soon();
                } else {
                    self.power_off(a);
                }
            }
        }
        self.next_accident(kind);
    }

    fn silence(&mut self, directions: Vec<(usize, usize)>, lasts_us: u64) {
        self.counts.disturbances += 1;
        self.say(format_args!("silence {directions:?}"));
        for (speaker, listener) in &directions {
            self.network.deafen(*speaker, *listener);
        }
        self.after(lasts_us, Event::Mend(Accident::Silence(directions)));
    }

    pub(super) fn mend(&mut self, accident: &Accident) {
        match accident {
            Accident::Silence(directions) => {
                for (speaker, listener) in directions {
                    self.network.undeafen(*speaker, *listener);
                }
            }
        }
    }
}
