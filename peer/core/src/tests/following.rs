//! Clients that follow queries while entries come late: what they are told of changes gives at every
//! moment the rows that somebody sees who asks now.

use std::collections::BTreeMap;

use store::{Row, State, TableSchema};

use super::harness::{Dice, Mesh};
use crate::effect::Effect;
use crate::identity::Claims;
use crate::request::{ClientId, SetId, WantedRows};
use crate::sql::{Access, Filters, Reading, VirtualTables};
use crate::subscriptions::{ChangedRows, Subscriptions, TableRows, Update, select_once};
use crate::{Arguments, Input, Reply, Request, RequestError};

/// What the followers call their queries.
const SET: SetId = SetId::Numbered(1);

/// Whole tables, a value of a column, ranges, both, rows of the one who asks, rows that belong to
/// others (one for each, so some several times), and a table with itself.
pub(super) const CHAT_QUERIES: [&str; 11] = [
    "SELECT * FROM message",
    "SELECT * FROM user",
    "SELECT * FROM room WHERE name = 'lobby' OR name <> 'none'",
    "SELECT * FROM account WHERE balance > 990",
    "SELECT * FROM account WHERE id = 3",
    "SELECT * FROM message WHERE text <> 'x' AND room > 0",
    "SELECT * FROM user WHERE identity = :sender",
    "SELECT * FROM account WHERE id >= 2 AND balance <= 1000",
    "SELECT message.* FROM message JOIN room ON message.room = room.id WHERE room.name <> 'a'",
    "SELECT r.* FROM message AS m INNER JOIN room r ON r.id = m.room WHERE m.text <> 'x'",
    "SELECT b.* FROM account a JOIN account b ON a.id = b.id WHERE a.balance < 1000",
];

/// Rows of each table, with how many queries of the client's tell of them.
type Rows = BTreeMap<(String, Vec<u8>), i64>;

/// What clients follow.
#[derive(Clone, Copy)]
pub(super) struct Followed {
    pub(super) queries: &'static [&'static str],
    /// Identities that they have.
    pub(super) senders: fn() -> Vec<[u8; 32]>,
    /// Holds what one with that identity sees who asks against what it should see.
    pub(super) judge: fn(&Reading<'_>),
}

impl Followed {
    /// By one who sees everything.
    pub(super) const fn by_anybody(queries: &'static [&'static str]) -> Self {
        Self {
            queries,
            senders: || vec![claims().identity()],
            judge: |_| {},
        }
    }
}

/// Some clients of one database, each with some of the queries.
pub(super) struct Followers {
    followed: Followed,
    filters: Filters,
    subscriptions: Subscriptions,
    clients: BTreeMap<ClientId, Follower>,
    next: u64,
    /// Updates that were told.
    pub(super) told: u64,
}

struct Follower {
    sender: [u8; 32],
    chosen: Vec<usize>,
    known: Rows,
}

/// The views of a peer are followed by other means.
struct NoViews;

impl VirtualTables for NoViews {
    fn table(&self, _name: &str) -> Option<(TableSchema, Vec<Row>)> {
        None
    }
}

fn claims() -> Claims {
    Claims {
        issuer: "issuer".to_owned(),
        subject: "subject".to_owned(),
        payload: String::new(),
    }
}

/// What a client that owns nothing sees.
fn reading<'a>(state: &'a State, filters: &'a Filters, sender: [u8; 32]) -> Reading<'a> {
    let access = Access {
        owner: false,
        sender,
    };
    Reading {
        state,
        views: &NoViews,
        access,
        filters,
    }
}

fn add(rows: &mut Rows, tables: &[TableRows]) {
    for table in tables {
        for row in &table.rows {
            *rows
                .entry((table.table.to_string(), row.to_vec()))
                .or_default() += 1;
        }
    }
}

impl Followers {
    pub(super) fn of(followed: Followed, filters: &[String]) -> Self {
        Self {
            followed,
            filters: Filters::of(filters),
            subscriptions: Subscriptions::default(),
            clients: BTreeMap::new(),
            next: 0,
            told: 0,
        }
    }

    /// Somebody begins to follow some of the queries, or stops.
    pub(super) fn come_or_go(&mut self, state: &mut State, dice: &mut Dice) {
        let leaves = self.clients.len() > 3 || !self.clients.is_empty() && dice.below(3) == 0;
        if leaves {
            let at = usize::try_from(dice.below(self.clients.len() as u64)).expect("few");
            let client = *self.clients.keys().nth(at).expect("one of them");
            self.clients.remove(&client);
            if dice.below(2) == 0 {
                assert!(self.subscriptions.forget(client));
                self.subscriptions.watch(state);
            } else {
                let dropped =
                    self.subscriptions
                        .unsubscribe((client, SET), WantedRows::Whole, state);
                assert!(dropped.expect("it followed").is_some());
                self.subscriptions.watch(state);
            }
            return;
        }
        self.next += 1;
        let client = ClientId(self.next);
        let senders = (self.followed.senders)();
        let sender = usize::try_from(dice.below(senders.len() as u64)).expect("few");
        let sender = senders[sender];
        let queries = self.followed.queries;
        let chosen: Vec<usize> = (0..queries.len()).filter(|_| dice.below(2) == 0).collect();
        let texts: Vec<String> = chosen.iter().map(|at| queries[*at].to_owned()).collect();
        let rows = self
            .subscriptions
            .subscribe(
                (client, SET),
                &texts,
                WantedRows::Whole,
                true,
                &reading(state, &self.filters, sender),
            )
            .expect("they can be followed");
        self.subscriptions.watch(state);
        let mut known = Rows::new();
        add(&mut known, &rows);
        let follower = Follower {
            sender,
            chosen,
            known,
        };
        self.clients.insert(client, follower);
    }

    /// Hears what changed, and holds it against what somebody sees who asks now.
    pub(super) fn check(&mut self, state: &mut State, seed: u64) {
        if self.subscriptions.is_empty() {
            return;
        }
        let mut effects = Vec::new();
        self.subscriptions
            .deliver(state, &self.filters, &[], &mut effects);
        for effect in effects {
            let Effect::Update { client, update } = effect else {
                panic!("entry set {seed}: {effect:?}");
            };
            self.told += 1;
            let follower = self.clients.get_mut(&client).expect("it follows");
            apply(&mut follower.known, &update);
        }
        for (client, follower) in &self.clients {
            let here = reading(state, &self.filters, follower.sender);
            let mut now = Rows::new();
            for at in &follower.chosen {
                let rows = select_once(self.followed.queries[*at], &here);
                add(&mut now, &[rows.expect("it can be asked")]);
            }
            assert_eq!(follower.known, now, "entry set {seed}, client {}", client.0);
            (self.followed.judge)(&here);
        }
    }
}

fn apply(rows: &mut Rows, update: &Update) {
    for change in update.sets.iter().flat_map(|set| &set.tables) {
        let key = |row: &[u8]| (change.table.to_string(), row.to_vec());
        let ChangedRows::Kept { inserts, deletes } = &change.rows else {
            panic!("there are no events");
        };
        for row in deletes {
            let count = rows.get_mut(&key(row)).expect("what was not there went");
            *count -= 1;
        }
        for row in inserts {
            *rows.entry(key(row)).or_default() += 1;
        }
    }
    rows.retain(|_, count| *count > 0);
}

fn inserts(update: &Update) -> usize {
    match &update.sets[0].tables[0].rows {
        ChangedRows::Kept { inserts, .. } => inserts.len(),
        ChangedRows::Events(_) => 0,
    }
}

#[test]
fn a_call_is_answered_with_what_it_changed_for_its_client() {
    let mut mesh = Mesh::new(1, 5);
    let database = mesh.publish_only().to_string();
    let client = ClientId(1);
    let subscribe = |set| Request::Subscribe {
        rows: WantedRows::Whole,
        events: true,
        database: database.clone(),
        client,
        set: SetId::Numbered(set),
        queries: vec!["SELECT * FROM account".to_owned()],
    };
    let Ok(Reply::Selected(rows)) = mesh.ask(0, subscribe(1)) else {
        panic!("it can be followed");
    };
    assert!(rows[0].rows.is_empty());
    let again = mesh.ask(0, subscribe(1)).expect_err("the number is taken");
    assert!(again.message.contains("in use"), "{again}");
    let mut call = mesh.call_request("open_accounts", "[3]");
    if let Request::Call { client: caller, .. } = &mut call {
        *caller = Some(client);
    }
    mesh.ask_later(0, call);
    mesh.settle();
    let told = std::mem::take(&mut mesh.told);
    let [Effect::Told { result, update, .. }] = told.as_slice() else {
        panic!("told once, with the answer: {told:?}");
    };
    result.as_ref().expect("it went well");
    let update = update.as_ref().expect("rows changed");
    assert_eq!(update.sets[0].set, SetId::Numbered(1));
    assert_eq!(inserts(update), 3);
    // Somebody else's call comes by itself.
    mesh.call(0, "open_accounts", "[5]").expect("fine");
    let told = std::mem::take(&mut mesh.told);
    let [Effect::Update { update, .. }] = told.as_slice() else {
        panic!("told once: {told:?}");
    };
    assert_eq!(inserts(update), 2);
    mesh.input(0, Input::ClientGone { client });
    mesh.call(0, "open_accounts", "[7]").expect("fine");
    assert!(mesh.told.is_empty(), "who is gone is told nothing");
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_is_written() {
    let mut mesh = Mesh::new(1, 7);
    mesh.publish_only();
    let mut check = |bytes: &[u8], expected: &str| {
        let mut call = mesh.call_request("open_accounts", "");
        if let Request::Call { arguments, .. } = &mut call {
            *arguments = Arguments::Bsatn(bytes.to_vec());
        }
        let error = mesh.ask(0, call).expect_err(expected);
        assert!(error.message.contains(expected), "{error}");
    };
    check(&[], "argument 1 of `open_accounts`, `count`, is no u32");
    check(&[1, 0, 0], "is no u32");
    check(&[1, 0, 0, 0, 0], "too long: 1 bytes follow");
}

#[test]
fn what_cannot_be_followed_is_refused_and_changes_nothing() {
    let mut mesh = Mesh::new(1, 6);
    let database = mesh.publish_only().to_string();
    let mut check = |queries: &[&str], expected: &str| {
        let subscribe = Request::Subscribe {
            rows: WantedRows::Whole,
            events: true,
            database: database.clone(),
            client: ClientId(1),
            set: SetId::Numbered(1),
            queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        };
        let error = mesh.ask(0, subscribe).expect_err(expected);
        assert!(error.message.contains(expected), "{error}");
    };
    check(&["SELECT * FROM nothing"], "no table `nothing`");
    check(&["SELECT * FROM user", "SELECT FROM WHERE"], "SQL");
    check(&["SELECT name FROM user"], "whole rows");
    check(&["SELECT COUNT(*) FROM user"], "whole rows");
    check(&["SELECT * FROM user LIMIT 3"], "LIMIT");
    let many = vec!["SELECT * FROM user"; 1_025];
    check(&many, "1024 queries");
    let unsubscribe = Request::Unsubscribe {
        database,
        client: ClientId(1),
        set: SetId::Numbered(1),
        rows: WantedRows::Whole,
    };
    let error = mesh.ask(0, unsubscribe).expect_err("there is no such set");
    assert!(error.message.contains("no query set 1"), "{error}");
}

/// A subscription as clients of v1 make it.
fn subscribe_unshared(database: &str, set: SetId, queries: &[&str]) -> Request {
    Request::Subscribe {
        database: database.to_owned(),
        client: ClientId(1),
        set,
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        rows: match set {
            SetId::Unnumbered => WantedRows::Whole,
            SetId::Numbered(_) => WantedRows::Unshared,
        },
        events: false,
    }
}

/// Tables of an answer, and how many rows of each.
fn selected(reply: Result<Reply, RequestError>) -> Vec<(String, usize)> {
    match reply {
        Ok(Reply::Selected(tables)) => {
            let tables = tables.iter();
            let tables = tables.map(|table| (table.table.to_string(), table.rows.len()));
            tables.collect()
        }
        other => panic!("expected rows, got {other:?}"),
    }
}

#[test]
fn what_another_set_of_the_client_has_is_answered_without_rows() {
    let mut mesh = Mesh::new(1, 8);
    let database = mesh.publish_only().to_string();
    mesh.call(0, "open_accounts", "[3]").expect("fine");
    let subscribe = |mesh: &mut Mesh, set, queries: &[&str]| {
        let request = subscribe_unshared(&database, SetId::Numbered(set), queries);
        selected(mesh.ask(0, request))
    };
    let all = "SELECT * FROM account";
    let one = "SELECT * FROM account WHERE id = 1";
    let table = |len| ("account".to_owned(), len);
    assert_eq!(subscribe(&mut mesh, 1, &[all, all]), [table(3)]);
    assert_eq!(subscribe(&mut mesh, 2, &[one, all]), [table(1), table(0)]);
    mesh.told.clear();
    mesh.call(0, "transfer", "[1, 2, 5]").expect("fine");
    let told = std::mem::take(&mut mesh.told);
    let [Effect::Update { update, .. }] = told.as_slice() else {
        panic!("told once: {told:?}");
    };
    // One change for both sets, which is how it can be told once.
    let changes: Vec<_> = update.sets.iter().flat_map(|set| &set.tables).collect();
    assert_eq!(changes.len(), 3);
    let distinct: std::collections::BTreeSet<_> = changes
        .iter()
        .map(|change| std::sync::Arc::as_ptr(change))
        .collect();
    assert_eq!(distinct.len(), 2);
    let unsubscribe = |mesh: &mut Mesh, set| {
        let request = Request::Unsubscribe {
            database: database.clone(),
            client: ClientId(1),
            set: SetId::Numbered(set),
            rows: WantedRows::Unshared,
        };
        selected(mesh.ask(0, request))
    };
    assert_eq!(unsubscribe(&mut mesh, 1), [table(0)]);
    let mut last = unsubscribe(&mut mesh, 2);
    last.sort();
    assert_eq!(last, [table(1), table(3)]);
    mesh.call(0, "transfer", "[1, 2, 5]").expect("fine");
    assert!(mesh.told.is_empty(), "nothing is followed any more");
}

#[test]
fn the_set_without_a_number_is_replaced_also_by_one_that_fails() {
    let mut mesh = Mesh::new(1, 9);
    let database = mesh.publish_only().to_string();
    let subscribe = |queries: &[&str]| subscribe_unshared(&database, SetId::Unnumbered, queries);
    let rooms = subscribe(&["SELECT * FROM room"]);
    assert_eq!(selected(mesh.ask(0, rooms)), [("room".to_owned(), 1)]);
    let accounts = subscribe(&["SELECT * FROM account"]);
    assert_eq!(selected(mesh.ask(0, accounts)), [("account".to_owned(), 0)]);
    mesh.told.clear();
    mesh.call(0, "open_room", r#"["attic"]"#).expect("fine");
    assert!(mesh.told.is_empty(), "rooms are followed no more");
    mesh.call(0, "open_accounts", "[1]").expect("fine");
    assert_eq!(std::mem::take(&mut mesh.told).len(), 1);
    let nothing = mesh.ask(0, subscribe(&["SELECT * FROM nothing"]));
    nothing.expect_err("there is no such table");
    mesh.call(0, "open_accounts", "[2]").expect("fine");
    assert!(mesh.told.is_empty(), "nothing is followed any more");
}

#[test]
fn all_tables_are_those_that_clients_know() {
    let mut mesh = Mesh::new(1, 10);
    let database = mesh.publish_only().to_string();
    let request = subscribe_unshared(&database, SetId::Unnumbered, &["select  * from * ;"]);
    let mut tables = selected(mesh.ask(0, request));
    tables.sort();
    let expected = [("account", 0), ("message", 0), ("room", 1), ("user", 0)];
    assert_eq!(tables, expected.map(|(name, len)| (name.to_owned(), len)));
}

#[test]
fn what_a_cut_takes_back_and_a_sweep_brings_back_is_not_seen_to_go() {
    let mut seen = 0;
    for seed in 40..48 {
        let mut mesh = Mesh::new(2, seed);
        let database = mesh.publish_and_join().to_string();
        mesh.pass_ms(2_000);
        let client = ClientId(1);
        let subscribe = Request::Subscribe {
            rows: WantedRows::Whole,
            events: true,
            database,
            client,
            set: SetId::Numbered(1),
            queries: vec!["SELECT * FROM message".to_owned()],
        };
        mesh.ask(1, subscribe).expect("it can be followed");
        mesh.cut_link(0, 1);
        for text in ["one", "two", "three"] {
            for at in [0, 1] {
                let arguments = format!(r#"["lobby", "{text} of {at}"]"#);
                mesh.call(at, "send_message", &arguments).expect("fine");
            }
            mesh.pass_ms(seed * 20);
        }
        mesh.told.clear();
        mesh.heal_link(0, 1);
        mesh.pass_ms(4_000);
        let mut rows = Rows::new();
        for effect in std::mem::take(&mut mesh.told) {
            let Effect::Update { update, .. } = effect else {
                panic!("seed {seed}: {effect:?}");
            };
            for change in update.sets.iter().flat_map(|set| &set.tables) {
                let ChangedRows::Kept { inserts, deletes } = &change.rows else {
                    panic!("there are no events");
                };
                let is_own = |row: &&[u8]| row.windows(4).any(|part| part == b"of 1");
                let gone = deletes.into_iter().filter(is_own).count();
                let come = inserts.into_iter().filter(is_own).count();
                assert_eq!(gone, come, "seed {seed}: own messages went, or came again");
                for row in inserts {
                    *rows
                        .entry((change.table.to_string(), row.to_vec()))
                        .or_default() += 1;
                }
            }
            seen += 1;
        }
        assert!(!rows.is_empty(), "seed {seed}: those of the other came");
    }
    assert!(seen >= 8, "{seen} updates");
}
