//! Which connections there are, as the transport reports them.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use sync_protocol::DeviceKey;

/// One connection to a remote.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connection {
    pub(super) id: ConnectionId,
    /// The other end.
    pub(super) address: Multiaddr,
    /// Whether the remote dialled, so that the address has a port where it does not listen.
    pub(super) inbound: bool,
    /// The last round trip, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
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

    /// The connections to one remote, the oldest first.
    pub(super) fn of(&self, remote: &DeviceKey) -> &[Connection] {
        self.remotes.get(remote).map_or(&[], Vec::as_slice)
    }

    /// The oldest connection to each remote.
    pub(super) fn first_of_each(&self) -> BTreeMap<DeviceKey, Connection> {
        let all = self.remotes.iter();
        all.filter_map(|(remote, all)| Some((*remote, all.first()?.clone())))
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: DeviceKey = DeviceKey([7; 32]);

    #[test]
    fn when_one_way_is_lost_the_other_is_shown() {
        let connection = |id, address: &str| Connection {
            id: ConnectionId::new_unchecked(id),
            address: address.parse().expect("address"),
            inbound: false,
            rtt_ms: None,
        };
        let mut connections = Connections::default();
        connections.opened(REMOTE, connection(1, "/ip4/10.0.0.1/udp/1/quic-v1"));
        connections.opened(REMOTE, connection(2, "/ip4/10.0.0.1/tcp/1"));
        connections.measured(&REMOTE, ConnectionId::new_unchecked(2), 1.5);
        assert_eq!(connections.of(&REMOTE).len(), 2);
        connections.closed(&REMOTE, ConnectionId::new_unchecked(1));
        let shown = connections
            .first_of_each()
            .remove(&REMOTE)
            .expect("one is left");
        assert_eq!(shown.address.to_string(), "/ip4/10.0.0.1/tcp/1");
        assert_eq!(shown.rtt_ms, Some(1.5));
        connections.closed(&REMOTE, ConnectionId::new_unchecked(2));
        assert!(connections.is_empty());
    }
}
