//! Slots at relays: at whom this peer asks for one, and which addresses follow from those it has.
//! Pure: time is an argument.
//!
//! A relay is a member that this peer has dialled, so that others can dial it there too. It passes
//! on bytes that it cannot read: both ends of a circuit prove their device keys to each other.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use sync_protocol::DeviceKey;

use super::diallable::CIRCUITS_MAX;
use super::keys::peer_of;

/// Slots held at a time: one relay may go.
const RELAYS_MAX: usize = 2;

const _: () = assert!(RELAYS_MAX <= CIRCUITS_MAX);

/// Milliseconds for which a member that refused is not asked again.
const REFUSED_MS: u64 = 300_000;

/// Members remembered that refused.
const REFUSED_MAX: usize = 256;

/// A member that might relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) device: DeviceKey,
    /// Where it was dialled.
    pub(super) address: Multiaddr,
    /// It seems to be in a network of ours, so that who cannot reach us may not reach it either.
    pub(super) near: bool,
}

impl Candidate {
    /// Where others meet us through it.
    pub(super) fn circuit(&self) -> Option<Multiaddr> {
        let relay = peer_of(&self.device)?;
        let to_relay = self.address.clone().with(Protocol::P2p(relay));
        Some(to_relay.with(Protocol::P2pCircuit))
    }
}

/// A slot that was asked for.
#[derive(Clone, Debug)]
struct Slot {
    listener: ListenerId,
    circuit: Multiaddr,
    granted: bool,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Ask these for a slot.
    pub(super) ask: Vec<Candidate>,
    /// Give up the slots at these.
    pub(super) give_up: Vec<DeviceKey>,
}

/// The slots of this peer.
#[derive(Debug, Default)]
pub(super) struct Relays {
    slots: BTreeMap<DeviceKey, Slot>,
    /// Until when who refused is not asked.
    refused: BTreeMap<DeviceKey, u64>,
}

impl Relays {
    /// At whom to ask for a slot and which to give up. Far candidates come before near ones, those
    /// that have granted one before others, and the rest in an order that differs from peer to peer,
    /// so that not all ask the same.
    pub(super) fn plan(
        &self,
        own: &DeviceKey,
        needed: bool,
        candidates: Vec<Candidate>,
        now_ms: u64,
    ) -> Plan {
        let mut ranked: Vec<Candidate> = candidates
            .into_iter()
            .filter(|one| self.refused.get(&one.device).is_none_or(|at| *at <= now_ms))
            .collect();
        ranked.sort_by_key(|one| {
            let mut distance = one.device.0;
            for (byte, ours) in distance.iter_mut().zip(own.0) {
                *byte ^= ours;
            }
            let held = self.slots.contains_key(&one.device);
            (one.near, !held, distance)
        });
        ranked.truncate(if needed { RELAYS_MAX } else { 0 });
        let chosen = |device: &DeviceKey| ranked.iter().any(|one| one.device == *device);
        // One that is asked for is given up when it is granted: libp2p expects to hear the answer.
        let over = self.slots.iter().filter(|(device, _)| !chosen(device));
        let give_up = over
            .filter(|(_, slot)| slot.granted)
            .map(|(device, _)| *device)
            .collect();
        let ask = ranked
            .into_iter()
            .filter(|one| !self.slots.contains_key(&one.device))
            .collect();
        Plan { ask, give_up }
    }

    /// A slot was asked for; what comes of it is told of this listener.
    pub(super) fn asked(&mut self, candidate: &Candidate, listener: ListenerId) {
        if let Some(circuit) = candidate.circuit() {
            let slot = Slot {
                listener,
                circuit,
                granted: false,
            };
            self.slots.insert(candidate.device, slot);
        }
    }

    /// A member has granted a slot, or renewed it. True: it is a new one.
    pub(super) fn granted(&mut self, relay: &DeviceKey) -> bool {
        let slot = self.slots.get_mut(relay);
        slot.is_some_and(|slot| !std::mem::replace(&mut slot.granted, true))
    }

    /// A listener is gone: the relay refused, or went, or the slot was given up. Nothing if it was
    /// none of ours; true if there was a slot.
    pub(super) fn closed(
        &mut self,
        listener: ListenerId,
        refused: bool,
        now_ms: u64,
    ) -> Option<bool> {
        let mut slots = self.slots.iter();
        let (device, _) = slots.find(|(_, slot)| slot.listener == listener)?;
        let device = *device;
        if refused {
            self.refused.retain(|_, until| *until > now_ms);
            if self.refused.len() < REFUSED_MAX {
                self.refused.insert(device, now_ms + REFUSED_MS);
            }
        }
        self.slots.remove(&device).map(|slot| slot.granted)
    }

    /// Where others meet this peer through relays.
    pub(super) fn circuits(&self) -> impl Iterator<Item = &Multiaddr> {
        let granted = self.slots.values().filter(|slot| slot.granted);
        granted.map(|slot| &slot.circuit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::diallable::circuit;
    use super::*;
    use sync_protocol::SecretKey;

    const OWN: DeviceKey = DeviceKey([0; 32]);

    fn member(n: u8, near: bool) -> Candidate {
        Candidate {
            device: SecretKey::from_bytes(&[n; 32]).public(),
            address: format!("/ip4/192.0.2.{n}/tcp/1").parse().expect("address"),
            near,
        }
    }

    fn granted(relays: &mut Relays, candidate: &Candidate) -> ListenerId {
        let listener = ListenerId::next();
        relays.asked(candidate, listener);
        assert!(relays.granted(&candidate.device));
        assert!(!relays.granted(&candidate.device), "renewed");
        listener
    }

    #[test]
    fn two_are_asked_when_it_is_needed_and_nobody_else() {
        let mut relays = Relays::default();
        let all: Vec<Candidate> = (1..9).map(|n| member(n, false)).collect();
        assert_eq!(relays.plan(&OWN, false, all.clone(), 0), Plan::default());
        let plan = relays.plan(&OWN, true, all.clone(), 0);
        assert_eq!(plan.ask.len(), RELAYS_MAX);
        for one in &plan.ask {
            relays.asked(one, ListenerId::next());
        }
        assert_eq!(relays.circuits().count(), 0, "not granted yet");
        assert_eq!(relays.plan(&OWN, true, all.clone(), 0), Plan::default());
        for one in &plan.ask {
            assert!(relays.granted(&one.device));
        }
        let circuits: Vec<Multiaddr> = relays.circuits().cloned().collect();
        assert_eq!(circuits.len(), RELAYS_MAX);
        for address in circuits {
            assert_eq!(circuit(&address), Some(address), "others can read it");
        }
        assert_eq!(relays.plan(&OWN, true, all, 0), Plan::default());
        let other = DeviceKey([0xff; 32]);
        let members: Vec<Candidate> = (1..9).map(|n| member(n, false)).collect();
        let others = Relays::default().plan(&other, true, members, 0);
        assert_ne!(others.ask, plan.ask, "not everybody asks the same");
    }

    #[test]
    fn slots_are_given_up_when_they_are_not_needed_and_not_before_they_are_granted() {
        let mut relays = Relays::default();
        let (one, two) = (member(1, false), member(2, false));
        let first = granted(&mut relays, &one);
        relays.asked(&two, ListenerId::next());
        let plan = relays.plan(&OWN, false, vec![one.clone(), two], 0);
        assert_eq!(plan.give_up, [one.device]);
        assert!(plan.ask.is_empty());
        assert_eq!(relays.closed(first, false, 0), Some(true));
        assert_eq!(relays.closed(first, false, 0), None);
        assert_eq!(relays.circuits().count(), 0);
    }

    #[test]
    fn a_far_relay_is_better_than_a_near_one_and_a_near_one_than_none() {
        let mut relays = Relays::default();
        let near: Vec<Candidate> = (1..4).map(|n| member(n, true)).collect();
        let plan = relays.plan(&OWN, true, near.clone(), 0);
        assert_eq!(plan.ask.len(), RELAYS_MAX);
        let asked: Vec<DeviceKey> = plan.ask.iter().map(|one| one.device).collect();
        for one in &plan.ask {
            granted(&mut relays, one);
        }
        let far = [member(8, false), member(9, false)];
        let all = near.into_iter().chain(far.clone()).collect();
        let plan = relays.plan(&OWN, true, all, 0);
        assert_eq!(plan.ask.len(), 2);
        assert!(plan.ask.iter().all(|one| far.contains(one)));
        assert_eq!(plan.give_up.len(), 2);
        assert!(plan.give_up.iter().all(|one| asked.contains(one)));
    }

    #[test]
    fn who_refused_is_left_alone_for_a_while() {
        let mut relays = Relays::default();
        let one = member(1, false);
        let listener = ListenerId::next();
        relays.asked(&one, listener);
        assert_eq!(relays.closed(listener, true, 1_000), Some(false));
        let plan = |at| relays.plan(&OWN, true, vec![one.clone()], at);
        assert!(plan(1_000 + REFUSED_MS - 1).ask.is_empty());
        let again = plan(1_000 + REFUSED_MS).ask;
        assert_eq!(again, std::slice::from_ref(&one));
    }

    #[test]
    fn who_refused_is_remembered_within_bounds() {
        let mut relays = Relays::default();
        for n in 0..2 * REFUSED_MAX {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&n.to_le_bytes());
            let candidate = Candidate {
                device: SecretKey::from_bytes(&seed).public(),
                ..member(1, false)
            };
            let listener = ListenerId::next();
            relays.asked(&candidate, listener);
            relays.closed(listener, true, 0);
        }
        assert_eq!(relays.refused.len(), REFUSED_MAX);
        assert!(relays.slots.is_empty());
    }
}
