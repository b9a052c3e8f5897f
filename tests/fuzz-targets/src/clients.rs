//! What SpacetimeDB's clients and a peer say to each other. Bytes that are taken have one spelling,
//! texts that are taken mean what is made of them.

use client_messages::compression::{Compression, frame, open_frame};
use client_messages::limits::{MESSAGES_PER_FRAME_MAX, UNCOMPRESSED_BYTES_MAX};
use client_messages::v1::{
    self, Bsatn, CompressableQueryUpdate, DatabaseUpdate, ServerMessage, UpdateStatus,
};
use client_messages::v2::{self, Version};
use client_messages::{BsatnRowList, Malformed};

/// Bytes of an inflated payload that the reader accepts.
const INFLATED_BYTES_MAX: usize = 1_000_000;

/// A frame of a client of v2 or v3, or the payload or the whole of one of a peer.
pub(crate) fn client_v2(bytes: &[u8]) {
    let many = v2::decode_client_frame(Version::V3, bytes);
    if let Ok(messages) = &many {
        assert!((1..=MESSAGES_PER_FRAME_MAX).contains(&messages.len()));
        assert_eq!(v2::encode_client_frame(messages), bytes);
    }
    let one = v2::decode_client_frame(Version::V2, bytes);
    match &many {
        Ok(messages) => assert_eq!(one.is_ok(), messages.len() == 1),
        Err(_) => assert!(one.is_err(), "a frame of v2 is one of v3"),
    }
    server_payload(bytes);
    if let Some(payload) = opened(bytes) {
        server_payload(&payload);
    }
}

fn server_payload(payload: &[u8]) {
    let Ok(messages) = v2::decode_server_frame(Version::V3, payload) else {
        return;
    };
    let frame = v2::encode_server_frame(Compression::None, &messages);
    assert_eq!(frame[1..], *payload, "a message has one spelling");
    for message in &messages {
        let v2::ServerMessage::TransactionUpdate(update) = message else {
            continue;
        };
        let tables = update.query_sets.iter().flat_map(|set| &set.tables);
        for rows in tables.flat_map(|table| &table.rows) {
            match rows {
                v2::TableUpdateRows::Persistent { inserts, deletes } => {
                    divides(inserts);
                    divides(deletes);
                }
                v2::TableUpdateRows::Event { events } => divides(events),
            }
        }
    }
}

/// The rows of a list are its data, and a list of these rows has the same ones.
fn divides(list: &BsatnRowList) {
    let rows: Vec<&[u8]> = list.iter().collect();
    assert_eq!(rows.len(), list.len());
    assert_eq!(rows.concat(), **list.rows_data());
    let again: BsatnRowList = rows.iter().collect();
    assert!(again.iter().eq(list.iter()), "the same rows");
}

/// The payload of a frame, if it is one; and that it can be framed again.
fn opened(bytes: &[u8]) -> Option<Vec<u8>> {
    let payload = open_frame(bytes, INFLATED_BYTES_MAX).ok()?;
    assert!(payload.len() <= INFLATED_BYTES_MAX);
    for compression in [Compression::None, Compression::Gzip, Compression::Brotli] {
        let again = frame(compression, &payload);
        assert!(again.len() <= payload.len() + 1);
        assert!(again[0] == 0 || payload.len() > UNCOMPRESSED_BYTES_MAX);
        assert_eq!(open_frame(&again, payload.len()).as_deref(), Ok(&*payload));
    }
    Some(payload.into_owned())
}

/// A frame of a client of v1, or the payload or the whole of one of a peer.
pub(crate) fn client_v1(bytes: &[u8]) {
    if let Ok(message) = v1::ClientMessage::decode(bytes) {
        assert_eq!(message.encode(), bytes, "a message has one spelling");
    }
    server_payload_v1(bytes);
    if let Ok(payload) = open_frame(bytes, INFLATED_BYTES_MAX) {
        server_payload_v1(&payload);
    }
}

fn server_payload_v1(payload: &[u8]) {
    let Ok(message) = ServerMessage::decode(payload) else {
        return;
    };
    assert_eq!(message.encode(), payload, "a message has one spelling");
    match &message {
        ServerMessage::InitialSubscription {
            database_update: update,
            ..
        }
        | ServerMessage::TransactionUpdateLight { update, .. }
        | ServerMessage::SubscribeMultiApplied { update, .. }
        | ServerMessage::UnsubscribeMultiApplied { update, .. } => updates(update),
        ServerMessage::TransactionUpdate(transaction) => {
            if let UpdateStatus::Committed(update) = &transaction.status {
                updates(update);
            }
        }
        _ => {}
    }
}

/// What can be opened can be compressed again, and is the same then.
fn updates(update: &DatabaseUpdate<Bsatn>) {
    for packed in update.tables.iter().flat_map(|table| &table.updates) {
        let plain = match packed.open(INFLATED_BYTES_MAX) {
            Ok(plain) => plain,
            Err(Malformed::TooLong { max }) => {
                assert_eq!(max, INFLATED_BYTES_MAX);
                continue;
            }
            Err(_) => continue,
        };
        divides(&plain.deletes);
        divides(&plain.inserts);
        for compression in [Compression::Gzip, Compression::Brotli] {
            let again = CompressableQueryUpdate::compress(compression, plain.clone());
            assert_eq!(again.open(INFLATED_BYTES_MAX).as_ref(), Ok(&plain));
        }
    }
}

/// A text of a client or a peer of v1.
pub(crate) fn client_v1_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(message) = v1::ClientMessage::from_text(text) {
        let again = v1::ClientMessage::from_text(&message.to_text());
        assert_eq!(again, Ok(message), "what is written means the message");
    }
    if let Ok(message) = v1::ServerMessage::from_text(text) {
        let again = v1::ServerMessage::from_text(&message.to_text());
        assert_eq!(again, Ok(message), "what is written means the message");
    }
}
