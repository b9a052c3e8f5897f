//! Disks that are damaged, full or read only, under the real program.

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, run, turn, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A stopped peer with a database, some of it final, some not.
fn stopped() -> (Peer, String) {
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    for number in 0..30 {
        let text = json!(["lobby", format!("message {number}")]);
        assert_eq!(peer.call(&database, "send_message", &text), Called::Ok);
    }
    wait_for("a cut over the calls", PATIENCE, || {
        let status = peer.try_status(&database)?;
        match status["cut"]["height"].as_u64() {
            Some(height) if height > 0 => Ok(()),
            _ => Err(status.to_string()),
        }
    });
    let last = json!(["lobby", "the last"]);
    assert_eq!(peer.call(&database, "send_message", &last), Called::Ok);
    peer.interrupt(PATIENCE).expect("it ends");
    (peer, database)
}

fn file(peer: &Peer, database: &str, name: &str) -> PathBuf {
    let folder = peer.data_dir().join("databases").join(database);
    folder.join(name)
}

/// Flips a bit in every page of a file that holds something, but for sums and header.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    for page in bytes.chunks_exact_mut(4_096).skip(2) {
        if let Some(byte) = page.iter_mut().rev().find(|byte| **byte != 0) {
            *byte ^= 1;
        }
    }
    fs::write(path, bytes).expect("writable");
}

fn check_json(peer: &Peer, arguments: &[&str]) -> (Option<i32>, Value) {
    let ended = peer.cli(&[&["check", "--json"], arguments].concat());
    let found =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended.status.code(), found)
}

#[test]
fn a_sound_directory_is_said_to_be_sound() {
    let _turn = turn();
    let (mut peer, database) = stopped();
    let before = fs::read(file(&peer, &database, "base.redb")).expect("readable");
    let text = peer.cli(&["check", "chat", "--replay"]).ok();
    for line in [
        "pages of the log",
        "entries of the log",
        "rows",
        "state root",
        "history",
    ] {
        let found = text.lines().find(|found| found.contains(line));
        assert!(
            found.is_some_and(|found| found.contains("ok")),
            "{line}: {text}"
        );
    }
    assert!(!text.contains("DAMAGED"), "{text}");
    let (status, found) = check_json(&peer, &[]);
    assert_eq!(
        (status, &found["sound"]),
        (Some(0), &json!(true)),
        "{found}"
    );
    let after = fs::read(file(&peer, &database, "base.redb")).expect("readable");
    assert!(before == after, "what is looked at stays as it is");

    peer.start_again();
    assert_eq!(peer.count(&database, "message"), 31);
    let refused = peer.cli(&["check"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("in use by process"), "{refused:?}");
}

#[test]
fn damaged_tables_are_found_and_built_anew() {
    let _turn = turn();
    let (mut peer, database) = stopped();
    damage(&file(&peer, &database, "base.redb"));
    let found = peer.cli(&["check"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(found.stdout.contains("DAMAGED"), "{found:?}");
    assert!(found.stdout.contains("tombolo check --repair"), "{found:?}");

    let (status, found) = check_json(&peer, &["--repair"]);
    assert_eq!(status, Some(0), "{found}");
    assert_eq!(found["databases"][0]["repaired"], json!(true), "{found}");
    let (status, found) = check_json(&peer, &["--replay"]);
    assert_eq!(
        (status, &found["sound"]),
        (Some(0), &json!(true)),
        "{found}"
    );
    peer.start_again();
    assert_eq!(peer.count(&database, "message"), 31);
}

#[test]
fn a_damaged_log_is_found_and_never_served() {
    let _turn = turn();
    let (mut peer, database) = stopped();
    damage(&file(&peer, &database, "log.redb"));
    let found = peer.cli(&["check", "--repair"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(
        found.stdout.contains("join again with a ticket"),
        "{found:?}"
    );
    peer.start_again();
    let refused = peer.cli(&["sql", &database, "SELECT * FROM message"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("could not be opened"),
        "{refused:?}"
    );
}

#[test]
fn a_damaged_module_and_a_lost_key_are_found() {
    let _turn = turn();
    let (peer, _) = stopped();
    let blob = fs::read_dir(peer.data_dir().join("blobs"))
        .expect("readable")
        .next()
        .expect("the module")
        .expect("readable")
        .path();
    let mut bytes = fs::read(&blob).expect("readable");
    bytes[1_000] ^= 4;
    fs::write(&blob, bytes).expect("writable");
    fs::remove_file(peer.data_dir().join("peer.key")).expect("writable");
    let (status, found) = check_json(&peer, &[]);
    assert_eq!(status, Some(1));
    let damaged = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list");
        let damaged = list.iter().filter(|one| one["sound"] == json!(false));
        damaged
            .map(|one| one["what"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(
        damaged(&found["directory"]),
        ["peer.key", "blobs"],
        "{found}"
    );
    assert_eq!(
        damaged(&found["databases"][0]["base"]),
        ["module"],
        "{found}"
    );
    let advice = found["databases"][0]["advice"].as_str().expect("text");
    assert!(advice.contains("another member"), "{advice}");
}

/// A file system of its own on a directory, in memory, as large as it says.
struct Mount(PathBuf);

impl Mount {
    /// `None`: only root may mount.
    fn new(on: &Path, size: &str) -> Option<Mount> {
        let root = Command::new("id").arg("-u").output().expect("id is there");
        if root.stdout != b"0\n" {
            eprintln!("not root, so no file system can be mounted: nothing was tested");
            return None;
        }
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], on);
        Some(Mount(on.to_owned()))
    }

    fn read_only(&self) {
        mount(&["-o", "remount,ro"], &self.0);
    }
}

fn mount(arguments: &[&str], on: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(on).status();
    assert!(mounted.expect("mount is there").success());
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_calls_and_goes_on_when_there_is_room() {
    let _turn = turn();
    let mut peer = Peer::new("a");
    let Some(_mount) = Mount::new(peer.data_dir(), "128m") else {
        return;
    };
    peer.start_again();
    let database = peer.publish("chat", "chat");
    let say =
        |peer: &Peer, text: &str| peer.call(&database, "send_message", &json!(["lobby", text]));
    assert_eq!(say(&peer, "before"), Called::Ok);
    let ballast = peer.data_dir().join("ballast");
    fs::write(&ballast, vec![1; 80 << 20]).expect("it fits");
    wait_for("calls to be refused", PATIENCE, || {
        match say(&peer, "maybe") {
            Called::Unknown(why) if why.contains("nearly full") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let count = peer.count(&database, "message");
    assert!(count >= 1, "reading goes on");
    assert_eq!(peer.status(&database)["status"], "ok");
    fs::remove_file(&ballast).expect("it is there");
    wait_for("calls to be taken", PATIENCE, || {
        match say(&peer, "after") {
            Called::Ok => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(peer.count(&database, "message"), count + 1);
    peer.kill();
    peer.start_again();
    assert_eq!(peer.count(&database, "message"), count + 1);
    peer.kill();
}

#[test]
fn a_read_only_directory_is_refused_with_what_is_wrong() {
    let _turn = turn();
    let mut peer = Peer::new("a");
    let Some(mounted) = Mount::new(peer.data_dir(), "192m") else {
        return;
    };
    peer.start_again();
    peer.publish("chat", "chat");
    peer.interrupt(PATIENCE).expect("it ends");
    mounted.read_only();
    let refused = run(&mut peer.start_command(), PATIENCE);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("Read-only file system"),
        "{refused:?}"
    );
    let (status, found) = check_json(&peer, &[]);
    assert_eq!(
        (status, &found["sound"]),
        (Some(0), &json!(true)),
        "{found}"
    );
}
