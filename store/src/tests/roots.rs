//! The state root depends on the rows and on nothing else.

use proptest::prelude::*;

use super::model::root_from_scratch;
use super::{NOTE, begin, call, note, open, position, settle, write};
use crate::MemoryDisk;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The same rows by two histories: once as they come, with detours and cuts in between, once
    /// sorted in a single cut.
    #[test]
    fn histories_do_not_matter(
        wanted in proptest::collection::btree_set((0_u8..4, "[a-c]{0,3}"), 0..8),
        detours in proptest::collection::vec((0_u8..4, "[a-c]{0,3}", any::<bool>()), 0..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let (one, two) = (MemoryDisk::new(), MemoryDisk::new());
        let mut state = open(&one);
        let mut n = 0;
        for (author, words, cut) in &detours {
            n += 1;
            state = call(state, n, |call| {
                call.insert(NOTE, &note(*author, words)).expect("it fits");
            }).0;
            if *cut {
                settle(&mut state, n, n);
            }
        }
        n += 1;
        let mut transaction = begin(state, n);
        transaction.clear(NOTE).expect("small");
        let mut rest: Vec<_> = wanted.iter().collect();
        for place in &order {
            if !rest.is_empty() {
                let (author, words) = rest.swap_remove(place.index(rest.len()));
                transaction.insert(NOTE, &note(*author, words)).expect("it fits");
            }
        }
        let (state, _) = transaction.commit();
        let tentative = state.root().expect("readable");
        prop_assert_eq!(tentative, root_from_scratch(&state, 0));
        let mut state = state;
        prop_assert_eq!(settle(&mut state, n, n), tentative);
        prop_assert_eq!(state.root().expect("readable"), tentative);

        let mut other = open(&two);
        let extra = wanted.iter().map(|(author, words)| write(NOTE, note(*author, words)));
        let settlement = other.plan_settle(None, extra.collect()).expect("it fits");
        prop_assert_eq!(settlement.root, tentative);
        other.settle(settlement, 0).expect("it can be written");
        prop_assert_eq!(other.root().expect("readable"), tentative);
    }
}

#[test]
fn planning_changes_nothing() {
    let disk = MemoryDisk::new();
    let mut state = open(&disk);
    settle(&mut state, 0, 0);
    let (state, _) = call(state, 1, |call| {
        call.insert(NOTE, &note(1, "a")).expect("it fits");
    });
    let before = state.root().expect("readable");
    let settlement = state
        .plan_settle(Some(&position(1)), Vec::new())
        .expect("it can be planned");
    assert_eq!(settlement.root, before);
    assert_eq!(settlement.len(), 2, "a row and its entry");
    drop(settlement);
    assert_eq!(state.root().expect("readable"), before);
    assert_eq!(state.height(), Some(0));
    assert_ne!(state.final_root(), before);
}

#[test]
#[should_panic(expected = "the overlay changed")]
fn a_stale_plan_is_noticed() {
    let disk = MemoryDisk::new();
    let (mut state, _) = call(open(&disk), 1, |call| {
        call.insert(NOTE, &note(1, "a")).expect("it fits");
    });
    let settlement = state
        .plan_settle(Some(&position(1)), Vec::new())
        .expect("it can be planned");
    state.rewind(&position(1)).expect("memory does not fail");
    state.settle(settlement, 0).expect("it is never written");
}

#[test]
fn rows_of_a_cut_must_fit() {
    let disk = MemoryDisk::new();
    let state = open(&disk);
    for row in [vec![1], vec![1, 5, 0, 0, 0, b'a'], vec![1, 0, 0, 0, 0, 0]] {
        let refused = state.plan_settle(None, vec![write(NOTE, row)]);
        assert!(matches!(
            refused,
            Err(crate::StoreError::BadWrite { table: NOTE, .. })
        ));
    }
    let refused = state.plan_settle(None, vec![write(super::ALARM, vec![1])]);
    assert!(matches!(refused, Err(crate::StoreError::BadWrite { .. })));
}
