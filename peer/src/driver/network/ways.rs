//! Which address of this machine leads to others, so that a change of networks is noticed at once
//! and not when answers stay away.
//!
//! The routing table is asked by connecting a UDP socket, which sends nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Places of others that are looked at. More would tell no more: a machine has a few networks.
pub(super) const TARGETS_MAX: usize = 16;

/// Any port: only the route is asked for.
const SOME_PORT: u16 = 9;

/// The address of this machine from which packets to `remote` go; nothing if none leads there.
pub(super) fn source_to(remote: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match remote {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((remote, SOME_PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether this machine has an address.
pub(super) fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// What was seen the last time.
#[derive(Debug, Default)]
pub(super) struct Ways {
    sources: BTreeMap<IpAddr, Option<IpAddr>>,
}

impl Ways {
    /// Takes what is seen now. True: a way goes out elsewhere than before, or no longer, or again.
    /// Places that were not looked at before say nothing.
    pub(super) fn changed(&mut self, seen: BTreeMap<IpAddr, Option<IpAddr>>) -> bool {
        let changed = seen.iter().any(|(target, source)| {
            let before = self.sources.get(target);
            before.is_some_and(|before| before != source)
        });
        self.sources = seen;
        changed
    }

    /// Whether any of the places can be reached from this machine; true if there are none.
    pub(super) fn lead_out(&self) -> bool {
        self.sources.is_empty() || self.sources.values().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn another_source_is_a_change_and_another_place_is_none() {
        let mut ways = Ways::default();
        assert!(ways.lead_out(), "nothing to reach");
        assert!(!ways.changed(BTreeMap::from([(ip(1), Some(ip(7)))])));
        assert!(!ways.changed(BTreeMap::from([(ip(1), Some(ip(7))), (ip(2), Some(ip(7)))])));
        assert!(ways.changed(BTreeMap::from([(ip(1), Some(ip(8))), (ip(2), Some(ip(7)))])));
        assert!(ways.changed(BTreeMap::from([(ip(1), None), (ip(2), None)])));
        assert!(!ways.lead_out());
        assert!(!ways.changed(BTreeMap::from([(ip(1), None)])), "still away");
        assert!(ways.changed(BTreeMap::from([(ip(1), Some(ip(8)))])));
        assert!(ways.lead_out());
    }

    #[test]
    fn this_machine_reaches_itself_and_has_not_the_address_of_others() {
        let own = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source_to(own), Some(own));
        assert!(is_ours(own));
        // Reserved for documentation: no machine has it.
        assert!(!is_ours(IpAddr::from([192, 0, 2, 1])));
    }
}
