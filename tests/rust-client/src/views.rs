//! Views: those that a module computes, and what a peer says of itself.

use std::sync::mpsc::channel;

use spacetimedb_sdk::{DbContext, Table, TableWithPrimaryKey};

use crate::clockwork::*;
use crate::harness::{Case, Connected, connect, done, hear, subscribe, tell, until};
use crate::system;

pub const CASES: &[Case] = &[
    ("a view for everybody", for_everybody),
    ("a view for each caller", for_each_caller),
    ("schedules fire into views", schedules),
    ("what the peer says of itself", system_tables),
];

fn clockwork(token: Option<&str>) -> Connected<DbConnection> {
    connect(DbConnection::builder(), "clockwork", token, |conn| {
        conn.run_threaded();
    })
}

fn for_everybody() {
    let client = clockwork(None);
    let (told, heard) = channel();
    client
        .conn
        .db
        .tally()
        .on_insert(move |_, row| tell(&told, row.clone()));
    subscribe!(client.conn, "SELECT * FROM tally");
    let first = hear(&heard, "the tally");
    assert_eq!(
        client.conn.db.tally().iter().collect::<Vec<_>>(),
        [first.clone()]
    );
    done!(client.conn, set_alarm_then(3_600_000, "late".to_owned(), 0));
    loop {
        let next = hear(&heard, "another tally");
        if next.alarms > first.alarms {
            break;
        }
    }
    done!(client.conn, cancel_then("late".to_owned()));
}

fn for_each_caller() {
    let first = clockwork(None);
    first.conn.disconnect().expect("it is connected");
    hear(&first.ended, "the end");
    // Whoever comes back has left once.
    let again = clockwork(Some(&first.token));
    subscribe!(
        again.conn,
        "SELECT * FROM my_visits",
        "SELECT * FROM visits_by_query",
    );
    let visitor = Visitor {
        identity: first.identity,
        left: 1,
    };
    until("the view", || {
        let rows: Vec<Visitor> = again.conn.db.my_visits().iter().collect();
        rows == [visitor.clone()]
    });
    until("the query", || {
        let rows: Vec<Visitor> = again.conn.db.visits_by_query().iter().collect();
        rows == [visitor.clone()]
    });
    // Somebody else has not.
    let other = clockwork(None);
    subscribe!(other.conn, "SELECT * FROM my_visits");
    assert_eq!(other.conn.db.my_visits().count(), 0);
}

fn schedules() {
    let client = clockwork(None);
    let (told, heard) = channel();
    client
        .conn
        .db
        .loud_ring()
        .on_insert(move |_, row| tell(&told, row.clone()));
    subscribe!(client.conn, "SELECT * FROM loud_ring", "SELECT * FROM rung");
    done!(client.conn, set_alarm_then(0, "loud".to_owned(), 0));
    let row: Rung = hear(&heard, "the ring");
    assert_eq!(row.note, "loud");
    until("the table", || {
        client.conn.db.rung().id().find(&row.id).is_some()
    });
}

fn system_tables() {
    let builder = system::DbConnection::builder();
    let client: Connected<system::DbConnection> = connect(builder, "chat", None, |conn| {
        conn.run_threaded();
    });
    use system::{
        StCutTableAccess, StInvocationTableAccess, StPeerTableAccess, StTableTableAccess, set_name,
    };
    subscribe!(
        client.conn,
        "SELECT * FROM st_peer",
        "SELECT * FROM st_cut",
        "SELECT * FROM st_table",
        "SELECT * FROM st_invocation WHERE caller = :sender",
    );
    let db = &client.conn.db;
    assert_eq!(db.st_peer().iter().filter(|it| it.this_peer).count(), 1);
    assert_eq!(db.st_cut().count(), 1);
    assert!(db.st_table().iter().count() >= 4);
    let (told, heard) = channel();
    let updated = told.clone();
    db.st_invocation()
        .on_insert(move |_, row| tell(&told, row.clone()));
    db.st_invocation()
        .on_update(move |_, _, row| tell(&updated, row.clone()));
    done!(client.conn, set_name_then("Invoked".to_owned()));
    loop {
        let row: system::StInvocation = hear(&heard, "the call");
        assert_eq!(row.caller, client.conn.identity());
        if row.reducer == "set_name" {
            break;
        }
    }
}
