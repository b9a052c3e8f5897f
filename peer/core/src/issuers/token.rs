//! The check of a provider's token against keys and rules that are given. Pure: the time is an
//! argument, and no issuer, key or algorithm is taken on the token's own word.
//!
//! What is written here is strict on purpose. Execution judges tokens with it, so a second spelling
//! that one version takes and another does not would set peers apart.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, VerifyingKey};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use sync_protocol::limits::{CLAIM_BYTES_MAX, TOKEN_BYTES_MAX};
use sync_protocol::{BIND_NONCE_PREFIX, IssuerKey, KeyAlgorithm, TrustedIssuer};

/// Seconds by which a provider's clock may be ahead: a token is often used in the second in which it
/// was made. Its end is not moved.
const AHEAD_S: u64 = 60;

/// What is wrong with a token: one sentence for whoever holds it, which tells nothing that is not in
/// the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// More bytes than are read.
    #[error("the token is {0} bytes long, more than {TOKEN_BYTES_MAX}")]
    TooLong(usize),
    /// Not three parts: an access token that only its provider can read, or encrypted.
    #[error(
        "this is no signed token but an opaque or encrypted one, which only its provider can read: send the ID token instead"
    )]
    Opaque,
    /// Three parts, of which one does not decode.
    #[error("the token does not decode")]
    Undecodable,
    /// `alg` is `none`, a shared secret, or unknown.
    #[error(
        "the token is not signed in a way that a public key checks (RS256, RS384, RS512, PS256, ES256, ES384, EdDSA)"
    )]
    Algorithm,
    /// `alg` is not what the key is for.
    #[error("the token is signed in another way than its key is for")]
    OtherAlgorithm,
    /// No key of that id.
    #[error("the token is signed with a key that its issuer is not known to have")]
    UnknownKey,
    /// The key does not check it.
    #[error("the token's signature does not fit")]
    Signature,
    /// Another issuer than the one it is held against.
    #[error("the token's `iss` is not that of the issuer, byte for byte")]
    Issuer,
    /// Made for somebody else.
    #[error("the token is for another application: its `aud` names none that this database takes")]
    Audience,
    /// A claim is missing or of the wrong kind.
    #[error("the token's `{0}` is missing, or not what it has to be")]
    Claim(&'static str),
    /// `exp` has passed.
    #[error("the token has expired: sign in again")]
    Expired,
    /// `nbf` or `iat` has not come.
    #[error("the token is not valid yet: is the clock of this device right?")]
    TooEarly,
    /// `nonce` is another.
    #[error(
        "the token's `nonce` is not that of this device in this database: sign in with `tombolo login` on this device"
    )]
    Nonce,
    /// Made to bind a device, so it is in the log.
    #[error("the token was made to bind a device, and says nothing of a client: sign in again")]
    Binds,
}

/// A token that its issuer signed for one of the database's audiences, in force when it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedToken {
    /// `sub`.
    pub subject: String,
    /// `nonce`, if it has one.
    pub nonce: Option<String>,
    /// `iat`, in seconds since 1970, rounded down.
    pub issued_s: Option<u64>,
    /// `exp`, in seconds since 1970, rounded down: good before that.
    pub expires_s: u64,
    /// `nbf`, in seconds since 1970, rounded up.
    pub from_s: Option<u64>,
    /// The payload's JSON, byte for byte as it was signed.
    pub payload: String,
}

/// A number of seconds, perhaps with a fraction.
#[derive(Clone, Copy, Deserialize)]
struct NumericDate(f64);

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that whoever does not know them must not ignore: we know none.
    crit: Option<serde::de::IgnoredAny>,
}

/// `aud`: one text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The claims of a token by name, each as it was signed.
type Payload = BTreeMap<String, Box<RawValue>>;

struct Parts<'a> {
    header: TokenHeader,
    payload_text: String,
    payload: Payload,
    /// What is signed.
    message: &'a str,
    signature: &'a str,
}

/// Who a token says issued it. Nothing is checked: it serves to find the rules to hold it against.
///
/// # Errors
/// [`TokenFault`] if it is no signed token or has no issuer.
pub fn issuer_named(token: &str) -> Result<String, TokenFault> {
    let parts = parts(token)?;
    match text(&parts.payload, "iss")? {
        Some(issuer) if !issuer.is_empty() && issuer.len() <= CLAIM_BYTES_MAX => Ok(issuer),
        _ => Err(TokenFault::Claim("iss")),
    }
}

/// Checks a token with which a client says who it is, at `now_s`, in seconds since 1970. One that was
/// made to bind a device is none: it stands in the log, for every member to read.
///
/// # Errors
/// [`TokenFault`], which its bearer may read. [`TokenFault::UnknownKey`] may be because the issuer's
/// keys have changed.
pub fn check_bearer(
    token: &str,
    issuer: &TrustedIssuer,
    keys: &[IssuerKey],
    now_s: u64,
) -> Result<CheckedToken, TokenFault> {
    let checked = check_token(token, issuer, keys, now_s)?;
    let nonce = checked.nonce.as_deref().unwrap_or_default();
    match nonce.starts_with(BIND_NONCE_PREFIX) {
        true => Err(TokenFault::Binds),
        false => Ok(checked),
    }
}

/// Checks a token of either kind at `now_s`, in seconds since 1970.
///
/// # Errors
/// [`TokenFault`], which its bearer may read. [`TokenFault::UnknownKey`] may be because the issuer's
/// keys have changed.
pub(crate) fn check_token(
    token: &str,
    issuer: &TrustedIssuer,
    keys: &[IssuerKey],
    now_s: u64,
) -> Result<CheckedToken, TokenFault> {
    let parts = parts(token)?;
    // Before anything else that it says: a token of another issuer is none of these keys' business.
    if text(&parts.payload, "iss")?.as_deref() != Some(&issuer.issuer) {
        return Err(TokenFault::Issuer);
    }
    check_signature(&parts, keys)?;
    let checked = claims(parts)?;
    if !checked.1.iter().any(|aud| issuer.audiences.contains(aud)) {
        return Err(TokenFault::Audience);
    }
    in_force(&checked.0, now_s)?;
    Ok(checked.0)
}

/// Whether the token's own times hold at `now_s`.
fn in_force(token: &CheckedToken, now_s: u64) -> Result<(), TokenFault> {
    if now_s >= token.expires_s {
        return Err(TokenFault::Expired);
    }
    let soon = now_s.saturating_add(AHEAD_S);
    match token.from_s.is_some_and(|from| soon < from)
        || token.issued_s.is_some_and(|issued| soon < issued)
    {
        true => Err(TokenFault::TooEarly),
        false => Ok(()),
    }
}

/// A token's payload cut down to what a module may see: issuer, subject, audience, and those claims
/// that are allowed, in that order. `None` if the payload is no JSON object.
pub(crate) fn cut(
    payload: &str,
    issuer: &str,
    subject: &str,
    allowed: &[String],
) -> Option<String> {
    let claims: Payload = serde_json::from_str(payload).ok()?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut out = format!("{{\"iss\":{},\"sub\":{}", quoted(issuer), quoted(subject));
    let mut told = vec!["iss", "sub"];
    for name in std::iter::once("aud").chain(allowed.iter().map(String::as_str)) {
        if told.contains(&name) {
            continue;
        }
        if let Some(value) = claims.get(name) {
            out.push_str(&format!(",{}:{}", quoted(name), value.get()));
            told.push(name);
        }
    }
    out.push('}');
    Some(out)
}

fn parts(token: &str) -> Result<Parts<'_>, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::TooLong(token.len()));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Opaque)?;
    let (header, payload) = message.split_once('.').ok_or(TokenFault::Opaque)?;
    if payload.contains('.') {
        return Err(TokenFault::Opaque); // five parts: encrypted
    }
    let payload_text = decoded(payload)?;
    let undecodable = |_| TokenFault::Undecodable;
    Ok(Parts {
        header: serde_json::from_str(&decoded(header)?).map_err(undecodable)?,
        payload: serde_json::from_str(&payload_text).map_err(undecodable)?,
        payload_text,
        message,
        signature,
    })
}

/// Strict base64url without padding, of UTF-8: one spelling for each text.
fn decoded(part: &str) -> Result<String, TokenFault> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes());
    let bytes = bytes.map_err(|_| TokenFault::Undecodable)?;
    String::from_utf8(bytes).map_err(|_| TokenFault::Undecodable)
}

/// The key is found by its id and says how it is used; the token has only to agree.
fn check_signature(parts: &Parts<'_>, keys: &[IssuerKey]) -> Result<(), TokenFault> {
    let TokenHeader { alg, kid, crit } = &parts.header;
    if crit.is_some() || !KeyAlgorithm::ALL.iter().any(|known| known.name() == alg) {
        return Err(TokenFault::Algorithm);
    }
    let key = keys.iter().find(|key| key.kid == *kid);
    let key = key.ok_or(TokenFault::UnknownKey)?;
    if key.algorithm.name() != alg {
        return Err(TokenFault::OtherAlgorithm);
    }
    match is_signed(parts, key) {
        true => Ok(()),
        false => Err(TokenFault::Signature),
    }
}

fn is_signed(parts: &Parts<'_>, key: &IssuerKey) -> bool {
    // One spelling of the signature too, whatever the library takes.
    let Ok(signature) = data_encoding::BASE64URL_NOPAD.decode(parts.signature.as_bytes()) else {
        return false;
    };
    let message = parts.message.as_bytes();
    let algorithm = match key.algorithm {
        KeyAlgorithm::Rs256 => Algorithm::RS256,
        KeyAlgorithm::Rs384 => Algorithm::RS384,
        KeyAlgorithm::Rs512 => Algorithm::RS512,
        KeyAlgorithm::Ps256 => Algorithm::PS256,
        KeyAlgorithm::Es256 => Algorithm::ES256,
        KeyAlgorithm::Es384 => Algorithm::ES384,
        // The one reading of ed25519 that everything here uses.
        KeyAlgorithm::EdDsa => return is_signed_by_ed25519(message, &signature, &key.key),
    };
    let decoding = match key.rsa_parts() {
        Some((modulus, exponent)) => DecodingKey::from_rsa_raw_components(modulus, exponent),
        None => DecodingKey::from_ec_der(&key.key),
    };
    jsonwebtoken::crypto::verify(parts.signature, message, &decoding, algorithm).unwrap_or(false)
}

fn is_signed_by_ed25519(message: &[u8], signature: &[u8], key: &[u8]) -> bool {
    let key = <[u8; 32]>::try_from(key).ok();
    let key = key.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    match (key, Signature::from_slice(signature)) {
        (Some(key), Ok(signature)) => key.verify_strict(message, &signature).is_ok(),
        _ => false,
    }
}

/// The claims that are looked at, and for whom the token is.
fn claims(parts: Parts<'_>) -> Result<(CheckedToken, Vec<String>), TokenFault> {
    let Parts {
        payload,
        payload_text,
        ..
    } = parts;
    let subject = text(&payload, "sub")?;
    let subject = subject.filter(|sub| !sub.is_empty() && sub.len() <= CLAIM_BYTES_MAX);
    let audiences = match payload
        .get("aud")
        .map(|raw| serde_json::from_str(raw.get()))
    {
        Some(Ok(Audience::One(aud))) => vec![aud],
        Some(Ok(Audience::Several(all))) => all,
        _ => return Err(TokenFault::Claim("aud")),
    };
    // Rounded so that a token is never good for longer.
    let expires = time(&payload, "exp")?.ok_or(TokenFault::Claim("exp"))?;
    let checked = CheckedToken {
        subject: subject.ok_or(TokenFault::Claim("sub"))?,
        nonce: text(&payload, "nonce")?,
        issued_s: time(&payload, "iat")?.map(|iat| iat.0.floor() as u64),
        expires_s: expires.0.floor() as u64,
        from_s: time(&payload, "nbf")?.map(|nbf| nbf.0.ceil() as u64),
        payload: payload_text,
    };
    Ok((checked, audiences))
}

fn text(payload: &Payload, name: &'static str) -> Result<Option<String>, TokenFault> {
    let parsed = payload.get(name).map(|raw| serde_json::from_str(raw.get()));
    parsed.transpose().map_err(|_| TokenFault::Claim(name))
}

fn time(payload: &Payload, name: &'static str) -> Result<Option<NumericDate>, TokenFault> {
    let parsed = payload.get(name).map(|raw| serde_json::from_str(raw.get()));
    parsed.transpose().map_err(|_| TokenFault::Claim(name))
}

#[cfg(test)]
mod tests;
