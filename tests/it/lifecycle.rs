//! Starting, stopping, and two processes that want the same data directory.

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, run, turn};
use serde_json::{Value, json};
use std::time::Duration;

/// What a person who pressed Ctrl-C is promised.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn ctrl_c_ends_a_peer_and_frees_its_directory() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let called = peer.call(
        &database,
        "send_message",
        &json!(["lobby", "before the stop"]),
    );
    assert_eq!(called, Called::Ok);
    let status = peer
        .interrupt(STOP_PATIENCE)
        .expect("it ends in two seconds");
    assert_eq!(status.code(), Some(0), "{}", peer.output());
    assert!(
        !peer.data_dir().join("run.json").exists(),
        "nobody runs here any more"
    );

    peer.start_again();
    let rows = peer.sql("chat", "SELECT text FROM message");
    assert_eq!(rows, [json!(["before the stop"])]);
}

#[test]
fn a_killed_peer_starts_again_with_all_it_acknowledged() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    for round in 0..3_u64 {
        for number in 0..20 {
            let text = format!("{round} {number}");
            assert_eq!(
                peer.call(&database, "send_message", &json!(["lobby", text])),
                Called::Ok
            );
        }
        let before = peer.status(&database);
        peer.kill();
        peer.start_again();
        assert_eq!(peer.count(&database, "message"), (round + 1) * 20);
        let after = peer.status(&database);
        assert_eq!(before["state_root"], after["state_root"]);
        assert_eq!(before["heads_hash"], after["heads_hash"]);
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_by_name() {
    let _turn = turn();
    let mut peer = Peer::start("a");
    let second = run(&mut peer.start_command(), PATIENCE);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let directory = peer.data_dir().to_string_lossy().into_owned();
    assert!(
        second.stderr.contains(&directory),
        "it names the directory: {second:?}"
    );
    assert!(second.stderr.contains("in use"), "{second:?}");
    assert!(peer.is_running(), "the first goes on");
    assert_eq!(
        peer.request("GET", "/v1/ping", None)
            .map(|(status, _)| status),
        Ok(200)
    );
}

#[test]
fn wrong_usage_and_failure_have_their_own_status() {
    let _turn = turn();
    let peer = Peer::start("a");
    let usage = peer.cli(&["no-such-verb"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    let failed = peer.cli(&["status", "no-such-database"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(failed.stderr.contains("no-such-database"), "{failed:?}");
    let unknown = peer.publish("chat", "chat");
    let failed = peer.cli(&["call", &unknown, "no_such_reducer"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(failed.stderr.contains("no_such_reducer"), "{failed:?}");
}

#[test]
fn the_status_is_as_documented() {
    let _turn = turn();
    let peer = Peer::start("a");
    let database = peer.publish("chat", "chat");
    let called = peer.call(&database, "send_message", &json!(["lobby", "hello"]));
    assert_eq!(called, Called::Ok);
    let printed = peer.cli(&["status", "chat", "--json"]).ok();
    let status: Value = serde_json::from_str(&printed).expect("--json prints JSON");
    assert_eq!(status["database"], json!(database));
    assert_eq!(status["name"], "chat");
    assert_eq!(status["status"], "ok");
    assert_eq!(status["members"], 1);
    assert_eq!(status["peers"], json!([]));
    let hex = |value: &Value| {
        value.as_str().is_some_and(|text| {
            text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit())
        })
    };
    for ids in [
        &status["module_hash"],
        &status["heads_hash"],
        &status["state_root"],
        &status["cut"]["id"],
        &status["cut"]["state_root"],
        &status["heads"][0],
    ] {
        assert!(hex(ids), "ids are hex text: {status}");
    }
    for number in [
        &status["cut"]["height"],
        &status["tail"],
        &status["entries"],
    ] {
        assert!(number.is_u64(), "{status}");
    }
}
