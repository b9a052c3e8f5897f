//! What a peer is started with, checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Port of the HTTP side, SpacetimeDB's.
const HTTP_PORT: u16 = 3000;

/// Everything `tombolo start` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where keys and databases are.
    pub(crate) data_dir: PathBuf,
    /// Where the HTTP side listens.
    pub(crate) listen: SocketAddr,
    /// What protects the HTTP side on its way.
    pub(crate) protection: Protection,
    /// Where other peers may reach us; port 0 stands for one that is chosen once and kept. Empty:
    /// [`default_p2p`].
    pub(crate) p2p: Vec<Multiaddr>,
    /// Whether members are looked for in the local network.
    pub(crate) mdns: bool,
    /// Whether members that cannot be reached are met through this peer.
    pub(crate) relay: bool,
    /// Peers to keep a link to.
    pub(crate) dial: Vec<Multiaddr>,
    /// Web origins, beside loopback ones, whose pages may talk to us.
    pub(crate) allow_origins: Vec<String>,
    /// Names, beside loopback ones, under which we may be addressed.
    pub(crate) allow_hosts: Vec<String>,
    /// Interpret modules instead of compiling them.
    pub(crate) interpreter: bool,
    /// Bytes of memory for what the files of all databases hold, if the person says how much.
    pub(crate) caches_bytes: Option<usize>,
    /// Stop when standard input is closed, so that no child outlives its parent.
    pub(crate) until_stdin_closes: bool,
}

/// What protects the HTTP side on its way to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nothing: what is said stays on this machine, or the person takes it upon himself.
    None,
    /// TLS with a certificate that the peer makes and keeps.
    Made,
    /// TLS with a certificate of the person's.
    Given {
        /// A file with the certificate, and those that lead to its issuer, in PEM.
        certificate: PathBuf,
        /// A file with its key, in PEM.
        key: PathBuf,
    },
}

impl Protection {
    /// What was asked for; if nothing was, what is safe at this address.
    ///
    /// # Errors
    /// The sentence for the person: beyond this machine nothing is unprotected by accident.
    pub(crate) fn at(listen: SocketAddr, asked: Option<Self>) -> Result<Self, String> {
        match asked {
            Some(asked) => Ok(asked),
            None if listen.ip().is_loopback() => Ok(Self::None),
            None => Err(format!(
                "{listen} can be reached from other machines, and tokens and rows would travel for \
                 all to read: add --tls for a certificate that this peer makes itself, or --tls-cert \
                 FILE and --tls-key FILE for your own, or --insecure-http if something else protects \
                 the way"
            )),
        }
    }
}

/// Less would have each file read its inner pages again and again.
const CACHE_MIB_MIN: u32 = 1;

/// More is a mistake in typing, or in the unit.
const CACHE_MIB_MAX: u32 = 1 << 20;

/// Reads `--cache-mib`.
///
/// # Errors
/// The sentence for the command line.
pub(crate) fn parse_cache(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(mib @ CACHE_MIB_MIN..=CACHE_MIB_MAX) => Ok(mib),
        _ => Err(format!(
            "expected a number of MiB from {CACHE_MIB_MIN} to {CACHE_MIB_MAX}"
        )),
    }
}

/// Where the HTTP side listens unless told otherwise.
pub(crate) const fn default_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HTTP_PORT)
}

/// Where other peers reach us unless told otherwise: every IPv4 interface, over TCP and QUIC, at
/// ports of our choice.
pub(crate) fn default_p2p() -> [Multiaddr; 2] {
    let any = || Multiaddr::from(Ipv4Addr::UNSPECIFIED);
    [
        any().with(Protocol::Tcp(0)),
        any().with(Protocol::Udp(0)).with(Protocol::QuicV1),
    ]
}

/// Reads `--listen`: an IP address with a port, `localhost` with a port, or a port alone.
///
/// # Errors
/// The sentence for the command line.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    if let Ok(port) = numeric.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    numeric
        .parse()
        .map_err(|_| "expected ADDRESS:PORT, for example 127.0.0.1:3000".to_owned())
}

/// Reads `--p2p`: an IP address and a TCP port, or a UDP port for QUIC, to listen on.
///
/// # Errors
/// The sentence for the command line.
pub(crate) fn parse_p2p(text: &str) -> Result<Multiaddr, String> {
    let address = parse_address(text, "/ip4/0.0.0.0/udp/0/quic-v1")?;
    if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
        return Err("an address to listen on has no /p2p/… at its end".to_owned());
    }
    Ok(address)
}

/// Reads `--dial`: an IP address, a TCP port, or a UDP port for QUIC, and perhaps `/p2p/` with the
/// peer's id.
///
/// # Errors
/// The sentence for the command line.
pub(crate) fn parse_dial(text: &str) -> Result<Multiaddr, String> {
    parse_address(text, "/ip4/192.0.2.7/udp/4242/quic-v1")
}

/// A multiaddr of the shapes that are spoken: `/ip4|ip6/…/tcp/…[/p2p/…]` and
/// `/ip4|ip6/…/udp/…/quic-v1[/p2p/…]`.
fn parse_address(text: &str, example: &str) -> Result<Multiaddr, String> {
    let wrong = |why: &str| format!("{why}; expected a multiaddr such as {example}");
    let address: Multiaddr = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    let mut parts = address.iter();
    match parts.next() {
        Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => {}
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)) => {
            return Err(wrong("names are not resolved yet, give an IP address"));
        }
        _ => return Err(wrong("it does not start with an IP address")),
    }
    match parts.next() {
        Some(Protocol::Tcp(_)) => {}
        Some(Protocol::Udp(_)) => match parts.next() {
            Some(Protocol::QuicV1) => {}
            _ => {
                return Err(wrong(
                    "over UDP only QUIC is spoken: /quic-v1 after the port",
                ));
            }
        },
        _ => return Err(wrong("peers are reached over TCP and QUIC only")),
    }
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Ok(address),
        _ => Err(wrong("only /p2p/… may follow")),
    }
}

/// Reads `--allow-origin`: scheme, host and perhaps a port, as a browser sends it.
///
/// # Errors
/// The sentence for the command line.
pub(crate) fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || "expected an origin such as https://app.example.com, without a path".to_owned();
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', '*', ' ', '@']) {
        return Err(wrong());
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_an_address_localhost_or_a_port() {
        let expect = |text: &str, to: &str| {
            assert_eq!(
                parse_listen(text),
                Ok(to.parse().expect("address")),
                "{text}"
            );
        };
        expect("127.0.0.1:3000", "127.0.0.1:3000");
        expect("localhost:0", "127.0.0.1:0");
        expect("8080", "127.0.0.1:8080");
        expect("[::1]:3000", "[::1]:3000");
        for text in ["", "localhost", "example.com:80", "127.0.0.1", "70000"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cache_is_a_number_of_mebibytes() {
        assert_eq!(parse_cache("16"), Ok(16));
        assert_eq!(parse_cache("4096"), Ok(4_096));
        for text in ["", "0", "-1", "16M", "1.5", "1048577"] {
            assert!(parse_cache(text).is_err(), "{text}");
        }
    }

    #[test]
    fn beyond_loopback_protection_has_to_be_said() {
        let at =
            |listen: &str, asked| Protection::at(parse_listen(listen).expect("an address"), asked);
        for local in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
            assert_eq!(at(local, None), Ok(Protection::None), "{local}");
            assert_eq!(at(local, Some(Protection::Made)), Ok(Protection::Made));
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            let refused = at(open, None).expect_err("nothing was said");
            for flag in ["--tls ", "--tls-cert", "--tls-key", "--insecure-http"] {
                assert!(refused.contains(flag), "{refused}");
            }
            assert_eq!(at(open, Some(Protection::Made)), Ok(Protection::Made));
            assert_eq!(at(open, Some(Protection::None)), Ok(Protection::None));
        }
    }

    #[test]
    fn peers_are_reached_over_ip_with_tcp_or_quic() {
        let id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        assert!(parse_p2p("/ip4/0.0.0.0/tcp/0").is_ok());
        assert!(parse_p2p("/ip6/::/tcp/4242").is_ok());
        assert!(parse_p2p(&format!("/ip4/127.0.0.1/tcp/1/p2p/{id}")).is_err());
        assert!(parse_dial(&format!("/ip4/127.0.0.1/tcp/1/p2p/{id}")).is_ok());
        assert!(parse_p2p("/ip4/0.0.0.0/udp/0/quic-v1").is_ok());
        assert!(parse_p2p(&format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{id}")).is_err());
        assert!(parse_dial(&format!("/ip6/::1/udp/1/quic-v1/p2p/{id}")).is_ok());
        for text in [
            "127.0.0.1:4242",
            "/tcp/1",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/127.0.0.1/udp/1/quic",
            "/ip4/127.0.0.1/udp/1/quic-v1/webtransport",
            "/ip4/127.0.0.1/tcp/1/ws",
        ] {
            assert!(parse_dial(text).is_err(), "{text}");
        }
        let names = parse_dial("/dns4/example.com/tcp/1").expect_err("no names yet");
        assert!(names.contains("IP address"), "{names}");
    }

    #[test]
    fn origins_are_scheme_and_host() {
        assert_eq!(
            parse_origin("https://App.example.com"),
            Ok("https://app.example.com".into())
        );
        for text in [
            "*",
            "app.example.com",
            "https://",
            "https://a/b",
            "http://*",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
