//! Joining, introductions, blobs.

use super::harness::{Faults, Mesh, secret};
use crate::entry::CallName;
use crate::ids::BlobHash;
use crate::membership::{Role, prove_admission};
use crate::system_call::SystemCall;
use crate::time::Hlc;

/// Peer `by` invites and admits peer `member`.
fn admit(mesh: &mut Mesh, by: usize, member: usize) {
    let ticket = secret(77);
    let invite = SystemCall::Invite {
        ticket: ticket.public(),
        role: Role::Writer,
        uses: 1,
        expires: Hlc(u64::MAX),
    };
    let (device, database) = (mesh.device(member), mesh.peers[by].database);
    let admit = SystemCall::Admit {
        member: device,
        ticket: ticket.public(),
        proof: prove_admission(&ticket, &database, &device),
    };
    for call in [invite, admit] {
        let now = mesh.now();
        let sent = mesh.peers[by].write_call(now, call.encode(), CallName::system());
        mesh.launch(by, sent);
    }
}

#[test]
fn a_joiner_fetches_history_tail_and_module_over_a_bad_network() {
    for seed in 0..10 {
        println!("seed {seed}");
        let module: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut mesh = Mesh::new(seed, 2, 1, &module);
        mesh.link(0, 1);
        for n in 0..30 {
            mesh.write(0, vec![n]);
            mesh.write(1, vec![n]);
            mesh.cut();
            mesh.run_ms(50);
        }
        admit(&mut mesh, 0, 2);
        mesh.peers[2]
            .held
            .wanted
            .insert(BlobHash::of(&module), Vec::new());
        mesh.faults = Faults {
            lose_percent: 25,
            double_percent: 10,
            delay_us: 100_000,
            ..Faults::default()
        };
        mesh.link(0, 2);
        mesh.run_ms(20_000);
        mesh.faults = Faults::default();
        mesh.settle(200_000);
        // A chunk that was asked for in vain is asked for again in the next round.
        mesh.run_ms(31_000);
        let fetched = mesh.peers[2].held.blobs.get(&BlobHash::of(&module));
        assert!(fetched == Some(&module), "the module did not come");
        // The joiner writes, and all take it in.
        mesh.write(2, vec![1]);
        mesh.settle(5_000);
        mesh.cut();
        mesh.settle(5_000);
    }
}

#[test]
fn a_member_introduces_itself_to_one_who_has_not_heard_of_it() {
    for seed in 0..10 {
        println!("seed {seed}");
        // Peer 1 was away when peer 0 admitted peer 2; then 0 goes away and 1 meets 2.
        let mut mesh = Mesh::new(seed, 2, 1, b"module");
        for n in 0..5 {
            mesh.write(0, vec![n]);
            mesh.cut();
        }
        admit(&mut mesh, 0, 2);
        mesh.link(0, 2);
        mesh.run_ms(1_000);
        mesh.unlink(0, 2);
        for n in 0..5 {
            mesh.write(1, vec![n]);
            mesh.write(2, vec![n; 300_000]);
        }
        mesh.faults.lose_percent = 20 * (seed % 2);
        mesh.link(1, 2);
        mesh.run_ms(60_000);
        mesh.faults = Faults::default();
        mesh.run_ms(60_000);
        assert_eq!(mesh.peers[1].dag().ids(), mesh.peers[2].dag().ids());
        assert_eq!(mesh.peers[1].dag().len(), 12);
        mesh.link(0, 1);
        mesh.settle(60_000);
    }
}

#[test]
fn a_stranger_is_told_nothing_but_the_cut() {
    let mut mesh = Mesh::new(1, 2, 1, b"module");
    mesh.write(0, vec![1]);
    mesh.cut();
    mesh.write(0, vec![2]);
    // Peer 2 is no member, but knows the database's identity and asks all the same.
    mesh.link(0, 2);
    mesh.run_ms(100_000);
    assert!(mesh.peers[2].held.dag.is_none());
    assert_eq!(mesh.peers[2].delivered, 0);
    assert!(!mesh.settled());
}

#[test]
fn a_blob_goes_on_where_the_last_remote_stopped() {
    let module = vec![5; 1_000_000];
    let mut mesh = Mesh::new(2, 3, 0, &module);
    let hash = BlobHash::of(&module);
    mesh.peers[2].held.blobs.clear();
    mesh.peers[2].held.wanted.insert(hash, Vec::new());
    mesh.link(0, 2);
    while mesh.peers[2].held.wanted[&hash].is_empty() {
        mesh.run_ms(1);
    }
    mesh.unlink(0, 2);
    let here = mesh.peers[2].held.wanted[&hash].len();
    assert!(here < module.len());
    let bytes = mesh.bytes;
    mesh.link(1, 2);
    mesh.run_ms(1_000);
    assert_eq!(mesh.peers[2].held.blobs[&hash], module);
    let sent = usize::try_from(mesh.bytes - bytes).expect("small");
    assert!(sent < module.len() - here + 10_000, "{sent}");
}

#[test]
fn a_spoilt_blob_is_fetched_from_another() {
    let module = vec![5; 300_000];
    let mut mesh = Mesh::new(3, 3, 0, &module);
    let hash = BlobHash::of(&module);
    mesh.peers[0].held.blobs.insert(hash, vec![6; 300_000]);
    mesh.peers[2].held.blobs.clear();
    mesh.peers[2].held.wanted.insert(hash, Vec::new());
    mesh.link(0, 2);
    mesh.run_ms(1_000);
    assert!(mesh.peers[2].held.wanted.contains_key(&hash));
    mesh.link(1, 2);
    mesh.run_ms(1_000);
    assert_eq!(mesh.peers[2].held.blobs[&hash], module);
}
