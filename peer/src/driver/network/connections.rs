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

/// A connection that is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) remote: DeviceKey,
    pub(super) id: ConnectionId,
    /// The remote has it no longer, so that a link over it is dead.
    pub(super) lost: bool,
    /// From when on, in milliseconds of the peer's clock.
    at_ms: u64,
}

/// One connection to a remote.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The other end.
    pub(super) address: Multiaddr,
    /// Whether the remote dialled, so that the address has a port where it does not listen.
    pub(super) inbound: bool,
    /// The remote dialled because it was asked whether it can (AutoNAT), beside what it has.
    pub(super) dialled_back: bool,
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

    /// From when on this connection shows that the remote has lost an older one; never: nothing.
    fn shows_lost_ms(&self, older: &Connection) -> Option<u64> {
        let dialled = self.inbound && !self.dialled_back;
        // Of two of the same millisecond the later number is the newer one.
        if !dialled || (older.since_ms, older.id) >= (self.since_ms, self.id) {
            return None;
        }
        match (self.way, older.way) {
            (Way::Direct, Way::Relayed(_)) => None,
            (Way::Direct, Way::Direct) if older.since_ms + SAME_MOMENT_MS <= self.since_ms => {
                Some(self.since_ms)
            }
            // Both came from there: one of them goes at once, if they are from one dial.
            (Way::Direct, Way::Direct) => {
                let both = older.inbound && !older.dialled_back;
                both.then_some(self.since_ms + SAME_MOMENT_MS)
            }
            (Way::Relayed(_), _) => {
                let moment = SAME_MOMENT_RELAYED_MS;
                (older.since_ms + moment <= self.since_ms).then_some(self.since_ms)
            }
        }
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

    /// The connection to each remote that is shown: the oldest, a direct one if there is one.
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

    /// Connections that are to be closed, each from when on.
    ///
    /// Through a relay: a while after a direct one is up. And those that the remote no longer has, since
    /// it dialled anew: it dials directly only if nothing direct leads here, and through a relay only if
    /// nothing does. A device that restarted or moved cannot close what it had, and silence on it takes
    /// half a minute to be noticed.
    fn over(&self) -> impl Iterator<Item = Over> + '_ {
        self.remotes.iter().flat_map(|(remote, all)| {
            let lost = |one: &Connection| all.iter().filter_map(|new| new.shows_lost_ms(one)).min();
            // One that is lost is not up.
            let up = all
                .iter()
                .filter(|one| one.is_direct() && lost(one).is_none());
            let direct_ms = up.map(|one| one.since_ms).min();
            let ends = move |one: &Connection| {
                let beside = direct_ms.filter(|_| !one.is_direct());
                let beside = beside.map(|since| since + BESIDE_MS);
                let (at_ms, lost) = match (beside, lost(one)) {
                    (Some(beside), Some(lost)) => (beside.min(lost), lost <= beside),
                    (Some(at), None) => (at, false),
                    (None, Some(at)) => (at, true),
                    (None, None) => return None,
                };
                Some(Over {
                    remote: *remote,
                    id: one.id,
                    lost,
                    at_ms,
                })
            };
            all.iter().filter_map(ends)
        })
    }

    /// Connections that are to be closed now. They count no longer.
    pub(super) fn take_over(&mut self, now_ms: u64) -> Vec<Over> {
        let due: Vec<Over> = self.over().filter(|one| one.at_ms <= now_ms).collect();
        for one in &due {
            self.closed(&one.remote, one.id);
        }
        due
    }

    /// When the next connection is to be closed.
    pub(super) fn next_over(&self) -> Option<u64> {
        self.over().map(|one| one.at_ms).min()
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
            dialled_back: false,
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
        assert_eq!(connections.next_over(), None, "it is the only way");
        let direct = connection(2, "/ip4/10.0.0.1/tcp/1", Way::Direct, 5_000);
        connections.opened(REMOTE, direct);
        assert!(!connections.is_only_relayed(&REMOTE));
        assert_eq!(shown(&connections).id, id(2));
        assert_eq!(connections.next_over(), Some(5_000 + BESIDE_MS));
        assert!(connections.take_over(5_000 + BESIDE_MS - 1).is_empty());
        assert_eq!(over(&mut connections, 5_000 + BESIDE_MS), [(id(1), false)]);
        connections.opened(REMOTE, connection(3, "", Way::Relayed(None), 100));
        connections.closed(&REMOTE, id(2));
        assert!(connections.is_only_relayed(&REMOTE));
        assert!(connections.take_over(u64::MAX).is_empty());
    }

    fn over(connections: &mut Connections, now_ms: u64) -> Vec<(ConnectionId, bool)> {
        let over = connections.take_over(now_ms);
        over.iter().map(|one| (one.id, one.lost)).collect()
    }

    fn inbound(n: usize, way: Way, since_ms: u64) -> Connection {
        Connection {
            inbound: true,
            ..connection(n, "", way, since_ms)
        }
    }

    #[test]
    fn who_dials_again_has_lost_what_it_had() {
        let mut connections = Connections::default();
        connections.opened(REMOTE, connection(1, "", Way::Direct, 0));
        connections.opened(REMOTE, connection(2, "", Way::Direct, 60_000));
        assert!(
            over(&mut connections, u64::MAX).is_empty(),
            "what we dialled says nothing of the remote"
        );
        let back = Connection {
            dialled_back: true,
            ..inbound(3, Way::Direct, 61_000)
        };
        connections.opened(REMOTE, back);
        assert!(
            over(&mut connections, u64::MAX).is_empty(),
            "nor does what it dialled because it was asked"
        );
        connections.opened(REMOTE, inbound(4, Way::Direct, 64_000));
        assert_eq!(
            over(&mut connections, 64_000),
            [1, 2, 3].map(|n| (id(n), true))
        );
        assert_eq!(connections.of(&REMOTE).len(), 1, "they count no longer");
    }

    #[test]
    fn both_may_dial_at_the_same_moment() {
        let mut connections = Connections::default();
        let soon = SAME_MOMENT_MS - 1;
        connections.opened(REMOTE, connection(1, "", Way::Direct, 0));
        connections.opened(REMOTE, inbound(2, Way::Direct, soon));
        assert!(over(&mut connections, u64::MAX).is_empty());
        // Of two that come in at once the one that stays is not known before the other is gone.
        connections.opened(REMOTE, inbound(3, Way::Direct, 2 * soon));
        assert_eq!(over(&mut connections, 2 * soon), [(id(1), true)]);
        let settled = 2 * soon + SAME_MOMENT_MS;
        assert_eq!(connections.next_over(), Some(settled));
        assert!(over(&mut connections, settled - 1).is_empty());
        assert_eq!(over(&mut connections, settled), [(id(2), true)]);
    }

    #[test]
    fn of_two_in_the_same_millisecond_one_stays() {
        let mut connections = Connections::default();
        connections.opened(REMOTE, inbound(1, Way::Direct, 0));
        connections.opened(REMOTE, inbound(2, Way::Direct, 0));
        assert_eq!(over(&mut connections, u64::MAX), [(id(1), true)]);
    }

    #[test]
    fn a_relay_is_dialled_only_when_nothing_else_leads_here() {
        let mut connections = Connections::default();
        connections.opened(REMOTE, inbound(1, Way::Direct, 0));
        let late = SAME_MOMENT_RELAYED_MS;
        connections.opened(REMOTE, inbound(2, Way::Relayed(None), late));
        assert_eq!(over(&mut connections, late), [(id(1), true)]);
        assert!(connections.is_only_relayed(&REMOTE));
        // What comes in directly while a direct dial was still under way is no sign.
        connections.opened(REMOTE, inbound(3, Way::Direct, late + 10));
        assert_eq!(connections.next_over(), Some(late + 10 + BESIDE_MS));
        assert_eq!(over(&mut connections, u64::MAX), [(id(2), false)]);
    }
}
