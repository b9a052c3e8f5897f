//! `GET /v1/database/:db/subscribe`: clients that stay connected over a WebSocket, as SpacetimeDB's
//! SDKs do.
//!
//! The handshake is here; [`session`] keeps a connection; [`v2`] turns the client's messages into
//! requests and what the core tells into messages.

mod session;
mod v2;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use client_messages::compression::Compression;
use client_messages::v2::Version;
use serde::Deserialize;
use sync_protocol::ConnectionId;

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use super::database::fresh_connection;

use session::Session;

/// Bytes of a message of a client. What is longer closes the connection.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

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
    if !matches!(options.confirmed.as_deref(), None | Some("true" | "false")) {
        return Err(Refusal::bad_request("confirmed is true or false"));
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
        .protocols([Version::V3.subprotocol(), Version::V2.subprotocol()]);
    let chosen = upgrade.selected_protocol().and_then(|it| it.to_str().ok());
    let version = match chosen {
        Some(name) if name == Version::V3.subprotocol() => Version::V3,
        Some(name) if name == Version::V2.subprotocol() => Version::V2,
        _ => {
            let text = format!(
                "this peer speaks the WebSocket subprotocols {} and {}",
                Version::V3.subprotocol(),
                Version::V2.subprotocol()
            );
            return Err(Refusal(StatusCode::BAD_REQUEST, text));
        }
    };
    let session = Session {
        api,
        caller,
        database: info.database.to_string(),
        connection,
        version,
        compression,
    };
    Ok(upgrade
        .on_upgrade(|socket| session.run(socket))
        .into_response())
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
