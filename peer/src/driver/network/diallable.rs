//! Which of the addresses that others give can be dialled, and how many of them are kept.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::keys::device_of;

/// Addresses kept for one remote: a machine has a few interfaces, each with two transports, and
/// moves now and then. All that are direct are tried at once.
pub(super) const ADDRESSES_MAX: usize = 16;

/// Addresses among them that lead through a relay: two relays, each perhaps under two addresses.
pub(super) const CIRCUITS_MAX: usize = 4;

/// Bytes of an address's text; the longest of our shapes, through a relay, takes less than 160.
const ADDRESS_BYTES_MAX: usize = 256;

/// The addresses among these texts that we can dial, directly or through a relay, without the
/// remote's own `/p2p/…`.
pub(super) fn parse_all(texts: &[String]) -> Vec<Multiaddr> {
    let all: Vec<Multiaddr> = texts
        .iter()
        .filter(|text| text.len() <= ADDRESS_BYTES_MAX)
        .filter_map(|text| text.parse::<Multiaddr>().ok())
        .filter_map(|address| diallable(&address).or_else(|| circuit(&address)))
        .collect();
    bounded(all)
}

/// As many of these addresses as are kept of one remote, those through relays last.
pub(super) fn bounded(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let (mut circuits, mut direct): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_circuit);
    circuits.truncate(CIRCUITS_MAX);
    direct.truncate(ADDRESSES_MAX - circuits.len());
    direct.append(&mut circuits);
    direct
}

/// Whether an address leads through a relay.
pub(super) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The relay in an address that leads through one.
pub(super) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let before = address
        .iter()
        .take_while(|part| *part != Protocol::P2pCircuit);
    before
        .filter_map(|part| match part {
            Protocol::P2p(relay) => Some(relay),
            _ => None,
        })
        .last()
        .filter(|_| is_circuit(address))
}

/// The address `…/p2p/RELAY/p2p-circuit` without the remote's `/p2p/…`, if it leads through one
/// relay that can be dialled and has a device's key.
pub(super) fn circuit(address: &Multiaddr) -> Option<Multiaddr> {
    let relay = relay_of(address).filter(|relay| device_of(relay).is_some())?;
    let to_relay: Multiaddr = address
        .iter()
        .take_while(|part| *part != Protocol::P2pCircuit)
        .collect();
    let ends = diallable(&to_relay)?
        .with(Protocol::P2p(relay))
        .with(Protocol::P2pCircuit);
    let rest = address.iter().skip(ends.iter().count());
    let only_remote = rest
        .enumerate()
        .all(|(at, part)| at == 0 && matches!(part, Protocol::P2p(_)));
    only_remote.then_some(ends)
}

/// The IP address in an address of our shapes.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

/// Whether two addresses look as if they were in one network: the first 24 bits of IPv4 are equal,
/// or the first 64 of IPv6. Routers and masks are not asked; it decides only what is preferred.
pub(super) fn is_near(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.octets()[..8] == other.octets()[..8],
        _ => false,
    }
}

/// The address without `/p2p/…`, if it is one we can dial: an IP address and a port of TCP or QUIC.
pub(super) fn diallable(address: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let specified = match parts.next()? {
        Protocol::Ip4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        Protocol::Ip6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        _ => false,
    };
    let (len, transport) = match parts.next()? {
        Protocol::Tcp(port) => (2, port != 0),
        Protocol::Udp(port) => (3, port != 0 && parts.next() == Some(Protocol::QuicV1)),
        _ => (2, false),
    };
    let end = matches!(
        (parts.next(), parts.next()),
        (None | Some(Protocol::P2p(_)), None)
    );
    (specified && transport && end).then(|| address.iter().take(len).collect())
}

/// Whether an address means the machine itself.
pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    ip_of(address).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}")
            .parse()
            .expect("address")
    }

    #[test]
    fn only_ip_with_tcp_or_quic_is_dialled() {
        let texts = [
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/192.0.2.1/tcp/0",
            "/dns4/example.com/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            "/ip4/192.0.2.1/udp/0/quic-v1",
            "/ip4/192.0.2.1/udp/1",
            "/ip4/192.0.2.1/tcp/1/quic-v1",
            "nonsense",
        ]
        .map(str::to_owned);
        let quic = texts[4].parse().expect("address");
        assert_eq!(parse_all(&texts), [address(1), quic]);
    }
    fn relay() -> PeerId {
        let device = sync_protocol::SecretKey::from_bytes(&[3; 32]).public();
        super::super::keys::peer_of(&device).expect("a real key")
    }

    #[test]
    fn an_address_through_one_relay_is_dialled_too() {
        let through: Multiaddr = format!("/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit", relay())
            .parse()
            .expect("address");
        let remote = PeerId::random();
        for end in [String::new(), format!("/p2p/{remote}")] {
            let text = format!("{through}{end}");
            let address = text.parse().expect("address");
            assert_eq!(circuit(&address), Some(through.clone()), "{text}");
            assert_eq!(relay_of(&address), Some(relay()));
            assert_eq!(parse_all(&[text]), std::slice::from_ref(&through));
            assert_eq!(diallable(&address), None);
        }
        for bad in [
            "/ip4/192.0.2.1/tcp/1".to_owned(),
            "/ip4/192.0.2.1/tcp/1/p2p-circuit".to_owned(),
            format!("/p2p/{}/p2p-circuit", relay()),
            format!("/dns4/a/tcp/1/p2p/{}/p2p-circuit", relay()),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{remote}/p2p-circuit"),
            format!("{through}/ip4/192.0.2.1/tcp/1"),
            format!("{through}/p2p/{remote}/p2p-circuit"),
            format!("{through}/p2p/{remote}/p2p/{remote}"),
        ] {
            assert_eq!(circuit(&bad.parse().expect("address")), None, "{bad}");
        }
    }

    #[test]
    fn direct_addresses_leave_room_for_those_through_relays() {
        let through = |port| {
            format!("/ip4/192.0.2.1/tcp/{port}/p2p/{}/p2p-circuit", relay())
                .parse()
                .expect("address")
        };
        let all: Vec<Multiaddr> = (1..=20).map(through).chain((1..=20).map(address)).collect();
        let kept = bounded(all);
        assert_eq!(kept.len(), ADDRESSES_MAX);
        assert_eq!(kept[0], address(1));
        assert_eq!(kept[ADDRESSES_MAX - CIRCUITS_MAX], through(1));
        assert_eq!(
            bounded((1..=20).map(address).collect()).len(),
            ADDRESSES_MAX
        );
    }

    #[test]
    fn near_is_whoever_has_the_same_prefix() {
        let near =
            |one: &str, other: &str| is_near(one.parse().expect("ip"), other.parse().expect("ip"));
        assert!(near("10.1.2.3", "10.1.2.250"));
        assert!(!near("10.1.2.3", "10.1.3.3"));
        assert!(near("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!near("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!near("10.1.2.3", "2001:db8::1"));
    }
}
