//! A module that looks at everything that two machines could differ in, on two processes that do
//! differ: one compiles it, the other interprets it.

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_for, wait_until_equal};
use serde_json::{Value, json};

/// Every hazard, with what it is called with.
fn hazards() -> Vec<(&'static str, Value)> {
    vec![
        ("statics", json!(["one"])),
        ("statics_then_panic", json!([])),
        ("statics", json!(["two"])),
        ("addresses", json!([])),
        ("nan_bits", json!([])),
        ("recurse", json!([800])),
        ("recurse", json!([100_000])),
        ("grow", json!([])),
        ("exhaust", json!([])),
        ("hash_order", json!([])),
        ("float_text", json!([])),
        ("dice", json!([])),
        ("at_this_moment", json!(["somebody"])),
        ("collect", json!([["sand", "shell", "weed", "salt"]])),
        ("scan_order", json!([])),
        ("count", json!([false])),
        ("count", json!([true])),
        ("count", json!([false])),
        ("work", json!([100_000])),
    ]
}

/// Calls everything, and gives how each call ended.
fn do_all(peer: &Peer, database: &str) -> Vec<Called> {
    let called: Vec<Called> = hazards()
        .iter()
        .map(|(reducer, arguments)| peer.call(database, reducer, arguments))
        .collect();
    let unknown = called.iter().find(|it| matches!(it, Called::Unknown(_)));
    assert_eq!(unknown, None);
    called
}

#[test]
fn two_processes_one_of_them_interpreting_stay_equal() {
    let _turn = turn();
    let compiling = Peer::start("compiling");
    let mut interpreting = Peer::start_interpreting("interpreting");
    let database = compiling.publish("careless", "careless");
    interpreting.join(&compiling.invite("careless"));
    let ended = do_all(&compiling, &database);
    wait_until_equal(&[&compiling, &interpreting], &database);

    // Apart, both go on, in each other's way: the same numbers, names and moments.
    interpreting.cli(&["network", "off"]).ok();
    let ended_apart = do_all(&interpreting, &database);
    do_all(&compiling, &database);
    // A number that counts is told in the text of a failure.
    let without_numbers = |ended: &[Called]| -> Vec<Called> {
        let is_numbered =
            |it: &&Called| matches!(it, Called::Failed(text) if text.contains("unused"));
        ended
            .iter()
            .filter(|it| !is_numbered(it))
            .cloned()
            .collect()
    };
    assert_eq!(without_numbers(&ended), without_numbers(&ended_apart));
    interpreting.cli(&["network", "on"]).ok();
    wait_until_equal(&[&compiling, &interpreting], &database);

    // What no cut covers is run again from the log.
    do_all(&interpreting, &database);
    interpreting.kill();
    do_all(&compiling, &database);
    interpreting.start_again();
    wait_until_equal(&[&compiling, &interpreting], &database);
    for peer in [&compiling, &interpreting] {
        let seen = "SELECT what FROM seen WHERE hazard = 'statics'";
        let statics = peer.sql(&database, seen);
        assert_eq!(statics.len(), 10, "{statics:?}");
        for row in statics {
            let what = row[0].as_str().expect("a text");
            assert!(["1 one 1", "1 two 1"].contains(&what), "{what}");
        }
    }

    // All of it becomes final, and both call it so: no state root was unlike the other's.
    wait_for("the tail to be covered", PATIENCE, || {
        for peer in [&compiling, &interpreting] {
            let status = peer.try_status(&database)?;
            assert_eq!(status["status"], "ok", "{status}");
            if status["tail"] != 0 {
                return Err(format!("the tail is {}", status["tail"]));
            }
        }
        Ok(())
    });
    wait_until_equal(&[&compiling, &interpreting], &database);
}
