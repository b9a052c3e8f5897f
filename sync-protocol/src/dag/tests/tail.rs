//! Heads, parents, what is held back, what a remote lacks.

use super::*;
use crate::ids::HeadsHash;
use crate::limits::{AHEAD_US_MAX, PARENTS_MAX};

#[test]
fn heads_are_what_nothing_builds_on() {
    let mut world = World::new();
    assert_eq!(world.dag.heads(), [world.birth.genesis.id]);
    let a = world.write(1, &[]);
    let b = world.write(2, &[]);
    world.take(&[&a, &b]);
    assert_eq!(world.dag.heads(), ids(&[&a, &b]));
    let c = world.write(3, &[&a]);
    world.take(&[&c]);
    assert_eq!(world.dag.heads(), ids(&[&b, &c]));
    world.cut(&[&b, &a], rights());
    assert_eq!(
        world.dag.heads(),
        ids(&[&b, &c]),
        "B is final, and nothing builds on it"
    );
    assert_eq!(world.tail(), running(&[&c]));
    world.cut(&[&c, &b], rights());
    assert_eq!(world.dag.heads(), ids(&[&b, &c]));
    assert!(world.dag.is_empty() && world.dag.bytes() == 0);
}

#[test]
fn golden_heads_hash() {
    let (database, height) = (DatabaseId([1; 32]), 7);
    let cut = CutRef {
        height,
        id: CutId([2; 32]),
    };
    let hash = |ids: &[u8]| -> HeadsHash {
        let frontier = ids.iter().map(|id| EntryId([*id; 32])).collect();
        Dag::new(database, cut, frontier, Rights::default()).heads_hash()
    };
    assert_eq!(hash(&[4, 3]), hash(&[3, 4]));
    let golden = "2cf135c39a7372c6c64e911f92cc9932692669f05d9073e59e06aabd9acdd8fb";
    assert_eq!(hash(&[3, 4]).to_string(), golden);
}

#[test]
fn the_next_entry_builds_on_the_heads_and_the_own_previous() {
    let mut world = World::new();
    let genesis = world.birth.genesis.id;
    assert_eq!(world.dag.parents_for_next(None, NOW), [genesis]);
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    world.take(&[&a, &b]);
    assert_eq!(world.dag.parents_for_next(None, NOW), [b.id]);
    assert_eq!(world.dag.parents_for_next(Some(a.id), NOW), ids(&[&a, &b]));
    assert_eq!(world.dag.parents_for_next(Some(b.id), NOW), [b.id]);
    let parents = world.dag.parents_for_next(Some(a.id), NOW);
    assert_eq!(world.dag.latest_time(&parents, &world.birth), b.last_time());
    assert_eq!(world.dag.latest_time(&[genesis], &world.birth), BIRTH);
}

#[test]
fn sixteen_parents_at_most_the_oldest_first() {
    let mut world = World::new();
    let mut heads = Vec::new();
    for number in 0..40 {
        let entry = sealed(&world, 1 + number % 4, |draft| {
            draft.epoch = u64::from(number);
            draft.hlc = Hlc(NOW.0 - u64::from(number));
        });
        world.take(&[&entry]);
        heads.push(entry);
    }
    heads.sort_by_key(|entry| entry.position(0));
    let oldest: Vec<&Arc<Entry>> = heads[..PARENTS_MAX].iter().collect();
    assert_eq!(world.dag.parents_for_next(None, NOW), ids(&oldest));
    let own = heads[30].id;
    let mut expected = ids(&oldest[..PARENTS_MAX - 1]);
    expected.push(own);
    expected.sort();
    assert_eq!(world.dag.parents_for_next(Some(own), NOW), expected);
}

#[test]
fn what_is_ahead_of_time_is_held_back() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    world.take(&[&a]);
    let ahead = sealed(&world, 2, |draft| {
        (draft.parents, draft.hlc) = (vec![a.id], Hlc(NOW.0 + AHEAD_US_MAX + 1));
    });
    world.take(&[&ahead]);
    assert_eq!(world.tail(), running(&[&a]));
    assert!(world.dag.is_clean(&ahead.id));
    assert_eq!(world.dag.heads(), [ahead.id], "it counts in the heads hash");
    assert_eq!(
        world.dag.parents_for_next(None, NOW),
        [a.id],
        "but nobody builds on it"
    );
    let beside = world.write(3, &[&a]);
    world.take(&[&beside]);
    assert_eq!(world.dag.parents_for_next(None, NOW), [beside.id]);
    assert_eq!(world.dag.next_due(NOW), Some(Hlc(NOW.0 + 1)));
    assert_eq!(world.dag.next_due(Hlc(NOW.0 + 1)), None);
    let due: Vec<EntryId> = world.dag.tail(Hlc(NOW.0 + 1)).map(|o| o.entry.id).collect();
    assert_eq!(due, [a.id, beside.id, ahead.id]);
    assert_eq!(
        world.dag.parents_for_next(None, Hlc(NOW.0 + 1)),
        ids(&[&beside, &ahead])
    );
    // Whose clock is ahead builds on its own entry all the same: it harms itself alone.
    assert_eq!(
        world.dag.parents_for_next(Some(ahead.id), NOW),
        ids(&[&beside, &ahead])
    );
    let from: Vec<EntryId> = world
        .dag
        .tail_from(&beside.position(0), NOW)
        .map(|o| o.entry.id)
        .collect();
    assert_eq!(from, [beside.id]);
    let late = world.dag.tail_from(&ahead.position(0), NOW).count();
    assert_eq!(late, 0, "a start beyond the end is no panic");
}

#[test]
fn behind_held_back_entries_even_a_final_one_is_a_head() {
    let mut world = World::new();
    let genesis = world.birth.genesis.id;
    let ahead = sealed(&world, 2, |draft| draft.hlc = Hlc(NOW.0 + AHEAD_US_MAX + 1));
    world.take(&[&ahead]);
    assert_eq!(world.dag.heads(), [ahead.id]);
    assert_eq!(world.dag.parents_for_next(None, NOW), [genesis]);
}

#[test]
fn a_remote_gets_what_is_beyond_its_chains() {
    let mut world = World::new();
    let mut entries = Vec::new();
    for round in 0..5 {
        for author in 1..4 {
            let last = entries.last().cloned();
            let parents: Vec<&Arc<Entry>> = last.iter().filter(|_| round % 2 == 0).collect();
            let entry = world.write(author, &parents);
            world.take(&[&entry]);
            entries.push(entry);
        }
    }
    let mut other = World::new();
    let mut pages = 0;
    loop {
        let tips = other.dag.chains();
        let bytes = 3 * entries[0].encoded().len();
        let (page, more) = world.dag.entries_beyond(&tips, bytes);
        pages += 1;
        for stub in &page {
            let entry = entries.iter().find(|entry| entry.id == stub.id);
            let entry = entry.expect("made above");
            assert_eq!(
                other.offer(entry),
                Offered::Accepted(vec![Arc::clone(entry)])
            );
        }
        if !more {
            break;
        }
        assert!(!page.is_empty());
    }
    assert!(pages >= 5, "{pages}");
    assert_eq!(other.dag.heads_hash(), world.dag.heads_hash());
    assert_eq!(other.dag.chains(), world.dag.chains());
    assert_eq!(
        world.dag.entries_beyond(&other.dag.chains(), 1_000),
        (vec![], false)
    );
    let tip = |author: usize| ChainTip {
        author: world.authors[author].public(),
        epoch: author as u64,
        next_seq: 5,
    };
    let mut tips = vec![tip(1), tip(2), tip(3)];
    tips.sort();
    assert_eq!(world.dag.chains(), tips);
    let (one, more) = world.dag.entries_beyond(&tips[1..], 0);
    assert_eq!(
        (one.len(), more),
        (1, true),
        "a page is never empty while there is more"
    );
}

#[test]
fn a_segment_is_what_is_not_final_below_its_frontier() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    let c = world.write(3, &[&a]);
    world.take(&[&a, &b, &c]);
    let ordered = |world: &World, frontier: &[EntryId]| {
        let segment = world.dag.segment(frontier, &world.birth);
        segment.map(|s| s.iter().map(|o| o.entry.id).collect::<Vec<_>>())
    };
    assert_eq!(ordered(&world, &[b.id]), Ok(vec![a.id, b.id]));
    world.cut(&[&b], rights());
    assert_eq!(ordered(&world, &[b.id, c.id]), Ok(vec![c.id]));
    assert_eq!(ordered(&world, &[b.id]), Ok(vec![]));
    let d = world.write(1, &[&c]);
    let e = world.write(2, &[&d]);
    assert!(matches!(world.offer(&e), Offered::Pending { .. }));
    assert_eq!(
        ordered(&world, &[e.id]),
        Err(vec![d.id]),
        "E is here, it only waits"
    );
    assert_eq!(
        ordered(&world, &[EntryId([7; 32])]),
        Err(vec![EntryId([7; 32])])
    );
}

#[test]
fn the_least_changed_position_is_told() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[&a]);
    world.take(&[&a, &b]);
    assert_eq!(world.dag.take_changed_from(), Some(a.position(0)));
    assert_eq!(world.dag.take_changed_from(), None);
    let c = world.write(2, &[&b]);
    world.take(&[&c]);
    assert_eq!(world.dag.take_changed_from(), Some(c.position(0)));
    world.cut(&[&a], rights());
    assert_eq!(
        world.dag.take_changed_from(),
        None,
        "the cut took the front away"
    );
    let late = sealed(&world, 3, |draft| draft.hlc = Hlc(BIRTH.0 + 1));
    world.take(&[&late]);
    assert_eq!(world.dag.take_changed_from(), Some(late.position(0)));
    world.cut(&[&c], rights());
    let from = world.dag.take_changed_from();
    assert_eq!(
        from,
        Some(late.position(0)),
        "it lay before what the cut covers, now after it"
    );
}

#[test]
fn bytes_are_those_of_the_entries_held() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(9, &[]);
    world.take(&[&a, &b]);
    assert_eq!(world.dag.len(), 2);
    assert_eq!(world.dag.bytes(), a.encoded().len() + b.encoded().len());
    assert_eq!(world.dag.get(&a.id), Some(a.stub()));
    assert_eq!(world.dag.cut(), world.birth.base());
    assert_eq!(world.dag.rights(), &rights());
}
