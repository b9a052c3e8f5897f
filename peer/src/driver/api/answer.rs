//! Errors as HTTP answers, with SpacetimeDB's status codes.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use peer_core::{ErrorKind, RequestError};

use crate::driver::tokens::TokenError;

/// The status of a reducer that failed. Not in any standard; SpacetimeDB's clients know it.
const REDUCER_FAILED: u16 = 530;

/// An answer that is not what was asked for: a status, and a sentence for whoever reads it.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

impl Refusal {
    /// The request is wrong.
    pub(crate) fn bad_request(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }

    /// The core answered with something else than it was asked for.
    pub(crate) fn unexpected() -> Self {
        Self(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the peer gave an unexpected answer; please report this".to_owned(),
        )
    }
}

/// What a handler answers.
pub(crate) type Answer = Result<Response, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self(status_of(error.kind), error.message)
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Core(error) => error.into(),
            error => Self(StatusCode::UNAUTHORIZED, error.to_string()),
        }
    }
}

/// The status that tells whose fault it was.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Denied | ErrorKind::NotOwner | ErrorKind::ConnectionRejected => {
            StatusCode::FORBIDDEN
        }
        ErrorKind::ReducerFailed | ErrorKind::Trapped => {
            StatusCode::from_u16(REDUCER_FAILED).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reducer_has_its_own_status() {
        assert_eq!(status_of(ErrorKind::ReducerFailed).as_u16(), 530);
        assert_eq!(status_of(ErrorKind::Trapped).as_u16(), 530);
        assert_eq!(status_of(ErrorKind::ConnectionRejected).as_u16(), 403);
    }
}
