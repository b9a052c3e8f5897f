//! A cut: an agreed point. All entries below it are final, whatever arrives later runs after it.
//!
//! Its bytes are `core ‖ certificate`; the id is the hash of the core, so that the same cut with
//! other signatures of the same finalisers is the same cut.

mod branch;
mod term;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::entry::known_format;
use crate::error::{Malformed, ascending, within};
use crate::ids::{CutId, DatabaseId, DeviceKey, EntryId, OrderRoot, Signature, StateRoot, hash};
use crate::keys::{BadSignature, SecretKey};
use crate::limits::{CUT_BYTES_MAX, FINALISERS_MAX, FRONTIER_MAX};
pub use branch::{BRANCH_CUTS_MAX, Branch, BranchError, Verdict};
pub use term::Term;

/// The format that this peer writes, and the highest that it reads.
pub const CUT_FORMAT: u8 = 1;

const ID_CONTEXT: &str = "tombolo cut 1";
const ORDER_CONTEXT: &str = "tombolo segment order 1";
const SIGNATURE_CONTEXT: &str = "tombolo cut signature 1";

/// Names a cut. References compare by term, then by height: whatever names a lower one was made
/// earlier, or on a branch that lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CutRef {
    /// Its term.
    pub term: Term,
    /// Its number; the genesis cut has 0.
    pub height: u64,
    /// Its id.
    pub id: CutId,
}

impl CutRef {
    /// No cut: what the genesis entry is based on.
    pub const NONE: Self = Self {
        term: Term::FIRST,
        height: 0,
        id: CutId::ZERO,
    };

    /// Where it stands among all cuts, whatever their branch.
    #[must_use]
    pub fn place(&self) -> (Term, u64) {
        (self.term, self.height)
    }
}

/// What a finaliser decides about its next cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutDraft {
    /// The database.
    pub database: DatabaseId,
    /// The parent's; a recovery cut begins the next one, see [`Term::next`].
    pub term: Term,
    /// One more than the parent's.
    pub height: u64,
    /// The cut before; zero for height 0.
    pub parent: CutId,
    /// Engine number in force for what comes after.
    pub engine: u32,
    /// The heads of what is final now, in any order; for height 0 the genesis entry.
    #[serde(deserialize_with = "codec::at_most::<_, _, FRONTIER_MAX>")]
    pub frontier: Vec<EntryId>,
    /// [`order_root`] of the entries between the parent and this cut.
    pub order_root: OrderRoot,
    /// Root of the state after them.
    pub state_root: StateRoot,
    /// Who signs the next cut, in any order.
    #[serde(deserialize_with = "codec::at_most::<_, _, FINALISERS_MAX>")]
    pub finalisers: Vec<DeviceKey>,
}

/// A cut in canonical encoding. Immutable; the signatures are checked by [`Cut::verify`].
#[derive(Clone, Debug)]
pub struct Cut {
    /// [`CUT_FORMAT`].
    pub format: u8,
    /// The database.
    pub database: DatabaseId,
    /// Its term.
    pub term: Term,
    /// Its number.
    pub height: u64,
    /// The cut before.
    pub parent: CutId,
    /// Engine number in force for what comes after.
    pub engine: u32,
    /// The heads of what is final now, sorted.
    pub frontier: Vec<EntryId>,
    /// [`order_root`] of the entries between the parent and this cut.
    pub order_root: OrderRoot,
    /// Root of the state after them.
    pub state_root: StateRoot,
    /// Who signs the next cut, sorted.
    pub finalisers: Vec<DeviceKey>,
    /// Signatures of the finalisers that the cut before names, sorted by key; on a recovery cut
    /// that of one recovery key.
    pub certificate: Vec<(DeviceKey, Signature)>,
    id: CutId,
    encoded: Arc<[u8]>,
}

/// Why a cut is not certified by its finalisers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// Somebody signed who is no finaliser at this height.
    #[error("cut {height} is signed by {signer}, who is no finaliser of it")]
    NotAFinaliser {
        /// Height of the cut.
        height: u64,
        /// Who signed.
        signer: DeviceKey,
    },
    /// Fewer signatures than the quorum.
    #[error("cut {height} has {found} signatures, {needed} are needed")]
    TooFew {
        /// Height of the cut.
        height: u64,
        /// Signatures it carries.
        found: usize,
        /// Signatures that certify it.
        needed: usize,
    },
    /// A signature does not hold.
    #[error("cut {height}: {why}")]
    Signature {
        /// Height of the cut.
        height: u64,
        /// What is wrong.
        why: BadSignature,
    },
    /// A recovery cut has exactly one signature.
    #[error("recovery cut {height} has {found} signatures instead of one")]
    RecoverySignatures {
        /// Height of the cut.
        height: u64,
        /// Signatures it carries.
        found: usize,
    },
    /// Its term neither is its parent's nor comes after it.
    #[error("cut {height} is of term {found}, after one of term {parent}")]
    Term {
        /// Height of the cut.
        height: u64,
        /// Its term.
        found: Term,
        /// Its parent's term.
        parent: Term,
    },
    /// It is not the one that comes after the cut it is held against.
    #[error("cut {height} does not follow cut {parent}")]
    DoesNotFollow {
        /// Height of the cut.
        height: u64,
        /// Height of the other.
        parent: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Core {
    format: u8,
    draft: CutDraft,
}

#[derive(Serialize, Deserialize)]
struct Whole {
    core: Core,
    #[serde(deserialize_with = "codec::at_most::<_, _, FINALISERS_MAX>")]
    certificate: Vec<(DeviceKey, Signature)>,
}

/// Signatures that certify a cut: more than any two groups can give without sharing an honest
/// finaliser, when at most `f` of `n ≥ 3f + 1` are not.
#[must_use]
pub fn quorum(finalisers: usize) -> usize {
    let faulty = finalisers.saturating_sub(1) / 3;
    (finalisers + faulty) / 2 + 1
}

/// The hash of a segment's ids in their order.
#[must_use]
pub fn order_root(ids: &[EntryId]) -> OrderRoot {
    let mut hasher = blake3::Hasher::new_derive_key(ORDER_CONTEXT);
    for id in ids {
        hasher.update(&id.0);
    }
    OrderRoot(*hasher.finalize().as_bytes())
}

impl Cut {
    /// Makes a cut and signs it: as its only finaliser, or, where a term begins, with a recovery
    /// key.
    ///
    /// # Errors
    /// [`Malformed`] if it would break a limit; then nothing was signed.
    pub fn seal(draft: CutDraft, key: &SecretKey) -> Result<Self, Malformed> {
        let mut draft = draft;
        draft.frontier.sort_unstable();
        draft.finalisers.sort_unstable();
        check(&draft)?;
        let core = Core {
            format: CUT_FORMAT,
            draft,
        };
        let id = id_of(&codec::encode(&core));
        let signature = key.sign(SIGNATURE_CONTEXT, &id.0);
        let whole = Whole {
            core,
            certificate: vec![(key.public(), signature)],
        };
        let encoded = codec::encode(&whole).into();
        Ok(Self::assemble(whole, id, encoded))
    }

    /// Reads a cut: canonical encoding and limits. The certificate is not checked, see
    /// [`Cut::verify`].
    ///
    /// # Errors
    /// [`Malformed`], the sender's fault except for a format of the future.
    pub fn open(bytes: &[u8]) -> Result<Self, Malformed> {
        known_format("cut", bytes.first(), CUT_FORMAT)?;
        let whole: Whole = codec::decode("cut", bytes, CUT_BYTES_MAX)?;
        check(&whole.core.draft)?;
        if !whole.certificate.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Malformed::NotSorted {
                what: "signatures of a cut",
            });
        }
        let id = id_of(&codec::encode(&whole.core));
        Ok(Self::assemble(whole, id, bytes.into()))
    }

    fn assemble(whole: Whole, id: CutId, encoded: Arc<[u8]>) -> Self {
        let Whole {
            core: Core { format, draft },
            certificate,
        } = whole;
        let CutDraft {
            database,
            term,
            height,
            parent,
            engine,
            frontier,
            order_root,
            state_root,
            finalisers,
        } = draft;
        Self {
            format,
            database,
            term,
            height,
            parent,
            engine,
            frontier,
            order_root,
            state_root,
            finalisers,
            certificate,
            id,
            encoded,
        }
    }

    /// The bytes as stored and sent.
    #[must_use]
    pub fn encoded(&self) -> &Arc<[u8]> {
        &self.encoded
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> CutId {
        self.id
    }

    /// Height and id.
    #[must_use]
    pub fn reference(&self) -> CutRef {
        CutRef {
            term: self.term,
            height: self.height,
            id: self.id,
        }
    }

    /// Whether a quorum of `finalisers` certified this one. For a database's first cut they are
    /// those of its genesis; later ones are judged by [`Cut::verify_after`].
    ///
    /// # Errors
    /// [`CutError`] names what is missing or wrong.
    pub fn verify(&self, finalisers: &[DeviceKey]) -> Result<(), CutError> {
        let height = self.height;
        let needed = quorum(finalisers.len());
        let found = self.certificate.len();
        if found < needed {
            return Err(CutError::TooFew {
                height,
                found,
                needed,
            });
        }
        self.verify_signers(finalisers)
    }

    /// Whether this is a cut that may follow `parent`: of the same term and certified by the
    /// finalisers that the parent names, or the beginning of the next term, certified by one
    /// recovery key of the database.
    ///
    /// # Errors
    /// [`CutError`] names what is missing or wrong.
    pub fn verify_after(&self, parent: &Self, recovery_keys: &[DeviceKey]) -> Result<(), CutError> {
        let height = self.height;
        if parent.height.checked_add(1) != Some(height)
            || self.parent != parent.id
            || self.database != parent.database
        {
            return Err(CutError::DoesNotFollow {
                height,
                parent: parent.height,
            });
        }
        if self.term == parent.term {
            return self.verify(&parent.finalisers);
        }
        if !self.term.begins_after(parent.term) {
            return Err(CutError::Term {
                height,
                found: self.term,
                parent: parent.term,
            });
        }
        match self.certificate.len() {
            1 => self.verify_signers(recovery_keys),
            found => Err(CutError::RecoverySignatures { height, found }),
        }
    }

    /// Whether a recovery key certified it, given the cut before.
    #[must_use]
    pub fn is_recovery_after(&self, parent: &Self) -> bool {
        self.term != parent.term
    }

    fn verify_signers(&self, allowed: &[DeviceKey]) -> Result<(), CutError> {
        let height = self.height;
        for (signer, signature) in &self.certificate {
            if !allowed.contains(signer) {
                return Err(CutError::NotAFinaliser {
                    height,
                    signer: *signer,
                });
            }
            signer
                .verify(SIGNATURE_CONTEXT, &self.id.0, signature)
                .map_err(|why| CutError::Signature { height, why })?;
        }
        Ok(())
    }
}

impl PartialEq for Cut {
    /// Byte for byte, certificate included.
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Cut {}

fn id_of(core: &[u8]) -> CutId {
    CutId(hash(ID_CONTEXT, core))
}

fn check(draft: &CutDraft) -> Result<(), Malformed> {
    within("heads of a cut", draft.frontier.len(), FRONTIER_MAX)?;
    within("finalisers", draft.finalisers.len(), FINALISERS_MAX)?;
    ascending("heads of a cut", &draft.frontier)?;
    ascending("finalisers", &draft.finalisers)?;
    if draft.frontier.is_empty() {
        return Err(Malformed::Empty {
            what: "heads of a cut",
        });
    }
    if draft.finalisers.is_empty() {
        return Err(Malformed::Empty { what: "finalisers" });
    }
    let first = draft.height == 0;
    let genesis = [EntryId::from(draft.database)];
    let birth = draft.term == Term::FIRST && draft.frontier == genesis;
    if first != (draft.parent == CutId::ZERO) || (first && !birth) {
        return Err(Malformed::Mismatch {
            what: "the shape of a database's first cut",
        });
    }
    Ok(())
}
