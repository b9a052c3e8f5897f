//! The two forms of v1: bytes, and text.

use axum::body::Bytes;
use axum::extract::ws::Message;
use client_messages::BsatnRowList;
use client_messages::compression::Compression;
use client_messages::v1::{
    self as wire, Bsatn, ClientMessage, CompressableQueryUpdate, Format, Json, QueryUpdate,
    ServerMessage,
};
use peer_core::{Arguments, RowType};
use std::sync::Arc;

use super::Unspeakable;

/// How rows, arguments and frames are written in one form.
pub(in super::super) trait Form:
    Format<Value: Send + Sync, Rows: Send + Sync, Update: Send + Sync> + Send + Sync + 'static
{
    /// Rows of one table.
    fn rows(row_type: &RowType, rows: &BsatnRowList) -> Result<Self::Rows, Unspeakable>;

    /// Rows that went and came.
    fn update(compression: Compression, update: QueryUpdate<Self>) -> Self::Update;

    /// The arguments of a call.
    fn arguments(value: &Self::Value) -> Arguments;

    /// Bytes that a value takes.
    fn value_bytes(value: &Self::Value) -> usize;

    /// Takes a frame apart. The error is for people.
    fn read(frame: Message) -> Result<ClientMessage<Self>, String>;

    /// The frame of a message.
    fn frame(compression: Compression, message: &ServerMessage<Self>) -> Message;
}

impl Form for Bsatn {
    fn rows(_row_type: &RowType, rows: &BsatnRowList) -> Result<BsatnRowList, Unspeakable> {
        Ok(rows.clone())
    }

    fn update(compression: Compression, update: QueryUpdate<Self>) -> CompressableQueryUpdate {
        CompressableQueryUpdate::compress(compression, update)
    }

    fn arguments(value: &Bytes) -> Arguments {
        Arguments::Bsatn(value.to_vec())
    }

    fn value_bytes(value: &Bytes) -> usize {
        value.len()
    }

    fn read(frame: Message) -> Result<ClientMessage<Self>, String> {
        match frame {
            Message::Binary(frame) => {
                ClientMessage::decode(&frame).map_err(|malformed| malformed.to_string())
            }
            _ => Err("this subprotocol is binary".to_owned()),
        }
    }

    fn frame(compression: Compression, message: &ServerMessage<Self>) -> Message {
        // Updates are compressed by themselves, and once is enough. Besides, the library for
        // TypeScript inflates frames side by side, but updates in their order.
        let compression = match message {
            ServerMessage::OneOffQueryResponse { .. } => compression,
            _ => Compression::None,
        };
        Message::Binary(wire::encode_server_frame(compression, message).into())
    }
}

impl Form for Json {
    fn rows(row_type: &RowType, rows: &BsatnRowList) -> Result<Vec<Arc<str>>, Unspeakable> {
        let texts = rows.iter().map(|row| {
            let text = row_type.json(row).map(Arc::from);
            text.ok_or_else(|| Unspeakable("a row is too large to be written as JSON".to_owned()))
        });
        texts.collect()
    }

    fn update(_compression: Compression, update: QueryUpdate<Self>) -> QueryUpdate<Self> {
        update
    }

    fn arguments(value: &Arc<str>) -> Arguments {
        Arguments::Json(value.to_string())
    }

    fn value_bytes(value: &Arc<str>) -> usize {
        value.len()
    }

    fn read(frame: Message) -> Result<ClientMessage<Self>, String> {
        match frame {
            Message::Text(text) => {
                ClientMessage::from_text(&text).map_err(|malformed| malformed.to_string())
            }
            _ => Err("this subprotocol is text".to_owned()),
        }
    }

    fn frame(_compression: Compression, message: &ServerMessage<Self>) -> Message {
        Message::Text(message.to_text().into())
    }
}
