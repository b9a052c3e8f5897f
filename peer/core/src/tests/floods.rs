//! Members that send without end, withhold what others need, or write where they no longer may.

use proptest::prelude::*;
use sync_protocol::limits::{
    BODY_BYTES_MAX, PENDING_BYTES_MAX, PENDING_ENTRIES_MAX, QUARANTINE_BYTES_MAX,
    QUARANTINE_ENTRIES_MAX, STUBS_MAX,
};
use sync_protocol::message::{Answer, Want};
use sync_protocol::{DatabaseId, Entry, EntryId, Message, SecretKey};

use super::forge::{Forgery, push};
use super::harness::{Dice, Mesh};
use crate::partials::{PARTIAL_BYTES_MAX, PARTIALS_MAX};

/// Three peers; the last is the one that misbehaves, and nothing is said to it or by it but what
/// the test says.
fn with_rogue(seed: u64) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(3, seed);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    mesh.tamper = Some(Box::new(|from, to, frame| {
        (from != 2 && to != 2).then_some(frame)
    }));
    (mesh, id)
}

fn honest_go_on(mesh: &mut Mesh) {
    for at in 0..2 {
        mesh.call(at, "send_message", r#"["lobby", "we go on"]"#)
            .expect("a room");
    }
    mesh.pass_ms(5_000);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(0).status, "ok");
    assert_eq!(mesh.rows(1, "SELECT text FROM message").len(), 2);
    assert_eq!(mesh.status(1).tail, 0, "and it becomes final");
}

/// What a peer keeps because remotes sent it, held against the bounds.
fn within_bounds(mesh: &Mesh, at: usize, id: DatabaseId) {
    let replica = &mesh.core(at).replicas[&id];
    let links = replica.links.len().max(1);
    let pending = replica.dag.pending_len();
    assert!(pending <= links * PENDING_ENTRIES_MAX, "{pending} pending");
    let stubs = replica.awaited.len();
    assert!(stubs <= links * STUBS_MAX, "{stubs} stubs");
    let (entries, bytes) = replica.dag.quarantined();
    assert!(entries <= QUARANTINE_ENTRIES_MAX + PENDING_ENTRIES_MAX);
    assert!(bytes <= QUARANTINE_BYTES_MAX + PENDING_BYTES_MAX + BODY_BYTES_MAX);
    assert!(replica.fresh.is_empty() && replica.fresh_cut.is_none());
    let partials = mesh.partials(at);
    assert!(partials <= PARTIALS_MAX);
    assert!(mesh.core(at).parts.partials.bytes() <= PARTIAL_BYTES_MAX);
    for link in replica.links.values() {
        let kept = link.conversation.remembered();
        assert!(
            kept <= sync_protocol::Conversation::REMEMBERED_MAX,
            "{kept} remembered"
        );
    }
}

#[test]
fn entries_whose_parents_are_withheld_wait_within_a_bound_and_go_with_the_link() {
    let (mut mesh, id) = with_rogue(81);
    for n in 0..1_500_u64 {
        let mut forged = Forgery::new(&mesh, id, 2).named(&mesh, 9, "orphan");
        forged.epoch = n;
        let mut nowhere = [9; 32];
        nowhere[..8].copy_from_slice(&n.to_le_bytes());
        forged.parents = vec![EntryId(nowhere)];
        let entry = forged.seal();
        push(&mut mesh, 0, 2, id, &[&entry]);
    }
    assert_eq!(mesh.status(0).pending, PENDING_ENTRIES_MAX as u64);
    within_bounds(&mesh, 0, id);
    honest_go_on(&mut mesh);
    mesh.cut_link(0, 2);
    mesh.settle();
    assert_eq!(mesh.status(0).pending, 0);
}

#[test]
fn large_entries_whose_bodies_are_withheld_wait_within_a_bound_and_stall_nothing() {
    let (mut mesh, id) = with_rogue(82);
    for n in 0..100_u64 {
        let name = "x".repeat(60_000);
        let mut forged = Forgery::new(&mesh, id, 2).named(&mesh, 9, &name);
        forged.epoch = n;
        let entry = forged.seal();
        push(&mut mesh, 0, 2, id, &[&entry]);
    }
    assert_eq!(mesh.core(0).replicas[&id].awaited.len(), STUBS_MAX);
    within_bounds(&mesh, 0, id);
    honest_go_on(&mut mesh);
    mesh.pass_ms(70_000);
    let liar = mesh.device(2);
    let cut_off = |(at, remote, _): &(usize, _, String)| *at == 0 && *remote == liar;
    assert!(mesh.hang_ups.iter().any(cut_off), "it never answers");
    mesh.cut_link(0, 2);
    mesh.settle();
    assert_eq!(mesh.status(0).pending, 0);
}

#[test]
fn a_flood_of_entries_by_keys_that_are_no_members_stays_within_a_bound() {
    let (mut mesh, id) = with_rogue(83);
    // Not the seed of the mesh, whose first draws are the keys of its peers.
    let mut dice = Dice(8_383);
    for n in 0..40_u64 {
        let mut forged: Vec<Entry> = Vec::new();
        for m in 0..150_u64 {
            let stranger = SecretKey::from_bytes(&dice.bytes());
            let mut entry = Forgery::new(&mesh, id, 2)
                .by(&stranger)
                .named(&mesh, 9, "nobody");
            entry.epoch = n * 1_000 + m;
            forged.push(entry.seal());
        }
        push(&mut mesh, 0, 2, id, &forged.iter().collect::<Vec<_>>());
    }
    let (entries, _) = mesh.core(0).replicas[&id].dag.quarantined();
    assert_eq!(entries, QUARANTINE_ENTRIES_MAX);
    within_bounds(&mesh, 0, id);
    assert_eq!(
        mesh.rows(0, "SELECT * FROM user WHERE name = 'nobody'")
            .len(),
        0
    );
    honest_go_on(&mut mesh);
}

#[test]
fn a_flood_of_valid_entries_by_a_member_reaches_everybody_and_stops_nobody() {
    let (mut mesh, id) = with_rogue(84);
    let mut previous: Option<EntryId> = None;
    for seq in 0..1_000_u64 {
        let mut forged = Forgery::new(&mesh, id, 2);
        forged.epoch = 7;
        forged.seq = seq;
        if let Some(previous) = previous {
            forged.parents = vec![previous];
        }
        forged.hlc += seq * 10;
        let forged = if seq == 0 {
            forged.named(&mesh, 9, "flood")
        } else {
            forged.set_name(&mesh, sync_protocol::ConnectionId([9; 16]), "flood")
        };
        let entry = forged.seal();
        previous = Some(entry.id);
        push(&mut mesh, 0, 2, id, &[&entry]);
    }
    within_bounds(&mesh, 0, id);
    honest_go_on(&mut mesh);
    let name = "SELECT * FROM user WHERE name = 'flood'";
    assert_eq!(mesh.rows(1, name).len(), 1);
}

#[test]
fn questions_without_end_are_answered_in_portions_and_reported() {
    let (mut mesh, id) = with_rogue(85);
    let asker = mesh.device(2);
    let sent = std::rc::Rc::new(std::cell::Cell::new(0_u64));
    let counter = std::rc::Rc::clone(&sent);
    mesh.tamper = Some(Box::new(move |_, to, frame| {
        if to == 2 {
            counter.set(counter.get() + 1);
            return None;
        }
        Some(frame)
    }));
    let wants = [
        Want::Ids { from: 0 },
        Want::Segments { height: 0, from: 0 },
        Want::Blob {
            hash: sync_protocol::BlobHash([1; 32]),
            offset: u64::MAX,
        },
        Want::Body {
            entry: EntryId([1; 32]),
            offset: 0,
        },
    ];
    for n in 0..8_000_u32 {
        let want = wants[n as usize % wants.len()].clone();
        let question = Message::Want { request: n, want };
        mesh.inject(0, asker, question.encode(&id));
    }
    assert!(sent.get() < 6_000, "{} answers", sent.get());
    assert!(
        mesh.hang_ups
            .iter()
            .any(|(.., why)| why.contains("asks too much"))
    );
    mesh.tamper = Some(Box::new(|from, to, frame| {
        (from != 2 && to != 2).then_some(frame)
    }));
    honest_go_on(&mut mesh);
}

#[test]
fn entries_dated_back_onto_old_ones_move_nothing_that_is_final() {
    let (mut mesh, id) = with_rogue(86);
    mesh.call(0, "set_name", r#"["first"]"#).expect("free");
    mesh.pass_ms(3_000);
    let replica = &mesh.core(0).replicas[&id];
    assert_eq!(replica.executed.len(), 0, "all is final");
    let genesis = EntryId::from(id);
    let birth = replica.log.cut_id(0).expect("readable").expect("there");
    // On top of the genesis alone, a microsecond later, based on cut 0: as early as can be.
    let mut forged = Forgery::new(&mesh, id, 2).named(&mesh, 9, "first");
    forged.parents = vec![genesis];
    let born = replica_time(&mesh, id);
    forged.hlc = born + 1;
    forged.base = sync_protocol::CutRef {
        term: sync_protocol::Term::FIRST,
        height: 0,
        id: birth,
    };
    let entry = forged.seal();
    push(&mut mesh, 0, 2, id, &[&entry]);
    mesh.pass_ms(5_000);
    let name = mesh.rows(0, "SELECT identity FROM user WHERE name = 'first'");
    let own = crate::identity_hex(&crate::identity_of(
        &crate::did_key(&mesh.device(0)),
        &crate::did_key(&mesh.device(0)),
    ));
    assert!(name[0][0].contains(&own), "{name:?} is not {own}");
    honest_go_on(&mut mesh);
}

/// The time of the genesis.
fn replica_time(mesh: &Mesh, id: DatabaseId) -> u64 {
    let log = &mesh.core(0).replicas[&id].log;
    let covered = log.final_entry(&EntryId::from(id)).expect("readable");
    covered.expect("the genesis is final").last_time.0
}

#[test]
fn who_is_frozen_writes_no_more_however_old_it_says_it_is() {
    let (mut mesh, id) = with_rogue(87);
    let twin = |mesh: &Mesh, name: &str| Forgery::new(mesh, id, 2).named(mesh, 9, name).seal();
    let (one, two) = (twin(&mesh, "one"), twin(&mesh, "two"));
    push(&mut mesh, 0, 2, id, &[&one, &two]);
    mesh.pass_ms(5_000);
    assert_eq!(mesh.rows(0, "SELECT * FROM sys_equivocation").len(), 1);
    let born = replica_time(&mesh, id);
    let birth = mesh.core(0).replicas[&id].log.cut_id(0);
    let birth = birth.expect("readable").expect("there");
    for n in 0..50 {
        let mut forged = Forgery::new(&mesh, id, 2).named(&mesh, 30, "late");
        forged.epoch = 100 + n;
        if n % 2 == 0 {
            forged.parents = vec![EntryId::from(id)];
            forged.hlc = born + 1 + n;
            forged.base = sync_protocol::CutRef {
                term: sync_protocol::Term::FIRST,
                height: 0,
                id: birth,
            };
        }
        let entry = forged.seal();
        push(&mut mesh, 0, 2, id, &[&entry]);
        assert!(!mesh.core(0).replicas[&id].dag.is_clean(&entry.id));
    }
    assert_eq!(
        mesh.rows(0, "SELECT * FROM user WHERE name = 'late'").len(),
        0
    );
    within_bounds(&mesh, 0, id);
    honest_go_on(&mut mesh);
}

#[test]
fn a_colluder_that_builds_on_both_histories_changes_no_verdict() {
    let mut mesh = Mesh::new(4, 88);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    mesh.tamper = Some(Box::new(|from, to, frame| {
        (from < 2 && to < 2).then_some(frame)
    }));
    mesh.cut_link(0, 1);
    mesh.settle();
    let twin = |mesh: &Mesh, name: &str| Forgery::new(mesh, id, 3).named(mesh, 9, name).seal();
    let (one, two) = (twin(&mesh, "one"), twin(&mesh, "two"));
    let mut both = Forgery::new(&mesh, id, 2).named(&mesh, 10, "colluder");
    both.parents = vec![one.id, two.id];
    both.hlc += 1_000;
    let both = both.seal();
    // One history each, in a partition; then the colluder's entry over both.
    push(&mut mesh, 0, 3, id, &[&one]);
    push(&mut mesh, 1, 3, id, &[&two]);
    mesh.heal_link(0, 1);
    push(&mut mesh, 0, 2, id, &[&two, &both]);
    mesh.pass_ms(8_000);
    mesh.assert_same(0, 1);
    for at in 0..2 {
        let names: Vec<_> = mesh.rows(at, "SELECT name FROM user").concat();
        assert!(
            !names.iter().any(|name| name == "one" || name == "two"),
            "{names:?}"
        );
        assert_eq!(mesh.rows(at, "SELECT * FROM sys_equivocation").len(), 1);
    }
    honest_go_on(&mut mesh);
}

/// Some message that a member's key can make, sensible or not.
fn anything(mesh: &Mesh, id: DatabaseId, dice: &mut Dice) -> Message {
    let some_id = EntryId([dice.below(3) as u8; 32]);
    let mut forged = Forgery::new(mesh, id, 2);
    forged.epoch = dice.below(50);
    forged.seq = dice.below(3);
    if dice.below(2) == 0 {
        forged.parents = vec![EntryId(dice.bytes())];
    }
    let forged = if dice.below(3) == 0 {
        forged.by(&SecretKey::from_bytes(&dice.bytes()))
    } else {
        forged
    };
    let len = [5, 5, 40_000, 60_000, 200_000][dice.below(5) as usize];
    let entry = forged
        .named(mesh, dice.below(200) as u8, &"n".repeat(len))
        .seal();
    let entries = vec![sync_protocol::travelling(entry.encoded()).to_vec()];
    let request = dice.below(4_000) as u32;
    let ids = vec![some_id, EntryId(dice.bytes())];
    match dice.below(12) {
        0..=3 => Message::Push {
            entries,
            forwarded: dice.below(2) == 0,
        },
        4 => Message::Have {
            ids: (0..2_000).map(|_| EntryId(dice.bytes())).collect(),
        },
        5 => Message::Want {
            request,
            want: Want::Entries { ids, graft: true },
        },
        6 => Message::Answer {
            request,
            answer: Answer::Entries {
                entries,
                more: true,
            },
        },
        7 => Message::Answer {
            request,
            answer: Answer::Ids { ids, more: true },
        },
        8 => Message::Answer {
            request,
            answer: Answer::Blob {
                total: 262_144 + dice.below(2_000_000),
                bytes: vec![1; 262_144],
            },
        },
        9 => Message::Hello(sync_protocol::message::Hello {
            standing: sync_protocol::message::Standing {
                cut: Some(sync_protocol::CutRef {
                    term: sync_protocol::Term::FIRST,
                    height: dice.below(5),
                    id: sync_protocol::CutId(dice.bytes()),
                }),
                heads: sync_protocol::HeadsHash(dice.bytes()),
            },
            wall: dice.draw(),
        }),
        10 => Message::Prune,
        _ => Message::Want {
            request,
            want: Want::Introduction {
                cut: None,
                page: dice.below(3) as u32,
            },
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_a_member_says_what_is_kept_for_it_is_bounded(seed: u64) {
        let (mut mesh, id) = with_rogue(89);
        let mut dice = Dice(seed);
        let remote = mesh.device(2);
        for n in 0..250 {
            let message = anything(&mesh, id, &mut dice);
            mesh.inject(0, remote, message.encode(&id));
            if n % 25 == 0 {
                mesh.pass_ms(500);
            }
            within_bounds(&mesh, 0, id);
        }
        honest_go_on(&mut mesh);
    }
}
