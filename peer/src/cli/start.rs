//! `tombolo start`: the only verb that runs a peer in this process.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use clap::builder::FalseyValueParser;
use libp2p::Multiaddr;
use tracing_subscriber::EnvFilter;

use super::Target;
use super::client::data_dir;
use crate::driver::clock;
use crate::driver::config::{
    Config, Protection, default_listen, parse_cache, parse_dial, parse_listen, parse_origin,
    parse_p2p,
};
use crate::driver::run;

/// What the peer's own log shows unless TOMBOLO_LOG says otherwise.
const LOG_DEFAULT: &str = "warn,tombolo=info,peer_core=info";

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Where clients reach this peer (HTTP); port 0 chooses one. Beyond loopback it takes --tls, or
    /// --tls-cert and --tls-key, or --insecure-http
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen, default_value_t = default_listen())]
    listen: SocketAddr,
    /// Speak TLS with a certificate that this peer makes, and keeps in its data directory
    #[arg(long)]
    tls: bool,
    /// Speak TLS with this certificate, and those that lead to its issuer (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "tls"
    )]
    tls_cert: Option<PathBuf>,
    /// The key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP also beyond loopback: tokens and rows can be read on their way
    #[arg(long, conflicts_with_all = ["tls", "tls_cert"])]
    insecure_http: bool,
    /// Where other peers reach this one, repeated for several; port 0 chooses a port and keeps it
    /// [default: /ip4/0.0.0.0/tcp/0 and /ip4/0.0.0.0/udp/0/quic-v1]
    #[arg(long, value_name = "MULTIADDR", value_parser = parse_p2p)]
    p2p: Vec<Multiaddr>,
    /// A peer to keep a connection to, repeated for several
    #[arg(long, value_name = "MULTIADDR", value_parser = parse_dial)]
    dial: Vec<Multiaddr>,
    /// Do not look for members in the local network, and do not answer there (mDNS)
    #[arg(long)]
    no_mdns: bool,
    /// Do not pass on what members say to each other who cannot reach each other
    #[arg(long)]
    no_relay: bool,
    /// A web origin whose pages may talk to this peer, beside loopback ones; repeated for several
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// A name under which clients reach this peer, beside loopback ones; repeated for several
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Interpret modules instead of compiling them: slower, and the same rows; for machines that
    /// let no program make code
    #[arg(long, env = "TOMBOLO_INTERPRETER", value_parser = FalseyValueParser::new())]
    interpreter: bool,
    /// Memory for what the files of all databases hold, in MiB at the most [default: an eighth of the
    /// machine's memory, at least 16]
    #[arg(long, value_name = "MIB", value_parser = parse_cache)]
    cache_mib: Option<u32>,
    /// Stop when standard input is closed
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    /// For tests: the wall clock is off by so many seconds
    #[arg(
        long,
        hide = true,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    clock_off: i64,
}

impl Start {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        if target.server.is_some() {
            bail!("start runs a peer here: give it --data-dir, not --server");
        }
        let protection =
            Protection::at(self.listen, self.protection()).map_err(|why| anyhow!(why))?;
        start_log();
        clock::set_off(self.clock_off);
        run::run(Config {
            data_dir: data_dir(target)?,
            listen: self.listen,
            protection,
            p2p: self.p2p,
            mdns: !self.no_mdns,
            relay: !self.no_relay,
            dial: self.dial,
            allow_origins: self.allow_origin,
            allow_hosts: self.allow_host,
            interpreter: self.interpreter,
            caches_bytes: self
                .cache_mib
                .map(|mib| usize::try_from(mib).map(|mib| mib << 20))
                .transpose()?,
            until_stdin_closes: self.until_stdin_closes,
        })
    }
}

impl Start {
    /// What the person asked for, if anything.
    fn protection(&self) -> Option<Protection> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Protection::Given {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ if self.tls => Some(Protection::Made),
            _ if self.insecure_http => Some(Protection::None),
            _ => None,
        }
    }
}

/// The WebSocket library writes whole frames down when it is asked for details, and frames tell
/// clients their tokens.
const LOG_TELLS_SECRETS: &str = "tungstenite";

/// What is logged, by a text as in `RUST_LOG`; secrets are not, whatever it says.
fn log_filter(chosen: &str) -> Option<EnvFilter> {
    let parts: Vec<&str> = chosen
        .split(',')
        .filter(|part| !part.contains(LOG_TELLS_SECRETS))
        .collect();
    EnvFilter::try_new(format!("{},{LOG_TELLS_SECRETS}=warn", parts.join(","))).ok()
}

/// The peer's own log goes to standard error; TOMBOLO_LOG chooses what.
fn start_log() {
    let chosen = std::env::var("TOMBOLO_LOG").ok();
    let filter = chosen
        .and_then(|chosen| log_filter(&chosen))
        .unwrap_or_else(|| EnvFilter::new(LOG_DEFAULT));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_choice_lets_frames_into_the_log() {
        for chosen in [
            "trace",
            "tungstenite=trace",
            "warn,tungstenite::protocol=trace,tombolo=debug",
        ] {
            let filter = log_filter(chosen).expect("a filter").to_string();
            let about: Vec<&str> = filter
                .split(',')
                .filter(|part| part.contains("tungstenite"))
                .collect();
            assert_eq!(about, ["tungstenite=warn"], "{chosen}");
        }
        assert!(log_filter("=[").is_none());
    }
}
