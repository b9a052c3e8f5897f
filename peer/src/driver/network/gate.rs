//! The door of the network: shut while the person has switched the network off, shut to those who
//! misbehaved for a while, and narrow for strangers, so that a crowd of them leaves the members
//! their room.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::keys::device_of;

/// Remotes remembered as misbehaving. A device key costs nothing, so the ban that ends first gives
/// way.
const BANS_MAX: usize = 1_024;

/// Connections that strangers opened, all told. Somebody who joins needs one for some seconds.
const STRANGERS_MAX: usize = 64;

/// Connections that strangers opened from one address: a household behind one router.
const STRANGERS_PER_IP_MAX: usize = 16;

/// How long a stranger may stay. Whoever is admitted meanwhile no longer is one, and who needs
/// longer comes again.
const STRANGER_STAY: Duration = Duration::from_secs(60);

/// Connections being set up by remotes, all told. Until the handshake nobody knows whose they are.
const PENDING_MAX: usize = 64;

/// Connections being set up from one address.
const PENDING_PER_IP_MAX: usize = 16;

/// The same for addresses from which a member came before, beyond [`PENDING_MAX`]: the room that a
/// crowd cannot take.
const PENDING_RESERVED: usize = 32;

/// Addresses remembered from which members came.
const MEMBER_IPS_MAX: usize = 1_024;

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// By the person.
    #[error("the network is switched off")]
    Off,
    /// By its own doing.
    #[error("the remote misbehaved a while ago")]
    Banned,
    /// Only ed25519 keys name devices.
    #[error("the remote's key is not ed25519")]
    NotADevice,
    /// There are enough of its kind.
    #[error("too many strangers are connected")]
    Crowded,
    /// What is done for members alone.
    #[error("this is done for members only")]
    Stranger,
    /// There are enough handshakes under way.
    #[error("too many connections are being set up")]
    Busy,
}

/// A connection that a remote opened.
#[derive(Clone, Copy, Debug)]
struct Inbound {
    peer: PeerId,
    ip: Option<IpAddr>,
    since: Instant,
}

/// Who is inside, and who knocks.
#[derive(Debug, Default)]
struct Inside {
    bans: BTreeMap<PeerId, Instant>,
    members: BTreeSet<PeerId>,
    member_ips: BTreeSet<IpAddr>,
    /// Connections that remotes opened.
    inbound: BTreeMap<ConnectionId, Inbound>,
    /// Handshakes that remotes began.
    pending: BTreeMap<ConnectionId, Option<IpAddr>>,
}

impl Inside {
    /// Connections that were opened by who is no member.
    fn strangers(&self) -> impl Iterator<Item = (&ConnectionId, &Inbound)> {
        self.inbound
            .iter()
            .filter(|(_, one)| !self.members.contains(&one.peer))
    }
}

/// Whether the door is open, and for whom not.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    off: AtomicBool,
    inside: Mutex<Inside>,
}

impl Gate {
    /// Whether connections are allowed at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.off.load(Ordering::SeqCst)
    }

    /// Allows connections, or none.
    pub(crate) fn set_on(&self, on: bool) {
        self.off.store(!on, Ordering::SeqCst);
    }

    /// Keeps a remote outside until a time.
    pub(crate) fn ban(&self, peer: PeerId, until: Instant, now: Instant) {
        let mut inside = self.inside();
        inside.bans.retain(|_, until| *until > now);
        if inside.bans.len() >= BANS_MAX
            && let Some(first) = inside
                .bans
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer)
        {
            inside.bans.remove(&first);
        }
        inside.bans.insert(peer, until);
    }

    /// These are the members; everybody else is a stranger.
    pub(crate) fn set_members(&self, members: BTreeSet<PeerId>) {
        self.inside().members = members;
    }

    /// Whether a connection with this remote is allowed.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admits(&self, peer: &PeerId, now: Instant) -> Result<(), Refused> {
        if !self.is_on() {
            return Err(Refused::Off);
        }
        if device_of(peer).is_none() {
            return Err(Refused::NotADevice);
        }
        match self.inside().bans.get(peer) {
            Some(until) if *until > now => Err(Refused::Banned),
            _ => Ok(()),
        }
    }

    /// Whether a remote may have a slot here, or a circuit through here: members only, and of those
    /// none that is kept outside. Asked anew each time, so that whoever is removed has no more.
    pub(super) fn relays_for(&self, peer: &PeerId, now: Instant) -> bool {
        self.is_member(peer) && self.admits(peer, now).is_ok()
    }

    /// Whether a remote is a member of a database that is held here.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.inside().members.contains(peer)
    }

    /// Whether one more remote may begin a handshake; then it is counted.
    fn knocks(&self, id: ConnectionId, ip: Option<IpAddr>) -> Result<(), Refused> {
        let mut inside = self.inside();
        let from_there = inside
            .pending
            .values()
            .filter(|other| **other == ip)
            .count();
        let known = ip.is_some_and(|ip| inside.member_ips.contains(&ip));
        let room = PENDING_MAX + if known { PENDING_RESERVED } else { 0 };
        if inside.pending.len() >= room || (from_there >= PENDING_PER_IP_MAX && !known) {
            return Err(Refused::Busy);
        }
        inside.pending.insert(id, ip);
        Ok(())
    }

    /// Whether there is room for one more connection that this remote opened.
    fn has_room_for(&self, peer: &PeerId, ip: Option<IpAddr>) -> Result<(), Refused> {
        let inside = self.inside();
        if inside.members.contains(peer) {
            return Ok(());
        }
        let from_there = inside.strangers().filter(|(_, one)| one.ip == ip).count();
        if inside.strangers().count() >= STRANGERS_MAX || from_there >= STRANGERS_PER_IP_MAX {
            return Err(Refused::Crowded);
        }
        Ok(())
    }

    fn entered(&self, id: ConnectionId, peer: PeerId, ip: Option<IpAddr>, now: Instant) {
        let mut inside = self.inside();
        inside.pending.remove(&id);
        if inside.members.contains(&peer)
            && let Some(ip) = ip
        {
            if inside.member_ips.len() >= MEMBER_IPS_MAX {
                inside.member_ips.pop_first();
            }
            inside.member_ips.insert(ip);
        }
        let since = now;
        inside.inbound.insert(id, Inbound { peer, ip, since });
    }

    fn left(&self, id: ConnectionId) {
        let mut inside = self.inside();
        inside.pending.remove(&id);
        inside.inbound.remove(&id);
    }

    /// Connections of strangers that have stayed long enough.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<ConnectionId> {
        let inside = self.inside();
        inside
            .strangers()
            .filter(|(_, one)| one.since + STRANGER_STAY <= now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// When the first of the strangers will have stayed long enough; without strangers: `None`.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        let inside = self.inside();
        inside
            .strangers()
            .map(|(_, one)| one.since + STRANGER_STAY)
            .min()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a remote comes from: its IP address; through relays nowhere, which counts as one address.
fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        // A network of IPv6 gives everybody in it more addresses than there are peers.
        Protocol::Ip6(ip) => {
            let network = u128::from(ip) & !u128::from(u64::MAX);
            Some(IpAddr::V6(network.into()))
        }
        _ => None,
    }
}

/// The gate as libp2p asks it.
pub(super) struct Behaviour(pub(super) Arc<Gate>);

impl Behaviour {
    fn check(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.0
            .admits(peer, Instant::now())
            .map(|()| dummy::ConnectionHandler)
            .map_err(ConnectionDenied::new)
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if !self.0.is_on() {
            return Err(ConnectionDenied::new(Refused::Off));
        }
        self.0
            .knocks(id, ip_of(remote))
            .map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self.check(&peer)?;
        self.0
            .has_room_for(&peer, ip_of(remote))
            .map_err(ConnectionDenied::new)?;
        Ok(handler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer {
            Some(peer) => self.check(&peer).map(|_| Vec::new()),
            None if self.0.is_on() => Ok(Vec::new()),
            None => Err(ConnectionDenied::new(Refused::Off)),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) if new.endpoint.is_listener() => {
                let ip = ip_of(new.endpoint.get_remote_address());
                self.0
                    .entered(new.connection_id, new.peer_id, ip, Instant::now());
            }
            FromSwarm::ConnectionClosed(old) => self.0.left(old.connection_id),
            FromSwarm::ListenFailure(failed) => self.0.left(failed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::peer_of;
    use super::*;
    use sync_protocol::SecretKey;

    fn peer(n: usize) -> PeerId {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        peer_of(&SecretKey::from_bytes(&seed).public()).expect("a real key")
    }

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn ip(n: usize) -> Option<IpAddr> {
        let [.., c, d] = n.to_be_bytes();
        Some(IpAddr::from([10, 0, c, d]))
    }

    #[test]
    fn off_refuses_everybody_and_a_ban_ends() {
        let gate = Gate::default();
        let now = Instant::now();
        assert_eq!(gate.admits(&peer(1), now), Ok(()));
        gate.set_on(false);
        assert_eq!(gate.admits(&peer(1), now), Err(Refused::Off));
        gate.set_on(true);
        let until = now + Duration::from_secs(60);
        gate.ban(peer(1), until, now);
        assert_eq!(gate.admits(&peer(1), now), Err(Refused::Banned));
        assert_eq!(gate.admits(&peer(1), until), Ok(()));
        assert_eq!(
            gate.admits(&PeerId::random(), now),
            Err(Refused::NotADevice)
        );
        for n in 0..2 * BANS_MAX {
            gate.ban(peer(n), until, now);
        }
        assert_eq!(gate.inside().bans.len(), BANS_MAX);
    }

    #[test]
    fn a_crowd_of_strangers_leaves_members_their_room() {
        let gate = Gate::default();
        let now = Instant::now();
        gate.set_members(BTreeSet::from([peer(0)]));
        let mut inside = 0;
        for n in 1..1_000 {
            if gate.has_room_for(&peer(n), ip(n)).is_ok() {
                gate.entered(id(n), peer(n), ip(n), now);
                inside += 1;
            }
        }
        assert_eq!(inside, STRANGERS_MAX);
        assert_eq!(gate.has_room_for(&peer(0), ip(0)), Ok(()));
        gate.set_members(BTreeSet::from([peer(1)]));
        assert_eq!(
            gate.has_room_for(&peer(2_000), ip(0)),
            Ok(()),
            "one was admitted"
        );
        assert!(gate.overdue(now).is_empty());
        assert_eq!(gate.next_overdue(), Some(now + STRANGER_STAY));
        let overdue = gate.overdue(now + STRANGER_STAY);
        assert_eq!(overdue.len(), STRANGERS_MAX - 1);
        gate.left(overdue[0]);
        assert_eq!(gate.overdue(now + STRANGER_STAY).len(), STRANGERS_MAX - 2);
    }

    #[test]
    fn one_address_cannot_take_all_places_of_strangers() {
        let gate = Gate::default();
        let entered = (0..100).filter(|n| {
            let room = gate.has_room_for(&peer(*n), ip(7)).is_ok();
            if room {
                gate.entered(id(*n), peer(*n), ip(7), Instant::now());
            }
            room
        });
        assert_eq!(entered.count(), STRANGERS_PER_IP_MAX);
        assert_eq!(gate.has_room_for(&peer(200), ip(8)), Ok(()));
    }

    #[test]
    fn handshakes_are_few_and_where_members_came_from_has_its_own() {
        let gate = Gate::default();
        gate.set_members(BTreeSet::from([peer(0)]));
        gate.entered(id(0), peer(0), ip(0), Instant::now());
        let begun = |from: std::ops::Range<usize>, at: usize| {
            from.filter(|n| gate.knocks(id(*n), ip(at)).is_ok()).count()
        };
        assert_eq!(begun(1..100, 1), PENDING_PER_IP_MAX);
        for at in 2..10 {
            begun(100 * at..100 * at + 50, at);
        }
        assert_eq!(gate.knocks(id(2_000), ip(11)), Err(Refused::Busy));
        assert_eq!(begun(3_000..3_100, 0), PENDING_RESERVED);
        gate.left(id(1));
        assert_eq!(
            gate.inside().pending.len(),
            PENDING_MAX + PENDING_RESERVED - 1
        );
    }

    #[test]
    fn only_members_that_are_admitted_are_relayed_for() {
        let gate = Gate::default();
        let now = Instant::now();
        assert!(!gate.relays_for(&peer(1), now), "a stranger");
        gate.set_members(BTreeSet::from([peer(1), peer(2)]));
        assert!(gate.relays_for(&peer(1), now));
        gate.ban(peer(1), now + Duration::from_secs(60), now);
        assert!(!gate.relays_for(&peer(1), now), "kept outside");
        assert!(gate.relays_for(&peer(2), now));
        gate.set_on(false);
        assert!(!gate.relays_for(&peer(2), now), "switched off");
        gate.set_on(true);
        gate.set_members(BTreeSet::new());
        assert!(!gate.relays_for(&peer(2), now), "removed");
    }

    #[test]
    fn whoever_comes_through_relays_is_counted_as_from_one_address() {
        let gate = Gate::default();
        let through = format!("/p2p/{}", peer(1)).parse().expect("address");
        let begun = (0..100).filter(|n| gate.knocks(id(*n), ip_of(&through)).is_ok());
        assert_eq!(begun.count(), PENDING_PER_IP_MAX);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| ip_of(&text.parse().expect("address"));
        assert_eq!(
            of("/ip6/2001:db8::1/tcp/1"),
            of("/ip6/2001:db8::ffff/udp/1/quic-v1")
        );
        assert_ne!(
            of("/ip6/2001:db8::1/tcp/1"),
            of("/ip6/2001:db8:0:1::1/tcp/1")
        );
    }
}
