//! Mesh time: the own monotonic clock, set by the wall clock at start and corrected by the median
//! of the offsets that connected members report. A wrong clock harms its owner alone (DESIGN 3).

use std::collections::VecDeque;

use sync_protocol::{Hlc, Now, Tick};

/// Clock samples of which the best counts: a message that waited in a queue makes the remote's
/// clock look late, never early.
const CLOCK_SAMPLES: usize = 4;

/// The clock by which entries are stamped and held back.
#[derive(Debug)]
pub(crate) struct MeshTime {
    start_wall_us: u64,
    start_tick: Tick,
    offset_us: i64,
}

impl MeshTime {
    pub(crate) fn starting(now: Now) -> Self {
        Self {
            start_wall_us: now.wall,
            start_tick: now.tick,
            offset_us: 0,
        }
    }

    /// The own clock without correction: what a Hello tells. It does not jump when the wall clock
    /// is set while the peer runs.
    pub(crate) fn own(&self, tick: Tick) -> u64 {
        self.start_wall_us
            .saturating_add(tick.since(self.start_tick))
    }

    pub(crate) fn now(&self, tick: Tick) -> Hlc {
        Hlc(self.own(tick).saturating_add_signed(self.offset_us))
    }

    /// Takes the median of the members' offsets and the one that holds, which is zero at first. Of
    /// an even number the one nearer to what holds counts: two peers that disagree each keep their
    /// own time, and a peer that a majority has corrected stays so when they are gone. Otherwise it
    /// would write with its wrong clock whenever it is alone.
    pub(crate) fn correct(&mut self, offsets_us: impl Iterator<Item = i64>) {
        let ours = self.offset_us;
        let mut all: Vec<i64> = offsets_us.chain([ours]).collect();
        all.sort_unstable();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        self.offset_us = if low.abs_diff(ours) <= high.abs_diff(ours) {
            low
        } else {
            high
        };
    }
}

/// What the remote's clock said, compared with ours.
#[derive(Debug, Default)]
pub(crate) struct RemoteClock(VecDeque<i64>);

impl RemoteClock {
    pub(crate) fn sample(&mut self, remote_wall: u64, own_wall: u64) {
        let ahead = i128::from(remote_wall) - i128::from(own_wall);
        let clamped = ahead.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        if self.0.len() == CLOCK_SAMPLES {
            self.0.pop_front();
        }
        self.0
            .push_back(i64::try_from(clamped).expect("clamped to the range"));
    }

    /// Waiting on the way only ever makes the remote look late, so the latest reading is the best.
    pub(crate) fn offset_us(&self) -> Option<i64> {
        self.0.iter().copied().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starting() -> MeshTime {
        MeshTime::starting(Now {
            tick: Tick(5),
            wall: 1_000_000_000,
        })
    }

    fn correct(time: &mut MeshTime, offsets: &[i64]) -> i64 {
        time.correct(offsets.iter().copied());
        i64::try_from(time.now(Tick(5)).0).expect("small") - 1_000_000_000
    }

    fn corrected(offsets: &[i64]) -> i64 {
        correct(&mut starting(), offsets)
    }

    #[test]
    fn what_a_majority_corrected_stays_so_when_it_is_gone() {
        let mut time = starting();
        assert_eq!(correct(&mut time, &[-900, -904]), -900);
        assert_eq!(correct(&mut time, &[]), -900);
        assert_eq!(correct(&mut time, &[-950]), -900, "one against one");
        assert_eq!(correct(&mut time, &[3, 4]), 3, "another majority");
    }

    #[test]
    fn the_majority_corrects_a_wrong_clock_and_cannot_be_moved_by_one() {
        assert_eq!(corrected(&[]), 0);
        assert_eq!(corrected(&[3_600_000_000]), 0, "one against one: keep ours");
        assert_eq!(corrected(&[70, 90]), 70, "two agree that we are behind");
        assert_eq!(corrected(&[-4, 1, 9_000_000]), 0, "one liar among three");
    }

    #[test]
    fn the_clock_forgives_slow_messages_and_survives_nonsense() {
        let mut clock = RemoteClock::default();
        assert_eq!(clock.offset_us(), None);
        clock.sample(1_000, 1_500);
        clock.sample(2_000, 2_010);
        assert_eq!(clock.offset_us(), Some(-10));
        clock.sample(u64::MAX, 0);
        assert_eq!(clock.offset_us(), Some(i64::MAX));
        for _ in 0..CLOCK_SAMPLES {
            clock.sample(5, 0);
        }
        assert_eq!(clock.offset_us(), Some(5));
    }
}
