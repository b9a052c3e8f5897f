//! What happens once in a run: a peer goes away, finality moves, the finaliser is lost and another
//! one made with the recovery key.

use peer_core::{Claims, MemberChange, Reply, Request};
use sync_protocol::{DatabaseId, DeviceKey, EntryId, Role, SecretKey};

use super::{Event, Once, Who, World};
use crate::checker::history::History;
use crate::faults::Topology;

/// Milliseconds for which the finaliser is missed before somebody uses the recovery key.
const MISSED_MS: u64 = 8_000;

/// The peer that finality is moved to, and that uses the recovery key: a writer that stays.
const HEIR: usize = 1;

/// Steps of a quarrel over roles.
const DUEL_ROUNDS: u8 = 8;

/// Microseconds between two of them, on average.
const DUEL_EVERY_US: u64 = 2_500_000;

/// Peers that a world has at least where the finaliser is lost: the last may lie.
const PEERS_MIN: usize = 3;

impl World {
    /// Plans what happens once while things go wrong, in so many microseconds.
    pub(super) fn plan_once(&mut self, hurt_us: u64) {
        let peers = self.nodes.len();
        let mut dice = self.accidents.clone();
        let mut some_time = || hurt_us / 5 + dice.below(hurt_us / 2);
        let times = [(); 7].map(|()| some_time());
        let plans = [
            (self.faults.upgrade, Once::Upgrade),
            (self.faults.leaver && self.can_spare_one(), Once::Leave),
            (
                self.faults.finaliser_moves && !self.faults.finaliser_lost && peers >= PEERS_MIN,
                Once::MoveFinaliser,
            ),
            (
                self.faults.finaliser_lost && peers >= PEERS_MIN,
                Once::LoseFinaliser,
            ),
            (self.can_restore(&self.faults), Once::BackUp),
            (self.faults.put_out, Once::PutOut),
            (self.is_duel(), Once::Duel(DUEL_ROUNDS)),
        ];
        for ((happens, once), us) in plans.into_iter().zip(times) {
            if happens {
                self.after(us, Event::Once(once));
            }
        }
    }

    /// Whether the others still reach each other when one goes away.
    fn can_spare_one(&self) -> bool {
        self.nodes.len() > PEERS_MIN && self.network.topology() != Topology::Line
    }

    /// Which peer goes away: neither the first ones, on whom others rely, nor the last.
    fn leaver(&self) -> usize {
        self.nodes.len() - 2
    }

    /// A peer goes away for ever, and with it what nobody else has.
    pub(super) fn leave(&mut self) {
        let at = self.leaver();
        self.say(format_args!("{at} goes away for ever"));
        if self.nodes[at].is_on() {
            self.power_off(at);
        }
        self.nodes[at].is_gone = true;
        self.lose_what_only_has(at);
    }

    /// What a peer acknowledged and no other disk has is gone with its own.
    pub(super) fn lose_what_only_has(&mut self, at: usize) {
        let Ok(database) = self.database.parse::<DatabaseId>() else {
            return;
        };
        let mut histories = Vec::new();
        for other in 0..self.nodes.len() {
            if other == at || !self.nodes[other].is_member || self.nodes[other].is_out {
                continue;
            }
            match History::read(&self.nodes[other].disk, &database) {
                Ok(history) => histories.push(history),
                // Its disk is being spoilt at this moment: it may have what the others have not.
                Err(why) => self.say(format_args!("{other}: {why}")),
            }
        }
        let elsewhere = |entry: &EntryId| histories.iter().any(|history| history.holds(entry));
        self.ledger.gone(at, elsewhere);
    }

    /// The owner hands finality to another peer, or tries again later.
    pub(super) fn move_finaliser(&mut self) {
        let ready = self.nodes[0].is_on() && !self.nodes[0].in_trouble;
        if !ready || !self.nodes[HEIR].is_member {
            return self.after(1_000_000, Event::Once(Once::MoveFinaliser));
        }
        let (database, to) = (self.database.clone(), self.nodes[HEIR].device);
        self.say(format_args!("finality is to move to {HEIR}"));
        let caller = Claims::of_device(&self.nodes[0].device);
        let request = Request::MoveFinaliser { database, to };
        self.request(0, caller, true, request, Who::Owner("move finality"));
    }

    /// Whether there is an admin to quarrel with, and somebody to quarrel over.
    fn is_duel(&self) -> bool {
        self.faults.duel && self.nodes.len() >= PEERS_MIN
    }

    /// Whether the peer may be put out or demoted, so that its word does not count.
    pub(crate) fn is_contested(&self, at: usize) -> bool {
        (self.faults.put_out || self.is_duel()) && at > 0 && at + 1 == self.nodes.len()
    }

    /// The same of a device.
    pub(crate) fn is_put_out(&self, device: &DeviceKey) -> bool {
        let at = self.by_device.get(device);
        at.is_some_and(|at| self.is_contested(*at))
    }

    /// The owner puts the last peer out, or tries again later.
    pub(super) fn put_out(&mut self) {
        let last = self.nodes.len() - 1;
        let ready = self.nodes[0].is_on() && !self.nodes[0].in_trouble;
        if !ready || !self.nodes[last].is_member {
            return self.after(1_000_000, Event::Once(Once::PutOut));
        }
        self.say(format_args!("{last} is put out"));
        let member = self.nodes[last].device;
        self.change_members(0, MemberChange::Remove(member));
    }

    /// The owner or the admin says something about the admin or the last peer.
    pub(super) fn duel(&mut self, rounds: u8) {
        let last = self.nodes.len() - 1;
        if !self.nodes[last].is_member || !self.nodes[HEIR].is_member {
            return self.after(1_000_000, Event::Once(Once::Duel(rounds)));
        }
        let (admin, last) = (self.nodes[HEIR].device, self.nodes[last].device);
        let role = match self.accidents.below(3) {
            0 => Role::Reader,
            1 => Role::Writer,
            _ => Role::Gateway,
        };
        let said = match (rounds, self.accidents.below(6)) {
            // There is no quarrel before there is an admin.
            (DUEL_ROUNDS, _) | (_, 0) => vec![(0, MemberChange::SetRole(admin, Role::Admin))],
            (_, 1) => vec![(0, MemberChange::SetRole(last, role))],
            (_, 2) => vec![(HEIR, MemberChange::Remove(last))],
            (_, 3) => vec![(HEIR, MemberChange::SetRole(last, role))],
            // Both at once.
            _ => vec![
                (HEIR, MemberChange::SetRole(last, role)),
                (0, MemberChange::SetRole(admin, Role::Writer)),
                (HEIR, MemberChange::Remove(last)),
            ],
        };
        for (at, change) in said {
            if self.nodes[at].is_on() {
                self.change_members(at, change);
            }
        }
        if rounds > 1 {
            let wait = self.accidents.around(DUEL_EVERY_US);
            self.after(wait, Event::Once(Once::Duel(rounds - 1)));
        }
    }

    fn change_members(&mut self, at: usize, change: MemberChange) {
        self.say(format_args!("{at} says {change:?}"));
        if let MemberChange::Remove(device) = &change
            && let Some(out) = self.by_device.get(device)
        {
            self.nodes[*out].is_out = true;
        }
        let database = self.database.clone();
        let caller = Claims::of_device(&self.nodes[at].device);
        let request = Request::ChangeMembers { database, change };
        self.request(at, caller, true, request, Who::Quarreller);
    }

    /// Nobody hears the finaliser any more, nor it them.
    pub(super) fn lose_finaliser(&mut self) {
        if !self.nodes[HEIR].is_member {
            return self.after(1_000_000, Event::Once(Once::LoseFinaliser));
        }
        self.say(format_args!("the finaliser is cut off"));
        self.counts.partitions += 1;
        self.exiles.insert(0);
        self.silence_exiles();
        for other in 1..self.nodes.len() {
            self.unlink(0, other);
        }
        self.after(MISSED_MS * 1_000, Event::Once(Once::Recover));
    }

    pub(super) fn silence_exiles(&mut self) {
        for exile in self.exiles.clone() {
            for other in 0..self.nodes.len() {
                self.network.deafen(exile, other);
                self.network.deafen(other, exile);
            }
        }
    }

    /// A writer uses the recovery key, or tries again later.
    pub(super) fn recover(&mut self) {
        if !self.exiles.contains(&0) {
            return; // it is back
        }
        let Ok(key) = self.recovery_key.parse::<DeviceKey>() else {
            return self.breaks("the publish told no recovery key".to_owned());
        };
        let request = Request::Recover {
            database: self.database.clone(),
            key: Box::new(SecretKey::from_bytes(&key.0)),
            to: None,
            pick: None,
            force: true,
        };
        let height = self.status(HEIR).map(|status| status.cut.height);
        if let Some(height) = height {
            // Whatever the answer: if the power fails over it, the cut may be made all the same.
            self.cuts.recovered(height);
            match self.ask(HEIR, request) {
                Some(Ok(Reply::Recovered(true))) => {
                    return self.say(format_args!("{HEIR} recovered at cut {height}"));
                }
                answer => self.say(format_args!("{HEIR} did not recover: {answer:?}")),
            }
        }
        self.after(1_000_000, Event::Once(Once::Recover));
    }

    /// Whether two histories may be final somewhere for a while: the finaliser goes on where nobody
    /// hears it.
    pub(crate) fn may_fork(&self) -> bool {
        self.faults.finaliser_lost
    }
}
