//! A client that follows rows.

use anyhow::{Context, bail};
use client_messages::v2::{ClientMessage, ServerMessage, Version, decode_server_frame};

use crate::socket::{Socket, Target};

/// What a client sees who follows queries, in protocol v2.
pub(crate) struct Follower(Socket);

impl Follower {
    /// Connects, and follows one query from the rows that there are.
    ///
    /// # Errors
    /// If the server refuses one or the other.
    pub(crate) fn open(target: &Target, query: &str) -> anyhow::Result<Self> {
        let mut follower = Self(Socket::open(target, Version::V2.subprotocol())?);
        let subscribe = ClientMessage::Subscribe {
            request_id: 1,
            query_set_id: 1,
            query_strings: vec![query.to_owned()],
        };
        follower.0.send([subscribe.encode()])?;
        loop {
            match follower.message()? {
                ServerMessage::SubscribeApplied { .. } => return Ok(follower),
                ServerMessage::InitialConnection { .. } => {}
                other => bail!("expected rows, got {other:?}"),
            }
        }
    }

    /// Waits for changes; answers the rows that came.
    ///
    /// # Errors
    /// If the server ended the connection, or says something else.
    pub(crate) fn rows(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        use client_messages::v2::TableUpdateRows::{Event, Persistent};
        let ServerMessage::TransactionUpdate(update) = self.message()? else {
            bail!("expected changes");
        };
        let sets = update.query_sets.into_iter();
        let tables = sets.flat_map(|set| set.tables);
        let mut came = Vec::new();
        for rows in tables.flat_map(|table| table.rows) {
            let (Persistent { inserts, .. } | Event { events: inserts }) = rows;
            came.extend(inserts.iter().map(<[u8]>::to_vec));
        }
        Ok(came)
    }

    fn message(&mut self) -> anyhow::Result<ServerMessage> {
        let payload = self.0.read()?;
        let mut messages = decode_server_frame(Version::V2, &payload)?;
        messages.pop().context("a frame has a message")
    }
}
