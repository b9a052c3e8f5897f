//! What may go wrong. First it is drawn which faults exist at all, then how often: a run in which
//! everything happens at once hides bugs that need one fault to be absent.

use std::fmt;

use crate::seed::Dice;

/// Who can reach whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody everybody.
    Full,
    /// Each the next one: whatever the first writes is forwarded to the last.
    Line,
    /// The first everybody, the others only it.
    Star,
}

impl Topology {
    /// Whether two peers have a link.
    #[must_use]
    pub fn links(self, a: usize, b: usize) -> bool {
        match self {
            Self::Full => a != b,
            Self::Line => a.abs_diff(b) == 1,
            Self::Star => a != b && (a == 0 || b == 0),
        }
    }
}

/// The faults of a run, and how often they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Of 100 messages so many get lost. Streams do not lose messages while they live, so this is
    /// worse than life.
    pub lose_percent: u64,
    /// Of 100 messages so many arrive twice.
    pub double_percent: u64,
    /// Messages overtake each other.
    pub reorder: bool,
    /// Milliseconds a message takes at most.
    pub delay_ms: u64,
    /// Mean milliseconds between two losses of a link; 0: never.
    pub unlink_every_ms: u64,
    /// Mean milliseconds between two partitions; 0: never.
    pub partition_every_ms: u64,
    /// Mean milliseconds between two times in which a link carries messages one way only; 0: never.
    pub deafen_every_ms: u64,
    /// Mean milliseconds between two losses of power; 0: never.
    pub crash_every_ms: u64,
    /// After a loss of power any part of what was not synced may be on the disk, not just none.
    pub torn_writes: bool,
    /// The power fails in the middle of a step's writes, not between steps.
    pub crash_in_step: bool,
    /// Milliseconds by which clocks are wrong at most.
    pub clock_wrong_ms: u64,
    /// Parts per million by which clocks run fast or slow at most.
    pub clock_drift_ppm: u64,
    /// The last peer joins while everything else goes on.
    pub late_joiner: bool,
    /// A stranger gets links and sends what it overheard, spoilt or not.
    pub stranger: bool,
    /// The last peer is a rogue: its key signs second histories, and it sends spoilt messages.
    pub rogue: bool,
    /// Mean milliseconds between two calls in the whole world.
    pub work_every_ms: u64,
}

impl Faults {
    /// A good network and no accidents.
    pub const NONE: Self = Self {
        lose_percent: 0,
        double_percent: 0,
        reorder: false,
        delay_ms: 3,
        unlink_every_ms: 0,
        partition_every_ms: 0,
        deafen_every_ms: 0,
        crash_every_ms: 0,
        torn_writes: false,
        crash_in_step: false,
        clock_wrong_ms: 0,
        clock_drift_ppm: 0,
        late_joiner: false,
        stranger: false,
        rogue: false,
        work_every_ms: 150,
    };

    /// The faults of one run.
    #[must_use]
    pub fn draw(dice: &mut Dice) -> Self {
        let mut chance = |most: u64| {
            if dice.coin() {
                dice.between(1, most)
            } else {
                0
            }
        };
        let lose_percent = chance(40);
        let double_percent = chance(30);
        let delay_ms = 3 + chance(1_500);
        let mut every = |least: u64| {
            if dice.coin() {
                dice.between(least, 10 * least)
            } else {
                0
            }
        };
        let unlink_every_ms = every(2_000);
        let partition_every_ms = every(5_000);
        let deafen_every_ms = every(3_000);
        let crash_every_ms = every(2_000);
        Self {
            lose_percent,
            double_percent,
            reorder: dice.coin(),
            delay_ms,
            unlink_every_ms,
            partition_every_ms,
            deafen_every_ms,
            crash_every_ms,
            torn_writes: dice.coin(),
            crash_in_step: dice.coin(),
            // Under the minute from which on entries are held back: what a clock beyond it does
            // lasts for as long as it is wrong, which no healing of the network ends.
            clock_wrong_ms: if dice.coin() {
                dice.between(1, 20_000)
            } else {
                0
            },
            clock_drift_ppm: if dice.coin() { dice.between(1, 500) } else { 0 },
            late_joiner: dice.coin(),
            stranger: dice.coin(),
            rogue: dice.percent(40),
            work_every_ms: dice.between(20, 400),
        }
    }

    /// The same world with a good network and no more accidents. Clocks stay as wrong as they are.
    #[must_use]
    pub fn healed(self) -> Self {
        Self {
            clock_wrong_ms: self.clock_wrong_ms,
            clock_drift_ppm: self.clock_drift_ppm,
            // Whose word counts does not change because the weather does.
            rogue: self.rogue,
            ..Self::NONE
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let mut often = |what: &str, every_ms: u64| {
            if every_ms > 0 {
                words.push(format!("{what} every {:.1} s", seconds(every_ms)));
            }
        };
        often("link lost", self.unlink_every_ms);
        often("partition", self.partition_every_ms);
        often("one-way link", self.deafen_every_ms);
        often("power lost", self.crash_every_ms);
        let mut much = |what: &str, percent: u64| {
            if percent > 0 {
                words.push(format!("{percent} % {what}"));
            }
        };
        much("lost", self.lose_percent);
        much("doubled", self.double_percent);
        let mut also = |what: &str, holds: bool| {
            if holds {
                words.push(what.to_owned());
            }
        };
        also("reordered", self.reorder);
        also("torn writes", self.crash_every_ms > 0 && self.torn_writes);
        also(
            "power lost amid writes",
            self.crash_every_ms > 0 && self.crash_in_step,
        );
        also("late joiner", self.late_joiner);
        also("a stranger", self.stranger);
        also("a rogue", self.rogue);
        words.push(format!("a call every {:.3} s", seconds(self.work_every_ms)));
        words.push(format!("delay up to {:.3} s", seconds(self.delay_ms)));
        words.push(format!(
            "clocks wrong by {:.3} s",
            seconds(self.clock_wrong_ms)
        ));
        f.write_str(&words.join(", "))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn each_fault_exists_in_some_worlds_and_not_in_others() {
        let drawn: Vec<_> = (0..64)
            .map(|seed| Faults::draw(&mut Seed(seed).child("faults")))
            .collect();
        let both =
            |exists: fn(&Faults) -> bool| drawn.iter().any(exists) && !drawn.iter().all(exists);
        assert!(both(|faults| faults.lose_percent > 0));
        assert!(both(|faults| faults.double_percent > 0));
        assert!(both(|faults| faults.reorder));
        assert!(both(|faults| faults.unlink_every_ms > 0));
        assert!(both(|faults| faults.partition_every_ms > 0));
        assert!(both(|faults| faults.deafen_every_ms > 0));
        assert!(both(|faults| faults.crash_every_ms > 0));
        assert!(both(|faults| faults.torn_writes));
        assert!(both(|faults| faults.crash_in_step));
        assert!(both(|faults| faults.clock_wrong_ms > 0));
        assert!(both(|faults| faults.late_joiner));
        assert!(both(|faults| faults.stranger));
        assert!(both(|faults| faults.rogue));
    }

    #[test]
    fn topologies_are_connected() {
        assert!(Topology::Full.links(0, 3) && !Topology::Full.links(2, 2));
        assert!(Topology::Line.links(1, 2) && !Topology::Line.links(0, 2));
        assert!(Topology::Star.links(2, 0) && !Topology::Star.links(1, 2));
    }
}
