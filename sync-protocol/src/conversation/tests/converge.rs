//! Until heads hashes agree, whatever the network does.

use super::harness::{Faults, Mesh};

#[test]
fn a_written_entry_is_with_the_other_after_one_message() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    mesh.link_all();
    mesh.settle(1_000);
    let before = mesh.frames;
    mesh.write(0, vec![1]);
    assert_eq!(mesh.frames, before + 1);
    mesh.run_ms(1);
    assert_eq!(mesh.peers[1].dag().len(), 1);
    assert!(mesh.settle(1_000) < 255, "and both know it soon after");
}

#[test]
fn a_cut_over_what_is_here_takes_one_message() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    mesh.link_all();
    mesh.write(0, vec![1]);
    mesh.settle(5_000);
    let before = mesh.frames;
    mesh.cut();
    mesh.run_ms(2);
    assert_eq!(mesh.peers[1].held.history.cuts.len(), 2);
    assert_eq!(mesh.frames, before + 1);
}

#[test]
fn two_that_wrote_apart_become_equal_at_once() {
    let mut mesh = Mesh::new(2, 2, 0, b"");
    for n in 0..50 {
        mesh.write(0, vec![n]);
        mesh.write(1, vec![n]);
        mesh.now.0 += 1_000;
    }
    mesh.link_all();
    assert!(mesh.settle(2_000) < 1_000);
    assert_eq!(mesh.peers[0].dag().len(), 100);
}

#[test]
fn how_many_entries_the_other_lacks_is_known_while_it_says_where_it_was() {
    let mut mesh = Mesh::new(2, 2, 0, b"");
    mesh.link_all();
    let lacks = |mesh: &Mesh| mesh.peers[0].links[&mesh.device(1)].lacks();
    assert_eq!(lacks(&mesh), None, "it has said nothing yet");
    mesh.settle(1_000);
    assert_eq!(lacks(&mesh), Some(0));
    mesh.cut_off.insert((0, 1));
    mesh.cut_off.insert((1, 0));
    for n in 0..3 {
        mesh.write(0, vec![n]);
        mesh.write(1, vec![n]);
        mesh.run_ms(1_000);
    }
    assert_eq!(lacks(&mesh), Some(3));
    mesh.cut_off.clear();
    mesh.settle(60_000);
    assert_eq!(lacks(&mesh), Some(0));
    // It holds more: what it lacks of ours cannot be told from its heads.
    mesh.cut_off.insert((0, 1));
    mesh.write(0, vec![9]);
    mesh.write(1, vec![9]);
    mesh.run_ms(5_000);
    assert_eq!(lacks(&mesh), None);
}

#[test]
fn an_idle_link_says_little() {
    let mut mesh = Mesh::new(3, 2, 0, b"");
    mesh.link_all();
    mesh.settle(1_000);
    let (frames, bytes) = (mesh.frames, mesh.bytes);
    mesh.run_ms(600_000);
    assert!(mesh.frames - frames <= 2 * 21, "{}", mesh.frames - frames);
    assert!(mesh.bytes - bytes < 10_000, "{}", mesh.bytes - bytes);
}

#[test]
fn forwarded_doubles_are_pruned_and_grafted_back_when_a_link_breaks() {
    let mut mesh = Mesh::new(4, 3, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    for n in 0..20 {
        mesh.write(0, vec![n]);
        mesh.run_ms(2_000);
    }
    mesh.settle(5_000);
    let eager =
        |mesh: &Mesh, from: usize, to: usize| mesh.peers[from].links[&mesh.device(to)].is_eager();
    assert!(
        !eager(&mesh, 1, 2) || !eager(&mesh, 2, 1),
        "they only send doubles"
    );
    // Now what 0 writes reaches 2 through 1 alone.
    mesh.unlink(0, 2);
    for n in 0..3 {
        mesh.write(0, vec![n]);
        mesh.run_ms(1_000);
    }
    assert!(eager(&mesh, 1, 2));
    mesh.write(0, vec![9]);
    mesh.run_ms(3);
    assert_eq!(mesh.peers[2].dag().len(), 24, "two hops, each one message");
}

#[test]
fn own_entries_are_never_pruned() {
    let mut mesh = Mesh::new(5, 3, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    for n in 0..30 {
        for at in 0..3 {
            mesh.write(at, vec![n]);
            mesh.run_ms(700);
        }
    }
    mesh.settle(5_000);
    for at in 0..3 {
        mesh.write(at, vec![99]);
        mesh.run_ms(1);
        let len = mesh.peers[at].dag().len();
        assert!(
            mesh.peers.iter().all(|peer| peer.dag().len() == len),
            "one hop"
        );
    }
}

/// Everybody writes and the finaliser cuts while the network hurts; then it heals.
fn hurt_then_heal(seed: u64, peers: u8, faults: Faults) {
    let mut mesh = Mesh::new(seed, peers, 0, b"");
    mesh.faults = faults;
    mesh.link_all();
    for round in 0..40_u8 {
        for at in 0..usize::from(peers) {
            if mesh.dice.percent(50) {
                mesh.write(at, vec![round]);
            }
        }
        if mesh.dice.percent(20) {
            mesh.cut();
        }
        let ms = mesh.dice.below(400);
        mesh.run_ms(ms);
    }
    mesh.faults = Faults::default();
    mesh.settle(180_000);
    mesh.cut();
    mesh.settle(60_000);
    for peer in &mesh.peers {
        assert!(peer.dag().is_empty());
        let blamed = peer
            .reports
            .iter()
            .filter(|why| !why.starts_with("no answer"));
        assert_eq!(blamed.count(), 0, "seed {seed}: {:?}", peer.reports);
    }
}

#[test]
fn loss_reordering_and_doubles_are_overcome() {
    for seed in 0..25 {
        let faults = Faults {
            lose_percent: 30,
            double_percent: 20,
            delay_us: 300_000,
            ..Faults::default()
        };
        println!("seed {seed}");
        hurt_then_heal(seed, 2, faults);
        hurt_then_heal(seed, 3, faults);
    }
}

#[test]
fn reordering_alone_is_overcome() {
    for seed in 100..110 {
        let faults = Faults {
            delay_us: 2_000_000,
            ..Faults::default()
        };
        println!("seed {seed}");
        hurt_then_heal(seed, 3, faults);
    }
}

#[test]
fn even_while_a_third_of_all_messages_is_lost_peers_become_equal() {
    for seed in 200..210 {
        println!("seed {seed}");
        let mut mesh = Mesh::new(seed, 3, 0, b"");
        mesh.faults = Faults {
            lose_percent: 33,
            ..Faults::default()
        };
        mesh.link_all();
        for n in 0..20 {
            for at in 0..3 {
                mesh.write(at, vec![n]);
            }
            mesh.cut();
            mesh.run_ms(300);
        }
        mesh.settle(600_000);
    }
}

#[test]
fn a_partition_is_healed_and_the_late_side_follows_the_cuts() {
    let mut mesh = Mesh::new(6, 3, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    for at in 0..2 {
        mesh.cut_off.insert((at, 2));
        mesh.cut_off.insert((2, at));
    }
    for n in 0..100 {
        for at in 0..3 {
            mesh.write(at, vec![n]);
        }
        mesh.cut();
        mesh.run_ms(1_000);
    }
    assert_eq!(mesh.peers[2].dag().len(), 100, "it goes on alone");
    mesh.cut_off.clear();
    mesh.settle(120_000);
    assert_eq!(mesh.peers[2].held.history.cuts.len(), 101);
}

#[test]
fn one_way_links_are_enough_to_hear() {
    let mut mesh = Mesh::new(7, 2, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    mesh.cut_off.insert((1, 0));
    for n in 0..10 {
        mesh.write(0, vec![n]);
        mesh.run_ms(100);
    }
    assert_eq!(mesh.peers[1].dag().len(), 10);
}

#[test]
fn large_entries_and_large_tails_travel_by_id_and_in_pages() {
    let mut mesh = Mesh::new(8, 2, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    mesh.write(0, vec![7; 600_000]);
    mesh.run_ms(400);
    assert_eq!(mesh.peers[1].dag().len(), 1, "told by id, asked for");
    mesh.settle(5_000);
    mesh.unlink(0, 1);
    for n in 0..12 {
        mesh.write(0, vec![n; 300_000]);
        mesh.write(1, vec![n; 300_000]);
    }
    mesh.link(0, 1);
    mesh.settle(5_000);
    assert_eq!(mesh.peers[1].dag().len(), 25);
}

#[test]
fn a_burst_over_the_bound_of_pushes_is_pulled() {
    let mut mesh = Mesh::new(9, 2, 0, b"");
    mesh.link_all();
    mesh.settle(5_000);
    mesh.cut_off.insert((0, 1));
    for n in 0..200 {
        mesh.write(0, vec![n; 10_000]);
    }
    mesh.cut_off.clear();
    assert!(mesh.settle(40_000) <= 31_000);
}

#[test]
fn forks_are_found_by_their_hashes_and_both_sides_hold_all_that_counts() {
    for seed in 300..306 {
        println!("seed {seed}");
        let mut mesh = Mesh::new(seed, 3, 0, b"");
        // Peer 2 writes two histories: one to each of the others.
        mesh.link(0, 2);
        mesh.run_ms(100);
        let twin = |mesh: &Mesh| {
            let mut twin = Mesh::new(seed, 3, 0, b"");
            twin.now = mesh.now;
            twin
        };
        let mut other = twin(&mesh);
        mesh.write(2, b"to the one".to_vec());
        other.write(2, b"to the other".to_vec());
        let evil: Vec<_> = other.peers[2].dag().ids();
        let entry = other.peers[2].entry(&evil[0]).clone();
        mesh.run_ms(100);
        let now = mesh.now();
        let device = mesh.device(2);
        mesh.peers[1].links.clear();
        let frame = crate::Message::Push {
            entries: vec![entry.encoded().to_vec()],
            forwarded: false,
        };
        mesh.peers[1].open(now, device);
        let frame = frame.encode(&mesh.peers[1].database);
        mesh.peers[1].hear(now, device, &frame);
        mesh.peers[1].links.clear();
        mesh.peers[1].wakes.clear();
        mesh.unlink(0, 2);
        mesh.peers.truncate(2);
        // Both build on what they know before they meet.
        mesh.write(0, vec![1]);
        mesh.write(1, vec![2]);
        mesh.link(0, 1);
        mesh.run_ms(10_000);
        let ids = |at: usize| mesh.peers[at].dag().ids();
        assert_eq!(ids(0), ids(1));
        assert_eq!(
            ids(0).len(),
            4,
            "both branches, because others build on them"
        );
        mesh.settle(40_000);
    }
}
