//! The names of things: fixed-width byte strings, each its own type so that none can stand in for
//! another. All compare as bytes, print as lower-case hex, and are canonical in every encoding.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};

/// Text that is not the hex form of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits")]
pub struct NotAnId {
    /// How many hex digits the id has.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// All bytes zero: stands for "none" where a format says so.
            pub const ZERO: Self = Self([0; $len]);

            /// The bytes, in the order in which they are compared and encoded.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hex digits: enough for people, never for programs.
            #[must_use]
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let wrong = NotAnId { expected: 2 * $len };
                let mut bytes = [0; $len];
                if text.len() != 2 * $len {
                    return Err(wrong);
                }
                match HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes) {
                    Ok(_) => Ok(Self(bytes)),
                    Err(_) => Err(wrong),
                }
            }
        }
    };
}

id!(
    /// Identity of an entry: BLAKE3 (derive-key `tombolo entry 1`) of its header bytes. It does not
    /// cover the signature.
    EntryId, 32
);
id!(
    /// Identity of a database: the id of its genesis entry, byte for byte.
    DatabaseId, 32
);
id!(
    /// An ed25519 public key of a device: names an author, and the peer behind a connection.
    DeviceKey, 32
);
id!(
    /// Identity of a cut: BLAKE3 (derive-key `tombolo cut 1`) of its bytes without the certificate.
    CutId, 32
);
id!(
    /// BLAKE3 of a blob: a module or a large body.
    BlobHash, 32
);
id!(
    /// A hash of all replicated rows that depends on nothing but the rows.
    StateRoot, 32
);
id!(
    /// A hash of the sorted ids of the heads of the clean set.
    HeadsHash, 32
);
id!(
    /// A hash of the ids of a segment, in order.
    OrderRoot, 32
);
id!(
    /// A client connection, as a module sees it; all zero means none. Little-endian `u128`.
    ConnectionId, 16
);

impl From<EntryId> for DatabaseId {
    fn from(genesis: EntryId) -> Self {
        Self(genesis.0)
    }
}

impl From<DatabaseId> for EntryId {
    fn from(database: DatabaseId) -> Self {
        Self(database.0)
    }
}

/// BLAKE3 in derive-key mode: the context names the purpose and its version, so that a hash for one
/// purpose is none for another.
pub(crate) fn hash(context: &'static str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

impl BlobHash {
    /// The hash of a blob's bytes.
    #[must_use]
    pub fn of(blob: &[u8]) -> Self {
        Self(*blake3::hash(blob).as_bytes())
    }
}

/// An ed25519 signature. Stored and forwarded as it was verified; no id depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", HEXLOWER.encode(&self.0[..4]))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (low, high) = self.halves();
        (low, high).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (low, high) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        Ok(Self(bytes))
    }
}

impl Signature {
    /// Serde knows arrays up to 32 bytes, so a signature is encoded as two of them.
    fn halves(&self) -> ([u8; 32], [u8; 32]) {
        let (mut low, mut high) = ([0; 32], [0; 32]);
        low.copy_from_slice(&self.0[..32]);
        high.copy_from_slice(&self.0[32..]);
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back() {
        let id = EntryId([0xAB; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!("ab".parse::<EntryId>(), Err(NotAnId { expected: 64 }));
    }
}
