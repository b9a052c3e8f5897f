//! Rows: subscriptions, callbacks for what changes, and looking rows up.

use std::sync::mpsc::channel;

use spacetimedb_sdk::{
    DbContext, Error, Event, EventTable, Status, SubscriptionHandle as _, Table,
    TableWithPrimaryKey,
};

use crate::chat::{self, *};
use crate::connecting::chat;
use crate::harness::{Case, Connected, connect, done, hear, owner, subscribe, tell, until};
use crate::{cabinet, inventory};

pub const CASES: &[Case] = &[
    ("a subscription shows rows, and says why", shown),
    ("typed queries: conditions", typed_conditions),
    ("typed queries: joins", typed_joins),
    ("everything at once", all_tables),
    ("a row is inserted", inserted),
    ("a row is updated", updated),
    ("a row is deleted", deleted),
    ("rows of a table without a primary key", without_primary_key),
    ("rows are found by unique columns", found),
    ("another client's change is told", of_another),
    (
        "callbacks that were removed are not called",
        removed_callbacks,
    ),
    ("a subscription ends", unsubscribed),
    ("a query that cannot be followed is refused", refused),
    ("an event is told and not kept", events),
    ("large answers, compressed and not", compressed),
];

fn room(client: &Connected<DbConnection>, name: &str) -> String {
    let name = format!("{name} {}", client.identity.to_abbreviated_hex());
    done!(client.conn, open_room_then(name.clone()));
    name
}

fn inventory() -> Connected<inventory::DbConnection> {
    let builder = inventory::DbConnection::builder();
    connect(builder, "inventory", None, |conn| {
        conn.run_threaded();
    })
}

fn shown() {
    let client = chat(None);
    let (told, heard) = channel();
    client.conn.db.room().on_insert(move |context, row| {
        let why = matches!(context.event, Event::SubscribeApplied);
        tell(&told, (why, row.name.clone()));
    });
    let handle = subscribe!(client.conn, "SELECT * FROM room WHERE name = 'lobby'");
    assert_eq!(hear(&heard, "a row"), (true, "lobby".to_owned()));
    assert!(handle.is_active() && !handle.is_ended());
    assert_eq!(client.conn.db.room().count(), 1);
    let rooms: Vec<Room> = client.conn.db.room().iter().collect();
    assert_eq!(rooms[0].name, "lobby");
}

fn typed_conditions() {
    let client = chat(None);
    let (one, other) = (room(&client, "one"), room(&client, "other"));
    let me = client.identity;
    subscribe!(client.conn, move |q: QueryBuilder| {
        q.from.room().r#where(|it| it.opened_by.eq(me))
    });
    let mut names: Vec<String> = client.conn.db.room().iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(names, [one.clone(), other.clone()]);
    let another = chat(None);
    let name = one.clone();
    subscribe!(
        another.conn,
        move |q: QueryBuilder| {
            let named = name.clone();
            q.from.room().filter(move |it| it.name.eq(named.clone()))
        },
        |q: QueryBuilder| q
            .from
            .room()
            .filter(|it| it.id.lt(1_u64).or(it.name.eq("lobby".to_owned()))),
    );
    let mut names: Vec<String> = another.conn.db.room().iter().map(|it| it.name).collect();
    names.sort();
    assert_eq!(names, ["lobby".to_owned(), one]);
}

fn typed_joins() {
    let client = chat(None);
    let name = room(&client, "joined");
    for text in ["first", "second"] {
        done!(
            client.conn,
            send_message_then(name.clone(), text.to_owned())
        );
    }
    let me = client.identity;
    subscribe!(
        client.conn,
        // Messages in rooms of mine.
        move |q: QueryBuilder| {
            let rooms = q.from.room().r#where(|it| it.opened_by.eq(me));
            rooms.right_semijoin(q.from.message(), |room, message| room.id.eq(message.room))
        },
        // Rooms that have messages, of mine.
        move |q: QueryBuilder| {
            let rooms = q.from.room().r#where(|it| it.opened_by.eq(me));
            rooms.left_semijoin(q.from.message(), |room, message| room.id.eq(message.room))
        },
    );
    let mut texts: Vec<String> = client.conn.db.message().iter().map(|it| it.text).collect();
    texts.sort();
    assert_eq!(texts, ["first", "second"]);
    let rooms: Vec<String> = client.conn.db.room().iter().map(|it| it.name).collect();
    assert_eq!(rooms, [name]);
}

fn all_tables() {
    let client = chat(None);
    let (told, heard) = channel();
    client
        .conn
        .subscription_builder()
        .on_applied(move |_| tell(&told, ()))
        .subscribe_to_all_tables();
    hear(&heard, "all tables");
    assert!(
        client
            .conn
            .db
            .user()
            .identity()
            .find(&client.identity)
            .is_some()
    );
    assert!(client.conn.db.room().count() >= 1);
}

fn inserted() {
    let client = chat(None);
    let name = room(&client, "insert");
    subscribe!(client.conn, "SELECT * FROM message");
    let (told, heard) = channel();
    client.conn.db.message().on_insert(move |context, row| {
        let Event::Reducer(event) = &context.event else {
            return;
        };
        tell(
            &told,
            (event.status.clone(), event.reducer.clone(), row.clone()),
        );
    });
    done!(
        client.conn,
        send_message_then(name.clone(), "hello".to_owned())
    );
    let (status, reducer, row) = hear(&heard, "the message");
    assert!(matches!(status, Status::Committed), "{status:?}");
    let text = "hello".to_owned();
    assert_eq!(reducer, chat::Reducer::SendMessage { room: name, text });
    assert_eq!((row.text.as_str(), row.sender), ("hello", client.identity));
    // By now the row is there.
    assert_eq!(client.conn.db.message().id().find(&row.id), Some(row));
}

fn updated() {
    let client = chat(None);
    subscribe!(client.conn, "SELECT * FROM user");
    let (told, heard) = channel();
    let me = client.identity;
    let inserted = told.clone();
    client.conn.db.user().on_update(move |_, old, new| {
        if new.identity == me {
            tell(&told, (old.name.clone(), new.name.clone()));
        }
    });
    client.conn.db.user().on_insert(move |_, row| {
        if row.identity == me {
            tell(&inserted, ("an insert".to_owned(), row.name.clone()));
        }
    });
    done!(client.conn, set_name_then("Before".to_owned()));
    done!(client.conn, set_name_then("After".to_owned()));
    assert_eq!(hear(&heard, "an update").1, "Before");
    let update = ("Before".to_owned(), "After".to_owned());
    assert_eq!(hear(&heard, "another"), update);
    let user = client.conn.db.user().identity().find(&me);
    assert_eq!(user.expect("it is there").name, "After");
}

fn deleted() {
    let client = inventory();
    use crate::inventory::*;
    done!(client.conn, fill_then(7, 20));
    subscribe!(client.conn, "SELECT * FROM item");
    let count = client.conn.db.item().count();
    let item = client.conn.db.item().iter().next().expect("it was filled");
    let (told, heard) = channel();
    client
        .conn
        .db
        .item()
        .on_delete(move |_, row| tell(&told, row.clone()));
    done!(client.conn, remove_then(item.sku.clone()));
    assert_eq!(hear(&heard, "the deletion"), item);
    assert_eq!(client.conn.db.item().count(), count - 1);
    assert_eq!(client.conn.db.item().sku().find(&item.sku), None);
}

fn without_primary_key() {
    let client = inventory();
    use crate::inventory::*;
    subscribe!(client.conn, "SELECT * FROM warehouse");
    let (told, heard) = channel();
    let deleted = told.clone();
    client.conn.db.warehouse().on_insert(move |_, row| {
        tell(&told, ("in", row.number, row.open));
    });
    client.conn.db.warehouse().on_delete(move |_, row| {
        tell(&deleted, ("out", row.number, row.open));
    });
    done!(client.conn, set_open_then(200, false));
    let mut both = [hear(&heard, "one row"), hear(&heard, "the other")];
    both.sort();
    assert_eq!(both, [("in", 200, false), ("out", 200, true)]);
    let warehouse = client.conn.db.warehouse().number().find(&200);
    assert_eq!(warehouse.expect("it is there").dock_offsets, [-1, 0, 200]);
    assert_eq!(client.conn.db.warehouse().count(), 3);
}

fn found() {
    let client = chat(None);
    let name = room(&client, "found");
    subscribe!(client.conn, "SELECT * FROM room", "SELECT * FROM user");
    let db = &client.conn.db;
    let room = db.room().name().find(&name).expect("it was opened");
    assert_eq!(db.room().id().find(&room.id), Some(room.clone()));
    assert_eq!(room.opened_by, client.identity);
    assert_eq!(db.room().name().find(&"no such room".to_owned()), None);
    assert!(db.user().identity().find(&client.identity).is_some());
    let nobody = spacetimedb_sdk::Identity::ZERO;
    assert_eq!(db.user().identity().find(&nobody), None);
}

fn of_another() {
    let (client, other) = (chat(None), chat(None));
    let name = room(&client, "another");
    subscribe!(client.conn, "SELECT * FROM message");
    let (told, heard) = channel();
    let sender = other.identity;
    client.conn.db.message().on_insert(move |context, row| {
        if row.sender == sender {
            let others = matches!(context.event, Event::Transaction);
            tell(&told, (others, row.text.clone()));
        }
    });
    done!(other.conn, send_message_then(name, "from afar".to_owned()));
    assert_eq!(hear(&heard, "it"), (true, "from afar".to_owned()));
}

fn removed_callbacks() {
    let client = chat(None);
    let name = room(&client, "removed");
    subscribe!(client.conn, "SELECT * FROM message", "SELECT * FROM user");
    let (told, heard) = channel();
    let (insert, update) = (told.clone(), told);
    let id = client.conn.db.message().on_insert(move |_, _| {
        tell(&insert, "insert");
    });
    client.conn.db.message().remove_on_insert(id);
    let id = client.conn.db.user().on_update(move |_, _, _| {
        tell(&update, "update");
    });
    client.conn.db.user().remove_on_update(id);
    done!(client.conn, send_message_then(name, "unheard".to_owned()));
    done!(client.conn, set_name_then("Unheard".to_owned()));
    assert!(heard.try_recv().is_err(), "no callback is left");
}

fn unsubscribed() {
    let client = chat(None);
    let handle = subscribe!(client.conn, "SELECT * FROM room WHERE name = 'lobby'");
    let (told, heard) = channel();
    let (end, ended) = channel();
    client.conn.db.room().on_delete(move |context, row| {
        let why = matches!(context.event, Event::UnsubscribeApplied);
        tell(&told, (why, row.name.clone()));
    });
    let on_end = Box::new(move |_: &chat::SubscriptionEventContext| tell(&end, ()));
    handle
        .clone()
        .unsubscribe_then(on_end)
        .expect("it is active");
    hear(&ended, "the end");
    assert_eq!(hear(&heard, "the row"), (true, "lobby".to_owned()));
    assert!(handle.is_ended() && !handle.is_active());
    assert_eq!(client.conn.db.room().count(), 0);
    assert!(handle.unsubscribe().is_err(), "it has ended already");
}

fn refused() {
    let client = chat(None);
    let (told, heard) = channel();
    let handle = client
        .conn
        .subscription_builder()
        .on_applied(|_| panic!("there is no such table"))
        .on_error(move |_, error| tell(&told, error))
        .subscribe("SELECT * FROM nowhere");
    match hear(&heard, "the error") {
        Error::SubscriptionError { error } => assert!(error.contains("nowhere"), "{error}"),
        other => panic!("{other}"),
    }
    until("the handle to know", || handle.is_ended());
    assert!(client.conn.is_active(), "only the subscription has failed");
}

fn events() {
    let builder = cabinet::DbConnection::builder();
    let client = connect(builder, "cabinet", Some(&owner()), |conn| {
        conn.run_threaded();
    });
    use crate::cabinet::*;
    let (told, heard) = channel();
    client
        .conn
        .db
        .noise()
        .on_insert(move |_, row| tell(&told, row.loud));
    subscribe!(client.conn, "SELECT * FROM noise WHERE loud > 5");
    for loud in [9, 3, 7] {
        done!(client.conn, shout_then(loud));
    }
    assert_eq!((hear(&heard, "one"), hear(&heard, "another")), (9, 7));
    assert_eq!(client.conn.db.noise().count(), 0);
    assert_eq!(client.conn.db.noise().iter().count(), 0);
}

fn compressed() {
    use spacetimedb_sdk::Compression::{Brotli, Gzip, None as Plain};
    let filler = inventory();
    {
        use crate::inventory::*;
        done!(filler.conn, fill_then(11, 200));
    }
    use crate::inventory::ItemTableAccess;
    subscribe!(filler.conn, "SELECT * FROM item");
    let rows = |conn: &inventory::DbConnection| {
        let mut rows: Vec<inventory::Item> = conn.db.item().iter().collect();
        rows.sort_by_key(|row| row.id);
        rows
    };
    let expected = rows(&filler.conn);
    assert!(expected.len() >= 200);
    for compression in [Plain, Gzip, Brotli] {
        let conn = inventory::DbConnection::builder()
            .with_uri(crate::harness::url())
            .with_database_name("inventory")
            .with_compression(compression)
            .build()
            .expect("the peer lets clients in");
        conn.run_threaded();
        subscribe!(conn, "SELECT * FROM item");
        assert_eq!(rows(&conn), expected, "{compression:?}");
    }
}

/// What typed queries begin with.
type QueryBuilder = spacetimedb_sdk::__codegen::QueryBuilder;
