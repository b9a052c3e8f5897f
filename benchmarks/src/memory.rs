//! Memory of a peer's process that has a small database, has worked, and has nothing to do.

use std::time::Duration;

use anyhow::Context;

use crate::arguments::Options;
use crate::clock::pause;
use crate::processes::pair;
use crate::report::{Better, Row};

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let (first, second) = pair()?;
    first.client().call("open_accounts", "[1000]")?;
    for _ in 0..options.amount(500) {
        first.client().call("transfer", "[0, 1, 1]")?;
    }
    // Cuts are made, caches trimmed: what an idle peer does, it does within seconds.
    pause(Duration::from_secs(if options.quick { 2 } else { 5 }));
    let resident = resident_mib(first.pid())?.max(resident_mib(second.pid())?);
    Ok(vec![Row::new(
        "resident memory of an idle peer",
        resident,
        "MiB",
        Better::Less,
        64.0,
    )])
}

fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("a process has a VmRSS line")?
        .parse()?;
    Ok(kib / 1_024.0)
}
