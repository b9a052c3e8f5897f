//! Backups taken from a running peer, and put back as another peer or as the same one.

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_until_equal};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

fn say(peer: &Peer, database: &str, text: &str) {
    let arguments = json!(["lobby", text]);
    assert_eq!(peer.call(database, "send_message", &arguments), Called::Ok);
}

/// A running peer with some messages, and where its backup goes.
fn talking(name: &str) -> (Peer, String, PathBuf) {
    let peer = Peer::start(name);
    let database = peer.publish("chat", "chat");
    for number in 0..40 {
        say(&peer, &database, &format!("message {number}"));
    }
    let file = peer.data_dir().join("chat.backup");
    (peer, database, file)
}

fn path(file: &std::path::Path) -> &str {
    file.to_str().expect("a path in UTF-8")
}

fn back_up(peer: &Peer, file: &std::path::Path) -> Value {
    let told = peer.cli(&["backup", path(file), "chat", "--json"]).ok();
    serde_json::from_str(&told).expect("JSON")
}

#[test]
fn a_backup_comes_back_as_another_peer_which_then_joins() {
    let _turn = turn();
    let (peer, database, file) = talking("a");
    let told = back_up(&peer, &file);
    assert_eq!(told["database"], json!(database));
    assert_eq!(told["modules"], json!(1));
    assert_eq!(
        told["bytes"],
        json!(fs::metadata(&file).expect("there").len())
    );
    say(&peer, &database, "after the backup");

    let refused = peer.cli(&["backup", path(&file), "chat"]).failed();
    assert!(refused.contains("--force"), "{refused}");
    peer.cli(&["backup", path(&file), "chat", "--force"]).ok();

    let mut other = Peer::new("b");
    let told = other.cli(&["restore", path(&file), "--json"]).ok();
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["database"], json!(database));
    assert_ne!(told["peer"], told["taken_by"]);
    let again = other.cli(&["restore", path(&file)]).failed();
    assert!(again.contains("already"), "{again}");
    let sound = other.cli(&["check", "chat", "--replay"]).ok();
    assert!(!sound.contains("DAMAGED"), "{sound}");

    other.start_again();
    assert_eq!(other.count(&database, "message"), 41);
    let running = other.cli(&["restore", path(&file)]).failed();
    assert!(running.contains("in use by process"), "{running}");
    let stranger = other.cli(&["call", "chat", "send_message", "lobby", "let me"]);
    let stranger = stranger.failed();
    assert!(stranger.contains("not a member"), "{stranger}");
    other.join(&peer.invite(&database));
    say(&other, &database, "as a member");
    wait_until_equal(&[&peer, &other], &database);
    assert_eq!(peer.count(&database, "message"), 42);
}

#[test]
fn a_peer_that_lost_its_disk_is_itself_again_by_its_key() {
    let _turn = turn();
    let (mut peer, database, file) = talking("a");
    back_up(&peer, &file);
    peer.interrupt(PATIENCE).expect("it ends");
    let key = peer.data_dir().join("peer.key");

    let mut heir = Peer::new("c");
    let arguments = ["restore", path(&file), "--peer-key", path(&key), "--json"];
    let told = heir.cli(&arguments).ok();
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["peer"], told["taken_by"]);
    heir.start_again();
    assert_eq!(heir.count(&database, "message"), 40);
    say(&heir, &database, "as before");
    assert_eq!(heir.count(&database, "message"), 41);
}

#[test]
fn what_is_not_a_whole_backup_changes_nothing() {
    let _turn = turn();
    let (peer, database, file) = talking("a");
    back_up(&peer, &file);
    let bytes = fs::read(&file).expect("readable");
    let other = Peer::new("d");
    let spoilt = peer.data_dir().join("spoilt");
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    for (bytes, why) in [
        (&bytes[..bytes.len() - 40], "incomplete"),
        (&changed[..], "backup"),
        (&b"something else altogether"[..], "no backup"),
    ] {
        fs::write(&spoilt, bytes).expect("writable");
        let refused = other.cli(&["restore", path(&spoilt)]).failed();
        assert!(refused.contains(why), "{refused}");
        let left = other.data_dir().join("databases").join(&database);
        assert!(!left.exists(), "{why}");
    }
    other.cli(&["restore", path(&file)]).ok();
    let missing = peer.cli(&["backup", "never", "no-such-database"]).failed();
    assert!(missing.contains("no-such-database"), "{missing}");
    assert!(!PathBuf::from("never").exists() && !PathBuf::from("never.part").exists());
}
