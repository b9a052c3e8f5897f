//! What a scenario cost each device.
#![allow(
    clippy::disallowed_methods,
    reason = "says how long other processes took"
)]

use super::host::Host;
use crate::harness::{PATIENCE, run};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

/// From its making on, bytes and time are counted.
pub(super) struct Report {
    scenario: &'static str,
    begun: Instant,
    before: Vec<Traffic>,
}

/// Bytes on the interface of a device.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Traffic {
    /// Since the host was made.
    pub(super) fn of(host: &Host) -> Traffic {
        let mut command = Command::new("ip");
        command.args(["-n", host.namespace(), "-s", "-j", "link", "show", "eth0"]);
        let shown = run(&mut command, PATIENCE).ok();
        let shown: Value = serde_json::from_str(&shown).expect("ip -j prints JSON");
        let bytes = |way: &str| {
            let bytes = shown[0]["stats64"][way]["bytes"].as_u64();
            bytes.unwrap_or_else(|| panic!("no bytes: {shown}"))
        };
        Traffic {
            received: bytes("rx"),
            sent: bytes("tx"),
        }
    }
}

/// Says something whether or not the output of tests is shown.
pub(super) fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

impl Report {
    pub(super) fn begin(scenario: &'static str, hosts: &[&Host]) -> Report {
        Report {
            scenario,
            begun: Instant::now(),
            before: hosts.iter().map(|host| Traffic::of(host)).collect(),
        }
    }

    /// What was sent and received since the beginning, host by host.
    pub(super) fn traffic(&self, hosts: &[&Host]) -> Vec<Traffic> {
        let now = hosts.iter().map(|host| Traffic::of(host));
        let each = now.zip(&self.before).map(|(now, before)| Traffic {
            received: now.received - before.received,
            sent: now.sent - before.sent,
        });
        each.collect()
    }

    /// Prints a line for each device. The hosts are those of the beginning.
    pub(super) fn end(self, hosts: &[&Host], remark: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let scenario = self.scenario;
        let mut text = format!("\n{scenario}: {seconds:.1} s, {remark}\n");
        for (host, traffic) in hosts.iter().zip(self.traffic(hosts)) {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let (now, most) = host.memory();
            let Traffic { received, sent } = traffic;
            let _ = writeln!(
                text,
                "  {scenario}: {}: received {received} B, sent {sent} B, {seconds:.1} s, \
                 resident {:.1} MiB, at most {:.1} MiB",
                host.name(),
                mib(now),
                mib(most),
            );
        }
        tell(&text);
    }
}
