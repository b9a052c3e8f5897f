//! The text form against the libraries that define it, and other spellings that are read.

use bytes::Bytes;
use serde::de::IgnoredAny;
use spacetimedb_lib::de::serde::DeserializeWrapper;
use spacetimedb_lib::ser::serde::SerializeWrapper;
use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};

use super::samples;
use crate::Malformed;
use crate::v1::{ClientMessage, Json, ProcedureStatus, ServerMessage};

fn theirs<T: spacetimedb_lib::ser::Serialize>(value: &T) -> String {
    serde_json::to_string(SerializeWrapper::from_ref(value)).expect("it serializes")
}

/// An identity that is no palindrome, with zeros at its end, and numbers that exceed a double.
#[test]
fn identities_and_times_are_written_as_the_library_does() {
    let ends: [u8; 3] = [0xC2, 0x01, 0x00];
    for last in ends {
        let mut identity = [0x5A; 32];
        identity[0] = 1;
        identity[31] = last;
        let mut connection_id = [0xA5; 16];
        connection_id[0] = 1;
        connection_id[15] = last;
        let message: ServerMessage<Json> = ServerMessage::IdentityToken {
            identity,
            token: String::new(),
            connection_id,
        };
        let expected = format!(
            r#"{{"IdentityToken":{{"identity":{},"token":"","connection_id":{}}}}}"#,
            theirs(&Identity::from_byte_array(identity)),
            theirs(&ConnectionId::from_le_byte_array(connection_id)),
        );
        assert_eq!(message.to_text(), expected);
        assert_eq!(ServerMessage::from_text(&expected), Ok(message));
    }
    for time in [0, -1, i64::MIN, i64::MAX] {
        let message: ServerMessage<Json> = ServerMessage::ProcedureResult {
            status: ProcedureStatus::OutOfEnergy,
            timestamp: time,
            total_host_execution_duration: time,
            request_id: 1,
        };
        let expected = format!(
            r#"{{"ProcedureResult":{{"status":{{"OutOfEnergy":[]}},"timestamp":{},"total_host_execution_duration":{},"request_id":1}}}}"#,
            theirs(&Timestamp::from_micros_since_unix_epoch(time)),
            theirs(&TimeDuration::from_micros(time)),
        );
        assert_eq!(message.to_text(), expected);
        assert_eq!(ServerMessage::from_text(&expected), Ok(message));
    }
}

#[test]
fn options_and_bytes_are_written_as_the_library_does() {
    for error in [None, Some("a \"b\"".to_owned())] {
        let message_id: Vec<u8> = vec![0, 10, 255];
        let message: ServerMessage<Json> = ServerMessage::OneOffQueryResponse {
            message_id: Bytes::copy_from_slice(&message_id),
            error: error.clone(),
            tables: vec![],
            total_host_execution_duration: 0,
        };
        let expected = format!(
            r#"{{"OneOffQueryResponse":{{"message_id":{},"error":{},"tables":[],"total_host_execution_duration":{}}}}}"#,
            theirs(&message_id),
            theirs(&error),
            theirs(&TimeDuration::from_micros(0)),
        );
        assert_eq!(message.to_text(), expected);
    }
}

/// What the library reads as bytes, and we too.
#[test]
fn bytes_may_be_an_array_of_numbers() {
    for spelling in ["\"00FF10\"", "\"00ff10\"", "[0,255,16]"] {
        let DeserializeWrapper(theirs): DeserializeWrapper<Vec<u8>> =
            serde_json::from_str(spelling).expect("the library reads it");
        let text = format!(r#"{{"OneOffQuery":{{"message_id":{spelling},"query_string":"q"}}}}"#);
        let ours = ClientMessage::from_text(&text);
        let query_string = "q".to_owned();
        let message_id = theirs.into();
        assert_eq!(
            ours,
            Ok(ClientMessage::OneOffQuery {
                message_id,
                query_string
            })
        );
    }
    for spelling in ["\"0\"", "\"0x00\"", "[256]", "[-1]", "1", "null"] {
        let text = format!(r#"{{"OneOffQuery":{{"message_id":{spelling},"query_string":"q"}}}}"#);
        assert!(ClientMessage::from_text(&text).is_err(), "{spelling}");
        assert!(serde_json::from_str::<DeserializeWrapper<Vec<u8>>>(spelling).is_err());
    }
}

#[test]
fn structs_may_be_arrays_and_hold_what_nobody_knows() {
    let expected = ClientMessage::Unsubscribe {
        request_id: 1,
        query_id: 2,
    };
    for text in [
        r#"{"Unsubscribe":{"request_id":1,"query_id":{"id":2}}}"#,
        r#"{"Unsubscribe":{"query_id":[2],"request_id":1}}"#,
        r#"{"Unsubscribe":[1,[2]]}"#,
        r#" { "Unsubscribe" : { "x": [[{}]], "request_id":1, "query_id":{"id":2, "y":null} } } "#,
    ] {
        assert_eq!(ClientMessage::from_text(text).as_ref(), Ok(&expected));
    }
    for text in [
        r#"{"Unsubscribe":{"request_id":1}}"#,
        r#"{"Unsubscribe":{"request_id":1,"request_id":1,"query_id":{"id":2}}}"#,
        r#"{"Unsubscribe":{"request_id":-1,"query_id":{"id":2}}}"#,
        r#"{"Unsubscribe":{"request_id":4294967296,"query_id":{"id":2}}}"#,
        r#"{"Unsubscribe":{"request_id":1,"query_id":2}}"#,
        r#"{"Unsubscribe":[1,[2]],"UnsubscribeMulti":[1,[2]]}"#,
        r#"{"CallReducer":{"reducer":"r","args":"[]","request_id":1,"flags":2}}"#,
        r#"{"CallReducer":{"reducer":"r","args":[],"request_id":1,"flags":0}}"#,
        r#"{"CallProcedure":{"procedure":"p","args":"[]","request_id":1,"flags":1}}"#,
        r#"{"Nothing":{}}"#,
        "\"Unsubscribe\"",
        "{}",
        "",
    ] {
        let refused = ClientMessage::from_text(text);
        assert!(
            matches!(refused, Err(Malformed::NotAMessage { .. })),
            "{text}: {refused:?}"
        );
    }
}

/// Whatever a peer writes is JSON for others too.
#[test]
fn texts_are_json() {
    for (name, message) in samples::v1::server::<Json>() {
        let read = serde_json::from_str::<IgnoredAny>(&message.to_text());
        assert!(read.is_ok(), "{name}");
    }
}
