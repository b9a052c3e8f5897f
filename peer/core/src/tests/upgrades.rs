//! Module upgrades: judged at the cut that covers them, the same on every peer.

use super::finality::{move_to, rebuild};
use super::harness::{Dice, Mesh};
use super::made::{MadeTable, made, plain};
use crate::reply::{ErrorKind, UpgradeState};
use spacetimedb_sats::{AlgebraicType as Type, AlgebraicValue as Value};

fn item() -> MadeTable {
    plain("item", &[("id", Type::U32), ("name", Type::String)])
}

fn tag() -> MadeTable {
    plain("tag", &[("word", Type::String)])
}

/// Items and tags.
pub(super) fn first() -> Vec<u8> {
    made(&[item(), tag()])
}

/// Items have a level; a call with two arguments no longer fits.
fn levels() -> MadeTable {
    item().with(|t| {
        t.columns.push(("level", Type::U16));
        t.defaults.push((2, Value::U16(7)));
    })
}

pub(super) fn second() -> Vec<u8> {
    made(&[levels(), tag()])
}

/// Items are keyed by their id, names are indexed, and there is a table more.
fn third() -> Vec<u8> {
    let keyed = levels().with(|t| {
        t.key = Some(0);
        t.indexes.push((vec![1], "by_name"));
    });
    made(&[plain("log", &[("line", Type::String)]), keyed, tag()])
}

/// Peers that have the first module and some rows, all final.
pub(super) fn started(peers: usize, joined: usize, seed: u64) -> Mesh {
    let mut mesh = Mesh::new(peers, seed);
    let published = mesh.publish(0, &first(), false).expect("a sound module");
    assert!(published.created);
    for at in 1..joined {
        let ticket = mesh.invite(0);
        mesh.join(at, &ticket);
    }
    for id in 0..3 {
        let row = format!(r#"[{id}, "item {id}"]"#);
        mesh.call(0, "put_item", &row).expect("it fits");
    }
    mesh.call(0, "put_tag", r#"["new"]"#).expect("it fits");
    mesh.pass_ms(4_000);
    assert_eq!(mesh.status(0).tail, 0);
    mesh
}

fn module_of(mesh: &mut Mesh, at: usize) -> String {
    mesh.status(at).module_hash
}

pub(super) fn hash(wasm: &[u8]) -> String {
    sync_protocol::BlobHash::of(wasm).to_string()
}

/// A call and a cut under each of the three modules.
fn upgrade_twice(mesh: &mut Mesh) {
    mesh.publish(0, &second(), true)
        .expect("nothing in the way");
    mesh.call(1, "put_item", r#"[20, "second", 2]"#)
        .expect("it fits");
    mesh.pass_ms(3_000);
    mesh.publish(0, &third(), true).expect("nothing in the way");
    mesh.call(1, "put_log", r#"["third"]"#).expect("it fits");
    mesh.pass_ms(3_000);
}

#[test]
fn rows_stay_and_the_new_module_rules_from_the_cut_on() {
    let mut mesh = started(2, 2, 1);
    let before = mesh.status(0).cut.height;
    let published = mesh
        .publish(0, &second(), true)
        .expect("nothing in the way");
    let upgraded = published.upgraded.expect("it is another module");
    assert!(!published.created);
    assert_eq!(upgraded.steps, ["column level is added to table item"]);
    let height = upgraded.effective.expect("the finaliser is here");
    assert!(height > before);
    mesh.pass_ms(2_000);
    for at in 0..2 {
        assert_eq!(module_of(&mut mesh, at), hash(&second()), "peer {at}");
        let rows = mesh.rows(at, "SELECT * FROM item");
        assert_eq!(rows[0], ["0", "item 0", "7"], "peer {at}");
        assert_eq!(rows.len(), 3, "peer {at}");
        let upgrade = mesh.status(at).upgrade.expect("there was one");
        assert_eq!(
            (upgrade.state, upgrade.height),
            (UpgradeState::Effective, Some(height))
        );
    }
    let error = mesh
        .call(1, "put_item", r#"[9, "old"]"#)
        .expect_err("three columns now");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    mesh.call(1, "put_item", r#"[9, "new", 8]"#)
        .expect("it fits");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(0, "SELECT level FROM item WHERE id = 9"), [["8"]]);
    // What rules, and every number, is read off the rows.
    for at in 0..2 {
        mesh.crash(at);
        mesh.start(at);
    }
    mesh.settle();
    mesh.pass_ms(6_000);
    mesh.assert_converged();
    assert_eq!(module_of(&mut mesh, 1), hash(&second()));
    mesh.call(0, "put_item", r#"[10, "later", 1]"#)
        .expect("it fits");
}

#[test]
fn the_same_module_changes_nothing() {
    let mut mesh = started(1, 1, 2);
    let before = mesh.status(0);
    let published = mesh.publish(0, &first(), false).expect("it is there");
    assert_eq!((published.created, published.upgraded), (false, None));
    let after = mesh.status(0);
    assert_eq!(
        (before.entries, before.heads_hash),
        (after.entries, after.heads_hash)
    );
    assert_eq!(after.upgrade, None);
}

#[test]
fn the_publisher_hears_every_reason_at_once() {
    let mut mesh = started(2, 2, 3);
    let before = mesh.status(0);
    let error = mesh
        .publish(0, &second(), false)
        .expect_err("it breaks clients");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert!(error.message.contains("column level is added"), "{error}");
    assert!(error.message.contains("--break-clients"), "{error}");
    let worse = made(&[plain("item", &[("id", Type::U64)])]);
    let error = mesh.publish(0, &worse, true).expect_err("it cannot be");
    let reasons: Vec<&str> = error.message.lines().collect();
    assert_eq!(reasons.len(), 2, "{error}");
    let emptied = made(&[item()]);
    let error = mesh.publish(0, &emptied, true).expect_err("there is a tag");
    assert!(
        error.message.contains("table tag: it still has rows"),
        "{error}"
    );
    let error = mesh.publish(0, b"nonsense", true).expect_err("no module");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    let error = mesh.publish(1, &second(), true).expect_err("not its owner");
    assert_eq!(error.kind, ErrorKind::NotOwner);
    assert_eq!(
        mesh.status(0).entries,
        before.entries,
        "nothing was published"
    );
    // An emptied table can go.
    mesh.call(1, "take_tag", r#"["new"]"#).expect("it is there");
    mesh.publish(0, &emptied, true).expect("nothing in the way");
    mesh.pass_ms(2_000);
    mesh.assert_converged();
    let error = mesh.call(1, "put_tag", r#"["x"]"#).expect_err("gone");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn calls_of_a_peer_that_was_away_fail_or_fit_the_same_for_all() {
    let mut mesh = started(3, 3, 4);
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    mesh.call(2, "put_item", r#"[50, "unfitting"]"#)
        .expect("it fits there");
    mesh.call(2, "put_tag", r#"["fitting"]"#)
        .expect("it fits there");
    mesh.publish(0, &second(), true)
        .expect("nothing in the way");
    mesh.call(0, "put_item", r#"[51, "new", 1]"#)
        .expect("it fits");
    mesh.pass_ms(3_000);
    assert_eq!(
        module_of(&mut mesh, 2),
        hash(&first()),
        "it has not heard of it"
    );
    mesh.call(2, "put_tag", r#"["later"]"#)
        .expect("it fits there");
    mesh.heal_link(0, 2);
    mesh.heal_link(1, 2);
    mesh.settle();
    mesh.pass_ms(6_000);
    mesh.assert_converged();
    for at in 0..3 {
        assert_eq!(module_of(&mut mesh, at), hash(&second()), "peer {at}");
        let words = mesh.rows(at, "SELECT word FROM tag");
        assert_eq!(words, [["fitting"], ["later"], ["new"]], "peer {at}");
        let ids = mesh.rows(at, "SELECT id FROM item");
        assert_eq!(ids, [["0"], ["1"], ["2"], ["51"]], "peer {at}");
    }
}

#[test]
fn rows_that_come_in_time_can_refuse_it_at_the_cut() {
    let mut mesh = started(2, 2, 5);
    let unique = made(&[item().with(|t| t.unique.push(1)), tag()]);
    mesh.cut_link(0, 1);
    mesh.settle();
    mesh.call(1, "put_item", r#"[77, "item 1"]"#)
        .expect("it fits");
    // Where it is published nothing is in the way; the row arrives before the cut.
    let id = mesh.publish_later(0, &unique, false);
    mesh.settle();
    mesh.heal_link(0, 1);
    mesh.settle();
    let error = mesh.published(id).expect_err("two items share a name");
    assert!(error.message.contains("refused the module"), "{error}");
    assert!(
        error.message.contains("two rows share a value of name"),
        "{error}"
    );
    mesh.pass_ms(2_000);
    mesh.assert_converged();
    for at in 0..2 {
        assert_eq!(module_of(&mut mesh, at), hash(&first()), "peer {at}");
        let upgrade = mesh.status(at).upgrade.expect("there was one");
        assert_eq!(upgrade.state, UpgradeState::Refused);
        assert!(upgrade.reasons[0].contains("two rows share"), "{upgrade:?}");
    }
    mesh.call(1, "take_item", r#"[77, "item 1"]"#)
        .expect("it is there");
    mesh.publish(0, &unique, false).expect("nothing in the way");
    mesh.pass_ms(2_000);
    mesh.assert_converged();
    mesh.call(1, "put_item", r#"[78, "item 1"]"#)
        .expect_err("unique");
}

#[test]
fn several_in_one_cut_take_effect_in_their_order() {
    // Each fits what is there; after the first the second fits no more.
    let other = made(&[
        item().with(|t| {
            t.columns.push(("colour", Type::String));
            t.defaults.push((2, Value::String("red".into())));
        }),
        tag(),
    ]);
    let mut mesh = started(3, 2, 6);
    let ids = [&second(), &other, &third()].map(|wasm| mesh.publish_later(0, wasm, true));
    let [one, two, three] = ids.map(|id| mesh.published(id));
    let height = |result: Result<crate::Published, _>| {
        let published: crate::Published = result
            .map_err(|error: crate::RequestError| error.message)
            .expect("fits");
        published
            .upgraded
            .expect("another module")
            .effective
            .expect("judged")
    };
    let (one, three) = (height(one), height(three));
    assert_eq!(one, three, "one cut covers all");
    let error = two.expect_err("a column would go");
    assert!(
        error.message.contains("column level was removed"),
        "{error}"
    );
    mesh.pass_ms(2_000);
    mesh.assert_same(0, 1);
    assert_eq!(module_of(&mut mesh, 1), hash(&third()));
    assert_eq!(
        mesh.rows(1, "SELECT level FROM item"),
        [["7"], ["7"], ["7"]]
    );
    mesh.call(1, "put_item", r#"[1, "twice", 0]"#)
        .expect_err("ids are keys now");
    // Who comes later runs the same history, the refused module included.
    let ticket = mesh.invite(0);
    mesh.join(2, &ticket);
    mesh.pass_ms(4_000);
    mesh.assert_converged();
    assert_eq!(module_of(&mut mesh, 2), hash(&third()));
}

#[test]
fn who_joins_after_upgrades_runs_each_segment_under_its_module() {
    let mut mesh = started(3, 2, 7);
    upgrade_twice(&mut mesh);
    let ticket = mesh.invite(0);
    mesh.join(2, &ticket);
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    mesh.crash(2);
    mesh.start(2);
    mesh.settle();
    mesh.pass_ms(5_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(2, "SELECT number FROM sys_module").len(), 3);
    mesh.call(2, "put_log", r#"["from the joiner"]"#)
        .expect("it fits");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_module_goes_from_member_to_member() {
    let mut mesh = started(3, 3, 8);
    mesh.cut_link(0, 2);
    mesh.settle();
    mesh.publish(0, &second(), true)
        .expect("nothing in the way");
    mesh.pass_ms(4_000);
    mesh.assert_converged();
    assert_eq!(module_of(&mut mesh, 2), hash(&second()));
}

#[test]
fn without_its_finaliser_it_waits() {
    let mut mesh = started(2, 2, 9);
    // The owner's device is the finaliser; a cut that never comes is one that is not due yet.
    let id = mesh.publish_later(0, &second(), true);
    mesh.settle();
    let upgrade = mesh.status(0).upgrade.expect("there is one");
    assert_eq!(
        (upgrade.state, upgrade.height),
        (UpgradeState::Waiting, None)
    );
    assert_eq!(module_of(&mut mesh, 0), hash(&first()));
    // Time jumps beyond what a client waits for before anybody can make a cut.
    let published = mesh.published(id).expect("nothing in the way");
    assert!(
        published
            .upgraded
            .expect("another module")
            .effective
            .is_some()
    );
}

#[test]
fn whoever_publishes_while_the_finaliser_is_away_is_told_so_and_it_takes_effect_later() {
    let mut mesh = started(2, 2, 14);
    let other = mesh.device(1);
    move_to(&mut mesh, 0, other).expect("it is a member that may write");
    mesh.pass_ms(4_000);
    mesh.crash(1);
    mesh.settle();
    let published = mesh
        .publish(0, &second(), true)
        .expect("nothing in the way");
    let upgraded = published.upgraded.expect("another module");
    assert_eq!(upgraded.effective, None, "nobody is there to make it final");
    assert_eq!(module_of(&mut mesh, 0), hash(&first()));
    mesh.start(1);
    mesh.settle();
    mesh.pass_ms(12_000);
    mesh.assert_converged();
    assert_eq!(module_of(&mut mesh, 0), hash(&second()));
}

#[test]
fn a_rebuild_runs_each_segment_under_its_module() {
    let mut mesh = started(2, 2, 15);
    upgrade_twice(&mut mesh);
    mesh.call(1, "put_log", r#"["in the tail"]"#)
        .expect("it fits");
    let before = mesh.status(1);
    rebuild(&mut mesh, 1).expect("the log is sound");
    let after = mesh.status(1);
    assert_eq!(after.status, "ok", "{:?}", after.detail);
    assert_eq!(after.state_root, before.state_root);
    assert_eq!(after.cut, before.cut);
    assert_eq!(module_of(&mut mesh, 1), hash(&third()));
    mesh.call(1, "put_log", r#"["afterwards"]"#)
        .expect("it fits");
    mesh.pass_ms(4_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(0, "SELECT line FROM log").len(), 3);
}

#[test]
fn a_power_cut_at_any_write_of_an_upgrade_loses_nothing() {
    let mut cut_off = 0;
    for count in 0.. {
        let mut mesh = started(1, 1, 10);
        mesh.publish_later(0, &third(), true);
        mesh.settle();
        // The entry is durable; everything from here on is the cut.
        let before = mesh.disk(0).operations();
        mesh.disk(0).fail_after(count);
        mesh.pass_ms(3_000);
        let wrote = mesh.disk(0).operations() - before;
        mesh.crash(0);
        mesh.start(0);
        mesh.settle();
        mesh.pass_ms(3_000);
        let status = mesh.status(0);
        assert_eq!(
            status.status, "ok",
            "after {count} writes: {:?}",
            status.detail
        );
        assert_eq!(status.module_hash, hash(&third()), "after {count} writes");
        assert_eq!(
            mesh.rows(0, "SELECT level FROM item"),
            [["7"], ["7"], ["7"]]
        );
        mesh.call(0, "put_item", r#"[1, "twice", 0]"#)
            .expect_err("ids are keys");
        mesh.call(0, "put_item", r#"[3, "three", 0]"#)
            .expect("it fits");
        if wrote < count {
            break;
        }
        cut_off += 1;
    }
    assert!(cut_off > 8, "it was cut off at several places: {cut_off}");
}

/// Peers that are cut off from each other, calls that fit or not, an owner that upgrades: whatever
/// came to whom and when, all hold the same in the end, and so does one that joins last and runs
/// the whole history once, in order.
#[test]
fn any_schedule_ends_in_what_the_history_says() {
    let versions = [first(), second(), third()];
    let (mut judged, mut unfit) = (0, 0);
    for seed in 100..124 {
        let mut dice = Dice(seed);
        let mut mesh = started(4, 3, seed);
        let mut version = 0;
        let mut waiting = Vec::new();
        for step in 0..24 {
            let at = usize::try_from(dice.below(3)).expect("small");
            for other in 0..3 {
                match dice.below(5) {
                    0 | 1 if other != at => mesh.heal_link(at, other),
                    2 if other != at => mesh.cut_link(at, other),
                    _ => {}
                }
            }
            match dice.below(8) {
                0 if version + 1 < versions.len() => {
                    version += 1;
                    waiting.push(mesh.publish_later(0, &versions[version], true));
                }
                // Both shapes: one of them fits the module that the peer has.
                1..=3 => {
                    let (id, level) = (dice.below(40), dice.below(5));
                    for arguments in [
                        format!(r#"[{id}, "step {step}"]"#),
                        format!(r#"[{id}, "step {step}", {level}]"#),
                    ] {
                        let request = mesh.call_request("put_item", &arguments);
                        mesh.ask_later(at, request);
                    }
                }
                4 | 5 => {
                    let request = mesh.call_request("put_tag", &format!(r#"["tag {step}"]"#));
                    mesh.ask_later(at, request);
                }
                _ => {}
            }
            mesh.settle();
            mesh.pass_ms(50 * dice.below(30));
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            mesh.heal_link(a, b);
        }
        mesh.settle();
        mesh.pass_ms(8_000);
        for id in waiting {
            judged += usize::from(mesh.published(id).is_ok());
        }
        let ticket = mesh.invite(0);
        mesh.join(3, &ticket);
        mesh.pass_ms(5_000);
        mesh.assert_converged();
        let (one, last) = (mesh.status(0), mesh.status(3));
        assert_eq!(one.cut, last.cut, "replay: seed {seed}");
        assert_eq!(one.module_hash, last.module_hash, "replay: seed {seed}");
        unfit += mesh.rows(3, "SELECT id FROM item").len();
    }
    assert!(judged > 15, "upgrades must happen: {judged}");
    assert!(unfit > 24 * 3, "calls must come through: {unfit}");
}
