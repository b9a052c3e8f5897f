//! One connection: reads what the client asks, sends what it is told. The two go on beside each other,
//! so a client that does not read is noticed while it writes, and the other way round.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use client_messages::compression::Compression;
use client_messages::v2::{self as wire, ServerMessage, Version};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use peer_core::{ClientId, Input, Request};
use sync_protocol::ConnectionId;
use tokio::sync::mpsc;

use super::v2::{Asking, Translator};
use crate::driver::api::Api;
use crate::driver::api::caller::Caller;
use crate::driver::clients::{Dropped, Inbox, Told, queue};
use crate::driver::core_thread::Mail;

/// Time between two pings.
const PING_EVERY: Duration = Duration::from_secs(15);

/// A client of which nothing is heard for so long is gone: it answers pings.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// Things told that go into one frame, for clients that take several.
const TOLD_PER_FRAME_MAX: usize = 256;

/// Messages that wait for the client's end beside what the core tells: pongs of its own pings, and
/// the end.
const ASIDE_MAX: usize = 16;

/// Codes of RFC 6455 and of the registry it began.
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const GONE: u16 = 1001;
    pub(super) const NOT_UNDERSTOOD: u16 = 1011;
    pub(super) const TOO_SLOW: u16 = 1013;
}

/// Who is connected, to what, and how they speak.
pub(super) struct Session {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) database: String,
    pub(super) connection: ConnectionId,
    pub(super) version: Version,
    pub(super) compression: Compression,
}

/// How a connection ends.
type End = (u16, String);

impl Session {
    /// Keeps the connection until one side ends it.
    pub(super) async fn run(self, socket: WebSocket) {
        let client = self.api.mailbox.new_client();
        let (outbox, inbox) = queue();
        if !self
            .api
            .mailbox
            .send(Mail::ClientOpened { client, outbox })
            .await
        {
            return;
        }
        let connect = Request::Connect {
            database: self.database.clone(),
            connection: self.connection,
        };
        let (mut sink, stream) = socket.split();
        // A client that the module refuses is told so, and nothing else.
        let connected = self.api.ask_core(&self.caller, connect).await;
        let end = match &connected {
            Ok(_) => self.converse(client, inbox, &mut sink, stream).await,
            Err(error) => (code::NORMAL, error.message.clone()),
        };
        close(&mut sink, end).await;
        let gone = Mail::Input(Input::ClientGone { client });
        let told = self.api.mailbox.send(Mail::ClientClosed { client }).await
            && self.api.mailbox.send(gone).await;
        if told && connected.is_ok() {
            let disconnect = Request::Disconnect {
                database: self.database.clone(),
                connection: self.connection,
            };
            // Whatever the module says to it, the client is gone.
            let _ = self.api.ask_core(&self.caller, disconnect).await;
        }
    }

    async fn converse(
        &self,
        client: ClientId,
        inbox: Inbox,
        sink: &mut SplitSink<WebSocket, Message>,
        stream: SplitStream<WebSocket>,
    ) -> End {
        let translator = Arc::new(Translator::new(self.connection, client, &self.database));
        let (aside, from_reader) = mpsc::channel(ASIDE_MAX);
        let hello = ServerMessage::InitialConnection {
            identity: self.caller.bearer.claims.identity(),
            connection_id: self.connection.0,
            token: self.caller.bearer.token.clone(),
        };
        let mut stopping = self.api.stopping.clone();
        let mut dropped = inbox.dropped.clone();
        tokio::select! {
            end = self.read(client, stream, Arc::clone(&translator), aside) => end,
            end = self.write(hello, sink, inbox.told, from_reader, &translator) => end,
            why = dropped.wait_for(Option::is_some) => match why.as_deref() {
                Ok(Some(Dropped::TooSlow(why))) => (code::TOO_SLOW, (*why).to_owned()),
                Ok(Some(Dropped::Gone(why))) => (code::GONE, why.clone()),
                _ => (code::GONE, "this peer is stopping".to_owned()),
            },
            _ = stopping.wait_for(|stopping| *stopping) => (code::GONE, "this peer is stopping".to_owned()),
        }
    }

    /// Puts to the core what the client asks, until it ends.
    async fn read(
        &self,
        client: ClientId,
        mut stream: SplitStream<WebSocket>,
        translator: Arc<Translator>,
        aside: mpsc::Sender<ServerMessage>,
    ) -> End {
        loop {
            let next = match tokio::time::timeout(SILENT_MAX, stream.next()).await {
                Err(_) => return (code::NORMAL, "nothing was heard for 30 s".to_owned()),
                Ok(None) => return (code::NORMAL, String::new()),
                Ok(Some(Err(error))) => return (code::NOT_UNDERSTOOD, error.to_string()),
                Ok(Some(Ok(message))) => message,
            };
            let frame = match next {
                Message::Binary(frame) => frame,
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return (code::NORMAL, String::new()),
                Message::Text(_) => {
                    let why = "this subprotocol is binary".to_owned();
                    return (code::NOT_UNDERSTOOD, why);
                }
            };
            let messages = match wire::decode_client_frame(self.version, &frame) {
                Ok(messages) => messages,
                Err(malformed) => return (code::NOT_UNDERSTOOD, malformed.to_string()),
            };
            for message in messages {
                let (ticket, request) = match translator.ask(message).await {
                    Asking::Core { ticket, request } => (ticket, request),
                    Asking::Nobody(answer) => {
                        if aside.send(answer).await.is_err() {
                            return (code::NORMAL, String::new());
                        }
                        continue;
                    }
                };
                let mail = Mail::ClientRequest {
                    client,
                    ticket,
                    caller: self.caller.bearer.claims.clone(),
                    owner: self.caller.owner,
                    request,
                };
                if !self.api.mailbox.send(mail).await {
                    return (code::GONE, "this peer is stopping".to_owned());
                }
            }
        }
    }

    /// Sends what the client is told, until it cannot be sent.
    async fn write(
        &self,
        hello: ServerMessage,
        sink: &mut SplitSink<WebSocket, Message>,
        mut told: mpsc::Receiver<Told>,
        mut aside: mpsc::Receiver<ServerMessage>,
        translator: &Translator,
    ) -> End {
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut waiting = Vec::with_capacity(TOLD_PER_FRAME_MAX);
        let mut messages = vec![hello];
        loop {
            if !messages.is_empty() {
                let frames = self.frames(&messages);
                messages.clear();
                for frame in frames {
                    let sent = sink.feed(Message::Binary(Bytes::from(frame))).await;
                    if sent.is_err() {
                        return (code::NORMAL, String::new());
                    }
                }
                if sink.flush().await.is_err() {
                    return (code::NORMAL, String::new());
                }
            }
            tokio::select! {
                count = told.recv_many(&mut waiting, TOLD_PER_FRAME_MAX) => {
                    if count == 0 {
                        return (code::GONE, "this peer is stopping".to_owned());
                    }
                    for told in waiting.drain(..) {
                        translator.tell(told, &mut messages);
                    }
                }
                Some(message) = aside.recv() => messages.push(message),
                _ = pings.tick() => {
                    if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        return (code::NORMAL, String::new());
                    }
                }
            }
        }
    }

    fn frames(&self, messages: &[ServerMessage]) -> Vec<Vec<u8>> {
        match self.version {
            Version::V3 => vec![wire::encode_server_frame(self.compression, messages)],
            Version::V2 => messages
                .iter()
                .map(|message| wire::encode_server_frame(self.compression, [message]))
                .collect(),
        }
    }
}

/// Bytes of a reason in a close frame.
const REASON_BYTES_MAX: usize = 123;

async fn close(sink: &mut SplitSink<WebSocket, Message>, (code, mut why): End) {
    let mut end = why.len().min(REASON_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why.truncate(end);
    let reason = why.into();
    let frame = Message::Close(Some(CloseFrame { code, reason }));
    // A client that does not read does not hear this either.
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.send(frame)).await;
}
