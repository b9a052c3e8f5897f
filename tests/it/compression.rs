//! Frames and updates that a peer compresses, opened by a decoder: Brotli above all, which the
//! libraries that run in Node cannot read.

use client_messages::BsatnRowList;
use client_messages::compression::open_frame;
use client_messages::v1::{
    self, Bsatn, CompressableQueryUpdate, ServerMessage as V1Message, UpdateStatus,
};
use client_messages::v2::{self, ClientMessage, ServerMessage, TableUpdateRows, Version};
use serde_json::json;
use tungstenite::Message;

use crate::client::Called;
use crate::harness::{Peer, turn};
use crate::sockets::{Handshake, Socket};

const NONE: u8 = 0;
const BROTLI: u8 = 1;
const GZIP: u8 = 2;

/// Bytes that a frame may have when it is opened.
const BYTES_MAX: usize = 64 << 20;

/// Rows that are compressed.
const ACCOUNTS: u32 = 3_000;

/// Numbers and balances of accounts, in order.
fn accounts<'a>(lists: impl IntoIterator<Item = &'a BsatnRowList>) -> Vec<(u32, i64)> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
    let balance = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let rows = lists.into_iter().flatten();
    let mut rows: Vec<_> = rows
        .map(|row| (number(&row[..4]), balance(&row[4..])))
        .collect();
    rows.sort_unstable();
    rows
}

fn opened(from: u32, to: u32) -> Vec<(u32, i64)> {
    (from..to).map(|id| (id, 1_000)).collect()
}

#[test]
fn whole_frames_of_v2_and_v3() {
    let _turn = turn();
    let peer = Peer::start("a");
    for (options, tag) in [
        ("", BROTLI),
        ("compression=Brotli", BROTLI),
        ("compression=Gzip", GZIP),
        ("compression=None", NONE),
    ] {
        for version in [Version::V2, Version::V3] {
            let name = format!("chat-{tag}-{}-{}", options.len(), version.subprotocol());
            let database = peer.publish(&name.replace('.', "-"), "chat");
            let handshake = Handshake {
                database: &database,
                protocol: Some(version.subprotocol()),
                options,
                token: None,
            };
            let mut socket = handshake.open(&peer).expect("it is let in");
            let next = |socket: &mut Socket, tag: u8| {
                let frame = socket.next().expect("the connection is open");
                assert_eq!(frame[0], tag, "{options} {version:?}");
                let payload = open_frame(&frame, BYTES_MAX).expect("it can be opened");
                let read = v2::decode_server_frame(version, &payload);
                read.expect("it is of this version").remove(0)
            };
            // What is short stays as it is.
            next(&mut socket, NONE);
            let call = |count: u32| ClientMessage::CallReducer {
                request_id: 1,
                reducer: "open_accounts".to_owned(),
                args: count.to_le_bytes().to_vec().into(),
            };
            socket.ask(&call(ACCOUNTS));
            next(&mut socket, NONE);
            socket.ask(&ClientMessage::Subscribe {
                request_id: 2,
                query_set_id: 1,
                query_strings: vec!["SELECT * FROM account".to_owned()],
            });
            match next(&mut socket, tag) {
                ServerMessage::SubscribeApplied { rows, .. } => {
                    let rows = rows.tables.iter().map(|table| &table.rows);
                    assert_eq!(accounts(rows), opened(0, ACCOUNTS));
                }
                other => panic!("expected rows, got {other:?}"),
            }
            let made = peer.call(&database, "open_accounts", &json!([2 * ACCOUNTS]));
            assert_eq!(made, Called::Ok);
            match next(&mut socket, tag) {
                ServerMessage::TransactionUpdate(update) => {
                    let tables = update.query_sets.iter().flat_map(|set| &set.tables);
                    let rows: Vec<_> = tables.flat_map(|table| &table.rows).collect();
                    let rows = rows.iter().map(|rows| match rows {
                        TableUpdateRows::Persistent { inserts, .. } => inserts,
                        TableUpdateRows::Event { events } => panic!("{events:?}"),
                    });
                    assert_eq!(accounts(rows), opened(ACCOUNTS, 2 * ACCOUNTS));
                }
                other => panic!("expected an update, got {other:?}"),
            }
        }
    }
}

/// Rows of an update that came, and how the update was compressed.
fn came(update: &v1::DatabaseUpdate<Bsatn>) -> (Vec<(u32, i64)>, Vec<u8>) {
    let mut lists = Vec::new();
    let mut tags = Vec::new();
    for update in update.tables.iter().flat_map(|table| &table.updates) {
        tags.push(match update {
            CompressableQueryUpdate::Uncompressed(_) => NONE,
            CompressableQueryUpdate::Brotli(_) => BROTLI,
            CompressableQueryUpdate::Gzip(_) => GZIP,
        });
        lists.push(update.open(BYTES_MAX).expect("it can be opened").inserts);
    }
    (accounts(&lists), tags)
}

#[test]
fn single_updates_of_v1() {
    let _turn = turn();
    let peer = Peer::start("a");
    for (options, tag) in [
        ("", BROTLI),
        ("compression=Brotli", BROTLI),
        ("compression=Gzip", GZIP),
        ("compression=None", NONE),
    ] {
        let database = peer.publish(&format!("chat-{tag}-{}", options.len()), "chat");
        let handshake = Handshake {
            database: &database,
            protocol: Some(v1::SUBPROTOCOL_BSATN),
            options,
            token: None,
        };
        let mut socket = handshake.open(&peer).expect("it is let in");
        // Frames are whole, so that they stay in order where they are opened side by side.
        let next = |socket: &mut Socket, frame_tag: u8| {
            let frame = socket.next().expect("the connection is open");
            assert_eq!(frame[0], frame_tag, "{options}");
            let payload = open_frame(&frame, BYTES_MAX).expect("it can be opened");
            V1Message::<Bsatn>::decode(&payload).expect("it is of v1")
        };
        let ask = |socket: &mut Socket, message: v1::ClientMessage<Bsatn>| {
            let sent = socket.send(Message::binary(message.encode()));
            sent.expect("the peer takes a message");
        };
        next(&mut socket, NONE);
        let all = "SELECT * FROM account".to_owned();
        let subscribe = v1::ClientMessage::SubscribeMulti {
            query_strings: vec![all.clone()],
            request_id: 1,
            query_id: 1,
        };
        ask(&mut socket, subscribe);
        match next(&mut socket, NONE) {
            V1Message::SubscribeMultiApplied { update, .. } => {
                assert_eq!(came(&update), (Vec::new(), vec![NONE]));
            }
            other => panic!("expected rows, got {other:?}"),
        }
        let call = v1::ClientMessage::CallReducer {
            reducer: "open_accounts".to_owned(),
            args: ACCOUNTS.to_le_bytes().to_vec().into(),
            request_id: 2,
            no_success_notify: false,
        };
        ask(&mut socket, call);
        match next(&mut socket, NONE) {
            V1Message::TransactionUpdate(v1::TransactionUpdate {
                status: UpdateStatus::Committed(update),
                ..
            }) => assert_eq!(came(&update), (opened(0, ACCOUNTS), vec![tag])),
            other => panic!("expected an update, got {other:?}"),
        }
        let query = v1::ClientMessage::OneOffQuery {
            message_id: vec![7].into(),
            query_string: all,
        };
        ask(&mut socket, query);
        // Its rows have no compression of their own.
        match next(&mut socket, tag) {
            V1Message::OneOffQueryResponse { tables, error, .. } => {
                assert_eq!(error, None);
                let rows = tables.iter().map(|table| &table.rows);
                assert_eq!(accounts(rows), opened(0, ACCOUNTS));
            }
            other => panic!("expected rows, got {other:?}"),
        }
        let made = peer.call(&database, "open_accounts", &json!([2 * ACCOUNTS]));
        assert_eq!(made, Called::Ok);
        match next(&mut socket, NONE) {
            V1Message::TransactionUpdateLight { update, .. } => {
                assert_eq!(came(&update), (opened(ACCOUNTS, 2 * ACCOUNTS), vec![tag]));
            }
            other => panic!("expected an update, got {other:?}"),
        }
    }
}
