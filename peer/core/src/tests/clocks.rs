//! Clocks that were wrong by hours: what was written meanwhile waits for its time, the rest does not
//! wait with it.

use super::finality::{say, texts};
use super::harness::Mesh;

const HOUR_US: u64 = 3_600_000_000;
const HOUR_MS: u64 = HOUR_US / 1_000;

/// Lets a peer start with a clock that is so far ahead, or behind what it was.
fn restart_ahead(mesh: &mut Mesh, at: usize, ahead_us: u64) {
    let wall = mesh.now.wall;
    mesh.now.wall += ahead_us;
    mesh.crash(at);
    mesh.start(at);
    mesh.now.wall = wall;
    mesh.settle();
}

#[test]
fn what_a_wrong_clock_stamped_waits_and_later_calls_do_not() {
    let mut mesh = Mesh::new(2, 21);
    mesh.publish_and_join();
    restart_ahead(&mut mesh, 1, 5 * HOUR_US);
    say(&mut mesh, 1, "tomorrow");
    mesh.pass_ms(3_000);
    assert_eq!(texts(&mut mesh, 0), [""; 0], "it is held back");
    assert_eq!(texts(&mut mesh, 1), ["tomorrow"], "not by itself");

    restart_ahead(&mut mesh, 1, 0);
    say(&mut mesh, 1, "today");
    mesh.pass_ms(3_000);
    for at in [0, 1] {
        assert_eq!(texts(&mut mesh, at), ["today"]);
        assert_eq!(mesh.status(at).tail, 0, "what came later is final");
    }
    mesh.jump_ms(5 * HOUR_MS);
    mesh.pass_ms(3_000);
    for at in [0, 1] {
        assert_eq!(texts(&mut mesh, at), ["today", "tomorrow"]);
        assert_eq!(mesh.status(at).tail, 0);
    }
    mesh.assert_converged();
}

#[test]
fn a_finaliser_that_was_ahead_makes_nobody_wait() {
    let mut mesh = Mesh::new(3, 22);
    mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    restart_ahead(&mut mesh, 0, 5 * HOUR_US);
    say(&mut mesh, 0, "tomorrow");
    mesh.pass_ms(3_000);
    assert_eq!(
        mesh.status(0).tail,
        0,
        "it is final, by the only clock that counts"
    );

    restart_ahead(&mut mesh, 0, 0);
    for at in [0, 1] {
        say(&mut mesh, at, &format!("today {at}"));
    }
    mesh.pass_ms(3_000);
    for at in [0, 1] {
        assert_eq!(texts(&mut mesh, at), ["today 0", "today 1", "tomorrow"]);
        assert_eq!(mesh.status(at).tail, 0);
    }
    // Nor is anybody kept out by a ticket that is good for an hour.
    let ticket = mesh.invite(0);
    mesh.join(2, &ticket);
    // After another start too: it follows from what is final.
    restart_ahead(&mut mesh, 1, 0);
    say(&mut mesh, 1, "after all");
    mesh.pass_ms(3_000);
    assert_eq!(texts(&mut mesh, 0).len(), 4);
    mesh.assert_converged();
}

#[test]
fn who_joins_with_a_wrong_clock_goes_by_the_others_time_from_the_first_call() {
    for (seed, ahead_us) in [(23, 48 * HOUR_US), (24, 0)] {
        let mut mesh = Mesh::new(4, seed);
        if ahead_us == 0 {
            mesh.now.wall += 48 * HOUR_US;
        }
        mesh.publish_only();
        for at in [1, 2] {
            let ticket = mesh.invite(0);
            mesh.join(at, &ticket);
        }
        // Two days ahead, or behind: the others have been up since then.
        let wall = mesh.now.wall;
        mesh.now.wall = match ahead_us {
            0 => wall - 48 * HOUR_US,
            _ => wall + ahead_us,
        };
        mesh.crash(3);
        mesh.start(3);
        mesh.now.wall = wall;
        let ticket = mesh.invite(0);
        mesh.join(3, &ticket);
        say(&mut mesh, 3, "just in");
        mesh.pass_ms(3_000);
        for at in 0..4 {
            assert_eq!(texts(&mut mesh, at), ["just in"], "peer {at}, seed {seed}");
        }
        mesh.assert_converged();
    }
}
