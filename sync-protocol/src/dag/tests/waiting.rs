//! What is accepted, what waits, what never comes in.

use super::*;
use crate::ids::{CutId, Signature};

#[test]
fn entries_come_in_after_their_parents() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    let c = world.write(1, &[&b]);
    let waits = |missing: &Arc<Entry>| Offered::Pending {
        missing: vec![missing.id],
        cut: None,
    };
    // C cites its author's previous entry A as well as B.
    let both = Offered::Pending {
        missing: ids(&[&a, &b]),
        cut: None,
    };
    assert_eq!(world.offer(&c), both);
    assert_eq!(world.offer(&b), waits(&a));
    assert_eq!(world.offer(&c), waits(&a), "B is here, if only waiting");
    assert_eq!(world.dag.pending_len(), 2);
    assert!(!world.dag.contains(&b.id));
    let all = vec![Arc::clone(&a), Arc::clone(&b), Arc::clone(&c)];
    assert_eq!(world.offer(&a), Offered::Accepted(all));
    assert_eq!(world.dag.pending_len(), 0);
    assert_eq!(world.tail(), running(&[&a, &b, &c]));
    assert_eq!(world.offer(&b), Offered::Known);
    assert_eq!(world.offer(&world.birth.genesis.clone()), Offered::Known);
}

#[test]
fn an_entry_waits_for_the_cut_it_names() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    world.take(&[&a]);
    let mut ahead = world.birth.clone();
    let segment = world.dag.segment(&[a.id], &ahead).unwrap();
    let cut = ahead.next_cut(vec![a.id], &segment);
    ahead.cover(&cut, &segment);
    let b = world.authors[2].write(&ahead, &[&a], 10, calls(1));
    let c = world.authors[3].write(&ahead, &[&b], 10, calls(1));
    let base = Some(cut.reference());
    assert_eq!(
        world.offer(&b),
        Offered::Pending {
            missing: vec![],
            cut: base
        }
    );
    assert_eq!(
        world.offer(&c),
        Offered::Pending {
            missing: vec![],
            cut: base
        }
    );
    assert_eq!(
        world.offer(&b),
        Offered::Pending {
            missing: vec![],
            cut: base
        }
    );
    world.birth = ahead;
    let accepted = world.dag.advance(&cut, &rights(), &world.birth);
    assert_eq!(accepted, [Arc::clone(&b), Arc::clone(&c)]);
    assert_eq!(world.tail(), running(&[&b, &c]));
}

#[test]
fn what_names_a_cut_of_another_branch_counts_once_our_history_is_as_far() {
    let mut world = World::new();
    let other = |term, height| CutRef {
        term,
        height,
        id: CutId([7; 32]),
    };
    let here = sealed(&world, 1, |draft| draft.base = other(Term::FIRST, 0));
    world.take(&[&here]);
    let further = other(Term::FIRST, 1);
    let ahead = sealed(&world, 2, |draft| {
        draft.base = further;
        draft.hlc = Hlc(BIRTH.0 + 20);
    });
    let waits = |cut| Offered::Pending {
        missing: vec![],
        cut: Some(cut),
    };
    assert_eq!(world.offer(&ahead), waits(further));
    let later = other(Term(1 << 32), 0);
    let recovered = sealed(&world, 3, |draft| draft.base = later);
    assert_eq!(world.offer(&recovered), waits(later));
    let a = world.write(4, &[]);
    world.take(&[&a]);
    assert_eq!(world.cut(&[&a], rights()), [Arc::clone(&ahead)]);
    assert_eq!(world.tail(), running(&[&here, &ahead]));
    assert_eq!(world.offer(&recovered), waits(later));
}

#[test]
fn after_a_recovery_nothing_waits_for_the_heights_of_a_branch_that_lost() {
    let mut world = World::new();
    let lost = CutRef {
        term: Term::FIRST,
        height: 50,
        id: CutId([7; 32]),
    };
    let alone = sealed(&world, 1, |draft| draft.base = lost);
    assert!(matches!(world.offer(&alone), Offered::Pending { .. }));
    let a = world.write(2, &[]);
    world.take(&[&a]);
    let term = Term::FIRST.next(&world.birth.cut.id(), &[]).unwrap();
    assert_eq!(
        world.cut_in(term, &[&a], rights()),
        [Arc::clone(&alone)],
        "the recovery came in its place"
    );
    // Its author goes on in the new term, at a lower height.
    let on = sealed(&world, 1, |draft| {
        draft.parents = vec![alone.id];
        draft.seq = 1;
        draft.hlc = Hlc(alone.last_time().0 + 1);
        draft.base = world.birth.base();
    });
    world.take(&[&on]);
    assert_eq!(world.tail(), running(&[&alone, &on]));
    let back = sealed(&world, 3, |draft| {
        draft.parents = vec![on.id];
        draft.hlc = Hlc(on.last_time().0 + 1);
        draft.base = lost;
    });
    assert!(matches!(
        world.offer(&back),
        Offered::Invalid(Invalid::BaseStepsBack { .. })
    ));
}

#[test]
fn what_waits_for_an_entry_that_became_final_elsewhere_comes_in() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    assert!(matches!(world.offer(&b), Offered::Pending { .. }));
    // The cut and its segment came straight from a log.
    let segment = [Ordered {
        entry: Arc::clone(a.stub()),
        struck: None,
    }];
    let cut = world.birth.next_cut(vec![a.id], &segment);
    world.birth.cover(&cut, &segment);
    assert_eq!(
        world.dag.advance(&cut, &rights(), &world.birth),
        [Arc::clone(&b)]
    );
    assert_eq!(world.dag.heads(), [b.id]);
}

fn check_invalid(change: impl FnOnce(&mut Draft), expected: impl FnOnce(&World) -> Invalid) {
    let mut world = World::new();
    let entry = sealed(&world, 1, change);
    let expected = expected(&world);
    assert_eq!(world.offer(&entry), Offered::Invalid(expected));
    assert!(world.dag.is_empty());
    assert_eq!(world.dag.pending_len(), 0);
}

#[test]
fn what_breaks_a_rule_never_comes_in() {
    check_invalid(
        |draft| draft.hlc = BIRTH,
        |world| Invalid::NotLater {
            parent: world.birth.genesis.id,
        },
    );
    check_invalid(
        |draft| draft.seq = 3,
        |_| Invalid::PreviousNotCited { previous: 2 },
    );
    check_invalid(
        |draft| draft.database = DatabaseId([9; 32]),
        |_| Invalid::OtherDatabase,
    );
    let mut world = World::new();
    let other = Entry::genesis(
        [1; 32],
        7,
        BIRTH,
        crate::fixtures::caller(),
        crate::fixtures::genesis_call(vec![key(0).public()]),
        &key(0),
    );
    assert_eq!(
        world.offer(&Arc::new(other.unwrap())),
        Offered::Invalid(Invalid::OtherDatabase)
    );
}

#[test]
fn an_entry_is_later_than_the_last_call_of_its_parents() {
    let mut world = World::new();
    let parent = world.write_body(1, &[], calls(5));
    world.take(&[&parent]);
    assert_eq!(parent.last_time(), Hlc(parent.header.hlc.0 + 16));
    let child = |world: &World, hlc| {
        sealed(world, 2, |draft| {
            (draft.parents, draft.hlc) = (vec![parent.id], hlc)
        })
    };
    let same = child(&world, parent.last_time());
    let refused = Offered::Invalid(Invalid::NotLater { parent: parent.id });
    assert_eq!(world.offer(&same), refused);
    let later = child(&world, Hlc(parent.last_time().0 + 1));
    world.take(&[&later]);
}

#[test]
fn a_base_never_steps_back() {
    let mut world = World::new();
    let old = world.birth.base();
    let a = world.write(1, &[]);
    world.take(&[&a]);
    world.cut(&[&a], rights());
    let b = world.write(1, &[]);
    world.take(&[&b]);
    let entry = sealed(&world, 2, |draft| {
        (draft.parents, draft.hlc, draft.base) = (vec![b.id], Hlc(b.last_time().0 + 1), old);
    });
    let why = Invalid::BaseStepsBack {
        base: 0,
        parent: b.id,
        parents_base: 1,
    };
    assert_eq!(world.offer(&entry), Offered::Invalid(why));
    // On top of a final entry an older base is fine: its author has not seen the cut yet.
    let late = sealed(&world, 2, |draft| {
        (draft.parents, draft.hlc, draft.base) = (vec![a.id], Hlc(a.last_time().0 + 1), old);
    });
    world.take(&[&late]);
}

#[test]
fn the_previous_entry_is_cited_even_if_it_is_final() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    world.take(&[&a]);
    world.cut(&[&a], rights());
    let b = world.write(1, &[]);
    assert_eq!((b.header.seq, &b.header.parents), (1, &vec![a.id]));
    world.take(&[&b]);
    let without = sealed(&world, 1, |draft| {
        (draft.epoch, draft.seq, draft.hlc) = (1, 2, Hlc(b.last_time().0 + 1));
    });
    let why = Invalid::PreviousNotCited { previous: 1 };
    assert_eq!(world.offer(&without), Offered::Invalid(why));
}

#[test]
fn a_spoilt_copy_does_not_keep_the_good_one_out() {
    let mut world = World::new();
    let good = world.write(1, &[]);
    let mut bytes = good.encoded().to_vec();
    let at = 2 + good.header.encode().len();
    bytes[at] ^= 1;
    let spoilt = Arc::new(Entry::open(&bytes).unwrap());
    assert_eq!(spoilt.id, good.id);
    assert!(matches!(
        world.offer(&spoilt),
        Offered::Invalid(Invalid::Signature(_))
    ));
    world.take(&[&good]);

    // The same while it would wait.
    let mut world = World::new();
    let b = world.write(2, &[&good]);
    let mut bytes = b.encoded().to_vec();
    bytes[2 + b.header.encode().len()] ^= 1;
    let spoilt = Arc::new(Entry::open(&bytes).unwrap());
    assert!(matches!(
        world.offer(&spoilt),
        Offered::Invalid(Invalid::Signature(_))
    ));
    assert!(matches!(world.offer(&b), Offered::Pending { .. }));
    assert_ne!(spoilt.signature, Signature([0; 64]));
}

#[test]
fn what_builds_on_an_invalid_entry_goes_with_it() {
    let mut world = World::new();
    let bad = sealed(&world, 1, |draft| draft.seq = 3);
    let child = world.write(2, &[&bad]);
    let grandchild = world.write(3, &[&child]);
    assert!(matches!(world.offer(&grandchild), Offered::Pending { .. }));
    assert!(matches!(world.offer(&child), Offered::Pending { .. }));
    assert_eq!(world.dag.pending_len(), 2);
    assert!(matches!(world.offer(&bad), Offered::Invalid(_)));
    assert_eq!(world.dag.pending_len(), 0);
    let why = |ancestor: &Arc<Entry>| Invalid::BuildsOnInvalid {
        ancestor: ancestor.id,
    };
    let fault = |entry: &Arc<Entry>, why| Fault {
        remote: Some(key(100).public()),
        entry: entry.id,
        why,
    };
    let faults = [fault(&child, why(&bad)), fault(&grandchild, why(&bad))];
    assert_eq!(world.dag.take_faults(), faults);
    assert_eq!(world.dag.take_faults(), []);
}

#[test]
fn what_turns_out_invalid_when_its_parents_come_is_the_bringers_fault() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let early = sealed(&world, 2, |draft| draft.parents = vec![a.id]);
    let child = world.write(3, &[&early]);
    assert!(matches!(world.offer(&early), Offered::Pending { .. }));
    assert!(matches!(world.offer(&child), Offered::Pending { .. }));
    world.take(&[&a]);
    let faults = world.dag.take_faults();
    assert_eq!(faults[0].why, Invalid::NotLater { parent: a.id });
    assert_eq!(
        faults[1].why,
        Invalid::BuildsOnInvalid { ancestor: early.id }
    );
    assert_eq!((faults.len(), world.dag.pending_len()), (2, 0));
}
