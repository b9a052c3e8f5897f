//! Cuts that take calls from among others: what runs again for it.

use super::harness::Mesh;

/// Calls of each of two members.
const CALLS: u64 = 20;

/// Members 2 and 1 call, 2 first, which is one that looks at what calls have read. The finaliser hears only 1 in time for
/// its cut, while these two hear each other. How often calls ran on member 2 from then until all are equal again.
fn runs_for_a_cut(seed: u64, first: &str, second: &str) -> u64 {
    let mut mesh = Mesh::new(3, seed);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[10]").expect("opens");
    mesh.pass_ms(5_000);
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    for (at, transfer) in [(2, first), (1, second)] {
        for _ in 0..CALLS {
            mesh.advance_ms(2);
            mesh.call(at, "transfer", transfer).expect("enough there");
        }
    }
    mesh.settle();
    mesh.cut_link(0, 1);
    mesh.heal_link(1, 2);
    mesh.pass_ms(3_000);
    let height = mesh.status(2).cut.height;
    let before = mesh.status(2).executions;
    let tail = mesh.status(2).tail;
    assert!(
        mesh.status(0).cut.height > height,
        "it made a cut meanwhile"
    );
    mesh.heal_link(0, 1);
    mesh.settle();
    assert!(mesh.status(2).cut.height > height, "it was taken");
    assert_eq!(
        2 * mesh.status(2).tail,
        tail,
        "the first one's calls stayed"
    );
    mesh.heal_link(0, 2);
    mesh.pass_ms(4_000);
    mesh.assert_converged();
    assert_eq!(mesh.status(2).tail, 0);
    let paid = mesh.rows(2, "SELECT balance FROM account WHERE id = 0");
    assert_eq!(paid, [[(1_000 - CALLS).to_string()]]);
    mesh.status(2).executions - before
}

#[test]
fn calls_on_other_rows_do_not_run_again() {
    assert_eq!(runs_for_a_cut(61, "[0, 1, 1]", "[5, 6, 1]"), 0);
}

#[test]
fn calls_on_the_same_rows_do() {
    // Account 1 is read and written by both.
    let runs = runs_for_a_cut(62, "[0, 1, 1]", "[1, 6, 1]");
    assert!(runs >= CALLS, "{runs}");
}
