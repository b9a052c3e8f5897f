//! Holes in routers: two peers that meet through a relay tell each other where others see them, and
//! dial at the same moment, so that each router takes the other's packets for answers (DCUtR).

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, ListenAddresses, NetworkBehaviour,
    NewExternalAddrCandidate, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, dcutr};

use super::diallable::{diallable, is_loopback};
use super::gate::{Gate, Refused};
use super::rate::Portions;

/// Addresses at which a remote may be dialled through its router: as many as libp2p tells of us.
const PLACES_MAX: usize = 20;

/// Dials through routers for one remote: libp2p tries three times, and again on every circuit.
const DIALS_AT_ONCE: u32 = 6;
/// See [`DIALS_AT_ONCE`]: one more each.
const DIAL_EVERY: Duration = Duration::from_secs(30);

/// DCUtR, told where members see this peer, and of both transports: a member sees only the one over
/// which it is met, while a router that keeps ports keeps them for the other too.
///
/// It is not told what identify makes of what anybody says: strangers are believed there, and of a
/// connection through a relay it takes the relay's address for ours. And it dials nobody but members,
/// within bounds: where to is what the remote says.
pub(super) struct Behaviour {
    inner: dcutr::Behaviour,
    listens: ListenAddresses,
    gate: Arc<Gate>,
    /// The dial that libp2p begins next.
    dial: Option<ConnectionId>,
    dials: Portions<PeerId>,
}

impl Behaviour {
    pub(super) fn new(own: PeerId, gate: Arc<Gate>) -> Self {
        Self {
            inner: dcutr::Behaviour::new(own),
            listens: ListenAddresses::default(),
            gate,
            dial: None,
            dials: Portions::new(DIALS_AT_ONCE, DIAL_EVERY),
        }
    }

    /// Whether a remote may be dialled where it says.
    fn may_dial(&mut self, peer: Option<PeerId>, addresses: &[Multiaddr], now: Instant) -> bool {
        let sound = |address: &Multiaddr| diallable(address).is_some() && !is_loopback(address);
        peer.is_some_and(|peer| self.gate.is_member(&peer) && self.dials.take(peer, now))
            && addresses.len() <= PLACES_MAX
            && addresses.iter().all(sound)
    }

    /// A member that is met directly sees this peer here.
    pub(super) fn seen_at(&mut self, seen: &Multiaddr) {
        for addr in &places(seen, self.listens.iter()) {
            let place = NewExternalAddrCandidate { addr };
            self.inner
                .on_swarm_event(FromSwarm::NewExternalAddrCandidate(place));
        }
    }
}

/// Where others may meet us, if one saw us at `seen`: at its IP address with each of our ports. The
/// port of `seen` is the one of a single dial.
fn places<'a>(seen: &Multiaddr, listens: impl Iterator<Item = &'a Multiaddr>) -> Vec<Multiaddr> {
    let Some(ip) = diallable(seen).and_then(|seen| seen.iter().next().map(Protocol::acquire))
    else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for listen in listens.filter(|one| !is_loopback(one)) {
        let same = listen.iter().next().is_some_and(|own| {
            matches!(
                (&own, &ip),
                (Protocol::Ip4(_), Protocol::Ip4(_)) | (Protocol::Ip6(_), Protocol::Ip6(_))
            )
        });
        let Some(bare) = diallable(listen).filter(|_| same) else {
            continue;
        };
        if let Some(place) = bare.replace(0, |_| Some(ip.clone()))
            && !all.contains(&place)
        {
            all.push(place);
        }
    }
    all
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<dcutr::Behaviour>;
    type ToSwarm = dcutr::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.dial.take_if(|dial| *dial == id).is_some()
            && !self.may_dial(peer, addresses, Instant::now())
        {
            return Err(ConnectionDenied::new(Refused::Busy));
        }
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.listens.on_swarm_event(&event);
        if !matches!(event, FromSwarm::NewExternalAddrCandidate(_)) {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let next = self.inner.poll(context);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &next {
            self.dial = Some(opts.connection_id());
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_are_dialled_where_they_say_and_not_for_ever() {
        let member = PeerId::random();
        let gate = Arc::new(Gate::default());
        gate.set_members([member].into());
        let mut holes = Behaviour::new(PeerId::random(), gate);
        let now = Instant::now();
        let place = |n: usize| format!("/ip4/192.0.2.1/tcp/{n}").parse().expect("address");
        let places = |count: usize| (1..=count).map(place).collect::<Vec<Multiaddr>>();
        assert!(!holes.may_dial(Some(PeerId::random()), &places(1), now));
        assert!(!holes.may_dial(None, &places(1), now));
        assert!(holes.may_dial(Some(member), &places(PLACES_MAX), now));
        assert!(!holes.may_dial(Some(member), &places(PLACES_MAX + 1), now));
        let own: Multiaddr = "/ip4/127.0.0.1/tcp/22".parse().expect("address");
        assert!(!holes.may_dial(Some(member), &[own], now));
        let more = (3..DIALS_AT_ONCE).all(|_| holes.may_dial(Some(member), &places(1), now));
        assert!(more && !holes.may_dial(Some(member), &places(1), now));
        assert!(holes.may_dial(Some(member), &places(1), now + DIAL_EVERY));
    }

    #[test]
    fn whoever_is_seen_over_one_transport_may_be_met_over_the_other() {
        let address = |text: &str| text.parse::<Multiaddr>().expect("address");
        let listens = [
            "/ip4/192.168.1.2/tcp/4001",
            "/ip4/127.0.0.1/tcp/4001",
            "/ip4/192.168.1.2/udp/4002/quic-v1",
            "/ip4/10.0.0.2/udp/4002/quic-v1",
            "/ip6/2001:db8::1/tcp/4001",
        ]
        .map(address);
        let seen = address("/ip4/192.0.2.7/tcp/50000");
        assert_eq!(
            places(&seen, listens.iter()),
            [
                address("/ip4/192.0.2.7/tcp/4001"),
                address("/ip4/192.0.2.7/udp/4002/quic-v1")
            ]
        );
        let relay = PeerId::random();
        let through = format!("/ip4/192.0.2.9/tcp/4001/p2p/{relay}/p2p-circuit");
        for nowhere in [through, format!("/p2p/{relay}"), String::new()] {
            assert!(places(&address(&nowhere), listens.iter()).is_empty());
        }
    }
}
