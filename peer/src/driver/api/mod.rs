//! The HTTP side: SpacetimeDB's routes under `/v1`, and ours beside them for the owner.
//!
//! A handler finds out who asks, puts the question to the core, and turns the answer into
//! SpacetimeDB's words. What a caller may do, the core decides; only routes about the peer itself
//! are checked here.

pub(crate) mod answer;
mod backup;
mod caller;
mod database;
mod finality;
mod guard;
mod identity;
mod issuers;
mod logs;
mod members;
mod metrics;
mod peer;
mod views;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post, put};
use axum::{Router, response::Response};
use peer_core::{Reply, Request, RequestError};
use sync_protocol::DatabaseId;
use sync_protocol::limits::MODULE_BYTES_MAX;
use tokio::sync::watch;
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::answer::Refusal;
use self::caller::Caller;
use super::config::Config;
use super::core_thread::Mailbox;
use super::data_dir::RunInfo;
use super::issuers::Issuers;
use super::network::Network;
use super::tokens::Tokens;

pub(crate) use self::guard::Guard;

/// Bytes of a call's arguments as JSON. Arguments of 1 MiB in BSATN take a few times that as
/// text.
const CALL_BYTES_MAX: usize = 8 << 20;

/// Bytes of any other body: a query, a ticket.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// The header with which a call says where it ended up, as JSON.
pub(crate) const CALL_HEADER: HeaderName = HeaderName::from_static("tombolo-call");

/// What every handler needs.
pub(crate) struct Api {
    /// The way to the core.
    pub(crate) mailbox: Mailbox,
    /// Who is who.
    pub(crate) tokens: Arc<Tokens>,
    /// Who is who among the users of providers.
    pub(crate) issuers: Arc<Issuers>,
    /// The other peers.
    pub(crate) network: Network,
    /// Where the databases' folders are.
    pub(crate) data_dir: Arc<super::data_dir::DataDir>,
    /// How long it took at the start until the databases could be used, their tails run again.
    pub(crate) opened: Duration,
    /// What `run.json` says.
    pub(crate) run: watch::Receiver<RunInfo>,
    /// True once the peer stops: streams end.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Api {
    /// Puts a question to the core in the caller's name.
    async fn ask(&self, caller: &Caller, request: Request) -> Result<Reply, Refusal> {
        Ok(self.ask_core(caller, request).await?)
    }

    /// The same, with the core's own error.
    async fn ask_core(&self, caller: &Caller, request: Request) -> Result<Reply, RequestError> {
        let claims = Arc::clone(&caller.bearer.claims);
        self.mailbox.request(claims, caller.owner, request).await
    }

    /// What a name or an identity in hex means here.
    async fn resolve(
        &self,
        caller: &Caller,
        database: String,
    ) -> Result<peer_core::DatabaseInfo, Refusal> {
        match self.ask(caller, Request::Resolve { database }).await? {
            Reply::Database(info) => Ok(info),
            _ => Err(Refusal::unexpected()),
        }
    }
}

/// All routes.
pub(crate) fn router(api: Arc<Api>, config: &Config) -> Router {
    let guard = Arc::new(Guard::new(config));
    let known_callers = Router::new()
        .route("/v1/database", post(database::publish_unnamed))
        .route(
            "/v1/database/{database}",
            get(database::describe)
                .put(database::publish)
                .delete(database::delete),
        )
        .route(
            "/v1/database/{database}/pre_publish",
            post(database::pre_publish),
        )
        .layer(DefaultBodyLimit::max(MODULE_BYTES_MAX))
        .route(
            "/v1/database/{database}/call/{reducer}",
            post(database::call).layer(DefaultBodyLimit::max(CALL_BYTES_MAX)),
        )
        .merge(small_routes())
        .route_layer(from_fn_with_state(Arc::clone(&api), caller::identify));
    Router::new()
        .route("/v1/ping", get(|| async {}))
        .route("/v1/health", get(peer::health))
        .route("/v1/identity", post(identity::create))
        .route(
            "/v1/identity/websocket-token",
            post(identity::websocket_token)
                .route_layer(from_fn_with_state(Arc::clone(&api), caller::identify)),
        )
        .route("/v1/identity/public-key", get(identity::public_key))
        .route("/v1/identity/{identity}/verify", get(identity::verify))
        .merge(known_callers)
        .fallback(no_route)
        .with_state(api)
        .layer(cors(Arc::clone(&guard)))
        .layer(from_fn_with_state(guard, guard::guard))
        .layer(map_response(never_sniffed))
}

/// Routes with small bodies, or none.
fn small_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/database/{database}/identity", get(database::identity))
        .route(
            "/v1/database/{database}/names",
            get(database::names)
                .post(database::add_name)
                .put(database::set_names),
        )
        .route(
            "/v1/identity/{identity}/databases",
            get(identity::databases),
        )
        .route("/v1/database/{database}/schema", get(database::schema))
        .route(
            "/v1/database/{database}/subscribe",
            get(websocket::subscribe),
        )
        .route("/v1/database/{database}/sql", post(database::sql))
        .route("/v1/database/{database}/logs", get(logs::logs))
        .route("/v1/database/{database}/status", get(members::status))
        .route("/v1/database/{database}/members", get(members::members))
        .route(
            "/v1/database/{database}/members/{member}",
            put(members::set_role).delete(members::remove),
        )
        .route("/v1/database/{database}/invite", post(members::invite))
        .route(
            "/v1/database/{database}/invite/revoke",
            post(members::revoke),
        )
        .route(
            "/v1/database/{database}/issuers",
            get(issuers::list)
                .post(issuers::trust)
                .delete(issuers::distrust),
        )
        .route(
            "/v1/database/{database}/bindings",
            get(issuers::bindings)
                .post(issuers::bind)
                .delete(issuers::unbind),
        )
        .route(
            "/v1/database/{database}/finaliser",
            get(finality::show).post(finality::hand_over),
        )
        .route(
            "/v1/database/{database}/finaliser/recover",
            post(finality::recover),
        )
        .route("/v1/database/{database}/rebuild", post(finality::rebuild))
        .route("/v1/database/{database}/dump", post(finality::dump))
        .route("/v1/database/{database}/backup", get(backup::backup))
        .route("/v1/metrics", get(metrics::metrics))
        .route("/v1/peer", get(peer::peer))
        .route("/v1/peer/databases", get(peer::databases))
        .route("/v1/peer/status", get(peer::status))
        .route("/v1/peer/peers", get(peer::peers))
        .route(
            "/v1/peer/network",
            get(peer::network).post(peer::set_network),
        )
        .route("/v1/peer/join", get(peer::join_progress).post(peer::join))
        .layer(DefaultBodyLimit::max(SMALL_BYTES_MAX))
}

/// Answers the browser's questions for pages that the guard lets in.
fn cors(guard: Arc<Guard>) -> CorsLayer {
    let allowed = move |origin: &HeaderValue, _: &axum::http::request::Parts| {
        origin
            .to_str()
            .is_ok_and(|origin| guard.origin_allowed(origin))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::ACCEPT, header::CONTENT_TYPE])
        .expose_headers([caller::IDENTITY, caller::IDENTITY_TOKEN, CALL_HEADER])
}

async fn no_route() -> Refusal {
    let text = "there is no such route; they all begin with /v1";
    Refusal(StatusCode::NOT_FOUND, text.to_owned())
}

/// A reducer's error text is the module's: no browser shall take it for a page.
async fn never_sniffed(mut response: Response) -> Response {
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// An identity of a database as people write it.
fn hex(database: &DatabaseId) -> String {
    database.to_string()
}
