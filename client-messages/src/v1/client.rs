//! What a client says.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json::fields;
use super::{Bsatn, Format, TextFormat};
use crate::bsatn::{self, Reader, Wire};
use crate::error::Malformed;

/// One thing that a client asks for. The answer repeats the `request_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub enum ClientMessage<F: Format> {
    /// Call a reducer.
    CallReducer {
        /// Its name.
        reducer: String,
        /// The product of its arguments.
        args: F::Value,
        /// Chosen by the client.
        request_id: u32,
        /// Whether to say nothing if it succeeds and none of the client's rows change.
        #[serde(rename = "flags", with = "fields::flag")]
        no_success_notify: bool,
    },
    /// Send the rows of these queries, and from then on what changes about them, instead of those of
    /// an earlier message of this kind.
    Subscribe {
        /// SQL.
        #[serde(deserialize_with = "fields::queries")]
        query_strings: Vec<String>,
        /// Chosen by the client.
        request_id: u32,
    },
    /// Send the rows of a query once.
    OneOffQuery {
        /// Chosen by the client.
        #[serde(with = "fields::bytes")]
        message_id: Bytes,
        /// SQL.
        query_string: String,
    },
    /// Send the rows of this query too, and what changes about them.
    SubscribeSingle {
        /// SQL.
        query: String,
        /// Chosen by the client.
        request_id: u32,
        /// Chosen by the client, for this query.
        #[serde(with = "fields::query_id")]
        query_id: u32,
    },
    /// Send the rows of these queries too, and what changes about them.
    SubscribeMulti {
        /// SQL.
        #[serde(deserialize_with = "fields::queries")]
        query_strings: Vec<String>,
        /// Chosen by the client.
        request_id: u32,
        /// Chosen by the client, for this set of queries.
        #[serde(with = "fields::query_id")]
        query_id: u32,
    },
    /// Send no more of a query.
    Unsubscribe {
        /// Chosen by the client.
        request_id: u32,
        /// Of an earlier [`Self::SubscribeSingle`].
        #[serde(with = "fields::query_id")]
        query_id: u32,
    },
    /// Send no more of a set of queries.
    UnsubscribeMulti {
        /// Chosen by the client.
        request_id: u32,
        /// Of an earlier [`Self::SubscribeMulti`].
        #[serde(with = "fields::query_id")]
        query_id: u32,
    },
    /// Call a procedure.
    CallProcedure {
        /// Its name.
        procedure: String,
        /// The product of its arguments.
        args: F::Value,
        /// Chosen by the client.
        request_id: u32,
        /// Nothing yet.
        flags: NoFlags,
    },
}

/// Flags none of which has a meaning yet: a zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoFlags;

impl ClientMessage<Bsatn> {
    /// Appends the bytes of the message.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// The bytes of the message, which are a frame.
    pub fn encode(&self) -> Vec<u8> {
        bsatn::encode(self)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`Malformed`] if it is no message, or something follows it.
    pub fn decode(frame: &[u8]) -> Result<Self, Malformed> {
        bsatn::decode(frame)
    }
}

sum!(ClientMessage<Bsatn>, "a client's message" {
    0 => CallReducer { reducer, args, request_id, no_success_notify },
    1 => Subscribe { query_strings, request_id },
    2 => OneOffQuery { message_id, query_string },
    3 => SubscribeSingle { query, request_id, query_id },
    4 => SubscribeMulti { query_strings, request_id, query_id },
    5 => Unsubscribe { request_id, query_id },
    6 => UnsubscribeMulti { request_id, query_id },
    7 => CallProcedure { procedure, args, request_id, flags },
});

impl Wire for NoFlags {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::take(reader)? {
            0 => Ok(Self),
            tag => Err(Malformed::UnknownTag { what: "flags", tag }),
        }
    }
}
