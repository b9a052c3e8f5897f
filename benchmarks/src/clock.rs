//! The clock of the measurements: the one file here that reads time and waits for it.

#![allow(
    clippy::disallowed_methods,
    reason = "measuring is reading the clock, and waiting for another process is sleeping"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sync_protocol::{Now, Tick};

/// Now.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Lets other processes go on for a little.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The two clocks that a core is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            tick: Tick(micros(self.start.elapsed())),
            wall: micros(since_epoch),
        }
    }
}

/// A time that a measurement may take in the worst case: what is stuck must not hang a whole run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after_s(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// # Errors
    /// Once it is over, with what was waited for.
    pub(crate) fn check(&self, waiting_for: &str) -> anyhow::Result<()> {
        anyhow::ensure!(Instant::now() < self.0, "waited too long for {waiting_for}");
        Ok(())
    }
}
