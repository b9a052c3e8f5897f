//! Connecting, as whom, and coming back.

use std::sync::mpsc::channel;

use spacetimedb_sdk::{DbContext, Identity, Table};

use crate::chat::*;
use crate::harness::{Case, Connected, connect, done, hear, subscribe, tell, url};

pub const CASES: &[Case] = &[
    ("a client without a token gets an identity", without_a_token),
    ("the same token is the same identity", same_token),
    ("a token of nobody is refused", token_of_nobody),
    ("a database that is not there is refused", no_database),
    ("who disconnects is told so", disconnecting),
    ("messages are handled when asked for", by_hand),
    ("code works with any context and any table", generic_code),
];

/// A connection to the chat.
pub fn chat(token: Option<&str>) -> Connected<DbConnection> {
    connect(DbConnection::builder(), "chat", token, |conn| {
        conn.run_threaded();
    })
}

fn without_a_token() {
    let (one, other) = (chat(None), chat(None));
    assert_ne!(one.identity, Identity::ZERO);
    assert_ne!(one.identity, other.identity);
    assert_eq!(one.conn.identity(), one.identity);
    assert_eq!(one.conn.try_identity(), Some(one.identity));
    assert_ne!(one.conn.connection_id(), other.conn.connection_id());
    assert!(one.conn.is_active());
}

fn same_token() {
    let first = chat(None);
    done!(first.conn, set_name_then("Same".to_owned()));
    first.conn.disconnect().expect("it is connected");
    hear(&first.ended, "the end");
    let again = chat(Some(&first.token));
    assert_eq!(again.identity, first.identity);
    assert_eq!(again.token, first.token);
    subscribe!(again.conn, "SELECT * FROM user");
    let user = again.conn.db.user().identity().find(&first.identity);
    assert_eq!(user.expect("the module knows it").name, "Same");
}

fn token_of_nobody() {
    let built = DbConnection::builder()
        .with_uri(url())
        .with_database_name("chat")
        .with_token(Some("nobody's"))
        .build();
    assert!(built.is_err(), "no client gets in with it");
}

fn no_database() {
    let built = DbConnection::builder()
        .with_uri(url())
        .with_database_name("nowhere")
        .build();
    assert!(built.is_err(), "there is none of that name");
}

fn disconnecting() {
    let client = chat(None);
    client.conn.disconnect().expect("it is connected");
    let error = hear(&client.ended, "the end");
    assert!(error.is_none(), "{error:?}");
    assert!(!client.conn.is_active());
    assert!(client.conn.disconnect().is_err(), "it has ended already");
}

fn by_hand() {
    let blocking = |conn: &DbConnection| {
        while conn.try_identity().is_none() {
            conn.advance_one_message_blocking()
                .expect("it is connected");
        }
    };
    let client = connect(DbConnection::builder(), "chat", None, blocking);
    let (told, heard) = channel();
    client
        .conn
        .reducers
        .set_name_then("By hand".to_owned(), move |_, outcome| {
            tell(&told, outcome);
        })
        .expect("the call can be sent");
    loop {
        client.conn.frame_tick().expect("it is connected");
        if let Ok(outcome) = heard.try_recv() {
            assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
            return;
        }
        std::thread::yield_now();
    }
}

fn rooms(context: &impl RemoteDbContext) -> u64 {
    context.db().room().count()
}

fn count_of<A>(db: &RemoteTables) -> u64
where
    A: spacetimedb_sdk::TableAccessor<RemoteTables>,
    for<'db> A::Handle<'db>: Table,
{
    A::get(db).count()
}

fn generic_code() {
    let client = chat(None);
    let (told, heard) = channel();
    client.conn.db.room().on_insert(move |context, _| {
        tell(&told, rooms(context));
    });
    subscribe!(client.conn, "SELECT * FROM room WHERE name = 'lobby'");
    assert_eq!(hear(&heard, "the room"), 1);
    assert_eq!(rooms(&client.conn), 1);
    assert_eq!(count_of::<RoomTableAccessor>(&client.conn.db), 1);
}

/// Leaves something behind, and prints the token.
pub fn leave() {
    let client = chat(None);
    done!(client.conn, set_name_then("Left".to_owned()));
    done!(
        client.conn,
        send_message_then("lobby".to_owned(), "I will be back".to_owned())
    );
    println!("{}", client.token);
}

/// Comes back to a peer that was started again, and finds what was left.
pub fn come_back(token: &str) {
    let client = chat(Some(token));
    subscribe!(
        client.conn,
        "SELECT * FROM user",
        "SELECT * FROM message WHERE text = 'I will be back'",
    );
    let user = client.conn.db.user().identity().find(&client.identity);
    let user = user.expect("the module still knows it");
    assert_eq!((user.name.as_str(), user.connections), ("Left", 1));
    let messages: Vec<Message> = client.conn.db.message().iter().collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].sender, client.identity);
    done!(
        client.conn,
        send_message_then("lobby".to_owned(), "I am back".to_owned())
    );
    println!("found");
}
