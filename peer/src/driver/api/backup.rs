//! `/v1/database/:db/backup`: the database's history in one file.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use futures::stream;
use peer_core::backup::{BackupCursor, BackupPage};
use peer_core::{Reply, Request};

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::{Caller, Owner};

/// What is left to be sent: a page that is here, and where the one after it begins.
struct Sending {
    api: Arc<Api>,
    caller: Caller,
    database: String,
    ready: Option<Bytes>,
    next: Option<Box<BackupCursor>>,
}

/// `GET /v1/database/:db/backup`: page after page, each asked for when the one before has gone. If one cannot
/// be had the connection is cut off, so that nobody takes a part for the whole.
pub(super) async fn backup(
    State(api): State<Arc<Api>>,
    Owner(caller): Owner,
    Path(database): Path<String>,
) -> Answer {
    // By its identity from here on: names may change meanwhile.
    let info = api.resolve(&caller, database).await?;
    let mut sending = Sending {
        api,
        caller,
        database: super::hex(&info.database),
        ready: None,
        next: None,
    };
    // The first page here, so that a refusal has its status.
    let first = sending.ask(None).await?;
    sending.take(first);
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let pages = stream::unfold(sending, next_page);
    Ok((kind, Body::from_stream(pages)).into_response())
}

impl Sending {
    async fn ask(&self, cursor: Option<Box<BackupCursor>>) -> Result<BackupPage, Refusal> {
        let request = Request::Backup {
            database: self.database.clone(),
            cursor,
        };
        match self.api.ask(&self.caller, request).await? {
            Reply::BackedUp(page) => Ok(page),
            _ => Err(Refusal::unexpected()),
        }
    }

    fn take(&mut self, page: BackupPage) {
        self.ready = Some(Bytes::from(page.bytes));
        self.next = page.next;
    }
}

async fn next_page(mut sending: Sending) -> Option<(io::Result<Bytes>, Sending)> {
    if sending.ready.is_none() {
        let cursor = sending.next.take()?;
        match sending.ask(Some(cursor)).await {
            Ok(page) => sending.take(page),
            Err(Refusal(_, why)) => return Some((Err(io::Error::other(why)), sending)),
        }
    }
    let bytes = sending.ready.take()?;
    Some((Ok(bytes), sending))
}
