//! Clocks that are wrong: each peer's starts anywhere, runs fast or slow, and shows the wrong time.

use sync_protocol::{Now, Tick};

use crate::faults::Faults;
use crate::seed::Dice;

/// What wall clocks show when the world begins: an ordinary day in 2025.
const WALL_START_US: u64 = 1_750_000_000_000_000;

/// A peer's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What the monotonic clock shows when the world begins.
    tick_start_us: u64,
    /// How fast it runs, in parts per million.
    speed_ppm: u64,
    wall_start_us: u64,
    /// By how much the wall clock was set wrong since.
    set_wrong_us: i64,
}

const PPM: u64 = 1_000_000;

impl Clock {
    pub(crate) fn draw(dice: &mut Dice, faults: &Faults) -> Self {
        let drift = faults.clock_drift_ppm;
        let wrong_us = faults.clock_wrong_ms * 1_000;
        Self {
            tick_start_us: dice.below(1 << 40),
            speed_ppm: PPM - drift + dice.below(2 * drift + 1),
            wall_start_us: WALL_START_US - wrong_us + dice.below(2 * wrong_us + 1),
            set_wrong_us: 0,
        }
    }

    /// Somebody sets the wall clock: from now on it is so many milliseconds ahead, or behind, of
    /// what it would show.
    pub(crate) fn set_wrong(&mut self, ms: i64) {
        self.set_wrong_us = ms.saturating_mul(1_000);
    }

    /// What the clocks show at a time of the world.
    pub(crate) fn now(&self, world_us: u64) -> Now {
        let passed = world_us * self.speed_ppm / PPM;
        let wall = self.wall_start_us + passed;
        Now {
            tick: Tick(self.tick_start_us + passed),
            wall: wall.saturating_add_signed(self.set_wrong_us),
        }
    }

    /// The first time of the world at which the monotonic clock shows at least `tick`.
    pub(crate) fn world_us(&self, tick: Tick) -> u64 {
        let passed = tick.0.saturating_sub(self.tick_start_us);
        let mut world = passed.saturating_mul(PPM) / self.speed_ppm;
        while self.now(world).tick < tick {
            world += 1;
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_wake_comes_when_the_own_clock_says_so() {
        let faults = Faults {
            clock_drift_ppm: 500,
            clock_wrong_ms: 5_000,
            ..Faults::NONE
        };
        for seed in 0..50 {
            let mut dice = Seed(seed).child("clock");
            let mut clock = Clock::draw(&mut dice, &faults);
            let now = dice.below(10_000_000_000);
            let tick = Tick(clock.now(now).tick.0 + dice.below(10_000_000));
            let world = clock.world_us(tick);
            assert!(clock.now(world).tick >= tick);
            assert!(world == 0 || clock.now(world - 1).tick < tick);
            assert!(clock.now(now).wall.abs_diff(WALL_START_US + now) <= 5_000_000 + now / 1_000);
            let before = clock.now(now);
            clock.set_wrong(-3_600_000);
            assert_eq!(
                clock.now(now).tick,
                before.tick,
                "the monotonic clock stays"
            );
            assert_eq!(clock.now(now).wall, before.wall - 3_600_000_000);
            clock.set_wrong(0);
            assert_eq!(clock.now(now), before);
        }
    }
}
