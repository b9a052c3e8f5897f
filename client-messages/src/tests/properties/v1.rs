//! Of protocol v1, in both forms.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{a_name, a_text, change, some_bytes, some_rows};
use crate::Malformed;
use crate::limits::{QUERIES_PER_FRAME_MAX, REASON_BYTES_MAX};
use crate::v1::{
    Bsatn, ClientMessage, CompressableQueryUpdate, DatabaseUpdate, Format, Json, NoFlags,
    OneOffTable, ProcedureStatus, QueryUpdate, ReducerCallInfo, ServerMessage, SubscribeRows,
    TableUpdate, TransactionUpdate, UpdateStatus,
};

/// What differs between the forms.
trait Any: Format + 'static {
    fn value() -> BoxedStrategy<Self::Value>;
    fn rows() -> BoxedStrategy<Self::Rows>;
    fn change() -> BoxedStrategy<Self::Update>;
}

impl Any for Bsatn {
    fn value() -> BoxedStrategy<Self::Value> {
        some_bytes().boxed()
    }

    fn rows() -> BoxedStrategy<Self::Rows> {
        some_rows().boxed()
    }

    fn change() -> BoxedStrategy<Self::Update> {
        prop_oneof![
            plain_change().prop_map(CompressableQueryUpdate::Uncompressed),
            some_bytes().prop_map(CompressableQueryUpdate::Brotli),
            some_bytes().prop_map(CompressableQueryUpdate::Gzip),
        ]
        .boxed()
    }
}

impl Any for Json {
    fn value() -> BoxedStrategy<Self::Value> {
        a_name().boxed()
    }

    fn rows() -> BoxedStrategy<Self::Rows> {
        vec(a_name(), 0..3).boxed()
    }

    fn change() -> BoxedStrategy<Self::Update> {
        plain_change().boxed()
    }
}

fn plain_change<F: Any>() -> impl Strategy<Value = QueryUpdate<F>> {
    (F::rows(), F::rows()).prop_map(|(deletes, inserts)| QueryUpdate { deletes, inserts })
}

fn table<F: Any>() -> impl Strategy<Value = TableUpdate<F>> {
    let updates = vec(F::change(), 0..3);
    (any::<u32>(), a_name(), any::<u64>(), updates).prop_map(
        |(table_id, table_name, num_rows, updates)| TableUpdate {
            table_id,
            table_name,
            num_rows,
            updates,
        },
    )
}

fn update<F: Any>() -> impl Strategy<Value = DatabaseUpdate<F>> {
    vec(table(), 0..3).prop_map(|tables| DatabaseUpdate { tables })
}

fn client<F: Any>() -> impl Strategy<Value = ClientMessage<F>> {
    use ClientMessage as Message;
    prop_oneof![
        (a_text(), F::value(), any::<(u32, bool)>()).prop_map(
            |(reducer, args, (request_id, no_success_notify))| Message::CallReducer {
                reducer,
                args,
                request_id,
                no_success_notify,
            }
        ),
        (vec(a_text(), 0..3), any::<u32>()).prop_map(|(query_strings, request_id)| {
            Message::Subscribe {
                query_strings,
                request_id,
            }
        }),
        (some_bytes(), a_text()).prop_map(|(message_id, query_string)| Message::OneOffQuery {
            message_id,
            query_string,
        }),
        (a_text(), any::<(u32, u32)>()).prop_map(|(query, (request_id, query_id))| {
            Message::SubscribeSingle {
                query,
                request_id,
                query_id,
            }
        }),
        (vec(a_text(), 0..3), any::<(u32, u32)>()).prop_map(
            |(query_strings, (request_id, query_id))| Message::SubscribeMulti {
                query_strings,
                request_id,
                query_id,
            }
        ),
        any::<(u32, u32)>().prop_map(|(request_id, query_id)| Message::Unsubscribe {
            request_id,
            query_id,
        }),
        any::<(u32, u32)>().prop_map(|(request_id, query_id)| Message::UnsubscribeMulti {
            request_id,
            query_id,
        }),
        (a_text(), F::value(), any::<u32>()).prop_map(|(procedure, args, request_id)| {
            Message::CallProcedure {
                procedure,
                args,
                request_id,
                flags: NoFlags,
            }
        }),
    ]
}

fn transaction<F: Any>() -> impl Strategy<Value = TransactionUpdate<F>> {
    let status = prop_oneof![
        update().prop_map(UpdateStatus::Committed),
        a_text().prop_map(UpdateStatus::Failed),
        Just(UpdateStatus::OutOfEnergy),
    ];
    let call = (a_name(), any::<u32>(), F::value(), any::<u32>()).prop_map(
        |(reducer_name, reducer_id, args, request_id)| ReducerCallInfo {
            reducer_name,
            reducer_id,
            args,
            request_id,
        },
    );
    let caller = any::<([u8; 32], [u8; 16])>();
    (status, any::<(i64, i64, u128)>(), caller, call).prop_map(
        |(status, (timestamp, duration, energy), (identity, connection), reducer_call)| {
            TransactionUpdate {
                status,
                timestamp,
                caller_identity: identity,
                caller_connection_id: connection,
                reducer_call,
                energy_quanta_used: energy,
                total_host_execution_duration: duration,
            }
        },
    )
}

/// What answers subscriptions.
fn subscription<F: Any>() -> impl Strategy<Value = ServerMessage<F>> {
    use ServerMessage as Message;
    let rows = || {
        (any::<u32>(), a_name(), table()).prop_map(|(table_id, table_name, table_rows)| {
            SubscribeRows {
                table_id,
                table_name,
                table_rows,
            }
        })
    };
    let ids = any::<(u32, u64, u32)>;
    prop_oneof![
        (ids(), rows()).prop_map(|((request_id, micros, query_id), rows)| {
            Message::SubscribeApplied {
                request_id,
                total_host_execution_duration_micros: micros,
                query_id,
                rows,
            }
        }),
        (ids(), rows()).prop_map(|((request_id, micros, query_id), rows)| {
            Message::UnsubscribeApplied {
                request_id,
                total_host_execution_duration_micros: micros,
                query_id,
                rows,
            }
        }),
        (
            any::<(u64, Option<u32>, Option<u32>, Option<u32>)>(),
            a_text()
        )
            .prop_map(|((micros, request_id, query_id, table_id), error)| {
                Message::SubscriptionError {
                    total_host_execution_duration_micros: micros,
                    request_id,
                    query_id,
                    table_id,
                    error,
                }
            }),
        (ids(), update()).prop_map(|((request_id, micros, query_id), update)| {
            Message::SubscribeMultiApplied {
                request_id,
                total_host_execution_duration_micros: micros,
                query_id,
                update,
            }
        }),
        (ids(), update()).prop_map(|((request_id, micros, query_id), update)| {
            Message::UnsubscribeMultiApplied {
                request_id,
                total_host_execution_duration_micros: micros,
                query_id,
                update,
            }
        }),
    ]
}

fn server<F: Any>() -> impl Strategy<Value = ServerMessage<F>> {
    use ServerMessage as Message;
    let status = prop_oneof![
        F::value().prop_map(ProcedureStatus::Returned),
        Just(ProcedureStatus::OutOfEnergy),
        a_text().prop_map(ProcedureStatus::InternalError),
    ];
    let one_off =
        (a_name(), F::rows()).prop_map(|(table_name, rows)| OneOffTable { table_name, rows });
    prop_oneof![
        (update(), any::<(u32, i64)>()).prop_map(|(database_update, (request_id, duration))| {
            Message::InitialSubscription {
                database_update,
                request_id,
                total_host_execution_duration: duration,
            }
        }),
        transaction().prop_map(Message::TransactionUpdate),
        (any::<u32>(), update()).prop_map(|(request_id, update)| Message::TransactionUpdateLight {
            request_id,
            update
        }),
        (any::<([u8; 32], [u8; 16])>(), a_text()).prop_map(|((identity, connection_id), token)| {
            Message::IdentityToken {
                identity,
                token,
                connection_id,
            }
        }),
        (
            some_bytes(),
            option::of(a_text()),
            vec(one_off, 0..3),
            any::<i64>()
        )
            .prop_map(|(message_id, error, tables, duration)| {
                Message::OneOffQueryResponse {
                    message_id,
                    error,
                    tables,
                    total_host_execution_duration: duration,
                }
            }),
        subscription(),
        (status, any::<(i64, i64, u32)>()).prop_map(
            |(status, (timestamp, duration, request_id))| {
                Message::ProcedureResult {
                    status,
                    timestamp,
                    total_host_execution_duration: duration,
                    request_id,
                }
            }
        ),
    ]
}

proptest! {
    #[test]
    fn bytes_of_clients(message in client::<Bsatn>()) {
        prop_assert_eq!(ClientMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn bytes_of_peers(message in server::<Bsatn>()) {
        prop_assert_eq!(ServerMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn texts_of_clients(message in client::<Json>()) {
        prop_assert_eq!(ClientMessage::from_text(&message.to_text()), Ok(message));
    }

    #[test]
    fn texts_of_peers(message in server::<Json>()) {
        prop_assert_eq!(ServerMessage::from_text(&message.to_text()), Ok(message));
    }

    /// Few random bytes are a message, so most are a message with some bytes changed.
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), ours in client::<Bsatn>(), theirs in server::<Bsatn>()) {
        let (mut ours, mut theirs) = (ours.encode(), theirs.encode());
        change(&mut ours, at, &bytes);
        change(&mut theirs, at, &bytes);
        for frame in [&bytes, &ours, &theirs] {
            // A message has one spelling: what is read is written as it stood there.
            if let Ok(message) = ClientMessage::decode(frame) {
                prop_assert_eq!(&message.encode(), frame);
            }
            if let Ok(message) = ServerMessage::decode(frame) {
                prop_assert_eq!(&message.encode(), frame);
            }
        }
    }

    #[test]
    fn any_text(bytes in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), ours in client::<Json>(), theirs in server::<Json>()) {
        let (mut ours, mut theirs) = (ours.to_text().into_bytes(), theirs.to_text().into_bytes());
        change(&mut ours, at, &bytes);
        change(&mut theirs, at, &bytes);
        for text in [&bytes, &ours, &theirs] {
            let text = String::from_utf8_lossy(text);
            if let Ok(message) = ClientMessage::from_text(&text) {
                prop_assert_eq!(ClientMessage::from_text(&message.to_text()), Ok(message));
            }
            if let Ok(message) = ServerMessage::from_text(&text) {
                prop_assert_eq!(ServerMessage::from_text(&message.to_text()), Ok(message));
            }
        }
    }
}

#[test]
fn lengths_that_exceed_the_frame_allocate_nothing() {
    let most = u32::MAX.to_le_bytes();
    for tag in 0..5 {
        let refused = ClientMessage::decode(&[&[tag], &most[..], &[0; 20]].concat());
        assert_eq!(refused, Err(Malformed::CutShort));
    }
    let tables = ServerMessage::decode(&[&[0], &most[..], &[0; 20]].concat());
    assert_eq!(tables, Err(Malformed::CutShort));
}

#[test]
fn a_message_holds_so_many_queries() {
    fn subscribe<F: Format>(queries: usize) -> ClientMessage<F> {
        ClientMessage::Subscribe {
            query_strings: vec![String::new(); queries],
            request_id: 1,
        }
    }
    let max = QUERIES_PER_FRAME_MAX;
    let what = "query strings";
    let bytes = |queries| ClientMessage::decode(&subscribe(queries).encode());
    assert!(bytes(max).is_ok());
    assert_eq!(bytes(max + 1), Err(Malformed::TooMany { what, max }));
    let text = |queries| ClientMessage::from_text(&subscribe(queries).to_text());
    assert!(text(max).is_ok());
    assert!(matches!(text(max + 1), Err(Malformed::NotAMessage { .. })));
}

#[test]
fn what_is_said_of_a_text_is_short() {
    let long = format!("{{\"{}\":1}}", "ü".repeat(10_000));
    let refused = ClientMessage::from_text(&long).expect_err("no such message");
    let Malformed::NotAMessage { reason } = refused else {
        panic!("{refused}");
    };
    assert!(reason.starts_with("unknown variant"), "{reason}");
    assert!((REASON_BYTES_MAX - 1..=REASON_BYTES_MAX).contains(&reason.len()));
    // Nor does it take the stack along.
    let deep = "[".repeat(1_000_000);
    assert!(ClientMessage::from_text(&deep).is_err());
    let skipped = format!("{{\"Subscribe\":{{\"x\":{deep}");
    assert!(ClientMessage::from_text(&skipped).is_err());
}
