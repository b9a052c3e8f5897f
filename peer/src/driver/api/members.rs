//! Routes of ours about one database, for the owner: its status, its members and their roles, invitations.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use peer_core::{MemberChange, RemoteInfo, Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use sync_protocol::{DeviceKey, Role, Ticket};

use super::answer::{Answer, Refusal};
use super::caller::{Caller, Owner};
use super::{Api, views};
use crate::driver::clock::dice;

/// Seconds for which a ticket is good unless told otherwise: a day.
const EXPIRES_IN_S: u64 = 86_400;

/// `GET /v1/database/:db/status`.
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    let request = Request::Status {
        database: Some(database),
    };
    match api.ask(&caller, request).await? {
        Reply::Status(mut all) if all.len() == 1 => {
            let mut status = all.remove(0);
            with_connections(&api, &mut status.peers);
            Ok(Json(views::status(&status)).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// Adds to remotes what the transport knows of them.
pub(super) fn with_connections(api: &Api, remotes: &mut [RemoteInfo]) {
    let connections = api.network.connections();
    for remote in remotes {
        remote.up_s = api.network.link_up_s(&remote.id);
        if let Some(seen) = connections.get(&remote.id) {
            remote.rtt_ms = seen.rtt_ms;
            remote.address = Some(seen.address.clone());
            remote.relayed = Some(seen.relayed);
            remote.relay = seen.relay;
        }
    }
}

/// `GET /v1/database/:db/members`.
pub(super) async fn members(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    match api.ask(&caller, Request::Members { database }).await? {
        Reply::Members(members) => {
            let members: Vec<Value> = members.iter().map(views::member).collect();
            Ok(Json(members).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// Who is invited.
#[derive(Debug, Deserialize)]
pub(super) struct Invitation {
    /// `writer` unless told otherwise.
    role: Option<String>,
    /// How often the ticket can be used: once unless told otherwise.
    uses: Option<u32>,
    /// Seconds until it expires: a day unless told otherwise.
    expires_in_s: Option<u64>,
}

/// `POST /v1/database/:db/invite`: a ticket.
pub(super) async fn invite(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(invitation): Json<Invitation>,
) -> Answer {
    let request = Request::Invite {
        database,
        role: role_of(invitation.role.as_deref().unwrap_or("writer"))?,
        uses: invitation.uses.unwrap_or(1),
        expires_in_s: invitation.expires_in_s.unwrap_or(EXPIRES_IN_S),
        dice: dice(),
    };
    match api.ask(&caller, request).await? {
        Reply::Ticket(ticket) => Ok(Json(json!({ "ticket": ticket })).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

/// What a member is to be.
#[derive(Debug, Deserialize)]
pub(super) struct NewRole {
    role: String,
}

/// `PUT /v1/database/:db/members/:member`: another role; that of `owner` hands the database over.
pub(super) async fn set_role(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path((database, member)): Path<(String, String)>,
    Json(asked): Json<NewRole>,
) -> Answer {
    let (member, role) = (device(&member)?, role_of(&asked.role)?);
    let change = MemberChange::SetRole(member, role);
    changed(&api, &caller, database, change).await?;
    Ok(Json(json!({ "id": member.to_string(), "role": asked.role })).into_response())
}

/// `DELETE /v1/database/:db/members/:member`: it is removed; this peer itself leaves.
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path((database, member)): Path<(String, String)>,
) -> Answer {
    let change = MemberChange::Remove(device(&member)?);
    changed(&api, &caller, database, change).await?;
    Ok(Json(json!({})).into_response())
}

/// Which ticket.
#[derive(Deserialize)]
pub(super) struct Revocation {
    /// The ticket itself, or the public half of its key in hex.
    ticket: String,
}

/// `POST /v1/database/:db/invite/revoke`: the ticket admits nobody any more.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(asked): Json<Revocation>,
) -> Answer {
    let text = asked.ticket.trim();
    let key = match text.parse::<DeviceKey>() {
        Ok(key) => key,
        // Never says what it was given: it is a secret until it is revoked.
        Err(_) => text
            .parse::<Ticket>()
            .map_err(|error| Refusal::bad_request(format!("that is no ticket: {error}")))?
            .key
            .public(),
    };
    changed(&api, &caller, database, MemberChange::RevokeTicket(key)).await?;
    Ok(Json(json!({ "ticket": key.to_string() })).into_response())
}

async fn changed(
    api: &Api,
    caller: &Caller,
    database: String,
    change: MemberChange,
) -> Result<(), Refusal> {
    match api
        .ask(caller, Request::ChangeMembers { database, change })
        .await?
    {
        Reply::Done => Ok(()),
        _ => Err(Refusal::unexpected()),
    }
}

/// A device key as people write it.
pub(super) fn device(text: &str) -> Result<DeviceKey, Refusal> {
    text.parse().map_err(|_| {
        Refusal::bad_request(format!(
            "`{text}` is no device key: 64 digits of hex, as `tombolo members` shows them"
        ))
    })
}

/// A role by its name.
fn role_of(name: &str) -> Result<Role, Refusal> {
    match name {
        "owner" => Ok(Role::Owner),
        "admin" => Ok(Role::Admin),
        "gateway" => Ok(Role::Gateway),
        "writer" => Ok(Role::Writer),
        "reader" => Ok(Role::Reader),
        other => Err(Refusal::bad_request(format!(
            "there is no role `{other}`: admin, gateway, writer, reader"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_names() {
        assert!(matches!(role_of("writer"), Ok(Role::Writer)));
        assert!(matches!(role_of("reader"), Ok(Role::Reader)));
        assert!(role_of("Writer").is_err());
    }
}
