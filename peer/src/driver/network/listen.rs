//! Listening: ports that stay the same from start to start.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use libp2p::Multiaddr;
use libp2p::Swarm;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;

use super::addresses::AddressBook;
use super::behaviour::Behaviour;
use crate::driver::config::default_p2p;

/// The listeners, each with the address that the person gave.
pub(super) type Listeners = Vec<(ListenerId, Multiaddr)>;

/// Listens on every address; on none given, over every transport that the machine allows. Port 0
/// becomes the port of the last start if that is free, so that others find us where we were.
///
/// # Errors
/// The sentence for the person: which address, and why not.
pub(super) fn all(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
    book: &AddressBook,
) -> Result<Listeners, String> {
    if !addresses.is_empty() {
        let listeners = addresses.iter().map(|address| one(swarm, address, book));
        return listeners.collect();
    }
    let mut listeners = Vec::new();
    let mut refused = Vec::new();
    for address in default_p2p() {
        match one(swarm, &address, book) {
            Ok(listener) => listeners.push(listener),
            Err(why) => refused.push(why),
        }
    }
    if listeners.is_empty() {
        return Err(refused.join("; "));
    }
    for why in refused {
        tracing::warn!("{why}; other transports are listened on");
    }
    Ok(listeners)
}

fn one(
    swarm: &mut Swarm<Behaviour>,
    address: &Multiaddr,
    book: &AddressBook,
) -> Result<(ListenerId, Multiaddr), String> {
    let mut chosen = address.clone();
    if port_of(address) == Some(0) {
        if let Some(port) = book.listen_port(address)
            && let with_port = with_port(address, port)
            && free(&with_port).is_ok()
        {
            chosen = with_port;
        }
    } else {
        free(&chosen).map_err(|why| cannot(&chosen, &why))?;
    }
    let listener = swarm
        .listen_on(chosen.clone())
        .map_err(|error| cannot(&chosen, &error.to_string()))?;
    Ok((listener, address.clone()))
}

/// The port of an address of our shapes.
pub(super) fn port_of(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    address
        .iter()
        .map(|part| match part {
            Protocol::Tcp(_) => Protocol::Tcp(port),
            Protocol::Udp(_) => Protocol::Udp(port),
            other => other,
        })
        .collect()
}

/// Whether nobody listens there. libp2p listens with SO_REUSEPORT, with which two processes of
/// one person would silently share a port, each getting some of the other's connections.
fn free(address: &Multiaddr) -> Result<(), String> {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    let (Some(ip), Some(port)) = (ip, port_of(address)) else {
        return Err("it is no IP address with a port".to_owned());
    };
    let address_and_port = SocketAddr::new(ip, port);
    let bound = if is_quic(address) {
        UdpSocket::bind(address_and_port).map(drop)
    } else {
        TcpListener::bind(address_and_port).map(drop)
    };
    bound.map_err(|error| error.to_string())
}

/// Whether an address of our shapes is for QUIC, not for TCP.
pub(super) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1)
}

fn cannot(address: &Multiaddr, why: &str) -> String {
    format!("cannot listen on {address}: {why}; give another address with --p2p")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_seen() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("some port");
        let port = taken.local_addr().expect("bound").port();
        let any: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("address");
        let address = with_port(&any, port);
        assert_eq!(port_of(&address), Some(port));
        assert!(free(&address).is_err());
        drop(taken);
        assert_eq!(free(&address), Ok(()));
    }

    #[test]
    fn a_port_of_quic_is_one_of_udp() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("some port");
        let port = taken.local_addr().expect("bound").port();
        let any: Multiaddr = "/ip4/127.0.0.1/udp/0/quic-v1".parse().expect("address");
        let address = with_port(&any, port);
        assert!(is_quic(&address));
        assert_eq!(port_of(&address), Some(port));
        assert!(free(&address).is_err());
        drop(taken);
        assert_eq!(free(&address), Ok(()));
    }
}
