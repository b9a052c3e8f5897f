//! Transfers over WebSocket, as SpacetimeDB's clients make them: 8 connections with 40 calls on their
//! way each, answered when durable. Client and peer share the machine.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client_messages::compression::open_frame;
use client_messages::v2::{self, ClientMessage, ReducerOutcome, ServerMessage, Version};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::arguments::Options;
use crate::clock::{Deadline, instant};
use crate::dice::Dice;
use crate::places::chat;
use crate::processes::PeerProcess;
use crate::report::{Better, Row};
use crate::resident;

const ACCOUNTS: u32 = 100_000;
const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 40;
const CALLS: u64 = 200_000;

/// What SpacetimeDB 1.2.0 did on such a machine with this workload, unsigned and not synced to disk.
const GOAL: f64 = 20_000.0;

/// Bytes of a frame of the peer.
const FRAME_BYTES_MAX: usize = 64 << 20;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(CALLS);
    let mut rows = Vec::new();
    for version in [Version::V2, Version::V3] {
        let peer = PeerProcess::start()?;
        let module = chat();
        let module = module.to_str().context("the module's path is UTF-8")?;
        peer.tombolo(&["publish", "chat", "--bin-path", module])?;
        peer.client()
            .call("open_accounts", &format!("[{ACCOUNTS}]"))?;
        let address = peer.http().trim_start_matches("http://").to_owned();
        let start = instant();
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let address = address.clone();
                let share = calls / CONNECTIONS as u64;
                std::thread::spawn(move || {
                    Connection::open(&address, version, number as u64)?.transfer(share)
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for thread in threads {
            let done = thread.join();
            latencies.extend(done.map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        let seconds = start.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies[place.min(latencies.len() - 1)].as_secs_f64() * 1_000.0
        };
        let name = format!("transfers over WebSocket, {}", version.subprotocol());
        let rate = latencies.len() as f64 / seconds;
        rows.push(Row::new(&name, rate, "calls/s", Better::More, GOAL));
        rows.push(Row::note(format!("{name}, p50"), at(0.5), "ms"));
        rows.push(Row::note(format!("{name}, p99"), at(0.99), "ms"));
        let resident = resident::of(peer.pid())?;
        rows.push(Row::note(
            format!("{name}, peak memory"),
            resident.peak,
            "MiB",
        ));
    }
    Ok(rows)
}

struct Connection {
    socket: WebSocket<TcpStream>,
    version: Version,
    dice: Dice,
    next: u32,
}

impl Connection {
    fn open(address: &str, version: Version, number: u64) -> anyhow::Result<Self> {
        let url = format!("ws://{address}/v1/database/chat/subscribe?compression=None");
        let mut request = url.into_client_request()?;
        let protocol = HeaderValue::from_static(version.subprotocol());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        let (socket, _) = tungstenite::client(request, stream).context("opening a WebSocket")?;
        let mut connection = Self {
            socket,
            version,
            dice: Dice(number),
            next: 0,
        };
        match connection.read()?.as_slice() {
            [ServerMessage::InitialConnection { .. }] => Ok(connection),
            other => bail!("expected to be told who this is, got {other:?}"),
        }
    }

    /// Makes so many transfers; answers how long each took.
    fn transfer(mut self, calls: u64) -> anyhow::Result<Vec<Duration>> {
        let calls = usize::try_from(calls)?;
        let mut sent: Vec<Instant> = Vec::with_capacity(calls);
        let mut took = Vec::with_capacity(calls);
        let deadline = Deadline::after_s(300);
        self.send(IN_FLIGHT.min(calls), &mut sent)?;
        while took.len() < calls {
            deadline.check("answers")?;
            let messages = self.read()?;
            let now = instant();
            for message in &messages {
                let ServerMessage::ReducerResult {
                    request_id, result, ..
                } = message
                else {
                    bail!("expected what became of a call, got {message:?}");
                };
                // One that has not enough is refused, which costs as much.
                if let ReducerOutcome::InternalError(why) = result {
                    bail!("a call failed: {why}");
                }
                took.push(now - sent[*request_id as usize]);
            }
            let left = calls - sent.len();
            self.send(messages.len().min(left), &mut sent)?;
        }
        Ok(took)
    }

    fn send(&mut self, calls: usize, sent: &mut Vec<Instant>) -> anyhow::Result<()> {
        let messages: Vec<_> = (0..calls).map(|_| self.call()).collect();
        let frames: Vec<Vec<u8>> = match self.version {
            Version::V3 if messages.is_empty() => Vec::new(),
            Version::V3 => vec![v2::encode_client_frame(&messages)],
            Version::V2 => messages.iter().map(ClientMessage::encode).collect(),
        };
        let now = instant();
        sent.extend(messages.iter().map(|_| now));
        for frame in frames {
            self.socket.write(Message::Binary(frame.into()))?;
        }
        self.socket.flush()?;
        Ok(())
    }

    fn call(&mut self) -> ClientMessage {
        let (from, to) = (self.dice.below(ACCOUNTS), self.dice.below(ACCOUNTS));
        let amount: i64 = 1;
        let arguments = [
            &from.to_le_bytes()[..],
            &to.to_le_bytes(),
            &amount.to_le_bytes(),
        ];
        let request_id = self.next;
        self.next += 1;
        ClientMessage::CallReducer {
            request_id,
            reducer: "transfer".to_owned(),
            args: arguments.concat().into(),
        }
    }

    fn read(&mut self) -> anyhow::Result<Vec<ServerMessage>> {
        loop {
            match self.socket.read()? {
                Message::Binary(frame) => {
                    let payload = open_frame(&frame, FRAME_BYTES_MAX)?;
                    return Ok(v2::decode_server_frame(self.version, &payload)?);
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("the peer ended the connection: {other:?}"),
            }
        }
    }
}
