//! `kill -9`, again and again, while calls stream in: whatever was acknowledged is there exactly once,
//! and the peer is soon back.
//!
//! A few rounds here; `cargo xtask nightly` asks for more. Moments come from a seed, which is printed;
//! `TOMBOLO_KILL_SEED` sets another. What a process has done at a moment is never quite the same, so
//! a seed says what was tried and not what will happen.
#![allow(
    clippy::disallowed_methods,
    reason = "kills another process at a moment, so it asks what time it is"
)]

use crate::client::{Called, Client};
use crate::harness::{LONG_PATIENCE, PATIENCE, Peer, draw, turn, wait_for};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 5;
/// From so many rounds on, what is said about opening is held to it.
const ROUNDS_TO_JUDGE: u64 = 100;
const SEED: u64 = 20_261_126;
const CLIENTS: u64 = 4;
/// Acknowledged calls in a round after which the peer is killed: below this.
const ACKNOWLEDGED_MAX: u64 = 160;
/// And microseconds more: between two acknowledgements there are several writes.
const WAIT_US_MAX: u64 = 20_000;
/// What opening may take on a machine that does other things too.
const OPENED_MS_MAX: f64 = 10_000.0;
/// What half of the openings have to do with.
const OPENED_MS_MEDIAN: f64 = 1_000.0;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}

/// Texts of one round: asked for, and acknowledged.
#[derive(Default)]
struct Texts {
    asked: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

impl Texts {
    fn add(&mut self, other: Texts) {
        self.asked.extend(other.asked);
        self.acknowledged.extend(other.acknowledged);
    }
}

/// Says one text after the other until the peer is gone.
fn stream(
    client: &Client,
    database: &str,
    name: &str,
    acknowledged: &AtomicU64,
    killed: &AtomicBool,
) -> Texts {
    let mut texts = Texts::default();
    for number in 0_u64.. {
        let text = format!("{name} says {number}");
        texts.asked.insert(text.clone());
        match client.call(database, "send_message", &json!(["lobby", text])) {
            Called::Ok => {
                texts.acknowledged.insert(text);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Called::Unknown(why) => {
                let is_killed = killed.load(Ordering::Relaxed);
                assert!(is_killed, "it refused before it was killed: {why}");
                break;
            }
            Called::Failed(why) => panic!("a message failed: {why}"),
        }
    }
    texts
}

/// Lets clients talk, and kills the peer in the middle.
fn round(peer: &mut Peer, database: &str, number: u64, dice: &mut u64) -> Texts {
    let calls = draw(dice) % ACKNOWLEDGED_MAX;
    let wait = Duration::from_micros(draw(dice) % WAIT_US_MAX);
    let client = Client::clone(peer);
    let acknowledged = AtomicU64::new(0);
    let killed = AtomicBool::new(false);
    let mut texts = Texts::default();
    std::thread::scope(|scope| {
        let (client, acknowledged, killed) = (&client, &acknowledged, &killed);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client_number| {
                let name = format!("round {number} client {client_number}");
                scope.spawn(move || stream(client, database, &name, acknowledged, killed))
            })
            .collect();
        wait_for(
            "calls to be acknowledged",
            LONG_PATIENCE,
            || match acknowledged.load(Ordering::Relaxed) {
                enough if enough >= calls => Ok(()),
                few => Err(format!("{few} of {calls}")),
            },
        );
        let until = Instant::now() + wait;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        killed.store(true, Ordering::Relaxed);
        peer.kill();
        for client in clients {
            texts.add(client.join().expect("a client does not panic"));
        }
    });
    texts
}

/// Whether all that was acknowledged is there, and all that is there was asked for, once.
fn check(peer: &Peer, database: &str, texts: &Texts) {
    let rows = peer.sql(database, "SELECT text FROM message");
    let said: Vec<String> = rows
        .iter()
        .map(|row| row[0].as_str().expect("a text").to_string())
        .collect();
    let different: BTreeSet<String> = said.iter().cloned().collect();
    assert_eq!(different.len(), said.len(), "a call ran twice");
    let lost: Vec<_> = texts.acknowledged.difference(&different).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let unasked: Vec<_> = different.difference(&texts.asked).collect();
    assert!(unasked.is_empty(), "nobody asked for {unasked:?}");
    assert_eq!(peer.status(database)["status"], "ok");
}

/// How long the peer says its start took until its databases could be used.
fn opened_ms(peer: &Peer) -> f64 {
    let (status, text) = peer
        .request("GET", "/v1/peer", None)
        .expect("the peer answers");
    assert_eq!(status, 200, "{text}");
    let told: serde_json::Value = serde_json::from_str(&text).expect("the answer is JSON");
    told["opened_ms"].as_f64().expect("it says how long")
}

#[test]
fn kill_loop_loses_nothing_that_was_acknowledged() {
    let _turn = turn();
    let rounds = setting("TOMBOLO_KILL_ROUNDS", ROUNDS);
    let seed = setting("TOMBOLO_KILL_SEED", SEED);
    println!("kill loop: {rounds} rounds, TOMBOLO_KILL_SEED={seed}");
    let mut dice = seed;
    let mut peer = Peer::start("killed");
    let database = peer.publish("chat", "chat");
    let mut texts = Texts::default();
    let mut openings = Vec::new();
    for number in 1..=rounds {
        texts.add(round(&mut peer, &database, number, &mut dice));
        peer.start_again();
        let opened = opened_ms(&peer);
        println!(
            "round {number} of {rounds}: {} calls acknowledged so far, opened in {opened:.0} ms",
            texts.acknowledged.len()
        );
        assert!(opened < OPENED_MS_MAX, "it took {opened} ms to open");
        openings.push(opened);
        check(&peer, &database, &texts);
    }
    openings.sort_by(f64::total_cmp);
    let median = openings[openings.len() / 2];
    let longest = openings[openings.len() - 1];
    println!("opening: p50 {median:.0} ms, max {longest:.0} ms, {rounds} kills, seed {seed}");
    assert!(
        rounds < ROUNDS_TO_JUDGE || median <= OPENED_MS_MEDIAN,
        "half of the openings took {median} ms and more"
    );
    peer.interrupt(PATIENCE).expect("it ends");
    let looked = peer.cli(&["check"]);
    assert!(looked.status.success(), "{looked:?}");
}
