//! Whether others can reach this peer, as far as it knows. Pure: time is an argument.
//!
//! Two things tell. Members that were dialled somewhere else are asked to dial back (AutoNAT), and
//! say whether they could. And a connection that came in from elsewhere shows that it can be done.
//! As long as neither is known, slots at relays are asked for only when somebody is missing.

use std::time::Duration;

/// Milliseconds for which a connection that came in counts.
const CAME_IN_MS: u64 = 3_600_000;

/// Milliseconds for which slots are kept after the last member that was missing has been found.
const MISSED_MS: u64 = 600_000;

/// The pause before members are first asked to dial back, so that some are connected.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(5);

/// How often they are asked until they agree.
pub(super) const PROBE_RETRY: Duration = Duration::from_secs(15);

/// How often they are asked when they agree.
pub(super) const PROBE_AGAIN: Duration = Duration::from_secs(15 * 60);

/// What members that dialled back found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody has been asked, or nobody has answered.
    #[default]
    Unknown,
    /// They reached us.
    Open,
    /// They did not.
    Shut,
}

/// What is known of how this peer can be reached.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    came_in_ms: Option<u64>,
    missed_ms: Option<u64>,
}

impl Reachability {
    /// Somebody dialled us from another network.
    pub(super) fn came_in(&mut self, now_ms: u64) {
        self.came_in_ms = Some(now_ms);
    }

    /// This machine is somewhere else: what was seen there does not count.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    /// Whether a slot at a relay is needed, by what members found; `misses` says whether a member is
    /// out of direct reach now.
    pub(super) fn needs_relay(&mut self, verdict: Verdict, misses: bool, now_ms: u64) -> bool {
        if misses {
            self.missed_ms = Some(now_ms);
        }
        let within = |at: Option<u64>, span| at.is_some_and(|at| now_ms < at + span);
        match verdict {
            Verdict::Open => false,
            Verdict::Shut => true,
            Verdict::Unknown => {
                within(self.missed_ms, MISSED_MS) && !within(self.came_in_ms, CAME_IN_MS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_found_decides() {
        let mut seen = Reachability::default();
        assert!(seen.needs_relay(Verdict::Shut, false, 0));
        seen.came_in(0);
        assert!(
            seen.needs_relay(Verdict::Shut, false, 0),
            "through a hole perhaps"
        );
        assert!(!seen.needs_relay(Verdict::Open, true, 0));
    }

    #[test]
    fn when_nothing_is_known_it_counts_who_is_missing_and_who_came_in() {
        let mut seen = Reachability::default();
        let mut needs = |misses, at| seen.needs_relay(Verdict::Unknown, misses, at);
        assert!(!needs(false, 0), "nobody is missing");
        assert!(needs(true, 1_000));
        assert!(needs(false, 1_000 + MISSED_MS - 1));
        assert!(!needs(false, 1_000 + MISSED_MS));
        seen.came_in(5_000);
        let mut needs = |misses, at| seen.needs_relay(Verdict::Unknown, misses, at);
        assert!(!needs(true, 6_000));
        assert!(needs(true, 5_000 + CAME_IN_MS));
    }

    #[test]
    fn what_was_seen_elsewhere_does_not_count() {
        let mut seen = Reachability::default();
        assert!(seen.needs_relay(Verdict::Unknown, true, 0));
        seen.came_in(0);
        seen.moved();
        assert!(!seen.needs_relay(Verdict::Unknown, false, 0));
        assert!(seen.needs_relay(Verdict::Unknown, true, 0));
    }
}
