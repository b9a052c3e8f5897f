//! A cut: an agreed point. All entries below it are final, whatever arrives later runs after it.
//!
//! Its bytes are `core ‖ certificate`; the id is the hash of the core, so that the same cut with
//! other signatures of the same finalisers is the same cut.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::entry::known_format;
use crate::error::{Malformed, ascending, within};
use crate::ids::{CutId, DatabaseId, DeviceKey, EntryId, OrderRoot, Signature, StateRoot, hash};
use crate::keys::{BadSignature, SecretKey};
use crate::limits::{CUT_BYTES_MAX, FINALISERS_MAX, FRONTIER_MAX};

/// The format that this peer writes, and the highest that it reads.
pub const CUT_FORMAT: u8 = 1;

const ID_CONTEXT: &str = "tombolo cut 1";
const ORDER_CONTEXT: &str = "tombolo segment order 1";
const SIGNATURE_CONTEXT: &str = "tombolo cut signature 1";

/// Names a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CutRef {
    /// Its number; the genesis cut has 0.
    pub height: u64,
    /// Its id.
    pub id: CutId,
}

impl CutRef {
    /// No cut: what the genesis entry is based on.
    pub const NONE: Self = Self { height: 0, id: CutId::ZERO };
}

/// What a finaliser decides about its next cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutDraft {
    /// The database.
    pub database: DatabaseId,
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
    /// Signatures of the finalisers that the cut before names, sorted by key.
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
    /// Makes a cut and signs it as its only finaliser.
    ///
    /// # Errors
    /// [`Malformed`] if it would break a limit; then nothing was signed.
    pub fn seal(draft: CutDraft, key: &SecretKey) -> Result<Self, Malformed> {
        let mut draft = draft;
        draft.frontier.sort_unstable();
        draft.finalisers.sort_unstable();
        check(&draft)?;
        let core = Core { format: CUT_FORMAT, draft };
        let id = id_of(&codec::encode(&core));
        let signature = key.sign(SIGNATURE_CONTEXT, &id.0);
        let whole = Whole { core, certificate: vec![(key.public(), signature)] };
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
            return Err(Malformed::NotSorted { what: "signatures of a cut" });
        }
        let id = id_of(&codec::encode(&whole.core));
        Ok(Self::assemble(whole, id, bytes.into()))
    }

    fn assemble(whole: Whole, id: CutId, encoded: Arc<[u8]>) -> Self {
        let Whole { core: Core { format, draft }, certificate } = whole;
        let CutDraft {
            database,
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
        CutRef { height: self.height, id: self.id }
    }

    /// Whether a quorum of `finalisers`, those whom the cut before names, certified this one. For
    /// a database's first cut they are those of its genesis.
    ///
    /// # Errors
    /// [`CutError`] names what is missing or wrong.
    pub fn verify(&self, finalisers: &[DeviceKey]) -> Result<(), CutError> {
        let height = self.height;
        let needed = quorum(finalisers.len());
        let found = self.certificate.len();
        if found < needed {
            return Err(CutError::TooFew { height, found, needed });
        }
        for (signer, signature) in &self.certificate {
            if !finalisers.contains(signer) {
                return Err(CutError::NotAFinaliser { height, signer: *signer });
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
        return Err(Malformed::Empty { what: "heads of a cut" });
    }
    if draft.finalisers.is_empty() {
        return Err(Malformed::Empty { what: "finalisers" });
    }
    let first = draft.height == 0;
    let genesis = [EntryId::from(draft.database)];
    if first != (draft.parent == CutId::ZERO) || (first && draft.frontier != genesis) {
        return Err(Malformed::Mismatch { what: "the shape of a database's first cut" });
    }
    Ok(())
}
