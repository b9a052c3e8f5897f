//! Modules that were not written for Tombolo, compiled with SpacetimeDB's own library, publish
//! and run as they are.

use crate::client::Called;
use crate::harness::{Peer, turn, wait_until_equal};
use serde_json::{Value, json};

/// A serial number that needs all of 128 bits.
const SERIAL: &str = "340282366920938463463374607431768211455";

fn ok(peer: &Peer, database: &str, reducer: &str, arguments: Value) {
    assert_eq!(
        peer.call(database, reducer, &arguments),
        Called::Ok,
        "{reducer} {arguments}"
    );
}

/// The reducer fails with a text that contains `why`.
fn fails(peer: &Peer, database: &str, reducer: &str, arguments: Value, why: &str) {
    match peer.call(database, reducer, &arguments) {
        Called::Failed(text) => assert!(text.contains(why), "{reducer}: {text}"),
        other => panic!("{reducer} {arguments}: {other:?}"),
    }
}

#[test]
fn a_warehouse_with_every_kind_of_column_and_index() {
    let _turn = turn();
    let a = Peer::start("a");
    let database = a.publish("inventory", "inventory");
    assert_eq!(a.count(&database, "warehouse"), 3, "init has run");

    ok(
        &a,
        &database,
        "add_item",
        json!([
            "drill-1",
            SERIAL,
            "Tool",
            "Ada",
            12_900,
            1.75,
            ["loud", "blue"],
            { "width_mm": 100, "height_mm": 200, "depth_mm": 300 },
            null
        ]),
    );
    // Keyed by parameter, as SDKs and people also write it.
    ok(
        &a,
        &database,
        "add_item",
        json!({
            "sku": "screw-4",
            "serial": 4,
            "category": { "Part": [] },
            "maker": "Bo",
            "price_cents": 3,
            "weight_kg": 0.002,
            "tags": [],
            "dimensions": null,
            "note": "by the hundred"
        }),
    );
    fails(
        &a,
        &database,
        "add_item",
        json!(["drill-1", 5, "Tool", "Bo", 1, 1.0, [], null, null]),
        "",
    );
    fails(
        &a,
        &database,
        "add_item",
        json!(["drill-2", SERIAL, "Tool", "Bo", 1, 1.0, [], null, null]),
        "",
    );
    assert_eq!(
        a.count(&database, "item"),
        2,
        "what failed left nothing behind"
    );
    let text = a.sql_text(&database, "SELECT * FROM item WHERE sku = 'drill-1'");
    assert!(text.contains(SERIAL), "128 bits stay whole: {text}");
    let price = a.sql(
        &database,
        "SELECT price_cents FROM item WHERE sku = 'screw-4'",
    );
    assert_eq!(price, [json!([3])]);

    ok(&a, &database, "fill", json!([1, 150]));
    ok(&a, &database, "audit", json!([]));
    ok(
        &a,
        &database,
        "deliver",
        json!(["drill-1", 10, "the maker"]),
    );
    ok(
        &a,
        &database,
        "deliver",
        json!(["screw-4", 1_000, "the maker"]),
    );
    let notes = a.sql(&database, "SELECT number FROM delivery_note");
    assert_eq!(
        notes,
        [json!([1]), json!([2])],
        "a narrow counter counts 1, 2"
    );
    ok(&a, &database, "sell", json!(["drill-1", 3, 0.1]));
    fails(
        &a,
        &database,
        "sell",
        json!(["drill-1", 8, null]),
        "7 there",
    );
    ok(
        &a,
        &database,
        "place",
        json!(["drill-1", { "Shelf": { "aisle": 7, "bay": 2 } }]),
    );
    ok(
        &a,
        &database,
        "place",
        json!(["screw-4", { "InTransit": { "carrier": "a ship", "stops": ["Brest"], "due": null } }]),
    );
    ok(&a, &database, "rename_item", json!(["drill-1", "drill-9"]));
    assert_eq!(
        a.sql(&database, "SELECT stock FROM item WHERE sku = 'drill-9'"),
        [json!([7])]
    );
    assert!(
        a.sql(&database, "SELECT stock FROM item WHERE sku = 'drill-1'")
            .is_empty()
    );
    ok(
        &a,
        &database,
        "reprice",
        json!(["Tool", 10_000, 20_000, 0.5]),
    );
    assert_eq!(
        a.sql(
            &database,
            "SELECT price_cents FROM item WHERE sku = 'drill-9'"
        ),
        [json!([6_450])]
    );
    ok(&a, &database, "set_open", json!([2, true]));
    assert_eq!(
        a.sql(
            &database,
            "SELECT COUNT(*) AS n FROM warehouse WHERE open = true"
        ),
        [json!([3])]
    );
    ok(
        &a,
        &database,
        "forget_movements",
        json!(["drill-9", -100, 100]),
    );
    ok(&a, &database, "audit", json!([]));
    fails(&a, &database, "remove", json!(["no such"]), "no such");

    // A second peer gets all of it, and both write what belongs together.
    let b = Peer::start("b");
    b.join(&a.invite("inventory"));
    wait_until_equal(&[&a, &b], &database);
    ok(&b, &database, "fill", json!([2, 100]));
    ok(&a, &database, "scrap", json!(["Consumable", -500, -1]));
    ok(&b, &database, "drop_maker", json!([""]));
    ok(&a, &database, "fill", json!([3, 50]));
    ok(
        &b,
        &database,
        "deliver",
        json!(["screw-4", 1, "somebody else"]),
    );
    ok(&a, &database, "summarise", json!([]));
    wait_until_equal(&[&a, &b], &database);
    for peer in [&a, &b] {
        ok(peer, &database, "audit", json!([]));
        ok(peer, &database, "summarise", json!([]));
    }
    wait_until_equal(&[&a, &b], &database);
    for table in [
        "item",
        "movement",
        "summary",
        "delivery_note",
        "price_history",
    ] {
        let query = format!("SELECT * FROM {table}");
        assert_eq!(
            a.sql_text_rows(&database, &query),
            b.sql_text_rows(&database, &query),
            "{table}"
        );
    }
    let summarised: i64 = a
        .sql(&database, "SELECT items FROM summary")
        .iter()
        .map(|row| row[0].as_i64().expect("a count"))
        .sum();
    assert_eq!(summarised as u64, a.count(&database, "item"));
}

#[test]
fn a_board_that_a_team_shares() {
    let _turn = turn();
    let a = Peer::start("a");
    let database = a.publish("kanban", "kanban");
    let b = Peer::start("b");
    b.join(&a.invite("kanban"));
    for peer in [&a, &b] {
        ok(peer, &database, "join_team", json!([]));
    }
    wait_until_equal(&[&a, &b], &database);
    for number in 0..4 {
        ok(
            &a,
            &database,
            "open_card",
            json!([format!("a's {number}"), "Normal", ["paper"]]),
        );
        ok(
            &b,
            &database,
            "open_card",
            json!([format!("b's {number}"), "Urgent", []]),
        );
    }
    wait_until_equal(&[&a, &b], &database);
    let numbers: Vec<u64> = a
        .sql(&database, "SELECT number FROM card")
        .iter()
        .map(|row| row[0].as_u64().expect("a number"))
        .collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [1, 2, 3, 4, 5, 6, 7, 8],
        "one order numbers all cards"
    );

    for number in 1..=3 {
        ok(&a, &database, "move_card", json!([number, "Doing"]));
    }
    fails(&a, &database, "move_card", json!([4, "Doing"]), "full");
    // Chance is the call's own: every peer draws the same member.
    for number in 1..=8 {
        ok(&a, &database, "assign", json!([number, null]));
    }
    ok(&a, &database, "put_above", json!([6, 5]));
    ok(&a, &database, "comment_on", json!([1, "nearly there"]));
    ok(&a, &database, "move_card", json!([1, "Done"]));
    ok(&a, &database, "delete_card", json!([2]));
    ok(&a, &database, "set_limit", json!(["Doing", 1]));
    wait_until_equal(&[&a, &b], &database);
    ok(&b, &database, "triage", json!([]));
    fails(&b, &database, "move_card", json!([4, "Doing"]), "full");
    fails(
        &b,
        &database,
        "comment_on",
        json!([2, "too late"]),
        "no card 2",
    );
    wait_until_equal(&[&a, &b], &database);
    assert_eq!(a.count(&database, "assignment"), 7);
    for table in ["card", "assignment", "comment", "history", "lane", "member"] {
        let query = format!("SELECT * FROM {table}");
        assert_eq!(
            a.sql_text_rows(&database, &query),
            b.sql_text_rows(&database, &query),
            "{table}"
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_answered_clearly() {
    let _turn = turn();
    let a = Peer::start("a");
    let database = a.publish("inventory", "inventory");
    let call = |reducer: &str, arguments: &str| {
        a.request(
            "POST",
            &format!("/v1/database/{database}/call/{reducer}"),
            Some(arguments),
        )
        .expect("the peer answers")
    };
    let (status, text) = call("set_open", "[1]");
    assert_eq!(status, 400, "{text}");
    assert!(
        text.contains("open"),
        "it names the missing parameter: {text}"
    );
    let (status, text) = call("set_open", "[\"one\", true]");
    assert_eq!(status, 400, "{text}");
    let (status, text) = call("set_open", "[256, true]");
    assert_eq!(status, 400, "{text}");
    let (status, text) = call("no_such", "[]");
    assert_eq!(status, 404, "{text}");
    let (status, text) = call("init", "[]");
    assert_eq!(status, 400, "{text}");
    let (status, text) = a
        .request(
            "POST",
            &format!("/v1/database/{database}/sql"),
            Some("SELECT * FROM no_such"),
        )
        .expect("the peer answers");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("no_such"), "{text}");
    let (status, _) = a
        .request("GET", "/v1/database/no-such/status", None)
        .expect("the peer answers");
    assert_eq!(status, 404);
}
