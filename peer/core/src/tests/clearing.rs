//! Publishes of which nothing that was there before stays.

use spacetimedb_sats::AlgebraicType as Type;

use super::harness::{CHAT, Dice, Mesh, compiled};
use super::made::{More, made, made_with, plain};
use super::upgrades::{first, hash, second, started};
use crate::effect::Effect;
use crate::reply::{ErrorKind, UpgradeState};
use crate::request::{ClientId, SetId, WantedRows};
use crate::{Published, Request, RequestError};

fn clear(mesh: &mut Mesh, at: usize, wasm: &[u8]) -> Result<Published, RequestError> {
    let id = mesh.clear_later(at, wasm);
    mesh.published(id)
}

fn height(published: &Published) -> u64 {
    let upgraded = published.upgraded.as_ref().expect("something changed");
    assert_eq!(upgraded.steps, ["all rows are deleted, and `init` runs"]);
    upgraded.effective.expect("the finaliser is here")
}

/// Numbers of tables that are in use, by name.
fn numbers(mesh: &mut Mesh, at: usize) -> Vec<Vec<String>> {
    let in_use = "SELECT number, name FROM sys_table WHERE until > 1000000 ORDER BY number";
    mesh.rows(at, in_use)
}

#[test]
fn everything_goes_and_init_runs_anew_for_every_member() {
    let mut mesh = Mesh::new(4, 1);
    mesh.publish(0, CHAT, false).expect("sound");
    for at in [1, 2] {
        let ticket = mesh.invite(0);
        mesh.join(at, &ticket);
    }
    mesh.call(1, "open_accounts", "[4]").expect("fine");
    mesh.call(2, "open_room", r#"["garden"]"#).expect("fine");
    mesh.call(0, "send_message", r#"["lobby", "hello"]"#)
        .expect("fine");
    mesh.pass_ms(4_000);
    let before = numbers(&mut mesh, 0);
    let follow = Request::Subscribe {
        database: "chat".to_owned(),
        client: ClientId(1),
        set: SetId::Numbered(1),
        queries: vec!["SELECT * FROM message".to_owned()],
        rows: WantedRows::Whole,
        events: true,
    };
    mesh.ask(1, follow).expect("it can be followed");
    mesh.told.clear();
    // The same module, too.
    let published = clear(&mut mesh, 0, CHAT).expect("nothing in the way");
    assert!(!published.created);
    let height = height(&published);
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 1);
    mesh.assert_same(0, 2);
    let let_go = |effect: &Effect| {
        matches!(
            effect,
            Effect::DropClient {
                client: ClientId(1),
                ..
            }
        )
    };
    assert!(mesh.told.iter().any(let_go), "{:?}", mesh.told);
    for at in 0..3 {
        assert_eq!(
            mesh.rows(at, "SELECT name FROM room"),
            [["lobby"]],
            "peer {at}"
        );
        for table in ["message", "account", "user", "sys_client"] {
            let rows = mesh.rows(at, &format!("SELECT * FROM {table}"));
            assert!(rows.is_empty(), "peer {at}: {table} has {rows:?}");
        }
        let upgrade = mesh.status(at).upgrade.expect("there was one");
        assert_eq!(
            (upgrade.state, upgrade.height),
            (UpgradeState::Effective, Some(height))
        );
    }
    // No number is given twice.
    let after = numbers(&mut mesh, 1);
    assert_eq!(before.len(), after.len());
    assert!(
        after.iter().all(|table| !before.contains(table)),
        "{before:?} {after:?}"
    );
    // It goes on from there, also after a power cut, and for who joins later.
    mesh.call(1, "send_message", r#"["lobby", "again"]"#)
        .expect("fine");
    mesh.call(2, "open_accounts", "[2]").expect("fine");
    for at in 0..3 {
        mesh.crash(at);
        mesh.start(at);
    }
    mesh.settle();
    let ticket = mesh.invite(0);
    mesh.join(3, &ticket);
    mesh.pass_ms(6_000);
    mesh.assert_converged();
    for at in 0..4 {
        assert_eq!(
            mesh.rows(at, "SELECT text FROM message"),
            [["again"]],
            "peer {at}"
        );
        assert_eq!(
            mesh.rows(at, "SELECT id FROM account").len(),
            2,
            "peer {at}"
        );
    }
}

#[test]
fn calls_of_a_peer_that_was_away_run_behind_it_on_what_it_left() {
    let mut mesh = started(3, 3, 2);
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    mesh.call(2, "put_item", r#"[50, "unfitting"]"#)
        .expect("it fits there");
    mesh.call(2, "put_tag", r#"["fitting"]"#)
        .expect("it fits there");
    mesh.call(1, "put_tag", r#"["covered"]"#).expect("it fits");
    height(&clear(&mut mesh, 0, &second()).expect("nothing in the way"));
    mesh.call(1, "put_item", r#"[7, "new", 1]"#)
        .expect("it fits");
    mesh.pass_ms(3_000);
    assert_eq!(
        mesh.rows(2, "SELECT * FROM item").len(),
        4,
        "it has not heard of it"
    );
    mesh.heal_link(0, 2);
    mesh.heal_link(1, 2);
    mesh.settle();
    mesh.pass_ms(6_000);
    mesh.assert_converged();
    for at in 0..3 {
        assert_eq!(mesh.status(at).module_hash, hash(&second()), "peer {at}");
        assert_eq!(
            mesh.rows(at, "SELECT word FROM tag"),
            [["fitting"]],
            "peer {at}"
        );
        assert_eq!(mesh.rows(at, "SELECT id FROM item"), [["7"]], "peer {at}");
    }
}

#[test]
fn no_rule_of_upgrades_is_in_its_way() {
    let mut mesh = started(2, 2, 3);
    let other = made(&[
        plain("item", &[("id", Type::String), ("size", Type::U8)]),
        plain("extra", &[("x", Type::U64)]),
    ]);
    mesh.publish(0, &other, true)
        .expect_err("types changed, and a tag is there");
    let error = clear(&mut mesh, 1, &other).expect_err("not its owner");
    assert_eq!(error.kind, ErrorKind::NotOwner);
    height(&clear(&mut mesh, 0, &other).expect("nothing in the way"));
    mesh.call(1, "put_item", r#"["one", 1]"#).expect("it fits");
    mesh.call(1, "put_extra", "[1]").expect("it fits");
    mesh.call(1, "put_tag", r#"["x"]"#).expect_err("gone");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(0, "SELECT * FROM item"), [["one", "1"]]);
}

#[test]
fn an_init_that_fails_changes_nothing() {
    let mut mesh = started(1, 1, 4);
    let tables = [plain("item", &[("id", Type::U32), ("name", Type::String)])];
    let more = More {
        trapping_init: true,
        ..More::default()
    };
    let before = mesh.status(0).entries;
    let error = clear(&mut mesh, 0, &made_with(&tables, &more)).expect_err("it traps");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert!(error.message.contains("its `init` failed"), "{error}");
    assert_eq!(mesh.status(0).entries, before, "nothing was published");
    assert_eq!(mesh.rows(0, "SELECT * FROM item").len(), 3);
}

#[test]
fn several_in_one_cut_are_judged_one_after_the_other() {
    let mut mesh = started(2, 2, 5);
    let upgrade = mesh.publish_later(0, &second(), true);
    let one = mesh.clear_later(0, &first());
    let late = mesh.publish_later(0, &second(), true);
    let two = mesh.clear_later(0, &second());
    mesh.published(upgrade).expect("it fits what is there");
    let one = height(&mesh.published(one).expect("nothing is ever in its way"));
    let error = mesh.published(late).expect_err("rows are not there yet");
    assert!(error.message.contains("publish it again"), "{error}");
    let two = height(&mesh.published(two).expect("nothing is ever in its way"));
    assert_eq!(one, two, "one cut covers all");
    mesh.pass_ms(2_000);
    mesh.assert_converged();
    assert!(mesh.rows(1, "SELECT level FROM item").is_empty());
    mesh.call(1, "put_item", r#"[1, "a", 1]"#).expect("it fits");
    mesh.publish(0, &first(), true).expect_err("level would go");
    for at in 0..2 {
        mesh.crash(at);
        mesh.start(at);
    }
    mesh.settle();
    mesh.pass_ms(6_000);
    mesh.assert_converged();
}

/// Rows that are due go with the tables, and those that `init` writes fire.
#[test]
fn what_is_due_is_due_no_more() {
    let mut mesh = Mesh::new(2, 6);
    mesh.publish_wasm_and_join(&compiled("clockwork"));
    mesh.pass_ms(2_000);
    mesh.call(1, "set_alarm", r#"[20000, "never", 0]"#)
        .expect("fine");
    mesh.pass_ms(2_000);
    assert_eq!(mesh.rows(0, "SELECT * FROM sys_schedule").len(), 1);
    height(&clear(&mut mesh, 0, &compiled("clockwork")).expect("nothing in the way"));
    mesh.pass_ms(5_000);
    let rung = mesh.rows(1, "SELECT note FROM rung");
    assert_eq!(rung, [["born"]], "what `init` wrote has fired");
    assert!(mesh.rows(0, "SELECT * FROM sys_schedule").is_empty());
    mesh.pass_ms(30_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(0, "SELECT note FROM rung"), [["born"]]);
}

/// Whatever is called around it, wherever, and whoever is away meanwhile.
#[test]
fn random_histories_with_it_end_the_same_for_all() {
    for seed in 0..24 {
        let dice = &mut Dice(seed);
        let mut mesh = started(3, 3, 100 + seed);
        for _ in 0..14 {
            let at = usize::try_from(dice.below(3)).expect("small");
            match dice.below(8) {
                0 => mesh.cut_link(0, 1),
                1 => mesh.cut_link(1, 2),
                2 => (0..2).for_each(|other| mesh.heal_link(other, other + 1)),
                3 => {
                    let wasm = if dice.below(2) == 0 {
                        second()
                    } else {
                        first()
                    };
                    mesh.clear_later(0, &wasm);
                }
                4 => mesh.pass_ms(dice.below(1_500)),
                _ => {
                    let id = dice.below(9);
                    let row = match mesh.status(at).module_hash == hash(&second()) {
                        true => format!(r#"[{id}, "item", 1]"#),
                        false => format!(r#"[{id}, "item"]"#),
                    };
                    mesh.call(at, "put_item", &row).expect("it fits");
                    mesh.call(at, "put_tag", &format!(r#"["{id}"]"#))
                        .expect("it fits");
                }
            }
        }
        if dice.below(2) == 0 {
            mesh.crash(2);
            mesh.start(2);
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            mesh.heal_link(a, b);
        }
        mesh.settle();
        mesh.pass_ms(10_000);
        mesh.assert_converged();
        assert_eq!(mesh.status(0).tail, 0, "seed {seed}");
    }
}
