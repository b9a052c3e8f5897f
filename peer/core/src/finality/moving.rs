//! Handing finality over: an owner's system call, which the cut that covers it carries out.

use sync_protocol::{Cut, DeviceKey};

use crate::replica::Replica;
use crate::reply::FinaliserInfo;

impl Replica {
    /// Whom the cut over the first `segment` executed entries has to name: the device of the last
    /// move among them, or those whom the cut before names.
    pub(super) fn finalisers_after(&self, segment: usize) -> Vec<DeviceKey> {
        let moves = self.executed[..segment].iter().rev();
        match moves.filter_map(|ran| ran.finaliser).next() {
            Some(to) => vec![to],
            None => self.cut.finalisers.clone(),
        }
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
