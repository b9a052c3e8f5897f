//! Waits, repetitions and what is kept for a remote.

use super::super::limits::{ANSWER_WAIT_MS, ASKS_MAX, REMEMBERED_IDS_MAX};
use super::super::{ConversationEffect, ConversationInput};
use super::harness::Mesh;
use crate::cut::{CutRef, Term};
use crate::ids::{CutId, EntryId, HeadsHash};
use crate::limits::EQUALISE_EVERY_MS;
use crate::message::{Hello, Message, Standing};
use crate::time::{Now, Tick};

fn hello(height: u64) -> Message {
    Message::Hello(Hello {
        standing: Standing {
            cut: Some(CutRef {
                term: Term::FIRST,
                height,
                id: CutId([3; 32]),
            }),
            heads: HeadsHash([4; 32]),
        },
        wall: 5_000_000,
    })
}

#[test]
fn a_question_without_answer_is_repeated_and_then_reported() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (start, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(start, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let at = |tick: Tick| Now { tick, wall: 0 };
    let mut effects = link.step(start, ConversationInput::Received(hello(9)), &peer.held);
    let mut asks = 0;
    let mut now = start.tick;
    let mut last = None;
    loop {
        for effect in &effects {
            match effect {
                ConversationEffect::Send(Message::Want { .. }) => {
                    asks += 1;
                    let waited_ms = last.map(|last| now.since(last) / 1_000);
                    let expected = (asks > 1).then(|| ANSWER_WAIT_MS << (asks - 2));
                    assert_eq!(waited_ms, expected);
                    last = Some(now);
                }
                ConversationEffect::Silent(why) => {
                    assert!(why.contains("no answer"), "{why}");
                    assert_eq!(asks, ASKS_MAX);
                    return;
                }
                _ => {}
            }
        }
        now = now.plus_ms(500);
        assert!(now.since(start.tick) < 200_000_000);
        effects = link.step(at(now), ConversationInput::Wake, &peer.held);
    }
}

#[test]
fn a_remote_that_does_not_greet_is_greeted_less_and_less_often() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (start, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(start, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let mut hellos = 0;
    for ms in (0..300_000).step_by(250) {
        let now = Now {
            tick: start.tick.plus_ms(ms),
            wall: 0,
        };
        let effects = link.step(now, ConversationInput::Wake, &peer.held);
        let greets = |effect: &&ConversationEffect| {
            matches!(effect, ConversationEffect::Send(Message::Hello(_)))
        };
        hellos += effects.iter().filter(greets).count();
    }
    let regular = 300_000 / usize::try_from(EQUALISE_EVERY_MS).expect("small");
    assert!((regular..regular + 5).contains(&hellos), "{hellos}");
}

#[test]
fn announcements_are_kept_within_a_bound() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let mut id = [0; 32];
    for batch in 0..4_u32 {
        let ids = (0..REMEMBERED_IDS_MAX as u32 / 2).map(|n| {
            id[..4].copy_from_slice(&n.to_le_bytes());
            id[4..8].copy_from_slice(&batch.to_le_bytes());
            EntryId(id)
        });
        let have = Message::Have { ids: ids.collect() };
        link.step(now, ConversationInput::Received(have), &peer.held);
    }
    assert_eq!(link.spread.announced_len(), REMEMBERED_IDS_MAX);
}

#[test]
fn nothing_is_said_before_the_link_is_open() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    let peer = &mut mesh.peers[0];
    let mut link = super::super::Conversation::new(remote, peer.database);
    let changed = ConversationInput::AddressesChanged;
    assert_eq!(link.step(now, changed, &peer.held), []);
    let heard = ConversationInput::Received(hello(0));
    assert_eq!(link.step(now, heard, &peer.held), []);
    let effects = link.step(now, ConversationInput::Opened, &peer.held);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, ConversationEffect::Send(Message::Hello(_))))
    );
}
