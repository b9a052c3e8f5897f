//! Cuts that lie, and messages that are old, foreign or nonsense.

use sync_protocol::limits::FRONTIER_MAX;
use sync_protocol::message::{Answer, Hello, Standing, Want};
use sync_protocol::{
    Cut, CutDraft, CutId, CutRef, DatabaseId, EntryId, HeadsHash, Message, SecretKey,
};

use super::forge::{Forgery, push};
use super::harness::Mesh;

fn pair(seed: u64) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(2, seed);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    (mesh, id)
}

fn all_is_well(mesh: &mut Mesh) {
    mesh.call(0, "send_message", r#"["lobby", "zero"]"#)
        .expect("a room");
    mesh.call(1, "send_message", r#"["lobby", "one"]"#)
        .expect("a room");
    mesh.pass_ms(35_000);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).status, "ok");
    assert_eq!(mesh.rows(1, "SELECT text FROM message").len(), 2);
}

/// The cut that would follow peer 1's last one over what it holds, but for what is changed.
fn cut_after(mesh: &Mesh, id: DatabaseId, change: impl FnOnce(&mut CutDraft)) -> CutDraft {
    let last = &mesh.core(1).replicas[&id].cut;
    let mut draft = CutDraft {
        term: last.term,
        database: id,
        height: last.height + 1,
        parent: last.id(),
        engine: last.engine,
        frontier: last.frontier.clone(),
        order_root: last.order_root,
        state_root: last.state_root,
        finalisers: last.finalisers.clone(),
    };
    change(&mut draft);
    draft
}

fn tell_cut(mesh: &mut Mesh, id: DatabaseId, draft: CutDraft, key: &SecretKey) {
    let cut = Cut::seal(draft, key).expect("within the limits");
    let bytes = cut.encoded().to_vec();
    let remote = mesh.device(0);
    mesh.inject(1, remote, Message::Cut { bytes }.encode(&id));
}

#[test]
fn a_cut_by_somebody_who_is_no_finaliser_is_refused_and_held_against_the_sender() {
    let (mut mesh, id) = pair(71);
    let height = mesh.status(1).cut.height;
    for key in [mesh.secret(1), SecretKey::from_bytes(&[9; 32])] {
        let draft = cut_after(&mesh, id, |_| {});
        tell_cut(&mut mesh, id, draft, &key);
    }
    assert_eq!(mesh.status(1).cut.height, height);
    let why: Vec<&String> = mesh.hang_ups.iter().map(|(.., why)| why).collect();
    assert!(
        why.iter().any(|why| why.contains("not certified")),
        "{why:?}"
    );
    all_is_well(&mut mesh);
}

#[test]
fn a_cut_over_entries_that_nobody_has_waits_alone() {
    let (mut mesh, id) = pair(72);
    let height = mesh.status(1).cut.height;
    let finaliser = mesh.secret(0);
    for n in 1..50 {
        let draft = cut_after(&mesh, id, |draft| draft.frontier = vec![EntryId([n; 32])]);
        tell_cut(&mut mesh, id, draft, &finaliser);
    }
    let replica = &mesh.core(1).replicas[&id];
    assert_eq!(replica.cut.height, height);
    assert!(replica.pending_cut.is_some(), "one waits, the last");
    all_is_well(&mut mesh);
}

#[test]
fn a_cut_behind_a_gap_of_another_database_or_of_long_ago_changes_nothing() {
    let (mut mesh, id) = pair(73);
    let height = mesh.status(1).cut.height;
    let finaliser = mesh.secret(0);
    let gap = cut_after(&mesh, id, |draft| draft.height += 5);
    tell_cut(&mut mesh, id, gap, &finaliser);
    let foreign = cut_after(&mesh, id, |draft| draft.database = DatabaseId([8; 32]));
    tell_cut(&mut mesh, id, foreign, &finaliser);
    let old = mesh.core(1).replicas[&id].log.cut(1).expect("readable");
    let remote = mesh.device(0);
    for _ in 0..10 {
        let bytes = old.clone().expect("there is a cut 1");
        mesh.inject(1, remote, Message::Cut { bytes }.encode(&id));
    }
    assert_eq!(mesh.status(1).cut.height, height);
    all_is_well(&mut mesh);
}

#[test]
fn a_cut_that_is_no_cut_or_has_a_giant_frontier_is_refused_unread() {
    let (mut mesh, id) = pair(74);
    let remote = mesh.device(0);
    let heads: Vec<EntryId> = (0..=u16::try_from(FRONTIER_MAX).expect("small"))
        .map(|n| {
            let mut id = [1; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            EntryId(id)
        })
        .collect();
    let giant = cut_after(&mesh, id, |draft| draft.frontier = heads);
    assert!(
        Cut::seal(giant, &mesh.secret(0)).is_err(),
        "nor can it be made"
    );
    let whole = mesh.core(1).replicas[&id].cut.encoded().to_vec();
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        refused += usize::from(Cut::open(&bytes).is_err());
        mesh.inject(1, remote, Message::Cut { bytes }.encode(&id));
    }
    assert!(
        refused > 0 && mesh.status(1).status == "ok",
        "{:?}",
        mesh.status(1)
    );
    assert!(!mesh.hang_ups.is_empty());
    all_is_well(&mut mesh);
}

#[test]
fn all_that_was_ever_said_may_be_said_again() {
    let mut mesh = Mesh::new(2, 75);
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let journal = std::rc::Rc::clone(&heard);
    mesh.tamper = Some(Box::new(move |from, to, frame| {
        journal.borrow_mut().push((from, to, frame.clone()));
        Some(frame)
    }));
    mesh.publish_and_join();
    for n in 0..10 {
        mesh.call(n % 2, "send_message", r#"["lobby", "said"]"#)
            .expect("a room");
        mesh.pass_ms(700);
    }
    mesh.tamper = None;
    mesh.pass_ms(3_000);
    let before = mesh.status(0);
    let heard = heard.take();
    assert!(heard.len() > 50);
    for (from, to, frame) in heard {
        let remote = mesh.device(from);
        mesh.inject(to, remote, frame);
    }
    // Old standings are believed until the next Hello.
    mesh.pass_ms(35_000);
    mesh.assert_same(0, 1);
    let after = mesh.status(0);
    assert_eq!(before.state_root, after.state_root);
    assert_eq!(before.entries, after.entries);
}

#[test]
fn messages_of_another_database_or_of_another_version_are_nobodys_business() {
    let (mut mesh, id) = pair(76);
    let remote = mesh.device(0);
    let elsewhere = DatabaseId([8; 32]);
    let before = mesh.status(1);
    for _ in 0..1_000 {
        mesh.inject(1, remote, Message::Prune.encode(&elsewhere));
        let mut newer = Message::Prune.encode(&id);
        newer[0] = 2;
        mesh.inject(1, remote, newer);
    }
    assert_eq!(mesh.status(1).state_root, before.state_root);
    assert_eq!(mesh.core(1).replicas.len(), 1);
    assert!(mesh.hang_ups.is_empty(), "{:?}", mesh.hang_ups);
    all_is_well(&mut mesh);
}

#[test]
fn entries_of_another_database_or_of_a_later_format_are_not_taken_in() {
    let (mut mesh, id) = pair(77);
    let entries = mesh.status(1).entries;
    let later = Forgery::new(&mesh, id, 0).named(&mesh, 9, "later").seal();
    let mut bytes = later.encoded().to_vec();
    bytes[2] = 2;
    let message = Message::Push {
        entries: vec![bytes],
        forwarded: false,
    };
    let remote = mesh.device(0);
    for _ in 0..100 {
        mesh.inject(1, remote, message.encode(&id));
    }
    assert!(mesh.hang_ups.is_empty(), "a newer peer is not at fault");
    let mut other = Mesh::new(1, 78);
    let foreign_id = other.publish_only();
    let foreign = Forgery::new(&other, foreign_id, 0)
        .named(&other, 9, "x")
        .seal();
    for _ in 0..3 {
        push(&mut mesh, 1, 0, id, &[&foreign]);
    }
    assert!(!mesh.hang_ups.is_empty(), "that is a fault");
    assert_eq!(mesh.status(1).entries, entries);
    all_is_well(&mut mesh);
}

#[test]
fn answers_that_were_never_asked_for_and_greetings_without_end_do_no_harm() {
    let (mut mesh, id) = pair(79);
    let remote = mesh.device(0);
    let hello = |n: u64| {
        let mut cut = [7; 32];
        cut[..8].copy_from_slice(&n.to_le_bytes());
        Message::Hello(Hello {
            standing: Standing {
                cut: Some(CutRef {
                    term: sync_protocol::Term::FIRST,
                    height: n % 7 * 1_000,
                    id: CutId(cut),
                }),
                heads: HeadsHash(cut),
            },
            wall: n * 1_000_000_007,
        })
    };
    // What peer 1 asks for in vain would otherwise be answered by the real peer 0.
    mesh.tamper = Some(Box::new(|_, _, _| None));
    for n in 0..2_000 {
        mesh.inject(1, remote, hello(n).encode(&id));
        let answer = Message::Answer {
            request: u32::MAX,
            answer: Answer::Nothing,
        };
        mesh.inject(1, remote, answer.encode(&id));
        let want = Message::Want {
            request: 1,
            want: Want::Ids { from: u32::MAX },
        };
        mesh.inject(1, remote, want.encode(&id));
    }
    assert!(!mesh.hang_ups.is_empty());
    mesh.tamper = None;
    all_is_well(&mut mesh);
}
