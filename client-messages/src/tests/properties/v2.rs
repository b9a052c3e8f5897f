//! Of protocols v2 and v3.

use proptest::prelude::*;

use super::{a_name, a_text, change, some_bytes, some_rows};
use crate::Malformed;
use crate::limits::{MESSAGES_PER_FRAME_MAX, QUERIES_PER_FRAME_MAX};
use crate::v2::{self, Version};

fn client() -> impl Strategy<Value = v2::ClientMessage> {
    use v2::ClientMessage as Message;
    let texts = prop::collection::vec(a_text(), 0..4);
    prop_oneof![
        (any::<u32>(), any::<u32>(), texts).prop_map(
            |(request_id, query_set_id, query_strings)| {
                Message::Subscribe {
                    request_id,
                    query_set_id,
                    query_strings,
                }
            }
        ),
        any::<(u32, u32, bool)>().prop_map(|(request_id, query_set_id, send_dropped_rows)| {
            Message::Unsubscribe {
                request_id,
                query_set_id,
                send_dropped_rows,
            }
        }),
        (any::<u32>(), a_text()).prop_map(|(request_id, query_string)| Message::OneOffQuery {
            request_id,
            query_string
        }),
        (any::<u32>(), a_text(), some_bytes()).prop_map(|(request_id, reducer, args)| {
            Message::CallReducer {
                request_id,
                reducer,
                args,
            }
        }),
        (any::<u32>(), a_text(), some_bytes()).prop_map(|(request_id, procedure, args)| {
            Message::CallProcedure {
                request_id,
                procedure,
                args,
            }
        }),
    ]
}

fn query_rows() -> impl Strategy<Value = v2::QueryRows> {
    let table =
        (a_name(), some_rows()).prop_map(|(table, rows)| v2::SingleTableRows { table, rows });
    prop::collection::vec(table, 0..3).prop_map(|tables| v2::QueryRows { tables })
}

fn transaction_update() -> impl Strategy<Value = v2::TransactionUpdate> {
    let rows = prop_oneof![
        (some_rows(), some_rows())
            .prop_map(|(inserts, deletes)| v2::TableUpdateRows::Persistent { inserts, deletes }),
        some_rows().prop_map(|events| v2::TableUpdateRows::Event { events }),
    ];
    let table = (a_name(), prop::collection::vec(rows, 0..3))
        .prop_map(|(table_name, rows)| v2::TableUpdate { table_name, rows });
    let set =
        (any::<u32>(), prop::collection::vec(table, 0..3)).prop_map(|(query_set_id, tables)| {
            v2::QuerySetUpdate {
                query_set_id,
                tables,
            }
        });
    prop::collection::vec(set, 0..3).prop_map(|query_sets| v2::TransactionUpdate { query_sets })
}

fn outcome() -> impl Strategy<Value = v2::ReducerOutcome> {
    prop_oneof![
        (some_bytes(), transaction_update()).prop_map(|(ret_value, transaction_update)| {
            v2::ReducerOutcome::Ok {
                ret_value,
                transaction_update,
            }
        }),
        Just(v2::ReducerOutcome::OkEmpty),
        some_bytes().prop_map(v2::ReducerOutcome::Err),
        a_text().prop_map(v2::ReducerOutcome::InternalError),
    ]
}

fn server() -> impl Strategy<Value = v2::ServerMessage> {
    use v2::ServerMessage as Message;
    let status = prop_oneof![
        some_bytes().prop_map(v2::ProcedureStatus::Returned),
        a_text().prop_map(v2::ProcedureStatus::InternalError),
    ];
    let result = prop_oneof![query_rows().prop_map(Ok), a_text().prop_map(Err)];
    prop_oneof![
        (any::<[u8; 32]>(), any::<[u8; 16]>(), a_text()).prop_map(
            |(identity, connection_id, token)| Message::InitialConnection {
                identity,
                connection_id,
                token
            }
        ),
        (any::<u32>(), any::<u32>(), query_rows()).prop_map(|(request_id, query_set_id, rows)| {
            Message::SubscribeApplied {
                request_id,
                query_set_id,
                rows,
            }
        }),
        (any::<u32>(), any::<u32>(), prop::option::of(query_rows())).prop_map(
            |(request_id, query_set_id, rows)| Message::UnsubscribeApplied {
                request_id,
                query_set_id,
                rows
            }
        ),
        (any::<Option<u32>>(), any::<u32>(), a_text()).prop_map(
            |(request_id, query_set_id, error)| Message::SubscriptionError {
                request_id,
                query_set_id,
                error
            }
        ),
        transaction_update().prop_map(Message::TransactionUpdate),
        (any::<u32>(), result)
            .prop_map(|(request_id, result)| Message::OneOffQueryResult { request_id, result }),
        (any::<u32>(), any::<i64>(), outcome()).prop_map(|(request_id, timestamp, result)| {
            Message::ReducerResult {
                request_id,
                timestamp,
                result,
            }
        }),
        (status, any::<i64>(), any::<i64>(), any::<u32>()).prop_map(
            |(status, timestamp, duration, request_id)| Message::ProcedureResult {
                status,
                timestamp,
                duration,
                request_id
            }
        ),
    ]
}

proptest! {
    #[test]
    fn frames_of_clients(messages in prop::collection::vec(client(), 1..5)) {
        let frame = v2::encode_client_frame(&messages);
        prop_assert_eq!(v2::decode_client_frame(Version::V3, &frame), Ok(messages));
    }

    #[test]
    fn frames_of_peers(messages in prop::collection::vec(server(), 1..5)) {
        let frame: Vec<u8> = messages.iter().flat_map(v2::ServerMessage::encode).collect();
        prop_assert_eq!(v2::decode_server_frame(Version::V3, &frame), Ok(messages));
    }

    /// Few random bytes are a message, so most are the golden ones with some bytes changed.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), message in server()) {
        let mut near = message.encode();
        change(&mut near, at, &bytes);
        for frame in [&bytes, &near] {
            // A message has one spelling: what is read is written as it stood there.
            if let Ok(messages) = v2::decode_client_frame(Version::V3, frame) {
                prop_assert_eq!(&v2::encode_client_frame(&messages), frame);
            }
            if let Ok(messages) = v2::decode_server_frame(Version::V3, frame) {
                let again: Vec<u8> = messages.iter().flat_map(v2::ServerMessage::encode).collect();
                prop_assert_eq!(&again, frame);
            }
        }
    }
}

#[test]
fn lengths_that_exceed_the_frame_allocate_nothing() {
    let most = u32::MAX.to_le_bytes();
    // A list of query strings, a query string, the arguments of a call, a list of tables.
    let frames = [
        [&[0; 9], &most[..]].concat(),
        [&[2, 0, 0, 0, 0], &most[..]].concat(),
        [&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0], &most[..]].concat(),
    ];
    for frame in frames {
        let refused = v2::decode_client_frame(Version::V2, &frame);
        assert_eq!(refused, Err(Malformed::CutShort));
    }
    let tables = [&[4], &most[..], &[0; 20]].concat();
    let refused = v2::decode_server_frame(Version::V2, &tables);
    assert_eq!(refused, Err(Malformed::CutShort));
}

#[test]
fn a_frame_holds_so_many_messages_and_queries() {
    let message = v2::ClientMessage::OneOffQuery {
        request_id: 1,
        query_string: String::new(),
    };
    let mut messages = vec![message.clone(); MESSAGES_PER_FRAME_MAX];
    let frame = v2::encode_client_frame(&messages);
    let read = v2::decode_client_frame(Version::V3, &frame).expect("as many as may be");
    assert_eq!(read.len(), MESSAGES_PER_FRAME_MAX);
    messages.push(message);
    let refused = v2::decode_client_frame(Version::V3, &v2::encode_client_frame(&messages));
    let max = MESSAGES_PER_FRAME_MAX;
    let what = "messages";
    assert_eq!(refused, Err(Malformed::TooMany { what, max }));

    let subscribe = |queries| v2::ClientMessage::Subscribe {
        request_id: 1,
        query_set_id: 2,
        query_strings: vec![String::new(); queries],
    };
    let half = QUERIES_PER_FRAME_MAX / 2;
    let fits = v2::encode_client_frame(&[subscribe(half), subscribe(half)]);
    assert!(v2::decode_client_frame(Version::V3, &fits).is_ok());
    let exceeds = v2::encode_client_frame(&[subscribe(half), subscribe(half + 1)]);
    let max = QUERIES_PER_FRAME_MAX;
    let what = "query strings";
    assert_eq!(
        v2::decode_client_frame(Version::V3, &exceeds),
        Err(Malformed::TooMany { what, max })
    );
}

#[test]
fn unknown_numbers_are_named() {
    let read = |frame: &[u8]| v2::decode_client_frame(Version::V2, frame);
    let unknown = |what, tag| Err(Malformed::UnknownTag { what, tag });
    assert_eq!(read(&[5]), unknown("a client's message", 5));
    assert_eq!(read(&[3, 0, 0, 0, 0, 1]), unknown("flags of a call", 1));
    assert_eq!(read(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 2]), unknown("flags", 2));
    let not_text = [2, 0, 0, 0, 0, 1, 0, 0, 0, 0xFF];
    assert_eq!(read(&not_text), Err(Malformed::NotUtf8));
}
