//! The clock and the waiting of these programs, in one place: everything else is told the time.
#![allow(
    clippy::disallowed_methods,
    reason = "programs that run on devices live in real time"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, as timestamps of calls are counted.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// Does nothing for a while.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
