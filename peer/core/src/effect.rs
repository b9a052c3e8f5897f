//! What the core tells the driver to do.

use sync_protocol::{DatabaseId, DeviceKey, Tick};

use crate::reply::{Reply, RequestError};
use crate::request::RequestId;

/// How urgent a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// Somebody has to act.
    Error,
    /// Something is wrong and is being dealt with.
    Warn,
    /// Worth a line.
    Info,
}

/// Something for the driver to do.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// The request's id.
        id: RequestId,
        /// The answer.
        reply: Result<Reply, RequestError>,
    },
    /// Send one frame on `/tombolo/sync/1`. What it speaks of is durable already.
    Send {
        /// To whom.
        remote: DeviceKey,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Ask a member for admission on `/tombolo/join/1`, trying the addresses in turn.
    JoinAsk {
        /// Repeated by [`Input::JoinAnswered`](crate::Input::JoinAnswered).
        join: RequestId,
        /// The member that invited.
        remote: DeviceKey,
        /// Where it listens (multiaddr texts).
        addresses: Vec<String>,
        /// The encoded `JoinRequest`.
        bytes: Vec<u8>,
    },
    /// Answer an [`Input::JoinAsked`](crate::Input::JoinAsked).
    JoinAnswer {
        /// Its id.
        id: RequestId,
        /// The encoded `JoinAnswer`.
        bytes: Vec<u8>,
    },
    /// Remember where a member listens and keep a link to it.
    Dial {
        /// The member.
        remote: DeviceKey,
        /// Where it listens (multiaddr texts).
        addresses: Vec<String>,
    },
    /// Close the link: the remote misbehaved.
    HangUp {
        /// Whose link.
        remote: DeviceKey,
        /// Why, for the log.
        why: String,
    },
    /// Hand in [`Input::Woken`](crate::Input::Woken) at this tick. The latest one counts.
    WakeAt(Tick),
    /// One line that a module logged, for calls that this peer hosts.
    Console {
        /// Whose module.
        database: DatabaseId,
        /// The line as a JSON object, without a line end.
        line: String,
    },
    /// The database is gone from this peer: drop what the driver keeps about it.
    Deleted {
        /// Which.
        database: DatabaseId,
    },
    /// A line for the peer's own log.
    Note {
        /// How urgent.
        level: NoteLevel,
        /// For a person.
        text: String,
    },
}
