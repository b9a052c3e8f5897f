//! What runs over a connection, and how much of it.
//!
//! TCP (with noise and yamux) and QUIC carry the same streams. QUIC's TLS is libp2p's, which names
//! its provider (aws-lc-rs) itself, so that no default of the process has a say.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Swarm, SwarmBuilder, connection_limits, identify, mdns, noise, ping, tcp, yamux};
use sync_protocol::SecretKey;

use super::diallable::ADDRESSES_MAX;
use super::gate::{self, Gate};
use super::keys::keypair;
use super::lan;

/// What identify says we speak; a peer of another line of versions would change the number.
const PROTOCOL_VERSION: &str = "tombolo/1";

/// Connections that carry no stream of ours are closed after this. A link keeps its own alive.
const IDLE_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may take to be set up.
const SETUP_WAIT: Duration = Duration::from_secs(10);

/// How often a connection is tested, and how long the answer may take. Two in a row are not
/// needed: a stream does not lose the answer, so silence means that the other side is gone.
const PING_EVERY: Duration = Duration::from_secs(10);
/// See [`PING_EVERY`].
const PING_WAIT: Duration = Duration::from_secs(15);

/// Connections, all told. Each costs a socket and some buffers.
const CONNECTIONS_MAX: u32 = 512;

/// Connections of one remote: both sides may dial at once, from two interfaces.
const CONNECTIONS_PER_REMOTE_MAX: u32 = 4;

/// Connections being set up from here. The gate counts those from elsewhere.
const PENDING_MAX: u32 = 64;

/// Streams on one connection: links, joins, ping and identify need less than ten.
const STREAMS_MAX: u8 = 64;

/// Bytes that a remote may have sent over QUIC before we read them, on one stream and on all of a
/// connection. At a round trip of 50 ms a stream still carries 10 MiB a second.
const QUIC_STREAM_BYTES: u32 = 512 << 10;
/// See [`QUIC_STREAM_BYTES`].
const QUIC_CONNECTION_BYTES: u32 = 1 << 20;

/// Addresses of one remote that are tried at once: all, so that one transport that is blocked does
/// not keep the other waiting.
const DIALS_AT_ONCE: NonZeroU8 = match NonZeroU8::new(ADDRESSES_MAX as u8) {
    Some(all) => all,
    None => NonZeroU8::MIN,
};

/// What runs over a connection.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // First: what it refuses, the others never see.
    gate: gate::Behaviour,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) lan: Toggle<mdns::tokio::Behaviour>,
    pub(super) streams: libp2p_stream::Behaviour,
}

/// Builds a swarm that neither listens nor dials yet.
///
/// # Errors
/// When the key or the transport is refused, which would be our mistake.
pub(super) fn build(
    secret: &SecretKey,
    gate: Arc<Gate>,
    mdns: bool,
) -> Result<Swarm<Behaviour>, String> {
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_REMOTE_MAX));
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX.into());
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair(secret)?)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            muxer,
        )
        .map_err(|error| error.to_string())?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = STREAMS_MAX.into();
            config.max_stream_data = QUIC_STREAM_BYTES;
            config.max_connection_data = QUIC_CONNECTION_BYTES;
            config.handshake_timeout = SETUP_WAIT;
            config
        })
        .with_behaviour(|key| Behaviour {
            gate: gate::Behaviour(gate),
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(
                identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
                    .with_agent_version(format!("tombolo/{}", env!("CARGO_PKG_VERSION")))
                    .with_push_listen_addr_updates(true),
            ),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(PING_EVERY)
                    .with_timeout(PING_WAIT),
            ),
            lan: lan::behaviour(mdns, key.public().to_peer_id()).into(),
            streams: libp2p_stream::Behaviour::new(),
        })
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_WAIT)
                .with_dial_concurrency_factor(DIALS_AT_ONCE)
        })
        .with_connection_timeout(SETUP_WAIT)
        .build();
    Ok(swarm)
}
