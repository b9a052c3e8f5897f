//! The signed part of an entry that everything else hangs on.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::cut::CutRef;
use crate::error::{Malformed, ascending, within};
use crate::ids::{CutId, DatabaseId, DeviceKey, EntryId, Signature, hash};
use crate::keys::BadSignature;
use crate::limits::{
    BODY_BYTES_MAX, HEADER_BYTES_MAX, HLC_MAX, INVOCATIONS_MAX, PARENTS_MAX, STRIDE_MAX,
};
use crate::time::Hlc;

/// The format that this peer writes, and the highest that it reads.
pub const FORMAT: u8 = 1;

const ID_CONTEXT: &str = "tombolo entry 1";
pub(super) const SIGNATURE_CONTEXT: &str = "tombolo signature 1";

/// What an author states about an entry. Its bytes are what the entry's id is the hash of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`]. The first byte of the encoding in every format to come.
    pub format: u8,
    /// The database; in its genesis entry, whose hash the database is named by, the nonce.
    pub database: DatabaseId,
    /// Who signed.
    pub author: DeviceKey,
    /// Which chain of the author: random at each start of its process.
    pub epoch: u64,
    /// Place in that chain, from 0.
    pub seq: u64,
    /// The entries it builds on, sorted, at most [`PARENTS_MAX`]; none in the genesis only.
    #[serde(deserialize_with = "codec::at_most::<_, _, PARENTS_MAX>")]
    pub parents: Vec<EntryId>,
    /// Time of the first invocation.
    pub hlc: Hlc,
    /// Invocation `i` happens `i << stride` microseconds later, at most [`STRIDE_MAX`].
    pub stride: u8,
    /// A cut that its author knew: the newest, or for a moment the one before.
    pub base: CutRef,
    /// Hash of the body's bytes.
    pub body_root: [u8; 32],
    /// Length of the body in bytes, at most [`BODY_BYTES_MAX`].
    pub body_len: u32,
    /// Invocations in the body, 1 to [`INVOCATIONS_MAX`].
    pub invocations: u16,
}

impl Header {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads and checks canonical bytes.
    ///
    /// # Errors
    /// [`Malformed`] if they are not canonical or break a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        known_format("header", bytes.first(), FORMAT)?;
        let header: Self = codec::decode("header", bytes, HEADER_BYTES_MAX)?;
        header.check()?;
        Ok(header)
    }

    /// The id of the entry with this header.
    #[must_use]
    pub fn id(&self) -> EntryId {
        id_of(&self.encode())
    }

    /// The chain this entry is a link of.
    #[must_use]
    pub fn chain(&self) -> (DeviceKey, u64) {
        (self.author, self.epoch)
    }

    /// Time of the last invocation: what builds on this entry is later than it.
    #[must_use]
    pub fn last_time(&self) -> Hlc {
        self.hlc
            .at_index(self.invocations.saturating_sub(1), self.stride)
    }

    /// Whether it is a database's first entry, which alone builds on nothing.
    #[must_use]
    pub fn is_genesis(&self) -> bool {
        self.parents.is_empty()
    }

    /// The rules for a header alone: what `seal` promises and `open` demands.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        within("parents", self.parents.len(), PARENTS_MAX)?;
        ascending("parents", &self.parents)?;
        within("stride", self.stride.into(), STRIDE_MAX.into())?;
        within("invocations", self.invocations.into(), INVOCATIONS_MAX)?;
        within("body bytes", self.body_len as usize, BODY_BYTES_MAX)?;
        if self.invocations == 0 {
            return Err(Malformed::Empty {
                what: "invocations",
            });
        }
        if self.last_time().0 > HLC_MAX {
            let found = self.last_time().0;
            return Err(Malformed::OverLimit {
                what: "time",
                found,
                max: HLC_MAX,
            });
        }
        let fits = if self.is_genesis() {
            self.seq == 0 && self.base == CutRef::NONE
        } else {
            self.base.id != CutId::ZERO
        };
        if !fits {
            return Err(Malformed::Mismatch {
                what: "the shape of a genesis entry",
            });
        }
        Ok(())
    }
}

/// A header with its signature: what an equivocation is proven with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// Its author's signature.
    pub signature: Signature,
}

impl SignedHeader {
    /// A header signed whatever it says.
    #[cfg(test)]
    pub(crate) fn sign(header: Header, key: &crate::keys::SecretKey) -> Self {
        let signature = key.sign(SIGNATURE_CONTEXT, &header.id().0);
        Self { header, signature }
    }

    /// Whether the author signed it.
    ///
    /// # Errors
    /// [`BadSignature`] if not.
    pub fn verify(&self) -> Result<(), BadSignature> {
        let id = self.header.id();
        self.header
            .author
            .verify(SIGNATURE_CONTEXT, &id.0, &self.signature)
    }
}

pub(super) fn id_of(header: &[u8]) -> EntryId {
    EntryId(hash(ID_CONTEXT, header))
}

/// Tells a format of the future from nonsense: each of our formats starts with its number.
pub(crate) fn known_format(
    what: &'static str,
    first: Option<&u8>,
    known: u8,
) -> Result<(), Malformed> {
    match first {
        Some(&format) if format > known => Err(Malformed::UnknownFormat {
            what,
            format,
            known,
        }),
        Some(&format) if format == known => Ok(()),
        _ => Err(Malformed::Undecodable { what }),
    }
}
