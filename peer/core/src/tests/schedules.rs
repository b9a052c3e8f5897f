//! Rows that say when a reducer runs.

use super::harness::{Mesh, compiled};

fn mesh(peers: usize, seed: u64) -> Mesh {
    let mut mesh = Mesh::new(peers, seed);
    mesh.publish_wasm_and_join(&compiled("clockwork"));
    mesh
}

fn notes(mesh: &mut Mesh, at: usize) -> Vec<String> {
    mesh.rows(at, "SELECT note FROM rung").concat()
}

fn count(mesh: &mut Mesh, at: usize, query: &str) -> u64 {
    let rows = mesh.rows(at, query);
    rows[0][0].parse().expect("a number")
}

fn rung(mesh: &mut Mesh, at: usize, note: &str) -> u64 {
    let query = format!("SELECT COUNT(*) FROM rung WHERE note = '{note}'");
    count(mesh, at, &query)
}

fn alarms(mesh: &mut Mesh, at: usize) -> u64 {
    count(mesh, at, "SELECT COUNT(*) FROM alarm")
}

#[test]
fn an_alarm_rings_once_when_it_is_due_on_every_peer() {
    let mut mesh = mesh(3, 31);
    mesh.pass_ms(1_000);
    assert_eq!(notes(&mut mesh, 0), ["born"], "set by init");
    mesh.call(0, "set_alarm", r#"[2000, "later", 0]"#)
        .expect("fine");
    mesh.pass_ms(1_800);
    assert_eq!(rung(&mut mesh, 0, "later"), 0);
    assert_eq!(alarms(&mut mesh, 0), 1);
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert_eq!(rung(&mut mesh, at, "later"), 1);
        assert_eq!(alarms(&mut mesh, at), 0, "it is gone once it rang");
    }
    let waiting = count(&mut mesh, 0, "SELECT COUNT(*) FROM sys_schedule");
    assert_eq!(waiting, 0);
    // By the database itself, at the time at which it was due or a little later.
    let by = mesh.rows(0, "SELECT by FROM rung").concat();
    assert_eq!(by[0], by[1]);
    let own = mesh.rows(0, "SELECT identity FROM st_member WHERE role = 'owner'");
    assert_ne!(own.concat(), by[..1]);
    mesh.assert_converged();
}

#[test]
fn an_interval_goes_on_and_skips_what_was_missed() {
    let mut mesh = mesh(1, 32);
    mesh.call(0, "set_interval", r#"[1000, "tick"]"#)
        .expect("fine");
    mesh.pass_ms(4_500);
    let before = rung(&mut mesh, 0, "tick");
    assert!((3..=4).contains(&before), "{before} in 4.5 s");
    mesh.crash(0);
    mesh.advance_ms(3_600_000);
    mesh.start(0);
    mesh.pass_ms(2_500);
    let after = rung(&mut mesh, 0, "tick") - before;
    assert!((2..=4).contains(&after), "{after} after an hour away");
    mesh.call(0, "cancel", r#"["tick"]"#).expect("fine");
    let last = rung(&mut mesh, 0, "tick");
    mesh.pass_ms(3_000);
    assert_eq!(rung(&mut mesh, 0, "tick"), last);
    assert_eq!(alarms(&mut mesh, 0), 0);
}

#[test]
fn others_fire_when_the_author_is_away_and_nothing_fires_twice() {
    let mut mesh = mesh(3, 33);
    mesh.pass_ms(2_000);
    mesh.call(2, "set_alarm", r#"[1000, "left behind", 0]"#)
        .expect("fine");
    mesh.call(2, "set_interval", r#"[500, "tick"]"#)
        .expect("fine");
    mesh.pass_ms(300);
    for other in [0, 1] {
        mesh.cut_link(2, other);
    }
    mesh.cut_link(0, 1);
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert_eq!(rung(&mut mesh, at, "left behind"), 1, "each for itself");
        let ticks = rung(&mut mesh, at, "tick");
        assert!((8..=11).contains(&ticks), "{ticks} in 5 s at {at}");
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        mesh.heal_link(a, b);
    }
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert_eq!(rung(&mut mesh, at, "left behind"), 1, "once for all");
        let ticks = rung(&mut mesh, at, "tick");
        assert!((17..=22).contains(&ticks), "{ticks} in 10 s at {at}");
    }
    mesh.assert_converged();
}

#[test]
fn a_reducer_that_fails_changes_nothing_but_its_row_is_gone() {
    let mut mesh = mesh(1, 34);
    mesh.pass_ms(1_000);
    mesh.call(0, "set_jam", "[true]").expect("fine");
    mesh.call(0, "set_alarm", r#"[-5000, "past", 0]"#)
        .expect("fine");
    mesh.call(0, "set_interval", r#"[400, "tick"]"#)
        .expect("fine");
    mesh.pass_ms(1_000);
    assert_eq!(notes(&mut mesh, 0), ["born"]);
    assert_eq!(alarms(&mut mesh, 0), 1, "an interval goes on");
    mesh.call(0, "set_jam", "[false]").expect("fine");
    mesh.pass_ms(1_000);
    assert!(rung(&mut mesh, 0, "tick") >= 2);
    assert_eq!(rung(&mut mesh, 0, "past"), 0);
}

#[test]
fn a_reducer_has_the_last_word_about_its_own_row() {
    let mut mesh = mesh(1, 35);
    mesh.call(0, "set_alarm", r#"[0, "snooze", 2]"#)
        .expect("fine");
    mesh.call(0, "set_interval", "[200, \"once more\"]")
        .expect("fine");
    mesh.pass_ms(600);
    assert_eq!(rung(&mut mesh, 0, "snooze"), 1);
    mesh.pass_ms(5_000);
    assert_eq!(rung(&mut mesh, 0, "snooze"), 3, "put off twice");
    assert_eq!(rung(&mut mesh, 0, "once more"), 1, "it stopped itself");
    assert_eq!(alarms(&mut mesh, 0), 0);
}

#[test]
fn times_too_far_away_and_calls_by_name_are_refused() {
    let mut mesh = mesh(1, 36);
    mesh.pass_ms(500);
    let three_years = 3_i64 * 366 * 86_400_000;
    let error = mesh
        .call(0, "set_alarm", &format!(r#"[{three_years}, "far", 0]"#))
        .expect_err("too far");
    assert!(error.message.contains("795 days"), "{error}");
    assert_eq!(alarms(&mut mesh, 0), 0, "nothing of the call is kept");
    let row = r#"[{"id": 1, "scheduled_at": {"Time": {"__timestamp_micros_since_unix_epoch__": 0}}, "note": "x", "snoozes": 0}]"#;
    let error = mesh.call(0, "ring", row).expect_err("not for clients");
    assert!(error.message.contains("ring"), "{error}");
    assert_eq!(rung(&mut mesh, 0, "x"), 0);
}

#[test]
fn alarms_survive_a_restart() {
    let mut mesh = mesh(2, 37);
    mesh.call(0, "set_alarm", r#"[60000, "minute", 0]"#)
        .expect("fine");
    mesh.pass_ms(5_000);
    mesh.crash(0);
    mesh.crash(1);
    mesh.advance_ms(40_000);
    mesh.start(0);
    mesh.start(1);
    mesh.pass_ms(5_000);
    assert_eq!(rung(&mut mesh, 1, "minute"), 0);
    mesh.pass_ms(15_000);
    for at in 0..2 {
        assert_eq!(rung(&mut mesh, at, "minute"), 1);
    }
    mesh.assert_converged();
}
