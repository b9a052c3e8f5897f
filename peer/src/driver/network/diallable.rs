//! Which of the addresses that others give can be dialled, and how many of them are kept.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Addresses kept for one remote: a machine has a few interfaces, each with two transports, and
/// moves now and then. All are tried at once.
pub(super) const ADDRESSES_MAX: usize = 16;

/// Bytes of an address's text; the longest of our shape takes less than 120.
const ADDRESS_BYTES_MAX: usize = 256;

/// The addresses among these texts that we can dial, without `/p2p/…`.
pub(super) fn parse_all(texts: &[String]) -> Vec<Multiaddr> {
    texts
        .iter()
        .filter(|text| text.len() <= ADDRESS_BYTES_MAX)
        .filter_map(|text| text.parse::<Multiaddr>().ok())
        .filter_map(|address| diallable(&address))
        .take(ADDRESSES_MAX)
        .collect()
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
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
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
}
