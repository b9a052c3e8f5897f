//! Stored keys: a space, then one or two parts made of sort-preserving bytes.
//!
//! A space is four bytes, big-endian: a table's number, or an index's or a table's (for its
//! sequences) with one of the two top bits set. So all rows of a table lie together in key order,
//! and so do all entries of an index.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::limits::{ID_MAX, KEY_PART_BYTES_MAX, KEY_PREFIX_BYTES};
use crate::schema::{IndexId, TableId};

/// Context of the hash that ends a cut part.
const PART_CONTEXT: &str = "tombolo key part 1";

/// Bytes of a space at the front of every stored key.
pub(crate) const SPACE_BYTES: usize = 4;

/// What a stored key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// Rows of a table.
    Rows(TableId),
    /// Entries of an index; derived from rows, so no part of the state root.
    Index(IndexId),
    /// Sequences of a table's columns.
    Sequences(TableId),
}

impl Space {
    /// The bytes at the front of its keys. Numbers are below `ID_MAX`: a schema is checked.
    pub(crate) fn bytes(self) -> [u8; SPACE_BYTES] {
        let number = match self {
            Self::Rows(TableId(id)) => id,
            Self::Index(IndexId(id)) => id | ID_MAX,
            Self::Sequences(TableId(id)) => id | (ID_MAX << 1),
        };
        number.to_be_bytes()
    }

    /// The space of a stored key; `None` if no space has these bytes.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let number = u32::from_be_bytes(*key.first_chunk::<SPACE_BYTES>()?);
        let id = number & (ID_MAX - 1);
        match number / ID_MAX {
            0 => Some(Self::Rows(TableId(id))),
            1 => Some(Self::Index(IndexId(id))),
            2 => Some(Self::Sequences(TableId(id))),
            _ => None,
        }
    }
}

/// Cuts the part that begins at `start` and ends `key`, if it is too long for a stored key: what
/// is left is a prefix, in order, and a hash of the whole part that tells it from all others.
pub(crate) fn seal_part(key: &mut Vec<u8>, start: usize) {
    if key.len() - start > KEY_PART_BYTES_MAX {
        let mut hasher = blake3::Hasher::new_derive_key(PART_CONTEXT);
        hasher.update(&key[start..]);
        key.truncate(start + KEY_PREFIX_BYTES);
        key.extend_from_slice(hasher.finalize().as_bytes());
    }
}

/// Turns `key` into the smallest byte string that is greater than every string beginning with it.
/// Spaces never consist of `FF` alone, so there always is one.
pub(crate) fn step_past_prefix(key: &mut Vec<u8>) {
    while let Some(last) = key.pop() {
        if last < 0xFF {
            key.push(last + 1);
            return;
        }
    }
    unreachable!("a stored key begins with a space, and no space is all FF");
}

/// Bytes that a key holds without an allocation of its own: a space and a 32-byte identity fit.
const INLINE_BYTES: usize = 38;

// Keys are compared by their first eight bytes first, and all have that many.
const _: () = assert!(INLINE_BYTES >= size_of::<u64>());

/// A stored key in memory.
#[derive(Clone)]
pub(crate) enum Key {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Arc<[u8]>),
}

impl Key {
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Shared(bytes) => bytes,
        }
    }

    /// The first eight bytes as a number; zeros stand for what is missing, so of two different
    /// numbers the smaller belongs to the smaller key.
    #[inline]
    pub(crate) fn first_bytes(&self) -> u64 {
        let bytes: &[u8] = match self {
            Self::Inline { bytes, .. } => bytes,
            Self::Shared(bytes) => bytes,
        };
        bytes
            .first_chunk::<8>()
            .map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Bytes it holds on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        if key.len() <= INLINE_BYTES {
            let mut bytes = [0; INLINE_BYTES];
            bytes[..key.len()].copy_from_slice(key);
            #[expect(clippy::cast_possible_truncation, reason = "at most INLINE_BYTES")]
            let len = key.len() as u8;
            Self::Inline { len, bytes }
        } else {
            Self::Shared(key.into())
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        // As in `cmp`: nearly all that differ do so there.
        self.first_bytes() == other.first_bytes() && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    /// As the bytes compare. The first eight mostly decide, as one number.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let first = self.first_bytes().cmp(&other.first_bytes());
        first.then_with(|| self.as_bytes().cmp(other.as_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
