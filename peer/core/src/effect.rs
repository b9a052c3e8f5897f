//! What the core tells the driver to do.

use std::collections::BTreeSet;

use sync_protocol::{DatabaseId, DeviceKey, Tick};

use crate::error::refuse;
use crate::reply::{Called, ErrorKind, Reply, RequestError};
use crate::request::{ClientId, RequestId};
use crate::subscriptions::Update;

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
    /// Answer a call of a client that follows rows.
    Told {
        /// The client.
        client: ClientId,
        /// The request's id.
        id: RequestId,
        /// What became of the call.
        result: Result<Called, RequestError>,
        /// What changed for the client, the call's own changes among it, if that was not told
        /// before.
        update: Option<Update>,
    },
    /// Tell a client what changed in what it follows.
    Update {
        /// The client.
        client: ClientId,
        /// What changed.
        update: Update,
    },
    /// Close a client's connection: what it follows cannot be followed any further.
    DropClient {
        /// The client.
        client: ClientId,
        /// Why, for a person.
        why: String,
    },
    /// Send one frame on `/tombolo/sync/1`. What it speaks of is durable already, but for others'
    /// entries that those who sent them still have.
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
        /// A member that the ticket names.
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
        /// Where it listens (multiaddr texts). May be empty: wherever it was met before.
        addresses: Vec<String>,
    },
    /// A link to this remote need no longer be kept: stop dialling it, and close a connection that
    /// was dialled from here. One that the remote dialled stays: it wants it.
    Release {
        /// Who.
        remote: DeviceKey,
    },
    /// All members of the databases here have changed to these. Others are strangers.
    Members {
        /// All of them.
        members: BTreeSet<DeviceKey>,
    },
    /// Cut the remote off: close its connections and refuse it for a while. It misbehaved.
    HangUp {
        /// Who.
        remote: DeviceKey,
        /// Why, for the log.
        why: String,
        /// Milliseconds for which it is refused.
        refuse_ms: u64,
    },
    /// Close the link, so that a fresh one is opened: the remote does not answer, which is no fault.
    CloseLink {
        /// Whose link.
        remote: DeviceKey,
        /// What was asked in vain, for the log.
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

/// Takes back those effects from place `from` on that speak of what could not be made durable:
/// whoever waits hears `why`, nobody else hears anything. What is about the peer itself stays.
pub(crate) fn withdraw(effects: &mut Vec<Effect>, from: usize, why: &str) {
    let mut place = 0;
    effects.retain_mut(|effect| {
        place += 1;
        if place <= from {
            return true;
        }
        match effect {
            Effect::Reply { reply, .. } if reply.is_ok() => {
                *reply = Err(refuse(ErrorKind::Internal, why));
            }
            Effect::Told { result, update, .. } => {
                *result = Err(refuse(ErrorKind::Internal, why));
                *update = None;
            }
            Effect::JoinAnswer { bytes, .. } => {
                *bytes = crate::joining::answer(Err(why.to_owned()));
            }
            Effect::Send { .. } | Effect::Update { .. } | Effect::Console { .. } => return false,
            _ => {}
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestId;

    #[test]
    fn what_is_not_durable_is_told_to_nobody() {
        let device = DeviceKey::ZERO;
        let reply = |id, reply| Effect::Reply {
            id: RequestId(id),
            reply,
        };
        let send = |byte| Effect::Send {
            remote: device,
            bytes: vec![byte],
        };
        let refused = refuse(ErrorKind::Denied, "no");
        let mut effects = vec![
            send(1),
            reply(1, Ok(Reply::Done)),
            send(2),
            reply(2, Ok(Reply::Done)),
            reply(3, Err(refused.clone())),
            Effect::WakeAt(Tick(7)),
        ];
        withdraw(&mut effects, 2, "the disk is full");
        let mut replies = Vec::new();
        let mut sent = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reply { id, reply } => replies.push((id.0, reply.map(drop))),
                Effect::Send { bytes, .. } => sent.push(bytes),
                other => assert!(matches!(other, Effect::WakeAt(Tick(7)))),
            }
        }
        let full = refuse(ErrorKind::Internal, "the disk is full");
        assert_eq!(sent, [[1]]);
        assert_eq!(replies, [(1, Ok(())), (2, Err(full)), (3, Err(refused))]);
    }
}
