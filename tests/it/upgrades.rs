//! Upgrades as a person sees them: the command line, HTTP, and members that follow.

// The modules are those of the core's own tests: any tables, and a reducer to fill each.
#[path = "../../peer/core/src/tests/made.rs"]
pub(crate) mod made;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spacetimedb_sats::{AlgebraicType as Type, AlgebraicValue};

use self::made::{MadeTable, plain};
use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_for, wait_until_equal};

fn item() -> MadeTable {
    plain("item", &[("id", Type::U32), ("name", Type::String)])
}

fn with_level() -> MadeTable {
    item().with(|table| {
        table.columns.push(("level", Type::U16));
        table.defaults.push((2, AlgebraicValue::U16(7)));
    })
}

/// Writes a module beside a peer's data and gives its path.
fn file(peer: &Peer, name: &str, tables: &[MadeTable]) -> PathBuf {
    let path = peer.data_dir().join(name);
    std::fs::write(&path, made::made(tables)).expect("it can be written");
    path
}

fn publish(peer: &Peer, wasm: &Path, options: &[&str]) -> crate::harness::Ended {
    let wasm = wasm.to_str().expect("a plain path");
    peer.cli(&[&["publish", "shop", "--bin-path", wasm][..], options].concat())
}

#[test]
fn a_second_publish_updates_every_member() {
    let _turn = turn();
    let mut ada = Peer::start("ada");
    let mut bob = Peer::start("bob");
    let first = file(&ada, "first.wasm", &[item()]);
    let second = file(&ada, "second.wasm", &[with_level()]);
    let unique = file(
        &ada,
        "unique.wasm",
        &[with_level().with(|table| table.unique.push(1))],
    );

    assert!(publish(&ada, &first, &[]).ok().contains("shop created"));
    bob.join(&ada.invite("shop"));
    for (id, name) in [(1, "a"), (2, "b"), (3, "b")] {
        assert_eq!(bob.call("shop", "put_item", &json!([id, name])), Called::Ok);
    }
    wait_until_equal(&[&ada, &bob], "shop");

    // What is in the way is said at once, and nothing is published.
    let refused = publish(&ada, &second, &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("column level is added"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--break-clients"), "{refused:?}");
    let refused = publish(&ada, &unique, &["--break-clients"]);
    assert!(
        refused.stderr.contains("two rows share a value of name"),
        "{refused:?}"
    );
    let refused = publish(&bob, &second, &["--break-clients"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("PermissionDenied"), "{refused:?}");

    let updated = publish(&ada, &second, &["--break-clients"]).ok();
    assert!(
        updated.contains("shop updated, effective at cut"),
        "{updated}"
    );
    assert!(
        updated.contains("column level is added to table item"),
        "{updated}"
    );
    let again = publish(&ada, &second, &["--json"]).ok();
    let again: Value = serde_json::from_str(&again).expect("--json prints JSON");
    assert_eq!(again["op"], "updated");
    assert_eq!(again["upgrade"]["state"], "unchanged");

    let module = ada.status("shop")["module_hash"].clone();
    wait_for("bob to run it", PATIENCE, || {
        let status = bob.try_status("shop")?;
        if status["module_hash"] == module {
            return Ok(());
        }
        Err(status.to_string())
    });
    assert_eq!(
        bob.sql("shop", "SELECT * FROM item WHERE id = 1"),
        [json!([1, "a", 7])]
    );
    assert_eq!(
        bob.call("shop", "put_item", &json!([4, "d", 1])),
        Called::Ok
    );
    wait_until_equal(&[&ada, &bob], "shop");

    // Both come back under it, and who joins now has every row.
    for peer in [&mut ada, &mut bob] {
        peer.kill();
        peer.start_again();
    }
    let cyd = Peer::start("cyd");
    cyd.join(&ada.invite("shop"));
    wait_until_equal(&[&ada, &bob, &cyd], "shop");
    assert_eq!(cyd.count("shop", "item"), 4);
    assert_eq!(cyd.status("shop")["upgrade"]["state"], "effective");
}

#[test]
fn emptying_reaches_every_member() {
    let _turn = turn();
    let ada = Peer::start("ada");
    let mut bob = Peer::start("bob");
    let chat = crate::harness::module("chat");
    assert!(
        publish(&ada, &chat, &["--delete-data"])
            .ok()
            .contains("shop created")
    );
    bob.join(&ada.invite("shop"));
    assert_eq!(ada.call("shop", "open_accounts", &json!([3])), Called::Ok);
    assert_eq!(bob.call("shop", "open_room", &json!(["attic"])), Called::Ok);
    wait_until_equal(&[&ada, &bob], "shop");
    let refused = publish(&bob, &chat, &["--delete-data", "--yes"]);
    assert!(refused.stderr.contains("PermissionDenied"), "{refused:?}");

    // The same module is no reason to let the rows be, and who is away hears of it later.
    bob.kill();
    let done = publish(&ada, &chat, &["--delete-data", "--yes"]).ok();
    assert!(done.contains("shop updated, effective at cut"), "{done}");
    assert!(
        done.contains("all rows are deleted, and `init` runs"),
        "{done}"
    );
    assert_eq!(ada.count("shop", "account"), 0);
    assert_eq!(ada.sql("shop", "SELECT name FROM room"), [json!(["lobby"])]);
    assert_eq!(ada.call("shop", "open_accounts", &json!([2])), Called::Ok);
    bob.start_again();
    wait_until_equal(&[&ada, &bob], "shop");
    assert_eq!(bob.count("shop", "account"), 2);
    assert_eq!(bob.sql("shop", "SELECT name FROM room"), [json!(["lobby"])]);
    assert_eq!(bob.call("shop", "open_room", &json!(["attic"])), Called::Ok);

    // Over HTTP, with another module, that has nothing in common with the one before.
    let other = file(&ada, "other.wasm", &[plain("room", &[("id", Type::I8)])]);
    let wasm = std::fs::read(other).expect("it was written");
    let answer = ada.put("/v1/database/shop?clear=true", &wasm);
    assert_eq!(answer["Success"]["op"], "updated", "{answer}");
    wait_until_equal(&[&ada, &bob], "shop");
    assert_eq!(bob.count("shop", "room"), 0);
    assert_eq!(bob.call("shop", "put_room", &json!([-3])), Called::Ok);
    wait_until_equal(&[&ada, &bob], "shop");
    assert_eq!(ada.sql("shop", "SELECT * FROM room"), [json!([-3])]);
}
