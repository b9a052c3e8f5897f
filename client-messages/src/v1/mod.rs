//! Protocol v1, one message a frame, as bytes or as text.
//!
//! A frame of bytes of a server is a byte that says how it is compressed (see
//! [`compression`](crate::compression)), then its message; besides, each table's changes may be
//! compressed by themselves. A text ([`json`]) is the message alone, never compressed.

mod client;
pub mod json;
mod server;
mod update;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rows::BsatnRowList;

pub use client::{ClientMessage, NoFlags};
pub use server::{
    OneOffTable, ProcedureStatus, ReducerCallInfo, ServerMessage, SubscribeRows, TransactionUpdate,
    UpdateStatus, encode_server_frame,
};
pub use update::{CompressableQueryUpdate, DatabaseUpdate, QueryUpdate, TableUpdate};

/// The name of the WebSocket subprotocol whose frames are bytes.
pub const SUBPROTOCOL_BSATN: &str = "v1.bsatn.spacetimedb";

/// The name of the WebSocket subprotocol whose frames are texts.
pub const SUBPROTOCOL_JSON: &str = "v1.json.spacetimedb";

/// In what form messages carry rows and values: [`Bsatn`] or [`Json`].
pub trait Format: sealed::Sealed + Clone + Debug + PartialEq + Eq {
    /// The arguments of a call, or what it returned.
    type Value: Clone + Debug + PartialEq + Eq;
    /// Rows of one table.
    type Rows: Clone + Debug + PartialEq + Eq;
    /// Rows of one table that came and went.
    type Update: Clone + Debug + PartialEq + Eq;
}

/// A form that can be written as text: [`Json`].
pub trait TextFormat:
    Format<
        Value: Serialize + DeserializeOwned,
        Rows: Serialize + DeserializeOwned,
        Update: Serialize + DeserializeOwned,
    >
{
}

/// Rows and values as BSATN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bsatn {}

/// Rows and values as JSON, each in a string of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {}

impl Format for Bsatn {
    type Value = Bytes;
    type Rows = BsatnRowList;
    type Update = CompressableQueryUpdate;
}

impl Format for Json {
    type Value = Arc<str>;
    type Rows = Vec<Arc<str>>;
    type Update = QueryUpdate<Json>;
}

impl TextFormat for Json {}

mod sealed {
    /// The two forms are all there are.
    pub trait Sealed {}

    impl Sealed for super::Bsatn {}
    impl Sealed for super::Json {}
}
