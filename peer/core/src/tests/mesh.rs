//! Several cores: joining, conflicts, partitions, crashes, cuts.

use super::harness::Mesh;
use crate::reply::ErrorKind;

#[test]
fn a_call_on_one_peer_shows_on_the_others() {
    let mut mesh = Mesh::new(3, 1);
    mesh.publish_and_join();
    mesh.call(1, "set_name", r#"["ann"]"#)
        .expect("the name is free");
    mesh.settle();
    for at in 0..3 {
        let names = mesh.rows(at, "SELECT name FROM user WHERE name = 'ann'");
        assert_eq!(names, [["ann"]], "peer {at}");
    }
    mesh.assert_converged();
}

#[test]
fn two_that_took_the_same_name_apart_agree_on_who_has_it() {
    let mut mesh = Mesh::new(3, 2);
    mesh.publish_and_join();
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    mesh.call(0, "set_name", r#"["ann"]"#).expect("free here");
    mesh.call(2, "set_name", r#"["ann"]"#).expect("free there");
    mesh.heal_link(0, 2);
    mesh.heal_link(1, 2);
    mesh.settle();
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    assert_eq!(
        mesh.rows(2, "SELECT name FROM user WHERE name = 'ann'")
            .len(),
        1
    );
}

#[test]
fn a_failing_reducer_tells_its_text_and_changes_nothing() {
    let mut mesh = Mesh::new(1, 3);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[2]").expect("opens");
    let before = mesh.rows(0, "SELECT * FROM account");
    let error = mesh
        .call(0, "transfer", "[0, 1, 5000]")
        .expect_err("not that much");
    assert_eq!(error.kind, ErrorKind::ReducerFailed);
    assert!(error.message.contains("holds 1000, not 5000"), "{error}");
    assert_eq!(mesh.rows(0, "SELECT * FROM account"), before);
    let error = mesh.call(0, "no_such", "[]").expect_err("unknown");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn cuts_cover_the_tail_and_later_entries_run_after_them() {
    let mut mesh = Mesh::new(2, 4);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[10]").expect("opens");
    mesh.cut_link(0, 1);
    mesh.settle();
    // Peer 1 writes first, by its clock, but the finaliser does not hear of it in time.
    mesh.call(1, "transfer", "[0, 1, 700]")
        .expect("enough there");
    mesh.call(0, "transfer", "[0, 2, 700]")
        .expect("enough here");
    mesh.pass_ms(3_000);
    let cut = mesh.status(0).cut;
    assert!(cut.height > 0, "the finaliser made cuts");
    mesh.heal_link(0, 1);
    mesh.pass_ms(4_000);
    mesh.assert_converged();
    // The call that came after the cut could not pay any more.
    assert_eq!(
        mesh.rows(1, "SELECT balance FROM account WHERE id = 1"),
        [["1000"]]
    );
    assert_eq!(
        mesh.rows(1, "SELECT balance FROM account WHERE id = 2"),
        [["1700"]]
    );
    let (a, b) = (mesh.status(0), mesh.status(1));
    assert_eq!(a.cut, b.cut);
    assert_eq!((a.tail, b.tail), (0, 0));
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let mut mesh = Mesh::new(3, 5);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[4]").expect("opens");
    for round in 0..20 {
        let at = round % 3;
        mesh.call(
            at,
            "send_message",
            &format!(r#"["lobby", "message {round}"]"#),
        )
        .expect("sent");
        if round % 7 == 3 {
            mesh.crash(at);
            mesh.start(at);
            mesh.settle();
        }
        mesh.pass_ms(200);
    }
    mesh.pass_ms(5_000);
    mesh.assert_converged();
    for at in 0..3 {
        assert_eq!(
            mesh.rows(at, "SELECT text FROM message").len(),
            20,
            "peer {at}"
        );
    }
}

#[test]
fn a_peer_that_was_away_for_many_cuts_catches_up() {
    let mut mesh = Mesh::new(3, 6);
    mesh.publish_and_join();
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.call(2, "send_message", r#"["lobby", "from afar"]"#)
        .expect("sent");
    for round in 0..10 {
        mesh.call(
            round % 2,
            "send_message",
            &format!(r#"["lobby", "m{round}"]"#),
        )
        .expect("sent");
        mesh.pass_ms(1_500);
    }
    assert!(mesh.status(0).cut.height >= 5);
    mesh.heal_link(0, 2);
    mesh.heal_link(1, 2);
    mesh.pass_ms(5_000);
    mesh.assert_converged();
    assert_eq!(mesh.rows(2, "SELECT text FROM message").len(), 11);
}

#[test]
fn a_ticket_with_a_typo_is_refused_at_once() {
    let mut mesh = Mesh::new(2, 7);
    mesh.publish_and_join();
    let ticket = mesh.invite(0);
    let other = if &ticket[20..21] == "a" { "b" } else { "a" };
    let typo = format!("{}{other}{}", &ticket[..20], &ticket[21..]);
    let error = mesh
        .ask(1, crate::Request::Join { ticket: typo })
        .expect_err("a typo");
    assert_eq!(error.kind, ErrorKind::BadRequest);
}

#[test]
fn a_cut_that_changes_rights_and_a_push_in_one_burst_lose_nothing() {
    let mut mesh = Mesh::new(2, 9);
    mesh.publish_and_join();
    mesh.call(0, "open_accounts", "[4]").expect("opens");
    mesh.pass_ms(3_000);
    let height = mesh.status(0).cut.height;
    // The ticket settles; the calls after it do not, so they stay in the tail behind the cut.
    mesh.invite(0);
    mesh.pass_ms(800);
    for at in [0, 1, 0] {
        mesh.call(at, "transfer", "[0, 1, 10]").expect("enough");
    }
    mesh.advance_ms(300);
    let request = mesh.call_request("transfer", "[0, 2, 10]");
    let id = mesh.wake_and_ask(0, request);
    mesh.reply(id).expect("enough");
    let (a, b) = (mesh.status(0), mesh.status(1));
    assert_eq!(a.cut.height, height + 1, "the cut was made");
    assert_eq!(b.cut.height, height + 1, "and taken");
    assert!(b.tail > 0, "there is a tail behind it");
    assert_eq!(a.tail, b.tail);
    mesh.assert_same(0, 1);
}
