//! For `#[serde(with = "entries")]`: encoded entries, each in one piece, at most as many as one
//! message may carry, none too short to be one and none that should be a stub: a list of empty entries would cost far more
//! memory than the bytes that announce it.

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{ENTRIES_PER_MESSAGE_MAX, ENTRY_BYTES_MIN};
use crate::codec;
use crate::limits::GOSSIP_ENTRY_BYTES_MAX;

struct Owned(Vec<u8>);

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = codec::bytes::deserialize(deserializer)?;
        if entry.len() < ENTRY_BYTES_MIN {
            return Err(D::Error::custom("too short for an entry"));
        }
        if entry.len() > GOSSIP_ENTRY_BYTES_MAX {
            return Err(D::Error::custom("too long for an entry that travels whole"));
        }
        Ok(Self(entry))
    }
}

struct Borrowed<'a>(&'a [u8]);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

pub(super) fn serialize<S: Serializer>(
    entries: &[Vec<u8>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(entries.len()))?;
    for entry in entries {
        list.serialize_element(&Borrowed(entry))?;
    }
    list.end()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Vec<u8>>, D::Error> {
    let entries = codec::at_most::<D, Owned, ENTRIES_PER_MESSAGE_MAX>(deserializer)?;
    Ok(entries.into_iter().map(|entry| entry.0).collect())
}
