//! The bytes of a backup; `docs/FILE_FORMAT.md` describes them.

use serde::{Deserialize, Serialize};
use sync_protocol::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use sync_protocol::{BlobHash, DatabaseId, DeviceKey};

/// What every backup begins with.
pub(crate) const MAGIC: &[u8; 16] = b"tombolo backup 1";

/// Purpose of the hash over all that stands before the end.
const HASH_CONTEXT: &str = "tombolo backup 1";

/// Bytes of a blob in one frame.
pub(crate) const PART_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame beside its head. The longest entry fits, with its signature.
pub(crate) const FRAME_BYTES_MAX: usize = BODY_BYTES_MAX + HEADER_BYTES_MAX + (1 << 10);

/// Bytes before what a frame carries: its kind and its length.
pub(crate) const HEAD_BYTES: usize = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Described`], the first frame.
    About,
    /// An entry. Those before a cut are the ones that it covers, in order; those after the last are
    /// the tail.
    Entry,
    /// A cut.
    Cut,
    /// A hash, and bytes of the blob under it; those of one blob follow each other.
    Blob,
    /// [`End`], the last frame.
    End,
}

impl Kind {
    const ALL: [Self; 5] = [Self::About, Self::Entry, Self::Cut, Self::Blob, Self::End];

    /// As it stands in the file.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::About => 1,
            Self::Entry => 2,
            Self::Cut => 3,
            Self::Blob => 4,
            Self::End => 5,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What is backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) database: DatabaseId,
    /// The peer that took the backup.
    pub(crate) device: DeviceKey,
    /// What the database is called there, the name first.
    pub(crate) names: Vec<String>,
}

/// That nothing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) cuts: u64,
    pub(crate) entries: u64,
    pub(crate) blobs: u64,
    /// Over every byte before this frame.
    pub(crate) hash: [u8; 32],
}

/// A hash that nothing has gone into.
pub(crate) fn hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key(HASH_CONTEXT)
}

/// Appends a frame whose carried bytes are `parts`, one after the other.
pub(crate) fn put_frame(out: &mut Vec<u8>, kind: Kind, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let len = u32::try_from(len)
        .ok()
        .filter(|len| *len as usize <= FRAME_BYTES_MAX)
        .unwrap_or_else(|| unreachable!("what is put into frames has bounds: {len}"));
    out.push(kind.code());
    out.extend_from_slice(&len.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a frame with a value in postcard.
pub(crate) fn put_value<T: Serialize>(out: &mut Vec<u8>, kind: Kind, value: &T) {
    let bytes = postcard::to_allocvec(value)
        .unwrap_or_else(|error| unreachable!("plain values can be written: {error}"));
    put_frame(out, kind, &[&bytes]);
}

/// What a blob's frame carries before the blob's bytes.
pub(crate) fn split_blob(carried: &[u8]) -> Option<(BlobHash, &[u8])> {
    let (hash, bytes) = carried.split_first_chunk::<32>()?;
    Some((BlobHash(*hash), bytes))
}
