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
    FillDisk,
    SpoilRead,
    SetClock,
}

const KINDS: [Kind; 7] = [
    Kind::Unlink,
    Kind::Partition,
    Kind::Deafen,
    Kind::Crash,
    Kind::FillDisk,
    Kind::SpoilRead,
    Kind::SetClock,
];

/// Milliseconds by which a clock is set wrong at most.
pub(crate) const CLOCK_JUMP_MS_MAX: u64 = 5 * 60_000;

/// An accident that lasts until it is mended.
#[derive(Clone, Debug)]
pub(super) enum Accident {
    /// Nothing gets through in these directions.
    Silence(Vec<(usize, usize)>),
    /// A disk is full, or gives back wrong bits.
    Disk(usize),
}

impl World {
    /// From now on things go wrong.
    pub(crate) fn hurt(&mut self, faults: Faults, hurt_us: u64) {
        self.say(format_args!("hurt"));
        self.faults = faults;
        self.plan_once(hurt_us);
        for kind in KINDS {
            self.next_accident(kind);
        }
        self.begin_mischief();
    }

    /// From now on nothing goes wrong any more, and what is broken is mended.
    pub(crate) fn heal(&mut self) {
        self.say(format_args!("heal"));
        self.faults = self.faults.healed();
        self.exiles.clear();
        self.network.hear_all();
        self.end_mischief();
        self.break_disk();
        let clocks_set = self.faults.apart_ms != 0 || self.clocks_jumped;
        for at in 0..self.nodes.len() {
            if clocks_set {
                self.nodes[at].clock.set_wrong(0);
            }
            self.nodes[at].mend_disk();
            // A power that would fail yet fails now, for the last time. A peer reads its wall clock
            // when it starts.
            let node = &self.nodes[at];
            if node.is_on() && (node.power_left.is_some() || node.in_trouble || clocks_set) {
                self.power_off(at);
            }
            self.power_on(at);
        }
    }

    fn every_ms(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Unlink => self.faults.unlink_every_ms,
            Kind::Partition => self.faults.partition_every_ms,
            Kind::Deafen => self.faults.deafen_every_ms,
            Kind::Crash => self.faults.crash_every_ms,
            Kind::FillDisk => self.faults.full_disk_every_ms,
            Kind::SpoilRead => self.faults.bit_rot_every_ms,
            Kind::SetClock => self.faults.clock_jump_every_ms,
        }
    }

    fn next_accident(&mut self, kind: Kind) {
        let every_ms = self.every_ms(kind);
        if every_ms > 0 {
            let wait = self.accidents.around(every_ms * 1_000);
            self.after(wait, Event::Accident(kind));
        }
    }

    pub(super) fn accident(&mut self, kind: Kind) {
        if self.every_ms(kind) == 0 {
            return; // the world has healed
        }
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
                self.counts.partitions += 1;
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
            Kind::FillDisk | Kind::SpoilRead if self.nodes[a].in_trouble => {
                // One trouble at a time.
            }
            Kind::FillDisk => {
                self.counts.disk_faults += 1;
                self.say(format_args!("the disk of {a} is full"));
                self.nodes[a].fill_disk();
                self.after(lasts_us, Event::Mend(Accident::Disk(a)));
            }
            Kind::SpoilRead => {
                self.counts.disk_faults += 1;
                self.say(format_args!("the disk of {a} rots"));
                self.nodes[a].spoil_read();
                self.after(lasts_us, Event::Mend(Accident::Disk(a)));
            }
            Kind::SetClock => {
                let wrong = self.accidents.between(0, 2 * CLOCK_JUMP_MS_MAX);
                let wrong = wrong.cast_signed() - CLOCK_JUMP_MS_MAX.cast_signed();
                self.say(format_args!("the clock of {a} is set {wrong} ms wrong"));
                self.clocks_jumped = true;
                self.nodes[a].clock.set_wrong(wrong);
            }
        }
        self.next_accident(kind);
    }

    pub(super) fn silence(&mut self, directions: Vec<(usize, usize)>, lasts_us: u64) {
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
                // Whoever is cut off stays so.
                self.silence_exiles();
            }
            Accident::Disk(at) => {
                self.nodes[*at].mend_disk();
                if self.nodes[*at].is_on() {
                    self.power_off(*at);
                }
            }
        }
    }
}
