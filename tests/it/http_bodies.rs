//! Every answer of the HTTP side, word for word: status, kind of content and body, held against
//! `golden/http_bodies.txt`. What differs from run to run is masked. With `TOMBOLO_WRITE_GOLDEN=1` the
//! file is written anew.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::{PATIENCE, Peer, module, turn};

/// In whose name something is asked.
#[derive(Clone, Copy)]
enum Who {
    Owner,
    /// Somebody with a token of this peer.
    User,
    /// Without a token.
    Nobody,
    /// With a token that nobody can have made.
    Liar,
}

struct Asked<'a> {
    who: Who,
    method: &'a str,
    path: &'a str,
    kind: &'a str,
    body: Body<'a>,
}

enum Body<'a> {
    None,
    Text(&'a str),
    Module(&'a str),
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const WASM: &str = "application/wasm";

const fn ask<'a>(who: Who, method: &'a str, path: &'a str) -> Asked<'a> {
    Asked {
        who,
        method,
        path,
        kind: TEXT,
        body: Body::None,
    }
}

const fn send<'a>(
    who: Who,
    method: &'a str,
    path: &'a str,
    kind: &'a str,
    body: &'a str,
) -> Asked<'a> {
    Asked {
        who,
        method,
        path,
        kind,
        body: Body::Text(body),
    }
}

const fn publish<'a>(who: Who, method: &'a str, path: &'a str, name: &'a str) -> Asked<'a> {
    Asked {
        who,
        method,
        path,
        kind: WASM,
        body: Body::Module(name),
    }
}

/// What is asked, in this order. `{…}` stands for something of this run.
const ASKED: &[Asked<'static>] = &[
    ask(Who::Nobody, "GET", "/v1/ping"),
    ask(Who::Nobody, "GET", "/v1/health"),
    ask(Who::Nobody, "GET", "/v1/nothing"),
    ask(Who::Nobody, "DELETE", "/v1/ping"),
    // Identities.
    ask(Who::Nobody, "POST", "/v1/identity"),
    ask(Who::User, "POST", "/v1/identity/websocket-token"),
    ask(Who::Nobody, "POST", "/v1/identity/websocket-token"),
    ask(Who::Nobody, "GET", "/v1/identity/public-key"),
    ask(Who::User, "GET", "/v1/identity/{user}/verify"),
    ask(Who::User, "GET", "/v1/identity/{owner}/verify"),
    ask(Who::User, "GET", "/v1/identity/short/verify"),
    ask(Who::Nobody, "GET", "/v1/identity/{user}/verify"),
    ask(Who::Liar, "GET", "/v1/identity/{user}/verify"),
    // Publishing.
    // Short, as whoever is refused at once may not get rid of a long body.
    send(Who::Nobody, "PUT", "/v1/database/desk", WASM, "a module"),
    send(Who::User, "PUT", "/v1/database/desk", WASM, "a module"),
    send(Who::Owner, "PUT", "/v1/database/desk", WASM, ""),
    send(
        Who::Owner,
        "PUT",
        "/v1/database/desk",
        "application/wasm",
        "no wasm",
    ),
    publish(Who::Owner, "PUT", "/v1/database/A%20desk", "chat"),
    publish(Who::Owner, "PUT", "/v1/database/talk?policy=Any", "chat"),
    publish(Who::Owner, "PUT", "/v1/database/talk?auto_inc=any", "chat"),
    publish(Who::Owner, "PUT", "/v1/database/talk", "chat"),
    publish(Who::Owner, "PUT", "/v1/database/talk", "chat"),
    publish(Who::Owner, "POST", "/v1/database/talk/pre_publish", "chat"),
    publish(
        Who::Owner,
        "POST",
        "/v1/database/talk/pre_publish",
        "misbehave",
    ),
    publish(Who::Owner, "PUT", "/v1/database/talk", "misbehave"),
    // Lists, while there is one: their order is that of identities.
    ask(Who::Owner, "GET", "/v1/identity/{owner}/databases"),
    ask(Who::Owner, "GET", "/v1/peer/databases"),
    publish(Who::Owner, "PUT", "/v1/database/worse", "misbehave"),
    // What is there.
    ask(Who::Nobody, "GET", "/v1/database/talk"),
    ask(Who::Nobody, "GET", "/v1/database/{talk}"),
    ask(Who::Nobody, "GET", "/v1/database/nothing"),
    ask(Who::Liar, "GET", "/v1/database/talk"),
    ask(Who::Nobody, "GET", "/v1/database/talk/identity"),
    ask(Who::User, "GET", "/v1/identity/{user}/databases"),
    ask(Who::User, "GET", "/v1/identity/{owner}/databases"),
    // Names.
    ask(Who::Nobody, "GET", "/v1/database/talk/names"),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/names",
        TEXT,
        "chatter",
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/names",
        TEXT,
        "chatter",
    ),
    send(Who::Owner, "POST", "/v1/database/talk/names", TEXT, "worse"),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/names",
        TEXT,
        "No Name",
    ),
    send(
        Who::Owner,
        "PUT",
        "/v1/database/talk/names",
        JSON,
        r#"["talk", "worse"]"#,
    ),
    send(Who::Owner, "PUT", "/v1/database/talk/names", JSON, "[]"),
    send(
        Who::Owner,
        "PUT",
        "/v1/database/chatter/names",
        JSON,
        r#"["talk", "prattle"]"#,
    ),
    ask(Who::Nobody, "GET", "/v1/database/prattle/names"),
    ask(Who::Nobody, "GET", "/v1/database/chatter/names"),
    // Schemas.
    ask(Who::Nobody, "GET", "/v1/database/worse/schema?version=9"),
    ask(Who::Nobody, "GET", "/v1/database/worse/schema?version=10"),
    ask(Who::Nobody, "GET", "/v1/database/talk/schema?version=plain"),
    ask(Who::Nobody, "GET", "/v1/database/talk/schema"),
    // Calls.
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        r#"["Ada"]"#,
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        r#"{"name": "Ada L."}"#,
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        r#"[""]"#,
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        "[1]",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        "[]",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        JSON,
        "nonsense",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_name",
        TEXT,
        r#"["Ada"]"#,
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/call/set_nothing",
        JSON,
        "[]",
    ),
    send(Who::User, "POST", "/v1/database/talk/call/init", JSON, "[]"),
    send(
        Who::User,
        "POST",
        "/v1/database/nothing/call/set_name",
        JSON,
        "[]",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/worse/call/fail",
        JSON,
        r#"["on purpose"]"#,
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/worse/call/panic_now",
        JSON,
        r#"["on purpose"]"#,
    ),
    // Statements.
    send(
        Who::User,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "SELECT name, connections FROM user WHERE name = 'Ada L.'",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/sql?text=true",
        TEXT,
        "SELECT COUNT(*) AS n FROM room",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "SELECT * FROM nothing",
    ),
    send(Who::User, "POST", "/v1/database/talk/sql", TEXT, "SELECT"),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "SELECT * FROM room; SELECT * FROM room",
    ),
    send(
        Who::User,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "DELETE FROM room",
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "INSERT INTO account (id, balance) VALUES (1, 5), (2, 5)",
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "UPDATE account SET balance = 1 WHERE id = 1",
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/sql",
        TEXT,
        "EXPLAIN SELECT * FROM account WHERE id = 1",
    ),
    // Logs.
    ask(Who::Owner, "GET", "/v1/database/worse/logs?num_lines=10"),
    ask(Who::Owner, "GET", "/v1/database/talk/logs?num_lines=many"),
    ask(Who::User, "GET", "/v1/database/worse/logs?num_lines=10"),
    // Members.
    ask(Who::Owner, "GET", "/v1/database/talk/members"),
    ask(Who::User, "GET", "/v1/database/talk/members"),
    send(Who::Owner, "POST", "/v1/database/talk/invite", JSON, "{}"),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/invite",
        JSON,
        r#"{"role": "queen"}"#,
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/invite",
        JSON,
        r#"{"uses": 0}"#,
    ),
    send(Who::User, "POST", "/v1/database/talk/invite", JSON, "{}"),
    send(
        Who::Owner,
        "PUT",
        "/v1/database/talk/members/nobody",
        JSON,
        r#"{"role": "reader"}"#,
    ),
    send(
        Who::Owner,
        "PUT",
        "/v1/database/talk/members/0101010101010101010101010101010101010101010101010101010101010101",
        JSON,
        r#"{"role": "reader"}"#,
    ),
    ask(
        Who::Owner,
        "DELETE",
        "/v1/database/talk/members/0101010101010101010101010101010101010101010101010101010101010101",
    ),
    ask(
        Who::User,
        "DELETE",
        "/v1/database/talk/members/0101010101010101010101010101010101010101010101010101010101010101",
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/invite/revoke",
        JSON,
        r#"{"ticket": "tombolo1oops"}"#,
    ),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/invite/revoke",
        JSON,
        r#"{"ticket": "0101010101010101010101010101010101010101010101010101010101010101"}"#,
    ),
    ask(Who::Owner, "GET", "/v1/database/talk/finaliser"),
    send(
        Who::Owner,
        "POST",
        "/v1/database/talk/finaliser",
        JSON,
        r#"{"to": "nobody"}"#,
    ),
    // The peer.
    ask(Who::User, "GET", "/v1/peer"),
    ask(Who::Owner, "GET", "/v1/peer/peers"),
    ask(Who::Owner, "GET", "/v1/peer/network"),
    send(
        Who::Owner,
        "POST",
        "/v1/peer/join",
        JSON,
        r#"{"ticket": "none"}"#,
    ),
    ask(Who::Owner, "GET", "/v1/peer/join?database=none"),
    ask(Who::User, "GET", "/v1/metrics"),
    // Followers that are none.
    ask(Who::User, "GET", "/v1/database/talk/subscribe"),
    // The end.
    ask(Who::User, "DELETE", "/v1/database/worse"),
    ask(Who::Owner, "DELETE", "/v1/database/worse"),
    ask(Who::Owner, "DELETE", "/v1/database/worse"),
];

/// Members of JSON whose values no two runs share.
const MASKED: [&str; 14] = [
    "addresses",
    "recovery_keys",
    "total_duration_micros",
    "ts",
    "recovery_key",
    "ticket",
    "token",
    "identity",
    "cut",
    "height",
    "id",
    "module_hash",
    "initial_program",
    "joined_at",
];

#[test]
fn every_answer_is_word_for_word() {
    let _turn = turn();
    let peer = Peer::start("http-bodies");
    let answers = answers(&peer);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/it/golden/http_bodies.txt");
    if std::env::var_os("TOMBOLO_WRITE_GOLDEN").is_some() {
        std::fs::write(golden, &answers).expect("the golden file can be written");
        return;
    }
    let expected = std::fs::read_to_string(golden).expect("the golden file is there");
    for (line, (was, is)) in expected.lines().zip(answers.lines()).enumerate() {
        assert_eq!(is, was, "line {} of {golden}", line + 1);
    }
    assert_eq!(answers.lines().count(), expected.lines().count());
}

/// Asks everything, and writes down what came.
fn answers(peer: &Peer) -> String {
    let user: Value = serde_json::from_str(
        &peer
            .request("POST", "/v1/identity", Some(""))
            .expect("the peer answers")
            .1,
    )
    .expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (user_id, user_token) = (text(&user["identity"]), text(&user["token"]));
    let about: Value =
        serde_json::from_str(&peer.request("GET", "/v1/peer", None).expect("it answers").1)
            .expect("JSON");
    let owner_id = text(&about["identity"]);
    let device = text(&about["id"]);
    let mut known = vec![
        ("{user}".to_owned(), user_id),
        ("{owner}".to_owned(), owner_id),
        ("{device}".to_owned(), device),
    ];
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut written = String::new();
    for asked in ASKED {
        let mut path = asked.path.to_owned();
        for (name, value) in &known {
            path = path.replace(name, value);
        }
        let mut request = ureq::http::Request::builder()
            .method(asked.method)
            .uri(format!("{}{path}", peer.http()));
        let token = match asked.who {
            Who::Owner => Some(peer.token().to_owned()),
            Who::User => Some(user_token.clone()),
            Who::Nobody => None,
            Who::Liar => Some(format!("{}x", &user_token[..user_token.len() - 4])),
        };
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let body = match asked.body {
            Body::None => Vec::new(),
            Body::Text(text) => text.as_bytes().to_vec(),
            Body::Module(name) => std::fs::read(module(name)).expect("it was compiled"),
        };
        let sends = !matches!(asked.body, Body::None);
        if sends {
            request = request.header("Content-Type", asked.kind);
        }
        let request = request.body(body).expect("a request");
        let answer = match sends {
            true => agent.run(request),
            false => agent.run(request.map(|_| ())),
        };
        let mut answer = answer.expect("it answers");
        let kind = answer.headers().get("content-type");
        let kind = kind
            .map_or("-", |kind| kind.to_str().expect("text"))
            .to_owned();
        let body = answer.body_mut().read_to_string().expect("text");
        let made: Value = serde_json::from_str(&body).unwrap_or_default();
        let made = &made["Success"];
        if let (Some("created"), Some(name), Some(identity)) = (
            made["op"].as_str(),
            made["domain"].as_str(),
            made["database_identity"].as_str(),
        ) {
            known.push((format!("{{{name}}}"), identity.to_owned()));
        }
        let who = match asked.who {
            Who::Owner => "owner",
            Who::User => "user",
            Who::Nobody => "nobody",
            Who::Liar => "liar",
        };
        let sent = match asked.body {
            Body::None => String::new(),
            Body::Text(text) => format!(" {} {text}", asked.kind),
            Body::Module(name) => format!(" module {name}"),
        };
        let (method, path, status) = (asked.method, asked.path, answer.status().as_u16());
        writeln!(written, "{who}: {method} {path}{sent}").expect("text grows");
        writeln!(written, "  {status} {kind}").expect("text grows");
        for line in mask(&body, &known).lines() {
            writeln!(written, "  | {line}").expect("text grows");
        }
    }
    written
}

/// Names in the place of what is of this run alone.
fn mask(body: &str, known: &[(String, String)]) -> String {
    let mut body = body.to_owned();
    for (name, value) in known {
        body = body.replace(value.as_str(), name);
    }
    for member in MASKED {
        body = mask_member(&body, member);
    }
    if body.starts_with("-----BEGIN") {
        body = "{a key in PEM}".to_owned();
    }
    body
}

/// `*` in the place of the values of this member.
fn mask_member(body: &str, member: &str) -> String {
    let marker = format!("\"{member}\":");
    let mut parts = body.split(marker.as_str());
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str(&marker);
        let end = match part.chars().next() {
            Some('"') => part[1..].find('"').map_or(part.len(), |end| end + 2),
            Some('[') => part.find(']').map_or(part.len(), |end| end + 1),
            _ => part.find([',', '}', ']']).unwrap_or(part.len()),
        };
        // What has a name already says more than a star.
        if !part[..end].contains('{') && &part[..end] != "null" {
            masked.push('*');
            masked.push_str(&part[end..]);
        } else {
            masked.push_str(part);
        }
    }
    masked
}
