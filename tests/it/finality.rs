//! Finality under failure, with real processes: handing it over, a finaliser that is lost and
//! returns, one data directory used twice. (A row that was changed behind a peer's back is found by
//! the sums of its file's pages, which `disk` shows; rows that differ all the same, by the core's
//! tests.)

use crate::client::Called;
use crate::harness::{LONG_PATIENCE, PATIENCE, Peer, module, turn, wait_for, wait_until_equal};
use serde_json::{Value, json};
use std::path::Path;

/// A database on the first peer, joined by the others; its identity, and a file with its recovery
/// key beside the first peer's data.
fn mesh(names: &[&str]) -> (Vec<Peer>, String, String) {
    let peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    let wasm = module("chat");
    let wasm = wasm.to_str().expect("a plain path");
    let answer = peers[0]
        .cli(&["publish", "chat", "--bin-path", wasm, "--json"])
        .ok();
    let answer: Value = serde_json::from_str(&answer).expect("--json prints JSON");
    let told = |name: &str| answer[name].as_str().expect(name).to_owned();
    let file = peers[0].data_dir().join("recovery.txt");
    std::fs::write(&file, told("recovery_key")).expect("writable");
    for peer in &peers[1..] {
        peer.join(&peers[0].invite("chat"));
    }
    let file = file.to_str().expect("a plain path").to_owned();
    (peers, told("database_identity"), file)
}

fn say(peer: &Peer, text: &str) {
    let called = peer.call("chat", "send_message", &json!(["lobby", text]));
    assert_eq!(called, Called::Ok, "{text}");
}

fn said(peer: &Peer) -> Vec<String> {
    let rows = peer.sql("chat", "SELECT text FROM message");
    let mut texts: Vec<String> = rows
        .iter()
        .map(|row| row[0].as_str().expect("a text").to_owned())
        .collect();
    texts.sort_unstable();
    texts
}

/// Waits until a cut covers everything that `peer` knows.
fn wait_until_final(peer: &Peer) {
    wait_for("everything to be final", PATIENCE, || {
        let status = peer.try_status("chat")?;
        if status["tail"] == json!(0) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

fn wait_for_status(peer: &Peer, word: &str) -> Value {
    wait_for(word, LONG_PATIENCE, || {
        let status = peer.try_status("chat")?;
        if status["status"] == word {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
}

fn finaliser(peer: &Peer) -> Value {
    let shown = peer.cli(&["finaliser", "show", "chat", "--json"]).ok();
    serde_json::from_str(&shown).expect("--json prints JSON")
}

fn device(peer: &Peer) -> String {
    let shown = peer.cli(&["members", "chat", "--json"]).ok();
    let members: Value = serde_json::from_str(&shown).expect("--json prints JSON");
    let own = members.as_array().expect("a list").iter();
    let mut own = own.filter(|member| member["this_peer"] == json!(true));
    let own = own.next().expect("it is a member");
    own["id"].as_str().expect("an id").to_owned()
}

fn all(peers: &[Peer]) -> Vec<&Peer> {
    peers.iter().collect()
}

#[test]
fn finality_moves_and_a_lost_finaliser_gives_way_when_it_returns() {
    let _turn = turn();
    let (peers, _, key_file) = mesh(&["a", "b", "c"]);
    say(&peers[2], "together");
    let b = device(&peers[1]);
    let shown = peers[0]
        .cli(&["finaliser", "move", "chat", &b, "--json"])
        .ok();
    let shown: Value = serde_json::from_str(&shown).expect("--json prints JSON");
    assert_eq!(
        shown["finalisers"],
        json!([b]),
        "the command waits for the cut"
    );
    wait_for("the others to hear of it", PATIENCE, || {
        let info = finaliser(&peers[2]);
        (info["finalisers"] == json!([b]))
            .then_some(())
            .ok_or(info.to_string())
    });
    let refused = peers[1].cli(&["finaliser", "move", "chat", &b]);
    assert!(!refused.status.success());
    assert!(
        refused.stderr.contains("only an owner"),
        "{}",
        refused.stderr
    );

    // The finaliser is cut off, and makes cuts alone.
    peers[1].cli(&["network", "off"]).ok();
    let before = peers[1].status("chat")["cut"]["height"].as_u64();
    for number in 0..3 {
        say(&peers[1], &format!("alone {number}"));
        wait_until_final(&peers[1]);
    }
    assert!(peers[1].status("chat")["cut"]["height"].as_u64() > before);
    say(&peers[0], "without it");
    let recover = ["finaliser", "recover", "chat", "--key-file", &key_file];
    let shown = peers[0].cli(&recover).ok();
    assert!(shown.contains("this peer"), "{shown}");
    wait_until_final(&peers[0]);
    wait_for("the recovery to reach the others", PATIENCE, || {
        let info = finaliser(&peers[2]);
        (info["recoveries"] == json!(1))
            .then_some(())
            .ok_or(info.to_string())
    });

    peers[1].cli(&["network", "on"]).ok();
    wait_until_equal(&all(&peers), "chat");
    for peer in &peers {
        wait_until_final(peer);
        assert_eq!(
            said(peer),
            ["alone 0", "alone 1", "alone 2", "together", "without it"]
        );
    }
    let output = peers[1].output();
    assert!(output.contains("gave way to a recovery"), "{output}");
    let a = device(&peers[0]);
    assert_eq!(finaliser(&peers[1])["finalisers"], json!([a]));
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for child in std::fs::read_dir(from).expect("readable") {
        let child = child.expect("readable");
        let to = to.join(child.file_name());
        if child.file_type().expect("readable").is_dir() {
            copy_dir(&child.path(), &to);
        } else {
            std::fs::copy(child.path(), to).expect("writable");
        }
    }
}

#[test]
fn one_data_directory_used_twice_forks_and_a_recovery_ends_it() {
    let _turn = turn();
    let (mut peers, _, key_file) = mesh(&["a", "b", "c"]);
    say(&peers[1], "together");
    wait_until_equal(&all(&peers), "chat");
    wait_until_final(&peers[2]);
    // A copy of the finaliser's directory, before more becomes final with the others away.
    peers[2].cli(&["network", "off"]).ok();
    peers[0].interrupt(PATIENCE).expect("it ends");
    let backup = tempfile::tempdir().expect("a scratch directory");
    copy_dir(&peers[0].data_dir().join("databases"), backup.path());
    peers[0].start_again();
    say(&peers[1], "first history");
    wait_until_final(&peers[1]);
    peers[0].interrupt(PATIENCE).expect("it ends");
    let databases = peers[0].data_dir().join("databases");
    std::fs::remove_dir_all(&databases).expect("it is there");
    copy_dir(backup.path(), &databases);
    peers[1].cli(&["network", "off"]).ok();
    peers[0].start_again();
    peers[2].cli(&["network", "on"]).ok();
    say(&peers[2], "second history");
    wait_until_final(&peers[2]);
    peers[1].cli(&["network", "on"]).ok();
    for peer in &peers {
        let status = wait_for_status(peer, "forked");
        let detail = status["detail"].as_str().expect("explained");
        assert!(detail.contains("finaliser recover"), "{detail}");
    }
    // Calls go on.
    say(&peers[1], "meanwhile");
    wait_for("the call to reach the other side", PATIENCE, || {
        let said = said(&peers[2]);
        let there = said.iter().any(|text| text == "meanwhile");
        there.then_some(()).ok_or(format!("{said:?}"))
    });
    // From the first history, for the second one.
    let stays = peers[2].status("chat")["cut"].clone();
    let stays = format!(
        "{}/{}",
        stays["height"],
        stays["id"].as_str().expect("an id")
    );
    let recover = ["finaliser", "recover", "chat", "--key-file", &key_file];
    peers[1]
        .cli(&[&recover[..], &["--pick", &stays]].concat())
        .ok();
    for peer in &peers {
        wait_for_status(peer, "ok");
    }
    wait_until_equal(&all(&peers), "chat");
    for peer in &peers {
        wait_until_final(peer);
        assert_eq!(
            said(peer),
            ["first history", "meanwhile", "second history", "together"]
        );
    }
}
