//! Devices whose clocks are days off: among others they go by the others' time, and what they wrote
//! alone with a wrong clock waits, but is not lost.
#![allow(
    clippy::disallowed_methods,
    reason = "lets devices do what they do for a while"
)]

use super::calls::{Said, call_once, texts, while_all_call};
use super::host::{Host, wait_until_equal};
use super::lan::Lan;
use super::report::Report;
use crate::harness::{PATIENCE, shared_turn, wait_for};
use serde_json::Value;
use std::time::Duration;

const DAY_S: i64 = 86_400;
/// How far the two clocks are off, one ahead and one behind.
const OFF_S: i64 = 2 * DAY_S;
/// How long devices call together.
const CALLING: Duration = Duration::from_secs(5);
/// How long a device pauses between two calls.
const PAUSE: Duration = Duration::from_millis(250);
/// Calls of a device that is alone.
const ALONE: u32 = 5;

/// A clock that is off by so many seconds, as an argument of `start`.
fn off(seconds: i64) -> String {
    format!("--clock-off={seconds}")
}

/// Calls of a device while nobody hears it.
fn alone(host: &Host, said: &mut Said) {
    for number in 1..=ALONE {
        let text = format!("{} alone {number}", host.name());
        let called = call_once(&host.door(), &text);
        called.expect("it is acknowledged");
        said.done(text);
    }
}

/// Whether something is held back on a device because a clock was ahead.
fn holds_what_is_ahead(host: &Host) -> Result<(), String> {
    let status = host.status()?;
    let held = status["held"].as_array().ok_or("no list")?;
    let is_ahead = |one: &Value| one["why"] == "its clock is ahead";
    match held.iter().any(is_ahead) {
        true => Ok(()),
        false => Err(format!("{}: {held:?}", host.name())),
    }
}

#[test]
fn clocks_two_days_off_lose_nothing_and_harm_nobody_else() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b", "c", "d"]) else {
        return;
    };
    // Those with the right time first: one against one, nobody could say which is right.
    let [ahead, behind] = [off(OFF_S), off(-OFF_S)];
    let a = Host::start(&lan, "a", &[]);
    a.publish();
    let join = |name, arguments: &[&str]| {
        let host = Host::start(&lan, name, arguments);
        host.cli(&["join", &a.invite()]).ok();
        host
    };
    let d = join("d", &[]);
    let mut b = join("b", &[&ahead]);
    let mut c = join("c", &[&behind]);
    let report = Report::begin("clocks", &[&a, &b, &c, &d]);
    // By then each has heard the others' clocks.
    for host in [&b, &c] {
        host.wait_until_in_sync(3);
    }
    let doors = [&a, &b, &c, &d].map(Host::door);
    let mut said = while_all_call(&doors, PAUSE, || std::thread::sleep(CALLING));
    wait_until_equal(&[&a, &b, &c, &d]);
    said.check(&[&a, &b, &c, &d]);

    // Those with wrong clocks start again where nobody tells them the time.
    for (host, name) in [(&mut b, "b"), (&mut c, "c")] {
        host.stop();
        lan.unplug(name);
        host.start_again();
        alone(host, &mut said);
    }
    lan.plug_in("b", 2);
    lan.plug_in("c", 3);
    // What was written two days ago is there at once, what will be written in two days waits.
    a.wait_for_message("c alone 5");
    wait_for("what is ahead to be held back", PATIENCE, || {
        holds_what_is_ahead(&a)
    });
    a.say("the others go on");
    said.done("the others go on".to_owned());
    d.wait_for_message("the others go on");
    wait_until_equal(&[&a, &c, &d]);
    // The device says what is wrong with it and takes no calls, until its clock is set and it is
    // started again.
    let mut tries = 0;
    let why = wait_for("calls to be refused", PATIENCE, || {
        tries += 1;
        let text = format!("b tries {tries}");
        match call_once(&b.door(), &text) {
            Ok(()) => {
                said.done(text);
                Err("it was taken".to_owned())
            }
            Err(why) => Ok(why),
        }
    });
    assert!(why.contains("set its clock"), "{why}");
    b.told(&[]);
    b.stop();
    b.start_again();
    wait_until_equal(&[&a, &b, &c, &d]);
    b.say("b is right now");
    said.done("b is right now".to_owned());
    wait_until_equal(&[&a, &b, &c, &d]);
    for host in [&a, &c, &d] {
        holds_what_is_ahead(host).expect("it is not due");
    }
    for host in [&a, &b, &c, &d] {
        assert!(!texts(host).contains("b alone 1"), "{}", host.name());
    }

    // Two days later it runs, everywhere.
    let [later, later_behind] = [off(OFF_S + DAY_S), off(DAY_S)];
    let mut all = [a, b, c, d];
    for host in &mut all {
        let clock = match host.name() {
            "c" => &later_behind,
            _ => &later,
        };
        host.told(&[clock]);
        host.stop();
    }
    for host in &mut all {
        host.start_again();
    }
    all[0].wait_for_message("b alone 5");
    wait_until_equal(&all.each_ref());
    said.check(&all.each_ref());
    report.end(
        &all.each_ref(),
        &format!("{} calls", said.acknowledged.len()),
    );
}
