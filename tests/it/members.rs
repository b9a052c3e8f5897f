//! Members with real processes and the command line: a stolen laptop that is put out, roles, tickets
//! that are revoked, a database that is handed over.

use crate::client::Called;
use crate::harness::{LONG_PATIENCE, PATIENCE, Peer, turn, wait_for, wait_until_equal};
use serde_json::{Value, json};

fn say(peer: &Peer, text: &str) {
    let called = peer.call("chat", "send_message", &json!(["lobby", text]));
    assert_eq!(called, Called::Ok, "{text}");
}

fn said(peer: &Peer) -> Vec<String> {
    let rows = peer.sql("chat", "SELECT text FROM message");
    let texts = rows.iter().map(|row| row[0].as_str().expect("a text"));
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.sort_unstable();
    texts
}

fn members(peer: &Peer) -> Vec<Value> {
    let shown = peer.cli(&["members", "chat", "--json"]).ok();
    let members: Value = serde_json::from_str(&shown).expect("--json prints JSON");
    members.as_array().expect("a list").clone()
}

fn device(peer: &Peer) -> String {
    let own = members(peer)
        .into_iter()
        .find(|member| member["this_peer"] == json!(true));
    let own = own.expect("it is a member");
    own["id"].as_str().expect("an id").to_owned()
}

fn wait_for_role(peer: &Peer, device: &str, role: Option<&str>) {
    wait_for("the role", PATIENCE, || {
        let members = members(peer);
        let held = members.iter().find(|member| member["id"] == device);
        match held.and_then(|member| member["role"].as_str()) == role {
            true => Ok(()),
            false => Err(format!("{members:?}")),
        }
    });
}

#[test]
fn a_stolen_laptop_is_put_out() {
    let _turn = turn();
    let mut peers = ["out-owner", "out-friend", "out-laptop"].map(Peer::start);
    peers[0].publish("chat", "chat");
    for at in [1, 2] {
        peers[at].join(&peers[0].invite("chat"));
    }
    say(&peers[2], "mine");
    wait_until_equal(&peers.each_ref(), "chat");
    let laptop = device(&peers[2]);
    // It is taken away, and used where nobody hears it.
    peers[2].cli(&["network", "off"]).ok();
    say(&peers[2], "stolen");
    let told = peers[0].cli(&["remove", "chat", &laptop[..12]]).ok();
    assert!(
        told.contains(&format!("{laptop} is removed from chat")),
        "{told}"
    );
    say(&peers[1], "meanwhile");
    wait_for_role(&peers[1], &laptop, None);
    peers[2].cli(&["network", "on"]).ok();
    // It hears that it is out, and that its call is void.
    wait_for("the laptop to hear of it", LONG_PATIENCE, || {
        let sql = "SELECT status, error FROM st_invocation WHERE reducer = 'send_message'";
        let rows = peers[2].sql("chat", sql);
        let void = |row: &Value| row[0] == "void" && row[1].to_string().contains("removed");
        match rows.iter().any(void) {
            true => Ok(()),
            false => Err(format!("{rows:?}")),
        }
    });
    let refused = peers[2].cli(&["call", "chat", "send_message", "lobby", "more"]);
    let why = refused.failed();
    assert!(why.contains("no member of the database any more"), "{why}");
    say(&peers[0], "among us");
    let friends = [&peers[0], &peers[1]];
    wait_until_equal(&friends, "chat");
    for peer in friends {
        assert_eq!(said(peer), ["among us", "meanwhile", "mine"]);
    }
    // It keeps what it had heard of, up to the cut that put it out.
    let kept = said(&peers[2]);
    assert!(kept.contains(&"mine".to_owned()), "{kept:?}");
    assert!(!kept.contains(&"stolen".to_owned()), "{kept:?}");
    assert!(!kept.contains(&"among us".to_owned()), "{kept:?}");
    // Nor does a restart help it.
    peers[2].interrupt(PATIENCE);
    peers[2].start_again();
    let refused = peers[2].cli(&["call", "chat", "send_message", "lobby", "more"]);
    assert!(refused.failed().contains("no member"), "after a restart");
}

#[test]
fn roles_tickets_and_ownership_change_hands() {
    let _turn = turn();
    let peers = ["roles-owner", "roles-other", "roles-guest"].map(Peer::start);
    peers[0].publish("chat", "chat");
    peers[1].join(&peers[0].invite("chat"));
    let other = device(&peers[1]);
    // A ticket that got into the wrong hands.
    let ticket = peers[0].invite("chat");
    peers[0].cli(&["invite", "chat", "--revoke", &ticket]).ok();
    let why = peers[2].cli(&["join", &ticket]).failed();
    assert!(why.contains("used up or revoked"), "{why}");
    // Who may only read says so, and may write again later.
    let told = peers[0].cli(&["role", "chat", &other, "reader"]).ok();
    assert!(told.contains("is a reader of chat now"), "{told}");
    wait_for_role(&peers[1], &other, Some("reader"));
    let refused = peers[1].cli(&["call", "chat", "send_message", "lobby", "no"]);
    let why = refused.failed();
    assert!(why.contains("may only read"), "{why}");
    let why = peers[1].cli(&["role", "chat", &other, "admin"]).failed();
    assert!(why.contains("may only read"), "{why}");
    let answer = peers[0]
        .cli(&["role", "chat", &other, "admin", "--json"])
        .ok();
    let answer: Value = serde_json::from_str(&answer).expect("--json prints JSON");
    assert_eq!(answer, json!({ "id": other, "role": "admin" }));
    wait_for_role(&peers[1], &other, Some("admin"));
    // An admin rules over those below, and the owner cannot just go.
    peers[2].join(&peers[1].invite("chat"));
    let (owner, guest) = (device(&peers[0]), device(&peers[2]));
    let why = peers[1].cli(&["remove", "chat", &owner]).failed();
    assert!(why.contains("only the owner may remove admins"), "{why}");
    let why = peers[0].cli(&["leave", "chat"]).failed();
    assert!(why.contains("hand the database over first"), "{why}");
    peers[0].cli(&["role", "chat", &other, "owner"]).ok();
    wait_for_role(&peers[1], &other, Some("owner"));
    wait_for_role(&peers[1], &owner, Some("admin"));
    peers[0].cli(&["leave", "chat"]).ok();
    wait_for_role(&peers[1], &owner, None);
    // The one that made cuts is gone: the new owner's peer does.
    // It may write as soon as it is final that whoever invited it might.
    wait_for("the guest to be heard", PATIENCE, || {
        let body = r#"["lobby","goes on"]"#;
        let path = "/v1/database/chat/call/send_message";
        match peers[2].request("POST", path, Some(body)) {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    wait_until_equal(&[&peers[1], &peers[2]], "chat");
    wait_for("the call to be final", LONG_PATIENCE, || {
        let status = peers[2].try_status("chat")?;
        match status["tail"] == json!(0) {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
    peers[2].cli(&["leave", "chat"]).ok();
    wait_for_role(&peers[1], &guest, None);
    let why = peers[2].cli(&["leave", "chat"]).failed();
    assert!(why.contains("no member"), "{why}");
}
