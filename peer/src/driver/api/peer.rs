//! `/v1/peer`: routes of ours about this peer, for its owner.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use peer_core::{Claims, Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::caller::Owner;
use super::members::with_connections;
use super::{Api, views};

/// `GET /v1/health`: whether the core answers.
pub(super) async fn health(State(api): State<Arc<Api>>) -> Answer {
    let nobody = Arc::new(Claims {
        issuer: api.tokens.did().to_owned(),
        subject: "health".to_owned(),
        payload: String::new(),
    });
    match api.mailbox.request(nobody, false, Request::Peer).await {
        Ok(_) => Ok(Json(json!({ "status": "ok" })).into_response()),
        Err(error) if error.kind == peer_core::ErrorKind::Unavailable => Err(error.into()),
        // It answered, which is what was asked.
        Err(_) => Ok(Json(json!({ "status": "ok" })).into_response()),
    }
}

/// `GET /v1/peer`: who this peer is and where it listens.
pub(super) async fn peer(State(api): State<Arc<Api>>, Owner(caller): Owner) -> Answer {
    let Reply::Peer(info) = api.ask(&caller, Request::Peer).await? else {
        return Err(Refusal::unexpected());
    };
    let mut answer = views::peer(&info);
    let run = api.run.borrow().clone();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("pid".into(), json!(run.pid));
        answer.insert("opened_ms".into(), json!(api.opened.as_secs_f64() * 1e3));
        answer.insert("http".into(), json!(run.http));
        answer.insert("p2p".into(), json!(run.p2p));
        // Absolute: whoever asks may be in another directory.
        let data_dir = std::path::absolute(api.data_dir.path()).unwrap_or_default();
        answer.insert("data_dir".into(), json!(data_dir));
        answer.insert("network_on".into(), json!(api.network.is_on()));
        answer.insert("network_leads_out".into(), json!(api.network.leads_out()));
    }
    Ok(Json(answer).into_response())
}

/// `GET /v1/peer/databases`.
pub(super) async fn databases(State(api): State<Arc<Api>>, Owner(caller): Owner) -> Answer {
    match api.ask(&caller, Request::List).await? {
        Reply::Databases(databases) => {
            let databases: Vec<Value> = databases.iter().map(views::database).collect();
            Ok(Json(databases).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// `GET /v1/peer/status`: of all databases.
pub(super) async fn status(State(api): State<Arc<Api>>, Owner(caller): Owner) -> Answer {
    match api.ask(&caller, Request::Status { database: None }).await? {
        Reply::Status(mut all) => {
            for status in &mut all {
                with_connections(&api, &mut status.peers);
            }
            let all: Vec<Value> = all.iter().map(views::status).collect();
            Ok(Json(all).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// `GET /v1/peer/peers`: those with a link, then those who are kept outside.
pub(super) async fn peers(State(api): State<Arc<Api>>, Owner(caller): Owner) -> Answer {
    match api.ask(&caller, Request::Peers).await? {
        Reply::Peers(mut remotes, cut_off) => {
            with_connections(&api, &mut remotes);
            let remotes = remotes.iter().map(views::remote);
            let all: Vec<Value> = remotes.chain(cut_off.iter().map(views::cut_off)).collect();
            Ok(Json(all).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// `GET /v1/peer/network`: `{"on": bool, "leads_out": bool}`.
pub(super) async fn network(State(api): State<Arc<Api>>, _: Owner) -> Answer {
    Ok(Json(how_it_stands(&api)).into_response())
}

/// Whether it is switched on, and whether any network of this machine leads to others.
fn how_it_stands(api: &Api) -> Value {
    json!({ "on": api.network.is_on(), "leads_out": api.network.leads_out() })
}

/// The switch.
#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    on: bool,
}

/// `POST /v1/peer/network`: off closes every connection and refuses new ones, as if the cable
/// were pulled; on tries every known peer at once.
pub(super) async fn set_network(
    State(api): State<Arc<Api>>,
    _: Owner,
    Json(switch): Json<Switch>,
) -> Answer {
    api.network.set_on(switch.on).await;
    Ok(Json(how_it_stands(&api)).into_response())
}

/// What is joined.
#[derive(Debug, Deserialize)]
pub(super) struct JoinOrder {
    ticket: String,
}

/// `POST /v1/peer/join`: starts, and says how it stands.
pub(super) async fn join(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Json(order): Json<JoinOrder>,
) -> Answer {
    let ticket = order.ticket.trim().to_owned();
    progress(api.ask(&caller, Request::Join { ticket }).await?)
}

/// Which join.
#[derive(Debug, Deserialize)]
pub(super) struct JoinQuestion {
    database: String,
}

/// `GET /v1/peer/join?database=…`: how it stands.
pub(super) async fn join_progress(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Query(question): Query<JoinQuestion>,
) -> Answer {
    let request = Request::JoinProgress {
        database: question.database,
    };
    progress(api.ask(&caller, request).await?)
}

fn progress(reply: Reply) -> Answer {
    match reply {
        Reply::Joining(progress) => Ok(Json(views::joining(&progress)).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}
