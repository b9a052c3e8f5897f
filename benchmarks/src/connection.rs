//! One client that makes transfers, in the protocols that SpacetimeDB's clients speak.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client_messages::v1::{self, UpdateStatus};
use client_messages::v2::{self, ReducerOutcome, Version};

use crate::clock::{Deadline, instant};
use crate::dice::Dice;
use crate::load::Accounts;
use crate::mesh::{self, transfer};
use crate::socket::{Socket, Target};

/// Calls that wait for their answers, of each connection.
const IN_FLIGHT: usize = 40;

/// Seconds that all calls of one connection may take.
const PATIENCE_S: u64 = 300;

/// What is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    V1,
    Later(Version),
}

impl Protocol {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => v1::SUBPROTOCOL_BSATN,
            Self::Later(version) => version.subprotocol(),
        }
    }

    /// Connects, as somebody whom the server does not know.
    ///
    /// # Errors
    /// If the server does not say who this is.
    pub(crate) fn connect(self, target: &Target) -> anyhow::Result<Socket> {
        let mut socket = Socket::open(target, self.name())?;
        let first = socket.read()?;
        anyhow::ensure!(
            self.is_hello(&first)?,
            "expected to be told who this is, got {} bytes of something else",
            first.len()
        );
        Ok(socket)
    }

    /// Calls, in as few frames as the protocol allows.
    pub(crate) fn frames(self, calls: Vec<Call>) -> Vec<Vec<u8>> {
        let later = |call: Call| v2::ClientMessage::CallReducer {
            request_id: call.request_id,
            reducer: call.reducer.to_owned(),
            args: call.args.into(),
        };
        match self {
            Self::V1 => {
                let message = |call: Call| v1::ClientMessage::<v1::Bsatn>::CallReducer {
                    reducer: call.reducer.to_owned(),
                    args: call.args.into(),
                    request_id: call.request_id,
                    no_success_notify: false,
                };
                let frame = |call| message(call).encode();
                calls.into_iter().map(frame).collect()
            }
            Self::Later(Version::V2) => {
                calls.into_iter().map(|call| later(call).encode()).collect()
            }
            Self::Later(Version::V3) if calls.is_empty() => Vec::new(),
            Self::Later(Version::V3) => {
                let messages: Vec<_> = calls.into_iter().map(later).collect();
                vec![v2::encode_client_frame(&messages)]
            }
        }
    }

    /// Whether this is what comes first, and nothing else.
    fn is_hello(self, payload: &[u8]) -> anyhow::Result<bool> {
        Ok(match self {
            Self::V1 => {
                let message = v1::ServerMessage::<v1::Bsatn>::decode(payload)?;
                matches!(message, v1::ServerMessage::IdentityToken { .. })
            }
            Self::Later(version) => {
                let messages = v2::decode_server_frame(version, payload)?;
                let hello =
                    |message: &_| matches!(message, v2::ServerMessage::InitialConnection { .. });
                messages.len() == 1 && messages.iter().all(hello)
            }
        })
    }

    /// The calls that a frame answers.
    pub(crate) fn answered(self, payload: &[u8]) -> anyhow::Result<Vec<u32>> {
        match self {
            Self::V1 => {
                let message = v1::ServerMessage::<v1::Bsatn>::decode(payload)?;
                answered_v1(message).map(|id| vec![id])
            }
            Self::Later(version) => {
                let messages = v2::decode_server_frame(version, payload)?;
                messages.into_iter().map(answered_later).collect()
            }
        }
    }
}

fn answered_v1(message: v1::ServerMessage<v1::Bsatn>) -> anyhow::Result<u32> {
    let v1::ServerMessage::TransactionUpdate(update) = message else {
        bail!("expected what became of a call, got {message:?}");
    };
    match update.status {
        UpdateStatus::Committed(_) => Ok(update.reducer_call.request_id),
        failed => bail!("a call failed: {failed:?}"),
    }
}

fn answered_later(message: v2::ServerMessage) -> anyhow::Result<u32> {
    let v2::ServerMessage::ReducerResult {
        request_id, result, ..
    } = message
    else {
        bail!("expected what became of a call, got {message:?}");
    };
    // One that has not enough is refused, which costs as much.
    if let ReducerOutcome::InternalError(why) = result {
        bail!("a call failed: {why}");
    }
    Ok(request_id)
}

/// A call that has a number.
pub(crate) struct Call {
    request_id: u32,
    reducer: &'static str,
    args: Vec<u8>,
}

impl Call {
    /// A call, and which of its connection's it is.
    pub(crate) fn new(number: usize, (reducer, args): mesh::Call) -> anyhow::Result<Self> {
        Ok(Self {
            request_id: number.try_into()?,
            reducer,
            args,
        })
    }
}

pub(crate) struct Connection {
    socket: Socket,
    protocol: Protocol,
    accounts: Accounts,
    dice: Dice,
    /// When each call was sent, in the order of their request ids.
    sent: Vec<Instant>,
}

impl Connection {
    /// Connects, as somebody whom the server does not know.
    ///
    /// # Errors
    /// If the server does not say who this is.
    pub(crate) fn open(
        target: &Target,
        protocol: Protocol,
        accounts: Accounts,
        dice: Dice,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            socket: protocol.connect(target)?,
            protocol,
            accounts,
            dice,
            sent: Vec::new(),
        })
    }

    /// Makes so many transfers; answers how long each took.
    ///
    /// # Errors
    /// If one fails or is not answered.
    pub(crate) fn transfer(mut self, calls: u64) -> anyhow::Result<Vec<Duration>> {
        let calls = usize::try_from(calls)?;
        let mut took = Vec::with_capacity(calls);
        self.sent.reserve(calls);
        let deadline = Deadline::after_s(PATIENCE_S);
        self.send(IN_FLIGHT.min(calls))?;
        while took.len() < calls {
            deadline.check("answers")?;
            let payload = self.socket.read()?;
            let answered = self.protocol.answered(&payload)?;
            let now = instant();
            for request_id in &answered {
                let sent = self.sent.get(*request_id as usize);
                took.push(now - *sent.context("an answer to a call that was not made")?);
            }
            let left = calls - self.sent.len();
            self.send(answered.len().min(left))?;
        }
        Ok(took)
    }

    fn send(&mut self, calls: usize) -> anyhow::Result<()> {
        let first = self.sent.len();
        let made: Vec<_> = (first..first + calls)
            .map(|number| self.call(number))
            .collect();
        let frames = self
            .protocol
            .frames(made.into_iter().collect::<anyhow::Result<_>>()?);
        let now = instant();
        self.sent.extend((0..calls).map(|_| now));
        self.socket.send(frames)
    }

    fn call(&mut self, number: usize) -> anyhow::Result<Call> {
        let (from, to) = self.accounts.pair(&mut self.dice);
        Call::new(number, transfer(from, to))
    }
}
