//! `/v1/database/:db/logs`: what the module logged here, as JSON lines.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use tokio::sync::watch;

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::Owner;
use crate::driver::console::Reader;

/// How often a followed console is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What may be asked of the logs.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LogOptions {
    /// The last so many lines; all that are kept without it.
    num_lines: Option<usize>,
    /// Go on with new lines until the client leaves.
    #[serde(default)]
    follow: bool,
}

/// `GET /v1/database/:db/logs`.
pub(super) async fn logs(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
    Query(options): Query<LogOptions>,
) -> Answer {
    let info = api.resolve(&caller, database).await?;
    let folder = api.data_dir.database(&info.database);
    let opened = tokio::task::spawn_blocking(move || Reader::open(&folder, options.num_lines));
    let (reader, last) = opened
        .await
        .map_err(|_| Refusal::unexpected())?
        .map_err(|error| Refusal::bad_request(format!("the console cannot be read: {error}")))?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if !options.follow {
        return Ok((kind, last).into_response());
    }
    let first = stream::once(async move { Ok::<_, io::Error>(Bytes::from(last)) });
    let rest = stream::unfold((reader, api.stopping.clone()), next_lines);
    Ok((kind, Body::from_stream(first.chain(rest))).into_response())
}

/// Waits for new lines; ends when the peer stops.
async fn next_lines(
    (mut reader, mut stopping): (Reader, watch::Receiver<bool>),
) -> Option<(io::Result<Bytes>, (Reader, watch::Receiver<bool>))> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return None,
        }
        let looked = tokio::task::spawn_blocking(move || {
            let lines = reader.more();
            (reader, lines)
        });
        let (back, lines) = looked.await.ok()?;
        reader = back;
        match lines {
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => return Some((Ok(Bytes::from(lines)), (reader, stopping))),
            Err(error) => return Some((Err(error), (reader, stopping))),
        }
    }
}
