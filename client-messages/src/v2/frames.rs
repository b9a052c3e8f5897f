//! Messages in frames.

use crate::bsatn::{Reader, Wire};
use crate::compression::{self, Compression};
use crate::error::Malformed;
use crate::limits::MESSAGES_PER_FRAME_MAX;

use super::{ClientMessage, ServerMessage};

/// How many messages a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// One.
    V2,
    /// One or more.
    V3,
}

impl Version {
    /// The name of the WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::V2 => "v2.bsatn.spacetimedb",
            Self::V3 => "v3.bsatn.spacetimedb",
        }
    }
}

/// Reads a frame of a client.
///
/// # Errors
/// [`Malformed`] if any of it is; of a v3 frame too nothing is kept then.
pub fn decode_client_frame(
    version: Version,
    frame: &[u8],
) -> Result<Vec<ClientMessage>, Malformed> {
    decode(version, frame)
}

/// Reads the payload of a frame of a server, as [`open_frame`](compression::open_frame) returns it.
///
/// # Errors
/// [`Malformed`] if any of it is.
pub fn decode_server_frame(
    version: Version,
    payload: &[u8],
) -> Result<Vec<ServerMessage>, Malformed> {
    decode(version, payload)
}

/// The frame of a client: for v2 of exactly one message, for v3 of at least one and at most
/// [`MESSAGES_PER_FRAME_MAX`].
pub fn encode_client_frame<'a>(messages: impl IntoIterator<Item = &'a ClientMessage>) -> Vec<u8> {
    let mut frame = Vec::new();
    for message in messages {
        message.put(&mut frame);
    }
    frame
}

/// The frame of a server: for v2 of exactly one message, for v3 of at least one and at most
/// [`MESSAGES_PER_FRAME_MAX`].
pub fn encode_server_frame<'a>(
    compression: Compression,
    messages: impl IntoIterator<Item = &'a ServerMessage>,
) -> Vec<u8> {
    let mut frame = compression::begin();
    for message in messages {
        message.put(&mut frame);
    }
    compression::finish(compression, frame)
}

fn decode<T: Wire>(version: Version, frame: &[u8]) -> Result<Vec<T>, Malformed> {
    let mut reader = Reader::new(frame);
    let mut messages = vec![T::take(&mut reader)?];
    if version == Version::V3 {
        while !reader.is_empty() {
            if messages.len() == MESSAGES_PER_FRAME_MAX {
                return Err(Malformed::TooMany {
                    what: "messages",
                    max: MESSAGES_PER_FRAME_MAX,
                });
            }
            messages.push(T::take(&mut reader)?);
        }
    }
    reader.end()?;
    Ok(messages)
}
