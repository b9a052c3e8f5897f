//! What a provider says of itself, read: where its keys are, and the keys.
//!
//! Only text goes in and out here. A document is believed as far as it speaks of the issuer that was
//! asked for, and no address in it is followed that is less protected than the one it came from.

use serde::Deserialize;
use sync_protocol::limits::ISSUER_KEYS_MAX;
use sync_protocol::{IssuerKey, KeyAlgorithm};
use ureq::http::Uri;

/// Where every issuer's document is, after the issuer (OpenID Connect Discovery 4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Why a provider cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DiscoveryError {
    /// Somebody on the way could say what he likes.
    #[error("{0} is not protected: it has to begin with https://, or be http:// on this machine")]
    Unprotected(String),
    /// It cannot be reached, or answers with something else.
    #[error("{url}: {why}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// What came is no such document.
    #[error("{url} is no document of OpenID Connect: {why}")]
    NotADocument {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// It speaks of another issuer.
    #[error(
        "{url} speaks of the issuer `{named}`: name that one, byte for byte, a slash at its end included"
    )]
    OtherIssuer {
        /// Where it came from.
        url: String,
        /// Of whom it speaks.
        named: String,
    },
    /// None of its keys checks anything.
    #[error("{0} holds no key for signatures that is known here (RSA, P-256, P-384, Ed25519)")]
    NoKeys(String),
}

/// What is used of the document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Document {
    issuer: String,
    /// Where the keys are.
    pub(crate) jwks_uri: String,
    /// Where a person signs in.
    #[serde(default)]
    pub(crate) authorization_endpoint: String,
    /// Where a code is changed for tokens.
    #[serde(default)]
    pub(crate) token_endpoint: String,
}

/// The address of an issuer's document.
///
/// # Errors
/// [`DiscoveryError::Unprotected`].
pub(crate) fn document_url(issuer: &str) -> Result<String, DiscoveryError> {
    protected(issuer, issuer)?;
    Ok(format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')))
}

/// Reads the document of `issuer` that came from `url`.
///
/// # Errors
/// [`DiscoveryError`], for a person to read.
pub(crate) fn read_document(
    issuer: &str,
    url: &str,
    text: &str,
) -> Result<Document, DiscoveryError> {
    let document: Document = parsed(url, text)?;
    if document.issuer != issuer {
        return Err(DiscoveryError::OtherIssuer {
            url: url.to_owned(),
            named: document.issuer.chars().take(200).collect(),
        });
    }
    protected(&document.jwks_uri, issuer)?;
    for endpoint in [&document.authorization_endpoint, &document.token_endpoint] {
        if !endpoint.is_empty() {
            protected(endpoint, issuer)?;
        }
    }
    Ok(document)
}

/// Whether what comes from an address is what its owner sent: https, or this very machine for an
/// issuer on it. One elsewhere may not lead to what listens here only.
fn protected(url: &str, issuer: &str) -> Result<(), DiscoveryError> {
    let is_local = |url: &str| {
        let uri = url.parse::<Uri>().ok();
        let uri = uri.filter(|uri| uri.scheme_str() == Some("http"));
        let host = uri.as_ref().and_then(Uri::host);
        host.is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
    };
    let is_https = url.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
    });
    // A name before the host is for whoever is asked to send a password.
    let is_bare = !url.contains('@');
    match is_bare && (is_https || is_local(url) && is_local(issuer)) {
        true => Ok(()),
        false => Err(DiscoveryError::Unprotected(url.chars().take(200).collect())),
    }
}

/// A key in a set of keys (RFC 7517), as far as it is looked at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

/// Reads a set of keys, by ascending id. Keys that are of no use here are left out, also those that a
/// provider has made up since.
///
/// # Errors
/// [`DiscoveryError`], if none is left for one.
pub(crate) fn read_keys(url: &str, text: &str) -> Result<Vec<IssuerKey>, DiscoveryError> {
    let set: Jwks = parsed(url, text)?;
    let keys = set.keys.into_iter();
    let keys = keys.filter_map(|value| serde_json::from_value::<Jwk>(value).ok());
    let mut keys: Vec<IssuerKey> = keys.filter_map(|jwk| key_of(&jwk)).collect();
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    keys.dedup_by(|a, b| a.kid == b.kid);
    keys.truncate(ISSUER_KEYS_MAX);
    match keys.is_empty() {
        true => Err(DiscoveryError::NoKeys(url.to_owned())),
        false => Ok(keys),
    }
}

fn key_of(jwk: &Jwk) -> Option<IssuerKey> {
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let number = |text: &Option<String>| {
        let text = text.as_ref()?;
        data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()
    };
    let algorithm = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        // Which of RSA's it is, only `alg` says; without it, the one that all providers must speak.
        ("RSA", None) => match jwk.alg.as_deref() {
            None => KeyAlgorithm::Rs256,
            Some(alg) => *KeyAlgorithm::ALL
                .iter()
                .find(|it| it.is_rsa() && it.name() == alg)?,
        },
        ("EC", Some("P-256")) => KeyAlgorithm::Es256,
        ("EC", Some("P-384")) => KeyAlgorithm::Es384,
        ("OKP", Some("Ed25519")) => KeyAlgorithm::EdDsa,
        _ => return None,
    };
    // RFC 9864 has a second name for EdDSA over that curve, which is the same.
    let agrees = |alg: &str| alg == algorithm.name() || alg == "Ed25519";
    if jwk.alg.as_deref().is_some_and(|alg| !agrees(alg)) {
        return None;
    }
    let kid = jwk.kid.clone();
    let key = match algorithm {
        KeyAlgorithm::EdDsa => IssuerKey {
            kid,
            algorithm,
            key: number(&jwk.x)?,
        },
        KeyAlgorithm::Es256 | KeyAlgorithm::Es384 => IssuerKey {
            kid,
            algorithm,
            key: [&[4][..], &number(&jwk.x)?, &number(&jwk.y)?].concat(),
        },
        _ => IssuerKey::rsa(kid, algorithm, &number(&jwk.n)?, &number(&jwk.e)?),
    };
    key.check().is_ok().then_some(key)
}

fn parsed<T: for<'de> Deserialize<'de>>(url: &str, text: &str) -> Result<T, DiscoveryError> {
    serde_json::from_str(text).map_err(|error| DiscoveryError::NotADocument {
        url: url.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AUTH0: &str = "https://example.eu.auth0.com/";

    #[test]
    fn the_document_is_below_the_issuer_with_one_slash() {
        let check = |issuer: &str, url: &str| {
            assert_eq!(document_url(issuer).as_deref(), Ok(url));
        };
        check(
            AUTH0,
            "https://example.eu.auth0.com/.well-known/openid-configuration",
        );
        check(
            "https://a.b/realms/c",
            "https://a.b/realms/c/.well-known/openid-configuration",
        );
        check(
            "http://127.0.0.1:3000",
            "http://127.0.0.1:3000/.well-known/openid-configuration",
        );
        check(
            "http://[::1]:3000/",
            "http://[::1]:3000/.well-known/openid-configuration",
        );
    }

    #[test]
    fn what_is_not_protected_is_not_asked() {
        for issuer in [
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://user@127.0.0.1",
            "https://user:password@example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://",
            "",
        ] {
            let unprotected = DiscoveryError::Unprotected(issuer.to_owned());
            assert_eq!(document_url(issuer), Err(unprotected), "{issuer}");
        }
    }

    fn document(issuer: &str, jwks: &str) -> String {
        json!({ "issuer": issuer, "jwks_uri": jwks, "more": ["is", "ignored"] }).to_string()
    }

    #[test]
    fn a_document_speaks_of_the_issuer_that_was_asked_for() {
        let jwks = "https://keys.example.com/jwks";
        let read = |text: &str| read_document(AUTH0, "url", text);
        assert_eq!(read(&document(AUTH0, jwks)).expect("fine").jwks_uri, jwks);
        for other in ["https://example.eu.auth0.com", "https://evil.example/", ""] {
            let refused = read(&document(other, jwks)).expect_err("another");
            assert!(
                matches!(&refused, DiscoveryError::OtherIssuer { named, .. } if named == other)
            );
        }
        for text in ["", "[]", "{}", "<html>", r#"{"issuer":7}"#] {
            let refused = read(text).expect_err("no document");
            assert!(
                matches!(refused, DiscoveryError::NotADocument { .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn an_issuer_elsewhere_leads_to_nothing_on_this_machine() {
        for jwks in [
            "http://127.0.0.1/jwks",
            "http://localhost:3000/jwks",
            "http://keys.example.com/jwks",
        ] {
            let refused = read_document(AUTH0, "url", &document(AUTH0, jwks));
            let unprotected = DiscoveryError::Unprotected(jwks.to_owned());
            assert_eq!(refused, Err(unprotected));
        }
        let local = "http://127.0.0.1:3000";
        let jwks = "http://127.0.0.1:3000/jwks";
        assert!(read_document(local, "url", &document(local, jwks)).is_ok());
    }

    #[test]
    fn keys_of_use_are_taken_and_others_left_out() {
        let point = "A".repeat(43);
        let modulus = format!("_{}", "A".repeat(341));
        let keys = json!({ "keys": [
            { "kty": "RSA", "kid": "z", "n": modulus, "e": "AQAB" },
            { "kty": "RSA", "kid": "pss", "alg": "PS256", "n": modulus, "e": "AQAB", "use": "sig" },
            { "kty": "RSA", "kid": "enc", "n": modulus, "e": "AQAB", "use": "enc" },
            { "kty": "RSA", "kid": "oaep", "alg": "RSA-OAEP", "n": modulus, "e": "AQAB" },
            { "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" },
            { "kty": "EC", "kid": "ec", "crv": "P-256", "x": point, "y": point, "alg": "ES256" },
            { "kty": "EC", "kid": "odd", "crv": "P-256", "x": point, "y": point, "alg": "ES384" },
            { "kty": "EC", "kid": "p521", "crv": "P-521", "x": point, "y": point },
            { "kty": "OKP", "kid": "a", "crv": "Ed25519", "x": point },
            { "kty": "OKP", "kid": "b", "crv": "Ed25519", "x": point, "alg": "Ed25519" },
            { "kty": "oct", "kid": "secret", "k": point },
            { "kty": "RSA", "kid": "z", "n": modulus, "e": "Aw" },
            "nonsense",
        ] });
        let read = read_keys("url", &keys.to_string()).expect("some");
        let kids: Vec<&str> = read.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!(kids, ["a", "b", "ec", "pss", "z"]);
        let none = read_keys("url", r#"{"keys":[]}"#);
        assert_eq!(none, Err(DiscoveryError::NoKeys("url".to_owned())));
        let many: Vec<_> = (0..40)
            .map(
                |n| json!({ "kty": "OKP", "kid": format!("{n:02}"), "crv": "Ed25519", "x": point }),
            )
            .collect();
        let read = read_keys("url", &json!({ "keys": many }).to_string());
        assert_eq!(read.map(|keys| keys.len()), Ok(ISSUER_KEYS_MAX));
    }
}
