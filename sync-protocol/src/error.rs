//! What is wrong with bytes that came from outside.

/// Bytes that are not what they claim to be: the fault of whoever sent them, except
/// [`Malformed::UnknownFormat`], which a newer peer may well have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end too early, or are no encoding of this at all.
    #[error("{what} does not decode")]
    Undecodable {
        /// Which part.
        what: &'static str,
    },
    /// They decode, but the same value has another, canonical encoding, or bytes follow it.
    #[error("{what} is not in canonical encoding")]
    NotCanonical {
        /// Which part.
        what: &'static str,
    },
    /// A format number of the future. Keep it out, but do not blame the sender: upgrade this peer.
    #[error("{what} has format {format}, this peer knows up to {known}: upgrade this peer")]
    UnknownFormat {
        /// Which part.
        what: &'static str,
        /// The number it carries.
        format: u8,
        /// The highest number known here.
        known: u8,
    },
    /// A limit of `limits.rs` is exceeded.
    #[error("{what}: {found} exceeds the limit of {max}")]
    OverLimit {
        /// What was counted or measured.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much may be.
        max: u64,
    },
    /// A list that must have something in it has not.
    #[error("{what}: there must be at least one")]
    Empty {
        /// Which list.
        what: &'static str,
    },
    /// A list that must be sorted, each value once, is not.
    #[error("{what} must be sorted, each once")]
    NotSorted {
        /// Which list.
        what: &'static str,
    },
    /// An index points past its list.
    #[error("{what} number {index} does not exist, there are {len}")]
    NoSuchIndex {
        /// Which list.
        what: &'static str,
        /// The index.
        index: usize,
        /// Length of the list.
        len: usize,
    },
    /// Two parts that must agree do not, such as a body and its hash in the header.
    #[error("{what} does not match")]
    Mismatch {
        /// What was compared.
        what: &'static str,
    },
}

impl Malformed {
    /// Whether the sender did wrong. A format of the future is nobody's fault.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::UnknownFormat { .. })
    }
}

/// Refuses `found` over `max`.
pub(crate) fn within(what: &'static str, found: usize, max: usize) -> Result<(), Malformed> {
    if found <= max {
        return Ok(());
    }
    Err(Malformed::OverLimit {
        what,
        found: found as u64,
        max: max as u64,
    })
}

/// Refuses a list that is not strictly ascending.
pub(crate) fn ascending<T: Ord>(what: &'static str, list: &[T]) -> Result<(), Malformed> {
    if list.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(Malformed::NotSorted { what })
    }
}
