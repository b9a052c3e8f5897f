//! Who sends a request: the bearer of a token, or somebody new.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;

use super::Api;
use super::answer::{Answer, Refusal};
use crate::driver::clock::wall_s;
use crate::driver::tokens::{Bearer, TokenError};

/// The identity under which a request was handled.
pub(super) const IDENTITY: HeaderName = HeaderName::from_static("spacetime-identity");

/// The token that proves it again.
pub(super) const IDENTITY_TOKEN: HeaderName = HeaderName::from_static("spacetime-identity-token");

/// Who sends a request, proven.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) bearer: Bearer,
    /// Whether that is the peer's own identity.
    pub(crate) owner: bool,
    /// Whether there was no token, so that this is a new identity.
    pub(crate) fresh: bool,
}

/// The peer's own identity, for routes that are about the peer. Everybody else is refused before
/// the body is read: 401 without a token, 403 with somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.owner {
            return Ok(Self(caller));
        }
        let status = if caller.fresh {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::FORBIDDEN
        };
        let text =
            "only the owner of this peer may do that: send the token in <data-dir>/owner.token";
        Err(Refusal(status, text.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Refusal::unexpected)
    }
}

/// The middleware: finds out who asks, and tells a new one who he is now.
pub(super) async fn identify(
    State(api): State<Arc<Api>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request<Body>,
    next: Next,
) -> Answer {
    let now = wall_s();
    let caller = match token_of(&request)? {
        Some(token) => {
            let mut params = params.iter().flatten();
            let database = params.find(|(name, _)| *name == "database");
            let bearer = known(&api, &token, database.map(|(_, value)| value), now).await?;
            Caller {
                owner: api.tokens.is_owner(&bearer.claims),
                bearer,
                fresh: false,
            }
        }
        None => Caller {
            bearer: api.tokens.anonymous(now)?,
            owner: false,
            fresh: true,
        },
    };
    let headers = [
        (IDENTITY, caller.bearer.identity()),
        (IDENTITY_TOKEN, caller.bearer.token.clone()),
    ];
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Whose token this is: one of ours, or one of a provider that the database trusts to which the
/// request goes; that any database here trusts, if it goes to none.
///
/// # Errors
/// [`TokenError`], which a client may read.
pub(super) async fn known(
    api: &Api,
    token: &str,
    database: Option<&str>,
    now_s: u64,
) -> Result<Bearer, TokenError> {
    match api.tokens.check(token, now_s) {
        // A brief token stands for one that was good somewhere.
        Ok(bearer) if bearer.claims.issuer != api.tokens.did() => {
            api.issuers.bearer(database, &bearer.token, now_s).await
        }
        Err(TokenError::OfProvider) => api.issuers.bearer(database, token, now_s).await,
        other => other,
    }
}

/// The token of a request: `Authorization: Bearer …`, or `?token=…` for those who cannot set
/// headers.
fn token_of(request: &Request<Body>) -> Result<Option<String>, Refusal> {
    if let Some(header) = request.headers().get(AUTHORIZATION) {
        let text = header.to_str().unwrap_or_default();
        let bearer = text
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().to_owned());
        return bearer.map(Some).ok_or_else(|| {
            Refusal(
                StatusCode::UNAUTHORIZED,
                "the Authorization header must read: Bearer TOKEN".to_owned(),
            )
        });
    }
    Ok(token_in_query(request.uri().query().unwrap_or_default()))
}

/// Tokens are base64url and dots, so nothing in them is escaped.
fn token_in_query(query: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, value)| *name == "token" && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: Option<&str>, uri: &str) -> Request<Body> {
        let mut request = Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn the_header_comes_before_the_query() {
        let token = |header, uri| token_of(&request(header, uri));
        let expect = |got: Result<Option<String>, Refusal>, want: Option<&str>| {
            assert_eq!(got.expect("fine").as_deref(), want);
        };
        expect(token(None, "/x"), None);
        expect(token(None, "/x?token="), None);
        expect(token(None, "/x?a=b&token=a.b.c"), Some("a.b.c"));
        expect(token(Some("Bearer a.b.c"), "/x?token=z"), Some("a.b.c"));
        expect(token(Some("bearer a.b.c"), "/x"), Some("a.b.c"));
        assert!(token(Some("Basic abc"), "/x").is_err());
        assert!(token(Some("abc"), "/x").is_err());
    }
}
