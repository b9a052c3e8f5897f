//! Rows that say when a reducer runs, and views, over real peers and by the command line; and what a
//! peer says of itself to whoever watches it.

use crate::client::Called;
use crate::harness::{Peer, module, turn, wait_for, wait_until_equal};
use serde_json::json;
use std::time::Duration;

/// A few seconds are due, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn alarms_ring_once_over_two_peers_and_views_tell_of_them() {
    let _turn = turn();
    let a = Peer::start("a");
    let b = Peer::start("b");
    let database = a.publish("clockwork", "clockwork");
    b.join(&a.invite(&database));
    let alarm = b.call(&database, "set_alarm", &json!([500, "loud", 0]));
    assert_eq!(alarm, Called::Ok);
    let rows = |peer: &Peer, sql: &str| peer.cli(&["sql", &database, sql, "--json"]).ok();
    for peer in [&a, &b] {
        wait_for("it rings", PATIENCE, || {
            let rung = rows(peer, "SELECT note FROM loud_ring");
            match rung.contains("loud") {
                true => Ok(()),
                false => Err(rung),
            }
        });
    }
    wait_until_equal(&[&a, &b], &database);
    let once = "SELECT COUNT(*) AS n FROM rung WHERE note = 'loud'";
    assert_eq!(a.sql(&database, once), [json!([1])]);
    // Not by name: it is the database that calls it.
    let path = format!("/v1/database/{database}/call/ring");
    let (status, text) = a
        .request("POST", &path, Some("[]"))
        .expect("the peer answers");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("called by the database itself"), "{text}");
    let own = rows(
        &b,
        "SELECT status FROM st_invocation WHERE reducer = 'set_alarm'",
    );
    assert!(own.contains("final") || own.contains("tentative"), "{own}");
    let connected = "SELECT COUNT(*) AS n FROM st_peer WHERE connected = true";
    assert_eq!(a.sql(&database, connected), [json!([2])]);

    let (status, text) = a
        .request("GET", "/v1/metrics", None)
        .expect("the peer answers");
    assert_eq!(status, 200, "{text}");
    let label = format!("{{database=\"{database}\",name=\"clockwork\"}}");
    for measure in ["up", "members"] {
        let line = format!("tombolo_database_{measure}{label} ");
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_module_of_the_old_kind_rings_too() {
    let _turn = turn();
    let a = Peer::start("a");
    let alarm = module("alarm_1_2");
    let alarm = alarm.to_str().expect("a plain path");
    let published = a.cli(&["publish", "alarm", "--bin-path", alarm]);
    assert!(published.status.success(), "{published:?}");
    let database = "alarm".to_owned();
    assert_eq!(a.call(&database, "set", &json!(["wake up"])), Called::Ok);
    wait_for("it rings", PATIENCE, || {
        let logs = a.cli(&["logs", &database]).ok();
        match logs.contains("wake up") {
            true => Ok(()),
            false => Err(logs),
        }
    });
    assert_eq!(a.count(&database, "alarm"), 0);
}
