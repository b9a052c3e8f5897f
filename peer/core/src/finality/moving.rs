//! Handing finality over: an owner's system call, which the cut that covers it carries out.

use std::collections::BTreeSet;

use sync_protocol::{Cut, DeviceKey, Role};

use super::making::last_position;
use crate::error::Stop;
use crate::replica::Replica;
use crate::reply::FinaliserInfo;
use crate::system_tables;

impl Replica {
    /// Whom the cut over the first `segment` executed entries has to name: the device of the last
    /// move among them, or those whom the cut before names; the owner instead of one whom they leave
    /// without the right to write.
    pub(super) fn finalisers_after(&self, segment: usize) -> Result<Vec<DeviceKey>, Stop> {
        let moves = self.executed[..segment].iter().rev();
        let named = match moves.filter_map(|ran| ran.finaliser).next() {
            Some(to) => vec![to],
            None => self.cut.finalisers.clone(),
        };
        let covered = &self.executed[..segment];
        let Some(last) = covered
            .last()
            .filter(|_| covered.iter().any(|ran| ran.rights_changed))
        else {
            return Ok(named);
        };
        let last = last_position(&last.entry);
        let mut owner = None;
        let mut writers = BTreeSet::new();
        for row in self.state()?.rows_through(system_tables::MEMBER, &last)? {
            let (device, role) = system_tables::read_member(&row?);
            if role.is_some_and(Role::may_write) {
                writers.insert(device);
            }
            if role == Some(Role::Owner) {
                owner = Some(device);
            }
        }
        match owner {
            // One who never was a member finalises by the genesis or a recovery key.
            Some(owner)
                if named
                    .iter()
                    .any(|one| self.rights.roles.contains_key(one) && !writers.contains(one)) =>
            {
                Ok(vec![owner])
            }
            _ => Ok(named),
        }
    }

    /// Whether this device, a member by the last cut, signs the next one: also if it has been removed
    /// since, for that cut covers the removal.
    pub(crate) fn is_ending_finaliser(&self, device: &DeviceKey) -> bool {
        let was_member = self.rights.role_at(device, self.cut.height).is_some();
        was_member && self.cut.finalisers.contains(device)
    }

    /// Who makes final what happens here, and who will.
    pub(crate) fn finaliser_info(
        &self,
        device: &DeviceKey,
        is_up: impl Fn(&DeviceKey) -> bool,
    ) -> FinaliserInfo {
        let moving_to = self.executed.iter().rev().find_map(|ran| ran.finaliser);
        let cut: &Cut = &self.cut;
        FinaliserInfo {
            database: self.id,
            finalisers: cut.finalisers.clone(),
            this_peer: cut.finalisers == [*device],
            connected: cut.finalisers.iter().any(|one| one == device || is_up(one)),
            moving_to: moving_to.filter(|to| cut.finalisers != [*to]),
            height: cut.height,
            cut: cut.id(),
            recoveries: cut.term.number(),
            recovery_keys: self.genesis.recovery_keys.clone(),
            status: self.health.word().to_owned(),
            detail: self.health.detail(),
        }
    }
}
