//! Providers of OpenID Connect whose users a database takes: what system calls say of them.
//!
//! Nothing here asks a provider. What has to be known of one to judge a token stands in rows, put
//! there by these calls, so that every peer judges it alike and without a network.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Malformed, within};
use crate::ids::{DatabaseId, DeviceKey, hash};
use crate::limits::{
    AUDIENCES_MAX, CLAIM_BYTES_MAX, CLAIM_NAMES_MAX, ISSUER_KEY_BYTES_MAX, ISSUER_KEYS_MAX,
};

const NONCE_CONTEXT: &str = "tombolo bind nonce 1";

/// Bytes of the modulus of an RSA key: 2,048 to 4,096 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Bytes of the exponent of an RSA key.
const EXPONENT_BYTES_MAX: usize = 8;

/// How a provider signs. Only ways with a public key: with a shared one, whoever can check a token
/// could make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl KeyAlgorithm {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As it is called in a token's header (RFC 7518).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether keys of it are RSA keys.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256)
    }
}

/// A public key with which a provider's tokens are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerKey {
    /// What the provider calls it (`kid`); may be empty. At most [`CLAIM_BYTES_MAX`].
    pub kid: String,
    /// What it is for, and nothing else.
    pub algorithm: KeyAlgorithm,
    /// RSA: one byte with the length of the exponent, exponent, modulus, both big-endian without
    /// leading zeros. ECDSA: the point, uncompressed (SEC 1). Ed25519: 32 bytes. At most
    /// [`ISSUER_KEY_BYTES_MAX`].
    #[serde(with = "codec::bytes")]
    pub key: Vec<u8>,
}

impl IssuerKey {
    /// A key of RSA from its two numbers, big-endian.
    #[must_use]
    pub fn rsa(kid: String, algorithm: KeyAlgorithm, modulus: &[u8], exponent: &[u8]) -> Self {
        let bare = |number: &[u8]| -> Vec<u8> {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (modulus, exponent) = (bare(modulus), bare(exponent));
        // What is longer is refused by `check`.
        let len = u8::try_from(exponent.len()).unwrap_or(u8::MAX);
        let key = [&[len][..], &exponent, &modulus].concat();
        Self {
            kid,
            algorithm,
            key,
        }
    }

    /// Modulus and exponent of an RSA key; `None` for others.
    #[must_use]
    pub fn rsa_parts(&self) -> Option<(&[u8], &[u8])> {
        let (len, rest) = self.key.split_first()?;
        let (exponent, modulus) = rest.split_at_checked(usize::from(*len))?;
        self.algorithm.is_rsa().then_some((modulus, exponent))
    }

    /// Whether it can be such a key. That a point is on its curve shows when it is used.
    ///
    /// # Errors
    /// [`Malformed`] if not.
    pub fn check(&self) -> Result<(), Malformed> {
        within("bytes of a key id", self.kid.len(), CLAIM_BYTES_MAX)?;
        within("bytes of a key", self.key.len(), ISSUER_KEY_BYTES_MAX)?;
        let is_point = |bytes: usize| self.key.len() == bytes && self.key[0] == 4;
        let fits = match self.algorithm {
            KeyAlgorithm::Es256 => is_point(65),
            KeyAlgorithm::Es384 => is_point(97),
            KeyAlgorithm::EdDsa => self.key.len() == 32,
            _ => self.rsa_parts().is_some_and(|(modulus, exponent)| {
                MODULUS_BYTES.contains(&modulus.len())
                    && modulus[0] != 0
                    && (1..=EXPONENT_BYTES_MAX).contains(&exponent.len())
                    && exponent[0] != 0
            }),
        };
        match fits {
            true => Ok(()),
            false => Err(Malformed::Mismatch {
                what: "a key and its algorithm",
            }),
        }
    }
}

/// A provider whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, byte for byte. At most [`CLAIM_BYTES_MAX`].
    pub issuer: String,
    /// For whom its tokens have to be: one of these stands in their `aud`.
    #[serde(deserialize_with = "codec::at_most::<_, _, AUDIENCES_MAX>")]
    pub audiences: Vec<String>,
    /// Which claims of a token a module may see besides issuer, subject and audience. Nothing else
    /// of a token is replicated.
    #[serde(deserialize_with = "codec::at_most::<_, _, CLAIM_NAMES_MAX>")]
    pub claims: Vec<String>,
}

impl TrustedIssuer {
    /// The rules for it alone.
    ///
    /// # Errors
    /// [`Malformed`] if it breaks one.
    pub fn check(&self) -> Result<(), Malformed> {
        issuer_fits(&self.issuer)?;
        within("audiences", self.audiences.len(), AUDIENCES_MAX)?;
        if self.audiences.is_empty() {
            return Err(Malformed::Empty { what: "audiences" });
        }
        within("names of claims", self.claims.len(), CLAIM_NAMES_MAX)?;
        for text in &self.audiences {
            text_fits("an audience", text)?;
        }
        // Names are written into JSON as they are.
        let is_plain = |name: &String| !name.contains(['"', '\\']);
        for name in &self.claims {
            text_fits("the name of a claim", name)?;
            if !is_plain(name) {
                return Err(Malformed::Mismatch {
                    what: "the name of a claim",
                });
            }
        }
        Ok(())
    }
}

/// Whether a text can name a provider: a URL without `|`. An identity is the hash of issuer, `|` and
/// subject; with the sign in an issuer, two of them could make one identity. And what is no URL, a
/// device's did:key for one, is no provider.
///
/// # Errors
/// [`Malformed`] if it cannot.
pub fn issuer_fits(issuer: &str) -> Result<(), Malformed> {
    text_fits("an issuer", issuer)?;
    let is_url = issuer.starts_with("https://") || issuer.starts_with("http://");
    match is_url && !issuer.contains('|') {
        true => Ok(()),
        false => Err(Malformed::Mismatch {
            what: "an issuer and the form of a URL",
        }),
    }
}

/// Printable ASCII without spaces, of a claim's length.
fn text_fits(what: &'static str, text: &str) -> Result<(), Malformed> {
    within(what, text.len(), CLAIM_BYTES_MAX)?;
    if text.is_empty() {
        return Err(Malformed::Empty { what });
    }
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Malformed::Mismatch { what }),
    }
}

/// The rules for an issuer's keys: few, each id once.
pub(crate) fn keys_fit(keys: &[IssuerKey]) -> Result<(), Malformed> {
    within("keys of an issuer", keys.len(), ISSUER_KEYS_MAX)?;
    keys.iter().try_for_each(IssuerKey::check)?;
    match keys.is_sorted_by(|a, b| a.kid < b.kid) {
        true => Ok(()),
        false => Err(Malformed::NotSorted {
            what: "keys of an issuer",
        }),
    }
}

/// What every `nonce` of a token that binds begins with. Such a token stands in the log, where all
/// members can read it, so it must never be taken for a client's proof of who it is.
pub const BIND_NONCE_PREFIX: &str = "tombolo-bind-1.";

/// The `nonce` of a token that binds its user to a device in a database: [`BIND_NONCE_PREFIX`] and 64
/// hex digits. A provider signs it without knowing what it is; the same token says nothing in another
/// database or of another device.
#[must_use]
pub fn bind_nonce(database: &DatabaseId, device: &DeviceKey) -> String {
    let nonce = hash(NONCE_CONTEXT, &[database.0, device.0].concat());
    format!(
        "{BIND_NONCE_PREFIX}{}",
        data_encoding::HEXLOWER.encode(&nonce)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::hex;
    use crate::system_call::SystemCall;

    fn check_golden(call: &SystemCall, golden: &str) {
        assert_eq!(hex(&call.encode()), golden.replace(' ', ""));
        assert_eq!(SystemCall::decode(&call.encode()).as_ref(), Ok(call));
    }

    /// `https://a.b/`, with its length before it.
    const URL: &str = "0c 68747470733a2f2f612e622f";

    #[test]
    fn golden_calls_about_issuers() {
        let url = || "https://a.b/".to_owned();
        let trust = TrustedIssuer {
            issuer: url(),
            audiences: vec!["app".to_owned()],
            claims: vec!["email".to_owned()],
        };
        check_golden(
            &SystemCall::TrustIssuer(trust),
            &format!("0e {URL} 01 03617070 01 05656d61696c"),
        );
        check_golden(
            &SystemCall::DistrustIssuer { issuer: url() },
            &format!("0f {URL}"),
        );
        let keys = vec![
            IssuerKey {
                kid: "1".to_owned(),
                algorithm: KeyAlgorithm::EdDsa,
                key: vec![0xAA; 32],
            },
            IssuerKey::rsa(
                "2".to_owned(),
                KeyAlgorithm::Rs256,
                &[0xBB; 256],
                &[1, 0, 1],
            ),
        ];
        let golden = format!(
            "10 {URL} 02 0131 06 20{} 0132 00 8402 03 010001 {}",
            "aa".repeat(32),
            "bb".repeat(256)
        );
        let issuer = url();
        check_golden(&SystemCall::SetIssuerKeys { issuer, keys }, &golden);
        check_golden(
            &SystemCall::Bind {
                token: "a.b.c".to_owned(),
            },
            "11 05612e622e63",
        );
        let unbind = SystemCall::Unbind {
            device: DeviceKey([0xCC; 32]),
            issuer: url(),
            subject: "auth0|ann".to_owned(),
        };
        let golden = format!("12 {} {URL} 0961757468307c616e6e", "cc".repeat(32));
        check_golden(&unbind, &golden);
    }

    #[test]
    fn calls_about_issuers_keep_their_limits() {
        let check = |call: SystemCall, fits: bool| {
            assert_eq!(SystemCall::decode(&call.encode()).is_ok(), fits, "{call:?}");
        };
        let url = || "https://a.b/".to_owned();
        let token = |bytes| SystemCall::Bind {
            token: "t".repeat(bytes),
        };
        check(token(crate::limits::TOKEN_BYTES_MAX), true);
        check(token(crate::limits::TOKEN_BYTES_MAX + 1), false);
        let key = |kid: usize| IssuerKey {
            kid: format!("{kid:02}"),
            algorithm: KeyAlgorithm::EdDsa,
            key: vec![1; 32],
        };
        let keys = |count| SystemCall::SetIssuerKeys {
            issuer: url(),
            keys: (0..count).map(key).collect(),
        };
        check(keys(0), true);
        check(keys(ISSUER_KEYS_MAX), true);
        check(keys(ISSUER_KEYS_MAX + 1), false);
        let did = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".to_owned();
        check(SystemCall::DistrustIssuer { issuer: did }, false);
        let unbind = |subject: String| SystemCall::Unbind {
            device: DeviceKey::ZERO,
            issuer: url(),
            subject,
        };
        check(unbind("s".repeat(128)), true);
        check(unbind("s".repeat(129)), false);
    }

    fn trusted(issuer: &str) -> TrustedIssuer {
        TrustedIssuer {
            issuer: issuer.to_owned(),
            audiences: vec!["app".to_owned()],
            claims: vec!["email".to_owned()],
        }
    }

    #[test]
    fn a_nonce_is_of_one_device_in_one_database() {
        let nonce = bind_nonce(&DatabaseId([1; 32]), &DeviceKey([2; 32]));
        assert_eq!(nonce, bind_nonce(&DatabaseId([1; 32]), &DeviceKey([2; 32])));
        assert!(nonce.starts_with(BIND_NONCE_PREFIX));
        assert_ne!(nonce, bind_nonce(&DatabaseId([2; 32]), &DeviceKey([1; 32])));
        assert_eq!(nonce, NONCE, "part of the format");
    }

    const NONCE: &str =
        "tombolo-bind-1.32b068768e2907eaff52051f6ef29b9ab56ad684fc780382fd189b40714a2eae";

    #[test]
    fn issuers_are_urls_without_a_bar() {
        let check = |issuer: &str, fits: bool| {
            assert_eq!(trusted(issuer).check().is_ok(), fits, "{issuer}");
        };
        check("https://example.eu.auth0.com/", true);
        check("http://127.0.0.1:3000", true);
        check("", false);
        check(
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
            false,
        );
        check("localhost", false);
        check("https://example.com/|auth0", false);
        check("https://example.com/ ", false);
        check("https://ex\u{e4}mple.com", false);
        check(&format!("https://{}", "a".repeat(120)), true);
        check(&format!("https://{}", "a".repeat(121)), false);
    }

    #[test]
    fn audiences_and_claims_are_few_and_plain() {
        let check = |change: &dyn Fn(&mut TrustedIssuer), fits: bool| {
            let mut issuer = trusted("https://example.com");
            change(&mut issuer);
            assert_eq!(issuer.check().is_ok(), fits, "{issuer:?}");
        };
        let many = |count: usize| vec!["a".to_owned(); count];
        check(&|it| it.audiences.clear(), false);
        check(&|it| it.audiences = many(8), true);
        check(&|it| it.audiences = many(9), false);
        check(&|it| it.audiences = vec![String::new()], false);
        check(&|it| it.claims.clear(), true);
        check(&|it| it.claims = many(16), true);
        check(&|it| it.claims = many(17), false);
        check(&|it| it.claims = vec!["a\"b".to_owned()], false);
    }

    #[test]
    fn keys_have_the_form_of_their_algorithm() {
        let check = |algorithm, key: Vec<u8>, fits: bool| {
            let key = IssuerKey {
                kid: String::new(),
                algorithm,
                key,
            };
            assert_eq!(key.check().is_ok(), fits, "{key:?}");
        };
        let point = |len: usize| [vec![4], vec![1; len - 1]].concat();
        check(KeyAlgorithm::Es256, point(65), true);
        check(KeyAlgorithm::Es256, vec![2; 65], false);
        check(KeyAlgorithm::Es256, point(97), false);
        check(KeyAlgorithm::Es384, point(97), true);
        check(KeyAlgorithm::EdDsa, vec![1; 32], true);
        check(KeyAlgorithm::EdDsa, vec![1; 33], false);
        check(KeyAlgorithm::EdDsa, vec![], false);
        check(KeyAlgorithm::Rs256, vec![], false);
        let rsa = |modulus: usize, exponent: &[u8]| {
            IssuerKey::rsa(
                String::new(),
                KeyAlgorithm::Rs256,
                &vec![9; modulus],
                exponent,
            )
            .key
        };
        check(KeyAlgorithm::Rs256, rsa(256, &[1, 0, 1]), true);
        check(KeyAlgorithm::Ps256, rsa(512, &[0, 3]), true);
        check(KeyAlgorithm::Rs256, rsa(128, &[1, 0, 1]), false);
        check(KeyAlgorithm::Rs256, rsa(513, &[1, 0, 1]), false);
        check(KeyAlgorithm::Rs256, rsa(256, &[]), false);
        check(KeyAlgorithm::Rs256, rsa(256, &[9; 9]), false);
    }

    #[test]
    fn a_kid_names_one_key() {
        let key = |kid: &str| IssuerKey {
            kid: kid.to_owned(),
            algorithm: KeyAlgorithm::EdDsa,
            key: vec![1; 32],
        };
        assert!(keys_fit(&[key("a"), key("b")]).is_ok());
        assert!(keys_fit(&[key("a"), key("a")]).is_err());
        assert!(keys_fit(&[key("b"), key("a")]).is_err());
        let many = |count: usize| -> Vec<IssuerKey> {
            (0..count).map(|n| key(&format!("{n:02}"))).collect()
        };
        assert!(keys_fit(&many(16)).is_ok() && keys_fit(&many(17)).is_err());
    }
}
