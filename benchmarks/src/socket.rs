//! A WebSocket to a database at a server.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};
use client_messages::compression::open_frame;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

/// Seconds that the next frame may take.
const PATIENCE_S: u64 = 300;

/// Bytes of a frame of the server.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Bytes that are read at once. They are set to zero before each read, at the cost of whoever is measured.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// A database at a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    /// Name or identity of the database.
    pub(crate) database: String,
}

/// One client's connection.
pub(crate) struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Connects, as somebody whom the server does not know. What the server says first is not read.
    ///
    /// # Errors
    /// If there is no such server or database.
    pub(crate) fn open(target: &Target, subprotocol: &'static str) -> anyhow::Result<Self> {
        let Target { address, database } = target;
        let url = format!("ws://{address}/v1/database/{database}/subscribe?compression=None");
        let mut request = url.into_client_request()?;
        let name = HeaderValue::from_static(subprotocol);
        request.headers_mut().insert("sec-websocket-protocol", name);
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(PATIENCE_S)))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let opened = tungstenite::client::client_with_config(request, stream, Some(config));
        let (socket, _) = opened.context("opening a WebSocket")?;
        Ok(Self(socket))
    }

    /// Has reading and writing never wait.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub(crate) fn never_wait(&mut self) -> anyhow::Result<()> {
        Ok(self.0.get_mut().set_nonblocking(true)?)
    }

    /// Sends frames. What a socket that never waits cannot send now goes with the next ones.
    ///
    /// # Errors
    /// If the connection has ended, or too much waits to be sent.
    pub(crate) fn send(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> anyhow::Result<()> {
        let later = |result| match result {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        };
        for frame in frames {
            later(self.0.write(Message::Binary(frame.into())))?;
        }
        Ok(later(self.0.flush())?)
    }

    /// The payload of the next frame that says something; `None` if there is none yet, of a socket that
    /// never waits.
    ///
    /// # Errors
    /// If the server ended the connection, or says nothing for too long.
    pub(crate) fn read_some(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            match self.0.read() {
                Ok(Message::Binary(frame)) => {
                    return Ok(Some(open_frame(&frame, FRAME_BYTES_MAX)?.into_owned()));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => bail!("the server ended the connection: {other:?}"),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The same of a socket that waits.
    ///
    /// # Errors
    /// As for [`Socket::read_some`].
    pub(crate) fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        let payload = self.read_some()?;
        payload.with_context(|| format!("the server has said nothing for {PATIENCE_S} s"))
    }
}
