//! Entries that whoever owns the DAG holds back.

use std::collections::BTreeSet;

use super::maker::Maker;
use super::*;
use crate::fixtures::Dice;

#[test]
fn what_is_held_has_its_place_and_neither_runs_nor_is_built_on() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    let c = world.write(2, &[&b]);
    world.take(&[&a, &b, &c]);
    let (heads, hash) = (world.dag.heads(), world.dag.heads_hash());
    world.dag.take_changed_from();
    assert!(world.dag.hold(&c.id) && world.dag.hold(&b.id));
    assert!(!world.dag.hold(&b.id), "it is");
    assert_eq!(world.tail(), running(&[&a]));
    assert_eq!(world.dag.parents_for_next(None, NOW), [a.id]);
    assert_eq!(
        (world.dag.heads(), world.dag.heads_hash()),
        (heads, hash),
        "others are told what is here"
    );
    assert_eq!(world.dag.held_below(&c.id), [b.id]);
    assert_eq!(world.dag.take_changed_from(), None);
    assert!(world.dag.let_go(&b.id) && !world.dag.let_go(&b.id));
    assert_eq!(world.dag.take_changed_from(), Some(b.position(0)));
    assert_eq!(world.tail(), running(&[&a, &b]));
    assert_eq!(world.dag.parents_for_next(None, NOW), [b.id]);
    assert!(world.dag.let_go(&c.id));
    assert_eq!(world.dag.parents_for_next(None, NOW), [c.id]);
    assert_eq!(world.dag.held_len(), 0);
}

#[test]
fn a_cut_covers_what_is_held_and_what_builds_on_it_stays_held() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    let c = world.write(3, &[&b]);
    world.take(&[&a, &b, &c]);
    for entry in [&a, &b, &c] {
        assert!(world.dag.hold(&entry.id));
    }
    world.cut(&[&b], rights());
    assert!(world.dag.is_held(&c.id) && world.dag.held_len() == 1);
    assert_eq!(world.tail(), []);
    assert_eq!(world.dag.parents_for_next(None, NOW), [b.id]);
    assert!(world.dag.held_below(&c.id).is_empty());
}

#[test]
fn what_counts_no_more_is_held_no_more() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[]);
    world.take(&[&a, &b]);
    assert!(world.dag.hold(&b.id));
    let mut without = rights();
    without.roles.remove(&key(2).public());
    world.cut(&[&a], without);
    assert!(!world.dag.is_clean(&b.id) && world.dag.held_len() == 0);
    assert!(!world.dag.hold(&b.id), "only what counts can be held");
    world.cut(&[&a], rights());
    assert_eq!(world.tail(), running(&[&b]));
}

/// The next own entry builds on what is not held and that nothing else not held builds on.
fn expected_parents(dag: &Dag) -> Vec<EntryId> {
    let all: Vec<_> = dag.tail(Hlc(u64::MAX)).collect();
    let due: BTreeSet<EntryId> = dag.tail(NOW).map(|ordered| ordered.entry.id).collect();
    let built_on: BTreeSet<EntryId> = all
        .iter()
        .filter(|ordered| due.contains(&ordered.entry.id))
        .flat_map(|ordered| ordered.entry.header.parents.clone())
        .collect();
    let mut heads: Vec<(Position, EntryId)> = all
        .iter()
        .map(|ordered| (ordered.entry.position(0), ordered.entry.id))
        .filter(|(_, id)| due.contains(id) && !built_on.contains(id))
        .collect();
    let final_heads = dag.frontier.iter();
    let final_heads = final_heads.filter(|id| !built_on.contains(*id));
    heads.extend(final_heads.map(|id| (Position::MIN, *id)));
    heads.sort_unstable();
    heads.truncate(crate::limits::PARENTS_MAX);
    let mut ids: Vec<EntryId> = heads.into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids
}

/// Random sets, of which random parts are held and let go again, each with what builds on it: what
/// is told to others is the same all the while, and in the end everything is.
#[test]
fn whatever_is_held_meanwhile_the_same_comes_out() {
    let mut reached = 0;
    for seed in 0..128 {
        let mut maker = Maker::new(Birth::new(), seed);
        for _ in 0..30 {
            maker.step();
        }
        let mut dice = Dice(seed ^ 0x4e1d);
        let (mut plain, mut holding) = (maker.birth.dag(rights()), maker.birth.dag(rights()));
        for entry in &maker.entries {
            plain.offer(Arc::clone(entry), None, &maker.birth);
            holding.offer(Arc::clone(entry), None, &maker.birth);
            // In order, so that whatever builds on a held one is held too.
            let some = dice.chance(30);
            for id in plain.ids() {
                let entry = Arc::clone(holding.get(&id).unwrap());
                let follows = entry.header.parents.iter().any(|p| holding.is_held(p));
                if follows || some && dice.chance(20) {
                    holding.hold(&id);
                }
            }
            if dice.chance(20) {
                for id in plain.ids() {
                    if holding.held_below(&id).is_empty() && dice.chance(50) {
                        holding.let_go(&id);
                    }
                }
            }
            reached += usize::from(holding.held_len() > 0);
            let context = format!("seed {seed}");
            assert_eq!(plain.heads(), holding.heads(), "{context}");
            assert_eq!(plain.ids(), holding.ids(), "{context}");
            let runs = |dag: &Dag| -> Vec<EntryId> {
                let tail = dag.tail(NOW);
                tail.map(|ordered| ordered.entry.id).collect()
            };
            let mut expected = runs(&plain);
            expected.retain(|id| !holding.is_held(id));
            assert_eq!(runs(&holding), expected, "{context}");
            assert_eq!(
                holding.parents_for_next(None, NOW),
                expected_parents(&holding),
                "{context}"
            );
        }
        for id in plain.ids() {
            holding.let_go(&id);
        }
        assert_eq!(holding.held_len(), 0);
        let whole = |dag: &Dag| dag.tail(NOW).collect::<Vec<_>>();
        assert_eq!(whole(&plain), whole(&holding));
        assert_eq!(
            plain.parents_for_next(None, NOW),
            holding.parents_for_next(None, NOW)
        );
    }
    assert!(reached > 1_000, "{reached}");
}
