//! What the swarm's task sees to now and then: slots at relays, connections that another one
//! supersedes, changes of networks, and what is told of all that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use peer_core::Input;
use sync_protocol::DeviceKey;
use tokio::time::Instant;

use super::connections::Connections;
use super::diallable::{bounded, diallable, ip_of, is_circuit, is_loopback, is_near};
use super::gate::Gate;
use super::keys::peer_of;
use super::relays::Candidate;
use super::swarm::{LISTEN_PAUSE, Task};
use super::ways;

/// Members that may be asked to dial back.
const ASKED_TO_DIAL_MAX: usize = 8;

impl Task {
    /// Where we listen, without relays.
    fn listens_at(&self) -> Vec<Multiaddr> {
        let all = self.swarm.listeners().filter(|one| !is_circuit(one));
        all.cloned().collect()
    }

    /// Whether an address is in no network of ours, as far as addresses tell.
    pub(super) fn is_elsewhere(&self, address: &Multiaddr) -> bool {
        let own = self.listens_at();
        ip_of(address).is_some_and(|ip| !is_near_any(ip, &own))
    }

    /// Asks for slots at relays, or gives them up, as it is needed; names who may be asked whether this
    /// peer can be reached; and passes on where members see it.
    pub(super) fn tend_relays(&mut self) {
        let now = self.shared.now_ms();
        let own = self.listens_at();
        let all = candidates(&self.shared.connections(), &self.shared.gate, &own);
        self.name_probes(&all);
        let seen = {
            let member = |device: &DeviceKey| {
                peer_of(device).is_some_and(|peer| self.shared.gate.is_member(&peer))
            };
            self.shared.connections().take_seen(member)
        };
        for address in seen {
            self.swarm.behaviour_mut().holes.seen_at(&address);
        }
        let verdict = self.swarm.behaviour().probe.verdict();
        let misses = self.shared.book().misses_somebody();
        let needed = self.reachability.needs_relay(verdict, misses, now);
        let plan = self.relays.plan(&self.shared.device, needed, all, now);
        // By closing the connection, which ends the slot: libp2p does not bear that a renewal is granted
        // after the listener was removed.
        for relay in plan.give_up {
            let connections = self.shared.connections();
            let direct = connections.of(&relay).iter().filter(|one| one.is_direct());
            let ids: Vec<ConnectionId> = direct.map(|one| one.id).collect();
            drop(connections);
            for id in ids {
                self.swarm.close_connection(id);
            }
        }
        for candidate in plan.ask {
            let Some(circuit) = candidate.circuit() else {
                continue;
            };
            match self.swarm.listen_on(circuit) {
                Ok(listener) => self.relays.asked(&candidate, listener),
                Err(error) => tracing::debug!("no slot at {}: {error}", candidate.device.short()),
            }
        }
    }

    /// Members in other networks may be asked to dial back: one in ours would say that all is well.
    fn name_probes(&mut self, candidates: &[Candidate]) {
        let far = candidates.iter().filter(|one| !one.near);
        let far: BTreeSet<PeerId> = far
            .filter_map(|one| peer_of(&one.device))
            .take(ASKED_TO_DIAL_MAX)
            .collect();
        let probe = &mut self.swarm.behaviour_mut().probe;
        for peer in self.asked_to_dial.difference(&far) {
            probe.leave(peer);
        }
        for peer in far.difference(&self.asked_to_dial) {
            probe.ask(*peer);
        }
        self.asked_to_dial = far;
    }

    /// Closes connections that another one has taken the place of. Their links are opened again on that
    /// one.
    pub(super) fn close_over(&mut self) {
        let now = self.shared.now_ms();
        let over = self.shared.connections().take_over(now);
        for one in over {
            if one.lost {
                let remote = one.remote.short();
                tracing::debug!("{remote} dialled anew: what it had before is lost");
                self.shared.links.close(one.remote);
            }
            self.swarm.close_connection(one.id);
        }
    }

    /// Looks whether this machine is in other networks than before. Then connections that nothing
    /// leads to any more are closed, and everybody wanted is dialled at once.
    pub(super) fn follow_networks(&mut self) {
        let changed = self.ways.changed(self.routes());
        let out = self.ways.lead_out();
        self.shared.set_leads_out(out);
        if !changed {
            return;
        }
        self.reachability.moved();
        // Where others saw this machine is over; without its address AutoNAT asks anew.
        let external = self.swarm.external_addresses();
        let over: Vec<Multiaddr> = external.filter(|one| !is_circuit(one)).cloned().collect();
        for address in over {
            self.swarm.remove_external_address(&address);
        }
        self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
        let lost: Vec<ConnectionId> = {
            let connections = self.shared.connections();
            let direct = connections.all().filter_map(|(_, connection)| {
                let local = connection.local?;
                let remote = ip_of(&connection.address)?;
                let leads = ways::is_ours(local) && ways::source_to(remote).is_some();
                (!leads).then_some(connection.id)
            });
            direct.collect()
        };
        match out {
            true => tracing::info!("the network changed: members are dialled anew"),
            false => tracing::info!("no network leads out: this peer works alone until one does"),
        }
        for id in lost {
            self.swarm.close_connection(id);
        }
        self.shared.book().start_over();
        self.dial_due();
    }

    /// Which address of this machine leads to the places of others, as far as they are looked at.
    fn routes(&self) -> BTreeMap<IpAddr, Option<IpAddr>> {
        let mut targets: BTreeSet<IpAddr> = BTreeSet::new();
        {
            let connections = self.shared.connections();
            let book = self.shared.book();
            let connected = connections.all().map(|(_, one)| &one.address);
            let places = connected.chain(book.wanted_addresses()).filter_map(ip_of);
            for ip in places.filter(|ip| !ip.is_loopback()) {
                if targets.len() == ways::TARGETS_MAX {
                    break;
                }
                targets.insert(ip);
            }
        }
        let route = |ip| (ip, ways::source_to(ip));
        targets.into_iter().map(route).collect()
    }

    /// Tells the core and the command line where others find us.
    pub(super) fn tell_listening(&mut self) {
        let own = self.listens_at();
        let confirmed = self.swarm.behaviour().probe.confirmed();
        let external: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        let (kept, over) = external_addresses(&own, &external, confirmed.as_ref());
        for address in over {
            self.swarm.remove_external_address(&address);
        }
        for address in own.iter().filter(|address| !is_loopback(address)) {
            // What relays for others has to say where it is, or they could not be told.
            self.swarm.add_external_address(address.clone());
        }
        let all = bounded(
            own.into_iter()
                .chain(kept)
                .chain(self.relays.circuits().cloned())
                .collect(),
        );
        let me = *self.swarm.local_peer_id();
        let named: Vec<String> = all
            .iter()
            .map(|address| address.clone().with(Protocol::P2p(me)).to_string())
            .collect();
        if *self.listening.borrow() == named {
            return;
        }
        self.listening.send_replace(named);
        // Who reads them knows whose they are.
        let addresses = all.iter().map(ToString::to_string).collect();
        self.tell_core(Input::Listening { addresses });
    }
}

/// Whether an address is in the network of one of these.
fn is_near_any(ip: IpAddr, own: &[Multiaddr]) -> bool {
    ip.is_loopback() || own.iter().filter_map(ip_of).any(|own| is_near(own, ip))
}

/// Members that others can reach, because this peer dialled them, and not through a hole in a router.
fn candidates(connections: &Connections, gate: &Gate, own: &[Multiaddr]) -> Vec<Candidate> {
    let mut found = BTreeMap::new();
    for (device, one) in connections.all() {
        let member = peer_of(device).is_some_and(|peer| gate.is_member(&peer));
        let dialled = one.is_direct() && !one.inbound && !one.punched;
        let Some(ip) = ip_of(&one.address).filter(|ip| !ip.is_loopback()) else {
            continue;
        };
        if member && dialled {
            found.entry(*device).or_insert_with(|| Candidate {
                device: *device,
                address: one.address.clone(),
                near: is_near_any(ip, own),
            });
        }
    }
    found.into_values().collect()
}

/// Which external addresses are announced beside those we listen on, and which are over: the one that
/// members reach when they dial back. Whatever else any of them named is none.
fn external_addresses(
    own: &[Multiaddr],
    external: &[Multiaddr],
    confirmed: Option<&Multiaddr>,
) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
    let direct = external.iter().filter(|address| !is_circuit(address));
    let confirmed = confirmed.and_then(diallable);
    let (mut kept, mut over) = (Vec::new(), Vec::new());
    for address in direct {
        match diallable(address) {
            Some(bare) if own.contains(&bare) => {}
            Some(bare) if confirmed.as_ref() == Some(&bare) && !kept.contains(&bare) => {
                kept.push(bare);
            }
            _ => over.push(address.clone()),
        }
    }
    (kept, over)
}

#[cfg(test)]
mod tests {
    use super::super::connections::{Connection, Way};
    use super::*;
    use sync_protocol::SecretKey;

    fn device(n: u8) -> DeviceKey {
        SecretKey::from_bytes(&[n; 32]).public()
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("address")
    }

    #[test]
    fn only_members_that_were_dialled_directly_may_relay() {
        let own = [address("/ip4/10.1.1.1/tcp/4001")];
        let gate = Gate::default();
        let peers = (1..9).filter(|n| *n != 2).map(device);
        gate.set_members(peers.filter_map(|one| peer_of(&one)).collect());
        let mut connections = Connections::default();
        let mut open = |n: u8, text: &str, change: fn(&mut Connection)| {
            let mut connection = Connection {
                id: ConnectionId::new_unchecked(n.into()),
                address: address(text),
                inbound: false,
                dialled_back: false,
                way: Way::Direct,
                punched: false,
                local: None,
                seen_at: None,
                since_ms: 0,
                rtt_ms: None,
            };
            change(&mut connection);
            connections.opened(device(n), connection);
        };
        open(1, "/ip4/192.0.2.1/tcp/1", |_| {});
        open(2, "/ip4/192.0.2.2/tcp/1", |_| {});
        open(3, "/ip4/192.0.2.3/tcp/1", |one| one.inbound = true);
        open(4, "/ip4/192.0.2.4/tcp/1", |one| one.punched = true);
        open(5, "/ip4/192.0.2.5/tcp/1", |one| {
            one.way = Way::Relayed(None)
        });
        open(6, "/ip4/127.0.0.1/tcp/1", |_| {});
        open(7, "/ip4/10.1.1.9/udp/1/quic-v1", |_| {});
        let found = candidates(&connections, &gate, &own);
        let mut near: Vec<(DeviceKey, bool)> =
            found.iter().map(|one| (one.device, one.near)).collect();
        near.sort_unstable();
        let mut expected = vec![(device(1), false), (device(7), true)];
        expected.sort_unstable();
        assert_eq!(near, expected);
    }

    #[test]
    fn what_members_confirmed_is_announced_as_long_as_they_reach_us() {
        let own = [address("/ip4/10.1.1.1/tcp/4001")];
        let confirmed = format!(
            "/ip4/192.0.2.7/tcp/4001/p2p/{}",
            peer_of(&device(1)).expect("a real key")
        );
        let external = [
            own[0].clone(),
            address(&confirmed),
            address("/ip4/192.0.2.7/tcp/4001"),
            address("/ip4/198.51.100.1/tcp/22"),
            address("/dns4/a/tcp/1"),
        ];
        let (kept, over) = external_addresses(&own, &external, Some(&external[1]));
        assert_eq!(kept, [address("/ip4/192.0.2.7/tcp/4001")]);
        assert_eq!(
            over.len(),
            3,
            "one twice, one made up, and one that nobody dials"
        );
        let (kept, over) = external_addresses(&own, &external, None);
        assert!(kept.is_empty());
        assert_eq!(over.len(), 4);
    }
}
