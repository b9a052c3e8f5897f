//! A remote never decides how much memory is used.

use super::*;
use crate::limits::{PENDING_BYTES_MAX, PENDING_ENTRIES_MAX, QUARANTINE_ENTRIES_MAX};

fn remote(number: u8) -> Option<DeviceKey> {
    Some(key(number).public())
}

/// Valid entries that wait for something nobody has.
fn waiting(world: &World, author: u8, count: usize, bytes: usize) -> Vec<Arc<Entry>> {
    let entry = |number: usize| {
        let mut body = calls(1);
        body.invocations[0].args = vec![0; bytes];
        let draft = Draft {
            database: world.birth.database,
            epoch: number as u64,
            seq: 0,
            parents: vec![EntryId([0xEE; 32])],
            hlc: NOW,
            stride: 0,
            base: world.birth.base(),
        };
        Arc::new(Entry::seal(draft, body, &key(author)).unwrap())
    };
    (0..count).map(entry).collect()
}

#[test]
fn each_connection_has_room_for_so_many_waiting_entries() {
    let mut world = World::new();
    let entries = waiting(&world, 1, PENDING_ENTRIES_MAX + 2, 0);
    let mut offer =
        |entry: &Arc<Entry>, from| world.dag.offer(Arc::clone(entry), from, &world.birth);
    let missing = vec![EntryId([0xEE; 32])];
    let pending = Offered::Pending { missing, cut: None };
    for entry in &entries[..PENDING_ENTRIES_MAX] {
        assert_eq!(offer(entry, remote(100)), pending);
    }
    let last = &entries[PENDING_ENTRIES_MAX];
    assert_eq!(offer(last, remote(100)), Offered::Full);
    assert_eq!(
        offer(&entries[0], remote(100)),
        pending,
        "what waits goes on waiting"
    );
    assert_eq!(
        offer(last, remote(101)),
        pending,
        "others have their own room"
    );
    world.dag.forget_remote(&key(100).public());
    assert_eq!(world.dag.pending_len(), 1);
    let next = world.dag.offer(
        Arc::clone(&entries[PENDING_ENTRIES_MAX + 1]),
        remote(100),
        &world.birth,
    );
    assert_eq!(next, pending, "room again");
}

#[test]
fn each_connection_has_room_for_so_many_waiting_bytes() {
    let mut world = World::new();
    let entries = waiting(&world, 1, 5, PENDING_BYTES_MAX / 4);
    let offers: Vec<Offered> = entries
        .iter()
        .map(|entry| {
            world
                .dag
                .offer(Arc::clone(entry), remote(100), &world.birth)
        })
        .collect();
    let kept = offers
        .iter()
        .filter(|offered| matches!(offered, Offered::Pending { .. }))
        .count();
    assert_eq!(kept, 3, "headers take room too");
    assert_eq!(offers[3], Offered::Full);
}

#[test]
fn room_is_free_again_when_entries_come_in() {
    let mut world = World::new();
    let first = world.write(1, &[]);
    let mut chain = vec![Arc::clone(&first)];
    for _ in 0..PENDING_ENTRIES_MAX {
        let next = world.write(1, &[]);
        chain.push(next);
    }
    let late = world.write(1, &[]);
    for entry in &chain[1..] {
        assert!(matches!(world.offer(entry), Offered::Pending { .. }));
    }
    assert_eq!(world.offer(&late), Offered::Full);
    assert_eq!(world.offer(&first), Offered::Accepted(chain));
    world.take(&[&late]);
    assert_eq!(world.dag.pending_len(), 0);
}

#[test]
fn strangers_share_a_bound() {
    let mut world = World::new();
    let mut kept = 0;
    for stranger in 50..56 {
        for number in 0..=PENDING_ENTRIES_MAX {
            let entry = sealed(&world, stranger, |draft| draft.epoch = number as u64);
            let offered = world.dag.offer(Arc::clone(&entry), None, &world.birth);
            match offered {
                Offered::Accepted(_) => kept += 1,
                Offered::Full => break,
                other => panic!("{other:?}"),
            }
            assert!(!world.dag.is_clean(&entry.id));
        }
        assert_eq!(
            kept,
            QUARANTINE_ENTRIES_MAX.min(usize::from(stranger - 49) * PENDING_ENTRIES_MAX)
        );
    }
    // Members do not notice.
    let a = world.write(1, &[]);
    world.take(&[&a]);
    assert_eq!(world.tail(), running(&[&a]));
}
