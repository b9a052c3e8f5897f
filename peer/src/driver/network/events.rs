//! What libp2p reports, and what follows from it.

use std::sync::Arc;

use libp2p::autonat::v1 as autonat;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, dcutr, identify, mdns, ping, relay};
use peer_core::Input;
use sync_protocol::DeviceKey;
use tokio::time::Instant;

use super::behaviour::BehaviourEvent;
use super::connections::{Connection, Way};
use super::diallable::{circuit, diallable, ip_of, is_circuit, is_loopback, relay_of};
use super::keys::{device_of, split};
use super::listen::port_of;
use super::swarm::{LISTEN_PAUSE, Task, Through};
use super::{lan, links, ways};

impl Task {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                let cause = cause.map(|cause| cause.to_string());
                self.on_closed(&peer_id, connection_id, num_established, cause);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                let through = self.dials.remove(&connection_id);
                self.dial_failed(peer_id, through, &error);
            }
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                if let Some((_, asked)) = self.listeners.iter().find(|(id, _)| *id == listener_id)
                    && port_of(asked) == Some(0)
                    && let Some(port) = port_of(&address)
                {
                    self.shared.book().set_listen_port(asked, port);
                }
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ExpiredListenAddr { .. } | SwarmEvent::ExternalAddrConfirmed { .. } => {
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                reason,
            } => {
                let now = self.shared.now_ms();
                match self.relays.closed(listener_id, reason.is_err(), now) {
                    Some(_) => tracing::debug!("a slot at a relay is gone: {reason:?}"),
                    None => tracing::error!("no longer listening on {addresses:?}: {reason:?}"),
                }
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!("listening: {error}"),
            SwarmEvent::Behaviour(BehaviourEvent::Identity(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => {
                if let Some(remote) = device_of(&peer_id) {
                    let mut connections = self.shared.connections();
                    connections.seen(&remote, connection_id, &info.observed_addr);
                }
                self.on_identified(&peer_id, &info.listen_addrs);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Lan(mdns::Event::Discovered(found))) => {
                self.on_noticed(found);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Lan(mdns::Event::Expired(gone))) => {
                self.noticed.expired(gone);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Relayed(
                relay::client::Event::ReservationReqAccepted { relay_peer_id, .. },
            )) => {
                if let Some(relay) = device_of(&relay_peer_id)
                    && self.relays.granted(&relay)
                {
                    tracing::info!("{} relays for this peer", relay.short());
                    self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => tracing::debug!("{event:?}"),
            SwarmEvent::Behaviour(BehaviourEvent::Holes(dcutr::Event {
                remote_peer_id,
                result: Err(error),
            })) => tracing::debug!("no direct way to {remote_peer_id}: {error}"),
            SwarmEvent::Behaviour(BehaviourEvent::Probe(autonat::Event::StatusChanged {
                new,
                ..
            })) => {
                tracing::info!("seen from other networks this peer is {}", shown(&new));
                self.tend_relays();
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(remote) = device_of(&peer) else {
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let (address, way) = way_of(endpoint);
        let direct = way == Way::Direct;
        let dialled = endpoint.is_dialer().then_some(&address);
        let now = self.shared.now_ms();
        self.shared.book().connected(remote, dialled, direct, now);
        for done in self.waiting.remove(&peer).unwrap_or_default() {
            let _ = done.send(Ok(()));
        }
        // Through a hole that both made: it does not show that others can come in.
        let ours = self.dials.remove(&id) == Some(Through::Nobody);
        let punched = !ours && self.shared.connections().is_only_relayed(&remote);
        if direct && !punched && endpoint.is_listener() && self.is_elsewhere(&address) {
            self.reachability.came_in(now);
        }
        let dialled_back = self.swarm.behaviour().probe.is_dialled_back_by(&peer);
        let mut connections = self.shared.connections();
        connections.opened(
            remote,
            Connection {
                id,
                inbound: endpoint.is_listener(),
                dialled_back,
                local: direct.then(|| local_ip(endpoint, &address)).flatten(),
                address,
                way,
                seen_at: None,
                punched,
                since_ms: now,
                rtt_ms: None,
            },
        );
        let opens = self.shared.device < remote && connections.openers.insert(remote);
        drop(connections);
        self.close_over();
        if opens {
            self.spawn_opener(remote, peer);
        }
    }

    /// Keeps a link to a remote that is connected, until it no longer is.
    fn spawn_opener(&self, remote: DeviceKey, peer: PeerId) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let connected = || {
                let mut connections = shared.connections();
                let there = !connections.of(&remote).is_empty();
                if !there {
                    connections.openers.remove(&remote);
                }
                there
            };
            links::keep_open(
                &shared.links,
                remote,
                peer,
                shared.control.clone(),
                &shared.mailbox,
                connected,
            )
            .await;
        });
    }

    fn on_closed(&mut self, peer: &PeerId, id: ConnectionId, left: u32, cause: Option<String>) {
        let Some(remote) = device_of(peer) else {
            return;
        };
        let mut connections = self.shared.connections();
        connections.closed(&remote, id);
        let only_relayed = connections.is_only_relayed(&remote);
        drop(connections);
        if only_relayed {
            let now = self.shared.now_ms();
            self.shared
                .book()
                .only_relayed(&remote, now, rand::random());
        }
        if left == 0 {
            self.on_disconnected(peer, remote, cause);
        }
    }

    fn on_disconnected(&mut self, peer: &PeerId, remote: DeviceKey, cause: Option<String>) {
        let cause = cause.unwrap_or_else(|| "closed".to_owned());
        tracing::debug!("connection to {} is gone: {cause}", remote.short());
        let now = self.shared.now_ms();
        self.shared.book().disconnected(remote, now, rand::random());
        if self.asked_to_dial.remove(peer) {
            self.swarm.behaviour_mut().probe.leave(peer);
        }
    }

    fn on_identified(&mut self, peer: &PeerId, says: &[Multiaddr]) {
        let Some(remote) = device_of(peer) else {
            return;
        };
        let near = match self.shared.connections().of(&remote) {
            [] => return,
            all => all
                .iter()
                .any(|connection| is_loopback(&connection.address)),
        };
        // Somebody else's loopback is not ours.
        let addresses: Vec<Multiaddr> = says
            .iter()
            .filter_map(diallable)
            .filter(|address| near || !is_loopback(address))
            .collect();
        self.shared.book().hear(remote, &addresses);
    }

    fn on_ping(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(rtt) => {
                if let Some(remote) = device_of(&event.peer) {
                    let rtt_ms = (rtt.as_secs_f64() * 1e6).round() / 1e3;
                    let mut connections = self.shared.connections();
                    connections.measured(&remote, event.connection, rtt_ms);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(failure) => {
                tracing::debug!("{} does not answer: {failure}", event.peer);
                self.swarm.close_connection(event.connection);
            }
        }
    }

    /// Somebody shows up in the local network: the core says whether it is anybody's business.
    fn on_noticed(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let lan = &mut self.swarm.behaviour_mut().lan;
        let crowd = lan.as_ref().map_or(0, |lan| lan.discovered_nodes().len());
        if crowd > lan::NOTICED_MAX {
            tracing::warn!(
                "the local network names more than {} peers: it is no longer looked at",
                lan::NOTICED_MAX
            );
            *lan = None.into();
        }
        let found = lan::by_device(found);
        self.noticed.found(&found);
        for (remote, addresses) in found {
            if remote != self.shared.device {
                let addresses = addresses.iter().map(ToString::to_string).collect();
                self.tell_core(Input::Noticed { remote, addresses });
            }
        }
    }
}

/// Where a connection leads, and how: of one that came in through a relay the way is named, since
/// the remote's own address is not known.
fn way_of(endpoint: &ConnectedPoint) -> (Multiaddr, Way) {
    let told = match endpoint {
        ConnectedPoint::Listener { local_addr, .. } if is_circuit(local_addr) => local_addr,
        _ => endpoint.get_remote_address(),
    };
    if is_circuit(told) {
        let address = circuit(told).unwrap_or_else(|| told.clone());
        return (address, Way::Relayed(relay_of(told)));
    }
    (split(told).0, Way::Direct)
}

/// The address of this machine that a direct connection uses.
fn local_ip(endpoint: &ConnectedPoint, remote: &Multiaddr) -> Option<std::net::IpAddr> {
    let told = match endpoint {
        ConnectedPoint::Listener { local_addr, .. } => ip_of(local_addr),
        ConnectedPoint::Dialer { .. } => None,
    };
    let known = told.filter(|ip| !ip.is_unspecified());
    let ip = known.or_else(|| ways::source_to(ip_of(remote)?))?;
    // Without the interface, which an address does not name, nothing can be asked of such a one.
    let interface = matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
    (!interface).then_some(ip)
}

/// What members found, for a person.
fn shown(status: &autonat::NatStatus) -> String {
    match status {
        autonat::NatStatus::Public(address) => format!("reached at {address}"),
        autonat::NatStatus::Private => "not reached".to_owned(),
        autonat::NatStatus::Unknown => "not looked for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::peer_of;
    use super::*;
    use sync_protocol::SecretKey;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("address")
    }

    #[test]
    fn the_relay_is_named_whoever_dialled() {
        let device = SecretKey::from_bytes(&[1; 32]).public();
        let relay = peer_of(&device).expect("a real key");
        let remote = PeerId::random();
        let circuit = address(&format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"));
        let through = Way::Relayed(Some(relay));
        let came_in = ConnectedPoint::Listener {
            local_addr: circuit.clone(),
            send_back_addr: address(&format!("/p2p/{remote}")),
        };
        assert_eq!(way_of(&came_in), (circuit.clone(), through));
        let dialled = |address: Multiaddr| ConnectedPoint::Dialer {
            address,
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::New,
        };
        let named = address(&format!("{circuit}/p2p/{remote}"));
        assert_eq!(way_of(&dialled(named)), (circuit, through));
        let direct = address(&format!("/ip4/192.0.2.1/tcp/1/p2p/{remote}"));
        let expected = (address("/ip4/192.0.2.1/tcp/1"), Way::Direct);
        assert_eq!(way_of(&dialled(direct)), expected);
    }
}
