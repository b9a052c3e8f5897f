//! Asks members to dial back, and does so for others (AutoNAT): whether this peer can be reached.
//!
//! Asked are only members that were dialled in another network, which the swarm's task names. Members
//! that ask are dialled back, only at the IP address from which they came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, autonat::v1 as autonat};

use super::gate::{Gate, Refused};
use super::reachability::{PROBE_AFTER, PROBE_AGAIN, PROBE_RETRY, Verdict};

/// How long an answer may take: the one who is asked dials address after address.
const ANSWER_WAIT: Duration = Duration::from_secs(45);

/// The pause before the same member is asked again.
const SAME_AGAIN: Duration = Duration::from_secs(10);

/// The connection that was dialled back may be seen here after the answer that tells of it.
const SEEN_AFTER: Duration = Duration::from_secs(5);

/// Remotes that are dialled back in [`DIAL_BACK_SPAN`], and how often one of them. Each costs a dial
/// to a few ports of its own address.
const DIAL_BACKS_MAX: usize = 8;
/// See [`DIAL_BACKS_MAX`].
const DIAL_BACKS_PER_REMOTE_MAX: usize = 2;
/// See [`DIAL_BACKS_MAX`].
const DIAL_BACK_SPAN: Duration = Duration::from_secs(10);

/// Ports of one remote that are dialled back.
const DIAL_BACK_ADDRESSES_MAX: usize = 4;

/// AutoNAT without what remotes say about our addresses: it would keep all of that for ever, and ask
/// to be dialled there. And without strangers: only members are dialled back.
pub(super) struct Behaviour {
    inner: autonat::Behaviour,
    gate: Arc<Gate>,
    /// The dial of a stranger that libp2p begins next.
    refused: Option<ConnectionId>,
    /// Who was asked to dial back, and until when that may be seen, once there is an answer.
    asked: BTreeMap<PeerId, Option<Instant>>,
}

impl Behaviour {
    pub(super) fn new(own: PeerId, gate: Arc<Gate>) -> Self {
        let inner = autonat::Behaviour::new(
            own,
            autonat::Config {
                timeout: ANSWER_WAIT,
                boot_delay: PROBE_AFTER,
                refresh_interval: PROBE_AGAIN,
                retry_interval: PROBE_RETRY,
                throttle_server_period: SAME_AGAIN,
                use_connected: false,
                max_peer_addresses: DIAL_BACK_ADDRESSES_MAX,
                throttle_clients_global_max: DIAL_BACKS_MAX,
                throttle_clients_peer_max: DIAL_BACKS_PER_REMOTE_MAX,
                throttle_clients_period: DIAL_BACK_SPAN,
                // Networks with a private range of addresses have routers too.
                only_global_ips: false,
                ..autonat::Config::default()
            },
        );
        Self {
            inner,
            gate,
            refused: None,
            asked: BTreeMap::new(),
        }
    }

    /// Whether a connection that comes in from this one is no more than an answer to our question.
    pub(super) fn is_dialled_back_by(&self, peer: &PeerId) -> bool {
        let asked = self.asked.get(peer);
        asked.is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }

    fn note(&mut self, event: &autonat::OutboundProbeEvent) {
        match event {
            autonat::OutboundProbeEvent::Request { peer, .. } => {
                let now = Instant::now();
                self.asked
                    .retain(|_, until| until.is_none_or(|until| now < until));
                self.asked.insert(*peer, None);
            }
            autonat::OutboundProbeEvent::Response { peer, .. }
            | autonat::OutboundProbeEvent::Error {
                peer: Some(peer), ..
            } => {
                self.asked.insert(*peer, Some(Instant::now() + SEEN_AFTER));
            }
            autonat::OutboundProbeEvent::Error { peer: None, .. } => {}
        }
    }

    /// Where members reached this peer.
    pub(super) fn confirmed(&self) -> Option<Multiaddr> {
        match self.inner.nat_status() {
            autonat::NatStatus::Public(address) => Some(address),
            _ => None,
        }
    }

    /// What members found.
    pub(super) fn verdict(&self) -> Verdict {
        match self.inner.nat_status() {
            autonat::NatStatus::Public(_) => Verdict::Open,
            autonat::NatStatus::Private => Verdict::Shut,
            autonat::NatStatus::Unknown => Verdict::Unknown,
        }
    }

    /// This one may be asked from now on.
    pub(super) fn ask(&mut self, peer: PeerId) {
        self.inner.add_server(peer, None);
    }

    /// This one no longer.
    pub(super) fn leave(&mut self, peer: &PeerId) {
        self.inner.remove_server(peer);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<autonat::Behaviour>;
    type ToSwarm = autonat::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

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

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.refused.take_if(|refused| *refused == id).is_some() {
            return Err(ConnectionDenied::new(Refused::Stranger));
        }
        self.inner
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
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
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
        if let Poll::Ready(ToSwarm::GenerateEvent(autonat::Event::OutboundProbe(event))) = &next {
            self.note(event);
        }
        if let Poll::Ready(ToSwarm::Dial { opts }) = &next
            && !opts
                .get_peer_id()
                .is_some_and(|peer| self.gate.is_member(&peer))
        {
            self.refused = Some(opts.connection_id());
        }
        next
    }
}
