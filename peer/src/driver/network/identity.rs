//! What this peer says of itself to whoever connects (identify): its key, and where it listens.
//!
//! Not the addresses through relays: they name members and where those are, which is nobody else's
//! business. Members read them in signed records.

use std::task::{Context, Poll};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, identify};

use super::diallable::is_circuit;

/// Identify without addresses through relays.
pub(super) struct Behaviour(identify::Behaviour);

impl Behaviour {
    pub(super) fn new(config: identify::Config) -> Self {
        Self(identify::Behaviour::new(config))
    }
}

/// Whether an event tells of one of our addresses that leads through a relay.
fn names_a_relay(event: &FromSwarm<'_>) -> bool {
    match event {
        FromSwarm::NewListenAddr(new) => is_circuit(new.addr),
        FromSwarm::ExpiredListenAddr(old) => is_circuit(old.addr),
        FromSwarm::ExternalAddrConfirmed(new) => is_circuit(new.addr),
        FromSwarm::ExternalAddrExpired(old) => is_circuit(old.addr),
        _ => false,
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<identify::Behaviour>;
    type ToSwarm = identify::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.0
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if !names_a_relay(&event) {
            self.0.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.0.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.0.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::transport::ListenerId;
    use libp2p::swarm::behaviour::{ExternalAddrConfirmed, NewListenAddr};

    #[test]
    fn who_relays_for_this_peer_is_not_told() {
        let relay = PeerId::random();
        let circuit = format!("/ip4/192.0.2.9/tcp/4001/p2p/{relay}/p2p-circuit");
        let circuit: Multiaddr = circuit.parse().expect("address");
        let direct: Multiaddr = "/ip4/192.0.2.9/tcp/4001".parse().expect("address");
        for (addr, told) in [(&circuit, false), (&direct, true)] {
            let listener_id = ListenerId::next();
            let new = FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr });
            let confirmed = FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr });
            assert_eq!([names_a_relay(&new), names_a_relay(&confirmed)], [!told; 2]);
        }
    }
}
