//! Of protocols v2 and v3.

use std::sync::Arc;

use bytes::Bytes;

use super::{CONNECTION, IDENTITY, TIMESTAMP, fixed, text, uneven};
use crate::{BsatnRowList, v2};

pub(crate) fn client() -> Vec<(&'static str, v2::ClientMessage)> {
    use v2::ClientMessage as Message;
    vec![
        (
            "subscribe",
            Message::Subscribe {
                request_id: 1,
                query_set_id: 2,
                query_strings: vec![text("SELECT * FROM t"), text("")],
            },
        ),
        (
            "subscribe to nothing",
            Message::Subscribe {
                request_id: 0,
                query_set_id: u32::MAX,
                query_strings: vec![],
            },
        ),
        (
            "unsubscribe",
            Message::Unsubscribe {
                request_id: 3,
                query_set_id: 2,
                send_dropped_rows: false,
            },
        ),
        (
            "unsubscribe with rows",
            Message::Unsubscribe {
                request_id: 3,
                query_set_id: 2,
                send_dropped_rows: true,
            },
        ),
        (
            "one-off query",
            Message::OneOffQuery {
                request_id: 4,
                query_string: text("SELECT * FROM t"),
            },
        ),
        (
            "call reducer",
            Message::CallReducer {
                request_id: 5,
                reducer: text("add"),
                args: Bytes::from_static(&[7, 8]),
            },
        ),
        (
            "call procedure",
            Message::CallProcedure {
                request_id: 6,
                procedure: text("ask"),
                args: Bytes::new(),
            },
        ),
    ]
}

fn query_rows() -> v2::QueryRows {
    let table = |table: &str, rows| v2::SingleTableRows {
        table: Arc::from(table),
        rows,
    };
    v2::QueryRows {
        tables: vec![table("t", fixed()), table("ü", uneven())],
    }
}

fn transaction_update() -> v2::TransactionUpdate {
    let table = |name: &str, rows| v2::TableUpdate {
        table_name: Arc::from(name),
        rows: vec![rows],
    };
    let inserts = fixed();
    let deletes = BsatnRowList::empty();
    let events = uneven();
    v2::TransactionUpdate {
        query_sets: vec![v2::QuerySetUpdate {
            query_set_id: 2,
            tables: vec![
                table("t", v2::TableUpdateRows::Persistent { inserts, deletes }),
                table("e", v2::TableUpdateRows::Event { events }),
            ],
        }],
    }
}

fn outcomes() -> Vec<(&'static str, v2::ServerMessage)> {
    let result = |timestamp, result| v2::ServerMessage::ReducerResult {
        request_id: 5,
        timestamp,
        result,
    };
    let ok = v2::ReducerOutcome::Ok {
        ret_value: Bytes::new(),
        transaction_update: transaction_update(),
    };
    let refused = v2::ReducerOutcome::Err(Bytes::from_static(&[2, 0, 0, 0, b'n', b'o']));
    let trap = v2::ReducerOutcome::InternalError(text("trap"));
    vec![
        ("reducer result ok", result(TIMESTAMP, ok)),
        (
            "reducer result ok empty",
            result(TIMESTAMP, v2::ReducerOutcome::OkEmpty),
        ),
        ("reducer result err", result(TIMESTAMP, refused)),
        ("reducer result internal error", result(-1, trap)),
    ]
}

pub(crate) fn server() -> Vec<(&'static str, v2::ServerMessage)> {
    use v2::ServerMessage as Message;
    let procedure = |status| Message::ProcedureResult {
        status,
        timestamp: TIMESTAMP,
        duration: 1_500,
        request_id: 6,
    };
    let without_rows = v2::QueryRows {
        tables: vec![v2::SingleTableRows {
            table: Arc::from("t"),
            rows: BsatnRowList::empty(),
        }],
    };
    let mut all = vec![
        (
            "initial connection",
            Message::InitialConnection {
                identity: IDENTITY,
                connection_id: CONNECTION,
                token: text("tok"),
            },
        ),
        (
            "subscribe applied",
            Message::SubscribeApplied {
                request_id: 1,
                query_set_id: 2,
                rows: query_rows(),
            },
        ),
        (
            "subscribe applied without rows",
            Message::SubscribeApplied {
                request_id: 1,
                query_set_id: 2,
                rows: without_rows,
            },
        ),
        (
            "unsubscribe applied",
            Message::UnsubscribeApplied {
                request_id: 3,
                query_set_id: 2,
                rows: None,
            },
        ),
        (
            "unsubscribe applied with rows",
            Message::UnsubscribeApplied {
                request_id: 3,
                query_set_id: 2,
                rows: Some(query_rows()),
            },
        ),
        (
            "subscription error",
            Message::SubscriptionError {
                request_id: Some(1),
                query_set_id: 2,
                error: text("no table u"),
            },
        ),
        (
            "subscription error of itself",
            Message::SubscriptionError {
                request_id: None,
                query_set_id: 2,
                error: text("dropped"),
            },
        ),
        (
            "transaction update",
            Message::TransactionUpdate(transaction_update()),
        ),
        (
            "one-off query result",
            Message::OneOffQueryResult {
                request_id: 4,
                result: Ok(query_rows()),
            },
        ),
        (
            "one-off query error",
            Message::OneOffQueryResult {
                request_id: 4,
                result: Err(text("no table u")),
            },
        ),
        (
            "procedure result returned",
            procedure(v2::ProcedureStatus::Returned(Bytes::from_static(&[7, 8]))),
        ),
        (
            "procedure result internal error",
            procedure(v2::ProcedureStatus::InternalError(text("trap"))),
        ),
    ];
    all.extend(outcomes());
    all
}
