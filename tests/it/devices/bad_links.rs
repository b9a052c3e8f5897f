//! Links that lose what they are given, are late, or are slow.
#![allow(
    clippy::disallowed_methods,
    reason = "lets devices do what they do for a while"
)]

use super::calls::{backlog, while_all_call};
use super::host::{Host, wait_until_equal_within};
use super::lan::Lan;
use super::report::Report;
use super::wire::{Line, Trouble};
use crate::harness::{LONG_PATIENCE, shared_turn};
use std::time::{Duration, Instant};

/// A fifth is lost, everything takes a third of a second, and comes out of order.
const BAD: Trouble = Trouble {
    lost: 200,
    delay: Duration::from_millis(300),
    jitter: Duration::from_millis(60),
    doubled: 20,
    overtaking: 50,
    line: None,
};

/// A modem.
const SLOW: Trouble = Trouble {
    lost: 0,
    delay: Duration::from_millis(50),
    jitter: Duration::ZERO,
    doubled: 0,
    overtaking: 0,
    line: Some(Line {
        bits_per_second: 64_000,
        queue_bytes: 32 << 10,
    }),
};

/// How long devices call over bad links.
const CALLING: Duration = Duration::from_secs(30);
/// How long one is alone before.
const ALONE: Duration = Duration::from_secs(10);
/// How long a device pauses between two calls over links that lose a fifth: there each carries a
/// kilobyte or two a second.
const BAD_PAUSE: Duration = Duration::from_secs(1);
/// How long a device pauses between two calls.
const PAUSE: Duration = Duration::from_millis(500);
/// Calls that are made while a device is alone.
const BACKLOG: usize = 10_000;

#[test]
fn a_fifth_lost_and_a_third_of_a_second_late_is_made_up_for() {
    let _turn = shared_turn();
    let Some(lan) = Lan::with_bad_links(&["a", "b", "c", "d", "e"]) else {
        return;
    };
    let hosts: Vec<Host> = ["a", "b", "c", "d", "e"]
        .map(|name| Host::start(&lan, name, &[]))
        .into();
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    let all: Vec<&Host> = hosts.iter().collect();
    wait_until_equal_within(&all, LONG_PATIENCE);
    let doors: Vec<_> = hosts.iter().map(Host::door).collect();
    let report = Report::begin("bad links", &all);
    // One has missed something when the links become bad.
    lan.unplug("e");
    let said = while_all_call(&doors, BAD_PAUSE, || {
        std::thread::sleep(ALONE);
        lan.set_trouble(BAD);
        lan.plug_in("e", 5);
        std::thread::sleep(CALLING);
    });
    let stopped = Instant::now();
    wait_until_equal_within(&all, LONG_PATIENCE);
    said.check(&all);
    let calls = said.acknowledged.len();
    let after = stopped.elapsed().as_secs_f64();
    report.end(
        &all,
        &format!("{calls} calls; equal {after:.1} s after the last"),
    );
}

#[test]
fn a_slow_line_carries_a_backlog_of_ten_thousand_calls() {
    let _turn = shared_turn();
    let Some(lan) = Lan::with_bad_links(&["a", "b"]) else {
        return;
    };
    let hosts = ["a", "b"].map(|name| Host::start(&lan, name, &[]));
    hosts[0].publish();
    hosts[1].cli(&["join", &hosts[0].invite()]).ok();
    let all = hosts.each_ref();
    wait_until_equal_within(&all, LONG_PATIENCE);
    lan.unplug("b");
    let mut said = backlog(&hosts[0].door(), BACKLOG);
    lan.set_trouble(SLOW);
    let report = Report::begin("slow line", &all);
    lan.plug_in("b", 2);
    said.add(while_all_call(&[hosts[1].door()], PAUSE, || {
        std::thread::sleep(CALLING);
    }));
    wait_until_equal_within(&all, LONG_PATIENCE);
    said.check(&all);
    report.end(&all, &format!("{} calls", said.acknowledged.len()));
}
