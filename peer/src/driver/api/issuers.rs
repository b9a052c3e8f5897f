//! Routes of ours about providers of OpenID Connect, for the owner: whose tokens a database takes, and
//! for whom this device speaks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use peer_core::{IssuerInfo, Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use sync_protocol::{DeviceKey, TrustedIssuer};

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::{Caller, Owner};
use crate::driver::issuers::fetched;

/// `GET /v1/database/:db/issuers`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    let database = Some(database);
    match api.ask(&caller, Request::Issuers { database }).await? {
        Reply::Issuers(infos) => {
            let infos: Vec<Value> = infos.iter().map(view).collect();
            Ok(Json(infos).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

fn view(info: &IssuerInfo) -> Value {
    let keys = info.keys.iter();
    let keys = keys.map(|key| json!({ "kid": key.kid, "alg": key.algorithm.name() }));
    json!({
        "issuer": info.rules.issuer,
        "audiences": info.rules.audiences,
        "claims": info.rules.claims,
        "keys": keys.collect::<Vec<_>>(),
    })
}

/// Whom to trust.
#[derive(Debug, Deserialize)]
pub(super) struct Trust {
    issuer: String,
    audiences: Vec<String>,
    #[serde(default)]
    claims: Vec<String>,
    /// Even though the issuer cannot be asked for its keys now.
    #[serde(default)]
    unchecked: bool,
}

/// `POST /v1/database/:db/issuers`: nothing changes if the issuer is not there, unless that is wanted.
pub(super) async fn trust(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(asked): Json<Trust>,
) -> Answer {
    let keys = match fetched(&asked.issuer).await {
        Ok(keys) => Some(keys),
        Err(_) if asked.unchecked => None,
        Err(why) => {
            let text = format!("{why}; nothing was changed");
            return Err(Refusal(StatusCode::BAD_GATEWAY, text));
        }
    };
    let request = Request::TrustIssuer {
        database: database.clone(),
        rules: TrustedIssuer {
            issuer: asked.issuer.clone(),
            audiences: asked.audiences,
            claims: asked.claims,
        },
    };
    done(&api, &caller, request).await?;
    if let Some(keys) = keys {
        api.issuers.take(&asked.issuer, keys).await;
    }
    let request = Request::IssuersNamed {
        database: Some(database),
        issuer: asked.issuer,
    };
    match api.ask(&caller, request).await? {
        Reply::Issuers(infos) if infos.len() == 1 => Ok(Json(view(&infos[0])).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

/// Whom to trust no more.
#[derive(Debug, Deserialize)]
pub(super) struct Distrust {
    issuer: String,
}

/// `DELETE /v1/database/:db/issuers?issuer=URL`.
pub(super) async fn distrust(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Query(asked): Query<Distrust>,
) -> Answer {
    let request = Request::DistrustIssuer {
        database,
        issuer: asked.issuer,
    };
    done(&api, &caller, request).await
}

/// `GET /v1/database/:db/bindings`: for whom this device speaks, and the `nonce` that a token needs to
/// make it speak for somebody.
pub(super) async fn bindings(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    match api.ask(&caller, Request::Bindings { database }).await? {
        Reply::Bindings(bindings) => {
            let users = bindings.users.iter().map(|user| {
                json!({
                    "issuer": user.issuer,
                    "subject": user.subject,
                    "identity": user.identity,
                    "claims": serde_json::from_str::<Value>(&user.claims).unwrap_or_default(),
                })
            });
            let answer = json!({
                "device": bindings.device.to_string(),
                "nonce": bindings.nonce,
                "gateway": bindings.vouches,
                "users": users.collect::<Vec<_>>(),
            });
            Ok(Json(answer).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// What binds.
#[derive(Deserialize)]
pub(super) struct Bind {
    /// The ID token.
    token: String,
}

/// `POST /v1/database/:db/bindings`.
pub(super) async fn bind(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(asked): Json<Bind>,
) -> Answer {
    let request = Request::Bind {
        database,
        token: asked.token,
    };
    done(&api, &caller, request).await
}

/// Who is no longer spoken for.
#[derive(Debug, Deserialize)]
pub(super) struct Unbind {
    /// By which device; by this one unless told otherwise.
    device: Option<String>,
    issuer: String,
    subject: String,
}

/// `DELETE /v1/database/:db/bindings?issuer=URL&subject=TEXT`.
pub(super) async fn unbind(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Query(asked): Query<Unbind>,
) -> Answer {
    let device = asked.device.as_deref().map(str::parse::<DeviceKey>);
    let device = device.transpose().map_err(|_| {
        Refusal::bad_request("a device key has 64 digits of hex, as `tombolo members` shows them")
    })?;
    let request = Request::Unbind {
        database,
        device,
        issuer: asked.issuer,
        subject: asked.subject,
    };
    done(&api, &caller, request).await
}

async fn done(api: &Api, caller: &Caller, request: Request) -> Answer {
    match api.ask(caller, request).await? {
        Reply::Done => Ok(Json(json!({})).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}
