//! Visibility filters of a module that is published, upgraded and asked from outside.

use spacetimedb_sats::AlgebraicType as Type;

use super::harness::Mesh;
use super::made::{MadeTable, More, made_with, plain};
use crate::effect::Effect;
use crate::reply::{ErrorKind, UpgradeState};
use crate::request::{ClientId, SetId, WantedRows};
use crate::{Reply, Request};

const LOW: &str = "SELECT * FROM item WHERE id < 10";
const TAGGED: &str = "SELECT i.* FROM item i JOIN tag t ON t.item = i.id";

fn tables() -> [MadeTable; 2] {
    let key = |table: &mut MadeTable| {
        table.key = Some(0);
        table.indexes.push((vec![1], "by_second"));
    };
    [
        plain("item", &[("id", Type::U32), ("kind", Type::U32)]).with(key),
        plain("tag", &[("id", Type::U32), ("item", Type::U32)]).with(key),
    ]
}

fn module(filters: &[&str]) -> Vec<u8> {
    let more = More {
        filters,
        ..More::default()
    };
    made_with(&tables(), &more)
}

/// What somebody sees who owns nothing, by SQL and by a subscription's words.
fn seen(mesh: &mut Mesh, at: usize, query: &str) -> usize {
    let database = "chat".to_owned();
    let sql = Request::Sql {
        database: database.clone(),
        text: query.to_owned(),
    };
    let Ok(Reply::Rows(rows)) = mesh.ask_as_stranger(at, sql) else {
        panic!("{query}: it can be asked");
    };
    let select = Request::Select {
        database,
        text: query.to_owned(),
    };
    let Ok(Reply::Selected(selected)) = mesh.ask_as_stranger(at, select) else {
        panic!("{query}: it can be selected");
    };
    assert_eq!(selected[0].rows.len(), rows.rows.len(), "{query}");
    rows.rows.len()
}

#[test]
fn a_module_with_filters_shows_only_what_they_let_through() {
    let mut mesh = Mesh::new(1, 3);
    let error = mesh
        .publish(0, &module(&[LOW, "SELECT * FROM nothing"]), false)
        .expect_err("there is no such table");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert!(error.message.contains("no table `nothing`"), "{error}");
    mesh.publish(0, &module(&[LOW]), false).expect("sound");
    for (id, kind) in [(1, 1), (2, 2), (11, 1), (12, 2)] {
        mesh.call(0, "put_item", &format!("[{id}, {kind}]"))
            .expect("it fits");
    }
    assert_eq!(seen(&mut mesh, 0, "SELECT * FROM item"), 2);
    assert_eq!(seen(&mut mesh, 0, "SELECT * FROM item WHERE kind = 1"), 1);
    assert_eq!(mesh.rows(0, "SELECT * FROM item").len(), 4, "the owner's");
    // What a peer says of itself does not say how many there are.
    let count = "SELECT * FROM st_table WHERE table_name = 'item' AND row_count = 2";
    assert_eq!(seen(&mut mesh, 0, count), 1);
    let own = "SELECT row_count FROM st_table WHERE table_name = 'item'";
    assert_eq!(mesh.rows(0, own), [["4"]]);
}

#[test]
fn other_filters_break_clients_and_let_them_go() {
    let mut mesh = Mesh::new(2, 4);
    mesh.publish(0, &module(&[LOW]), false).expect("sound");
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    for id in [1, 2, 11] {
        mesh.call(0, "put_item", &format!("[{id}, 1]"))
            .expect("it fits");
    }
    mesh.call(0, "put_tag", "[1, 11]").expect("it fits");
    mesh.pass_ms(4_000);
    let follow = |mesh: &mut Mesh, client, query: &str| {
        let request = Request::Subscribe {
            database: "chat".to_owned(),
            client: ClientId(client),
            set: SetId::Numbered(1),
            queries: vec![query.to_owned()],
            rows: WantedRows::Whole,
            events: true,
        };
        match mesh.ask_as_stranger(1, request) {
            Ok(Reply::Selected(rows)) => rows[0].rows.len(),
            other => panic!("{query}: {other:?}"),
        }
    };
    assert_eq!(follow(&mut mesh, 1, "SELECT * FROM item"), 2);
    assert_eq!(follow(&mut mesh, 2, "SELECT * FROM tag"), 1);
    let next = module(&[LOW, TAGGED]);
    let error = mesh.publish(0, &next, false).expect_err("clients break");
    assert!(error.message.contains("`--break-clients`"), "{error}");
    assert!(error.message.contains(TAGGED), "{error}");
    mesh.told.clear();
    let published = mesh.publish(0, &next, true).expect("that is meant");
    let upgraded = published.upgraded.expect("it is another module");
    assert_eq!(
        upgraded.steps,
        [format!("visibility filter `{TAGGED}` is added")]
    );
    mesh.pass_ms(2_000);
    let upgrade = mesh.status(1).upgrade.expect("there was one");
    assert_eq!(upgrade.state, UpgradeState::Effective);
    let gone = mesh.told.iter().filter_map(|effect| match effect {
        Effect::DropClient { client, .. } => Some(*client),
        _ => None,
    });
    assert_eq!(gone.collect::<Vec<_>>(), [ClientId(1)], "tags are as ever");
    for at in [0, 1] {
        assert_eq!(seen(&mut mesh, at, "SELECT * FROM item"), 3, "peer {at}");
    }
    // From then on by the new filters.
    assert_eq!(follow(&mut mesh, 3, "SELECT * FROM item"), 3);
    mesh.told.clear();
    mesh.call(0, "take_tag", "[1, 11]").expect("it is there");
    mesh.pass_ms(1_000);
    let updates = mesh
        .told
        .iter()
        .filter(|it| matches!(it, Effect::Update { client, .. } if client.0 == 3));
    assert_eq!(updates.count(), 1);
    assert_eq!(seen(&mut mesh, 1, "SELECT * FROM item"), 2);
}
