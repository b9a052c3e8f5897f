//! A fresh peer joins a database with a long history: it fetches the module, verifies, orders, runs
//! and keeps every call.

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::Mesh;
use crate::report::{Better, Row};

/// Calls in one entry, as a busy peer batches them.
const BATCH: u64 = 256;

/// A long history: what a join costs once hardly counts.
const LONG: u64 = 10;

/// Calls that were made one by one, each in an entry of its own, as devices that write seldom do.
const ALONE: u64 = 20_000;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(100_000);
    let mut rows = Vec::new();
    for calls in [calls, LONG * calls] {
        let seconds = seconds(calls, BATCH)?;
        rows.push(Row::new(
            format!("catch-up of {calls} calls on a fresh peer"),
            calls as f64 / seconds,
            "calls/s",
            Better::More,
            100_000.0,
        ));
        rows.push(Row::note("the same, from ticket to equal", seconds, "s"));
    }
    let alone = options.amount(ALONE);
    let seconds = seconds(alone, 1)?;
    rows.push(Row::note(
        format!("catch-up of {alone} calls, each in an entry of its own"),
        alone as f64 / seconds,
        "calls/s",
    ));
    Ok(rows)
}

/// Seconds from ticket to equal for a history of so many calls, `batch` in an entry, compiling the module included.
fn seconds(calls: u64, batch: u64) -> anyhow::Result<f64> {
    let mut mesh = Mesh::new(1)?;
    mesh.open_chat()?;
    let mut made = 0;
    while made < calls {
        let burst = batch.min(calls - made);
        mesh.transfer_burst(0, burst)?;
        made += burst;
    }
    // What is being settled meanwhile would be measured too.
    mesh.wait_until_final()?;
    let fresh = mesh.add_peer()?;
    let start = instant();
    mesh.join(fresh)?;
    mesh.converge()?;
    Ok(start.elapsed().as_secs_f64())
}
