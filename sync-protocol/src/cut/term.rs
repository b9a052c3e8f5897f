//! Terms: between two recoveries. The term of a cut says which branch it belongs to when there are
//! several, without anybody having to know them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{CutId, DeviceKey, hash};

const SALT_CONTEXT: &str = "tombolo term salt 1";

/// Which recovery a cut comes after. A database begins with term [`Term::FIRST`]; every recovery
/// cut begins another. The greater term wins, wherever the branches part.
///
/// The upper half counts recoveries. The lower half is drawn from what the recovery cut decides, so
/// that two recoveries made apart have different terms and one of them wins.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(pub u64);

impl Term {
    /// Before any recovery.
    pub const FIRST: Self = Self(0);

    /// How many recoveries came before.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("the upper half")
    }

    /// The term that begins with a recovery cut after `parent`, which is of this term, and names
    /// `finalisers`. `None` after 2^32 recoveries.
    #[must_use]
    pub fn next(self, parent: &CutId, finalisers: &[DeviceKey]) -> Option<Self> {
        let number = self.number().checked_add(1)?;
        let mut decided = parent.0.to_vec();
        decided.extend(finalisers.iter().flat_map(|device| device.0));
        let [a, b, c, d, ..] = hash(SALT_CONTEXT, &decided);
        let salt = u32::from_be_bytes([a, b, c, d]);
        Some(Self(u64::from(number) << 32 | u64::from(salt)))
    }

    /// Whether a recovery cut of this term may come after a cut of term `parent`. Numbers are not
    /// skipped, or one careless recovery could use them up.
    #[must_use]
    pub fn begins_after(self, parent: Self) -> bool {
        parent.number().checked_add(1) == Some(self.number())
    }
}

impl fmt::Display for Term {
    /// The count of recoveries; for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_count_and_two_made_apart_differ() {
        let parent = CutId([7; 32]);
        let [a, b] = [DeviceKey([1; 32]), DeviceKey([2; 32])];
        let first = Term::FIRST.next(&parent, &[a]).unwrap();
        let other = Term::FIRST.next(&parent, &[b]).unwrap();
        assert_eq!((first.number(), other.number()), (1, 1));
        assert_ne!(first, other);
        assert_eq!(first.0, 0x1_a07f_8bd5, "part of the protocol");
        assert!(first.begins_after(Term::FIRST) && !first.begins_after(other));
        let second = other.next(&parent, &[a]).unwrap();
        assert!(second > first && second > other);
        assert!(second.begins_after(first) && !second.begins_after(Term::FIRST));
        assert_eq!(second.to_string(), "2");
        assert_eq!(Term(u64::MAX).next(&parent, &[a]), None);
        assert!(!Term(5).begins_after(Term(u64::MAX)));
    }
}
