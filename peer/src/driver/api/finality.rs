//! Routes of ours about what is final: who makes it so, and the ways out when that fails.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use peer_core::{FinaliserInfo, Reply, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use sync_protocol::{DeviceKey, SecretKey};

use super::answer::{Answer, Refusal};
use super::caller::{Caller, Owner};
use super::members::device;
use super::{Api, hex};

/// `GET /v1/database/:db/finaliser`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    let info = ask(&api, &caller, database).await?;
    Ok(Json(view(&info)).into_response())
}

async fn ask(api: &Api, caller: &Caller, database: String) -> Result<FinaliserInfo, Refusal> {
    match api.ask(caller, Request::Finaliser { database }).await? {
        Reply::Finaliser(info) => Ok(*info),
        _ => Err(Refusal::unexpected()),
    }
}

/// Where finality goes.
#[derive(Debug, Deserialize)]
pub(super) struct Move {
    to: String,
}

/// `POST /v1/database/:db/finaliser`: 200 when the cut that hands it over is here already, 202
/// while it is waited for.
pub(super) async fn hand_over(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(asked): Json<Move>,
) -> Answer {
    let request = Request::MoveFinaliser {
        database: database.clone(),
        to: device(&asked.to)?,
    };
    match api.ask(&caller, request).await? {
        Reply::Done => {}
        _ => return Err(Refusal::unexpected()),
    }
    let info = ask(&api, &caller, database).await?;
    let status = if info.moving_to.is_some() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(view(&info))).into_response())
}

/// What whoever holds a recovery key decides.
#[derive(Deserialize)]
pub(super) struct Decision {
    /// The secret half, in hex.
    key: String,
    /// Who makes cuts from there on; this peer unless told otherwise.
    to: Option<String>,
    /// `HEIGHT/ID`: the side of a fork that stays.
    pick: Option<String>,
    #[serde(default)]
    force: bool,
}

/// `POST /v1/database/:db/finaliser/recover`: 200 when the recovery cut is made, 202 while this
/// peer is on its way to the side that was picked; ask again then.
pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(decision): Json<Decision>,
) -> Answer {
    let request = Request::Recover {
        database: database.clone(),
        key: Box::new(recovery_key(&decision.key)?),
        to: decision.to.as_deref().map(device).transpose()?,
        pick: decision.pick.as_deref().map(side).transpose()?,
        force: decision.force,
    };
    let done = match api.ask(&caller, request).await? {
        Reply::Recovered(done) => done,
        _ => return Err(Refusal::unexpected()),
    };
    let info = ask(&api, &caller, database).await?;
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(view(&info))).into_response())
}

/// `POST /v1/database/:db/rebuild`: answers when it is done.
pub(super) async fn rebuild(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    match api.ask(&caller, Request::Rebuild { database }).await? {
        Reply::Done => Ok(Json(json!({})).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

/// Which rows.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DumpOptions {
    /// Those after this cut; after the last one unless told otherwise.
    height: Option<u64>,
}

/// `POST /v1/database/:db/dump`: where the rows of one cut were written down.
pub(super) async fn dump(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Json(options): Json<DumpOptions>,
) -> Answer {
    let info = api.resolve(&caller, database.clone()).await?;
    let request = Request::Dump {
        database,
        height: options.height,
    };
    match api.ask(&caller, request).await? {
        Reply::Dumped(name) => {
            let path = api.data_dir.database(&info.database).join(name);
            Ok(Json(json!({ "dump": path.display().to_string() })).into_response())
        }
        _ => Err(Refusal::unexpected()),
    }
}

fn view(info: &FinaliserInfo) -> Value {
    let keys =
        |keys: &[DeviceKey]| -> Vec<String> { keys.iter().map(ToString::to_string).collect() };
    json!({
        "database": hex(&info.database),
        "finalisers": keys(&info.finalisers),
        "this_peer": info.this_peer,
        "connected": info.connected,
        "moving_to": info.moving_to.map(|to| to.to_string()),
        "cut": { "height": info.height, "id": info.cut.to_string() },
        "recoveries": info.recoveries,
        "recovery_keys": keys(&info.recovery_keys),
        "status": info.status,
        "detail": info.detail,
    })
}

/// Never says what it was given: it may be most of a secret.
fn recovery_key(text: &str) -> Result<SecretKey, Refusal> {
    let bytes = text.trim().parse::<DeviceKey>().map_err(|_| {
        Refusal::bad_request(
            "a recovery key has 64 digits of hex, as `tombolo publish` printed it once",
        )
    })?;
    Ok(SecretKey::from_bytes(&bytes.0))
}

fn side(text: &str) -> Result<(u64, String), Refusal> {
    let wrong = || {
        Refusal::bad_request(format!(
            "`{text}` names no cut: HEIGHT/ID, with at least eight digits of the id"
        ))
    };
    let (height, id) = text.split_once('/').ok_or_else(wrong)?;
    let height = height.parse().map_err(|_| wrong())?;
    let sound = (8..=64).contains(&id.len()) && id.chars().all(|digit| digit.is_ascii_hexdigit());
    sound.then(|| (height, id.to_owned())).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_of_a_fork_have_a_height_and_an_id() {
        let check = |text: &str, sound: bool| assert_eq!(side(text).is_ok(), sound, "{text}");
        check("7/0123abcd", true);
        check(&format!("7/{}", "a".repeat(64)), true);
        for text in [
            "",
            "7",
            "7/",
            "7/0123abc",
            "7/0123abcx",
            "x/0123abcd",
            "-1/0123abcd",
        ] {
            check(text, false);
        }
        check(&format!("7/{}", "a".repeat(65)), false);
    }

    #[test]
    fn a_wrong_recovery_key_is_not_repeated() {
        let text = "e".repeat(63);
        let Err(Refusal(status, why)) = recovery_key(&text) else {
            panic!("63 digits are no key");
        };
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(!why.contains("eeee"));
        let key = SecretKey::from_bytes(&[0xAB; 32]);
        let read = recovery_key(&format!(" {}\n", "ab".repeat(32)));
        assert_eq!(read.map(|key| key.public()).ok(), Some(key.public()));
    }
}
