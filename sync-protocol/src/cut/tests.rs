use super::*;
use crate::fixtures::{Birth, hex, key, unhex};
use proptest::prelude::*;

fn draft() -> CutDraft {
    CutDraft {
        database: DatabaseId([1; 32]),
        term: Term::FIRST,
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
    01010101010101010101010101010101010101010101010101010101010101010100ac02020202020202020202\
    020202020202020202020202020202020202020202020201020303030303030303030303030303030303030303\
    030303030303030303030303040404040404040404040404040404040404040404040404040404040404040405\
    050505050505050505050505050505050505050505050505050505050505050606060606060606060606060606\
    060606060606060606060606060606060606018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf374\
    8801b40f6f5c018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c14ca0a842c24\
    bfec8af37ea7f477becdc4e865316200d223a914e3efbd2f0b3b1be6c820ce4b1cf7af48825d11f401de509be6\
    71c53930cc1fda0131a6b1300d";

const GOLDEN_ROOT: &str = "e87dd74e21d9a96dcb56ed912e363ce1be5c246724832dd5f0775f1eb6fe807b";

#[test]
fn golden_cut() {
    let cut = Cut::seal(draft(), &key(1)).unwrap();
    assert_eq!(hex(cut.encoded()), GOLDEN);
    let id = "917c85c377cb36307a18d2538f93e6e54e3bbcb45d577271c2bd6173f23345bc";
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
            term: Term::FIRST,
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
