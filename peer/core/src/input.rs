//! What the driver tells the core.

use std::sync::Arc;

use sync_protocol::DeviceKey;

use crate::identity::Claims;
use crate::request::{ClientId, Request, RequestId};

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// A client, the command line or an application asks for something. Exactly one
    /// [`Effect::Reply`](crate::Effect::Reply) with the same id follows, now or later.
    Request {
        /// Chosen by the driver, never used twice while open.
        id: RequestId,
        /// Who asks, from a token that the driver has checked.
        caller: Arc<Claims>,
        /// Whether the caller is the peer's own identity, proven by its owner token.
        owner: bool,
        /// What is asked.
        request: Request,
    },
    /// A client's connection is gone, and with it what it follows.
    ClientGone {
        /// Who.
        client: ClientId,
    },
    /// A sync stream to an authenticated remote can be used, both ways.
    LinkUp {
        /// The remote's device key, proven by the transport's handshake.
        remote: DeviceKey,
    },
    /// The link is gone.
    LinkDown {
        /// Whose link.
        remote: DeviceKey,
    },
    /// One frame of `/tombolo/sync/1` arrived.
    Message {
        /// Who sent it.
        remote: DeviceKey,
        /// The frame, at most `MESSAGE_BYTES_MAX` long.
        bytes: Vec<u8>,
    },
    /// Somebody asks to be admitted, on `/tombolo/join/1`. One
    /// [`Effect::JoinAnswer`](crate::Effect::JoinAnswer) with the same id follows.
    JoinAsked {
        /// Chosen by the driver.
        id: RequestId,
        /// The device that asks, proven by the handshake.
        remote: DeviceKey,
        /// The encoded `JoinRequest`.
        bytes: Vec<u8>,
    },
    /// The answer to an [`Effect::JoinAsk`](crate::Effect::JoinAsk).
    JoinAnswered {
        /// The id of the ask.
        join: RequestId,
        /// The encoded `JoinAnswer`, or why there is none, for a person to read.
        result: Result<Vec<u8>, String>,
    },
    /// The peer now listens on these addresses (multiaddr texts).
    Listening {
        /// All of them.
        addresses: Vec<String>,
    },
    /// A remote was noticed in the local network. Nothing proves that it is there.
    Noticed {
        /// Who it says it is.
        remote: DeviceKey,
        /// Where it says it listens (multiaddr texts).
        addresses: Vec<String>,
    },
    /// A remote that was to be dialled could not be reached.
    Unreachable {
        /// Who.
        remote: DeviceKey,
    },
    /// The transport saw a remote break a rule: a frame over the bound, for instance.
    Misbehaved {
        /// Who.
        remote: DeviceKey,
        /// What it did, for a person.
        why: String,
    },
    /// The driver's queue is empty: what waits in a batch is flushed, what is dirty is swept, and
    /// what messages brought is durable afterwards.
    Idle,
    /// The time of the last [`Effect::WakeAt`](crate::Effect::WakeAt) has come.
    Woken,
}
