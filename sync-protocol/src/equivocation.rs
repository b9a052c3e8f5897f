//! The proof that an author gave two entries the same place in its chain.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, FORMAT, SignedHeader};
use crate::ids::{DatabaseId, DeviceKey};
use crate::keys::BadSignature;

/// Two headers of one author, epoch and seq. It proves itself, so anybody may show it. An honest
/// author cannot come to this: it draws a new epoch at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationProof {
    /// The header with the smaller id.
    pub first: SignedHeader,
    /// The header with the larger id.
    pub second: SignedHeader,
}

/// Why two headers prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEquivocation {
    /// They are of other databases than this one, or of a format that is not known here.
    #[error("a header belongs to another database or format")]
    OtherDatabase,
    /// They do not claim the same place.
    #[error("the headers are not of one author, epoch and seq")]
    OtherPlace,
    /// They are the same, or come in the wrong order.
    #[error("the headers must be two, the smaller id first")]
    NotAPair,
    /// One is not signed by its author.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

impl EquivocationProof {
    /// The proof that two entries make, the order of arguments does not matter. It is not verified.
    #[must_use]
    pub fn of(a: &Entry, b: &Entry) -> Self {
        Self::of_headers(a.signed_header(), b.signed_header())
    }

    /// The same from headers.
    pub(crate) fn of_headers(a: SignedHeader, b: SignedHeader) -> Self {
        let (first, second) = if a.header.id() <= b.header.id() { (a, b) } else { (b, a) };
        Self { first, second }
    }

    /// Whom it accuses.
    #[must_use]
    pub fn author(&self) -> DeviceKey {
        self.first.header.author
    }

    /// Whether it proves an equivocation in `database`.
    ///
    /// # Errors
    /// [`NoEquivocation`] if it does not.
    pub fn verify(&self, database: &DatabaseId) -> Result<(), NoEquivocation> {
        let (a, b) = (&self.first.header, &self.second.header);
        let here = |h: &crate::entry::Header| h.database == *database && h.format == FORMAT;
        if !here(a) || !here(b) {
            return Err(NoEquivocation::OtherDatabase);
        }
        if (a.author, a.epoch, a.seq) != (b.author, b.epoch, b.seq) {
            return Err(NoEquivocation::OtherPlace);
        }
        if a.id() >= b.id() {
            return Err(NoEquivocation::NotAPair);
        }
        self.first.verify()?;
        self.second.verify()?;
        Ok(())
    }
}
