//! Views, asked once and followed: those that a peer has of itself, and those that a module computes.

use std::collections::BTreeSet;

use super::harness::{Mesh, compiled};
use crate::effect::Effect;
use crate::identity::Claims;
use crate::request::{ClientId, RequestId, SetId, WantedRows};
use crate::subscriptions::ChangedRows;
use sync_protocol::ConnectionId;

use crate::{Arguments, Input, Reply, Request};

/// Long enough for a cut.
const CUT_MS: u64 = 3_000;

fn stranger() -> Claims {
    Claims {
        issuer: "did:key:nobody".to_owned(),
        subject: "nobody".to_owned(),
        payload: String::new(),
    }
}

#[test]
fn a_call_is_tentative_then_final_and_an_error_is_told() {
    let mut mesh = Mesh::new(1, 21);
    mesh.publish_only();
    mesh.pass_ms(CUT_MS);
    let shown = "SELECT status, is_final, error FROM st_invocation WHERE reducer = 'open_accounts'";
    assert!(mesh.rows(0, shown).is_empty());
    mesh.call(0, "open_accounts", "[3]").expect("fine");
    mesh.call(0, "open_accounts", "[4000000000]")
        .expect_err("too many");
    let cells = |rows: Vec<Vec<String>>| rows.join(&"|".to_owned()).concat();
    let tail = cells(mesh.rows(0, shown));
    assert!(
        tail.contains("tentative") && tail.contains("failed"),
        "{tail}"
    );
    assert!(tail.contains("at most 100000 accounts"), "{tail}");
    let not_final = |mesh: &mut Mesh| mesh.rows(0, "SELECT not_final FROM st_cut")[0][0].clone();
    assert_ne!(not_final(&mut mesh), "0");
    mesh.pass_ms(CUT_MS);
    assert_eq!(not_final(&mut mesh), "0");
    let after = cells(mesh.rows(0, shown));
    assert!(
        !after.contains("tentative") && after.contains("final"),
        "{after}"
    );
    assert!(after.contains("at most 100000 accounts"), "{after}");
    let height = &mesh.rows(0, "SELECT height FROM st_cut")[0][0];
    assert_eq!(*height, mesh.status(0).cut.height.to_string());
}

#[test]
fn peers_members_and_tables_are_shown() {
    let mut mesh = Mesh::new(3, 22);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[3]").expect("fine");
    mesh.pass_ms(CUT_MS);
    let peers = "SELECT COUNT(*) FROM st_peer WHERE connected = true AND in_sync = true";
    assert_eq!(mesh.rows(0, peers), [["3"]]);
    let own = mesh.device(0).to_string();
    let this = mesh.rows(0, "SELECT device FROM st_peer WHERE this_peer = true");
    assert_eq!(this.concat(), [own]);
    let owners = mesh.rows(0, "SELECT device FROM st_member WHERE role = 'owner'");
    assert_eq!(owners, this);
    let accounts = "SELECT table_id, row_count FROM st_table WHERE table_name = 'account'";
    let [id, count] = mesh.rows(0, accounts)[0].clone().try_into().expect("two");
    assert_eq!(count, "3");
    let columns = format!("SELECT col_name FROM st_column WHERE table_id = {id}");
    assert_eq!(mesh.rows(0, &columns), [["id"], ["balance"]]);
    let indexes = format!("SELECT columns FROM st_index WHERE table_id = {id}");
    assert_eq!(mesh.rows(0, &indexes), [["id"]]);
    mesh.cut_link(0, 1);
    mesh.pass_ms(CUT_MS);
    assert_eq!(mesh.rows(0, peers), [["2"]]);
}

#[test]
fn a_client_sees_its_own_calls_and_public_tables_only() {
    let mut mesh = Mesh::new(1, 23);
    let database = mesh.publish_only().to_string();
    mesh.call(0, "open_accounts", "[3]").expect("fine");
    let mut ask = |text: &str| {
        let id = RequestId(1 << 40);
        let request = Request::Sql {
            database: database.clone(),
            text: text.to_owned(),
        };
        mesh.input(
            0,
            Input::Request {
                id,
                caller: stranger().into(),
                owner: false,
                request,
            },
        );
        let Ok(Reply::Rows(rows)) = mesh.reply(id) else {
            panic!("it can be asked: {text}");
        };
        rows.text
    };
    assert!(ask("SELECT id FROM st_invocation").is_empty());
    let private = "SELECT table_name FROM st_table WHERE table_access = 'private'";
    assert!(ask(private).is_empty());
    let public = "SELECT table_name FROM st_table WHERE table_access = 'public'";
    assert_eq!(ask(public).len(), 5, "the module's, and the one of roles");
    let private: BTreeSet<Vec<String>> = mesh.rows(0, private).into_iter().collect();
    assert!(
        private.contains(&vec!["sys_member".to_owned()]),
        "{private:?}"
    );
}

#[test]
fn followers_are_told_the_difference() {
    let mut mesh = Mesh::new(1, 24);
    let database = mesh.publish_only().to_string();
    mesh.pass_ms(CUT_MS);
    let client = ClientId(1);
    let subscribe = Request::Subscribe {
        rows: WantedRows::Whole,
        events: true,
        database: database.clone(),
        client,
        set: SetId::Numbered(7),
        queries: vec![
            "SELECT * FROM st_invocation WHERE reducer = 'open_accounts'".to_owned(),
            "SELECT * FROM st_cut".to_owned(),
            "SELECT * FROM account".to_owned(),
        ],
    };
    let Ok(Reply::Selected(rows)) = mesh.ask(0, subscribe) else {
        panic!("it can be followed");
    };
    let first: Vec<usize> = rows.iter().map(|table| table.rows.len()).collect();
    assert_eq!(first, [0, 1, 0]);
    mesh.told.clear();
    mesh.ask_later(
        0,
        Request::Call {
            database: database.clone(),
            reducer: "open_accounts".to_owned(),
            arguments: Arguments::Json("[2]".to_owned()),
            connection: ConnectionId([5; 16]),
            one_shot: true,
            client: Some(client),
        },
    );
    mesh.settle();
    mesh.pass_ms(CUT_MS);
    // Rows of each table that came less those that went, and how often something was told.
    let mut came = std::collections::BTreeMap::<String, (usize, usize)>::new();
    for effect in std::mem::take(&mut mesh.told) {
        let update = match effect {
            Effect::Update { update, .. } => update,
            Effect::Told { update, .. } => update.expect("with what it changed"),
            other => panic!("{other:?}"),
        };
        for change in update.sets.iter().flat_map(|set| &set.tables) {
            assert_eq!(update.sets[0].set, SetId::Numbered(7));
            let ChangedRows::Kept { inserts, deletes } = &change.rows else {
                panic!("there are no events");
            };
            let seen = came.entry(change.table.to_string()).or_default();
            seen.0 += inserts.len();
            seen.1 += deletes.len();
        }
    }
    assert_eq!(came["account"], (2, 0));
    assert_eq!(came["st_invocation"], (2, 1), "tentative, then final");
    let (inserts, deletes) = came["st_cut"];
    assert_eq!(inserts, deletes, "always one row");
    let unsubscribe = Request::Unsubscribe {
        database,
        client,
        set: SetId::Numbered(7),
        rows: WantedRows::Whole,
    };
    let Ok(Reply::Selected(rows)) = mesh.ask(0, unsubscribe) else {
        panic!("it was followed");
    };
    let last: BTreeSet<(String, usize)> = rows
        .iter()
        .map(|table| (table.table.to_string(), table.rows.len()))
        .collect();
    let expected = [("account", 2), ("st_cut", 1), ("st_invocation", 1)];
    let expected = expected.map(|(table, len)| (table.to_owned(), len));
    assert_eq!(last, BTreeSet::from(expected));
    mesh.call(0, "open_accounts", "[5]").expect("fine");
    assert!(mesh.told.is_empty(), "nobody follows any more");
}

#[test]
fn views_cannot_be_joined_or_cut_short_by_followers() {
    let mut mesh = Mesh::new(1, 25);
    let database = mesh.publish_only().to_string();
    let mut check = |query: &str, expected: &str| {
        let subscribe = Request::Subscribe {
            rows: WantedRows::Whole,
            events: true,
            database: database.clone(),
            client: ClientId(1),
            set: SetId::Numbered(1),
            queries: vec![query.to_owned()],
        };
        let error = mesh.ask(0, subscribe).expect_err(expected);
        assert!(error.message.contains(expected), "{error}");
    };
    check("SELECT height FROM st_cut", "whole rows");
    check("SELECT * FROM st_cut LIMIT 1", "LIMIT");
    check("SELECT * FROM st_cut WHERE none = 1", "none");
    check("SELECT * FROM st_nothing", "no table `st_nothing`");
    let joined = "SELECT * FROM st_cut c JOIN account a ON c.height = a.id";
    check(joined, "JOIN with a view");
}

/// A peer with the clockwork, and somebody who left it twice.
fn clockwork(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(1, seed);
    mesh.publish_wasm_and_join(&compiled("clockwork"));
    mesh.pass_ms(500);
    mesh.call(0, "set_alarm", r#"[0, "loud", 0]"#)
        .expect("fine");
    mesh.call(0, "set_alarm", r#"[3600000, "later", 0]"#)
        .expect("fine");
    mesh.pass_ms(500);
    mesh
}

#[test]
fn a_module_computes_views_for_all_and_for_each() {
    let mut mesh = clockwork(26);
    assert_eq!(mesh.rows(0, "SELECT note FROM loud_ring"), [["loud"]]);
    let own = "SELECT \"left\" FROM my_visits";
    assert_eq!(mesh.rows(0, own), [["2"]]);
    let by_query = "SELECT \"left\" FROM visits_by_query WHERE \"left\" > 1";
    assert_eq!(mesh.rows(0, by_query), [["2"]]);
    assert_eq!(mesh.rows(0, "SELECT alarms, rung FROM tally"), [["1", "2"]]);
    // Somebody else has never been here.
    let id = RequestId(1 << 40);
    let request = Request::Sql {
        database: "chat".to_owned(),
        text: own.to_owned(),
    };
    mesh.input(
        0,
        Input::Request {
            id,
            caller: stranger().into(),
            owner: false,
            request,
        },
    );
    let Ok(Reply::Rows(rows)) = mesh.reply(id) else {
        panic!("it can be asked");
    };
    assert!(rows.text.is_empty());
    mesh.call(0, "set_jam", "[true]").expect("fine");
    let request = Request::Sql {
        database: "chat".to_owned(),
        text: "SELECT * FROM tally".to_owned(),
    };
    let error = mesh.ask(0, request).expect_err("it panics");
    assert!(error.message.contains("the view `tally` failed"), "{error}");
    assert!(error.message.contains("nobody can count now"), "{error}");
    mesh.call(0, "set_jam", "[false]").expect("it goes on");
    assert_eq!(mesh.rows(0, "SELECT alarms FROM tally"), [["1"]]);
}

#[test]
fn followers_of_a_view_hear_of_it_unless_it_fails() {
    let mut mesh = clockwork(27);
    let subscribe = Request::Subscribe {
        rows: WantedRows::Whole,
        events: true,
        database: "chat".to_owned(),
        client: ClientId(1),
        set: SetId::Numbered(1),
        queries: vec!["SELECT * FROM tally".to_owned()],
    };
    let Ok(Reply::Selected(rows)) = mesh.ask(0, subscribe) else {
        panic!("it can be followed");
    };
    assert_eq!(rows[0].rows.len(), 1);
    mesh.pass_ms(500);
    mesh.told.clear();
    let told = |mesh: &mut Mesh| {
        mesh.pass_ms(500);
        let told = std::mem::take(&mut mesh.told).into_iter();
        let updates = told.map(|effect| match effect {
            Effect::Update { update, .. } => update,
            other => panic!("{other:?}"),
        });
        updates.collect::<Vec<_>>()
    };
    mesh.call(0, "set_alarm", r#"[3600000, "later", 0]"#)
        .expect("fine");
    let updates = told(&mut mesh);
    assert_eq!(updates.len(), 1, "{updates:?}");
    let change = &updates[0].sets[0].tables[0];
    assert_eq!(&*change.table, "tally");
    let ChangedRows::Kept { inserts, deletes } = &change.rows else {
        panic!("there are no events");
    };
    let row = |alarms: u64, rung: u64| [alarms.to_le_bytes(), rung.to_le_bytes()].concat();
    assert_eq!(inserts.into_iter().collect::<Vec<_>>(), [row(2, 2)]);
    assert_eq!(deletes.into_iter().collect::<Vec<_>>(), [row(1, 2)]);
    mesh.call(0, "set_jam", "[true]").expect("fine");
    mesh.call(0, "set_alarm", r#"[3600000, "later", 0]"#)
        .expect("fine");
    assert!(told(&mut mesh).is_empty(), "it stays as it was told last");
    mesh.call(0, "set_jam", "[false]").expect("fine");
    assert_eq!(told(&mut mesh).len(), 1);
}
