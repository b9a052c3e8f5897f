//! Calls of reducers, and what comes of them.

use std::sync::mpsc::channel;

use spacetimedb_sdk::{DbContext, Status, Table};

use crate::chat::*;
use crate::connecting::chat;
use crate::harness::{Case, Connected, call, connect, done, hear, subscribe, tell};
use crate::misbehave;

pub const CASES: &[Case] = &[
    ("a call that succeeds brings its rows", success),
    ("an error comes with its text", error),
    ("a trap is an internal error", trap),
    ("calls are answered in order", in_order),
    ("a call without a callback", without_callback),
];

fn success() {
    let client = chat(None);
    subscribe!(client.conn, "SELECT * FROM account");
    let (told, heard) = channel();
    client
        .conn
        .reducers
        .open_accounts_then(5, move |context, outcome| {
            let rows = context.db.account().count();
            let event = &context.event;
            let committed = matches!(event.status, Status::Committed);
            tell(&told, (rows, committed, event.reducer.clone(), outcome));
        })
        .expect("the call can be sent");
    let (rows, committed, reducer, outcome) = hear(&heard, "the outcome");
    assert!(rows >= 5, "the rows are there when the call is answered");
    assert!(committed);
    assert_eq!(reducer, Reducer::OpenAccounts { count: 5 });
    assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
    assert_eq!(
        client.conn.db.account().id().find(&4).map(|it| it.id),
        Some(4)
    );
}

fn error() {
    let client = chat(None);
    let outcome = call!(client.conn, open_room_then("lobby".to_owned()));
    let text = outcome.expect("it runs").expect_err("there is one");
    assert_eq!(text, "there is a room \"lobby\" already");
}

fn trap() {
    let builder = misbehave::DbConnection::builder();
    let client: Connected<misbehave::DbConnection> = connect(builder, "misbehave", None, |conn| {
        conn.run_threaded();
    });
    use crate::misbehave::{behave, fail, panic_now};
    let outcome = call!(client.conn, panic_now_then("on purpose".to_owned()));
    assert!(outcome.is_err(), "{outcome:?}");
    let outcome = call!(client.conn, fail_then("no".to_owned()));
    assert_eq!(outcome.expect("it runs"), Err("no".to_owned()));
    done!(client.conn, behave_then("well".to_owned()));
}

fn in_order() {
    const CALLS: u32 = 200;
    let client = chat(None);
    done!(client.conn, open_accounts_then(2));
    subscribe!(client.conn, "SELECT * FROM account WHERE id < 2");
    let (told, heard) = channel();
    for number in 0..CALLS {
        let told = told.clone();
        let (from, to) = (number % 2, (number + 1) % 2);
        client
            .conn
            .reducers
            .transfer_then(from, to, 1, move |_, outcome| {
                tell(&told, (number, outcome))
            })
            .expect("the call can be sent");
    }
    for number in 0..CALLS {
        let (answered, outcome) = hear(&heard, "an answer");
        assert_eq!(answered, number);
        assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
    }
    let balance = |id| client.conn.db.account().id().find(&id).map(|it| it.balance);
    assert_eq!((balance(0), balance(1)), (Some(1_000), Some(1_000)));
}

fn without_callback() {
    let client = chat(None);
    subscribe!(client.conn, "SELECT * FROM room");
    let name = format!("Silent {}", client.identity.to_abbreviated_hex());
    let (told, heard) = channel();
    let expected = name.clone();
    client.conn.db.room().on_insert(move |_, row| {
        if row.name == expected {
            tell(&told, row.opened_by);
        }
    });
    client
        .conn
        .reducers
        .open_room(name)
        .expect("it can be sent");
    assert_eq!(hear(&heard, "the room"), client.identity);
}
