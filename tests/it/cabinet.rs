//! A real module with a column of every type and an index of every kind: what goes in as JSON comes
//! out as JSON, the module itself finds no bit changed, and names are what they have to be.

use crate::client::Called;
use crate::harness::{Peer, turn, wait_until_equal};
use serde_json::{Value, json};

struct Cabinet {
    peer: Peer,
    database: String,
}

impl Cabinet {
    fn publish() -> Cabinet {
        let peer = Peer::start("a");
        let database = peer.publish("cabinet", "cabinet");
        Cabinet { peer, database }
    }

    #[track_caller]
    fn ok(&self, reducer: &str, arguments: Value) {
        let called = self.peer.call(&self.database, reducer, &arguments);
        assert_eq!(called, Called::Ok, "{reducer} {arguments}");
    }

    #[track_caller]
    fn fails(&self, reducer: &str, arguments: Value) -> String {
        match self.peer.call(&self.database, reducer, &arguments) {
            Called::Failed(text) => text,
            other => panic!("{reducer} {arguments}: {other:?}"),
        }
    }

    /// A call whose arguments are text: JSON values here have no more than 64 bits.
    fn call_text(&self, reducer: &str, arguments: &str) -> (u16, String) {
        let path = format!("/v1/database/{}/call/{reducer}", self.database);
        self.peer
            .request("POST", &path, Some(arguments))
            .expect("the peer answers")
    }

    /// The one row of a query, as it came.
    fn row(&self, query: &str) -> String {
        let rows = self.peer.sql_text_rows(&self.database, query);
        let rows = rows.trim_start_matches([':', ' ', '\n']);
        let rows = rows.trim_end().trim_end_matches(',').trim_end();
        let row = rows
            .strip_prefix('[')
            .and_then(|rows| rows.strip_suffix(']'))
            .unwrap_or_else(|| panic!("{query}: {rows}"));
        row.trim().to_string()
    }
}

/// Every column of a specimen by its canonical name, written in one of the ways that there are.
const WRITTEN: &str = r#"[{
    "id": 3, "flag": true,
    "u_8": 255, "u_16": "65535", "u_32": 4294967295, "u_64": 18446744073709551615,
    "u_128": 340282366920938463463374607431768211455,
    "u_256": "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "i_8": 127, "i_16": 32767, "i_32": "0x7fffffff", "i_64": "9223372036854775807",
    "i_128": "170141183460469231731687303715884105727",
    "i_256": "57896044618658097711785492504343953926634992332820282019728792003956564819967",
    "f_32": "Infinity", "f_64": 1.7976931348623157e308,
    "text": "\udbff\udfff\"\\\n\u0000é",
    "bytes": [0, 1, 254],
    "list": [9223372036854775807, "-9223372036854775808"],
    "maybe": {"some": "340282366920938463463374607431768211455"},
    "maybe_twice": [0, [1, []]],
    "colour": "blue",
    "shape": {"polygon": [{"x": 3.4028235e38, "y_2": 2.2250738585072014e-308}, [-0.0, null]]},
    "label": {"shape": {"inside": {"some": "darkGreen"}}, "tags": [[], ["a", ""]]},
    "who": "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "connection": "0xffffffffffffffffffffffffffffffff",
    "at": 9223372036854775807,
    "lasting": {"__time_duration_micros__": 9223372036854775807},
    "mark": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "due": {"Time": 9223372036854775807}
}]"#;

#[test]
fn a_value_of_every_type_goes_in_and_comes_out() {
    let _turn = turn();
    let cabinet = Cabinet::publish();
    // What the module itself makes of the highest and the lowest values of each type.
    cabinet.ok("keep_extreme", json!([1, true]));
    cabinet.ok("keep_extreme", json!([2, false]));
    let (status, text) = cabinet.call_text("keep", WRITTEN);
    assert_eq!(status, 200, "{text}");
    // Three bytes stand for all 256 of them.
    let different = cabinet.fails("compare", json!([1, 3]));
    let bytes = (0..=255).map(|byte| byte.to_string()).collect::<Vec<_>>();
    let all = WRITTEN
        .replace("[0, 1, 254]", &format!("[{}]", bytes.join(",")))
        .replace("\"id\": 3", "\"id\": 4");
    assert!(different.contains("254"), "{different}");
    let (status, text) = cabinet.call_text("keep", &all);
    assert_eq!(status, 200, "{text}");
    cabinet.ok("compare", json!([1, 4]));

    // An answer's row is a list of fields, and so can be an argument. It has no infinity.
    for (id, narrow, wide) in [(1, f32::MAX, f64::MIN_POSITIVE), (2, f32::MIN, -0.0)] {
        cabinet.ok("set_bits", json!([id, narrow.to_bits(), wide.to_bits()]));
        let row = cabinet.row(&format!("SELECT * FROM specimen WHERE id = {id}"));
        let again = row.replacen(&format!("[{id},"), &format!("[1{id},"), 1);
        assert_ne!(row, again, "{row}");
        let (status, text) = cabinet.call_text("keep", &format!("[{again}]"));
        assert_eq!(status, 200, "{text}: {again}");
        cabinet.ok("compare", json!([id, 10 + id]));
    }
    let row = cabinet.row("SELECT u_64, u_128, i_128, who, mark FROM specimen WHERE id = 1");
    for part in [
        "18446744073709551615",
        "340282366920938463463374607431768211455",
        "170141183460469231731687303715884105727",
        &format!("\"0x{}\"", "f".repeat(64)),
    ] {
        assert!(row.contains(part), "{part} in {row}");
    }
    // Floats keep their bits. In answers, what JSON has no number for is null.
    for (number, (narrow, wide)) in [
        (0x7FC0_0000_u32, 0x7FF8_0000_0000_0000_u64),
        (0xFFC0_0001, 0xFFF8_0000_0000_0001),
        (0xFF80_0000, 0xFFF0_0000_0000_0000),
        (0x8000_0000, 0x8000_0000_0000_0000),
        (1, 1),
        (0x3EAA_AAAB, 0x3FD5_5555_5555_5555),
    ]
    .into_iter()
    .enumerate()
    {
        cabinet.ok("set_bits", json!([2, narrow, wide]));
        cabinet.ok("has_bits", json!([2, narrow, wide]));
        let row = cabinet.row("SELECT * FROM specimen WHERE id = 2");
        if !f32::from_bits(narrow).is_finite() {
            assert!(row.contains(",null,null,"), "{row}");
            continue;
        }
        let again = row.replacen("[2,", &format!("[{},", 20 + number), 1);
        let (status, text) = cabinet.call_text("keep", &format!("[{again}]"));
        assert_eq!(status, 200, "{text}: {again}");
        cabinet.ok("has_bits", json!([20 + number, narrow, wide]));
    }
    for (number, (text, bits)) in [
        ("NaN", 0x7FC0_0000_u32),
        ("Infinity", 0x7F80_0000),
        ("-Infinity", 0xFF80_0000),
    ]
    .into_iter()
    .enumerate()
    {
        let written = WRITTEN
            .replace("\"id\": 3", &format!("\"id\": {}", 30 + number))
            .replace("\"Infinity\"", &format!("\"{text}\""));
        let (status, answer) = cabinet.call_text("keep", &written);
        assert_eq!(status, 200, "{text}: {answer}");
        let wide = f64::MAX.to_bits();
        cabinet.ok("has_bits", json!([30 + number, bits, wide]));
    }
    for (what, bad) in [
        ("\"u_8\": 255", "\"u_8\": 256"),
        ("\"i_8\": 127", "\"i_8\": 128"),
        ("4294967295", "4294967296"),
        ("18446744073709551615", "18446744073709551616"),
        ("ff\",\n    \"i_8\"", "fff\",\n    \"i_8\""),
        ("\"blue\"", "\"green\""),
        ("ffffffff-ffff", "gfffffff-ffff"),
    ] {
        let wrong = WRITTEN.replacen(what, bad, 1);
        assert_ne!(wrong, WRITTEN, "{what} is there");
        let (status, text) = cabinet.call_text("keep", &wrong);
        assert_eq!(status, 400, "{bad}: {text}");
    }
    let count = cabinet.peer.count(&cabinet.database, "specimen");
    cabinet.ok("empty", json!([count]));
    assert_eq!(cabinet.peer.count(&cabinet.database, "specimen"), 0);
}

#[test]
fn every_index_agrees_with_its_table() {
    let _turn = turn();
    let cabinet = Cabinet::publish();
    cabinet.ok("fill", json!([24]));
    cabinet.ok("audit", json!([]));
    for which in 0..5 {
        cabinet.fails("squeeze", json!([which]));
    }
    cabinet.ok("squeeze", json!([5]));
    for _ in 0..12 {
        cabinet.ok("number", json!(["a row"]));
    }
    let numbers = cabinet
        .peer
        .sql(&cabinet.database, "SELECT number FROM in_u_16");
    assert_eq!(numbers, (1..=12).map(|n| json!([n])).collect::<Vec<_>>());
    let text = cabinet.fails("use_up", json!([]));
    assert!(text.to_lowercase().contains("overflow"), "{text}");
    assert_eq!(cabinet.peer.count(&cabinet.database, "in_i_8"), 12);

    // Settled or not, replayed elsewhere or not, it is the same.
    let b = Peer::start("b");
    b.join(&cabinet.peer.invite("cabinet"));
    cabinet.ok("take_out", json!([]));
    wait_until_equal(&[&cabinet.peer, &b], &cabinet.database);
    assert_eq!(b.call(&cabinet.database, "audit", &json!([])), Called::Ok);
}

#[test]
fn names_are_canonical_where_clients_see_them() {
    let _turn = turn();
    let cabinet = Cabinet::publish();
    cabinet.ok(
        "put_on_shelf_2",
        json!({"the_age": 7, "kind": {"secondKind": 9}}),
    );
    cabinet.ok("put_on_shelf_2", json!([8, "firstKind"]));
    // The same row again is no other; another of that age is.
    cabinet.ok("put_on_shelf_2", json!([8, "firstKind"]));
    cabinet.fails("put_on_shelf_2", json!([8, {"secondKind": 0}]));
    cabinet.ok("Renamed", json!([-5]));
    cabinet.ok("shout", json!([3]));
    cabinet.ok("shout", json!([3]));
    for unknown in ["putOnShelf2", "old_name", "renamed"] {
        let (status, text) = cabinet.call_text(unknown, "[1]");
        assert_eq!(status, 404, "{unknown}: {text}");
    }
    let Cabinet { peer, database } = &cabinet;
    // Both names are understood, and the headers are canonical.
    for table in ["old_shelf_2", "oldShelf2"] {
        for column in ["the_age", "theAge"] {
            let query = format!("SELECT kind_of, added_1 FROM {table} WHERE {column} = 7");
            assert_eq!(peer.sql(database, &query), [json!([[1, 9], 1])], "{query}");
        }
    }
    let answer: Value =
        serde_json::from_str(&peer.sql_text(database, "SELECT * FROM oldShelf2")).expect("JSON");
    let headers = answer[0]["schema"]["elements"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| column["name"]["some"].as_str().expect("a name"))
        .collect::<Vec<_>>();
    assert_eq!(headers, ["the_age", "kind_of", "added_1", "added_later"]);
    assert_eq!(peer.sql(database, "SELECT x FROM FancyName"), [json!([-5])]);
    assert_eq!(peer.count(database, "noise"), 0, "events are not kept");

    let schema = |version: u32| -> Value {
        let path = format!("/v1/database/{database}/schema?version={version}");
        let (status, text) = peer.request("GET", &path, None).expect("the peer answers");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let nine = schema(9);
    let table = |name: &str| {
        let tables = nine["tables"].as_array().expect("tables");
        let found = tables.iter().find(|table| table["name"] == name);
        found.unwrap_or_else(|| panic!("no table {name}"))
    };
    let named = |table: &Value, what: &str| {
        let mut names = table[what]
            .as_array()
            .expect("a list")
            .iter()
            .map(|named| named["name"]["some"].as_str().expect("a name").to_string())
            .collect::<Vec<_>>();
        names.sort();
        names
    };
    let shelf = table("old_shelf_2");
    assert_eq!(
        named(shelf, "indexes"),
        [
            "old_shelf_2_the_age_idx_btree",
            "old_shelf_2_the_age_kind_of_idx_btree"
        ]
    );
    assert_eq!(named(shelf, "constraints"), ["old_shelf_2_the_age_key"]);
    assert_eq!(named(table("FancyName"), "indexes"), ["fancyIndex"]);
    assert_eq!(named(table("in_u_64"), "sequences"), ["in_u_64_number_seq"]);
    assert_eq!(
        nine["misc_exports"],
        json!([
            {"ColumnDefaultValue": {"table": "old_shelf_2", "col_id": 2, "value": "0700"}},
            {"ColumnDefaultValue": {"table": "old_shelf_2", "col_id": 3, "value": "01"}},
        ])
    );
    let reducers = nine["reducers"].as_array().expect("reducers");
    for name in ["put_on_shelf_2", "Renamed", "keep"] {
        assert!(
            reducers.iter().any(|reducer| reducer["name"] == name),
            "{name}"
        );
    }
    let types = nine["types"].to_string();
    assert!(types.contains("\"MyKind2\""), "{types}");

    let ten = schema(10);
    let sections = ten["sections"].as_array().expect("sections");
    let section = |name: &str| {
        let found = sections.iter().find_map(|section| section.get(name));
        found.unwrap_or_else(|| panic!("no section {name}"))
    };
    let sources = section("Tables").to_string();
    for source in [
        "\"oldShelf2\"",
        "\"plain\"",
        "\"oldShelf2_theAge_kindOf_idx_btree\"",
    ] {
        assert!(sources.contains(source), "{source}");
    }
    let explicit = section("ExplicitNames")["entries"].to_string();
    for name in ["FancyName", "fancyIndex", "Renamed"] {
        assert!(
            explicit.contains(&format!("\"canonical_name\":\"{name}\"")),
            "{name}: {explicit}"
        );
    }
}
