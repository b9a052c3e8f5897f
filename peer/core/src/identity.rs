//! Who is who: device keys as did:key, and the identities that modules see.
//!
//! A did:key of ed25519 is `did:key:z` and the base58btc text of the multicodec prefix `ed 01` and
//! the key (did:key method, W3C CCG). The identity of a caller is SpacetimeDB's derivation from
//! issuer and subject, so the same user is the same identity there and here.

use spacetimedb_lib::Identity;
use sync_protocol::DeviceKey;

/// Multicodec of an ed25519 public key, as an unsigned varint.
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];

/// What a checked token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claims {
    /// Who vouches, at most 128 bytes.
    pub issuer: String,
    /// For whom, at most 128 bytes.
    pub subject: String,
    /// The token's payload as JSON, cut to the allow-list; empty without a token.
    pub payload: String,
}

impl Claims {
    /// The peer speaking for itself: its did:key as issuer and subject.
    #[must_use]
    pub fn of_device(device: &DeviceKey) -> Self {
        let did = did_key(device);
        Self {
            issuer: did.clone(),
            subject: did,
            payload: String::new(),
        }
    }

    /// The identity a module sees, as `Identity::to_byte_array` gives it (little-endian).
    #[must_use]
    pub fn identity(&self) -> [u8; 32] {
        identity_of(&self.issuer, &self.subject)
    }
}

/// The did:key of a device.
#[must_use]
pub fn did_key(device: &DeviceKey) -> String {
    let mut bytes = Vec::with_capacity(34);
    bytes.extend_from_slice(&ED25519_MULTICODEC);
    bytes.extend_from_slice(device.as_bytes());
    format!("did:key:z{}", bs58::encode(bytes).into_string())
}

/// The identity of a caller, little-endian as BSATN and the module ABI carry it.
#[must_use]
pub fn identity_of(issuer: &str, subject: &str) -> [u8; 32] {
    Identity::from_claims(issuer, subject).to_byte_array()
}

/// An identity as people write it: big-endian hex that starts with `c200`.
#[must_use]
pub fn identity_hex(identity: &[u8; 32]) -> String {
    Identity::from_byte_array(*identity).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_key_is_the_text_the_method_prescribes() {
        // The published example of the did:key method for this public key.
        let key = "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6";
        let device: DeviceKey = key.parse().expect("hex");
        assert_eq!(
            did_key(&device),
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
        );
    }

    #[test]
    fn identities_start_with_their_type_and_differ_by_subject() {
        let one = identity_of("issuer", "one");
        assert!(identity_hex(&one).starts_with("c200"));
        assert_ne!(one, identity_of("issuer", "two"));
    }
}
