//! The clocks that the core is told, and dice.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sync_protocol::{Now, Tick};

/// The real clocks. Ticks count from the moment the clock was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// What both clocks say.
    pub(crate) fn now(&self) -> Now {
        Now {
            tick: self.tick(),
            wall: wall_us(),
        }
    }

    /// What the monotonic clock says.
    pub(crate) fn tick(&self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment at which the monotonic clock will say `tick`. Far ticks are brought within a
    /// day: whoever waits looks again then.
    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        const DAY: Duration = Duration::from_secs(86_400);
        let wait = Duration::from_micros(tick.since(self.tick()));
        Instant::now() + wait.min(DAY)
    }
}

/// By how many seconds the wall clock of this process is off.
static OFF_S: OnceLock<i64> = OnceLock::new();

/// Sets the wall clock of this process off by so many seconds, before anybody has looked at it: the
/// tests have devices whose clocks are wrong, and a machine has one clock. The first time counts.
pub(crate) fn set_off(seconds: i64) {
    let _ = OFF_S.set(seconds);
}

/// Microseconds since the Unix epoch; zero before it.
pub(crate) fn wall_us() -> u64 {
    let right = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        });
    let off_us = OFF_S.get().copied().unwrap_or(0).saturating_mul(1_000_000);
    right.saturating_add_signed(off_us)
}

/// Seconds since the Unix epoch, as tokens count.
pub(crate) fn wall_s() -> u64 {
    wall_us() / 1_000_000
}

/// Fresh random bytes from the operating system's generator.
pub(crate) fn dice<const N: usize>() -> [u8; N] {
    use rand::RngCore;
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
