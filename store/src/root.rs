//! The state root: LtHash16 over all replicated rows. Adding and taking away commute, so the root
//! depends on the rows alone and a cut costs only what it changed.
//!
//! A sum says that two states are equal; it neither proves that a row is among them nor tells
//! where two states differ.

use std::fmt;

use sync_protocol::StateRoot;

/// Context of the hash of one row.
const ROW_CONTEXT: &str = "tombolo row 1";

/// Context of the hash that makes 32 bytes of a sum.
const ROOT_CONTEXT: &str = "tombolo state root 1";

/// Lanes of a sum. With 16 bits each this is the smallest size for which finding two equal sums
/// is believed to be as hard as for a 128-bit-strong hash (Lewi et al. 2019).
const LANES: usize = 1_024;

/// Bytes of a sum, as stored: lanes little-endian.
pub(crate) const SUM_BYTES: usize = 2 * LANES;

/// A sum of rows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RowSum {
    lanes: Box<[u16; LANES]>,
}

impl RowSum {
    /// The sum of no rows.
    pub(crate) fn empty() -> Self {
        Self {
            lanes: Box::new([0; LANES]),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8; SUM_BYTES]) -> Self {
        let mut sum = Self::empty();
        for (lane, bytes) in sum.lanes.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *lane = u16::from_le_bytes(*bytes);
        }
        sum
    }

    pub(crate) fn to_bytes(&self) -> [u8; SUM_BYTES] {
        let mut bytes = [0; SUM_BYTES];
        for (bytes, lane) in bytes
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(self.lanes.iter())
        {
            *bytes = lane.to_le_bytes();
        }
        bytes
    }

    /// The root that stands for this sum.
    pub(crate) fn root(&self) -> StateRoot {
        let mut hasher = blake3::Hasher::new_derive_key(ROOT_CONTEXT);
        hasher.update(&self.to_bytes());
        StateRoot(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowSum({})", self.root().short())
    }
}

/// Hashes rows into sums. Kept, because setting a hasher up costs as much as a small row.
#[derive(Clone)]
pub(crate) struct RowHasher {
    fresh: blake3::Hasher,
}

impl RowHasher {
    pub(crate) fn new() -> Self {
        Self {
            fresh: blake3::Hasher::new_derive_key(ROW_CONTEXT),
        }
    }

    /// Adds the row stored under `key`.
    pub(crate) fn add(&self, sum: &mut RowSum, key: &[u8], row: &[u8]) {
        let hash = self.lanes(key, row);
        for (lane, bytes) in sum.lanes.iter_mut().zip(hash.as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*bytes));
        }
    }

    /// Takes away the row stored under `key`.
    pub(crate) fn take_away(&self, sum: &mut RowSum, key: &[u8], row: &[u8]) {
        let hash = self.lanes(key, row);
        for (lane, bytes) in sum.lanes.iter_mut().zip(hash.as_chunks::<2>().0) {
            *lane = lane.wrapping_sub(u16::from_le_bytes(*bytes));
        }
    }

    fn lanes(&self, key: &[u8], row: &[u8]) -> [u8; SUM_BYTES] {
        let mut hasher = self.fresh.clone();
        // The length keeps key and row apart: without it bytes could move from one to the other.
        hasher.update(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        hasher.update(key);
        hasher.update(row);
        let mut lanes = [0; SUM_BYTES];
        hasher.finalize_xof().fill(&mut lanes);
        lanes
    }
}

impl fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowHasher")
    }
}
