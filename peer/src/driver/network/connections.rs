//! Which connections there are, as the transport reports them. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use sync_protocol::DeviceKey;

/// Milliseconds for which a connection through a relay is kept beside a direct one: the remote has
/// to see the direct one too before it loses the other, or it would dial again.
const BESIDE_MS: u64 = 1_000;

/// Milliseconds within which two direct connections may have been made because both sides dialled,
/// or one over two transports.
const SAME_MOMENT_MS: u64 = 2_000;

/// The same for one through a relay, which is dialled beside a direct dial that is under way.
const SAME_MOMENT_RELAYED_MS: u64 = 15_000;

/// How a connection leads to the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With nobody between.
    Direct,
    /// Through a relay; which one is not known of every connection that comes in.
    Relayed(Option<PeerId>),
}

/// One connection to a remote.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The other end.
    pub(super) address: Multiaddr,
    /// Whether the remote dialled, so that the address has a port where it does not listen.
    pub(super) inbound: bool,
    /// With or without a relay.
    pub(super) way: Way,
    /// It was made while the remote was met through a relay: perhaps through a hole in a router,
    /// where nobody else gets in.
    pub(super) punched: bool,
    /// The address of this machine that it uses; none through a relay.
    pub(super) local: Option<IpAddr>,
    /// Where the remote says it sees us, until that is passed on.
    pub(super) seen_at: Option<Multiaddr>,
    /// Since when it is up, in milliseconds of the peer's clock.
    pub(super) since_ms: u64,
    /// The last round trip, in milliseconds.
    pub(super) rtt_ms: Option<f64>,
}

impl Connection {
    pub(super) fn is_direct(&self) -> bool {
        self.way == Way::Direct
    }
}

/// Who is connected, and for whom a task keeps a link open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    remotes: BTreeMap<DeviceKey, Vec<Connection>>,
    pub(super) openers: BTreeSet<DeviceKey>,
}

impl Connections {
    pub(super) fn opened(&mut self, remote: DeviceKey, connection: Connection) {
        self.remotes.entry(remote).or_default().push(connection);
    }

    pub(super) fn closed(&mut self, remote: &DeviceKey, id: ConnectionId) {
        if let Some(all) = self.remotes.get_mut(remote) {
            all.retain(|connection| connection.id != id);
            if all.is_empty() {
                self.remotes.remove(remote);
            }
        }
    }

    pub(super) fn measured(&mut self, remote: &DeviceKey, id: ConnectionId, rtt_ms: f64) {
        let all = self.remotes.get_mut(remote).into_iter().flatten();
        for connection in all.filter(|connection| connection.id == id) {
            connection.rtt_ms = Some(rtt_ms);
        }
    }

    /// A remote says where it sees us over this connection.
    pub(super) fn seen(&mut self, remote: &DeviceKey, id: ConnectionId, seen_at: &Multiaddr) {
        let all = self.remotes.get_mut(remote).into_iter().flatten();
        for connection in all.filter(|connection| connection.id == id) {
            connection.seen_at = Some(seen_at.clone());
        }
    }

    /// Where those among the remotes that are `believed` see us directly, as far as it is news.
    pub(super) fn take_seen(&mut self, believed: impl Fn(&DeviceKey) -> bool) -> Vec<Multiaddr> {
        let remotes = self.remotes.iter_mut();
        let believed = remotes.filter(|(remote, _)| believed(remote));
        let all = believed.flat_map(|(_, all)| all.iter_mut());
        let direct = all.filter(|one| one.is_direct());
        direct.filter_map(|one| one.seen_at.take()).collect()
    }

    /// The connections to one remote, the oldest first.
    pub(super) fn of(&self, remote: &DeviceKey) -> &[Connection] {
        self.remotes.get(remote).map_or(&[], Vec::as_slice)
    }

    /// The connection to each remote that its link uses: the oldest, a direct one if there is one.
    pub(super) fn best_of_each(&self) -> BTreeMap<DeviceKey, Connection> {
        let best = |all: &Vec<Connection>| {
            let direct = all.iter().find(|one| one.is_direct());
            direct.or(all.first()).cloned()
        };
        let all = self.remotes.iter();
        all.filter_map(|(remote, all)| Some((*remote, best(all)?)))
            .collect()
    }

    /// All connections.
    pub(super) fn all(&self) -> impl Iterator<Item = (&DeviceKey, &Connection)> {
        let all = self.remotes.iter();
        all.flat_map(|(remote, all)| all.iter().map(move |one| (remote, one)))
    }

    /// Whether a remote is connected with nobody between.
    pub(super) fn is_direct(&self, remote: &DeviceKey) -> bool {
        self.of(remote).iter().any(Connection::is_direct)
    }

    /// Whether a remote is connected, and only through relays.
    pub(super) fn is_only_relayed(&self, remote: &DeviceKey) -> bool {
        !self.of(remote).is_empty() && !self.is_direct(remote)
    }

    /// Connections through relays that are no longer needed, since a direct one has been up for long
    /// enough, each with the time from which it is not.
    fn beside(&self) -> impl Iterator<Item = (ConnectionId, u64)> + '_ {
        self.remotes.values().flat_map(|all| {
            let direct = all.iter().filter(|one| one.is_direct());
            let since = direct.map(|one| one.since_ms).min();
            let relayed = all.iter().filter(|one| !one.is_direct());
            relayed.filter_map(move |one| Some((one.id, since? + BESIDE_MS)))
        })
    }

    /// Connections through relays that are to be closed now.
    pub(super) fn superseded(&self, now_ms: u64) -> Vec<ConnectionId> {
        let due = self.beside().filter(|(_, at)| *at <= now_ms);
        due.map(|(id, _)| id).collect()
    }

    /// Connections that the remote no longer has, since it dialled this one: it dials directly only if
    /// nothing direct leads here, and through a relay only if nothing does. A device that restarted or
    /// moved cannot close its old connections, and silence on them takes half a minute to be noticed.
    pub(super) fn lost_before(&self, remote: &DeviceKey, id: ConnectionId) -> Vec<ConnectionId> {
        let all = self.of(remote);
        let Some(new) = all.iter().find(|one| one.id == id && one.inbound) else {
            return Vec::new();
        };
        let moment = match new.is_direct() {
            true => SAME_MOMENT_MS,
            false => SAME_MOMENT_RELAYED_MS,
        };
        let older = all.iter().filter(|one| {
            let beside = new.is_direct() && !one.is_direct();
            one.id != id && !beside && one.since_ms.saturating_add(moment) <= new.since_ms
        });
        older.map(|one| one.id).collect()
    }

    /// When the next connection through a relay is to be closed.
    pub(super) fn next_superseded(&self) -> Option<u64> {
        self.beside().map(|(_, at)| at).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: DeviceKey = DeviceKey([7; 32]);

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn connection(n: usize, address: &str, way: Way, since_ms: u64) -> Connection {
        Connection {
            id: id(n),
            address: address.parse().expect("address"),
            inbound: false,
            way,
            punched: false,
            local: None,
            seen_at: None,
            since_ms,
            rtt_ms: None,
        }
    }

    fn shown(connections: &Connections) -> Connection {
        let mut all = connections.best_of_each();
        all.remove(&REMOTE).expect("it is connected")
    }

    #[test]
    fn when_one_way_is_lost_the_other_is_shown() {
        let mut connections = Connections::default();
        let quic = connection(1, "/ip4/10.0.0.1/udp/1/quic-v1", Way::Direct, 0);
        connections.opened(REMOTE, quic);
        connections.opened(REMOTE, connection(2, "/ip4/10.0.0.1/tcp/1", Way::Direct, 0));
        connections.measured(&REMOTE, id(2), 1.5);
        assert_eq!(connections.of(&REMOTE).len(), 2);
        connections.closed(&REMOTE, id(1));
        let shown = shown(&connections);
        assert_eq!(shown.address.to_string(), "/ip4/10.0.0.1/tcp/1");
        assert_eq!(shown.rtt_ms, Some(1.5));
        connections.closed(&REMOTE, id(2));
        assert!(connections.is_empty());
    }

    #[test]
    fn only_members_that_are_met_directly_are_believed_and_once() {
        let mut connections = Connections::default();
        let other = DeviceKey([8; 32]);
        let seen: Multiaddr = "/ip4/192.0.2.7/tcp/1".parse().expect("address");
        let open = |n, way| connection(n, "/ip4/10.0.0.1/tcp/1", way, 0);
        connections.opened(REMOTE, open(1, Way::Direct));
        connections.opened(REMOTE, open(2, Way::Relayed(None)));
        connections.opened(other, open(3, Way::Direct));
        for (remote, n) in [(REMOTE, 1), (REMOTE, 2), (other, 3)] {
            connections.seen(&remote, id(n), &seen);
        }
        assert!(connections.take_seen(|_| false).is_empty());
        let members = |remote: &DeviceKey| *remote == REMOTE;
        assert_eq!(
            connections.take_seen(members),
            std::slice::from_ref(&seen),
            "also when it became one after it said so"
        );
        assert!(connections.take_seen(members).is_empty());
    }

    #[test]
    fn a_relay_is_given_up_a_while_after_the_direct_way_is_there() {
        let mut connections = Connections::default();
        connections.opened(REMOTE, connection(1, "", Way::Relayed(None), 100));
        assert!(connections.is_only_relayed(&REMOTE));
        assert_eq!(connections.next_superseded(), None, "it is the only way");
        let direct = connection(2, "/ip4/10.0.0.1/tcp/1", Way::Direct, 5_000);
        connections.opened(REMOTE, direct);
        assert!(!connections.is_only_relayed(&REMOTE));
        assert_eq!(shown(&connections).id, id(2));
        assert_eq!(connections.next_superseded(), Some(5_000 + BESIDE_MS));
        assert!(connections.superseded(5_000 + BESIDE_MS - 1).is_empty());
        assert_eq!(connections.superseded(5_000 + BESIDE_MS), [id(1)]);
        connections.closed(&REMOTE, id(2));
        assert!(connections.is_only_relayed(&REMOTE));
        assert!(connections.superseded(u64::MAX).is_empty());
    }

    #[test]
    fn who_dials_again_has_lost_what_it_had() {
        let mut connections = Connections::default();
        let inbound = |n, way, since_ms| Connection {
            inbound: true,
            ..connection(n, "", way, since_ms)
        };
        let relayed = Way::Relayed(None);
        connections.opened(REMOTE, connection(1, "", Way::Direct, 0));
        connections.opened(REMOTE, inbound(2, Way::Direct, SAME_MOMENT_MS - 1));
        assert!(
            connections.lost_before(&REMOTE, id(2)).is_empty(),
            "both dialled at the same moment"
        );
        connections.opened(REMOTE, connection(3, "", Way::Direct, 60_000));
        assert!(
            connections.lost_before(&REMOTE, id(3)).is_empty(),
            "what we dialled says nothing of the remote"
        );
        connections.opened(REMOTE, inbound(4, relayed, 60_000));
        assert_eq!(connections.lost_before(&REMOTE, id(4)), [id(1), id(2)]);
        connections.opened(REMOTE, inbound(5, Way::Direct, 62_000));
        assert_eq!(
            connections.lost_before(&REMOTE, id(5)),
            [id(1), id(2), id(3)],
            "a direct one is dialled beside one through a relay"
        );
    }
}
