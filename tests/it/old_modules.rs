//! A module built with the library of SpacetimeDB 1.2 runs as it is: it describes itself in version 9,
//! its names stand for themselves, and it scans by the older names of the imports.

use crate::client::Called;
use crate::harness::{Peer, turn, wait_until_equal};
use serde_json::{Value, json};

#[test]
fn a_ledger_of_the_old_kind() {
    let _turn = turn();
    let a = Peer::start("a");
    let database = a.publish("ledger", "ledger_1_2");
    let ok = |peer: &Peer, reducer: &str, arguments: Value| {
        let called = peer.call(&database, reducer, &arguments);
        assert_eq!(called, Called::Ok, "{reducer} {arguments}");
    };
    let fails = |peer: &Peer, reducer: &str, arguments: Value, why: &str| match peer
        .call(&database, reducer, &arguments)
    {
        Called::Failed(text) => assert!(text.contains(why), "{reducer}: {text}"),
        other => panic!("{reducer} {arguments}: {other:?}"),
    };
    assert_eq!(a.count(&database, "throw"), 1, "init has run");
    for (email, locker, city, age) in [
        ("ada@example", 1, "Brest", 36),
        ("bob@example", 2, "Brest", 64),
        ("cyd@example", 3, "Brest", 65),
        ("dan@example", 200, "Quimper", 40),
    ] {
        ok(&a, "open", json!([email, locker, city, age, 100]));
    }
    // A unique text and a unique small number of a direct index.
    fails(&a, "open", json!(["ada@example", 9, "Brest", 1, 0]), "");
    fails(&a, "open", json!(["eve@example", 200, "Brest", 1, 0]), "");
    assert_eq!(a.count(&database, "account"), 4);
    ok(&a, "pay", json!(["ada@example", 200, 30]));
    fails(&a, "pay", json!(["ada@example", 200, 71]), "has 70, not 71");
    fails(&a, "pay", json!(["ada@example", 4, 1]), "no locker 4");
    // The present is for two of the three: the range ends before 65.
    ok(&a, "present", json!(["Brest", 18, 65]));
    let balances = |peer: &Peer| {
        let mut rows = peer.sql(&database, "SELECT email, balance, openedAt FROM account");
        rows.sort_by_key(|row| row[0].to_string());
        let started = rows.iter().all(|row| row[2][0].as_i64() > Some(0));
        assert!(started, "the time is the call's: {rows:?}");
        rows.iter()
            .map(|row| row[1].as_i64().expect("a balance"))
            .collect::<Vec<_>>()
    };
    assert_eq!(balances(&a), [71, 101, 100, 130]);

    // A second peer comes to the same, chance and time included.
    let b = Peer::start("b");
    b.join(&a.invite("ledger"));
    ok(&a, "throw_dice", json!([1, 20]));
    ok(&b, "throw_dice", json!([2, 20]));
    for peer in [&a, &b, &a] {
        ok(peer, "sign", json!([]));
    }
    fails(&b, "fall", json!([]), "fallen");
    wait_until_equal(&[&a, &b], &database);
    for peer in [&a, &b] {
        let eyes = peer.sql(&database, "SELECT eyes FROM throw WHERE round = 2");
        assert!(
            !eyes.is_empty() && eyes.len() <= 6,
            "a table is a set: {eyes:?}"
        );
        let valid = |row: &Value| (1..=6).contains(&row[0].as_u64().expect("a number"));
        assert!(eyes.iter().all(valid), "{eyes:?}");
        assert_eq!(peer.count(&database, "caller"), 2, "two peers, two callers");
        let mut times = peer.sql(&database, "SELECT times, database FROM caller");
        times.sort_by_key(|row| row[0].as_u64());
        assert_eq!([&times[0][0], &times[1][0]], [&json!(1), &json!(2)]);
        // A number is written without zeros before it.
        let number = database.trim_start_matches('0');
        assert!(times[0][1].to_string().contains(number), "{times:?}");
        let fallen = peer.sql(&database, "SELECT eyes FROM throw WHERE round = 99");
        assert!(fallen.is_empty(), "what broke off left a row");
    }
    ok(&b, "take_back", json!([2]));
    ok(&b, "close", json!([0, 71, "bob@example"]));
    ok(&a, "leave", json!(["Quimper"]));
    wait_until_equal(&[&a, &b], &database);
    assert_eq!(balances(&b), [100]);
    let left = b.sql(&database, "SELECT eyes FROM throw WHERE round = 2");
    assert!(left.is_empty(), "{left:?}");
    for table in ["account", "throw", "caller"] {
        let query = format!("SELECT * FROM {table}");
        let rows = |peer: &Peer| peer.sql_text_rows(&database, &query);
        assert_eq!(rows(&a), rows(&b), "{table}");
    }
    old_names_stand_for_themselves(&a, &database);
}

/// Neither case nor anything else of a name changes, in either version of the schema.
fn old_names_stand_for_themselves(peer: &Peer, database: &str) {
    let schema = |version: u32| -> Value {
        let path = format!("/v1/database/{database}/schema?version={version}");
        let (status, text) = peer.request("GET", &path, None).expect("the peer answers");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let nine = schema(9);
    let account = nine["tables"]
        .as_array()
        .and_then(|tables| tables.iter().find(|table| table["name"] == "account"))
        .expect("there is an account table");
    let mut names: Vec<&str> = ["indexes", "constraints", "sequences"]
        .iter()
        .flat_map(|what| account[what].as_array().expect("a list"))
        .map(|named| named["name"]["some"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        [
            "account_balance_idx_btree",
            "account_city_age_idx_btree",
            "account_email_idx_btree",
            "account_email_key",
            "account_id_idx_btree",
            "account_id_key",
            "account_id_seq",
            "account_locker_idx_direct",
            "account_locker_key",
        ]
    );
    assert!(nine.to_string().contains("\"openedAt\""));
    let ten = schema(10).to_string();
    assert!(
        ten.contains("\"openedAt\"") && ten.contains("{\"CaseConversionPolicy\":{\"None\":[]}}")
    );
}

#[test]
fn a_module_that_is_refused_says_everything_that_is_wrong() {
    let _turn = turn();
    let a = Peer::start("a");
    // Two functions of a world that is not there, and nothing that a module has to have. Its bytes are
    // all below 128, so that they pass for text.
    let mut wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0".to_vec();
    let imports = b"\x02\x03env\x01f\0\0\x16wasi_snapshot_preview1\x08fd_write\0\0";
    wasm.extend([2, imports.len() as u8]);
    wasm.extend(imports);
    let reasons = [
        "it imports env::f, which does not exist",
        "it imports wasi_snapshot_preview1::fd_write: modules that need WASI (C#, C++) are not \
         supported yet",
        "it does not define one memory and export it as `memory`",
        "it does not export __describe_module__: it was not built with a SpacetimeDB library",
        "it does not export __call_reducer__: it was not built with a SpacetimeDB library",
    ];
    let file = a.data_dir().join("odd.wasm");
    std::fs::write(&file, &wasm).expect("a file can be written");
    let file = file.to_str().expect("a plain path");
    let by_cli = a.cli(&["publish", "odd", "--bin-path", file]);
    assert_eq!(by_cli.status.code(), Some(1), "{by_cli:?}");
    let text = String::from_utf8(wasm).expect("all below 128");
    let (status, by_http) = a
        .request("POST", "/v1/database?name=odd", Some(&text))
        .expect("the peer answers");
    assert_eq!(status, 400, "{by_http}");
    for reason in reasons {
        assert!(
            by_cli.stderr.contains(reason),
            "{reason}: {}",
            by_cli.stderr
        );
        assert!(by_http.contains(reason), "{reason}: {by_http}");
    }
    let (status, _) = a
        .request("GET", "/v1/database/odd", None)
        .expect("the peer answers");
    assert_eq!(status, 404, "nothing was made");
}
