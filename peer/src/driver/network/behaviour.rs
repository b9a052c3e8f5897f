//! What runs over a connection, and how much of it.
//!
//! TCP (with noise and yamux) and QUIC carry the same streams. QUIC's TLS is libp2p's, which names
//! its provider (aws-lc-rs) itself, so that no default of the process has a say.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, connection_limits, identify, mdns, noise, ping, relay,
    tcp, yamux,
};
use sync_protocol::SecretKey;

use super::diallable::ADDRESSES_MAX;
use super::gate::{self, Gate};
use super::keys::keypair;
use super::{holes, identity, lan, probe};

/// What identify says we speak; a peer of another line of versions would change the number.
const PROTOCOL_VERSION: &str = "tombolo/1";

/// Connections that carry no stream of ours are closed after this. A link keeps its own alive.
const IDLE_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may take to be set up.
const SETUP_WAIT: Duration = Duration::from_secs(10);

/// How often a connection is tested, and how long the answer may take. Two in a row are not
/// needed: a stream does not lose the answer, so silence means that the other side is gone. Both
/// sides test, and yamux measures its own round trips as often as something else is sent: more often
/// costs more than a hundred bytes a second on a link where nothing happens.
const PING_EVERY: Duration = Duration::from_secs(20);
/// See [`PING_EVERY`].
const PING_WAIT: Duration = Duration::from_secs(15);

/// Connections, all told. Each costs a socket and some buffers.
const CONNECTIONS_MAX: u32 = 512;

/// Connections of one remote: both sides may dial at once, from two interfaces.
const CONNECTIONS_PER_REMOTE_MAX: u32 = 4;

/// Connections being set up from here. The gate counts those from elsewhere.
const PENDING_MAX: u32 = 64;

/// Streams on one connection: links, joins, ping and identify need less than ten, a relay one for
/// each circuit.
const STREAMS_MAX: u8 = 64;

/// Milliseconds for which a connection over QUIC may be silent, and after how much silence it is
/// spoken on: one packet in between may be lost.
const QUIC_SILENCE_MAX_MS: u32 = 20_000;
/// See [`QUIC_SILENCE_MAX_MS`].
const QUIC_KEEP_ALIVE_MS: u32 = 8_000;

const _: () = assert!(2 * QUIC_KEEP_ALIVE_MS < QUIC_SILENCE_MAX_MS);

/// Bytes that a remote may have sent over QUIC before we read them, on one stream and on all of a
/// connection: two circuits whose far ends do not read must not keep the rest waiting. At a round trip
/// of 50 ms a stream still carries 10 MiB a second.
const QUIC_STREAM_BYTES: u32 = 512 << 10;
/// See [`QUIC_STREAM_BYTES`].
const QUIC_CONNECTION_BYTES: u32 = 4 << 20;

/// Addresses of one remote that are tried at once: all, so that one transport that is blocked does
/// not keep the other waiting.
const DIALS_AT_ONCE: NonZeroU8 = match NonZeroU8::new(ADDRESSES_MAX as u8) {
    Some(all) => all,
    None => NonZeroU8::MIN,
};

/// Slots given to members that cannot be reached, each for [`SLOT_TIME`], and those of one member:
/// an old one may still be there when it asks anew.
const SLOTS_MAX: usize = 64;
/// See [`SLOTS_MAX`].
const SLOTS_PER_MEMBER_MAX: usize = 2;

/// For how long a slot is given. It is renewed before.
const SLOT_TIME: Duration = Duration::from_secs(3_600);

/// Circuits through this peer, and those of one member: as many as it keeps links in a database.
const CIRCUITS_MAX: usize = 128;
/// See [`CIRCUITS_MAX`].
const CIRCUITS_PER_MEMBER_MAX: usize = 32;

/// How long a circuit may last, and what it may carry, both ways together. A link that needs more is
/// made anew over another circuit, and goes on where it was.
const CIRCUIT_TIME: Duration = Duration::from_secs(3_600);
/// See [`CIRCUIT_TIME`].
const CIRCUIT_BYTES: u64 = 256 << 20;

/// Slots, and circuits, that a member asks for at once, and how often one more after that.
const RELAY_ASKS_AT_ONCE: NonZeroU32 = match NonZeroU32::new(32) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};
/// See [`RELAY_ASKS_AT_ONCE`].
const RELAY_ASK_EVERY: Duration = Duration::from_secs(2);

const _: () = assert!(CIRCUITS_PER_MEMBER_MAX < STREAMS_MAX as usize);

/// What runs over a connection.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // First: what it refuses, the others never see.
    gate: gate::Behaviour,
    limits: connection_limits::Behaviour,
    identity: identity::Behaviour,
    ping: ping::Behaviour,
    pub(super) lan: Toggle<mdns::tokio::Behaviour>,
    relay: relay::Behaviour,
    relayed: relay::client::Behaviour,
    pub(super) holes: holes::Behaviour,
    pub(super) probe: probe::Behaviour,
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
    relays: bool,
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
            config.max_idle_timeout = QUIC_SILENCE_MAX_MS;
            config.keep_alive_interval = Duration::from_millis(QUIC_KEEP_ALIVE_MS.into());
            config
        })
        .with_relay_client(noise::Config::new, muxer)
        .map_err(|error| error.to_string())?
        .with_behaviour(|key, relayed| Behaviour {
            relay: relay(key.public().to_peer_id(), Arc::clone(&gate), relays),
            relayed,
            holes: holes::Behaviour::new(key.public().to_peer_id(), Arc::clone(&gate)),
            probe: probe::Behaviour::new(key.public().to_peer_id(), Arc::clone(&gate)),
            gate: gate::Behaviour(gate),
            limits: connection_limits::Behaviour::new(limits),
            identity: identity::Behaviour::new(
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

/// What relays for members, if it is to.
fn relay(own: PeerId, gate: Arc<Gate>, relays: bool) -> relay::Behaviour {
    let members = || -> Box<dyn relay::RateLimiter> {
        let gate = Arc::clone(&gate);
        Box::new(move |peer: PeerId, _: &Multiaddr, now: Instant| gate.relays_for(&peer, now))
    };
    let config = relay::Config {
        max_reservations: SLOTS_MAX,
        max_reservations_per_peer: SLOTS_PER_MEMBER_MAX,
        reservation_duration: SLOT_TIME,
        // First who may at all: strangers do not even use up a portion.
        reservation_rate_limiters: vec![members()],
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: CIRCUITS_PER_MEMBER_MAX,
        max_circuit_duration: CIRCUIT_TIME,
        max_circuit_bytes: CIRCUIT_BYTES,
        circuit_src_rate_limiters: vec![members()],
    };
    let config = config
        .reservation_rate_per_peer(RELAY_ASKS_AT_ONCE, RELAY_ASK_EVERY)
        .circuit_src_per_peer(RELAY_ASKS_AT_ONCE, RELAY_ASK_EVERY);
    let mut behaviour = relay::Behaviour::new(own, config);
    // Not by itself: it would wait until somebody has said that this peer can be reached.
    behaviour.set_status(Some(if relays {
        relay::Status::Enable
    } else {
        relay::Status::Disable
    }));
    behaviour
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::StreamExt;
    use libp2p::multiaddr::Protocol;
    use libp2p::swarm::SwarmEvent;

    use super::*;

    /// A slot that is asked for at `relay` by `guest` is granted or not, as the relay says.
    async fn is_granted(relay: &mut Swarm<Behaviour>, guest: &mut Swarm<Behaviour>) -> bool {
        let at = relay.listeners().next().expect("it listens").clone();
        let circuit = at
            .with(Protocol::P2p(*relay.local_peer_id()))
            .with(Protocol::P2pCircuit);
        guest.listen_on(circuit).expect("an address of a relay");
        let told = async {
            loop {
                let event = tokio::select! {
                    event = relay.select_next_some() => event,
                    _ = guest.select_next_some() => continue,
                };
                match event {
                    SwarmEvent::Behaviour(BehaviourEvent::Relay(
                        relay::Event::ReservationReqAccepted { .. },
                    )) => return true,
                    SwarmEvent::Behaviour(BehaviourEvent::Relay(
                        relay::Event::ReservationReqDenied { .. },
                    )) => return false,
                    _ => {}
                }
            }
        };
        let within = Duration::from_secs(30);
        let told = tokio::time::timeout(within, told).await;
        told.expect("the relay answers")
    }

    #[tokio::test]
    async fn only_members_get_a_slot() {
        let [guest_secret, relay_secret] = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
        let gate = Arc::new(Gate::default());
        let mut relay =
            build(&relay_secret, Arc::clone(&gate), false, true).expect("a swarm that relays");
        let any = "/ip4/127.0.0.1/tcp/0".parse().expect("address");
        relay.listen_on(any).expect("loopback");
        while relay.listeners().next().is_none() {
            relay.select_next_some().await;
        }
        let own = relay.listeners().next().expect("it listens").clone();
        relay.add_external_address(own);
        let guest_gate = Arc::new(Gate::default());
        guest_gate.set_members(BTreeSet::from([*relay.local_peer_id()]));
        let mut guest = build(&guest_secret, guest_gate, false, true).expect("a swarm");
        assert!(!is_granted(&mut relay, &mut guest).await, "a stranger");
        gate.set_members(BTreeSet::from([*guest.local_peer_id()]));
        assert!(is_granted(&mut relay, &mut guest).await, "a member");
    }
}
