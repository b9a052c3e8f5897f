//! A client without a library: one WebSocket, in whichever protocol, that does what a test says, also
//! what no client should do.
#![allow(
    clippy::disallowed_methods,
    reason = "talks to other processes, so it waits for them"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use client_messages::compression::open_frame;
use client_messages::v2::{self, ClientMessage, ServerMessage, Version};
use tungstenite::handshake::client::generate_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::harness::{PATIENCE, Peer};

/// Bytes of a peer's message that are read.
const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// What a handshake is made of; what is not said is left to the peer.
pub(crate) struct Handshake<'a> {
    pub(crate) database: &'a str,
    /// Offered, separated by commas; `None`: the header is not there.
    pub(crate) protocol: Option<&'a str>,
    /// Of the query, without the question mark.
    pub(crate) options: &'a str,
    pub(crate) token: Option<&'a str>,
}

impl<'a> Handshake<'a> {
    pub(crate) fn v2(database: &'a str) -> Self {
        Self {
            database,
            protocol: Some("v2.bsatn.spacetimedb"),
            options: "compression=None",
            token: None,
        }
    }

    /// The request as it is sent.
    pub(crate) fn text(&self) -> String {
        let Self {
            database, options, ..
        } = self;
        let mut text = format!(
            "GET /v1/database/{database}/subscribe?{options} HTTP/1.1\r\nHost: localhost\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\n",
            generate_key()
        );
        if let Some(protocol) = self.protocol {
            text += &format!("Sec-WebSocket-Protocol: {protocol}\r\n");
        }
        if let Some(token) = self.token {
            text += &format!("Authorization: Bearer {token}\r\n");
        }
        text + "\r\n"
    }

    /// Sends it, and gives the connection before anything was heard.
    pub(crate) fn send(&self, peer: &Peer) -> TcpStream {
        let mut stream = tcp(peer);
        let sent = stream.write_all(self.text().as_bytes());
        sent.expect("the peer takes a request");
        stream
    }

    /// Sends it, and gives the socket, or the status and the text with which it was refused.
    pub(crate) fn open(&self, peer: &Peer) -> Result<Socket, (u16, String)> {
        Socket::accepted(self.send(peer))
    }
}

/// A connection to the peer's HTTP side.
pub(crate) fn tcp(peer: &Peer) -> TcpStream {
    let (_, port) = peer.http().rsplit_once(':').expect("an address has a port");
    let port = port.parse().expect("a number");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the peer listens");
    let set = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_nodelay(true));
    set.expect("a socket can be set");
    stream
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a code and a reason.
    Closed(u16, String),
    /// Without a word.
    Gone,
}

/// An open socket.
pub(crate) struct Socket<S = TcpStream>(WebSocket<S>);

impl Socket {
    /// A socket that speaks v2 without compression, after hello.
    pub(crate) fn v2(peer: &Peer, database: &str) -> Self {
        let mut socket = Handshake::v2(database).open(peer).expect("it is let in");
        match socket.next_v2() {
            ServerMessage::InitialConnection { .. } => socket,
            other => panic!("expected hello, got {other:?}"),
        }
    }

    /// The connection below: for bytes that are no frames, and for ends that are none.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Nothing more is said; what the peer says is still heard.
    pub(crate) fn shut(&mut self) {
        let shut = self.stream().shutdown(Shutdown::Write);
        shut.expect("an open connection can be shut");
    }
}

impl<S: Read + Write> Socket<S> {
    /// What comes of a handshake that was sent.
    pub(crate) fn accepted(mut stream: S) -> Result<Self, (u16, String)> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                other => panic!("no answer to a handshake: {other:?}, {head:?}"),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        match status.expect("an answer has a status") {
            101 => Ok(Self(WebSocket::from_raw_socket(stream, Role::Client, None))),
            status => {
                let head = head.to_ascii_lowercase();
                let (_, len) = head.split_once("content-length: ").expect("it says it");
                let len = len.split("\r\n").next().and_then(|len| len.parse().ok());
                let mut body = vec![0; len.expect("a length is a number")];
                stream.read_exact(&mut body).expect("all of it comes");
                Err((status, String::from_utf8_lossy(&body).into_owned()))
            }
        }
    }

    /// Sends a frame. The peer may have closed meanwhile.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), tungstenite::Error> {
        self.0.send(message)
    }

    pub(crate) fn ask(&mut self, message: &ClientMessage) {
        let sent = self.send(Message::binary(message.encode()));
        sent.expect("the peer takes a message");
    }

    /// The next frame with bytes or text.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn next(&mut self) -> Result<Vec<u8>, End> {
        loop {
            match self.0.read() {
                Ok(Message::Binary(bytes)) => return Ok(bytes.to_vec()),
                Ok(Message::Text(text)) => return Ok(text.as_bytes().to_vec()),
                Ok(Message::Close(Some(frame))) => {
                    return Err(End::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Ok(Message::Close(None)) => return Err(End::Gone),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("nothing was heard for {PATIENCE:?}");
                }
                Err(_) => return Err(End::Gone),
            }
        }
    }

    /// The next message of v2.
    pub(crate) fn next_v2(&mut self) -> ServerMessage {
        let frame = self.next().expect("the connection is open");
        let payload = open_frame(&frame, MESSAGE_BYTES_MAX).expect("a frame can be opened");
        let messages = v2::decode_server_frame(Version::V2, &payload).expect("it is of v2");
        messages.into_iter().next().expect("one message a frame")
    }

    /// How it ends, whatever is said before.
    pub(crate) fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next() {
                return end;
            }
        }
    }

    /// Follows a query in v2; gives how many rows it has.
    pub(crate) fn follow(&mut self, set: u32, query: &str) -> usize {
        self.ask(&ClientMessage::Subscribe {
            request_id: set,
            query_set_id: set,
            query_strings: vec![query.to_owned()],
        });
        match self.next_v2() {
            ServerMessage::SubscribeApplied { rows, .. } => {
                rows.tables.iter().map(|table| table.rows.len()).sum()
            }
            other => panic!("expected rows, got {other:?}"),
        }
    }
}
