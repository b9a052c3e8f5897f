//! `/v1/metrics`: how the databases are, in the text that Prometheus reads.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use peer_core::{DatabaseStatus, Reply, Request};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Api;
use super::answer::{Answer, Refusal};
use super::caller::Owner;

/// What the text is, by its own standard.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Which database a number is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    database: String,
    name: String,
}

/// Of which member's entries a number is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMember {
    database: String,
    name: String,
    member: String,
    why: String,
}

/// A number of each database: its name, what it says, and where it stands.
type Measure = (&'static str, &'static str, fn(&DatabaseStatus) -> u64);

/// All are gauges: what is counted begins anew when the peer does.
const MEASURES: [Measure; 10] = [
    ("up", "1 while the database takes calls", |status| {
        u64::from(status.status == "ok")
    }),
    ("cut_height", "Height of the newest cut", |status| {
        status.cut.height
    }),
    ("tail_calls", "Calls that are not final", |status| {
        status.tail
    }),
    ("entries", "Entries in the log", |status| status.entries),
    (
        "executions",
        "Calls run since the start, repeats too",
        |status| status.executions,
    ),
    (
        "pending_entries",
        "Entries that wait for others",
        |status| status.pending,
    ),
    ("overlay_bytes", "Memory that the tail takes", |status| {
        status.overlay_bytes
    }),
    ("spilled_bytes", "Disk that the tail takes", |status| {
        status.spilled_bytes
    }),
    ("members", "Members", |status| status.members),
    ("connected_members", "Members with a link", |status| {
        status.peers.len() as u64
    }),
];

/// `GET /v1/metrics`, for the owner: names of databases are nobody else's business.
pub(super) async fn metrics(State(api): State<Arc<Api>>, Owner(caller): Owner) -> Answer {
    let Reply::Status(all) = api.ask(&caller, Request::Status { database: None }).await? else {
        return Err(Refusal::unexpected());
    };
    let mut text = String::new();
    encode(&mut text, &registry(&all)).map_err(|_| Refusal::unexpected())?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

fn registry(all: &[DatabaseStatus]) -> Registry {
    let mut registry = Registry::with_prefix("tombolo_database");
    for (name, help, measure) in MEASURES {
        let family = Family::<Of, Gauge>::default();
        for status in all {
            let of = Of {
                database: status.database.to_string(),
                name: status.name.clone(),
            };
            let value = i64::try_from(measure(status)).unwrap_or(i64::MAX);
            family.get_or_create(&of).set(value);
        }
        registry.register(name, help, family);
    }
    let family = Family::<OfMember, Gauge>::default();
    for status in all {
        for held in &status.held {
            let of = OfMember {
                database: status.database.to_string(),
                name: status.name.clone(),
                member: held.member.to_string(),
                why: held.why.clone(),
            };
            let entries = i64::try_from(held.entries).unwrap_or(i64::MAX);
            family.get_or_create(&of).set(entries);
        }
    }
    registry.register(
        "held_entries",
        "Entries of a member that are held back",
        family,
    );
    registry
}
