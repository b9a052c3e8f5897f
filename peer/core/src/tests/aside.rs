//! Cuts whose rows are summed up and written aside, while calls go on.

use store::{Aside, Disk};
use sync_protocol::Entry;

use super::finality::all_final_and_equal;
use super::harness::Mesh;

/// Two members with some calls; from now on the finaliser's long work takes so many looks.
fn slow_finaliser(looks: u32, seed: u64) -> Mesh {
    let mut mesh = Mesh::new(2, seed);
    mesh.publish_and_join();
    say(&mut mesh, 0, "before");
    mesh.pass_ms(3_000);
    mesh.crash(0);
    mesh.set_aside(0, Aside::AtLook(looks));
    mesh.start(0);
    mesh.settle();
    mesh.pass_ms(1_000);
    mesh
}

fn say(mesh: &mut Mesh, at: usize, text: &str) {
    let arguments = format!(r#"["lobby", "{text}"]"#);
    mesh.call(at, "send_message", &arguments).expect("sent");
}

fn texts(mesh: &mut Mesh, at: usize) -> Vec<Vec<String>> {
    mesh.rows(at, "SELECT text FROM message")
}

#[test]
fn calls_go_on_while_a_cut_is_made() {
    let mut mesh = slow_finaliser(60, 4_101);
    let height = mesh.status(0).cut.height;
    say(&mut mesh, 0, "covered");
    mesh.pass_ms(1_200);
    assert_eq!(mesh.status(0).cut.height, height, "it is being made");
    for n in 0..5 {
        say(&mut mesh, n % 2, &format!("later {n}"));
        assert_eq!(texts(&mut mesh, 0).len(), 3 + n);
    }
    mesh.pass_ms(20_000);
    assert!(mesh.status(0).cut.height > height);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert_eq!(texts(&mut mesh, 1).len(), 7);
}

#[test]
fn a_call_that_comes_late_amid_what_is_summed_up_is_in_the_next_sum() {
    let mut mesh = slow_finaliser(100, 4_102);
    let height = mesh.status(0).cut.height;
    mesh.cut_link(0, 1);
    mesh.settle();
    say(&mut mesh, 1, "late");
    mesh.pass_ms(100);
    say(&mut mesh, 0, "covered");
    mesh.pass_ms(1_200);
    assert_eq!(mesh.status(0).cut.height, height, "it is being made");
    mesh.heal_link(0, 1);
    mesh.settle();
    assert_eq!(mesh.status(0).cut.height, height, "and still is");
    assert_eq!(texts(&mut mesh, 0).len(), 3);
    mesh.pass_ms(30_000);
    assert!(mesh.status(0).cut.height > height);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert_eq!(texts(&mut mesh, 0), texts(&mut mesh, 1));
}

#[test]
fn a_cut_that_never_came_into_the_base_is_settled_again_after_a_crash() {
    let mut mesh = slow_finaliser(40, 4_103);
    let height = mesh.status(0).cut.height;
    say(&mut mesh, 0, "covered");
    let mut waited = 0;
    while mesh.status(0).cut.height == height {
        mesh.pass_ms(50);
        waited += 1;
        assert!(waited < 400, "a cut comes");
    }
    let status = mesh.status(0);
    mesh.crash(0);
    mesh.start(0);
    mesh.settle();
    assert_eq!(mesh.status(0).cut, status.cut, "the log has it");
    assert_eq!(mesh.status(0).state_root, status.state_root);
    say(&mut mesh, 1, "after");
    mesh.pass_ms(30_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert_eq!(texts(&mut mesh, 0).len(), 3);
}

#[test]
fn what_a_member_sent_and_a_crash_took_comes_again() {
    let mut mesh = Mesh::new(2, 4_105);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    mesh.crash(0);
    mesh.set_aside(0, Aside::AtLook(50));
    mesh.start(0);
    mesh.settle();
    mesh.cut_link(0, 1);
    mesh.settle();
    for n in 0..3 {
        say(&mut mesh, 1, &format!("said apart {n}"));
    }
    mesh.heal_link(0, 1);
    let taken = mesh.hear_and_crash(0);
    assert_eq!(taken, 3, "all were taken in");
    mesh.start(0);
    let replicas = mesh.core(0).replicas.values();
    let left: usize = replicas
        .map(|replica| replica.log.tail().expect("the disk is sound").len())
        .sum();
    assert_eq!(left, 0, "nobody had waited for them");
    mesh.settle();
    mesh.pass_ms(30_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert_eq!(texts(&mut mesh, 0).len(), 3);
}

#[test]
fn calls_whose_entry_could_not_be_written_are_not_called_done() {
    let mut mesh = Mesh::new(2, 4_104);
    mesh.publish_and_join();
    say(&mut mesh, 0, "before");
    mesh.pass_ms(3_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    // The calls of one run before the disk is asked to write them, those of the other after it.
    for (at, aside) in [(0, Aside::AtLook(2)), (1, Aside::Never)] {
        assert_eq!(mesh.disk(at).aside(), aside);
        let other = 1 - at;
        mesh.disk(at).fail_after(0);
        let told = mesh.call(at, "send_message", r#"["lobby", "not written"]"#);
        let error = told.expect_err("it is not on the disk");
        assert!(error.message.contains("the power is off"), "{error}");
        mesh.pass_ms(100);
        assert_eq!(texts(&mut mesh, other).len(), 1 + at, "nobody heard of it");
        mesh.crash(at);
        mesh.start(at);
        mesh.settle();
        assert_eq!(texts(&mut mesh, at).len(), 1 + at);
        say(&mut mesh, at, "after");
        mesh.pass_ms(30_000);
        all_final_and_equal(&mut mesh, &[0, 1]);
        assert_eq!(texts(&mut mesh, other).len(), 2 + at);
    }
}

#[test]
fn calls_go_on_while_a_member_takes_a_cut() {
    let mut mesh = Mesh::new(2, 4_106);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    mesh.crash(1);
    mesh.set_aside(1, Aside::AtLook(200));
    mesh.start(1);
    mesh.settle();
    mesh.pass_ms(1_000);
    let height = mesh.status(1).cut.height;
    say(&mut mesh, 0, "covered");
    let mut waited = 0;
    while mesh.status(0).cut.height == height {
        mesh.pass_ms(50);
        waited += 1;
        assert!(waited < 100, "a cut comes");
    }
    assert_eq!(mesh.status(1).cut.height, height, "it is being taken");
    // What is said right after the cut does not wait for whoever has not taken it.
    for n in 0..4 {
        say(&mut mesh, n % 2, &format!("later {n}"));
        assert_eq!(texts(&mut mesh, 1).len(), 2 + n);
    }
    mesh.pass_ms(30_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert_eq!(texts(&mut mesh, 0), texts(&mut mesh, 1));
}

#[test]
fn a_late_call_amid_what_a_member_sums_up_has_it_summed_up_again() {
    let mut mesh = Mesh::new(3, 4_107);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    mesh.crash(1);
    mesh.set_aside(1, Aside::AtLook(60));
    mesh.start(1);
    mesh.settle();
    mesh.pass_ms(1_000);
    let height = mesh.status(1).cut.height;
    // The third member knows of nothing and is known to nobody.
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    say(&mut mesh, 2, "late");
    say(&mut mesh, 0, "covered");
    mesh.pass_ms(1_200);
    assert_eq!(mesh.status(1).cut.height, height, "it is being taken");
    mesh.heal_link(1, 2);
    mesh.settle();
    assert_eq!(texts(&mut mesh, 1).len(), 2);
    mesh.heal_link(0, 2);
    mesh.pass_ms(30_000);
    assert!(mesh.status(1).cut.height > height);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    assert_eq!(texts(&mut mesh, 1), texts(&mut mesh, 0));
}

/// The heights of the cuts that the newest entries of a peer's log name, the newest last.
fn named(mesh: &Mesh, at: usize) -> Vec<u64> {
    let replicas = mesh.core(at).replicas.values();
    let tails = replicas.flat_map(|replica| replica.log.tail().expect("the disk is sound"));
    let entries = tails.map(|bytes| Entry::open(&bytes).expect("an entry"));
    entries.map(|entry| entry.header.base.height).collect()
}

/// Lets time pass until there is another cut.
fn until_next_cut(mesh: &mut Mesh) -> u64 {
    let height = mesh.status(0).cut.height;
    for _ in 0..100 {
        mesh.pass_ms(50);
        if mesh.status(0).cut.height > height {
            return height + 1;
        }
    }
    panic!("no cut came after {height}");
}

#[test]
fn entries_name_a_cut_that_changed_rows_alone_a_moment_later() {
    let mut mesh = Mesh::new(2, 4_108);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    say(&mut mesh, 0, "covered");
    let height = until_next_cut(&mut mesh);
    say(&mut mesh, 0, "at once");
    assert_eq!(named(&mesh, 0), [height - 1]);
    say(&mut mesh, 1, "the other at once");
    assert_eq!(named(&mesh, 0), [height - 1, height - 1]);
    mesh.pass_ms(100);
    say(&mut mesh, 1, "later");
    say(&mut mesh, 0, "on top of that");
    assert_eq!(named(&mesh, 0)[2..], [height, height]);
    mesh.pass_ms(5_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
}

#[test]
fn entries_name_a_cut_that_changed_rights_at_once() {
    let mut mesh = Mesh::new(2, 4_109);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.invite(0);
    let height = until_next_cut(&mut mesh);
    say(&mut mesh, 0, "at once");
    assert_eq!(named(&mesh, 0), [height]);
}
