//! `/v1/identity`: tokens for those who have none, and the check of those who have.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use peer_core::{Reply, Request};
use serde_json::json;

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::{Caller, known};
use crate::driver::clock::wall_s;
use crate::driver::tokens::{TokenError, check_any};

/// `POST /v1/identity`: a new identity and the token that proves it.
pub(super) async fn create(State(api): State<Arc<Api>>) -> Answer {
    let bearer = api.tokens.anonymous(wall_s())?;
    let answer = json!({ "identity": bearer.identity(), "token": bearer.token });
    Ok(Json(answer).into_response())
}

/// `POST /v1/identity/websocket-token`: a token that is good for a minute, for those who can send one
/// in an address only.
pub(super) async fn websocket_token(State(api): State<Arc<Api>>, caller: Caller) -> Answer {
    if caller.fresh {
        let why = "send your token as Authorization: Bearer TOKEN";
        return Err(Refusal(StatusCode::UNAUTHORIZED, why.to_owned()));
    }
    let token = api.tokens.brief(&caller.bearer, wall_s())?;
    Ok(Json(json!({ "token": token })).into_response())
}

/// `GET /v1/identity/public-key`: what checks our tokens, in PEM.
pub(super) async fn public_key(State(api): State<Arc<Api>>) -> Answer {
    let kind = [(header::CONTENT_TYPE, "application/pem-certificate-chain")];
    Ok((kind, api.tokens.public_key_pem()).into_response())
}

/// `GET /v1/identity/:identity/databases`: those here that it owns. For itself, and for the peer's
/// owner.
pub(super) async fn databases(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(identity): Path<String>,
) -> Answer {
    let asked = identity_of(&identity)?;
    if !caller.owner && caller.bearer.identity() != asked {
        let why = "you can ask for your own databases only";
        return Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()));
    }
    let Reply::Databases(all) = api.ask(&caller, Request::List).await? else {
        return Err(Refusal::unexpected());
    };
    let owned = all.iter().filter(|info| info.owner_identity == asked);
    let identities: Vec<String> = owned.map(|info| info.database.to_string()).collect();
    Ok(Json(json!({ "identities": identities })).into_response())
}

/// An identity as people write it, in lower case and bare.
fn identity_of(text: &str) -> Result<String, Refusal> {
    let bare = text.trim_start_matches("0x").to_ascii_lowercase();
    if bare.len() != 64 || !bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::bad_request("an identity is 64 hex digits"));
    }
    Ok(bare)
}

/// `GET /v1/identity/:identity/verify`: whether the token in the request proves that identity.
/// Tokens of any peer can be checked: the key is in the issuer's name. Of providers, those that a
/// database here trusts.
pub(super) async fn verify(
    State(api): State<Arc<Api>>,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let unauthorized = |why: &str| Refusal(StatusCode::UNAUTHORIZED, why.to_owned());
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| unauthorized("send the token to check as Authorization: Bearer TOKEN"))?;
    let bearer = match check_any(token, wall_s()) {
        Err(TokenError::OfProvider) => known(&api, token, None, wall_s()).await?,
        other => other?,
    };
    let asked = identity_of(&identity)?;
    if bearer.identity() != asked {
        let text = format!("the token is for {}", bearer.identity());
        return Err(Refusal::bad_request(text));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
