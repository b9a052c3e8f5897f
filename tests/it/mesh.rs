//! Three peers with no server between them: calls on each show on the others, one is killed in
//! the middle, and all end with the same tables.

use crate::client::{Called, Client};
use crate::harness::{LONG_PATIENCE, PATIENCE, Peer, turn, wait_for, wait_until_equal};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls that each peer has to acknowledge.
const CALLS_PER_PEER: usize = 1_000;
/// Clients at a time on each peer, so that calls meet in one entry.
const CLIENTS_PER_PEER: usize = 4;
/// How many calls a peer has acknowledged when it is killed.
const CALLS_BEFORE_KILL: usize = 400;
/// Names that all peers want. Each can have one holder.
const NAMES: usize = 20;
const ACCOUNTS: u32 = 50;
const OPENING_BALANCE: i64 = 1_000;

/// A database on the first peer, joined by the others.
fn mesh(names: &[&str]) -> (Vec<Peer>, String) {
    let peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    let database = peers[0].publish("chat", "chat");
    for peer in &peers[1..] {
        peer.join(&peers[0].invite("chat"));
    }
    (peers, database)
}

fn said(peer: &Client, database: &str) -> BTreeSet<String> {
    peer.sql(database, "SELECT text FROM message")
        .iter()
        .map(|row| row[0].as_str().expect("a text").to_string())
        .collect()
}

fn say(peer: &Client, database: &str, text: &str) {
    let called = peer.call(database, "send_message", &json!(["lobby", text]));
    assert_eq!(called, Called::Ok, "{text}");
}

fn wait_for_message(peer: &Client, database: &str, text: &str) {
    wait_for(&format!("\"{text}\" to arrive"), PATIENCE, || {
        let said = said(peer, database);
        if said.contains(text) {
            Ok(())
        } else {
            Err(format!("there is {said:?}"))
        }
    });
}

#[test]
fn calls_on_each_peer_show_on_the_others() {
    let _turn = turn();
    let (peers, database) = mesh(&["a", "b", "c"]);
    for (number, peer) in peers.iter().enumerate() {
        say(peer, &database, &format!("said on {number}"));
    }
    for peer in &peers {
        for number in 0..peers.len() {
            wait_for_message(peer, &database, &format!("said on {number}"));
        }
    }
    let all: Vec<&Peer> = peers.iter().collect();
    wait_until_equal(&all, &database);
    assert_eq!(peers[0].status(&database)["members"], json!(3));
}

#[test]
fn those_who_joined_find_each_other_when_the_first_is_gone() {
    let _turn = turn();
    let (mut peers, database) = mesh(&["a", "b", "c"]);
    wait_until_equal(&peers.iter().collect::<Vec<_>>(), &database);
    peers[0].kill();
    say(&peers[1], &database, "the first is gone");
    wait_for_message(&peers[2], &database, "the first is gone");
    // Nobody can finish what he says now, and it stays all the same.
    peers[1].kill();
    peers[1].start_again();
    say(&peers[2], &database, "the second is back");
    wait_for_message(&peers[1], &database, "the second is back");
    peers[0].start_again();
    wait_until_equal(&peers.iter().collect::<Vec<_>>(), &database);
    assert!(said(&peers[0], &database).contains("the second is back"));
}

#[test]
fn a_peer_that_is_unplugged_goes_on_and_comes_back() {
    let _turn = turn();
    let (peers, database) = mesh(&["a", "b", "c"]);
    let (a, b, c) = (&peers[0], &peers[1], &peers[2]);
    wait_until_equal(&[a, b, c], &database);
    c.cli(&["network", "off"]).ok();
    // Both take the same name, and neither can know.
    for (number, peer) in peers.iter().enumerate() {
        for round in 0..20 {
            say(
                peer,
                &database,
                &format!("{number} says {round} while apart"),
            );
        }
    }
    let name = json!(["Ada"]);
    assert_eq!(a.call(&database, "set_name", &name), Called::Ok);
    assert_eq!(c.call(&database, "set_name", &name), Called::Ok);
    wait_until_equal(&[a, b], &database);
    assert!(!said(b, &database).contains("2 says 0 while apart"));

    c.cli(&["network", "on"]).ok();
    wait_until_equal(&[a, b, c], &database);
    let said = said(b, &database);
    for number in 0..3 {
        for round in 0..20 {
            assert!(said.contains(&format!("{number} says {round} while apart")));
        }
    }
    let holders = b.sql(&database, "SELECT identity FROM user WHERE name = 'Ada'");
    assert_eq!(holders.len(), 1, "one of the two has the name: {holders:?}");
}

#[test]
fn a_ticket_for_one_lets_only_one_in() {
    let _turn = turn();
    let first = Peer::start("a");
    let database = first.publish("chat", "chat");
    let ticket = first.invite("chat");
    let second = Peer::start("b");
    second.join(&ticket);
    wait_until_equal(&[&first, &second], &database);
    let third = Peer::start("c");
    let refused = third.cli(&["join", &ticket]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        !refused.stderr.trim().is_empty(),
        "it says why: {refused:?}"
    );
    let garbled = third.cli(&["join", "tombolo1aaaa"]);
    assert!(!garbled.status.success(), "{garbled:?}");
}

/// What one peer is asked to do, and what it acknowledged.
struct Stream<'a> {
    database: &'a str,
    /// Tells the texts of the peers apart.
    peer: usize,
    next: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl<'a> Stream<'a> {
    fn new(database: &'a str, peer: usize) -> Stream<'a> {
        Stream {
            database,
            peer,
            next: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
        }
    }

    /// Makes calls on `client` until the peer has acknowledged `until`, or stops answering. Gives
    /// the texts whose sending was acknowledged.
    fn run(&self, client: &Client, until: usize) -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        while self.acknowledged.load(Ordering::Relaxed) < until {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let text = format!("peer {} says {number}", self.peer);
            let called = match number % 10 {
                // The same name is wanted on every peer: later in the one order, it is taken.
                0 => client.call(
                    self.database,
                    "set_name",
                    &json!([format!("name {}", number / 10 % NAMES)]),
                ),
                1 | 2 => {
                    // Everybody empties the same accounts.
                    let from = number as u32 / 10 % ACCOUNTS;
                    let to = (from + 1 + self.peer as u32) % ACCOUNTS;
                    client.call(
                        self.database,
                        "transfer",
                        &json!([from, to, 90 + self.peer]),
                    )
                }
                _ => client.call(self.database, "send_message", &json!(["lobby", text])),
            };
            match called {
                Called::Ok if number % 10 > 2 => {
                    texts.insert(text);
                }
                Called::Ok | Called::Failed(_) => {
                    assert!(
                        number % 10 <= 2 || called == Called::Ok,
                        "a message failed: {called:?}"
                    );
                }
                Called::Unknown(_) => return texts,
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        texts
    }

    /// The same from several clients at a time.
    fn run_together(&self, client: &Client, until: usize) -> BTreeSet<String> {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS_PER_PEER)
                .map(|_| scope.spawn(|| self.run(client, until)))
                .collect();
            clients
                .into_iter()
                .flat_map(|client| client.join().expect("a client does not panic"))
                .collect()
        })
    }
}

#[test]
fn every_acknowledged_call_survives_a_kill_and_all_end_equal() {
    let _turn = turn();
    let (mut peers, database) = mesh(&["a", "b", "c"]);
    let opened = peers[0].call(&database, "open_accounts", &json!([ACCOUNTS]));
    assert_eq!(opened, Called::Ok);
    wait_until_equal(&peers.iter().collect::<Vec<_>>(), &database);

    let streams: Vec<Stream> = (0..3).map(|peer| Stream::new(&database, peer)).collect();
    let clients: Vec<Client> = peers.iter().map(|peer| Client::clone(peer)).collect();
    let mut texts = BTreeSet::new();
    // All three write. The third is killed in the middle of its stream, the others go on.
    std::thread::scope(|scope| {
        let streams = &streams;
        let writers: Vec<_> = clients
            .iter()
            .zip(streams)
            .map(|(client, stream)| scope.spawn(|| stream.run_together(client, CALLS_PER_PEER)))
            .collect();
        wait_for(
            "the third peer to be in the middle of its stream",
            LONG_PATIENCE,
            || {
                let acknowledged = streams[2].acknowledged.load(Ordering::Relaxed);
                if acknowledged >= CALLS_BEFORE_KILL {
                    Ok(())
                } else {
                    Err(format!("{acknowledged} calls acknowledged"))
                }
            },
        );
        peers[2].kill();
        for writer in writers {
            texts.extend(writer.join().expect("a writer does not panic"));
        }
    });
    let acknowledged = |peer: usize| streams[peer].acknowledged.load(Ordering::Relaxed);
    assert!(acknowledged(0) >= CALLS_PER_PEER && acknowledged(1) >= CALLS_PER_PEER);
    assert!(
        acknowledged(2) < CALLS_PER_PEER,
        "it was killed after it had finished"
    );

    // Back again, it goes on with its stream while it hears what it missed.
    peers[2].start_again();
    texts.extend(streams[2].run_together(&peers[2], CALLS_PER_PEER));
    assert!(acknowledged(2) >= CALLS_PER_PEER);

    let all: Vec<&Peer> = peers.iter().collect();
    wait_until_equal(&all, &database);
    for peer in &peers {
        let said = said(peer, &database);
        let lost: Vec<&String> = texts.difference(&said).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged calls are lost: {lost:?}",
            lost.len(),
            texts.len()
        );
    }
    // The rules of the module hold in the one order, whatever each peer saw first.
    let names = peers[1].sql(&database, "SELECT name FROM user");
    let held: BTreeSet<&str> = names
        .iter()
        .map(|row| row[0].as_str().expect("a name"))
        .collect();
    assert_eq!(
        held.len(),
        names.len(),
        "a unique name has two holders: {names:?}"
    );
    let balances: Vec<i64> = peers[2]
        .sql(&database, "SELECT balance FROM account")
        .iter()
        .map(|row| {
            row[0]
                .as_i64()
                .or_else(|| row[0].as_str()?.parse().ok())
                .expect("a balance")
        })
        .collect();
    assert_eq!(
        balances.iter().sum::<i64>(),
        i64::from(ACCOUNTS) * OPENING_BALANCE
    );
    assert!(balances.iter().all(|balance| *balance >= 0), "{balances:?}");
}
