//! What the reader makes of changes, beside what the library makes of them.

use automerge::legacy;
use proptest::prelude::*;

use super::writers::{Writers, steps};
use crate::error::ChangeError;
use crate::{Action, Change, Element, Hash, ObjectId, Op, OpId, RecentChanges, limits, read_all};

/// An id as the library writes it.
fn same_id(change: &Change, id: OpId, other: &legacy::OpId) -> bool {
    other.counter() == u64::from(id.counter)
        && other.1.to_bytes() == &change.actors()[id.actor as usize][..]
}

fn same_op(change: &Change, own: &Op, other: &legacy::Op) -> bool {
    let object = match (own.object, &other.obj) {
        (ObjectId::Root, legacy::ObjectId::Root) => true,
        (ObjectId::Made(id), legacy::ObjectId::Id(other)) => same_id(change, id, other),
        _ => false,
    };
    let element = match (&own.element, &other.key) {
        (Element::Key(own), legacy::Key::Map(other)) => **own == *other.as_str(),
        (Element::Head, legacy::Key::Seq(legacy::ElementId::Head)) => true,
        (Element::At(id), legacy::Key::Seq(legacy::ElementId::Id(other))) => {
            same_id(change, *id, other)
        }
        _ => false,
    };
    let action = match &other.action {
        legacy::OpType::Make(kind) if kind.is_sequence() => {
            own.action == Action::MakeList || own.action == Action::MakeText
        }
        legacy::OpType::Make(_) => own.action == Action::MakeMap,
        legacy::OpType::Delete => own.action == Action::Delete,
        legacy::OpType::Increment(_) => own.action == Action::Increment,
        legacy::OpType::Put(_) => own.action == Action::Put,
        legacy::OpType::MarkBegin(_) | legacy::OpType::MarkEnd(_) => own.action == Action::Mark,
    };
    let predecessors = change.predecessors(own);
    object
        && element
        && action
        && own.insert == other.insert
        && predecessors.len() == other.pred.len()
        && predecessors
            .iter()
            .zip(other.pred.iter())
            .all(|(own, other)| same_id(change, *own, other))
}

proptest! {
    #[test]
    fn changes_are_read_as_the_library_reads_them(steps in steps()) {
        for mut theirs in Writers::run(&steps).changes() {
            let own = Change::read(theirs.raw_bytes()).expect("an honest change");
            prop_assert_eq!(own.hash(), Hash(theirs.hash().0));
            prop_assert_eq!(own.actor(), theirs.actor_id().to_bytes());
            prop_assert_eq!(own.seq(), theirs.seq());
            prop_assert_eq!(u64::from(own.start_op()), theirs.start_op().get());
            prop_assert_eq!(u64::from(own.max_op()), theirs.max_op());
            let dependencies: Vec<Hash> = theirs.deps().iter().map(|hash| Hash(hash.0)).collect();
            prop_assert_eq!(own.dependencies(), &dependencies[..]);
            prop_assert_eq!(own.bytes(), theirs.raw_bytes());
            let expanded = theirs.decode();
            prop_assert_eq!(own.ops().len(), expanded.operations.len());
            for (own_op, other) in own.ops().iter().zip(&expanded.operations) {
                prop_assert!(same_op(&own, own_op, other), "{:?} is not {:?}", own_op, other);
            }
            let compressed = theirs.bytes().into_owned();
            prop_assert_eq!(Change::read(&compressed), Ok(own), "compressed or not, it is the same");
        }
    }

    #[test]
    fn a_change_cut_short_is_none(steps in steps(), at in any::<prop::sample::Index>()) {
        for theirs in Writers::run(&steps).changes() {
            let bytes = theirs.raw_bytes();
            prop_assert!(Change::read(&bytes[..at.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_change_with_another_byte_is_none(steps in steps(), at in any::<prop::sample::Index>(), other in 1..=255_u8) {
        for theirs in Writers::run(&steps).changes() {
            let mut bytes = theirs.raw_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= other;
            prop_assert!(Change::read(&bytes).is_err());
        }
    }
}

#[test]
fn a_large_change_is_read_compressed_and_a_larger_one_is_refused() {
    use automerge::transaction::Transactable as _;
    let mut doc = automerge::AutoCommit::new().with_actor(automerge::ActorId::from(&[1][..]));
    let text = doc
        .put_object(automerge::ROOT, "text", automerge::ObjType::Text)
        .expect("text");
    let most = limits::CHANGE_OPS_MAX - 1;
    doc.splice_text(&text, 0, 0, &"a".repeat(most))
        .expect("typed");
    doc.commit();
    doc.splice_text(&text, 0, 0, &"b".repeat(most + 2))
        .expect("typed");
    doc.commit();
    let mut changes = doc.get_changes(&[]);
    let compressed = changes[0].bytes().into_owned();
    assert!(
        compressed.len() < changes[0].raw_bytes().len() / 4,
        "it is compressed"
    );
    let first = Change::read(&compressed).expect("as large as one may be");
    assert_eq!(first.ops().len(), limits::CHANGE_OPS_MAX);
    let refused = ChangeError::TooMany {
        what: "operations",
        max: limits::CHANGE_OPS_MAX,
    };
    assert_eq!(Change::read(changes[1].raw_bytes()), Err(refused.clone()));
    assert_eq!(Change::read(&changes[1].bytes()), Err(refused));
}

#[test]
fn what_is_no_change_says_so() {
    let mut doc = automerge::AutoCommit::new();
    let document = doc.save();
    assert_eq!(
        Change::read(&document).map_err(|error| error.to_string()),
        Err("these bytes are no Automerge change: they are a whole document, saved".to_owned())
    );
    assert_eq!(
        Change::read(b"hello").map_err(|error| error.to_string()),
        Err("these bytes are no Automerge change: they do not begin like one".to_owned())
    );
}

#[test]
fn a_change_that_counts_beyond_all_numbers_is_none() {
    // One operation, numbered 2 to the power of 64, less 1.
    let contents = [
        &[0, 1, 7, 1][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0, 0, 0, 5, 0x15, 3, 0x34, 1, 0x42, 2, 0x56, 2, 0x70, 2],
        &[0x7f, 1, b'a', 1, 0x7f, 0, 0x7f, 0, 0x7f, 0],
    ]
    .concat();
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, contents.len() as u8];
    chunk.extend(&contents);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&chunk[8..]);
    chunk[4..8].copy_from_slice(&digest[..4]);
    let refused = ChangeError::Malformed("a counter of an operation is out of range");
    assert_eq!(Change::read(&chunk), Err(refused));
}

proptest! {
    #[test]
    fn what_was_read_before_makes_no_difference(
        steps in steps(),
        asked in proptest::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 1..60),
    ) {
        let changes = Writers::run(&steps).changes();
        let mut recent = RecentChanges::default();
        for (first, place, flip) in asked {
            // One or two of them, sometimes with another byte in them or cut off.
            let count = 1 + first % 2;
            let mut bytes: Vec<u8> = changes
                .iter()
                .cycle()
                .skip(first % changes.len())
                .take(count)
                .flat_map(|change| change.raw_bytes().to_vec())
                .collect();
            let place = place % bytes.len();
            match flip {
                0..40 => bytes[place] ^= flip,
                40..60 => bytes.truncate(place),
                _ => {}
            }
            let (read, expected) = (recent.read(&bytes), Change::read(&bytes));
            prop_assert_eq!(read.as_deref(), expected.as_ref());
            let mut paid = (vec![], vec![]);
            let all = recent.read_all(&bytes, |ops| { paid.0.push(ops); true });
            let all: Result<Vec<Change>, _> = all.map(|all| all.iter().map(|change| Change::clone(change)).collect());
            prop_assert_eq!(all, read_all(&bytes, |ops| { paid.1.push(ops); true }));
            prop_assert_eq!(paid.0, paid.1);
        }
    }
}
