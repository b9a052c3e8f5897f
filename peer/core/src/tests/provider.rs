//! A provider of OpenID Connect for tests: it signs whatever it is told to. The keys beside this file
//! protect nothing.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sync_protocol::{IssuerKey, KeyAlgorithm, TrustedIssuer};

const RSA: [&[u8]; 2] = [
    include_bytes!("provider/rsa-1.der"),
    include_bytes!("provider/rsa-2.der"),
];
const P256: &[u8] = include_bytes!("provider/p256.der");

/// What precedes the 32 bytes of a secret key in PKCS#8 (RFC 8410).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const ED25519_SECRET: [u8; 32] = [42; 32];

/// Where the modulus of a key of 2,048 bits stands in PKCS#1.
const MODULUS: std::ops::Range<usize> = 12..268;

/// A key of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa1,
    Rsa2,
    P256,
    Ed25519,
}

impl Key {
    /// Its public half, as a database has it.
    pub(crate) fn public(self, kid: &str, algorithm: KeyAlgorithm) -> IssuerKey {
        let kid = kid.to_owned();
        let key = match self {
            Self::Rsa1 | Self::Rsa2 => {
                return IssuerKey::rsa(kid, algorithm, self.modulus(), &[1, 0, 1]);
            }
            Self::P256 => P256[P256.len() - 65..].to_vec(),
            Self::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&ED25519_SECRET)
                .verifying_key()
                .to_bytes()
                .to_vec(),
        };
        IssuerKey {
            kid,
            algorithm,
            key,
        }
    }

    pub(crate) fn modulus(self) -> &'static [u8] {
        &RSA[usize::from(self == Self::Rsa2)][MODULUS]
    }

    fn signing(self) -> EncodingKey {
        match self {
            Self::Rsa1 => EncodingKey::from_rsa_der(RSA[0]),
            Self::Rsa2 => EncodingKey::from_rsa_der(RSA[1]),
            Self::P256 => EncodingKey::from_ec_der(P256),
            Self::Ed25519 => {
                EncodingKey::from_ed_der(&[&ED25519_PKCS8[..], &ED25519_SECRET].concat())
            }
        }
    }

    /// A token with these claims.
    pub(crate) fn sign(self, algorithm: Algorithm, kid: &str, claims: &Value) -> String {
        sign(&self.signing(), algorithm, Some(kid), claims)
    }
}

/// A token by any key.
pub(crate) fn sign(
    key: &EncodingKey,
    algorithm: Algorithm,
    kid: Option<&str>,
    claims: &Value,
) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).expect("claims encode")
}

/// A token of three texts, the last one as it is.
pub(crate) fn assembled(header: &str, payload: &str, signature: &str) -> String {
    let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.{signature}", part(header), part(payload))
}

pub(crate) const ISSUER: &str = "https://example.eu.auth0.com/";
pub(crate) const AUDIENCE: &str = "app";
pub(crate) const SUBJECT: &str = "auth0|ann";

/// How a database takes the provider's tokens.
pub(crate) fn rules() -> TrustedIssuer {
    TrustedIssuer {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned(), "https://api.example.com".to_owned()],
        claims: vec!["email".to_owned()],
    }
}

/// The provider's keys, one of each kind.
pub(crate) fn keys() -> Vec<IssuerKey> {
    vec![
        Key::Ed25519.public("ed", KeyAlgorithm::EdDsa),
        Key::P256.public("p256", KeyAlgorithm::Es256),
        Key::Rsa1.public("rsa", KeyAlgorithm::Rs256),
    ]
}

/// Claims of a token that is good at `now_s`, for an hour.
pub(crate) fn claims(now_s: u64) -> Value {
    json!({
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": AUDIENCE,
        "iat": now_s,
        "exp": now_s + 3_600,
        "email": "ann@example.com",
        "phone": "never replicated",
    })
}
