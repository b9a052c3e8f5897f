//! Protocol v2, one message a frame, and v3, which has the same messages, one or more a frame.
//!
//! A frame of a client is its messages one after the other; a frame of a server is a byte that says
//! how it is compressed (see [`compression`](crate::compression)), then its messages.

mod client;
mod frames;
mod server;

pub use client::ClientMessage;
pub use frames::{
    Version, decode_client_frame, decode_server_frame, encode_client_frame, encode_server_frame,
};
pub use server::{
    ProcedureStatus, QueryRows, QuerySetUpdate, ReducerOutcome, ServerMessage, SingleTableRows,
    TableUpdate, TableUpdateRows, TransactionUpdate,
};
