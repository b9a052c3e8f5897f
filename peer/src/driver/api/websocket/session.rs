//! One connection: reads what the client asks, sends what it is told. The two go on beside each other,
//! so a client that does not read is noticed while it writes, and the other way round.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use peer_core::{Input, Request};
use sync_protocol::{ConnectionId, DatabaseId};
use tokio::sync::mpsc;

use super::protocol::{Place, Protocol};
use super::translator::{Asks, Translator};
use crate::driver::api::Api;
use crate::driver::api::caller::Caller;
use crate::driver::clients::{Dropped, Held, Inbox, Telling, queue};
use crate::driver::core_thread::Mail;

/// Time between two pings.
const PING_EVERY: Duration = Duration::from_secs(15);

/// A client of which nothing is heard for so long is gone: it answers pings.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// How long what goes out at once may take: the largest answer over a slow link. Nothing else notices
/// a client that does not read while its own questions wait for that.
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// How long a client may take to read what was on its way to it when it was let go of, and why it was.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// Things told that go into one frame, for clients that take several.
const TOLD_PER_FRAME_MAX: usize = 256;

/// Bytes of rows in them, unless a single one has more.
const TOLD_BYTES_PER_FRAME_MAX: usize = 1 << 20;

/// Messages that wait for the client's end beside what the core tells: pongs of its own pings, and
/// the end.
const ASIDE_MAX: usize = 16;

/// What a client is told that outlives its peer.
const STOPPING: &str = "this peer is stopping";

/// What a client is told to which nothing could be sent.
const NOT_SENT: &str = "what was to be sent could not be for 120 s";

/// Codes of RFC 6455 and of the registry it began.
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const GONE: u16 = 1001;
    pub(super) const NOT_UNDERSTOOD: u16 = 1011;
    pub(super) const TOO_SLOW: u16 = 1013;
}

/// Who is connected, to what, and how they speak.
pub(super) struct Session<P> {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) database: DatabaseId,
    pub(super) connection: ConnectionId,
    pub(super) protocol: P,
}

/// The client's end.
type Sink = SplitSink<WebSocket, Message>;

/// How a connection ends.
type End = (u16, String);

impl<P: Protocol> Session<P> {
    /// Keeps the connection until one side ends it.
    pub(super) async fn run(self, socket: WebSocket) {
        let Self {
            api,
            caller,
            database,
            connection,
            protocol,
        } = self;
        let client = api.mailbox.new_client();
        let (outbox, inbox) = queue();
        let opened = Mail::ClientOpened {
            client,
            database,
            outbox,
        };
        if !api.mailbox.send(opened).await {
            return;
        }
        let database = database.to_string();
        let connect = Request::Connect {
            database: database.clone(),
            connection,
        };
        let (mut sink, stream) = socket.split();
        // A client that the module refuses is told so, and nothing else.
        let connected = api.ask_core(&caller, connect).await;
        let is_connected = connected.is_ok();
        let end = match connected {
            Ok(_) => {
                let place = Place {
                    database: database.clone(),
                    client,
                    connection,
                    identity: caller.bearer.claims.identity(),
                };
                let conversation = Conversation {
                    api: &api,
                    caller: &caller,
                    translator: Translator::new(protocol, place),
                };
                conversation.run(inbox, &mut sink, stream).await
            }
            Err(error) => (code::NORMAL, error.message),
        };
        let leave = async {
            let gone = Mail::Input(Input::ClientGone { client });
            let told = api.mailbox.send(Mail::ClientClosed { client }).await
                && api.mailbox.send(gone).await;
            if told && is_connected {
                let disconnect = Request::Disconnect {
                    database,
                    connection,
                };
                // Whatever the module says to it, the client is gone.
                let _ = api.ask_core(&caller, disconnect).await;
            }
        };
        // The module hears of it at once, however long the client takes to hear why.
        tokio::join!(close(&mut sink, end), leave);
    }
}

/// What goes on while a client is connected.
struct Conversation<'a, P: Protocol> {
    api: &'a Api,
    caller: &'a Caller,
    translator: Translator<P>,
}

impl<P: Protocol> Conversation<'_, P> {
    async fn run(&self, inbox: Inbox, sink: &mut Sink, stream: SplitStream<WebSocket>) -> End {
        let (aside, from_reader) = mpsc::channel(ASIDE_MAX);
        let mut stopping = self.api.stopping.clone();
        let mut dropped = inbox.dropped.clone();
        let end = tokio::select! {
            end = self.read(stream, aside, &inbox.held) => end,
            end = self.write(sink, inbox.told, from_reader) => end,
            _ = dropped.wait_for(Option::is_some) => (code::GONE, STOPPING.to_owned()),
            _ = stopping.wait_for(|stopping| *stopping) => (code::GONE, STOPPING.to_owned()),
        };
        // Being let go of shows at several ends at once, and only one knows why.
        match &*inbox.dropped.borrow() {
            Some(Dropped::TooSlow(why)) => (code::TOO_SLOW, (*why).to_owned()),
            Some(Dropped::Gone(why)) => (code::GONE, why.clone()),
            None => end,
        }
    }

    /// Puts to the core what the client asks, until it ends.
    async fn read(
        &self,
        mut stream: SplitStream<WebSocket>,
        aside: mpsc::Sender<P::Answer>,
        held: &Held,
    ) -> End {
        let Translator {
            protocol, place, ..
        } = &self.translator;
        loop {
            let next = match tokio::time::timeout(SILENT_MAX, stream.next()).await {
                Err(_) => return (code::NORMAL, "nothing was heard for 30 s".to_owned()),
                Ok(None) => return (code::NORMAL, String::new()),
                Ok(Some(Err(error))) => return (code::NOT_UNDERSTOOD, error.to_string()),
                Ok(Some(Ok(message))) => message,
            };
            let frame = match next {
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return (code::NORMAL, String::new()),
                frame @ (Message::Binary(_) | Message::Text(_)) => frame,
            };
            let questions = match protocol.read(frame) {
                Ok(questions) => questions,
                Err(why) => return (code::NOT_UNDERSTOOD, why),
            };
            for question in questions {
                let (ticket, request) = match self.translator.ask(question, held).await {
                    Asks::Core { ticket, request } => (ticket, request),
                    Asks::Nobody(answer) => {
                        if aside.send(answer).await.is_err() {
                            return (code::NORMAL, String::new());
                        }
                        continue;
                    }
                };
                let mail = Mail::ClientRequest {
                    client: place.client,
                    ticket,
                    caller: Arc::clone(&self.caller.bearer.claims),
                    owner: self.caller.owner,
                    request,
                };
                if !self.api.mailbox.send(mail).await {
                    return (code::GONE, STOPPING.to_owned());
                }
            }
        }
    }

    /// Sends what the client is told, until it cannot be sent.
    async fn write(
        &self,
        sink: &mut Sink,
        mut told: Telling,
        mut aside: mpsc::Receiver<P::Answer>,
    ) -> End {
        let Translator {
            protocol, place, ..
        } = &self.translator;
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut waiting = Vec::with_capacity(TOLD_PER_FRAME_MAX);
        let token = self.caller.bearer.token.clone();
        let mut messages = vec![protocol.hello(place, token)];
        loop {
            if !messages.is_empty() {
                let frames = protocol.frames(&messages);
                messages.clear();
                let sent = async {
                    for frame in frames {
                        sink.feed(frame).await?;
                    }
                    sink.flush().await
                };
                match tokio::time::timeout(SENT_WITHIN, sent).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return (code::NORMAL, String::new()),
                    Err(_) => return (code::TOO_SLOW, NOT_SENT.to_owned()),
                }
            }
            tokio::select! {
                () = told.take(TOLD_PER_FRAME_MAX, TOLD_BYTES_PER_FRAME_MAX, &mut waiting) => {
                    if waiting.is_empty() {
                        return (code::GONE, STOPPING.to_owned());
                    }
                    for told in waiting.drain(..) {
                        if let Err(why) = self.translator.tell(told, &mut messages) {
                            return (code::NOT_UNDERSTOOD, why.to_string());
                        }
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
}

/// Bytes of a reason in a close frame.
const REASON_BYTES_MAX: usize = 123;

async fn close(sink: &mut Sink, (code, mut why): End) {
    let mut end = why.len().min(REASON_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why.truncate(end);
    let reason = why.into();
    let frame = Message::Close(Some(CloseFrame { code, reason }));
    // A client that does not read does not hear this either.
    let _ = tokio::time::timeout(CLOSE_PATIENCE, sink.send(frame)).await;
}
