//! One client that makes transfers, in the protocols that SpacetimeDB's clients speak.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client_messages::compression::open_frame;
use client_messages::v1::{self, UpdateStatus};
use client_messages::v2::{self, ReducerOutcome, Version};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::clock::{Deadline, instant};
use crate::dice::Dice;
use crate::load::Accounts;

/// Calls that wait for their answers, of each connection.
const IN_FLIGHT: usize = 40;

/// Seconds that all calls of one connection may take.
const PATIENCE_S: u64 = 300;

/// Bytes of a frame of the server.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A database at a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    /// Name or identity of the database.
    pub(crate) database: String,
}

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

    /// Calls of `transfer`, as few frames as the protocol allows.
    fn frames(self, calls: Vec<Call>) -> Vec<Vec<u8>> {
        let later = |call: Call| v2::ClientMessage::CallReducer {
            request_id: call.request_id,
            reducer: "transfer".to_owned(),
            args: call.args.into(),
        };
        match self {
            Self::V1 => {
                let message = |call: Call| v1::ClientMessage::<v1::Bsatn>::CallReducer {
                    reducer: "transfer".to_owned(),
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
    fn answered(self, payload: &[u8]) -> anyhow::Result<Vec<u32>> {
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

/// A call of `transfer`.
struct Call {
    request_id: u32,
    args: Vec<u8>,
}

pub(crate) struct Connection {
    socket: WebSocket<TcpStream>,
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
        let Target { address, database } = target;
        let url = format!("ws://{address}/v1/database/{database}/subscribe?compression=None");
        let mut request = url.into_client_request()?;
        let name = HeaderValue::from_static(protocol.name());
        request.headers_mut().insert("sec-websocket-protocol", name);
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(PATIENCE_S)))?;
        let (socket, _) = tungstenite::client(request, stream).context("opening a WebSocket")?;
        let mut connection = Self {
            socket,
            protocol,
            accounts,
            dice,
            sent: Vec::new(),
        };
        let first = connection.read()?;
        anyhow::ensure!(
            protocol.is_hello(&first)?,
            "expected to be told who this is, got {} bytes of something else",
            first.len()
        );
        Ok(connection)
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
            let payload = self.read()?;
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
        for frame in frames {
            self.socket.write(Message::Binary(frame.into()))?;
        }
        self.socket.flush()?;
        Ok(())
    }

    fn call(&mut self, number: usize) -> anyhow::Result<Call> {
        let (from, to) = self.accounts.pair(&mut self.dice);
        let amount: i64 = 1;
        let arguments = [
            &from.to_le_bytes()[..],
            &to.to_le_bytes(),
            &amount.to_le_bytes(),
        ];
        Ok(Call {
            request_id: number.try_into()?,
            args: arguments.concat(),
        })
    }

    /// The payload of the next frame that says something.
    fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            match self.socket.read()? {
                Message::Binary(frame) => {
                    return Ok(open_frame(&frame, FRAME_BYTES_MAX)?.into_owned());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("the server ended the connection: {other:?}"),
            }
        }
    }
}
