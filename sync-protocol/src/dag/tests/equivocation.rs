//! Two entries in one place, reports of it, and what they strike.

use super::*;
use crate::equivocation::EquivocationProof;
use crate::fixtures::system;
use crate::system_call::SystemCall;

fn report(a: &Arc<Entry>, b: &Arc<Entry>) -> Body {
    system(&[SystemCall::ReportEquivocation(Box::new(
        EquivocationProof::of(a, b),
    ))])
}

/// A world in which an author forked; both branches are here.
fn forked(author: usize) -> (World, Arc<Entry>, Arc<Entry>) {
    let mut world = World::new();
    let a = world.write(author, &[]);
    let b = world.fork(author, &[]);
    world.take(&[&a, &b]);
    (world, a, b)
}

fn void(entry: &Arc<Entry>) -> (EntryId, bool) {
    (entry.id, true)
}

fn runs(entry: &Arc<Entry>) -> (EntryId, bool) {
    (entry.id, false)
}

fn sorted(mut tail: Vec<(Position, (EntryId, bool))>) -> Vec<(EntryId, bool)> {
    tail.sort_unstable();
    tail.into_iter().map(|(_, item)| item).collect()
}

fn at(entry: &Arc<Entry>, void: bool) -> (Position, (EntryId, bool)) {
    (entry.position(0), (entry.id, void))
}

#[test]
fn both_branches_stay_and_the_proof_is_given_out_once() {
    let (mut world, a, b) = forked(1);
    let proof = EquivocationProof::of(&a, &b);
    assert_eq!(world.tail(), sorted(vec![at(&a, false), at(&b, false)]));
    assert_eq!(world.dag.proofs(), std::slice::from_ref(&proof));
    assert_eq!(world.dag.take_equivocations(), [proof]);
    assert_eq!(world.dag.take_equivocations(), []);
    let third = world.fork(1, &[]);
    world.take(&[&third]);
    assert_eq!(world.dag.take_equivocations(), [], "one proof is enough");
}

#[test]
fn a_report_strikes_what_nobody_builds_on() {
    let (mut world, a, b) = forked(1);
    let honest = world.write(2, &[&a]);
    world.take(&[&honest]);
    world.dag.take_changed_from();
    let body = report(&a, &b);
    let reported = world.write_body(3, &[&honest], body);
    world.take(&[&reported]);
    assert_eq!(world.tail(), [void(&a), runs(&honest), runs(&reported)]);
    assert_eq!(world.dag.heads(), [reported.id]);
    assert!(!world.dag.is_clean(&b.id) && world.dag.contains(&b.id));
    let first = a.position(0).min(b.position(0));
    assert_eq!(world.dag.take_changed_from(), Some(first));
    assert_eq!(world.dag.take_equivocations(), [], "it has been reported");
    // More of the same author stays out, until somebody builds on it.
    let more = world.write(1, &[]);
    world.take(&[&more]);
    assert!(!world.dag.is_clean(&more.id));
    assert_eq!(world.dag.take_changed_from(), None);
    let unaware = world.write(4, &[&more]);
    world.take(&[&unaware]);
    assert!(world.dag.is_clean(&b.id) && world.dag.is_clean(&more.id));
    let tail = vec![
        at(&a, true),
        at(&b, true),
        at(&honest, false),
        at(&more, true),
        at(&unaware, false),
        at(&reported, false),
    ];
    assert_eq!(world.tail(), sorted(tail));
    assert_eq!(world.dag.heads(), ids(&[&reported, &unaware]));
}

#[test]
fn a_segment_is_void_by_its_own_reports() {
    let (mut world, a, b) = forked(1);
    let body = report(&a, &b);
    let reported = world.write_body(3, &[], body);
    world.take(&[&reported]);
    let segment = |frontier: &[&Arc<Entry>]| {
        let frontier: Vec<EntryId> = frontier.iter().map(|entry| entry.id).collect();
        let segment = world.dag.segment(&frontier, &world.birth).unwrap();
        segment
            .iter()
            .map(|ordered| {
                (
                    ordered.entry.id,
                    ordered.struck == Some(Struck::Equivocated),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        segment(&[&a]),
        [runs(&a)],
        "who made the cut did not know of the report"
    );
    let both = sorted(vec![at(&a, true), at(&reported, false)]);
    assert_eq!(segment(&[&a, &reported]), both);
}

#[test]
fn the_frozen_stay_struck_without_a_report() {
    let (mut world, a, b) = forked(1);
    let body = report(&a, &b);
    let reported = world.write_body(3, &[], body);
    world.take(&[&reported]);
    let mut frozen = rights();
    frozen.frozen.insert(world.authors[1].public(), 1);
    world.cut(&[&reported], frozen);
    assert_eq!(world.tail(), []);
    assert_eq!(world.dag.heads(), [reported.id]);
    assert_eq!(world.dag.proofs(), []);
    let segment = world.dag.segment(&[a.id], &world.birth).unwrap();
    assert!(
        segment
            .iter()
            .all(|ordered| ordered.struck == Some(Struck::Equivocated))
    );
}

#[test]
fn a_report_that_had_no_effect_is_made_again() {
    let (mut world, a, b) = forked(1);
    let proof = EquivocationProof::of(&a, &b);
    world.dag.take_equivocations();
    let body = report(&a, &b);
    let reported = world.write_body(3, &[], body);
    world.take(&[&reported]);
    assert_eq!(world.dag.take_equivocations(), []);
    // The rows do not freeze him, because the reporter had no say where it was executed.
    world.cut(&[&reported], rights());
    assert_eq!(world.dag.take_equivocations(), [proof]);
    assert!(world.dag.is_clean(&a.id));
}

#[test]
fn a_fork_of_what_is_final_is_found() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let fork = world.fork(1, &[]);
    world.take(&[&a]);
    world.cut(&[&a], rights());
    world.take(&[&fork]);
    let proof = EquivocationProof::of(&a, &fork);
    assert_eq!(world.dag.take_equivocations(), [proof]);
    assert!(world.dag.is_clean(&fork.id));
}

#[test]
fn those_who_report_each_other_are_both_struck_and_both_reports_are_known() {
    let mut world = World::new();
    let one = [world.write(1, &[]), world.fork(1, &[])];
    let two = [world.write(2, &[]), world.fork(2, &[])];
    let by_one = world.write_body(1, &[], report(&two[0], &two[1]));
    let by_two = world.write_body(2, &[], report(&one[0], &one[1]));
    let all = [&one[0], &one[1], &two[0], &two[1], &by_one, &by_two];
    world.take(&all);
    assert!(world.dag.is_clean(&by_one.id) && world.dag.is_clean(&by_two.id));
    assert_eq!(world.dag.heads(), ids(&[&by_one, &by_two]));
    assert!(world.tail().iter().all(|(_, void)| *void));
    let branches = [&one[0], &two[0]].map(|entry| world.dag.is_clean(&entry.id));
    assert_eq!(branches, [false, false], "neither report builds on them");
    // An honest report makes one of the two superfluous.
    let honest = world.write_body(3, &[], report(&two[0], &two[1]));
    world.take(&[&honest]);
    assert!(!world.dag.is_clean(&by_one.id) && world.dag.is_clean(&by_two.id));
    assert_eq!(world.dag.heads(), ids(&[&by_two, &honest]));

    let mut other = World::new();
    for entry in [
        &honest, &by_two, &by_one, &two[1], &one[1], &two[0], &one[0],
    ] {
        other.offer(entry);
    }
    assert_eq!(other.dag.heads_hash(), world.dag.heads_hash());
    assert_eq!(other.tail(), world.tail());
}

#[test]
fn a_forged_report_strikes_nobody() {
    let (mut world, a, b) = forked(1);
    let mut proof = EquivocationProof::of(&a, &b);
    proof.first.signature.0[5] ^= 1;
    let body = system(&[SystemCall::ReportEquivocation(Box::new(proof))]);
    let reported = world.write_body(3, &[], body);
    world.take(&[&reported]);
    assert!(world.dag.is_clean(&a.id) && world.dag.is_clean(&b.id));
    // Nor does a true report by somebody who may not write.
    let stranger = world.write_body(9, &[], report(&a, &b));
    world.take(&[&stranger]);
    assert!(world.dag.is_clean(&a.id) && !world.dag.is_clean(&stranger.id));
}

#[test]
fn proofs_from_elsewhere_are_checked_and_passed_on() {
    let (world, a, b) = forked(1);
    let mut other = World::new();
    let proof = EquivocationProof::of(&a, &b);
    let mut spoilt = proof.clone();
    spoilt.second.signature.0[0] ^= 1;
    assert!(other.dag.learn_equivocation(spoilt).is_err());
    assert_eq!(other.dag.learn_equivocation(proof.clone()), Ok(true));
    assert_eq!(other.dag.learn_equivocation(proof.clone()), Ok(false));
    assert_eq!(other.dag.proofs(), std::slice::from_ref(&proof));
    assert_eq!(other.dag.take_equivocations(), [proof]);
    drop(world);
    let (_, a, b) = forked(9);
    let strangers = EquivocationProof::of(&a, &b);
    assert_eq!(
        other.dag.learn_equivocation(strangers),
        Ok(false),
        "keys cost nothing"
    );
    assert_eq!(other.dag.proofs().len(), 1);
}
