//! Columns of every type, and names that the rules change.

use spacetimedb_sdk::__codegen::__sats::{i256, u256};
use spacetimedb_sdk::{DbContext, Identity, ScheduleAt, Table, TimeDuration, Timestamp};

use crate::cabinet::*;
use crate::harness::{Case, Connected, call, connect, done, owner, subscribe};

pub const CASES: &[Case] = &[
    ("values of every type come whole and go whole", every_type),
    ("names are the source's, and the wire's on the wire", names),
];

fn cabinet() -> Connected<DbConnection> {
    let builder = DbConnection::builder();
    connect(builder, "cabinet", Some(&owner()), |conn| {
        conn.run_threaded();
    })
}

fn every_type() {
    let client = cabinet();
    subscribe!(client.conn, "SELECT * FROM specimen");
    for (id, high) in [(1, true), (2, false)] {
        // What the module makes of the highest and the lowest values, sent back by this side.
        done!(client.conn, keep_extreme_then(id, high));
        let row = client
            .conn
            .db
            .specimen()
            .id()
            .find(&id)
            .expect("it is kept");
        let again = Specimen {
            id: id + 10,
            ..row.clone()
        };
        done!(client.conn, keep_then(again));
        done!(client.conn, compare_then(id, id + 10));
    }
    let specimen = client.conn.db.specimen();
    let (high, low) = (specimen.id().find(&1), specimen.id().find(&2));
    let (high, low) = (high.expect("it is kept"), low.expect("it is kept"));
    assert_eq!((high.u_256, low.i_256), (u256::MAX, i256::MIN));
    assert_eq!((high.f_32, low.f_64), (f32::INFINITY, f64::MIN));
    assert_eq!(high.text, "\u{10FFFF}\"\\\n\0é");
    assert_eq!((high.maybe_twice, low.maybe_twice), (Some(None), None));
    assert_eq!((high.colour, low.colour), (Colour::Blue, Colour::Red));
    assert_eq!(high.bytes, (0..=255).collect::<Vec<u8>>());
    assert_eq!(low.shape, Shape::Nothing);
    let Shape::Polygon(points) = &high.shape else {
        panic!("{:?}", high.shape);
    };
    assert_eq!(points[1], Point { x: 0.0, y_2: None });
    assert_eq!(high.label.shape, Shape::Inside(Some(Colour::DarkGreen)));
    assert_eq!(low.who, Identity::ZERO);
    assert_eq!(high.connection.to_u128(), u128::MAX);
    assert_eq!(high.mark.as_u128(), u128::MAX);
    let latest = Timestamp::from_micros_since_unix_epoch(i64::MAX);
    assert_eq!((high.at, high.due), (latest, ScheduleAt::Time(latest)));
    let before = TimeDuration::from_micros(-1);
    assert_eq!(low.due, ScheduleAt::Interval(before));
}

fn names() {
    let client = cabinet();
    // On the wire they are `old_shelf_2` and `FancyName`.
    subscribe!(
        client.conn,
        "SELECT * FROM old_shelf_2",
        "SELECT * FROM \"FancyName\"",
    );
    let kind = MyKind2::SecondKind(9);
    done!(client.conn, put_on_shelf_2_then(77, kind.clone()));
    let row = client.conn.db.old_shelf_2().the_age().find(&77);
    let row = row.expect("it is on the shelf");
    assert_eq!(
        (row.kind_of, row.added_1, row.added_later),
        (kind, 1, false)
    );
    // On the wire it is `Renamed`.
    done!(client.conn, old_name_then(-5));
    assert_eq!(client.conn.db.plain().iter().next(), Some(Plain { x: -5 }));
    let again = call!(client.conn, put_on_shelf_2_then(77, MyKind2::FirstKind));
    assert!(!matches!(again, Ok(Ok(()))), "the age is unique");
}
