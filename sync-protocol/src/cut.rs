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
    pub const NONE: Self = Self {
        height: 0,
        id: CutId::ZERO,
    };
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
        CutRef {
            height: self.height,
            id: self.id,
        }
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
            return Err(CutError::TooFew {
                height,
                found,
                needed,
            });
        }
        for (signer, signature) in &self.certificate {
            if !finalisers.contains(signer) {
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
    if first != (draft.parent == CutId::ZERO) || (first && draft.frontier != genesis) {
        return Err(Malformed::Mismatch {
            what: "the shape of a database's first cut",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Birth, hex, key, unhex};
    use proptest::prelude::*;

    fn draft() -> CutDraft {
        CutDraft {
            database: DatabaseId([1; 32]),
            height: 300,
            parent: CutId([2; 32]),
            engine: 1,
            frontier: vec![EntryId([4; 32]), EntryId([3; 32])],
            order_root: OrderRoot([5; 32]),
            state_root: StateRoot([6; 32]),
            finalisers: vec![key(1).public()],
        }
    }

    const GOLDEN: &str = "\
        010101010101010101010101010101010101010101010101010101010101010101ac0202020202020202020202\
        020202020202020202020202020202020202020202020102030303030303030303030303030303030303030303\
        030303030303030303030304040404040404040404040404040404040404040404040404040404040404040505\
        050505050505050505050505050505050505050505050505050505050505060606060606060606060606060606\
        0606060606060606060606060606060606018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf37488\
        01b40f6f5c018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c5369d0d885840b\
        b5ce31ab6ac7a84a735bd1616de8d1efb6d160de2e3813b38cb776b3d7ee6bbf0517c8b0b8220f1bc4fd72224e\
        67862c1d9ce6a68bc63f190f";

    const GOLDEN_ROOT: &str = "e87dd74e21d9a96dcb56ed912e363ce1be5c246724832dd5f0775f1eb6fe807b";

    #[test]
    fn golden_cut() {
        let cut = Cut::seal(draft(), &key(1)).unwrap();
        assert_eq!(hex(cut.encoded()), GOLDEN);
        let id = "7a37db1410a26bb92bdbabb83518ffe90e4e00d46e5bb216c503453f3167aa9a";
        assert_eq!(cut.id().to_string(), id);
        assert_eq!(Cut::open(&unhex(GOLDEN)).unwrap(), cut);
        let root = order_root(&[EntryId([1; 32]), EntryId([2; 32])]);
        assert_eq!(root.to_string(), GOLDEN_ROOT);
    }

    #[test]
    fn what_is_sealed_opens_and_verifies() {
        let cut = Cut::seal(draft(), &key(1)).unwrap();
        let opened = Cut::open(cut.encoded()).unwrap();
        assert_eq!((opened.id(), &opened), (cut.id(), &cut));
        assert_eq!(
            opened.frontier,
            [EntryId([3; 32]), EntryId([4; 32])],
            "sorted"
        );
        assert_eq!(opened.verify(&[key(1).public()]), Ok(()));
        assert_eq!(
            opened.reference(),
            CutRef {
                height: 300,
                id: cut.id()
            }
        );
        let signer = key(1).public();
        let stranger = Err(CutError::NotAFinaliser {
            height: 300,
            signer,
        });
        assert_eq!(opened.verify(&[key(2).public()]), stranger);
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let cut = Cut::seal(draft(), &key(1)).unwrap();
        let mut bytes = cut.encoded().to_vec();
        for place in 0..bytes.len() * 8 {
            bytes[place / 8] ^= 1 << (place % 8);
            if let Ok(other) = Cut::open(&bytes) {
                assert!(other.verify(&[key(1).public()]).is_err(), "bit {place}");
            }
            bytes[place / 8] ^= 1 << (place % 8);
        }
    }

    /// A cut with these signers, whether or not they may.
    fn signed_by(signers: &[u8]) -> Cut {
        let cut = Cut::seal(draft(), &key(1)).unwrap();
        let sign = |n: &u8| {
            (
                key(*n).public(),
                key(*n).sign(SIGNATURE_CONTEXT, &cut.id().0),
            )
        };
        let mut certificate: Vec<_> = signers.iter().map(sign).collect();
        certificate.sort_unstable_by_key(|(signer, _)| *signer);
        let mut sorted = draft();
        sorted.frontier.sort();
        let whole = Whole {
            core: Core {
                format: CUT_FORMAT,
                draft: sorted,
            },
            certificate,
        };
        Cut::open(&codec::encode(&whole)).unwrap()
    }

    #[test]
    fn a_quorum_of_several_certifies() {
        let finalisers: Vec<DeviceKey> = (1..=4).map(|n| key(n).public()).collect();
        assert_eq!(signed_by(&[1, 2, 3]).verify(&finalisers), Ok(()));
        assert_eq!(signed_by(&[1, 2, 3, 4]).verify(&finalisers), Ok(()));
        let few = CutError::TooFew {
            height: 300,
            found: 2,
            needed: 3,
        };
        assert_eq!(signed_by(&[1, 2]).verify(&finalisers), Err(few));
        let stranger = signed_by(&[1, 2, 5]).verify(&finalisers);
        assert!(matches!(stranger, Err(CutError::NotAFinaliser { .. })));
        assert_eq!(
            signed_by(&[1, 2, 3]).id(),
            signed_by(&[2, 3, 4]).id(),
            "the same cut"
        );
        let quorums: Vec<usize> = [1, 2, 3, 4, 5, 7, 10].map(quorum).to_vec();
        assert_eq!(quorums, [1, 2, 2, 3, 4, 5, 7]);
    }

    #[test]
    fn signatures_come_once_and_in_order() {
        let cut = Cut::seal(draft(), &key(1)).unwrap();
        let mut sorted = draft();
        sorted.frontier.sort();
        let twice = vec![cut.certificate[0]; 2];
        let whole = Whole {
            core: Core {
                format: CUT_FORMAT,
                draft: sorted,
            },
            certificate: twice,
        };
        let refused = Cut::open(&codec::encode(&whole));
        assert_eq!(
            refused,
            Err(Malformed::NotSorted {
                what: "signatures of a cut"
            })
        );
    }

    #[test]
    fn limits_and_shape() {
        let check = |change: &dyn Fn(&mut CutDraft), expected| {
            let mut draft = draft();
            change(&mut draft);
            assert_eq!(Cut::seal(draft, &key(1)), Err(expected));
        };
        check(
            &|d| d.frontier.clear(),
            Malformed::Empty {
                what: "heads of a cut",
            },
        );
        check(
            &|d| d.finalisers.clear(),
            Malformed::Empty { what: "finalisers" },
        );
        let twice = Malformed::NotSorted {
            what: "heads of a cut",
        };
        check(&|d| d.frontier = vec![EntryId([3; 32]); 2], twice);
        let heads = |n: u16| EntryId(hash("test", &n.to_le_bytes()));
        let many: Vec<EntryId> = (0..1_025).map(heads).collect();
        let over = Malformed::OverLimit {
            what: "heads of a cut",
            found: 1_025,
            max: 1_024,
        };
        check(&|d| d.frontier.clone_from(&many), over);
        let shape = || Malformed::Mismatch {
            what: "the shape of a database's first cut",
        };
        check(&|d| d.height = 0, shape());
        check(&|d| d.parent = CutId::ZERO, shape());
        check(&|d| (d.height, d.parent) = (0, CutId::ZERO), shape());
        assert_eq!(Birth::new().cut.height, 0);

        let mut draft = draft();
        draft.frontier = many[..FRONTIER_MAX].to_vec();
        draft.finalisers = (0..64).map(|n| key(n).public()).collect();
        let cut = Cut::seal(draft, &key(1)).unwrap();
        assert_eq!(Cut::open(cut.encoded()).unwrap(), cut);
    }

    #[test]
    fn a_format_of_the_future_is_nobodys_fault() {
        let mut bytes = Cut::seal(draft(), &key(1)).unwrap().encoded().to_vec();
        bytes[0] = 2;
        assert!(!Cut::open(&bytes).unwrap_err().is_fault());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Cut::open(&bytes);
        }
    }
}
