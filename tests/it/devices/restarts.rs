//! A device that loses power again and again.
#![allow(
    clippy::disallowed_methods,
    reason = "lets devices do what they do for a while"
)]

use super::calls::while_all_call;
use super::host::{Host, wait_until_equal_within};
use super::lan::Lan;
use super::report::Report;
use crate::harness::{LONG_PATIENCE, shared_turn};
use std::time::{Duration, Instant};

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

/// How often it restarts, and from one restart to the next.
const RESTARTS: u32 = 6;
/// See [`RESTARTS`].
const EVERY: Duration = Duration::from_secs(10);
/// How long it is without power.
const WITHOUT_POWER: Duration = Duration::from_secs(1);
/// How long a device pauses between two calls.
const PAUSE: Duration = Duration::from_millis(250);

#[test]
fn a_device_that_restarts_every_ten_seconds_loses_no_call() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&FOUR) else {
        return;
    };
    let mut hosts = FOUR.map(|name| Host::start(&lan, name, &[]));
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    let report = Report::begin("restarts", &hosts.each_ref());
    let doors = hosts.each_ref().map(Host::door);
    let mut longest = Duration::ZERO;
    let said = while_all_call(&doors, PAUSE, || {
        let begun = Instant::now();
        for number in 1..=RESTARTS {
            let at = begun + EVERY * number;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            // The others hear no goodbye.
            lan.unplug("d");
            hosts[3].stop();
            std::thread::sleep(WITHOUT_POWER);
            lan.plug_in("d", 4);
            hosts[3].start_again();
            let started = Instant::now();
            hosts[3].wait_for_links(3);
            longest = longest.max(started.elapsed());
        }
    });
    let all = hosts.each_ref();
    wait_until_equal_within(&all, LONG_PATIENCE);
    said.check(&all);
    let calls = said.acknowledged.len();
    let longest = longest.as_secs_f64();
    report.end(
        &all,
        &format!("{calls} calls; linked to all others {longest:.1} s after a start at most"),
    );
}
