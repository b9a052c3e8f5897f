//! History is asked for ahead: the link brings the next page while the replica takes in the one before.

use super::super::{Bulk, Conversation, ConversationEffect, ConversationInput, Holdings as _};
use super::catch_up::away;
use super::harness::Mesh;
use crate::message::{Answer, Message, Want};

/// Peer 1 lacks so many cuts of peer 0, each over an entry that makes an answer of its own.
fn behind(cuts: u8) -> Mesh {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    for n in 0..cuts {
        mesh.write(0, vec![n; 40_000]);
        mesh.cut();
        mesh.now.0 += 1_000_000;
    }
    mesh
}

/// Peer 1's side of the link, taken out of its peer, once peer 0 has said where it stands.
fn opened(mesh: &mut Mesh) -> (Conversation, Vec<ConversationEffect>) {
    let (now, here, there) = (mesh.now(), mesh.device(1), mesh.device(0));
    mesh.peers[1].open(now, there);
    let hellos = mesh.peers[0].open(now, here);
    let peer = &mut mesh.peers[1];
    let mut link = peer.links.remove(&there).expect("just opened");
    let mut effects = Vec::new();
    for hello in hellos {
        let (_, message) = Message::decode(&hello.frame).expect("ours");
        effects.extend(link.step(now, ConversationInput::Received(message), &peer.held));
    }
    (link, effects)
}

/// What peer 0 answers to the one question that is among these effects.
fn answer(mesh: &mut Mesh, effects: &[ConversationEffect]) -> Message {
    let [(request, want)] = asked(effects).try_into().expect("one question");
    let (now, here) = (mesh.now(), mesh.device(1));
    let frame = Message::Want { request, want }.encode(&mesh.peers[0].database);
    let sent = mesh.peers[0].hear(now, here, &frame);
    let mut messages = sent
        .into_iter()
        .map(|sent| Message::decode(&sent.frame).expect("ours").1);
    let is_answer = |message: &Message| matches!(message, Message::Answer { .. });
    messages.find(is_answer).expect("an answer")
}

fn asked(effects: &[ConversationEffect]) -> Vec<(u32, Want)> {
    let questions = effects.iter().filter_map(|effect| match effect {
        ConversationEffect::Send(Message::Want { request, want }) => Some((*request, want.clone())),
        _ => None,
    });
    questions.collect()
}

fn heights(effects: &[ConversationEffect]) -> Vec<u64> {
    let pages = effects.iter().filter_map(|effect| match effect {
        ConversationEffect::Segment { height, .. } => Some(*height),
        _ => None,
    });
    pages.collect()
}

/// Tells the link that the replica has taken in what it was handed, or, if `refused`, nothing of it.
fn ingested(
    mesh: &mut Mesh,
    link: &mut Conversation,
    effects: Vec<ConversationEffect>,
    refused: bool,
) -> Vec<ConversationEffect> {
    let (now, there) = (mesh.now(), mesh.device(0));
    let peer = &mut mesh.peers[1];
    for effect in effects {
        if !refused && matches!(effect, ConversationEffect::Segment { .. }) {
            peer.take_in(there, effect);
        }
    }
    let input = ConversationInput::Ingested {
        missing: &[],
        cut_missing: false,
        apart: false,
    };
    link.step(now, input, &peer.held)
}

fn hear(mesh: &Mesh, link: &mut Conversation, message: Message) -> Vec<ConversationEffect> {
    let input = ConversationInput::Received(message);
    link.step(mesh.now(), input, &mesh.peers[1].held)
}

/// Peer 1 has heard the first page: what it does then, and what is answered to the question that it asked
/// ahead.
fn asked_ahead() -> (Mesh, Conversation, Vec<ConversationEffect>, Message) {
    let mut mesh = behind(40);
    let (mut link, effects) = opened(&mut mesh);
    let first = answer(&mut mesh, &effects);
    let effects = hear(&mesh, &mut link, first);
    let second = answer(&mut mesh, &effects);
    (mesh, link, effects, second)
}

#[test]
fn the_next_page_comes_while_one_is_taken_in() {
    let (mut mesh, mut link, effects, second) = asked_ahead();
    assert_eq!(heights(&effects), [1]);
    let is_question = matches!(&effects[0], ConversationEffect::Send(Message::Want { .. }));
    assert!(is_question, "it leaves before anything is taken in");
    let early = hear(&mesh, &mut link, second);
    assert_eq!((heights(&early), asked(&early)), (vec![], vec![]));

    let then = ingested(&mut mesh, &mut link, effects, false);
    let handed = heights(&then);
    assert_eq!(handed.first(), Some(&2), "it is here already");
    let [(_, third)] = asked(&then).try_into().expect("one question");
    let height = handed.last().map_or(0, |last| last + 1);
    assert_eq!(third, Want::Segments { height, from: 0 });
}

#[test]
fn an_answer_to_a_wrong_guess_is_forgotten() {
    let (mut mesh, mut link, effects, second) = asked_ahead();
    hear(&mesh, &mut link, second);
    let then = ingested(&mut mesh, &mut link, effects, true);
    assert_eq!(heights(&then), [], "it does not follow from what is here");
}

#[test]
fn what_came_another_way_meanwhile_keeps_nobody_from_asking_others() {
    let (mut mesh, mut link, _, second) = asked_ahead();
    hear(&mesh, &mut link, second);
    let pulls = |link: &Conversation, tick| link.pulling(tick).any(|bulk| bulk == Bulk::History);
    let now = mesh.now;
    assert!(pulls(&link, now), "it takes in what came");
    // Somebody else has brought all of it before this is heard of.
    let there = mesh.device(0);
    for height in 1..=40 {
        let held = &mesh.peers[0].held;
        let page = ConversationEffect::Segment {
            cut: held.cut_bytes(height).expect("it made it"),
            entries: held.segment_entries(height, 0, usize::MAX).0,
            complete: true,
            height,
        };
        mesh.peers[1].take_in(there, page);
    }
    let then = ingested(&mut mesh, &mut link, Vec::new(), true);
    assert_eq!((heights(&then), asked(&then)), (vec![], vec![]));
    assert!(!pulls(&link, now.plus_ms(5_000)));
}

#[test]
fn an_answer_that_is_here_is_used_whoever_else_pulls_history() {
    let (mut mesh, mut link, effects, second) = asked_ahead();
    hear(&mesh, &mut link, second);
    mesh.peers[1].held.pulled = vec![Bulk::History];
    let then = ingested(&mut mesh, &mut link, effects, false);
    assert_eq!(heights(&then).first(), Some(&2));
}

#[test]
fn an_answer_that_comes_twice_is_heard_once() {
    let (mut mesh, mut link, effects, second) = asked_ahead();
    let Message::Answer { request, .. } = second else {
        unreachable!("it is one");
    };
    hear(&mesh, &mut link, second);
    let again = Message::Answer {
        request,
        answer: Answer::Nothing,
    };
    hear(&mesh, &mut link, again);
    let then = ingested(&mut mesh, &mut link, effects, false);
    assert_eq!(heights(&then).first(), Some(&2), "the first copy counts");
}

#[test]
fn a_far_link_and_a_slow_replica_work_at_the_same_time() {
    const PAGES: u8 = 100;
    const DIGEST_MS: u64 = 200;
    let mut mesh = behind(PAGES);
    mesh.peers[1].digest_ms = DIGEST_MS;
    // A page is 200 ms on its way, so one after the other they would take twice as long.
    mesh.faults.bytes_per_s = 200_000;
    mesh.link(0, 1);
    let ms = mesh.settle(100_000);
    let beside = u64::from(PAGES) * DIGEST_MS;
    let apart = 2 * beside;
    println!("{ms} ms, and one after the other {apart}");
    assert!(ms > beside && ms < (beside + apart) / 2, "{ms} ms");
}

#[test]
fn slow_replicas_become_equal_whatever_the_network_does() {
    for seed in 0..20 {
        let mut mesh = behind(20);
        mesh.dice.0 = seed;
        mesh.peers[1].digest_ms = 150;
        mesh.faults.lose_percent = 10;
        mesh.faults.double_percent = 10;
        mesh.faults.delay_us = 300_000;
        mesh.link(0, 1);
        mesh.settle(600_000);
        assert_eq!(mesh.peers[1].reports, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_slow_replica_with_several_slow_remotes_becomes_equal() {
    for seed in 0..10 {
        let (mut mesh, _) = away(seed, true);
        mesh.peers[3].digest_ms = 100;
        mesh.faults.lose_percent = 5;
        mesh.faults.delay_us = 300_000;
        mesh.faults.bytes_per_s = 1_000_000;
        for remote in 0..3 {
            mesh.link(remote, 3);
        }
        let ms = mesh.settle(400_000);
        println!("seed {seed}: {ms} ms");
    }
}
