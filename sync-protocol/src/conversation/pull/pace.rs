//! How fast a remote sends what is long: others are asked too when it is too slow.

use super::super::Bulk;
use super::super::limits::{ANSWER_WAIT_MS, PACE_BYTES_PER_S};
use crate::time::Tick;

/// How fast bulk has been coming since it began to.
#[derive(Debug, Default)]
pub(super) struct Pace {
    what: Option<Bulk>,
    since: Tick,
    pub(super) bytes: u64,
}

impl Pace {
    /// A question for bulk, or for something else, is being asked.
    pub(super) fn note_question(&mut self, what: Option<Bulk>, now: Tick) {
        if self.what != what {
            *self = Self {
                what,
                since: now,
                bytes: 0,
            };
        }
    }

    pub(super) fn is_too_slow(&self, now: Tick) -> bool {
        // The first answer may take as long as any.
        let us = now.since(self.since).saturating_sub(ANSWER_WAIT_MS * 1_000);
        self.bytes < us / 1_000_000 * PACE_BYTES_PER_S
    }
}
