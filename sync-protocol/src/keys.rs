//! Device keys and tickets' one-time keys: ed25519, each signature bound to its purpose.
//!
//! Exactly one rule decides whether a signature holds: `verify_strict`, one by one. Batch
//! verification accepts some signatures that single verification refuses, depending on their
//! companions, and then two peers would judge the same entry differently.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::ids::{DeviceKey, Signature};

/// A signature that does not hold, or a key that no honest device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The key is no point of the curve, is spelled in a second way, or is of small order, so that
    /// one signature would fit many messages.
    #[error("the key {0} is weak or not canonical")]
    BadKey(DeviceKey),
    /// The signature is not by this key over this message.
    #[error("the signature is not by {0}")]
    NotByKey(DeviceKey),
}

/// The private half of a device key or of a ticket's key. Never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with this seed. Every 32 bytes are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The seed, for the key file or the ticket's text.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> DeviceKey {
        DeviceKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `context ‖ message`. The context names the purpose and its version, so that a
    /// signature for one purpose is none for another.
    #[must_use]
    pub fn sign(&self, context: &'static str, message: &[u8]) -> Signature {
        Signature(self.0.sign(&bound(context, message)).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().short())
    }
}

impl DeviceKey {
    /// Whether `signature` is by this key over `context ‖ message`.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not, or if the key itself is refused.
    pub fn verify(
        &self,
        context: &'static str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let key = self.point()?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&bound(context, message), &signature)
            .map_err(|_| BadSignature::NotByKey(*self))
    }

    /// Whether an honest device can have this key: a canonical point that is not of small order.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.point().is_ok()
    }

    fn point(&self) -> Result<VerifyingKey, BadSignature> {
        let bad = BadSignature::BadKey(*self);
        if !has_canonical_y(&self.0) {
            return Err(bad);
        }
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| bad)?;
        if key.is_weak() { Err(bad) } else { Ok(key) }
    }
}

/// Whether the y coordinate is below the field's prime 2^255 − 19: decompression takes any number
/// of 255 bits, so nineteen points would have two names.
fn has_canonical_y(key: &[u8; 32]) -> bool {
    let top = key[31] & 0x7F;
    !(top == 0x7F && key[1..31].iter().all(|byte| *byte == 0xFF) && key[0] >= 0xED)
}

fn bound(context: &'static str, message: &[u8]) -> Vec<u8> {
    [context.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_its_context_and_its_message() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let signature = key.sign("one", b"message");
        let public = key.public();
        assert_eq!(public.verify("one", b"message", &signature), Ok(()));
        let not = Err(BadSignature::NotByKey(public));
        assert_eq!(public.verify("two", b"message", &signature), not);
        assert_eq!(public.verify("one", b"massage", &signature), not);
        let other = SecretKey::from_bytes(&[8; 32]).public();
        let not = Err(BadSignature::NotByKey(other));
        assert_eq!(other.verify("one", b"message", &signature), not);
        let mut torn = signature;
        torn.0[63] ^= 0x80;
        assert!(public.verify("one", b"message", &torn).is_err());
    }

    #[test]
    fn weak_and_misspelled_keys_are_refused() {
        let mut identity = DeviceKey::ZERO;
        identity.0[0] = 1;
        // Under a key of small order the signature (identity, 0) would fit every message.
        let mut forged = Signature([0; 64]);
        forged.0[0] = 1;
        let refused = Err(BadSignature::BadKey(identity));
        assert_eq!(identity.verify("one", b"anything", &forged), refused);
        for low in 0xED..=0xFF {
            let mut key = [0xFF; 32];
            key[0] = low;
            key[31] = 0x7F;
            assert!(!DeviceKey(key).is_sound());
            key[31] = 0xFF;
            assert!(!DeviceKey(key).is_sound());
        }
        assert!(SecretKey::from_bytes(&[7; 32]).public().is_sound());
    }

    #[test]
    fn a_scalar_over_the_group_order_is_refused() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let mut signature = key.sign("one", b"message");
        // s + l signs the same message for a lax verifier: a second spelling of the signature.
        let order: [u8; 32] = [
            0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9,
            0xDE, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0_u16;
        for (byte, add) in signature.0[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(key.public().verify("one", b"message", &signature).is_err());
    }

    const EDGE_CASES: &str = include_str!("../../tests/corpus/signatures/edge-cases.txt");

    #[test]
    fn published_edge_cases_of_signatures_are_judged_as_they_were() {
        let unhex = |text: &str| {
            let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
            bytes.expect("hex")
        };
        let lines = EDGE_CASES.lines().filter(|line| !line.starts_with('#'));
        let mut judged = 0;
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[verdict, key, signature, message, why] = &fields[..] else {
                panic!("{line}");
            };
            let key = DeviceKey(unhex(key).try_into().expect("32 bytes"));
            let signature = Signature(unhex(signature).try_into().expect("64 bytes"));
            let accepted = key.verify("", &unhex(message), &signature).is_ok();
            assert_eq!(accepted, verdict == "accepted", "{why}");
            judged += 1;
        }
        assert_eq!(judged, 12);
    }

    #[test]
    fn the_private_half_is_not_printed() {
        let key = SecretKey::from_bytes(&[0xAB; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
