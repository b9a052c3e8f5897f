//! `/v1/database`: publishing, calling, asking.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use peer_core::{
    Arguments, ErrorKind, Published, Reply, Request, SchemaVersion, SqlRows, WriteKind,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sync_protocol::{ConnectionId, DatabaseId};

use super::answer::{Answer, Refusal};
use super::caller::{Caller, Owner};
use super::{Api, CALL_HEADER, hex, views};
use crate::driver::clock::dice;

/// What may be asked of a publish.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PublishOptions {
    /// Nothing stays of the rows, and `init` runs anew.
    #[serde(default)]
    clear: bool,
    /// `BreakClients`: an upgrade may take away what clients were compiled against.
    policy: Option<String>,
    /// `sequential`: count ids 1, 2, 3 in the one order. Ours.
    auto_inc: Option<String>,
}

/// `PUT /v1/database/:name`.
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(name): Path<String>,
    Query(options): Query<PublishOptions>,
    wasm: Bytes,
) -> Answer {
    publish_as(&api, &caller, name, &options, wasm).await
}

/// `POST /v1/database`: under a name of our choice.
pub(super) async fn publish_unnamed(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Query(options): Query<PublishOptions>,
    wasm: Bytes,
) -> Answer {
    let name = format!("unnamed-{}", data_encoding::HEXLOWER.encode(&dice::<4>()));
    publish_as(&api, &caller, name, &options, wasm).await
}

async fn publish_as(
    api: &Api,
    caller: &Caller,
    name: String,
    options: &PublishOptions,
    wasm: Bytes,
) -> Answer {
    let break_clients = breaks_clients(options.policy.as_deref())?;
    let sequential_auto_inc = match options.auto_inc.as_deref() {
        None | Some("unique") => false,
        Some("sequential") => true,
        Some(other) => {
            let text = format!("auto_inc is `unique` or `sequential`, not `{other}`");
            return Err(Refusal::bad_request(text));
        }
    };
    if wasm.is_empty() {
        return Err(Refusal::bad_request("the body must be the compiled module"));
    }
    let target = name.clone();
    let request = Request::Publish {
        name,
        wasm: wasm.into(),
        sequential_auto_inc,
        break_clients,
        clear: options.clear,
        dice: dice(),
    };
    match api.ask_core(caller, request).await {
        Ok(Reply::Published(published)) => Ok(Json(success(published)).into_response()),
        Ok(_) => Err(Refusal::unexpected()),
        Err(error) if error.kind == ErrorKind::NotOwner && !is_identity(&target) => {
            let denied = json!({ "PermissionDenied": { "name": target } });
            Ok((StatusCode::UNAUTHORIZED, Json(denied)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn breaks_clients(policy: Option<&str>) -> Result<bool, Refusal> {
    match policy {
        None | Some("Compatible") => Ok(false),
        Some("BreakClients") => Ok(true),
        Some(other) => Err(Refusal::bad_request(format!(
            "policy is `Compatible` or `BreakClients`, not `{other}`"
        ))),
    }
}

/// Whether somebody means a database by its identity, not by a name.
fn is_identity(text: &str) -> bool {
    text.trim_start_matches("0x").parse::<DatabaseId>().is_ok()
}

/// `POST /v1/database/:db/pre_publish`: what a publish would do.
pub(super) async fn pre_publish(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    wasm: Bytes,
) -> Answer {
    let wasm = wasm.into();
    match api
        .ask(&caller, Request::PrePublish { database, wasm })
        .await?
    {
        Reply::UpgradePlan(plan) => Ok(Json(views::upgrade_plan(&plan)).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

/// SpacetimeDB's answer to a publish; beside it the recovery key, which is told once, and how an
/// upgrade stands.
fn success(published: Published) -> Value {
    let op = if published.created {
        "created"
    } else {
        "updated"
    };
    let mut success = json!({
        "domain": published.name,
        "database_identity": hex(&published.database),
        "op": op,
    });
    if let (Some(key), Some(success)) = (published.recovery_key, success.as_object_mut()) {
        success.insert("recovery_key".to_owned(), Value::String(key));
    }
    if let (false, Some(success)) = (published.created, success.as_object_mut()) {
        let upgraded = published.upgraded;
        let waits = upgraded.as_ref().is_some_and(|it| it.effective.is_none());
        let state = match &upgraded {
            None => "unchanged",
            Some(_) if waits => "waiting",
            Some(_) => "effective",
        };
        let (height, steps) = upgraded.map_or((None, Vec::new()), |it| (it.effective, it.steps));
        success.insert(
            "upgrade".to_owned(),
            json!({ "state": state, "height": height, "steps": steps }),
        );
    }
    json!({ "Success": success })
}

/// `GET /v1/database/:db`, as SATS-JSON.
pub(super) async fn describe(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
) -> Answer {
    let info = api.resolve(&caller, database).await?;
    let identity = |hex: &str| json!({ "__identity__": format!("0x{hex}") });
    let answer = json!({
        "database_identity": identity(&hex(&info.database)),
        "owner_identity": identity(&info.owner_identity),
        "host_type": { "Wasm": [] },
        "initial_program": format!("0x{}", info.module_hash),
    });
    Ok(Json(answer).into_response())
}

/// `GET /v1/database/:db/identity`: hex text.
pub(super) async fn identity(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
) -> Answer {
    let info = api.resolve(&caller, database).await?;
    Ok(hex(&info.database).into_response())
}

/// `GET /v1/database/:db/names`.
pub(super) async fn names(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
) -> Answer {
    let info = api.resolve(&caller, database).await?;
    Ok(Json(json!({ "names": info.names })).into_response())
}

/// `POST /v1/database/:db/names`: the body is another name for it.
pub(super) async fn add_name(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
    name: String,
) -> Answer {
    let info = api.resolve(&caller, database.clone()).await?;
    let name = name.trim().to_owned();
    let request = Request::AddName {
        database,
        name: name.clone(),
    };
    match api.ask_core(&caller, request).await {
        Ok(_) => {
            let added = json!({ "domain": name, "database_identity": hex(&info.database) });
            Ok(Json(json!({ "Success": added })).into_response())
        }
        Err(error) if error.kind == ErrorKind::NotOwner => {
            let denied = json!({ "PermissionDenied": { "domain": name } });
            Ok((StatusCode::UNAUTHORIZED, Json(denied)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `PUT /v1/database/:db/names`: the body is a list of all names that it is to have.
pub(super) async fn set_names(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
    Json(names): Json<Vec<String>>,
) -> Answer {
    api.ask(&caller, Request::SetNames { database, names })
        .await?;
    Ok(Json(json!("Success")).into_response())
}

/// `DELETE /v1/database/:db`: from this peer alone.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
) -> Answer {
    match api.ask(&caller, Request::Delete { database }).await? {
        Reply::Done => Ok(StatusCode::OK.into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

/// `POST /v1/database/:db/call/:reducer`: 200 and nothing, or why not.
pub(super) async fn call(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((database, reducer)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    if !is_json(&headers) {
        let text = "arguments are sent as Content-Type: application/json";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned()));
    }
    let Ok(arguments) = String::from_utf8(body.into()) else {
        return Err(Refusal::bad_request("the arguments are not UTF-8"));
    };
    let request = Request::Call {
        database,
        reducer,
        arguments: Arguments::Json(arguments),
        connection: fresh_connection(),
        one_shot: true,
        client: None,
    };
    match api.ask(&caller, request).await? {
        Reply::Called(called) => {
            let place = views::called(&called).to_string();
            let mut response = StatusCode::OK.into_response();
            if let Ok(place) = HeaderValue::try_from(place) {
                response.headers_mut().insert(CALL_HEADER, place);
            }
            Ok(response)
        }
        _ => Err(Refusal::unexpected()),
    }
}

/// A connection that nobody has. All zero would mean none.
pub(super) fn fresh_connection() -> ConnectionId {
    let mut id = ConnectionId(dice());
    id.0[0] |= 1;
    id
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What may be asked of a query.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SqlOptions {
    /// Add the names of the columns, and the cells as text for people. Ours.
    #[serde(default)]
    text: bool,
}

/// `POST /v1/database/:db/sql`.
pub(super) async fn sql(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
    Query(options): Query<SqlOptions>,
    text: String,
) -> Answer {
    let started = Instant::now();
    let (rows, written) = match api.ask(&caller, Request::Sql { database, text }).await? {
        Reply::Rows(rows) => (rows, None),
        Reply::Written(written) => (SqlRows::none(), Some(written)),
        _ => return Err(Refusal::unexpected()),
    };
    let count = |kind| written.map_or(0, |it| if it.kind == kind { it.rows } else { 0 });
    let result = SqlResult {
        schema: rows.schema,
        rows: rows.rows,
        total_duration_micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        stats: json!({
            "rows_inserted": count(WriteKind::Insert),
            "rows_deleted": count(WriteKind::Delete),
            "rows_updated": count(WriteKind::Update),
        }),
        columns: options.text.then_some(rows.columns),
        text: options.text.then_some(rows.text),
    };
    Ok(Json([result]).into_response())
}

/// SpacetimeDB's answer to one statement. Rows stay text on their way through: a JSON tree cannot
/// hold 128-bit numbers.
#[derive(Serialize)]
struct SqlResult {
    schema: Value,
    rows: Vec<Box<RawValue>>,
    total_duration_micros: u64,
    stats: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Vec<Vec<String>>>,
}

/// Which form of the schema.
#[derive(Debug, Deserialize)]
pub(super) struct SchemaOptions {
    version: Option<String>,
}

/// `GET /v1/database/:db/schema?version=9|10`, and `plain` for people.
pub(super) async fn schema(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(database): Path<String>,
    Query(options): Query<SchemaOptions>,
) -> Answer {
    let version = match options.version.as_deref() {
        Some("9") => SchemaVersion::V9,
        Some("10") => SchemaVersion::V10,
        Some("plain") => SchemaVersion::Plain,
        _ => {
            let text = "say which schema: ?version=9, ?version=10, or ?version=plain";
            return Err(Refusal::bad_request(text));
        }
    };
    match api
        .ask(&caller, Request::Schema { database, version })
        .await?
    {
        Reply::Schema(schema) => Ok(Json(schema).into_response()),
        _ => Err(Refusal::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peer_core::Upgraded;

    #[test]
    fn only_json_is_json() {
        let check = |kind: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(header::CONTENT_TYPE, kind.parse().expect("header"));
            }
            is_json(&headers)
        };
        assert!(check(Some("application/json")));
        assert!(check(Some("application/json; charset=utf-8")));
        for kind in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/jsonx"),
        ] {
            assert!(!check(kind), "{kind:?}");
        }
    }

    #[test]
    fn connections_differ_and_are_never_none() {
        let (one, two) = (fresh_connection(), fresh_connection());
        assert_ne!(one, two);
        assert_ne!(one, ConnectionId::ZERO);
    }

    #[test]
    fn a_publish_is_answered_in_spacetimedbs_words() {
        let published = Published {
            database: DatabaseId([1; 32]),
            name: "chat".into(),
            created: true,
            recovery_key: None,
            upgraded: None,
        };
        let expected = json!({ "Success": {
            "domain": "chat", "database_identity": "01".repeat(32), "op": "created",
        }});
        assert_eq!(success(published.clone()), expected);
        let upgraded = |upgraded| Published {
            created: false,
            upgraded,
            ..published.clone()
        };
        let check = |published, state: &str, height: Value, steps: Value| {
            let answer = success(published);
            let expected = json!({ "state": state, "height": height, "steps": steps });
            assert_eq!(answer["Success"]["op"], json!("updated"));
            assert_eq!(answer["Success"]["upgrade"], expected);
        };
        check(upgraded(None), "unchanged", Value::Null, json!([]));
        let waiting = Upgraded {
            effective: None,
            steps: vec![],
        };
        check(upgraded(Some(waiting)), "waiting", Value::Null, json!([]));
        let effective = Upgraded {
            effective: Some(7),
            steps: vec!["a".into()],
        };
        check(
            upgraded(Some(effective)),
            "effective",
            json!(7),
            json!(["a"]),
        );
    }

    #[test]
    fn policies_and_names() {
        assert!(!breaks_clients(None).expect("a policy"));
        assert!(!breaks_clients(Some("Compatible")).expect("a policy"));
        assert!(breaks_clients(Some("BreakClients")).expect("a policy"));
        assert!(breaks_clients(Some("breakclients")).is_err());
        assert!(is_identity(&"ab".repeat(32)) && is_identity(&format!("0x{}", "01".repeat(32))));
        assert!(!is_identity("chat"));
    }
}
