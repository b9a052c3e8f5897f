//! Who a caller is: tokens that this peer signs, and the check of those that come back.
//!
//! A token is a JWT signed with the device's ed25519 key (`alg` EdDSA). Its issuer is the device's
//! did:key, so anybody can check it with nothing but the token; its subject is the same did:key
//! for the owner, and a random text for somebody who came without a token.
//!
//! The JWT library would compare `exp` with a clock of its own, with a minute's leeway, and would
//! skip `nbf`: both are checked here, against the time we are given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use peer_core::{
    Claims, RequestError, TokenFault, did_key, identity_hex, identity_of, issuer_named,
};
use serde::{Deserialize, Serialize};
use sync_protocol::limits::{CLAIM_BYTES_MAX, CLAIMS_BYTES_MAX};
use sync_protocol::{DeviceKey, SecretKey};

use super::clock::dice;

/// Bytes of a token's text. Its payload may take `CLAIMS_BYTES_MAX`, base64 makes a third more of
/// it, and header and signature take less than a KiB.
pub(crate) const TOKEN_BYTES_MAX: usize = CLAIMS_BYTES_MAX * 4 / 3 + 1_024;

/// Tokens remembered as good. Checking a signature costs as much as the rest of a call; clients
/// send the same token with each.
const GOOD_TOKENS_MAX: usize = 1_024;

/// Seconds for which a brief token is good: from its making to the opening of a connection.
const BRIEF_S: u64 = 60;

/// Brief tokens that are good at a time.
const BRIEF_MAX: usize = 4_096;

/// What precedes the 32 bytes of a secret key in PKCS#8 (RFC 8410), which the library wants.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What precedes the 32 bytes of a public key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Multicodec of an ed25519 public key, as an unsigned varint.
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Longer than any token of ours.
    #[error("the token is {0} bytes long, more than {TOKEN_BYTES_MAX}")]
    TooLong(usize),
    /// Not a JWT, another algorithm, or a signature that does not fit.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// Of a provider: rows of a database say whether it counts.
    #[error("the token is of a provider, and none of those is asked here")]
    OfProvider,
    /// A provider that no row trusts. Not said: which one, whom else, where.
    #[error(
        "tokens of that issuer are not taken here: an owner of the database can trust it with `tombolo issuer add`"
    )]
    Untrusted,
    /// What is wrong with a provider's token.
    #[error(transparent)]
    Fault(TokenFault),
    /// The database cannot be asked.
    #[error(transparent)]
    Core(#[from] RequestError),
    /// A peer vouches only for its own users.
    #[error("the token was issued by another peer ({0}); ask this peer for one: POST /v1/identity")]
    ForeignIssuer(String),
    /// A claim is missing, empty or too long.
    #[error("the token's `{0}` is missing, empty or longer than {CLAIM_BYTES_MAX} bytes")]
    Claim(&'static str),
    /// Too many brief tokens.
    #[error("too many connections are being opened; try again in a minute")]
    TooMany,
    /// `exp` has passed.
    #[error("the token expired at {exp} (seconds since 1970), it is {now} now")]
    Expired {
        /// The claim.
        exp: u64,
        /// The time it was compared with.
        now: u64,
    },
    /// `nbf` has not come.
    #[error("the token is not valid before {nbf} (seconds since 1970), it is {now} now")]
    TooEarly {
        /// The claim.
        nbf: u64,
        /// The time it was compared with.
        now: u64,
    },
}

/// What we put into a token, in SpacetimeDB's words.
#[derive(Serialize)]
struct Issued<'a> {
    hex_identity: &'a str,
    sub: &'a str,
    iss: &'a str,
    aud: [&'static str; 1],
    iat: u64,
    exp: Option<u64>,
}

/// What we read of one. Unknown claims stay in the payload for the module.
#[derive(Deserialize)]
struct Presented {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(flatten)]
    period: Period,
}

/// When a token is good: fractions of seconds are allowed in a NumericDate.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Period {
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// A token and who it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// Issuer, subject and payload.
    pub(crate) claims: Arc<Claims>,
    /// The token's text.
    pub(crate) token: String,
}

impl Bearer {
    /// The identity in hex, as modules and people see it.
    pub(crate) fn identity(&self) -> String {
        identity_hex(&self.claims.identity())
    }
}

/// Signs and checks tokens for one device.
pub(crate) struct Tokens {
    signing: EncodingKey,
    device: DeviceKey,
    did: String,
    /// Only what was found good, by its whole text: a wrong token never becomes right.
    good: Mutex<BTreeMap<String, (Bearer, Period)>>,
    /// Brief tokens, what each stands for, and when it ends.
    brief: Mutex<BTreeMap<String, (Bearer, u64)>>,
}

impl Tokens {
    /// For the device with this key.
    pub(crate) fn new(secret: &SecretKey) -> Self {
        let mut pkcs8 = PKCS8_PREFIX.to_vec();
        pkcs8.extend_from_slice(&secret.to_bytes());
        let device = secret.public();
        Self {
            signing: EncodingKey::from_ed_der(&pkcs8),
            device,
            did: did_key(&device),
            good: Mutex::default(),
            brief: Mutex::default(),
        }
    }

    /// The device's did:key: the issuer of every token made here.
    pub(crate) fn did(&self) -> &str {
        &self.did
    }

    /// A token for the peer's own identity. Does not expire: it is written anew at each start and
    /// as secret as the key beside it.
    pub(crate) fn owner(&self, now_s: u64) -> Result<Bearer, TokenError> {
        self.issue(&self.did, now_s, None)
    }

    /// A token for somebody who came without one.
    pub(crate) fn anonymous(&self, now_s: u64) -> Result<Bearer, TokenError> {
        self.issue(&random_subject(dice()), now_s, None)
    }

    /// A token that stands for another one, for a minute: it may show up in logs, the other one must
    /// not. Whoever presents it is told the other one as his own.
    ///
    /// # Errors
    /// [`TokenError::TooMany`], which passes.
    pub(crate) fn brief(&self, bearer: &Bearer, now_s: u64) -> Result<String, TokenError> {
        let mut brief = self.brief.lock().unwrap_or_else(PoisonError::into_inner);
        brief.retain(|_, (_, until)| now_s < *until);
        if brief.len() >= BRIEF_MAX {
            return Err(TokenError::TooMany);
        }
        let token = data_encoding::BASE64URL_NOPAD.encode(&dice::<32>());
        brief.insert(token.clone(), (bearer.clone(), now_s + BRIEF_S));
        Ok(token)
    }

    fn issue(&self, subject: &str, now_s: u64, exp: Option<u64>) -> Result<Bearer, TokenError> {
        let identity = identity_hex(&identity_of(&self.did, subject));
        let issued = Issued {
            hex_identity: &identity,
            sub: subject,
            iss: &self.did,
            aud: ["spacetimedb"],
            iat: now_s,
            exp,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &issued, &self.signing)
            .map_err(invalid)?;
        let payload = payload_of(&token)?;
        Ok(Bearer {
            claims: Arc::new(Claims {
                issuer: self.did.clone(),
                subject: subject.to_owned(),
                payload,
            }),
            token,
        })
    }

    /// Whose token this is, if it is good at `now_s` and was issued here.
    ///
    /// # Errors
    /// [`TokenError`], which a client may read.
    pub(crate) fn check(&self, token: &str, now_s: u64) -> Result<Bearer, TokenError> {
        let brief = || self.brief.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bearer, until)) = brief().get(token)
            && now_s < *until
        {
            return Ok(bearer.clone());
        }
        let good = || self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bearer, period)) = good().get(token) {
            in_force(*period, now_s)?;
            return Ok(bearer.clone());
        }
        let (bearer, period) = signed(token)?;
        if bearer.claims.issuer != self.did {
            let issuer = bearer.claims.issuer.clone();
            return Err(TokenError::ForeignIssuer(issuer));
        }
        in_force(period, now_s)?;
        let mut good = good();
        if good.len() >= GOOD_TOKENS_MAX {
            good.clear();
        }
        good.insert(token.to_owned(), (bearer.clone(), period));
        Ok(bearer)
    }

    /// Whether these claims are the peer's own identity.
    pub(crate) fn is_owner(&self, claims: &Claims) -> bool {
        claims.issuer == self.did && claims.subject == self.did
    }

    /// The public key that checks our tokens, in PEM.
    pub(crate) fn public_key_pem(&self) -> String {
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(self.device.as_bytes());
        let text = data_encoding::BASE64.encode(&spki);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }
}

/// Whose token this is, if it is good at `now_s`, whichever device issued it: the key is in the
/// issuer's name.
///
/// # Errors
/// [`TokenError`], which a client may read.
pub(crate) fn check_any(token: &str, now_s: u64) -> Result<Bearer, TokenError> {
    let (bearer, period) = signed(token)?;
    in_force(period, now_s)?;
    Ok(bearer)
}

/// Whose token this is and when it is good, if its issuer signed it.
fn signed(token: &str) -> Result<(Bearer, Period), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong(token.len()));
    }
    // Not believed yet: read only to learn which key must have signed it.
    let named = jsonwebtoken::dangerous::insecure_decode::<Presented>(token);
    let named = named.map_err(|error| match issuer_named(token) {
        Ok(issuer) if device_of_did(&issuer).is_none() => TokenError::OfProvider,
        Ok(_) => invalid(error),
        Err(fault) => TokenError::Fault(fault),
    })?;
    let device = device_of_did(&named.claims.iss).ok_or(TokenError::OfProvider)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims::<&str>(&[]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    // A token of ours is for this peer whatever its audience says: it names our key.
    validation.validate_aud = false;
    let key = DecodingKey::from_ed_der(device.as_bytes());
    let claims = jsonwebtoken::decode::<Presented>(token, &key, &validation)
        .map_err(invalid)?
        .claims;
    for (name, value) in [("iss", &claims.iss), ("sub", &claims.sub)] {
        if value.is_empty() || value.len() > CLAIM_BYTES_MAX {
            return Err(TokenError::Claim(name));
        }
    }
    let payload = payload_of(token)?;
    if payload.len() > CLAIMS_BYTES_MAX {
        return Err(TokenError::TooLong(token.len()));
    }
    let bearer = Bearer {
        claims: Arc::new(Claims {
            issuer: claims.iss,
            subject: claims.sub,
            payload,
        }),
        token: token.to_owned(),
    };
    Ok((bearer, claims.period))
}

/// `nbf ≤ now < exp`, as RFC 7519 has it; a missing claim sets no bound.
fn in_force(period: Period, now_s: u64) -> Result<(), TokenError> {
    // Rounded so that a token is never good for longer.
    if let Some(exp) = period.exp.map(|exp| exp.floor() as u64)
        && now_s >= exp
    {
        return Err(TokenError::Expired { exp, now: now_s });
    }
    if let Some(nbf) = period.nbf.map(|nbf| nbf.ceil() as u64)
        && now_s < nbf
    {
        return Err(TokenError::TooEarly { nbf, now: now_s });
    }
    Ok(())
}

/// The device behind a did:key of ed25519; none for anything else.
pub(crate) fn device_of_did(did: &str) -> Option<DeviceKey> {
    let text = did.strip_prefix("did:key:z")?;
    if text.len() > 64 {
        return None;
    }
    let bytes = bs58::decode(text).into_vec().ok()?;
    let key = bytes.strip_prefix(&ED25519_MULTICODEC)?;
    key.try_into().ok().map(DeviceKey)
}

/// A token's payload as JSON text, byte for byte as it was signed.
fn payload_of(token: &str) -> Result<String, TokenError> {
    let part = token.split('.').nth(1).unwrap_or_default();
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|error| TokenError::Invalid(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| TokenError::Invalid(error.to_string()))
}

/// A version 4 UUID, the form that SpacetimeDB gives to such subjects.
fn random_subject(mut dice: [u8; 16]) -> String {
    dice[6] = (dice[6] & 0x0f) | 0x40;
    dice[8] = (dice[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&dice);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn invalid(error: jsonwebtoken::errors::Error) -> TokenError {
    TokenError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    fn tokens(seed: u8) -> Tokens {
        Tokens::new(&SecretKey::from_bytes(&[seed; 32]))
    }

    fn sign(tokens: &Tokens, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &tokens.signing)
            .expect("claims encode")
    }

    #[test]
    fn the_owner_is_known_by_his_token() {
        let tokens = tokens(1);
        let owner = tokens.owner(NOW).expect("signs");
        let bearer = tokens.check(&owner.token, NOW).expect("good");
        assert_eq!(bearer, owner);
        assert!(tokens.is_owner(&bearer.claims));
        assert!(bearer.identity().starts_with("c200"));
        let payload: serde_json::Value =
            serde_json::from_str(&bearer.claims.payload).expect("JSON");
        assert_eq!(payload["hex_identity"], json!(bearer.identity()));
    }

    #[test]
    fn two_anonymous_callers_differ_and_own_nothing() {
        let tokens = tokens(1);
        let one = tokens.anonymous(NOW).expect("signs");
        let two = tokens.anonymous(NOW).expect("signs");
        assert_ne!(one.identity(), two.identity());
        assert!(!tokens.is_owner(&one.claims));
        assert_eq!(one.claims.subject.len(), 36);
        assert_eq!(&one.claims.subject[14..15], "4");
    }

    #[test]
    fn another_peers_token_is_genuine_but_not_for_here() {
        let (here, there) = (tokens(1), tokens(2));
        let token = there.owner(NOW).expect("signs").token;
        assert!(check_any(&token, NOW).is_ok());
        assert_eq!(
            here.check(&token, NOW),
            Err(TokenError::ForeignIssuer(there.did().to_owned()))
        );
    }

    #[test]
    fn a_token_holds_from_nbf_until_just_before_exp() {
        let tokens = tokens(1);
        let token = sign(
            &tokens,
            &json!({"iss": tokens.did(), "sub": "x", "nbf": NOW, "exp": NOW + 10}),
        );
        let too_early = TokenError::TooEarly {
            nbf: NOW,
            now: NOW - 1,
        };
        assert_eq!(tokens.check(&token, NOW - 1), Err(too_early));
        assert!(tokens.check(&token, NOW).is_ok());
        assert!(tokens.check(&token, NOW + 9).is_ok());
        let expired = TokenError::Expired {
            exp: NOW + 10,
            now: NOW + 10,
        };
        assert_eq!(tokens.check(&token, NOW + 10), Err(expired));
    }

    #[test]
    fn a_changed_byte_or_another_signer_is_refused() {
        let (here, there) = (tokens(1), tokens(2));
        let token = here.owner(NOW).expect("signs").token;
        let mut parts: Vec<&str> = token.split('.').collect();
        let payload = data_encoding::BASE64URL_NOPAD
            .encode(format!(r#"{{"iss":"{}","sub":"root"}}"#, here.did()).as_bytes());
        parts[1] = &payload;
        assert!(matches!(
            here.check(&parts.join("."), NOW),
            Err(TokenError::Invalid(_))
        ));
        let forged = sign(&there, &json!({"iss": here.did(), "sub": here.did()}));
        assert!(matches!(
            here.check(&forged, NOW),
            Err(TokenError::Invalid(_))
        ));
    }

    #[test]
    fn only_eddsa_is_taken() {
        let tokens = tokens(1);
        let claims = json!({"iss": tokens.did(), "sub": tokens.did()});
        // HMAC with the public key as secret: the classic confusion of algorithms.
        let key = EncodingKey::from_secret(tokens.device.as_bytes());
        let confused =
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("signs");
        assert!(matches!(
            tokens.check(&confused, NOW),
            Err(TokenError::Invalid(_))
        ));
        let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let unsigned = format!(
            "{}.{}.",
            encode(r#"{"alg":"none","typ":"JWT"}"#),
            encode(&claims.to_string())
        );
        assert!(tokens.check(&unsigned, NOW).is_err());
    }

    #[test]
    fn strange_texts_are_refused() {
        let tokens = tokens(1);
        for text in ["", ".", "..", "a.b.c", "did:key:z"] {
            assert!(tokens.check(text, NOW).is_err(), "{text}");
        }
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(
            tokens.check(&long, NOW),
            Err(TokenError::TooLong(TOKEN_BYTES_MAX + 1))
        );
        let nobody = sign(&tokens, &json!({"iss": tokens.did()}));
        assert_eq!(tokens.check(&nobody, NOW), Err(TokenError::Claim("sub")));
        let stranger = sign(&tokens, &json!({"iss": "https://example.com", "sub": "x"}));
        assert_eq!(tokens.check(&stranger, NOW), Err(TokenError::OfProvider));
    }

    #[test]
    fn a_did_key_goes_there_and_back() {
        let device = SecretKey::from_bytes(&[7; 32]).public();
        assert_eq!(device_of_did(&did_key(&device)), Some(device));
        assert_eq!(device_of_did("did:key:z6Mk"), None);
        assert_eq!(device_of_did("did:web:example.com"), None);
    }

    #[test]
    fn the_public_key_is_a_pem_block() {
        let pem = tokens(1).public_key_pem();
        let body = pem.lines().nth(1).expect("three lines");
        let der = data_encoding::BASE64
            .decode(body.as_bytes())
            .expect("base64");
        assert_eq!(der.len(), 44);
        assert_eq!(der[12..], *tokens(1).device.as_bytes());
    }
}
