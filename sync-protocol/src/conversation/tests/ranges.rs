//! Tails that chains do not settle: compared by ranges, and by all ids where a remote lies.

use std::sync::Arc;

use super::super::limits::{RANGE_QUESTIONS_AT_ONCE, VECTOR_CHAINS_MAX, VECTOR_TAIL_MAX};
use super::super::{Conversation, ConversationEffect, ConversationInput, Holdings as _};
use super::harness::{Dice, Faults, Mesh};
use super::peer::Peer;
use crate::ids::{EntryId, HeadsHash};
use crate::message::limits::RANGE_IDS_MAX;
use crate::message::{Answer, Hello, Message, Standing, Want};
use crate::reconcile::{Range, RangeFingerprint, Told, Until};
use crate::time::{Hlc, Now};

/// Hands a peer entries as if a remote that is gone had pushed them.
fn give(mesh: &mut Mesh, to: usize, entries: &[Arc<crate::Entry>]) {
    let (now, from) = (mesh.now(), mesh.device(2));
    mesh.peers[to].open(now, from);
    for entry in entries {
        let push = Message::Push {
            entries: vec![entry.encoded().to_vec()],
            forwarded: false,
        };
        let frame = push.encode(&mesh.peers[to].database);
        mesh.peers[to].hear(now, from, &frame);
    }
    mesh.peers[to].links.remove(&from);
    mesh.peers[to].wakes.remove(&from);
}

/// Two peers of whom each holds one history of a third that wrote two of them, in one chain: the
/// chains say that they hold the same.
fn forked(seed: u64, len: u8) -> Mesh {
    let history = |which: u8| {
        let mut mesh = Mesh::new(seed, 3, 0, b"");
        for n in 0..len {
            mesh.write(2, vec![which, n]);
            mesh.now.0 += 1_000;
        }
        let ids = mesh.peers[2].dag().ids();
        let entry = |id| Arc::clone(mesh.peers[2].entry(id));
        (ids.iter().map(entry).collect::<Vec<_>>(), mesh.now)
    };
    let ((one, now), (other, _)) = (history(1), history(2));
    let mut mesh = Mesh::new(seed, 3, 0, b"");
    mesh.now = now;
    give(&mut mesh, 0, &one);
    give(&mut mesh, 1, &other);
    mesh.peers.truncate(2);
    assert_eq!(mesh.peers[0].held.chains(), mesh.peers[1].held.chains());
    assert_ne!(
        mesh.peers[0].held.heads_hash(),
        mesh.peers[1].held.heads_hash()
    );
    mesh
}

#[test]
fn a_long_fork_is_settled_by_ranges_and_not_by_all_ids() {
    let mut mesh = forked(1, 120);
    mesh.link(0, 1);
    mesh.settle(40_000);
    assert_eq!(mesh.peers[0].dag().ids(), mesh.peers[1].dag().ids());
    assert_eq!(mesh.peers[0].dag().len(), 240);
    assert!(mesh.asked["reconcile"] >= 1, "{:?}", mesh.asked);
    assert_eq!(mesh.asked.get("ids"), None);
}

#[test]
fn forks_are_settled_while_messages_are_lost_doubled_and_late() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut mesh = forked(seed, 40);
        mesh.faults = Faults {
            lose_percent: 25,
            double_percent: 20,
            delay_us: 200_000,
            ..Faults::default()
        };
        mesh.link(0, 1);
        for n in 0..20 {
            // The tails change while they are compared.
            mesh.write(usize::from(n % 2), vec![n]);
            mesh.run_ms(700);
        }
        mesh.faults = Faults::default();
        mesh.settle(180_000);
        assert_eq!(mesh.peers[0].dag().len(), 100);
    }
}

/// Writes in so many chains that ranges are cheaper, and lets both hold it all.
fn many_chains(mesh: &mut Mesh) {
    let chains = VECTOR_CHAINS_MAX as u64 + 10;
    let each = VECTOR_TAIL_MAX as u64 / chains + 2;
    for epoch in 0..chains {
        // A chain of its own, as after a restart.
        let peer = &mut mesh.peers[0];
        (peer.epoch, peer.seq, peer.previous) = (100 + epoch, 0, None);
        for n in 0..each {
            mesh.write(0, vec![u8::try_from(n).expect("small")]);
            mesh.now.0 += 500;
        }
    }
    mesh.link(0, 1);
    mesh.settle(60_000);
    assert!(mesh.peers[1].held.chains().len() > VECTOR_CHAINS_MAX);
    assert!(mesh.peers[1].dag().len() > VECTOR_TAIL_MAX);
    mesh.unlink(0, 1);
    mesh.asked.clear();
}

#[test]
fn a_long_tail_of_many_chains_is_compared_by_ranges_from_the_start() {
    let mut mesh = Mesh::new(3, 2, 0, b"");
    many_chains(&mut mesh);
    for n in 0..100 {
        mesh.write(0, vec![n]);
        if n % 2 == 0 {
            mesh.write(1, vec![n]);
        }
        mesh.now.0 += 1_000;
    }
    mesh.link(0, 1);
    mesh.settle(5_000);
    assert_eq!(mesh.peers[0].dag().ids(), mesh.peers[1].dag().ids());
    assert!(mesh.asked["reconcile"] <= 8, "{:?}", mesh.asked);
    assert_eq!(
        (mesh.asked.get("beyond"), mesh.asked.get("ids")),
        (None, None)
    );
}

/// A link of which the remote is played by the test: an open one of peer 0, greeted with heads that
/// nobody has.
fn played(mesh: &mut Mesh) -> (Conversation, Vec<ConversationEffect>) {
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let hello = Message::Hello(Hello {
        standing: Standing {
            cut: peer.held.cut(),
            heads: HeadsHash([4; 32]),
        },
        wall: 0,
    });
    let effects = link.step(now, ConversationInput::Received(hello), &peer.held);
    (link, effects)
}

/// Answers every question by `lie` until none is left, and returns them.
fn lie_on(
    link: &mut Conversation,
    now: Now,
    peer: &Peer,
    effects: Vec<ConversationEffect>,
    mut lie: impl FnMut(&Want) -> Answer,
) -> Vec<Want> {
    let mut questions = Vec::new();
    let mut effects = effects;
    loop {
        let question = effects.into_iter().find_map(|effect| match effect {
            ConversationEffect::Send(Message::Want { request, want }) => Some((request, want)),
            _ => None,
        });
        let Some((request, want)) = question else {
            return questions;
        };
        let answer = lie(&want);
        let message = Message::Answer { request, answer };
        let frame = message.encode(&peer.database);
        let (_, message) = Message::decode(&frame).expect("what it says is within the bounds");
        questions.push(want);
        assert!(questions.len() < 5_000, "it goes on for ever");
        effects = link.step(now, ConversationInput::Received(message), &peer.held);
        assert!(link.remembered() <= Conversation::REMEMBERED_MAX);
    }
}

fn random_ids(dice: &mut Dice, len: usize) -> Vec<EntryId> {
    let id = |dice: &mut Dice| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&dice.next().to_le_bytes());
        EntryId(id)
    };
    (0..len).map(|_| id(dice)).collect()
}

/// Whatever a liar says about ranges, the questions end.
fn check_lies(seed: u64, mut about_ranges: impl FnMut(&mut Dice) -> Vec<Range>) {
    let mut mesh = Mesh::new(seed, 2, 0, b"");
    many_chains(&mut mesh);
    let now = mesh.now();
    let (mut link, effects) = played(&mut mesh);
    let mut dice = Dice(seed);
    let lie = |want: &Want| match want {
        Want::Reconcile { .. } => Answer::Reconcile {
            ranges: about_ranges(&mut dice),
            heads: random_ids(&mut dice, 3),
        },
        Want::Ids { .. } => Answer::Ids {
            ids: random_ids(&mut dice, 100),
            more: true,
        },
        Want::Entries { .. } => Answer::Entries {
            entries: Vec::new(),
            more: true,
        },
        other => panic!("not asked for: {other:?}"),
    };
    let questions = lie_on(&mut link, now, &mesh.peers[0], effects, lie);
    assert!(matches!(questions[0], Want::Reconcile { .. }));
    assert!(questions.len() < 1_000, "{}", questions.len());
}

#[test]
fn fingerprints_that_never_agree_end_by_ids() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    many_chains(&mut mesh);
    let now = mesh.now();
    let (mut link, effects) = played(&mut mesh);
    let mut dice = Dice(1);
    let questions = lie_on(&mut link, now, &mesh.peers[0], effects, |want| match want {
        Want::Reconcile { .. } => Answer::Reconcile {
            ranges: vec![Range {
                until: Until::End,
                told: Told::Fingerprint(RangeFingerprint([7; 16])),
            }],
            heads: Vec::new(),
        },
        Want::Ids { .. } => Answer::Ids {
            ids: random_ids(&mut dice, 100),
            more: true,
        },
        _ => Answer::Entries {
            entries: Vec::new(),
            more: false,
        },
    });
    let ranges = |want: &&Want| matches!(want, Want::Reconcile { .. });
    let ids = |want: &&Want| matches!(want, Want::Ids { .. });
    assert_eq!(questions.iter().filter(ranges).count(), 2 * 64);
    assert_eq!(questions.iter().filter(ids).count(), 3);
}

#[test]
fn ids_that_nobody_has_and_ranges_out_of_nowhere_come_to_an_end() {
    check_lies(11, |dice| {
        vec![Range {
            until: Until::End,
            told: Told::Ids(random_ids(dice, RANGE_IDS_MAX)),
        }]
    });
    check_lies(12, |dice| {
        let mut at = 0;
        let mut ranges = Vec::new();
        for _ in 0..dice.below(40) {
            at += 1 + dice.below(1 << 50);
            let told = if dice.percent(50) {
                Told::Ids(random_ids(dice, 20))
            } else {
                Told::Fingerprint(RangeFingerprint([7; 16]))
            };
            ranges.push(Range {
                until: Until::Time(Hlc(at)),
                told,
            });
        }
        ranges
    });
}

#[test]
fn a_collision_of_fingerprints_is_found_by_the_heads() {
    // The remote's fingerprints all agree with ours, as if somebody had chosen ids for it; its heads
    // do not, and neither does what they build on.
    let mut mesh = forked(5, 60);
    let now = mesh.now();
    let heads = mesh.peers[1].dag().heads();
    let theirs = mesh.peers[1].dag().ids();
    let (mut link, effects) = played(&mut mesh);
    let questions = lie_on(&mut link, now, &mesh.peers[0], effects, |want| match want {
        Want::Beyond { .. } => Answer::Beyond {
            entries: Vec::new(),
            more: false,
            heads: heads.clone(),
        },
        Want::Reconcile { .. } => Answer::Reconcile {
            ranges: Vec::new(),
            heads: heads.clone(),
        },
        Want::Ids { .. } => Answer::Ids {
            ids: theirs.clone(),
            more: false,
        },
        // As if the entries went on to miss parents without end.
        Want::Entries { .. } => Answer::Nothing,
        other => panic!("not asked for: {other:?}"),
    });
    assert!(matches!(questions[0], Want::Beyond { .. }));
    let later = Now {
        tick: now.tick.plus_ms(1_500),
        ..now
    };
    let standing = Message::Standing(Standing {
        cut: mesh.peers[0].held.cut(),
        heads: HeadsHash([5; 32]),
    });
    let peer = &mesh.peers[0];
    link.step(now, ConversationInput::Received(standing), &peer.held);
    let effects = link.step(later, ConversationInput::Wake, &peer.held);
    let questions = lie_on(&mut link, later, peer, effects, |want| match want {
        Want::Beyond { .. } => Answer::Beyond {
            entries: Vec::new(),
            more: false,
            heads: heads.clone(),
        },
        Want::Reconcile { .. } => Answer::Reconcile {
            ranges: Vec::new(),
            heads: heads.clone(),
        },
        Want::Ids { .. } => Answer::Ids {
            ids: theirs.clone(),
            more: false,
        },
        _ => Answer::Nothing,
    });
    let kinds: Vec<_> = questions.iter().map(super::harness::kind).collect();
    assert_eq!(kinds, ["beyond", "reconcile", "ids", "entries"]);
}

#[test]
fn questions_about_ranges_are_rationed() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let now = mesh.now();
    let (mut link, _) = played(&mut mesh);
    let mut answers = 0;
    for _ in 0..2 * RANGE_QUESTIONS_AT_ONCE {
        let ranges = crate::reconcile::begin(mesh.peers[0].dag().tail_index());
        let want = Want::Reconcile { ranges };
        let question = ConversationInput::Received(Message::Want { request: 1, want });
        let effects = link.step(now, question, &mesh.peers[0].held);
        let answered = |effect: &&ConversationEffect| {
            matches!(effect, ConversationEffect::Send(Message::Answer { .. }))
        };
        answers += effects.iter().filter(answered).count() as u64;
    }
    assert_eq!(answers, RANGE_QUESTIONS_AT_ONCE);
}
