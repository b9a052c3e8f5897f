//! What a client says.

use bytes::Bytes;

use crate::bsatn::{self, Reader, Wire};
use crate::error::Malformed;

/// One thing that a client asks for. The answer repeats the `request_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Send the rows of these queries, and from then on what changes about them.
    Subscribe {
        /// Chosen by the client.
        request_id: u32,
        /// Chosen by the client, for this set of queries.
        query_set_id: u32,
        /// SQL.
        query_strings: Vec<String>,
    },
    /// Send no more of a set of queries.
    Unsubscribe {
        /// Chosen by the client.
        request_id: u32,
        /// The set of an earlier [`Self::Subscribe`].
        query_set_id: u32,
        /// Whether the answer is to hold the rows that are dropped.
        send_dropped_rows: bool,
    },
    /// Send the rows of a query once.
    OneOffQuery {
        /// Chosen by the client.
        request_id: u32,
        /// SQL.
        query_string: String,
    },
    /// Call a reducer.
    CallReducer {
        /// Chosen by the client.
        request_id: u32,
        /// Its name.
        reducer: String,
        /// BSATN of the product of its arguments.
        args: Bytes,
    },
    /// Call a procedure.
    CallProcedure {
        /// Chosen by the client.
        request_id: u32,
        /// Its name.
        procedure: String,
        /// BSATN of the product of its arguments.
        args: Bytes,
    },
}

impl ClientMessage {
    /// Appends the bytes of the message.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        bsatn::encode(self)
    }

    /// Reads a message that is the whole of the bytes, which is a frame of v2.
    ///
    /// # Errors
    /// [`Malformed`] if it is none, or something follows it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        bsatn::decode(bytes)
    }

    /// The number that the answer repeats.
    pub fn request_id(&self) -> u32 {
        match self {
            Self::Subscribe { request_id, .. }
            | Self::Unsubscribe { request_id, .. }
            | Self::OneOffQuery { request_id, .. }
            | Self::CallReducer { request_id, .. }
            | Self::CallProcedure { request_id, .. } => *request_id,
        }
    }
}

/// No flags of calls have a meaning yet.
const CALL_FLAGS: u8 = 0;

fn take_call_flags(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    match u8::take(reader)? {
        CALL_FLAGS => Ok(()),
        tag => Err(Malformed::UnknownTag {
            what: "flags of a call",
            tag,
        }),
    }
}

impl Wire for ClientMessage {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Subscribe {
                request_id,
                query_set_id,
                query_strings,
            } => {
                out.push(0);
                request_id.put(out);
                query_set_id.put(out);
                query_strings.put(out);
            }
            Self::Unsubscribe {
                request_id,
                query_set_id,
                send_dropped_rows,
            } => {
                out.push(1);
                request_id.put(out);
                query_set_id.put(out);
                send_dropped_rows.put(out);
            }
            Self::OneOffQuery {
                request_id,
                query_string,
            } => {
                out.push(2);
                request_id.put(out);
                query_string.put(out);
            }
            Self::CallReducer {
                request_id,
                reducer,
                args,
            } => {
                out.push(3);
                request_id.put(out);
                CALL_FLAGS.put(out);
                reducer.put(out);
                args.put(out);
            }
            Self::CallProcedure {
                request_id,
                procedure,
                args,
            } => {
                out.push(4);
                request_id.put(out);
                CALL_FLAGS.put(out);
                procedure.put(out);
                args.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tag = u8::take(reader)?;
        if tag > 4 {
            return Err(Malformed::UnknownTag {
                what: "a client's message",
                tag,
            });
        }
        let request_id = u32::take(reader)?;
        Ok(match tag {
            0 => Self::Subscribe {
                request_id,
                query_set_id: u32::take(reader)?,
                query_strings: Vec::take(reader)?,
            },
            1 => Self::Unsubscribe {
                request_id,
                query_set_id: u32::take(reader)?,
                send_dropped_rows: bool::take(reader)?,
            },
            2 => Self::OneOffQuery {
                request_id,
                query_string: String::take(reader)?,
            },
            3 => {
                take_call_flags(reader)?;
                Self::CallReducer {
                    request_id,
                    reducer: String::take(reader)?,
                    args: Bytes::take(reader)?,
                }
            }
            _ => {
                take_call_flags(reader)?;
                Self::CallProcedure {
                    request_id,
                    procedure: String::take(reader)?,
                    args: Bytes::take(reader)?,
                }
            }
        })
    }
}
