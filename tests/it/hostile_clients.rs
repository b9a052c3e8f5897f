//! Clients that do what no client should, each against a real peer: what they get is what
//! docs/CLIENTS.md says, and the peer goes on for everybody else.
#![allow(
    clippy::disallowed_methods,
    reason = "talks to other processes, so it waits for them"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use client_messages::v2::{ClientMessage, ServerMessage};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_for};
use crate::sockets::{End, Handshake, Socket, tcp};
use crate::upgrades::made::{MadeTable, made, plain};
use spacetimedb_sats::{AlgebraicType as Type, AlgebraicValue};

/// All subprotocols, the best first.
const PROTOCOLS: [&str; 4] = [
    "v3.bsatn.spacetimedb",
    "v2.bsatn.spacetimedb",
    "v1.bsatn.spacetimedb",
    "v1.json.spacetimedb",
];

/// What a peer may take more than before, in bytes, whatever a client does: its own bound for what
/// one client is told, three times (waiting, being written, and as the allocator keeps it).
const MORE_BYTES_MAX: u64 = 3 * (64 << 20) + (64 << 20);

/// Numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Somebody who comes now is served.
fn is_well(peer: &mut Peer, database: &str) {
    assert!(peer.is_running());
    let mut socket = Socket::v2(peer, database);
    assert_eq!(socket.follow(1, "SELECT * FROM room"), 1);
}

/// How many connections the chat knows of.
fn connections(peer: &Peer, database: &str) -> u64 {
    let rows = peer.sql(
        database,
        "SELECT connections FROM user WHERE connections > 0",
    );
    rows.iter().filter_map(|row| row[0].as_u64()).sum()
}

fn nobody_is_connected(peer: &Peer, database: &str) {
    wait_for(
        "the module to hear that all are gone",
        PATIENCE,
        || match connections(peer, database) {
            0 => Ok(()),
            left => Err(format!("{left} are connected")),
        },
    );
}

#[test]
fn a_handshake_that_asks_for_what_there_is_not_is_refused_with_a_status() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let sound = || Handshake::v2(&database);
    let zeros = format!("connection_id={}", "0".repeat(32));
    let unknown = "f".repeat(64);
    let with_options = |options| Handshake { options, ..sound() };
    let offering = |protocol| Handshake {
        protocol,
        ..sound()
    };
    let to = |database| Handshake {
        database,
        ..sound()
    };
    let with_token = |token| Handshake { token, ..sound() };
    let refused: [(Handshake<'_>, u16, &str); 12] = [
        (offering(None), 400, "v1.json.spacetimedb"),
        (offering(Some("v9.bsatn.spacetimedb")), 400, "subprotocols"),
        (offering(Some("graphql-ws, mqtt")), 400, "subprotocols"),
        (with_options(&zeros), 400, "connection_id"),
        (with_options("connection_id=7"), 400, "connection_id"),
        (with_options("compression=Zip"), 400, "Zip"),
        (with_options("confirmed=maybe"), 400, "confirmed"),
        (with_options("light=1"), 400, "light"),
        (with_options("token=not.a.token"), 401, ""),
        (with_token(Some("not.a.token")), 401, ""),
        (to("no-such-database"), 404, "no database"),
        (to(&unknown), 404, "no database"),
    ];
    for (handshake, status, words) in refused {
        let text = handshake.text();
        match handshake.open(&peer) {
            Err((refused, why)) => {
                assert_eq!(refused, status, "{text}{why}");
                assert!(why.contains(words), "{text}{why}");
            }
            Ok(_) => panic!("it was let in: {text}"),
        }
    }
    // Of several, the best that both know is taken, wherever it stands.
    for (offered, chosen) in [
        ("v1.json.spacetimedb, v1.bsatn.spacetimedb", "v1.bsatn"),
        ("mqtt, v1.json.spacetimedb,v2.bsatn.spacetimedb", "v2.bsatn"),
        ("v2.bsatn.spacetimedb, v3.bsatn.spacetimedb", "v3.bsatn"),
    ] {
        let mut handshake = Handshake::v2(&database);
        handshake.protocol = Some(offered);
        let mut stream = handshake.send(&peer);
        let mut head = vec![0; 512];
        let len = stream.read(&mut head).expect("it answers");
        let head = String::from_utf8_lossy(&head[..len]).to_lowercase();
        let line = format!("sec-websocket-protocol: {chosen}.spacetimedb\r\n");
        assert!(head.contains(&line), "{offered}: {head}");
    }
    is_well(&mut peer, &database);
}

#[test]
fn bytes_that_are_no_handshake_are_nobodys_trouble() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let mut dice = Dice(0x7ead_beef);
    // Kept open until the end: who says nothing, and who stops in the middle of a word.
    let mut open = Vec::new();
    let sound = Handshake::v2(&database).text();
    for round in 0..200 {
        let mut stream = tcp(&peer);
        let len = 1 + dice.below(4_096) as usize;
        let bytes = match round % 4 {
            0 => dice.bytes(len),
            1 => sound.as_bytes()[..dice.below(sound.len() as u64) as usize].to_vec(),
            2 => [b"GET / HTTP/1.1\r\n".to_vec(), dice.bytes(len)].concat(),
            _ => sound.replace("websocket", "carrier-pigeon").into_bytes(),
        };
        // It may have hung up before all is written.
        let _ = stream.write_all(&bytes);
        if round % 3 == 0 {
            open.push(stream);
        } else {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    // A head without an end.
    let mut endless = tcp(&peer);
    let line = format!("X-Word: {}\r\n", "a".repeat(1_000));
    let _ = endless.write_all(b"GET / HTTP/1.1\r\n");
    let ended = (0..10_000).any(|_| endless.write_all(line.as_bytes()).is_err());
    assert!(ended, "ten million bytes of a head were taken");
    is_well(&mut peer, &database);
    drop(open);
    nobody_is_connected(&peer, &database);
}

#[test]
fn frames_that_say_nothing_end_their_connection_and_no_other() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let mut witness = Socket::v2(&peer, &database);
    witness.follow(1, "SELECT * FROM account");
    let mut dice = Dice(0x0dd_ba11);
    for protocol in PROTOCOLS {
        let open = |peer: &Peer| {
            let mut handshake = Handshake::v2(&database);
            handshake.protocol = Some(protocol);
            let mut socket = handshake.open(peer).expect("it is let in");
            socket.next().expect("hello");
            socket
        };
        // Sound frames whose content is no message.
        for _ in 0..20 {
            let mut socket = open(&peer);
            let len = 1 + dice.below(300) as usize;
            // No message begins with such a byte.
            let bytes = [vec![0xF0], dice.bytes(len)].concat();
            let message = match protocol.contains("json") {
                true => Message::text(printable(&bytes)),
                false => Message::binary(bytes),
            };
            socket.send(message).expect("the peer takes a frame");
            match socket.end() {
                End::Closed(1011, why) => assert!(!why.is_empty()),
                other => panic!("{protocol}: {other:?}"),
            }
        }
        // The wrong kind, and nothing at all.
        let mut socket = open(&peer);
        let wrong = match protocol.contains("json") {
            true => Message::binary(vec![1]),
            false => Message::text("{}"),
        };
        socket.send(wrong).expect("the peer takes a frame");
        let why = if protocol.contains("json") {
            "text"
        } else {
            "binary"
        };
        let expected = End::Closed(1011, format!("this subprotocol is {why}"));
        assert_eq!(socket.end(), expected, "{protocol}");
        let mut socket = open(&peer);
        socket.send(Message::binary(Vec::new())).expect("taken");
        assert!(matches!(socket.end(), End::Closed(1011, _)), "{protocol}");
        // What is no frame.
        for _ in 0..20 {
            let mut socket = open(&peer);
            let len = 16 + dice.below(500) as usize;
            let bytes = dice.bytes(len);
            let _ = socket.stream().write_all(&bytes);
            // It may wait for the rest of a frame that it was promised.
            let _ = socket.stream().shutdown(Shutdown::Write);
            let _ = socket.end();
        }
    }
    let made = peer.call(&database, "open_accounts", &json!([1]));
    assert_eq!(made, Called::Ok);
    assert!(matches!(
        witness.next_v2(),
        ServerMessage::TransactionUpdate(_)
    ));
    drop(witness);
    is_well(&mut peer, &database);
    nobody_is_connected(&peer, &database);
}

/// Some text, whatever the bytes.
fn printable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| char::from(*byte % 94 + 33))
        .collect()
}

#[test]
fn what_is_longer_than_a_message_may_be_ends_the_connection() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let before = peer.resident_bytes();
    let whole = |len: u64| {
        let mut head = vec![0x82, 0xFF];
        head.extend(len.to_be_bytes());
        head.extend([0; 4]);
        head
    };
    let part = |first: bool| vec![if first { 0x02 } else { 0x00 }, 0xFF];
    for protocol in PROTOCOLS {
        // In one frame, as it says itself; and in parts, none of which is too long.
        for parts in [false, true] {
            let mut handshake = Handshake::v2(&database);
            handshake.protocol = Some(protocol);
            let mut socket = handshake.open(&peer).expect("it is let in");
            socket.next().expect("hello");
            let megabyte = vec![0; 1 << 20];
            let mut written = Ok(());
            for at in 0..40 {
                let head = match (parts, at) {
                    (false, 0) => whole(40 << 20),
                    (false, _) => Vec::new(),
                    (true, at) => {
                        let mut head = part(at == 0);
                        head.extend((1_u64 << 20).to_be_bytes());
                        head.extend([0; 4]);
                        head
                    }
                };
                written = socket
                    .stream()
                    .write_all(&head)
                    .and_then(|()| socket.stream().write_all(&megabyte));
                if written.is_err() {
                    break;
                }
            }
            match socket.end() {
                End::Closed(code, why) => assert_eq!(code, 1011, "{why}"),
                // It hung up while it was still being written to.
                End::Gone => assert!(written.is_err() || parts, "{protocol}, parts: {parts}"),
            }
        }
    }
    let after = peer.resident_bytes();
    assert!(after < before + MORE_BYTES_MAX, "{before} became {after}");
    // The longest that may be is taken: a call with arguments that are refused for themselves.
    let mut socket = Socket::v2(&peer, &database);
    socket.ask(&ClientMessage::CallReducer {
        request_id: 1,
        reducer: "send_message".to_owned(),
        args: vec![0; (32 << 20) - 100].into(),
    });
    assert!(matches!(
        socket.next_v2(),
        ServerMessage::ReducerResult { .. }
    ));
    drop(socket);
    is_well(&mut peer, &database);
    nobody_is_connected(&peer, &database);
}

#[test]
fn clients_that_go_without_a_word_are_gone() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    // One half shut, while it still listens.
    let mut half = Socket::v2(&peer, &database);
    half.follow(1, "SELECT * FROM user");
    half.shut();
    half.end();
    nobody_is_connected(&peer, &database);
    // Gone in the middle of a frame, of a handshake, and of an answer that is on its way.
    let mut midst = Socket::v2(&peer, &database);
    let sent = midst.stream().write_all(&[0x82, 0xFE, 0x10]);
    sent.expect("the peer reads");
    drop(midst);
    let mut early = Handshake::v2(&database).send(&peer);
    early.shutdown(Shutdown::Write).expect("it is open");
    let _ = early.read(&mut [0; 16]);
    drop(early);
    drop(Handshake::v2(&database).send(&peer));
    let mut asking = Socket::v2(&peer, &database);
    asking.ask(&ClientMessage::CallReducer {
        request_id: 1,
        reducer: "open_accounts".to_owned(),
        args: 50_000_u32.to_le_bytes().to_vec().into(),
    });
    asking.ask(&ClientMessage::OneOffQuery {
        request_id: 2,
        query_string: "SELECT * FROM account".to_owned(),
    });
    // What was sent before it went is still done.
    asking.shut();
    asking.end();
    nobody_is_connected(&peer, &database);
    wait_for("a call of one that is gone", PATIENCE, || {
        match peer.count(&database, "account") {
            50_000 => Ok(()),
            other => Err(format!("{other} accounts")),
        }
    });
    is_well(&mut peer, &database);
}

#[test]
fn one_that_does_not_read_is_let_go_of_and_costs_no_more_than_it_may() {
    const ROWS: u32 = 2_000;
    const QUERIES: u32 = 100;
    // Of half a minute after which a silent client is given up.
    const SIGN_EVERY: Duration = Duration::from_secs(12);
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let made = peer.call(&database, "open_accounts", &json!([ROWS]));
    assert_eq!(made, Called::Ok);
    let mut slow = Socket::v2(&peer, &database);
    for set in 1..=QUERIES {
        let rows = slow.follow(
            set,
            &format!("SELECT * FROM account WHERE balance <> -{set}"),
        );
        assert_eq!(rows, ROWS as usize);
    }
    let mut witness = Socket::v2(&peer, &database);
    witness.follow(1, "SELECT * FROM account WHERE id = 7");
    let before = peer.resident_bytes();
    let mut most = before;
    let mut told = 0;
    let mut sent = Instant::now();
    for round in 1..1_000 {
        // Each time all rows change: megabytes for the one, a row for the other.
        peer.sql_text(&database, &format!("UPDATE account SET balance = {round}"));
        most = most.max(peer.resident_bytes());
        match witness.next_v2() {
            ServerMessage::TransactionUpdate(_) => told += 1,
            other => panic!("others hear of each change: {other:?}"),
        }
        if connections(&peer, &database) == 1 {
            break;
        }
        // It is not gone, it only does not read. Seldom: it may be let go of at this moment, and who
        // sends to an end that is closed loses what he had not read yet.
        if sent.elapsed() > SIGN_EVERY {
            let _ = slow.send(Message::Pong(Vec::new().into()));
            sent = Instant::now();
        }
    }
    assert_eq!(
        connections(&peer, &database),
        1,
        "the witness, and nobody else"
    );
    assert!(told > 5);
    assert!(
        most < before + MORE_BYTES_MAX,
        "{before} bytes became {most} after {told} changes"
    );
    // It reads again, and what comes last is the reason.
    let why = "the client does not read what it is told".to_owned();
    assert_eq!(slow.end(), End::Closed(1013, why));
    drop(witness);
    is_well(&mut peer, &database);
}

#[test]
fn one_that_asks_for_much_and_does_not_read_costs_no_more_than_it_may() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let made = peer.call(&database, "open_accounts", &json!([100_000]));
    assert_eq!(made, Called::Ok);
    let before = peer.resident_bytes();
    let mut greedy = Socket::v2(&peer, &database);
    // A gigabyte of answers.
    const QUESTIONS: u32 = 900;
    for request_id in 0..QUESTIONS {
        greedy.ask(&ClientMessage::OneOffQuery {
            request_id,
            query_string: "SELECT * FROM account".to_owned(),
        });
    }
    // Others are served meanwhile.
    for _ in 0..20 {
        is_well(&mut peer, &database);
    }
    let most = peer.resident_bytes();
    assert!(most < before + MORE_BYTES_MAX, "{before} became {most}");
    // It is slow, not wrong: it gets every answer, in order.
    for expected in 0..QUESTIONS {
        match greedy.next_v2() {
            ServerMessage::OneOffQueryResult { request_id, result } => {
                assert_eq!(request_id, expected);
                let rows = result.expect("rows");
                assert_eq!(rows.tables[0].rows.len(), 100_000);
            }
            other => panic!("expected rows, got {other:?}"),
        }
    }
    let most = peer.resident_bytes();
    assert!(most < before + MORE_BYTES_MAX, "{before} became {most}");
    is_well(&mut peer, &database);
}

#[test]
fn a_thousand_at_once_are_let_in_and_the_peer_goes_on() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    // All ask before any hears an answer.
    let asking: Vec<TcpStream> = (0..1_000)
        .map(|_| Handshake::v2(&database).send(&peer))
        .collect();
    let mut sockets: Vec<Socket> = asking
        .into_iter()
        .map(|stream| Socket::accepted(stream).expect("it is let in"))
        .collect();
    for socket in &mut sockets {
        let hello = socket.next_v2();
        assert!(matches!(hello, ServerMessage::InitialConnection { .. }));
    }
    assert_eq!(connections(&peer, &database), 1_000);
    is_well(&mut peer, &database);
    // All go at once, and without a word.
    drop(sockets);
    nobody_is_connected(&peer, &database);
    is_well(&mut peer, &database);
}

fn item() -> MadeTable {
    plain("item", &[("id", Type::U32), ("name", Type::String)])
}

fn with_level() -> MadeTable {
    item().with(|table| {
        table.columns.push(("level", Type::U16));
        table.defaults.push((2, AlgebraicValue::U16(7)));
    })
}

#[test]
fn an_upgrade_lets_go_of_those_whose_rows_have_other_columns_and_of_nobody_else() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let room = || plain("room", &[("id", Type::U32)]);
    let publish = |peer: &Peer, tables: &[MadeTable]| {
        let path = peer.data_dir().join("made.wasm");
        std::fs::write(&path, made(tables)).expect("it can be written");
        let path = path.to_str().expect("a plain path");
        peer.cli(&["publish", "shop", "--bin-path", path, "--break-clients"])
            .ok();
    };
    publish(&peer, &[item(), room()]);
    assert_eq!(peer.call("shop", "put_item", &json!([1, "a"])), Called::Ok);
    let mut of_items = Socket::v2(&peer, "shop");
    assert_eq!(of_items.follow(1, "SELECT * FROM item"), 1);
    let mut of_rooms = Socket::v2(&peer, "shop");
    assert_eq!(of_rooms.follow(1, "SELECT * FROM room"), 0);
    let mut of_v1 = Handshake::v2("shop");
    of_v1.protocol = Some("v1.json.spacetimedb");
    let mut of_v1 = of_v1.open(&peer).expect("it is let in");
    of_v1.next().expect("hello");
    let text = json!({ "Subscribe": { "query_strings": ["SELECT * FROM item"], "request_id": 1 } });
    let sent = of_v1.send(Message::text(text.to_string()));
    sent.expect("the peer takes a message");
    of_v1.next().expect("rows");
    publish(&peer, &[with_level(), room()]);
    let why = "the module was replaced by one that shows other tables or other rows: connect again"
        .to_owned();
    assert_eq!(of_items.end(), End::Closed(1001, why.clone()));
    assert_eq!(of_v1.end(), End::Closed(1001, why));
    assert_eq!(peer.call("shop", "put_room", &json!([3])), Called::Ok);
    match of_rooms.next_v2() {
        ServerMessage::TransactionUpdate(update) => assert_eq!(update.query_sets.len(), 1),
        other => panic!("expected a room, got {other:?}"),
    }
    let mut again = Socket::v2(&peer, "shop");
    assert_eq!(again.follow(1, "SELECT * FROM item WHERE level = 7"), 1);
    assert!(peer.is_running());
}

#[test]
fn a_database_that_is_deleted_lets_go_of_its_clients() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let chat = peer.publish("chat", "chat");
    let other = peer.publish("other", "chat");
    let mut follows = Socket::v2(&peer, &chat);
    follows.follow(1, "SELECT * FROM room");
    let mut idle = Socket::v2(&peer, &chat);
    let mut elsewhere = Socket::v2(&peer, &other);
    let (status, text) = peer
        .request("DELETE", &format!("/v1/database/{chat}"), None)
        .expect("the peer answers");
    assert_eq!(status, 200, "{text}");
    match follows.end() {
        End::Closed(1001, why) => assert!(why.contains("gone"), "{why}"),
        other => panic!("expected 1001, got {other:?}"),
    }
    match idle.end() {
        End::Closed(1001, why) => assert!(why.contains("gone"), "{why}"),
        other => panic!("expected 1001, got {other:?}"),
    }
    assert_eq!(elsewhere.follow(1, "SELECT * FROM room"), 1);
    let refused = Handshake::v2(&chat).open(&peer).err();
    assert_eq!(refused.map(|(status, _)| status), Some(404));
    is_well(&mut peer, &other);
    let _: Value = peer.status(&other);
}
