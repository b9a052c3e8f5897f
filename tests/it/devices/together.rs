//! Eight devices in one local network: they find each other, and they find each other again when it
//! was parted.
#![allow(
    clippy::disallowed_methods,
    reason = "lets devices do what they do for a while"
)]

use super::calls::{Said, texts, while_all_call};
use super::host::{Host, wait_until_equal, wait_until_equal_within};
use super::lan::Lan;
use super::report::Report;
use crate::harness::{LONG_PATIENCE, PATIENCE, shared_turn, wait_for};
use std::time::{Duration, Instant};

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// How long the network is parted.
const PARTED: Duration = Duration::from_secs(60);
/// How long devices call before it is, and after it was.
const WHOLE: Duration = Duration::from_secs(5);
/// How long a device pauses between two calls.
const PAUSE: Duration = Duration::from_millis(500);

/// Each says something, and all have heard it.
fn each_says(hosts: &[Host], what: &str, said: &mut Said) {
    for host in hosts {
        let text = format!("{} {what}", host.name());
        host.say(&text);
        said.done(text);
    }
    let hosts: Vec<&Host> = hosts.iter().collect();
    wait_until_equal(&hosts);
    said.check(&hosts);
}

#[test]
fn eight_devices_find_each_other_without_being_told_where() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&EIGHT) else {
        return;
    };
    // Nothing is set: where to listen, whom to dial.
    let mut hosts = vec![Host::start(&lan, "a", &[])];
    hosts[0].publish();
    let tickets: Vec<String> = EIGHT[1..].iter().map(|_| hosts[0].invite()).collect();
    // It moves: of what the tickets say only its key is still true.
    hosts[0].stop();
    lan.plug_in("a", 100);
    hosts[0].start_again();
    for (name, ticket) in EIGHT[1..].iter().zip(tickets) {
        let host = Host::start(&lan, name, &[]);
        host.cli(&["join", &ticket]).ok();
        hosts.push(host);
    }
    let all: Vec<&Host> = hosts.iter().collect();
    let report = Report::begin("eight devices", &all);
    let mut said = Said::default();
    each_says(&hosts, "is here", &mut said);
    for host in &hosts {
        host.wait_for_links(EIGHT.len() - 1);
    }
    // Then all move at once, so that nobody is where anybody knows.
    for (number, host) in (1..).zip(&mut hosts) {
        host.stop();
        lan.plug_in(host.name(), 200 + number);
    }
    for host in &mut hosts {
        host.start_again();
    }
    for host in &hosts {
        host.wait_for_links(EIGHT.len() - 1);
    }
    each_says(&hosts, "has moved", &mut said);
    let all: Vec<&Host> = hosts.iter().collect();
    report.end(&all, "once all had joined");
}

/// How many calls of these devices a device has.
fn heard(host: &Host, of: &[&str]) -> usize {
    let is_theirs = |text: &String| of.iter().any(|name| text.starts_with(&format!("{name} ")));
    texts(host).into_iter().filter(is_theirs).count()
}

#[test]
fn halves_that_were_parted_for_a_minute_under_load_become_equal() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&EIGHT) else {
        return;
    };
    let hosts: Vec<Host> = EIGHT.map(|name| Host::start(&lan, name, &[])).into();
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    let all: Vec<&Host> = hosts.iter().collect();
    let (near, far) = EIGHT.split_at(4);
    let doors: Vec<_> = hosts.iter().map(Host::door).collect();
    let report = Report::begin("parted", &all);
    let mut apart = Duration::ZERO;
    let said = while_all_call(&doors, PAUSE, || {
        std::thread::sleep(WHOLE);
        lan.part(far);
        std::thread::sleep(PARTED);
        // Each half goes on by itself, and hears nothing of the other.
        let [near_heard, far_known] = [heard(&hosts[3], near), heard(&hosts[0], far)];
        let [far_heard, near_known] = [heard(&hosts[7], far), heard(&hosts[4], near)];
        assert!(
            near_heard > 4 * near_known,
            "{near_heard} near, {near_known} far"
        );
        assert!(
            far_heard > 4 * far_known,
            "{far_heard} far, {far_known} near"
        );
        lan.join_up(far);
        let joined = Instant::now();
        wait_for("the halves to hear each other", PATIENCE, || {
            let news = heard(&hosts[0], far) > far_known && heard(&hosts[4], near) > near_known;
            news.then_some(()).ok_or_else(String::new)
        });
        apart = joined.elapsed();
        std::thread::sleep(WHOLE);
    });
    wait_until_equal_within(&all, LONG_PATIENCE);
    said.check(&all);
    let calls = said.acknowledged.len();
    let apart = apart.as_secs_f64();
    report.end(
        &all,
        &format!("{calls} calls; the halves heard each other again after {apart:.1} s"),
    );
}
