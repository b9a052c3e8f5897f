//! A module that misbehaves gets a clear error, the same outcome on every peer, and never takes
//! a peer down.

use crate::client::Called;
use crate::harness::{Peer, turn, wait_until_equal};
use serde_json::{Value, json};

/// Calls that must fail, each with words of which one has to be in its error.
fn bad_calls() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("fail", json!(["no thanks"]), &["no thanks"]),
        (
            "panic_now",
            json!(["on purpose"]),
            &["fatal", "panic", "on purpose"],
        ),
        (
            "loop_for_ever",
            json!([]),
            &["unit", "budget", "fuel", "energy"],
        ),
        (
            "scan_for_ever",
            json!([]),
            &["unit", "budget", "fuel", "energy"],
        ),
        (
            "insert_for_ever",
            json!([]),
            &["unit", "budget", "fuel", "energy", "row"],
        ),
        ("recurse_for_ever", json!([]), &["depth", "deep", "recurs"]),
        ("take_all_memory", json!([]), &["out of memory"]),
        (
            "count_then_panic",
            json!([]),
            &["fatal", "panic", "counted"],
        ),
    ]
}

#[test]
fn each_misdeed_is_an_error_and_the_peers_stay_up_and_equal() {
    let _turn = turn();
    let mut peers: Vec<Peer> = ["a", "b", "c"].into_iter().map(Peer::start).collect();
    let database = peers[0].publish("misbehave", "misbehave");
    for peer in &peers[1..] {
        peer.join(&peers[0].invite("misbehave"));
    }
    wait_until_equal(&peers.iter().collect::<Vec<_>>(), &database);

    for (number, (reducer, arguments, words)) in bad_calls().into_iter().enumerate() {
        let peer = &peers[number % peers.len()];
        match peer.call(&database, reducer, &arguments) {
            Called::Failed(text) => {
                let lower = text.to_lowercase();
                assert!(
                    words.iter().any(|word| lower.contains(word)),
                    "{reducer}: the error does not say what happened: {text}"
                );
            }
            other => panic!("{reducer}: {other:?}"),
        }
        // The same peer answers the next call as if nothing had been.
        let word = format!("after {reducer}");
        assert_eq!(peer.call(&database, "behave", &json!([word])), Called::Ok);
    }
    wait_until_equal(&peers.iter().collect::<Vec<_>>(), &database);

    let expected: Vec<String> = bad_calls()
        .iter()
        .map(|(reducer, ..)| format!("after {reducer}"))
        .collect();
    for peer in &mut peers {
        assert!(peer.is_running());
        let mut left: Vec<String> = peer
            .sql(&database, "SELECT why FROM leftover")
            .iter()
            .map(|row| row[0].as_str().expect("a text").to_string())
            .collect();
        left.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(left, expected, "what went wrong left rows behind");
        assert_eq!(peer.status(&database)["status"], "ok");
    }
}

#[test]
fn nothing_survives_a_call_but_rows() {
    let _turn = turn();
    let peers = [Peer::start("a"), Peer::start("b")];
    let database = peers[0].publish("misbehave", "misbehave");
    peers[1].join(&peers[0].invite("misbehave"));
    for round in 0..3 {
        for peer in &peers {
            let called = peer.call(&database, "count_calls", &json!([format!("round {round}")]));
            assert_eq!(called, Called::Ok);
            let panicked = peer.call(&database, "count_then_panic", &json!([]));
            assert!(matches!(panicked, Called::Failed(_)), "{panicked:?}");
        }
    }
    wait_until_equal(&[&peers[0], &peers[1]], &database);
    let sightings = peers[1].sql(&database, "SELECT calls, remembered, pages FROM sighting");
    assert_eq!(sightings.len(), 6);
    for sighting in &sightings {
        assert_eq!(
            sighting[0],
            json!(1),
            "a static counter survived: {sightings:?}"
        );
        assert_eq!(
            sighting[1],
            json!(""),
            "a static text survived: {sightings:?}"
        );
        assert_eq!(
            sighting[2], sightings[0][2],
            "grown memory survived: {sightings:?}"
        );
    }
}

#[test]
fn numbers_that_are_not_numbers_are_the_same_everywhere() {
    let _turn = turn();
    let peers = [Peer::start("a"), Peer::start("b")];
    let database = peers[0].publish("misbehave", "misbehave");
    peers[1].join(&peers[0].invite("misbehave"));
    for peer in &peers {
        assert_eq!(peer.call(&database, "store_nan", &json!([])), Called::Ok);
    }
    wait_until_equal(&[&peers[0], &peers[1]], &database);
    let rows = peers[1].sql(&database, "SELECT name, bits, narrow_bits FROM oddity");
    assert_eq!(rows.len(), 7);
    for row in &rows {
        let bits: u64 = row[1].as_u64().expect("64 bits");
        let narrow = row[2].as_u64().expect("32 bits") as u32;
        if f64::from_bits(bits).is_nan() {
            // The one form that the result of arithmetic has, but for a sign that the module
            // itself turned round afterwards.
            assert_eq!(bits & !(1 << 63), 0x7FF8_0000_0000_0000, "{row}");
            assert_eq!(narrow & !(1 << 31), 0x7FC0_0000, "{row}");
        }
    }
}

#[test]
fn what_is_permitted_still_works() {
    let _turn = turn();
    let peer = Peer::start("a");
    let database = peer.publish("misbehave", "misbehave");
    assert_eq!(peer.call(&database, "recurse", &json!([500])), Called::Ok);
    assert_eq!(
        peer.call(&database, "take_memory", &json!([16])),
        Called::Ok
    );
    let too_much = peer.call(&database, "take_memory", &json!([65]));
    assert!(matches!(too_much, Called::Failed(_)), "{too_much:?}");
    assert_eq!(
        peer.call(&database, "take_memory", &json!([16])),
        Called::Ok
    );
    // A module that talks too much is heard within bounds.
    assert_eq!(
        peer.call(&database, "talk_too_much", &json!([2_000, 1_000])),
        Called::Ok
    );
    assert_eq!(
        peer.call(&database, "behave", &json!(["still here"])),
        Called::Ok
    );
}
