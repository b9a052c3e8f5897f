//! Of protocol v1, in both forms.

use std::sync::Arc;

use bytes::Bytes;

use super::{CONNECTION, IDENTITY, TIMESTAMP, fixed, text, uneven};
use crate::BsatnRowList;
use crate::v1::{
    Bsatn, ClientMessage, CompressableQueryUpdate, DatabaseUpdate, Format, Json, NoFlags,
    OneOffTable, ProcedureStatus, QueryUpdate, ReducerCallInfo, ServerMessage, SubscribeRows,
    TableUpdate, TransactionUpdate, UpdateStatus,
};

/// What differs between the forms.
pub(crate) trait Samples: Format {
    /// Arguments with something in them.
    fn value() -> Self::Value;
    /// Arguments of a procedure.
    fn arguments() -> Self::Value;
    /// Two rows.
    fn two() -> Self::Rows;
    /// Two rows came.
    fn came() -> Vec<Self::Update>;
    /// Two rows went, three came.
    fn changed() -> Vec<Self::Update>;
    /// Two updates.
    fn both() -> Vec<Self::Update>;
}

impl Samples for Bsatn {
    fn value() -> Bytes {
        Bytes::from_static(&[7, 8])
    }

    fn arguments() -> Bytes {
        Bytes::new()
    }

    fn two() -> BsatnRowList {
        fixed()
    }

    fn came() -> Vec<CompressableQueryUpdate> {
        let (deletes, inserts) = (BsatnRowList::empty(), fixed());
        let update = QueryUpdate { deletes, inserts };
        vec![CompressableQueryUpdate::Uncompressed(update)]
    }

    fn changed() -> Vec<CompressableQueryUpdate> {
        let (deletes, inserts) = (fixed(), uneven());
        let update = QueryUpdate { deletes, inserts };
        vec![CompressableQueryUpdate::Uncompressed(update)]
    }

    fn both() -> Vec<CompressableQueryUpdate> {
        vec![
            CompressableQueryUpdate::Brotli(Bytes::from_static(&[0xB1, 0xB2])),
            CompressableQueryUpdate::Gzip(Bytes::from_static(&[0xC1, 0xC2, 0xC3])),
        ]
    }
}

fn rows(rows: &[&str]) -> Vec<Arc<str>> {
    rows.iter().map(|row| Arc::from(*row)).collect()
}

impl Samples for Json {
    fn value() -> Arc<str> {
        Arc::from("[7,\"a\"]")
    }

    fn arguments() -> Arc<str> {
        Self::value()
    }

    fn two() -> Vec<Arc<str>> {
        rows(&["{\"id\":1}", "{\"id\":2}"])
    }

    fn came() -> Vec<QueryUpdate<Self>> {
        let (deletes, inserts) = (vec![], Self::two());
        vec![QueryUpdate { deletes, inserts }]
    }

    fn changed() -> Vec<QueryUpdate<Self>> {
        let inserts = rows(&["[10]", "[11,11]", "[\"ü\\\"\",12]"]);
        let deletes = Self::two();
        vec![QueryUpdate { deletes, inserts }]
    }

    fn both() -> Vec<QueryUpdate<Self>> {
        let (deletes, inserts) = (vec![], vec![]);
        let mut both = Self::came();
        both.push(QueryUpdate { deletes, inserts });
        both
    }
}

pub(crate) fn client<F: Samples>() -> Vec<(&'static str, ClientMessage<F>)> {
    use ClientMessage as Message;
    let query = || text("SELECT * FROM t");
    let call = |no_success_notify| Message::CallReducer {
        reducer: text("add"),
        args: F::value(),
        request_id: 5,
        no_success_notify,
    };
    vec![
        ("call reducer", call(false)),
        ("call reducer quietly", call(true)),
        (
            "subscribe",
            Message::Subscribe {
                query_strings: vec![query(), text("")],
                request_id: 1,
            },
        ),
        (
            "one-off query",
            Message::OneOffQuery {
                message_id: Bytes::from_static(&[10, 11, 12]),
                query_string: query(),
            },
        ),
        (
            "subscribe single",
            Message::SubscribeSingle {
                query: query(),
                request_id: 2,
                query_id: 7,
            },
        ),
        (
            "subscribe multi",
            Message::SubscribeMulti {
                query_strings: vec![query()],
                request_id: 3,
                query_id: 8,
            },
        ),
        (
            "unsubscribe",
            Message::Unsubscribe {
                request_id: 4,
                query_id: 7,
            },
        ),
        (
            "unsubscribe multi",
            Message::UnsubscribeMulti {
                request_id: 5,
                query_id: 8,
            },
        ),
        (
            "call procedure",
            Message::CallProcedure {
                procedure: text("ask"),
                args: F::arguments(),
                request_id: 6,
                flags: NoFlags,
            },
        ),
    ]
}

fn table<F: Format>(
    table_id: u32,
    name: &str,
    num_rows: u64,
    updates: Vec<F::Update>,
) -> TableUpdate<F> {
    TableUpdate {
        table_id,
        table_name: Arc::from(name),
        num_rows,
        updates,
    }
}

fn came<F: Samples>() -> TableUpdate<F> {
    table(4_096, "t", 2, F::came())
}

fn changed<F: Samples>() -> TableUpdate<F> {
    table(4_097, "ü", 5, F::changed())
}

fn update<F: Format>(tables: Vec<TableUpdate<F>>) -> DatabaseUpdate<F> {
    DatabaseUpdate { tables }
}

fn calls<F: Samples>() -> Vec<(&'static str, ServerMessage<F>)> {
    let transaction = |status| {
        ServerMessage::TransactionUpdate(TransactionUpdate {
            status,
            timestamp: TIMESTAMP,
            caller_identity: IDENTITY,
            caller_connection_id: CONNECTION,
            reducer_call: ReducerCallInfo {
                reducer_name: Arc::from("add"),
                reducer_id: 3,
                args: F::value(),
                request_id: 5,
            },
            energy_quanta_used: 1_000,
            total_host_execution_duration: 1_500,
        })
    };
    let procedure = |status| ServerMessage::ProcedureResult {
        status,
        timestamp: TIMESTAMP,
        total_host_execution_duration: 1_500,
        request_id: 6,
    };
    vec![
        (
            "transaction update committed",
            transaction(UpdateStatus::Committed(update(vec![came(), changed()]))),
        ),
        (
            "transaction update failed",
            transaction(UpdateStatus::Failed(text("trap"))),
        ),
        (
            "transaction update out of energy",
            transaction(UpdateStatus::OutOfEnergy),
        ),
        (
            "procedure result returned",
            procedure(ProcedureStatus::Returned(F::value())),
        ),
        (
            "procedure result out of energy",
            procedure(ProcedureStatus::OutOfEnergy),
        ),
        (
            "procedure result internal error",
            procedure(ProcedureStatus::InternalError(text("trap"))),
        ),
    ]
}

fn queries<F: Samples>() -> Vec<(&'static str, ServerMessage<F>)> {
    let response = |error, tables| ServerMessage::OneOffQueryResponse {
        message_id: Bytes::from_static(&[10, 11, 12]),
        error,
        tables,
        total_host_execution_duration: 1_500,
    };
    let error = |id: Option<(u32, u32, u32)>, error| ServerMessage::SubscriptionError {
        total_host_execution_duration_micros: 1_500,
        request_id: id.map(|(request, _, _)| request),
        query_id: id.map(|(_, query, _)| query),
        table_id: id.map(|(_, _, table)| table),
        error: text(error),
    };
    let one_off = OneOffTable {
        table_name: Arc::from("t"),
        rows: F::two(),
    };
    vec![
        ("one-off query response", response(None, vec![one_off])),
        (
            "one-off query error",
            response(Some(text("no table u")), vec![]),
        ),
        (
            "subscription error",
            error(Some((2, 7, 4_096)), "no table u"),
        ),
        ("subscription error of all", error(None, "dropped")),
    ]
}

pub(crate) fn server<F: Samples>() -> Vec<(&'static str, ServerMessage<F>)> {
    use ServerMessage as Message;
    let total_host_execution_duration_micros = 1_500;
    let rows = || SubscribeRows {
        table_id: 4_096,
        table_name: Arc::from("t"),
        table_rows: came(),
    };
    let mut all = vec![
        (
            "initial subscription",
            Message::InitialSubscription {
                database_update: update(vec![came()]),
                request_id: 1,
                total_host_execution_duration: 1_500,
            },
        ),
        (
            "transaction update light",
            Message::TransactionUpdateLight {
                request_id: 5,
                update: update(vec![table(4_098, "p", 9, F::both())]),
            },
        ),
        (
            "identity token",
            Message::IdentityToken {
                identity: IDENTITY,
                token: text("tok"),
                connection_id: CONNECTION,
            },
        ),
        (
            "subscribe applied",
            Message::SubscribeApplied {
                request_id: 2,
                total_host_execution_duration_micros,
                query_id: 7,
                rows: rows(),
            },
        ),
        (
            "unsubscribe applied",
            Message::UnsubscribeApplied {
                request_id: 4,
                total_host_execution_duration_micros,
                query_id: 7,
                rows: rows(),
            },
        ),
        (
            "subscribe multi applied",
            Message::SubscribeMultiApplied {
                request_id: 3,
                total_host_execution_duration_micros,
                query_id: 8,
                update: update(vec![changed()]),
            },
        ),
        (
            "unsubscribe multi applied",
            Message::UnsubscribeMultiApplied {
                request_id: 5,
                total_host_execution_duration_micros,
                query_id: 8,
                update: update(vec![]),
            },
        ),
    ];
    all.extend(calls());
    all.extend(queries());
    all
}
