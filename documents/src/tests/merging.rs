//! Documents of the same changes are the same, whatever their order, and the same as the library's.

use automerge::ReadDoc as _;
use proptest::prelude::*;

use super::writers::{Writers, steps};
use crate::error::{ChangeError, DocumentError};
use crate::{Change, Document, Hash};

proptest! {
    #[test]
    fn the_order_of_changes_makes_no_difference(steps in steps(), order in any::<u64>(), pieces in 1..5_usize) {
        let mut writers = Writers::run(&steps);
        let changes = writers.changes();
        let mut shuffled: Vec<&automerge::Change> = changes.iter().collect();
        // A shuffle by a number: proptest shrinks it.
        let mut dice = order;
        for at in (1..shuffled.len()).rev() {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (dice >> 33) as usize % (at + 1));
        }
        let bytes = |changes: &[&automerge::Change]| -> Vec<u8> {
            changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect()
        };
        let mut at_once = Document::new();
        prop_assert_eq!(at_once.merge(&bytes(&shuffled)), Ok(changes.len()));
        prop_assert_eq!(at_once.merge(&bytes(&shuffled)), Ok(0), "a second time there is nothing new");

        let mut in_pieces = Document::new();
        let all: Vec<&automerge::Change> = changes.iter().collect();
        for piece in all.chunks(all.len().div_ceil(pieces)) {
            prop_assert_eq!(in_pieces.merge(&bytes(piece)), Ok(piece.len()));
        }
        let mut merged = writers.merged();
        let heads: Vec<Hash> = merged.get_heads().iter().map(|hash| Hash(hash.0)).collect();
        let text = merged.get(automerge::ROOT, "text").expect("readable").expect("there").1;
        let text = merged.text(&text).expect("a text");
        for document in [&mut at_once, &mut in_pieces] {
            prop_assert_eq!(document.heads(), Ok(heads.clone()));
            prop_assert_eq!(document.text("/text"), Ok(text.clone()));
        }
        prop_assert_eq!(at_once.json(""), in_pieces.json(""));
        let again = at_once.changes().expect("its changes");
        let mut loaded = Document::new();
        prop_assert_eq!(loaded.merge(&again), Ok(changes.len()));
        prop_assert_eq!(loaded.changes(), Ok(again), "changes that were given are given in the same order");
    }

    #[test]
    fn what_depends_on_something_missing_is_refused_whole(steps in steps(), left_out in any::<prop::sample::Index>()) {
        let mut changes = Writers::run(&steps).changes();
        let left_out = changes.remove(left_out.index(changes.len()));
        let is_needed = changes.iter().any(|change| change.deps().contains(&left_out.hash()));
        let bytes: Vec<u8> = changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
        let mut document = Document::new();
        let merged = document.merge(&bytes);
        if is_needed {
            let missing = ChangeError::Missing(Hash(left_out.hash().0));
            prop_assert_eq!(merged, Err(DocumentError::Change(missing)));
            prop_assert_eq!(document.json(""), Ok("{}".to_owned()));
            prop_assert_eq!(document.ops(), 0);
        } else {
            prop_assert_eq!(merged, Ok(changes.len()));
        }
    }
}

#[test]
fn one_bad_change_among_good_ones_leaves_the_document_as_it_was() {
    let mut document = Document::new();
    let mut writers = Writers::new();
    let changes = writers.changes();
    document.merge(changes[0].raw_bytes()).expect("merged");
    let before = (document.json(""), document.heads(), document.changes());
    let mut good = Document::new();
    good.act_as(&[9], 0).expect("a name");
    good.put("/a", "1").expect("put");
    let mut bytes = good.commit().expect("committed");
    let fork = {
        let mut fork = Document::new();
        fork.act_as(&[9], 0).expect("a name");
        fork.put("/a", "2").expect("put");
        fork.commit().expect("committed")
    };
    bytes.extend(&fork);
    assert_eq!(
        document.merge(&bytes),
        Err(DocumentError::Change(ChangeError::Forked(1)))
    );
    assert_eq!(
        (document.json(""), document.heads(), document.changes()),
        before
    );
    assert_eq!(
        document.merge(&fork),
        Ok(1),
        "the one that was judged first is forgotten"
    );
    assert_eq!(Change::read(&fork).map(|change| change.seq()), Ok(1));
}

proptest! {
    #[test]
    fn a_change_is_judged_the_same_beside_only_what_it_needs(steps in steps()) {
        let changes = Writers::run(&steps).changes();
        let changes: Vec<Change> = changes
            .iter()
            .map(|change| Change::read(change.raw_bytes()).expect("an honest change"))
            .collect();
        for (at, change) in changes.iter().enumerate() {
            let holds = |need: &crate::Need<'_>, other: &Change| {
                other.actor() == need.actor && other.start_op() <= need.last && other.max_op() >= need.first
            };
            let needs = change.needs();
            let needed: Vec<Change> = changes[..at]
                .iter()
                .filter(|other| needs.iter().any(|need| holds(need, other)))
                .cloned()
                .collect();
            prop_assert_eq!(change.check(&needed, change.start_op() - 1), Ok(()));
            for left_out in 0..needed.len() {
                let mut fewer = needed.clone();
                fewer.remove(left_out);
                prop_assert!(change.check(&fewer, change.start_op() - 1).is_err());
            }
        }
    }
}
