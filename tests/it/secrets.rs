//! Secrets stay where they belong: in files that their owner alone may read, and in no log, however
//! much is logged.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use sync_protocol::Ticket;

use crate::client::{Called, Client};
use crate::harness::{PATIENCE, Peer, module, turn};
use crate::sockets::{Handshake, tcp};
use crate::tls::{ask, kept};

/// What must not be found, by what it is.
#[derive(Default)]
struct Secrets(BTreeMap<String, Vec<u8>>);

impl Secrets {
    fn add(&mut self, what: &str, bytes: &[u8]) {
        assert!(bytes.len() >= 16, "{what} could be found by chance");
        self.0.insert(what.to_owned(), bytes.to_vec());
    }

    /// A token: whole, and what makes it one.
    fn token(&mut self, what: &str, token: &str) {
        self.add(what, token.as_bytes());
        if let Some((_, signature)) = token.rsplit_once('.') {
            self.add(&format!("the signature of {what}"), signature.as_bytes());
        }
    }

    /// What a peer's data directory holds.
    fn of(&mut self, name: &str, peer: &Peer) {
        let read =
            |file: &str| fs::read_to_string(peer.data_dir().join(file)).expect("it is there");
        let key = read("peer.key");
        let key = HEXLOWER.decode(key.trim().as_bytes()).expect("hex");
        self.add(&format!("the key of {name}"), &key);
        self.token(
            &format!("the owner's token of {name}"),
            read("owner.token").trim(),
        );
    }

    fn ticket(&mut self, what: &str, ticket: &str) {
        self.add(what, ticket.as_bytes());
        let ticket: Ticket = ticket.parse().expect("a ticket");
        self.add(&format!("the key in {what}"), &ticket.key.to_bytes());
    }

    /// Which of them are in a text, in any of the ways in which bytes are written, and where.
    fn found_in(&self, log: &str, text: &str) -> Vec<String> {
        let folded = text.to_ascii_lowercase();
        let mut found = Vec::new();
        for (what, bytes) in &self.0 {
            let listed: Vec<String> = bytes.iter().map(u8::to_string).collect();
            let escaped = bytes.escape_ascii().to_string();
            let written = [
                String::from_utf8_lossy(bytes).into_owned(),
                escaped.replace("\\x00", "\\0"),
                escaped,
                HEXLOWER.encode(bytes),
                BASE64.encode(bytes),
                BASE64URL_NOPAD.encode(bytes),
                BASE32_NOPAD.encode(bytes),
                listed.join(", "),
            ];
            let places = written
                .iter()
                .filter_map(|written| folded.find(&written.to_ascii_lowercase()));
            if let Some(at) = places.min() {
                let from = folded[..at].rfind('\n').map_or(0, |line| line + 1);
                let line: String = text[from..].chars().take(200).collect();
                found.push(format!("{what} is in {log}: {line}"));
            }
        }
        found
    }
}

/// Somebody else's HTTP side of the same peer.
fn with(peer: &Peer, token: &str) -> Client {
    Client::new(peer.http(), token)
}

/// A request that names nobody, and its answer.
fn without_header(peer: &Peer, path: &str) -> String {
    let mut stream = tcp(peer);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("all of it comes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_secret_is_in_any_log() {
    let _turn = turn();
    let mut secrets = Secrets::default();
    let mut peers = ["a", "b", "c"].map(Peer::new);
    peers[0].told("127.0.0.1:0", &["--tls"]);
    for peer in &mut peers {
        peer.log_everything();
        peer.start_again();
        secrets.of(peer.name(), peer);
    }
    let [a, b, c] = &peers;
    let tls_key = fs::read_to_string(a.data_dir().join("tls.key")).expect("it is there");
    for line in tls_key.lines().filter(|line| !line.starts_with("---")) {
        secrets.add("the TLS key", line.as_bytes());
    }

    // A recovery key, a ticket that lets in and one that lets nobody in any more.
    let wasm = module("chat");
    let wasm = wasm.to_str().expect("a plain path");
    let published = a
        .cli(&["publish", "chat", "--bin-path", wasm, "--json"])
        .ok();
    let published: Value = serde_json::from_str(&published).expect("JSON");
    let database = published["database_identity"].as_str().expect("it is told");
    let recovery = published["recovery_key"].as_str().expect("it is told");
    let recovery = HEXLOWER.decode(recovery.as_bytes()).expect("hex");
    secrets.add("the recovery key", &recovery);
    let ticket = a.invite("chat");
    secrets.ticket("the ticket", &ticket);
    b.join(&ticket);
    let refused = c.cli(&["join", &ticket]);
    assert!(!refused.status.success(), "{refused:?}");
    let spoilt = format!("{}q", &ticket[..ticket.len() - 1]);
    secrets.add("the spoilt ticket", spoilt.as_bytes());
    let refused = c.cli(&["join", &spoilt]);
    assert!(!refused.status.success(), "{refused:?}");

    // Tokens: made, used, brief, of another peer, with a wrong signature.
    let (status, answer) = b.request("POST", "/v1/identity", None).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let token = answer["token"].as_str().expect("it is told").to_owned();
    secrets.token("a new token", &token);
    let caller = with(b, &token);
    let called = caller.call(database, "set_name", &json!(["ada"]));
    assert_eq!(called, Called::Ok);
    let brief = caller
        .request("POST", "/v1/identity/websocket-token", Some(""))
        .expect("an answer");
    assert_eq!(brief.0, 200, "{brief:?}");
    let brief: Value = serde_json::from_str(&brief.1).expect("JSON");
    let brief = brief["token"].as_str().expect("it is told").to_owned();
    secrets.add("a brief token", brief.as_bytes());
    let (status, _) = with(b, c.token())
        .request("GET", "/v1/peer", None)
        .expect("an answer");
    assert_eq!(status, 401, "another peer's token");
    let wrong = format!("{}AAAA", &token[..token.len() - 4]);
    secrets.token("a wrong token", &wrong);
    let (status, _) = with(b, &wrong)
        .request("GET", "/v1/peer", None)
        .expect("an answer");
    assert_eq!(status, 401, "a wrong signature");

    // Tokens in addresses: where there is nothing, where something else is wrong, and where they belong.
    for token in [&token, &wrong, &brief] {
        for path in [
            format!("/v1/nowhere?token={token}"),
            format!("/v1/database/chat/subscribe?token={token}"),
            format!("/v1/database/chat/logs?num_lines=many&token={token}"),
        ] {
            let answer = without_header(b, &path);
            assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        }
    }
    for token in [&token, &brief] {
        let handshake = Handshake {
            options: &format!("compression=None&token={token}"),
            ..Handshake::v2(database)
        };
        let mut socket = handshake.open(b).expect("it is let in");
        // Tells the token.
        socket.next_v2();
        assert_eq!(socket.follow(1, "SELECT * FROM user"), 1);
    }
    let bearer = format!("Authorization: Bearer {}\r\n", a.token());
    let answer = ask(a, &kept(a), "GET", "/v1/peer", &bearer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(a, &kept(a), "POST", "/v1/identity?token=", "");
    let token = answer
        .split('"')
        .find(|part| part.matches('.').count() == 2);
    secrets.token("a token over TLS", token.expect("it is told"));
    let answer = ask(
        a,
        &kept(a),
        "GET",
        "/v1/peer",
        &format!("Authorization: Bearer {wrong}\r\n"),
    );
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    // The owner's of all, at the end: they are new at each start.
    for peer in &mut peers {
        let stopped = peer.interrupt(PATIENCE);
        assert!(stopped.is_some_and(|status| status.success()), "it stops");
        peer.start_again();
        secrets.of(&format!("{} again", peer.name()), peer);
    }
    assert!(secrets.0.len() > 20, "{}", secrets.0.len());
    let mut found = Vec::new();
    for peer in &peers {
        let output = peer.output();
        assert!(output.contains("TRACE"), "everything is logged");
        found.extend(secrets.found_in(&format!("the output of {}", peer.name()), &output));
        for file in files(&peer.data_dir().join("databases")) {
            if file
                .extension()
                .is_some_and(|ending| ending == "log" || ending == "jsonl")
            {
                let text = fs::read_to_string(&file).expect("a text");
                found.extend(secrets.found_in(&file.display().to_string(), &text));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn all_that_a_peer_keeps_is_for_its_owner_alone() {
    let _turn = turn();
    let mut peer = Peer::new("a");
    peer.told("127.0.0.1:0", &["--tls"]);
    peer.start_again();
    peer.publish("chat", "chat");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    let mut secret = 0;
    for entry in fs::read_dir(peer.data_dir()).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("it has a name").to_string_lossy();
        match name.as_ref() {
            // The harness made it.
            "test-output.txt" => {}
            // Whatever is below, nobody else gets there.
            _ if path.is_dir() => assert_eq!(mode(&path), 0o700, "{name}"),
            _ => {
                assert_eq!(mode(&path), 0o600, "{name}");
                secret += 1;
            }
        }
    }
    assert!(secret >= 5, "key, tokens, certificate: only {secret} files");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
