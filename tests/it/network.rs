//! Peers on loopback over both transports, and a hostile program that speaks to them: a real libp2p
//! client that does what an honest peer never would.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them and bounds the wait"
)]

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_for, wait_until_equal};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde_json::{Value, json};
use std::time::Duration;

const SYNC: StreamProtocol = StreamProtocol::new("/tombolo/sync/1");
const JOIN: StreamProtocol = StreamProtocol::new("/tombolo/join/1");

/// How long a hostile stream waits for anything.
const WAIT: Duration = Duration::from_secs(20);

/// One program with a device key of its own.
struct Hostile {
    swarm: Swarm<libp2p_stream::Behaviour>,
}

impl Hostile {
    /// With a key on one side of the victim's: the smaller key opens links.
    fn with_key_below(victim: &str) -> Keypair {
        let victim = bytes_of(victim);
        loop {
            let key = Keypair::generate_ed25519();
            let public = key.public().try_into_ed25519().expect("it is one");
            if public.to_bytes() < victim {
                return key;
            }
        }
    }

    fn new(key: Keypair) -> Hostile {
        let swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .expect("TCP")
            .with_quic()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("streams")
            .with_swarm_config(|config| config.with_idle_connection_timeout(WAIT))
            .build();
        Hostile { swarm }
    }

    /// Dials, and says whether a connection came to be and lasts a moment.
    async fn connect(&mut self, address: &Multiaddr) -> Result<PeerId, String> {
        self.swarm
            .dial(address.clone())
            .map_err(|error| error.to_string())?;
        let mut connected = None;
        loop {
            // A connection that is refused after the handshake comes up for a moment on this side.
            let lasting = Duration::from_millis(300);
            let wait = if connected.is_some() { lasting } else { WAIT };
            match tokio::time::timeout(wait, self.swarm.select_next_some()).await {
                Ok(SwarmEvent::ConnectionEstablished { peer_id, .. }) => connected = Some(peer_id),
                Ok(SwarmEvent::ConnectionClosed { cause, .. }) => {
                    return Err(format!("closed: {cause:?}"));
                }
                Ok(SwarmEvent::OutgoingConnectionError { error, .. }) => {
                    return Err(error.to_string());
                }
                Ok(_) => {}
                Err(_) => return connected.ok_or_else(|| "no answer".to_owned()),
            }
        }
    }

    /// Opens a stream and writes these bytes; gives what comes back before the end or a silence.
    async fn say(&mut self, peer: PeerId, protocol: StreamProtocol, bytes: &[u8]) -> Vec<u8> {
        let mut control = self.swarm.behaviour().new_control();
        let talk = async {
            let Ok(mut stream) = control.open_stream(peer, protocol).await else {
                return Vec::new();
            };
            if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
                return Vec::new();
            }
            let mut answer = vec![0; 256];
            let mut len = 0;
            // Until it is closed, or nothing has come for a while.
            let quiet = Duration::from_millis(1_500);
            while let Ok(Ok(more @ 1..)) =
                tokio::time::timeout(quiet, stream.read(&mut answer[len..])).await
            {
                len += more;
            }
            answer.truncate(len);
            answer
        };
        let mut talk = std::pin::pin!(talk);
        loop {
            tokio::select! {
                answer = &mut talk => return answer,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }
}

fn bytes_of(hex: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex");
    std::array::from_fn(byte)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads can be had")
}

/// What `run.json` says.
fn run_json(peer: &Peer) -> Value {
    let text = std::fs::read_to_string(peer.data_dir().join("run.json")).expect("it runs");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Where the peer listens over TCP, or over QUIC.
fn address(peer: &Peer, transport: &str) -> Multiaddr {
    wait_for("the peer to listen", PATIENCE, || {
        let run = run_json(peer);
        let all = run["p2p"].as_array().expect("a list").iter();
        let mut texts = all.map(|address| address.as_str().expect("a text"));
        let found = texts.find(|text| text.contains(transport));
        found
            .map(|text| text.parse().expect("a multiaddr"))
            .ok_or_else(|| format!("{run}"))
    })
}

fn device_key(peer: &Peer) -> String {
    let run = run_json(peer);
    run["device_key"].as_str().expect("a key").to_owned()
}

/// Those whom a peer keeps outside.
fn cut_off(peer: &Peer) -> Vec<Value> {
    let peers = peer.cli(&["peers", "--json"]).ok();
    let peers: Vec<Value> = serde_json::from_str(&peers).expect("--json prints JSON");
    let outside = peers.into_iter().filter(|peer| !peer["cut_off"].is_null());
    outside.collect()
}

#[test]
fn a_peer_listens_on_both_transports_and_says_so() {
    let _turn = turn();
    let peer = Peer::start("a");
    let quic = address(&peer, "/quic-v1").to_string();
    let tcp = address(&peer, "/tcp/").to_string();
    assert!(quic.contains("/udp/") && quic.contains("/p2p/"), "{quic}");
    let runtime = runtime();
    runtime.block_on(async {
        for address in [quic, tcp] {
            let mut remote = Hostile::new(Keypair::generate_ed25519());
            let address = address.parse().expect("a multiaddr");
            remote.connect(&address).await.expect("anybody may knock");
        }
    });
}

#[test]
fn over_quic_alone_members_meet_and_are_equal() {
    let _turn = turn();
    let a = Peer::start_quic_only("a");
    let b = Peer::start_quic_only("b");
    let database = a.publish("chat", "chat");
    b.join(&a.invite("chat"));
    let called = b.call(&database, "send_message", &json!(["lobby", "over QUIC"]));
    assert_eq!(called, Called::Ok);
    wait_until_equal(&[&a, &b], &database);
    for peer in [&a, &b] {
        let status = peer.status(&database);
        let address = status["peers"][0]["address"].as_str().expect("linked");
        assert!(address.contains("/quic-v1/p2p/"), "{address}");
    }
}

#[test]
fn garbage_and_endless_frames_are_cut_off_with_a_reason_and_refused_afterwards() {
    let _turn = turn();
    let peer = Peer::start("a");
    let tcp = address(&peer, "/tcp/");
    let victim = device_key(&peer);
    let runtime = runtime();
    runtime.block_on(async {
        let greeting = [0; 4];
        let garbage = [&greeting[..], &5_u32.to_le_bytes(), b"\x01junk"].concat();
        let endless = [&greeting[..], &u32::MAX.to_le_bytes()].concat();
        for (bytes, reason) in [(garbage, "no message"), (endless, "4294967295 bytes")] {
            let key = Hostile::with_key_below(&victim);
            let mut remote = Hostile::new(key.clone());
            let there = remote.connect(&tcp).await.expect("not known yet");
            remote.say(there, SYNC, &bytes).await;
            wait_for("the reason to show", PATIENCE, || {
                let outside = cut_off(&peer);
                let why = |one: &Value| one["cut_off"]["why"].to_string().contains(reason);
                match outside.iter().any(why) {
                    true => Ok(()),
                    false => Err(format!("{outside:?}")),
                }
            });
            let mut again = Hostile::new(key);
            let refused = again.connect(&tcp).await;
            assert!(refused.is_err(), "{refused:?}");
        }
    });
    assert_eq!(cut_off(&peer).len(), 2);
    let table = peer.cli(&["peers"]).ok();
    assert!(table.contains("cut off for"), "{table}");
    assert!(
        peer.output().contains("is cut off for 60 s"),
        "{}",
        peer.output()
    );
}

#[test]
fn a_flood_of_strangers_leaves_members_their_room() {
    let _turn = turn();
    let a = Peer::start("a");
    let mut b = Peer::start("b");
    let database = a.publish("chat", "chat");
    b.join(&a.invite("chat"));
    wait_until_equal(&[&a, &b], &database);
    b.kill();
    let tcp = address(&a, "/tcp/");
    let runtime = runtime();
    let crowd = runtime.block_on(async {
        let mut crowd = Vec::new();
        let mut refused = 0;
        for _ in 0..40 {
            let mut remote = Hostile::new(Keypair::generate_ed25519());
            match remote.connect(&tcp).await {
                Ok(_) => crowd.push(remote),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "all were let in");
        crowd
    });
    // Those inside stay, and a member comes in all the same.
    let stay = runtime.spawn(async move {
        let polls = crowd.into_iter().map(|mut remote| async move {
            loop {
                remote.swarm.select_next_some().await;
            }
        });
        futures::future::join_all(polls).await
    });
    b.start_again();
    let called = b.call(
        &database,
        "send_message",
        &json!(["lobby", "through the crowd"]),
    );
    assert_eq!(called, Called::Ok);
    wait_until_equal(&[&a, &b], &database);
    stay.abort();
}

#[test]
fn whoever_tries_tickets_is_soon_not_answered() {
    let _turn = turn();
    let peer = Peer::start("a");
    let tcp = address(&peer, "/tcp/");
    let runtime = runtime();
    let answered = runtime.block_on(async {
        let mut remote = Hostile::new(Keypair::generate_ed25519());
        let there = remote.connect(&tcp).await.expect("anybody may ask");
        // A request of the right form that no ticket's key has signed.
        let request = [&[1][..], &[7; 32 + 32 + 64]].concat();
        let len = u32::try_from(request.len()).expect("short");
        let question = [&len.to_le_bytes()[..], &request].concat();
        let mut answered = 0;
        for _ in 0..16 {
            let answer = remote.say(there, JOIN, &question).await;
            answered += usize::from(!answer.is_empty());
        }
        answered
    });
    assert!((4..12).contains(&answered), "{answered} of 16 answered");
}
