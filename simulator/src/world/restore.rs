//! Somebody puts an older backup of the finaliser's directory in place of the directory. Its cuts
//! since then are known to others only, so it has to ask before it signs: docs/FINALITY.md.
//!
//! It comes back when the network is whole again and the others have told each other everything: a
//! finaliser that is restored where nobody answers forks its database, and nothing can prevent that.

use super::{Event, Once, World};
use crate::faults::{Faults, Topology};

/// The peer that makes cuts.
const FINALISER: usize = 0;

/// Milliseconds for which the finaliser stays away: two rounds of the regular comparison.
pub(crate) const AWAY_MS: u64 = 60_000;

/// Milliseconds after its start for which it reaches nobody: less than it waits for an answer.
const ALONE_MS: u64 = 3_000;

impl World {
    /// Whether the finaliser of this world can come back as it was: what it alone knows besides
    /// its cuts, as a ticket or a module, would be lost with it.
    pub(super) fn can_restore(&self, faults: &Faults) -> bool {
        let alone = faults.late_joiner
            || faults.upgrade
            || faults.finaliser_moves
            || faults.finaliser_lost
            || faults.lies.any();
        faults.restored_backup && !alone && self.network.topology() != Topology::Star
    }

    /// Copies the finaliser's directory, or tries again later.
    pub(super) fn back_up(&mut self) {
        if !self.faults.restored_backup {
            return; // the world has healed
        }
        // What is not final yet is what it would make final at once if it did not ask.
        let tail = self.status(FINALISER).map_or(0, |status| status.tail);
        if tail == 0 || self.nodes[FINALISER].in_trouble {
            return self.after(1_000_000, Event::Once(Once::BackUp));
        }
        self.backup = Some(self.nodes[FINALISER].disk.backup());
        self.say(format_args!("{FINALISER} is backed up"));
    }

    /// Whether the peer is down until its backup is there.
    pub(super) fn awaits_backup(&self, at: usize) -> bool {
        at == FINALISER && self.restoring
    }

    /// The finaliser's disk breaks, if there is a backup.
    pub(super) fn break_disk(&mut self) {
        if self.backup.is_none() {
            return;
        }
        self.say(format_args!("the disk of {FINALISER} breaks"));
        self.restoring = true;
        if self.nodes[FINALISER].is_on() {
            self.power_off(FINALISER);
        }
        self.after(AWAY_MS * 1_000, Event::Once(Once::Restore));
    }

    /// The finaliser starts on its backup. What only its disk had is lost.
    pub(super) fn restore(&mut self) {
        let Some(backup) = self.backup.take() else {
            return;
        };
        self.lose_what_only_has(FINALISER);
        // Whom its backup may not know as a member any more it does not hear.
        let mut highest = 0;
        for at in 1..self.nodes.len() {
            if !self.nodes[at].is_out
                && let Some(status) = self.status(at)
            {
                highest = highest.max(status.cut.height);
            }
        }
        self.cuts.restored(FINALISER, highest);
        self.say(format_args!(
            "{FINALISER} is restored from its backup; others are at cut {highest}"
        ));
        self.nodes[FINALISER].disk = backup;
        self.restoring = false;
        self.exiles.insert(FINALISER);
        self.power_on(FINALISER);
        self.after(ALONE_MS * 1_000, Event::Once(Once::Reach));
    }

    /// The restored finaliser can reach others from now on.
    pub(super) fn reach(&mut self) {
        self.exiles.remove(&FINALISER);
    }
}
