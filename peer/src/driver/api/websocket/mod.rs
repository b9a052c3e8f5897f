//! `GET /v1/database/:db/subscribe`: clients that stay connected over a WebSocket, as SpacetimeDB's
//! SDKs do.
//!
//! The handshake is here. [`session`] keeps a connection, [`translator`] what is open on it; what
//! either says in the words of a [`protocol`] is in [`v1`] and [`v2`].

mod protocol;
mod session;
mod translator;
mod v1;
mod v2;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use client_messages::compression::Compression;
use client_messages::v1::{Bsatn, Json, SUBPROTOCOL_BSATN, SUBPROTOCOL_JSON};
use client_messages::v2::Version;
use serde::Deserialize;
use sync_protocol::{ConnectionId, DatabaseId};

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use super::database::fresh_connection;

use protocol::Protocol;
use session::Session;
use v1::V1;
use v2::V2;

/// Bytes of a message of a client. What is longer closes the connection.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Bytes that are read at once, and that each connection keeps. They are set to zero before every look whether
/// there is more, so many of them would cost more than the few messages that come at once.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// What a client says about its connection.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Options {
    /// Big-endian hexadecimal; one is drawn if it says none.
    connection_id: Option<String>,
    /// `None`, `Gzip` or `Brotli`.
    compression: Option<String>,
    /// `true` or `false`: whether to hear of calls only when they are durable. Here they always
    /// are.
    confirmed: Option<String>,
    /// `true` or `false`: whether a client of v1 wants to hear less about the calls of others. It
    /// always does here.
    light: Option<String>,
}

/// `GET /v1/database/:db/subscribe`.
pub(super) async fn subscribe(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
    Query(options): Query<Options>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer {
    let info = api.resolve(&caller, database).await?;
    let compression = match options.compression.as_deref() {
        None => Compression::default(),
        Some(name) => name
            .parse()
            .map_err(|error| Refusal::bad_request(format!("{error}")))?,
    };
    for (name, said) in [("confirmed", &options.confirmed), ("light", &options.light)] {
        if !matches!(said.as_deref(), None | Some("true" | "false")) {
            return Err(Refusal::bad_request(format!("{name} is true or false")));
        }
    }
    let connection = match options.connection_id.as_deref() {
        None => fresh_connection(),
        Some(text) => connection_of(text).ok_or_else(|| {
            Refusal::bad_request("connection_id is 32 hexadecimal digits that are not all zero")
        })?,
    };
    let upgrade =
        upgrade.map_err(|rejection| Refusal(rejection.status(), rejection.body_text()))?;
    let upgrade = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .protocols(Spoken::ALL.map(Spoken::subprotocol));
    let chosen = upgrade.selected_protocol().and_then(|it| it.to_str().ok());
    let spoken = Spoken::ALL
        .into_iter()
        .find(|spoken| Some(spoken.subprotocol()) == chosen);
    let Some(spoken) = spoken else {
        let names = Spoken::ALL.map(Spoken::subprotocol).join(", ");
        let text = format!("this peer speaks the WebSocket subprotocols {names}");
        return Err(Refusal(StatusCode::BAD_REQUEST, text));
    };
    let at = At {
        api,
        caller,
        database: info.database,
        connection,
    };
    Ok(match spoken {
        Spoken::V2(version) => at.speak(
            upgrade,
            V2 {
                version,
                compression,
            },
        ),
        Spoken::V1Bsatn => at.speak(upgrade, V1::<Bsatn>::new(compression)),
        Spoken::V1Json => at.speak(upgrade, V1::<Json>::new(compression)),
    })
}

/// A subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    V2(Version),
    V1Bsatn,
    V1Json,
}

impl Spoken {
    /// All of them, the best first: of those that a client offers, the first is taken.
    const ALL: [Self; 4] = [
        Self::V2(Version::V3),
        Self::V2(Version::V2),
        Self::V1Bsatn,
        Self::V1Json,
    ];

    fn subprotocol(self) -> &'static str {
        match self {
            Self::V2(version) => version.subprotocol(),
            Self::V1Bsatn => SUBPROTOCOL_BSATN,
            Self::V1Json => SUBPROTOCOL_JSON,
        }
    }
}

/// Who connects, and to what.
struct At {
    api: Arc<Api>,
    caller: Caller,
    database: DatabaseId,
    connection: ConnectionId,
}

impl At {
    fn speak(self, upgrade: WebSocketUpgrade, protocol: impl Protocol) -> Response {
        let session = Session {
            api: self.api,
            caller: self.caller,
            database: self.database,
            connection: self.connection,
            protocol,
        };
        upgrade
            .on_upgrade(|socket| session.run(socket))
            .into_response()
    }
}

/// Hexadecimal shows the most significant byte first, the wire the least.
fn connection_of(text: &str) -> Option<ConnectionId> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()?;
    let mut id = ConnectionId(bytes.try_into().ok()?);
    id.0.reverse();
    (id != ConnectionId::ZERO).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ids_are_read_as_people_write_them() {
        let id = connection_of("000102030405060708090a0b0c0d0e0f").expect("digits");
        assert_eq!(id.0[0], 0x0f);
        assert_eq!(id.0[15], 0);
        assert_eq!(
            connection_of("0x000102030405060708090A0B0C0D0E0F"),
            Some(id)
        );
        for bad in ["", "00", &"0".repeat(32), &"g".repeat(32), &"1".repeat(33)] {
            assert_eq!(connection_of(bad), None, "{bad}");
        }
    }
}
