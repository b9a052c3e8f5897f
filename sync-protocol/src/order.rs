//! The place of an invocation in the one order: a key made of nothing but the entry itself.
//!
//! An entry's time is later than every time of its parents, so sorting by position never puts an
//! effect before its cause; and as a position never changes, a late entry moves no other.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceKey, EntryId};
use crate::time::Hlc;

/// Bytes of [`Position::to_bytes`].
pub const POSITION_BYTES: usize = 74;

/// `hlc ‖ author ‖ entry ‖ index`, compared in this order. The time is the entry's, not the
/// invocation's own, so that the invocations of one entry stay together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Time of the entry.
    pub hlc: Hlc,
    /// Its author.
    pub author: DeviceKey,
    /// Its id.
    pub entry: EntryId,
    /// Index of the invocation in its body.
    pub index: u16,
}

impl Position {
    /// Before every position of a real entry.
    pub const MIN: Self = Self {
        hlc: Hlc(0),
        author: DeviceKey::ZERO,
        entry: EntryId::ZERO,
        index: 0,
    };

    /// Big-endian bytes that compare as the position does.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0; POSITION_BYTES];
        bytes[..8].copy_from_slice(&self.hlc.0.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.author.0);
        bytes[40..72].copy_from_slice(&self.entry.0);
        bytes[72..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The position with these bytes: every 74 bytes are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; POSITION_BYTES]) -> Self {
        let mut position = Self::MIN;
        let mut hlc = [0; 8];
        hlc.copy_from_slice(&bytes[..8]);
        position.hlc = Hlc(u64::from_be_bytes(hlc));
        position.author.0.copy_from_slice(&bytes[8..40]);
        position.entry.0.copy_from_slice(&bytes[40..72]);
        position.index = u16::from_be_bytes([bytes[72], bytes[73]]);
        position
    }

    /// The position of the entry's first invocation.
    #[must_use]
    pub fn start_of_entry(&self) -> Self {
        Self { index: 0, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn positions()(hlc in 0_u64..3, author in 0_u8..3, entry in 0_u8..3, index in 254_u16..258)
            -> Position {
            Position {
                hlc: Hlc(hlc << 7),
                author: DeviceKey([author; 32]),
                entry: EntryId([entry; 32]),
                index,
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_compare_as_positions_do(a in positions(), b in positions()) {
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(Position::from_bytes(&a.to_bytes()), a);
            prop_assert!(Position::MIN <= a);
        }
    }

    #[test]
    fn golden_position() {
        let position = Position {
            hlc: Hlc(0x0102_0304_0506_0708),
            author: DeviceKey([0xAA; 32]),
            entry: EntryId([0xBB; 32]),
            index: 0x0C0D,
        };
        let hex = data_encoding::HEXLOWER.encode(&position.to_bytes());
        assert_eq!(
            hex,
            format!("0102030405060708{}{}0c0d", "aa".repeat(32), "bb".repeat(32))
        );
    }
}
