//! A member that breaks the rules: with its key one can sign anything, but only in its own name.

use sync_protocol::{DatabaseId, Entry, Message, Role};

use super::forge::{Forgery, outcomes, push};
use super::harness::Mesh;
use crate::identity::did_key;
use crate::{Claims, Reply, Request};

fn names(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let rows = mesh.rows(at, "SELECT name FROM user");
    rows.into_iter().flatten().collect()
}

/// An entry by peer `author` that takes a name.
fn named(mesh: &Mesh, id: DatabaseId, author: usize, name: &str) -> Entry {
    Forgery::new(mesh, id, author).named(mesh, 7, name).seal()
}

#[test]
fn whoever_signs_two_histories_is_void_and_frozen_everywhere() {
    let mut mesh = Mesh::new(4, 21);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    for other in 0..3 {
        mesh.cut_link(3, other);
    }
    mesh.settle();
    let (one, two) = (named(&mesh, id, 3, "one"), named(&mesh, id, 3, "two"));
    assert_ne!(one.id, two.id);
    mesh.cut_link(0, 1);
    mesh.settle();
    // Links between the rogue and its victims, one history each.
    mesh.heal_link(3, 0);
    mesh.heal_link(3, 1);
    mesh.settle();
    push(&mut mesh, 0, 3, id, &[&one]);
    push(&mut mesh, 1, 3, id, &[&two]);
    assert!(
        names(&mut mesh, 0).contains(&"one".to_owned()),
        "taken in good faith"
    );
    assert!(
        names(&mut mesh, 1).contains(&"two".to_owned()),
        "taken in good faith"
    );
    // Both are built upon by honest peers that cannot know better.
    mesh.call(0, "set_name", r#"["honest zero"]"#)
        .expect("free");
    mesh.call(1, "set_name", r#"["honest one"]"#).expect("free");
    mesh.cut_link(3, 0);
    mesh.cut_link(3, 1);
    mesh.heal_link(0, 1);
    mesh.pass_ms(6_000);
    let statuses: Vec<_> = (0..3).map(|at| mesh.status(at)).collect();
    for status in &statuses[1..] {
        assert_eq!(status.heads_hash, statuses[0].heads_hash);
        assert_eq!(status.state_root, statuses[0].state_root);
    }
    for at in 0..3 {
        let frozen = mesh.rows(at, "SELECT * FROM sys_equivocation");
        assert_eq!(frozen.len(), 1, "peer {at} knows who it was");
        let names = names(&mut mesh, at);
        assert!(names.contains(&"honest zero".to_owned()), "{names:?}");
        assert!(names.contains(&"honest one".to_owned()), "{names:?}");
        assert!(!names.contains(&"one".to_owned()), "{names:?}");
        assert!(!names.contains(&"two".to_owned()), "{names:?}");
    }
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let mut mesh = Mesh::new(2, 22);
    let id = mesh.publish_and_join();
    let victim = Claims::of_device(&mesh.device(0));
    let mut forgery = Forgery::new(&mesh, id, 1);
    forgery.caller = victim.clone();
    let entry = forgery.named(&mesh, 7, "stolen").seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    for text in outcomes(&mesh, 0, id, &entry) {
        assert!(text.contains("may not speak for this caller"), "{text}");
    }
    assert_eq!(
        mesh.rows(0, "SELECT * FROM user WHERE name = 'stolen'")
            .len(),
        0
    );
    assert_ne!(victim.issuer, did_key(&mesh.device(1)));
}

#[test]
fn a_spoilt_signature_is_refused_and_not_kept() {
    let mut mesh = Mesh::new(2, 23);
    let id = mesh.publish_and_join();
    let entry = named(&mesh, id, 1, "ann");
    let mut bytes = entry.encoded().to_vec();
    let header_len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    bytes[2 + header_len] ^= 1;
    let message = Message::Push {
        entries: vec![bytes],
        forwarded: false,
    };
    let before = mesh.status(0);
    mesh.inject(0, mesh.device(1), message.encode(&id));
    let after = mesh.status(0);
    assert_eq!(before.heads_hash, after.heads_hash);
    assert_eq!(before.entries, after.entries);
    // The good one is still taken: its id does not cover the signature.
    push(&mut mesh, 0, 1, id, &[&entry]);
    assert_eq!(mesh.status(0).entries, before.entries + 1);
}

#[test]
fn an_entry_from_the_future_waits_and_harms_nobody() {
    let mut mesh = Mesh::new(2, 24);
    let id = mesh.publish_and_join();
    let mut forgery = Forgery::new(&mesh, id, 1);
    forgery.hlc += 90_000_000;
    let entry = forgery.named(&mesh, 7, "tomorrow").seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    mesh.call(0, "set_name", r#"["today"]"#)
        .expect("calls go on");
    let ran = |mesh: &Mesh| {
        let executed = &mesh.core(0).replicas[&id].executed;
        executed.iter().any(|ran| ran.entry.id == entry.id)
    };
    assert!(!ran(&mesh), "held back");
    let heads = mesh.core(0).replicas[&id].dag.heads();
    assert!(heads.contains(&entry.id), "but counted among the heads");
    mesh.pass_ms(31_000);
    let covered = mesh.core(0).replicas[&id]
        .log
        .final_entry(&entry.id)
        .expect("the log is sound")
        .is_some();
    assert!(ran(&mesh) || covered, "it runs when it is due");
    mesh.assert_converged();
}

#[test]
fn a_reader_follows_but_writes_and_admits_nothing() {
    let mut mesh = Mesh::new(3, 25);
    mesh.publish_only();
    let ticket = mesh.invite_as(0, Role::Reader, 1);
    mesh.join(1, &ticket);
    mesh.call(0, "set_name", r#"["ann"]"#).expect("free");
    assert_eq!(
        mesh.rows(1, "SELECT * FROM user WHERE name = 'ann'").len(),
        1
    );
    let error = mesh
        .call(1, "set_name", r#"["bob"]"#)
        .expect_err("only reads");
    assert_eq!(error.kind, crate::ErrorKind::Denied);
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 1);
}

#[test]
fn a_ticket_works_as_often_as_it_says_and_not_after_its_time() {
    let mut mesh = Mesh::new(4, 26);
    mesh.publish_only();
    let ticket = mesh.invite_as(0, Role::Writer, 1);
    mesh.join(1, &ticket);
    let why = mesh.join_error(2, &ticket);
    assert!(why.contains("used up"), "{why}");
    let late = mesh.invite_as(0, Role::Writer, 1);
    mesh.jump_ms(3_700_000);
    let why = mesh.join_error(3, &late);
    assert!(why.contains("expired"), "{why}");
}

#[test]
fn garbage_from_a_member_changes_nothing() {
    let mut mesh = Mesh::new(2, 27);
    let id = mesh.publish_and_join();
    let before = mesh.status(0);
    let mut dice = super::harness::Dice(27);
    let remote = mesh.device(1);
    mesh.expect_hang_ups();
    for length in 0..200 {
        let mut bytes: Vec<u8> = (0..length).map(|_| dice.draw() as u8).collect();
        if length > 33 && dice.below(2) == 0 {
            bytes[0] = 1;
            bytes[1..33].copy_from_slice(&id.0);
        }
        mesh.inject(0, remote, bytes);
    }
    let after = mesh.status(0);
    assert_eq!(before.state_root, after.state_root);
    assert_eq!(before.heads_hash, after.heads_hash);
    let reply = mesh.ask(0, Request::List);
    assert!(matches!(reply, Ok(Reply::Databases(all)) if all[0].status == "ok"));
}
