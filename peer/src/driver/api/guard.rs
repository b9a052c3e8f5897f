//! The door of the HTTP side: who may address us, and from which web pages.
//!
//! A web page anywhere can make its visitor's browser talk to this machine. Two headers that a
//! page cannot forge tell: `Origin` names the page, and `Host` the name it used, which gives away
//! a foreign name that was made to point here (DNS rebinding). Programs send no `Origin`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::driver::config::Config;

/// What is allowed beside loopback.
#[derive(Debug)]
pub(crate) struct Guard {
    origins: Vec<String>,
    hosts: Vec<String>,
    /// The person listens beyond loopback, so addresses in digits are meant. They cannot be
    /// rebound: nobody resolves them.
    any_ip: bool,
}

/// Why a request is turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    /// `Host` is missing or there twice.
    #[error("the request needs exactly one Host header")]
    NoHost,
    /// A name that is not ours.
    #[error("this peer is not called {0}; start it with --allow-host if it is")]
    Host(String),
    /// A page that may not.
    #[error("pages of {0} may not talk to this peer; start it with --allow-origin if they may")]
    Origin(String),
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            origins: config.allow_origins.clone(),
            hosts: config
                .allow_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            any_ip: !config.listen.ip().is_loopback(),
        }
    }

    /// Whether a request with these headers is let in.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), TurnedAway> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(TurnedAway::NoHost);
        };
        let host = text(host);
        if !self.host_allowed(&host) {
            return Err(TurnedAway::Host(host));
        }
        match headers
            .get_all(ORIGIN)
            .iter()
            .map(text)
            .find(|origin| !self.origin_allowed(origin))
        {
            Some(origin) => Err(TurnedAway::Origin(origin)),
            None => Ok(()),
        }
    }

    /// Whether this `Host` means us.
    fn host_allowed(&self, host: &str) -> bool {
        let name = without_port(host);
        is_loopback(name)
            || (self.any_ip && ip_of(name).is_some())
            || self.hosts.iter().any(|allowed| allowed == name)
    }

    /// Whether pages of this `Origin` may talk to us.
    pub(crate) fn origin_allowed(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| is_loopback(without_port(host))) || self.origins.contains(&origin)
    }
}

/// The middleware: turns away or passes on.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why.to_string()).into_response(),
    }
}

/// A header's text, short enough for an error message.
fn text(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars()
        .take(256)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// The host of `host[:port]`; the brackets of IPv6 stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An address in digits. IPv6 needs its brackets here, as in every URL.
fn ip_of(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}

/// Names that always mean this machine.
fn is_loopback(name: &str) -> bool {
    name == "localhost" || ip_of(name).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(any_ip: bool) -> Guard {
        Guard {
            origins: vec!["https://app.example.com".into()],
            hosts: vec!["peer.example.com".into()],
            any_ip,
        }
    }

    fn check(guard: &Guard, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("header"));
        }
        guard.check(&headers).is_ok()
    }

    #[test]
    fn loopback_names_and_configured_ones_mean_us() {
        let local = guard(false);
        for host in [
            "localhost",
            "LocalHost:3000",
            "127.0.0.1:3000",
            "127.8.8.8",
            "[::1]:3000",
            "[::1]",
            "peer.example.com:80",
        ] {
            assert!(check(&local, host, None), "{host}");
        }
        for host in [
            "",
            "evil.example.com",
            "localhost.evil.example.com",
            "127.0.0.1.evil.example.com",
            "192.0.2.1:3000",
            "0.0.0.0:3000",
            "::1",
            "localhost:3000:4000",
        ] {
            assert!(!check(&local, host, None), "{host}");
        }
    }

    #[test]
    fn addresses_in_digits_count_only_when_we_listen_beyond_loopback() {
        assert!(check(&guard(true), "192.0.2.1:3000", None));
        assert!(check(&guard(true), "[2001:db8::1]:3000", None));
        assert!(!check(&guard(true), "evil.example.com", None));
        assert!(!check(&guard(false), "192.0.2.1:3000", None));
    }

    #[test]
    fn pages_of_loopback_and_configured_origins_may_talk_to_us() {
        let local = guard(false);
        for origin in [
            "http://localhost:5173",
            "http://127.0.0.1",
            "https://[::1]:8443",
            "https://app.example.com",
        ] {
            assert!(check(&local, "localhost", Some(origin)), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example.com",
            "http://app.example.com",
            "https://app.example.com:444",
            "https://localhost.evil.example.com",
            "file://localhost",
            "http://localhost@evil.example.com",
        ] {
            assert!(!check(&local, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let mut headers = HeaderMap::new();
        assert_eq!(guard(false).check(&headers), Err(TurnedAway::NoHost));
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(guard(false).check(&headers), Ok(()));
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(guard(false).check(&headers), Err(TurnedAway::NoHost));
    }
}
