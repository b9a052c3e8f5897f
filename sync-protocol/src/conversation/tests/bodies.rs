//! Large bodies: in chunks, from one remote at a time, and never in the way of anything else.

use super::super::{ConversationInput, Holdings as _};
use super::harness::{Faults, Mesh, secret};
use crate::entry::{CallName, Entry, travelling};
use crate::ids::HeadsHash;
use crate::limits::{ARGUMENTS_BYTES_MAX, BLOB_CHUNK_BYTES};
use crate::message::{Answer, Hello, Message, Standing, Want};

/// Arguments of the largest call, no two chunks alike.
fn large(seed: u8) -> Vec<u8> {
    (0..ARGUMENTS_BYTES_MAX)
        .map(|n| (n >> 9).to_le_bytes()[0] ^ seed)
        .collect()
}

#[test]
fn large_bodies_arrive_over_a_network_that_loses_doubles_and_reorders() {
    for seed in 0..6 {
        println!("seed {seed}");
        let mut mesh = Mesh::new(seed, 3, 0, b"");
        mesh.faults = Faults {
            lose_percent: 25,
            double_percent: 15,
            delay_us: 200_000,
            ..Faults::default()
        };
        mesh.link_all();
        for at in 0..3 {
            mesh.write(at, large(1));
            mesh.write(at, vec![1]);
            mesh.run_ms(300);
        }
        mesh.settle(300_000);
        assert_eq!(mesh.peers[0].dag().len(), 6);
        mesh.cut();
        mesh.settle(200_000);
        for peer in &mesh.peers {
            assert!(peer.dag().is_empty() && peer.held.bodies.is_empty());
            let no_answer = |why: &&String| !why.starts_with("no answer");
            let blamed: Vec<_> = peer.reports.iter().filter(no_answer).collect();
            assert!(blamed.is_empty(), "{blamed:?}");
        }
    }
}

#[test]
fn a_slow_link_lets_small_entries_pass_between_two_chunks() {
    let mut mesh = Mesh::new(1, 3, 0, b"");
    mesh.link(0, 1);
    mesh.link(0, 2);
    mesh.settle(5_000);
    // A chunk takes two seconds, the body eight.
    mesh.faults.bytes_per_s = 128 << 10;
    mesh.write(0, large(1));
    mesh.run_ms(3_000);
    mesh.write(2, b"small".to_vec());
    mesh.run_ms(3_000);
    let held = |mesh: &Mesh, at: usize| mesh.peers[at].dag().len();
    assert_eq!(held(&mesh, 1), 1, "the small one has passed");
    assert_eq!(mesh.peers[1].held.bodies.len(), 1, "the large one has not");
    mesh.settle(20_000);
    assert_eq!(held(&mesh, 1), 2);
}

#[test]
fn in_a_mesh_a_body_crosses_each_peer_once() {
    let mut mesh = Mesh::new(2, 4, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    let before = mesh.bytes;
    mesh.write(0, large(1));
    mesh.settle(20_000);
    let bytes = mesh.bytes - before;
    let body = ARGUMENTS_BYTES_MAX as u64;
    assert!(bytes < 3 * body + body / 4, "{bytes} for {body}");
}

#[test]
fn a_body_goes_on_where_the_last_remote_stopped() {
    let mut mesh = Mesh::new(3, 3, 0, b"");
    mesh.link(0, 1);
    mesh.write(0, large(1));
    mesh.run_ms(5_000);
    mesh.link(0, 2);
    mesh.link(1, 2);
    mesh.faults.bytes_per_s = 256 << 10;
    let id = mesh.peers[0].dag().ids()[0];
    while mesh.peers[2].held.body_offset(&id) < 2 * BLOB_CHUNK_BYTES as u64 {
        mesh.run_ms(50);
    }
    let pulling = |mesh: &Mesh, from: usize| {
        let link = &mesh.peers[2].links[&mesh.device(from)];
        link.pulling(mesh.now).next().is_some()
    };
    let first = if pulling(&mesh, 0) { 0 } else { 1 };
    assert!(!pulling(&mesh, 1 - first), "one at a time");
    let before = mesh.bytes;
    mesh.unlink(first, 2);
    let device = mesh.device(first);
    mesh.peers[2].held.bodies.forget_remote(&device);
    mesh.settle(20_000);
    let rest = mesh.bytes - before;
    assert!(rest < 3 * BLOB_CHUNK_BYTES as u64, "{rest}");
}

/// A member that this side hears and that answers nothing, and what it wrote.
struct Rogue {
    entry: Entry,
}

/// Peer 2 offers peer 1 a large entry of its own.
fn offer_by_rogue(mesh: &mut Mesh) -> Rogue {
    let now = mesh.now();
    let say = CallName {
        name: "say".to_owned(),
        arguments_type: [0; 8],
    };
    let entry = mesh.peers[2].seal(now, large(2), say);
    let remote = mesh.device(2);
    mesh.peers[1].open(now, remote);
    let hello = Message::Hello(Hello {
        standing: Standing {
            cut: mesh.peers[1].held.cut(),
            heads: HeadsHash([9; 32]),
        },
        wall: now.wall,
    });
    let push = Message::Push {
        entries: vec![travelling(entry.encoded()).to_vec()],
        forwarded: false,
    };
    for message in [hello, push] {
        mesh.peers[1].tell(now, remote, ConversationInput::Received(message));
    }
    assert_eq!(mesh.peers[1].held.bodies.len(), 1);
    Rogue {
        entry: (*entry).clone(),
    }
}

#[test]
fn a_withheld_body_stalls_nothing_else() {
    let mut mesh = Mesh::new(4, 3, 0, b"");
    mesh.link(0, 1);
    mesh.settle(5_000);
    offer_by_rogue(&mut mesh);
    mesh.cut_off.insert((1, 2));
    for n in 0..10 {
        mesh.write(0, vec![n]);
        mesh.write(1, vec![n]);
        mesh.cut();
        mesh.run_ms(500);
    }
    mesh.write(0, large(3));
    mesh.run_ms(5_000);
    mesh.cut();
    mesh.run_ms(5_000);
    let cuts = |at: usize| mesh.peers[at].held.history.cuts.len();
    assert_eq!(cuts(1), cuts(0));
    assert_eq!(mesh.peers[1].held.bodies.len(), 1, "it still waits, alone");
    mesh.run_ms(120_000);
    let reports = &mesh.peers[1].reports;
    assert!(
        reports.iter().any(|why| why.starts_with("no answer")),
        "{reports:?}"
    );
}

#[test]
fn a_wrong_body_is_fetched_from_another() {
    let mut mesh = Mesh::new(5, 3, 0, b"");
    mesh.link(0, 1);
    mesh.settle(5_000);
    let rogue = offer_by_rogue(&mut mesh);
    let (now, remote) = (mesh.now(), mesh.device(2));
    let body = crate::entry::body_of(rogue.entry.encoded()).to_vec();
    // The rogue's conversation asks it now; it answers with other bytes of the same length.
    for chunk in body.chunks(BLOB_CHUNK_BYTES) {
        let link = &mesh.peers[1].links[&remote];
        let answer = Message::Answer {
            request: link.next_request,
            answer: Answer::Blob {
                total: body.len() as u64,
                bytes: vec![0; chunk.len()],
            },
        };
        mesh.peers[1].tell(now, remote, ConversationInput::Received(answer));
    }
    assert!(mesh.peers[1].held.bodies.is_empty(), "asked no more");
    assert!(mesh.peers[1].reports.contains(&"a wrong body".to_owned()));
    // Somebody who has the right one offers it.
    let author = secret(3).public();
    let held = &mut mesh.peers[0].held;
    let dag = held.dag.as_mut().expect("alive");
    let entry = std::sync::Arc::new(rogue.entry);
    held.log.insert(entry.id, std::sync::Arc::clone(&entry));
    let offered = dag.offer(entry, Some(author), &held.history);
    assert!(matches!(offered, crate::Offered::Accepted(_)));
    mesh.peers[1].links.remove(&remote);
    mesh.peers[1].wakes.remove(&remote);
    mesh.peers.truncate(2);
    mesh.settle(60_000);
    assert_eq!(mesh.peers[1].dag().len(), 1);
}

#[test]
fn a_part_of_a_body_that_lies_beyond_its_end_is_nothing() {
    let mut mesh = Mesh::new(6, 2, 0, b"");
    mesh.link_all();
    mesh.write(0, large(1));
    mesh.settle(20_000);
    let id = mesh.peers[0].dag().ids()[0];
    let (now, remote) = (mesh.now(), mesh.device(1));
    let mut ask = |entry, offset| {
        let want = Want::Body { entry, offset };
        let question = Message::Want { request: 7, want };
        let sent = mesh.peers[0].tell(now, remote, ConversationInput::Received(question));
        let (_, answer) = Message::decode(&sent[0].frame).expect("an answer");
        answer
    };
    let nothing = Message::Answer {
        request: 7,
        answer: Answer::Nothing,
    };
    for offset in [2 << 20, u32::MAX] {
        assert_eq!(ask(id, offset), nothing);
    }
    assert_eq!(ask(crate::EntryId([1; 32]), 0), nothing);
    assert_ne!(ask(id, 0), nothing);
}
