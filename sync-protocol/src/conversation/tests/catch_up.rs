//! Catching up with several remotes at once: each byte once, from one of them at a time.

use super::harness::Mesh;

/// Peer 3 was away while the others wrote; the bytes of what it missed.
pub(super) fn away(seed: u64, cuts: bool) -> (Mesh, u64) {
    let mut mesh = Mesh::new(seed, 4, 0, b"");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        mesh.link(a, b);
    }
    mesh.settle(5_000);
    let mut missed = 0;
    for n in 0..100_u8 {
        for at in 0..3 {
            mesh.write(at, vec![n; 20_000]);
            missed += 20_000;
        }
        mesh.run_ms(100);
        if cuts && n % 5 == 0 {
            mesh.cut();
        }
    }
    mesh.run_ms(40_000);
    (mesh, missed)
}

fn meet(mesh: &mut Mesh) {
    for at in 0..3 {
        mesh.link(at, 3);
    }
}

#[test]
fn of_three_remotes_one_sends_the_history() {
    for cuts in [true, false] {
        let (mut mesh, missed) = away(1, cuts);
        mesh.faults.bytes_per_s = 4 << 20;
        let before = mesh.bytes;
        meet(&mut mesh);
        let ms = mesh.settle(60_000);
        let bytes = mesh.bytes - before;
        println!("cuts {cuts}: {bytes} bytes for {missed} missed, {ms} ms");
        // Some of the first page is forwarded to the other two before they say that they have it.
        assert!(bytes < missed + missed / 8, "{bytes} for {missed}");
    }
}

#[test]
fn when_the_one_that_sends_stalls_another_goes_on() {
    for cuts in [true, false] {
        for silent in 0..3 {
            let (mut mesh, missed) = away(2, cuts);
            mesh.faults.bytes_per_s = 4 << 20;
            // It says where it stands, and then nothing any more.
            mesh.link(silent, 3);
            mesh.run_ms(20);
            mesh.cut_off.insert((silent, 3));
            let before = mesh.bytes;
            for at in (0..3).filter(|at| *at != silent) {
                mesh.link(at, 3);
            }
            mesh.run_ms(15_000);
            let ids = |at: usize| mesh.peers[at].dag().ids();
            assert_eq!(ids(3), ids((silent + 1) % 3), "silent {silent}");
            let cuts_of = |at: usize| mesh.peers[at].held.history.cuts.len();
            assert_eq!(cuts_of(3), cuts_of((silent + 1) % 3));
            let bytes = mesh.bytes - before;
            println!("cuts {cuts}, {silent} silent: {bytes} bytes for {missed} missed");
            assert!(bytes < 3 * missed, "{bytes} for {missed}");
            mesh.cut_off.clear();
            mesh.settle(120_000);
        }
    }
}

#[test]
fn a_cut_that_is_being_taken_is_not_asked_for() {
    let mut mesh = Mesh::new(3, 2, 0, b"");
    mesh.link(0, 1);
    mesh.write(0, vec![1; 100]);
    mesh.settle(5_000);
    let cuts_of = |mesh: &Mesh, at: usize| mesh.peers[at].held.history.cuts.len();
    let height = cuts_of(&mesh, 1);
    mesh.unlink(0, 1);
    mesh.cut();
    assert_eq!(cuts_of(&mesh, 0), height + 1);
    mesh.peers[1].held.taking = Some(height as u64);
    mesh.link(0, 1);
    mesh.run_ms(5_000);
    assert_eq!(cuts_of(&mesh, 1), height, "nobody has asked for it");
    mesh.peers[1].held.taking = None;
    mesh.settle(60_000);
    assert_eq!(cuts_of(&mesh, 1), height + 1);
}

#[test]
fn a_telephone_line_carries_a_backlog_without_copies() {
    for cuts in [true, false] {
        let mut mesh = Mesh::new(4, 2, 0, b"");
        mesh.link(0, 1);
        mesh.settle(5_000);
        mesh.unlink(0, 1);
        let mut missed = 0;
        for n in 0..40_u8 {
            mesh.write(0, vec![n; 20_000]);
            missed += 20_000;
            mesh.run_ms(100);
        }
        if cuts {
            mesh.cut();
        }
        // What was under way when the link was cut is gone.
        mesh.run_ms(40_000);
        // 64 kbit/s.
        mesh.faults.bytes_per_s = 8_000;
        let before = mesh.bytes;
        mesh.link(0, 1);
        let ms = mesh.settle(200_000);
        let bytes = mesh.bytes - before;
        println!("cuts {cuts}: {bytes} bytes for {missed} missed, {ms} ms");
        assert!(bytes < missed + missed / 4, "{bytes} for {missed}");
        for peer in &mesh.peers {
            assert!(peer.reports.is_empty(), "{:?}", peer.reports);
        }
    }
}
