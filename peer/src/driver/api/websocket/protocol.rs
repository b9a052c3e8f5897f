//! What the session of a connection needs to know of the protocol that it speaks.

use axum::extract::ws::Message;
use peer_core::{Called, ClientId, Reply, Request, RequestError, Update};
use sync_protocol::ConnectionId;

/// What a call of a procedure is answered.
pub(super) const NO_PROCEDURES: &str = "this peer does not run procedures";

/// What is said when the core gives an answer of another kind than was asked for.
const UNEXPECTED: &str = "the peer gave an unexpected answer; please report this";

/// Whose connection it is, and to what.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) database: String,
    pub(super) client: ClientId,
    pub(super) connection: ConnectionId,
    /// The client's identity, little-endian.
    pub(super) identity: [u8; 32],
}

/// Where a message of a client goes.
#[derive(Debug)]
pub(super) enum Asking<P: Protocol + ?Sized> {
    /// To the core.
    Core { asked: P::Asked, request: Request },
    /// Nowhere: this is the answer.
    Nobody(P::Answer),
}

/// What a request was, until it is answered.
pub(super) trait Asked: Send {
    /// Whether it calls a reducer.
    fn is_call(&self) -> bool;

    /// How much of the client's room it takes: one for a request, and what is kept of it besides
    /// in units of [`KEPT_BYTES`](super::translator::KEPT_BYTES).
    fn weight(&self) -> usize {
        1
    }
}

/// An answer that cannot be put into words of the protocol; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unspeakable(pub(super) String);

/// The words of one protocol: a client's messages as requests to the core, and what the core tells
/// as messages to the client. It knows neither sockets nor what else is open on the connection.
pub(super) trait Protocol: Send + Sync + 'static {
    /// A message of a client.
    type Question: Send;
    /// What is kept of one that is not answered yet.
    type Asked: Asked;
    /// A message to a client.
    type Answer: Send;

    /// Takes a frame with bytes or text apart. The error is for people.
    fn read(&self, frame: Message) -> Result<Vec<Self::Question>, String>;

    /// What a client is told first.
    fn hello(&self, place: &Place, token: String) -> Self::Answer;

    /// What a message asks.
    fn ask(&self, place: &Place, question: Self::Question) -> Asking<Self>;

    /// The answer to what was asked; to calls that never became an entry, too.
    fn answer(
        &self,
        place: &Place,
        asked: Self::Asked,
        reply: Result<Reply, RequestError>,
    ) -> Result<Self::Answer, Unspeakable>;

    /// What became of a call, and what changed for the client with it. `None`: it does not want to
    /// know.
    fn called(
        &self,
        place: &Place,
        asked: Self::Asked,
        result: Result<Called, RequestError>,
        update: Option<Update>,
    ) -> Result<Option<Self::Answer>, Unspeakable>;

    /// What others changed in what the client follows.
    fn update(&self, update: Update) -> Result<Self::Answer, Unspeakable>;

    /// The frames of messages, in their order.
    fn frames(&self, answers: &[Self::Answer]) -> Vec<Message>;
}

/// Why there is no answer of the kind that was asked for.
pub(super) fn text_of(reply: Result<Reply, RequestError>) -> String {
    match reply {
        Err(error) => error.message,
        Ok(_) => UNEXPECTED.to_owned(),
    }
}

/// Microseconds as protocols have them.
pub(super) fn micros(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
