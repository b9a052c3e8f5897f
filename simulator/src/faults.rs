//! What may go wrong. First it is drawn which faults exist at all, then how often: a run in which
//! everything happens at once hides bugs that need one fault to be absent.

mod named;
mod topology;

use std::fmt;

use crate::seed::Dice;

use named::Fault as F;
pub use named::{Fault, NoSuchFault};
pub use topology::Topology;

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
    /// Mean milliseconds between two times in which a disk has no room; 0: never.
    pub full_disk_every_ms: u64,
    /// Mean milliseconds between two wrong bits that a disk gives back; 0: never.
    pub bit_rot_every_ms: u64,
    /// Milliseconds by which clocks are wrong at most.
    pub clock_wrong_ms: u64,
    /// Parts per million by which clocks run fast or slow at most.
    pub clock_drift_ppm: u64,
    /// Milliseconds by which one clock is ahead of the others, or behind if negative.
    pub apart_ms: i64,
    /// Mean milliseconds between two times at which a clock is set; 0: never.
    pub clock_jump_every_ms: u64,
    /// Milliseconds that a slow peer takes for a message.
    pub slow_ms: u64,
    /// The last peer joins while everything else goes on.
    pub late_joiner: bool,
    /// A peer goes away for ever.
    pub leaver: bool,
    /// A stranger gets links and sends what it overheard, spoilt or not.
    pub stranger: bool,
    /// The lies of the last peer.
    pub lies: Lies,
    /// Finality is handed to another peer.
    pub finaliser_moves: bool,
    /// The finaliser is cut off, and the recovery key makes another one.
    pub finaliser_lost: bool,
    /// The database gets another module.
    pub upgrade: bool,
    /// The finaliser's directory is replaced by an older backup of it.
    pub restored_backup: bool,
    /// In the end the finaliser's key signs a cut over rows that no calls give.
    pub false_root: bool,
    /// The owner puts the last peer out, which goes on writing.
    pub put_out: bool,
    /// The owner and an admin quarrel over roles.
    pub duel: bool,
    /// Mean milliseconds between two calls in the whole world.
    pub work_every_ms: u64,
}

/// How the last peer lies. Its program is the ordinary one; its key and its links are used by
/// somebody else besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// Its key signs second histories.
    pub equivocates: bool,
    /// It writes onto old parents with old times.
    pub back_dates: bool,
    /// It writes with times of the future.
    pub stamps_ahead: bool,
    /// It passes on only some of what it should.
    pub withholds: bool,
    /// It sends more than anybody can use.
    pub floods: bool,
    /// It writes far more entries than its share.
    pub deluges: bool,
    /// It signs cuts.
    pub signs_cuts: bool,
    /// It passes on entries of another database and of people who are no members.
    pub speaks_for_others: bool,
    /// It sends messages again, late or spoilt.
    pub garbles: bool,
    /// It admits a stranger with a ticket that is used up.
    pub uses_tickets_again: bool,
    /// It writes calls about members that it may not make.
    pub usurps: bool,
}

impl Lies {
    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Days by which a clock is ahead at most, and behind at most. Entries of the future are held back
/// until they are due: a run lasts as long.
const DAYS_AHEAD_MAX: u64 = 1;
const DAYS_BEHIND_MAX: u64 = 30;

const HOUR_MS: u64 = 3_600_000;

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
        full_disk_every_ms: 0,
        bit_rot_every_ms: 0,
        clock_wrong_ms: 0,
        clock_drift_ppm: 0,
        apart_ms: 0,
        clock_jump_every_ms: 0,
        slow_ms: 0,
        late_joiner: false,
        leaver: false,
        stranger: false,
        lies: Lies {
            equivocates: false,
            back_dates: false,
            stamps_ahead: false,
            withholds: false,
            floods: false,
            deluges: false,
            signs_cuts: false,
            speaks_for_others: false,
            garbles: false,
            uses_tickets_again: false,
            usurps: false,
        },
        finaliser_moves: false,
        finaliser_lost: false,
        upgrade: false,
        restored_backup: false,
        false_root: false,
        put_out: false,
        duel: false,
        work_every_ms: 150,
    };

    /// The faults of one run.
    #[must_use]
    pub fn draw(dice: &mut Dice) -> Self {
        // Every number is drawn, whether or not its fault exists: one more fault shifts no other.
        let mut some = |chance: u64, from: u64, to: u64| {
            let exists = dice.percent(chance);
            let drawn = dice.between(from, to);
            if exists { drawn } else { 0 }
        };
        let mut faults = Self {
            lose_percent: some(50, 1, 40),
            double_percent: some(50, 1, 30),
            delay_ms: 3 + some(50, 1, 1_500),
            unlink_every_ms: some(50, 2_000, 20_000),
            partition_every_ms: some(50, 5_000, 50_000),
            deafen_every_ms: some(50, 3_000, 30_000),
            crash_every_ms: some(50, 2_000, 20_000),
            full_disk_every_ms: some(20, 5_000, 30_000),
            bit_rot_every_ms: some(20, 5_000, 30_000),
            // Under the minute from which on entries are held back.
            clock_wrong_ms: some(50, 1, 20_000),
            clock_drift_ppm: some(50, 1, 500),
            clock_jump_every_ms: some(20, 4_000, 30_000),
            slow_ms: some(25, 20, 800),
            work_every_ms: some(100, 20, 400),
            ..Self::NONE
        };
        let ahead = some(8, 2 * 60_000, DAYS_AHEAD_MAX * 24 * HOUR_MS);
        let behind = some(12, HOUR_MS, DAYS_BEHIND_MAX * 24 * HOUR_MS);
        faults.apart_ms = match (ahead, behind) {
            (0, behind) => -to_i64(behind),
            (ahead, _) => to_i64(ahead),
        };
        let mut holds = |chance: u64| dice.percent(chance);
        faults.reorder = holds(50);
        faults.torn_writes = holds(50);
        faults.crash_in_step = holds(50);
        faults.late_joiner = holds(50);
        faults.leaver = holds(15);
        faults.stranger = holds(40);
        let liar = holds(40);
        let mut lies = |chance: u64| holds(chance) && liar;
        faults.lies = Lies {
            equivocates: lies(40),
            back_dates: lies(50),
            stamps_ahead: lies(40),
            withholds: lies(40),
            floods: lies(40),
            deluges: false,
            signs_cuts: lies(40),
            speaks_for_others: lies(40),
            garbles: lies(60),
            ..Lies::default()
        };
        faults.finaliser_moves = holds(15);
        faults.finaliser_lost = holds(15);
        faults.upgrade = holds(35);
        faults.restored_backup = holds(60);
        faults.false_root = holds(15);
        faults.put_out = holds(25);
        faults.duel = holds(20);
        faults.lies.uses_tickets_again = holds(50) && liar;
        faults.lies.usurps = holds(50) && liar;
        faults.lies.deluges = holds(40) && liar;
        faults
    }

    /// The same without one fault.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        let none = Self::NONE;
        match fault {
            F::Loss => self.lose_percent = 0,
            F::Doubling => self.double_percent = 0,
            F::Reordering => self.reorder = false,
            F::Delay => self.delay_ms = none.delay_ms,
            F::LostLinks => self.unlink_every_ms = 0,
            F::Partitions => self.partition_every_ms = 0,
            F::OneWayLinks => self.deafen_every_ms = 0,
            F::Crashes => self.crash_every_ms = 0,
            F::TornWrites => self.torn_writes = false,
            F::CrashesAmidWrites => self.crash_in_step = false,
            F::FullDisks => self.full_disk_every_ms = 0,
            F::BitRot => self.bit_rot_every_ms = 0,
            F::WrongClocks => self.clock_wrong_ms = 0,
            F::Drift => self.clock_drift_ppm = 0,
            F::DaysApart => self.apart_ms = 0,
            F::ClockJumps => self.clock_jump_every_ms = 0,
            F::SlowPeers => self.slow_ms = 0,
            F::LateJoiner => self.late_joiner = false,
            F::Leaver => self.leaver = false,
            F::Stranger => self.stranger = false,
            F::Equivocation => self.lies.equivocates = false,
            F::BackDating => self.lies.back_dates = false,
            F::FutureStamps => self.lies.stamps_ahead = false,
            F::Withholding => self.lies.withholds = false,
            F::Floods => self.lies.floods = false,
            F::Deluge => self.lies.deluges = false,
            F::LyingCuts => self.lies.signs_cuts = false,
            F::ForeignEntries => self.lies.speaks_for_others = false,
            F::Garbage => self.lies.garbles = false,
            F::FinaliserMoves => self.finaliser_moves = false,
            F::FinaliserLost => self.finaliser_lost = false,
            F::Upgrade => self.upgrade = false,
            F::RestoredBackup => self.restored_backup = false,
            F::FalseRoot => self.false_root = false,
            F::PutOut => self.put_out = false,
            F::Duel => self.duel = false,
            F::UsedTickets => self.lies.uses_tickets_again = false,
            F::Usurping => self.lies.usurps = false,
        }
        self
    }

    /// Whether leaving it out would change anything.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.without(fault) != *self
    }

    /// The same world with a good network and no more accidents. Small errors of clocks stay, and
    /// so does whose word counts.
    #[must_use]
    pub fn healed(self) -> Self {
        Self {
            clock_wrong_ms: self.clock_wrong_ms,
            clock_drift_ppm: self.clock_drift_ppm,
            apart_ms: self.apart_ms,
            late_joiner: self.late_joiner,
            leaver: self.leaver,
            lies: self.lies,
            finaliser_lost: self.finaliser_lost,
            upgrade: self.upgrade,
            false_root: self.false_root,
            put_out: self.put_out,
            duel: self.duel,
            ..Self::NONE
        }
    }
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = Fault::ALL.into_iter().filter(|fault| self.has(*fault));
        let mut words: Vec<_> = there.map(|fault| self.in_words(fault)).collect();
        words.push(format!("a call every {:.3} s", seconds(self.work_every_ms)));
        f.write_str(&words.join(", "))
    }
}

impl Faults {
    fn in_words(&self, fault: Fault) -> String {
        let every = |ms: u64| format!("{fault} every {:.1} s", seconds(ms));
        let percent = |percent: u64| format!("{percent} % {fault}");
        let up_to = |ms: u64| format!("{fault} up to {:.3} s", seconds(ms));
        match fault {
            F::Loss => percent(self.lose_percent),
            F::Doubling => percent(self.double_percent),
            F::Delay => up_to(self.delay_ms),
            F::LostLinks => every(self.unlink_every_ms),
            F::Partitions => every(self.partition_every_ms),
            F::OneWayLinks => every(self.deafen_every_ms),
            F::Crashes => every(self.crash_every_ms),
            F::FullDisks => every(self.full_disk_every_ms),
            F::BitRot => every(self.bit_rot_every_ms),
            F::ClockJumps => every(self.clock_jump_every_ms),
            F::WrongClocks => up_to(self.clock_wrong_ms),
            F::SlowPeers => up_to(self.slow_ms),
            F::Drift => format!("{fault} up to {} ppm", self.clock_drift_ppm),
            F::DaysApart => {
                let way = if self.apart_ms > 0 { "ahead" } else { "behind" };
                let hours = seconds(self.apart_ms.unsigned_abs()) / 3_600.0;
                format!("a clock {hours:.1} h {way}")
            }
            _ => fault.to_string(),
        }
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
        let drawn: Vec<_> = (0..256)
            .map(|seed| Faults::draw(&mut Seed(seed).child("faults")))
            .collect();
        for fault in Fault::ALL {
            let with = drawn.iter().filter(|faults| faults.has(fault)).count();
            assert!((4..252).contains(&with), "{fault}: {with} of 256");
        }
    }

    #[test]
    fn a_fault_is_left_out_without_changing_the_others() {
        let drawn = Faults::draw(&mut Seed(7).child("faults"));
        let bare = Fault::ALL.into_iter().fold(drawn, Faults::without);
        let work_every_ms = drawn.work_every_ms;
        assert_eq!(
            bare,
            Faults {
                work_every_ms,
                ..Faults::NONE
            }
        );
        for fault in Fault::ALL {
            assert!(!drawn.without(fault).has(fault));
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("bad-weather".parse::<Fault>().is_err());
    }
}
