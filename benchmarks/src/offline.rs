//! Two peers that were apart, each with many calls on the same rows, become equal.

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::{ACCOUNTS, Mesh};
use crate::report::{Better, Row};

/// Calls in one entry: a client at a time that makes a few at once.
const BATCH: u64 = 16;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(10_000);
    let mut mesh = Mesh::new(2)?;
    mesh.open_chat()?;
    mesh.converge()?;
    mesh.part();
    // In turns, so that their times interleave and nearly every call of one conflicts with the
    // other's order.
    for _ in 0..calls / BATCH {
        mesh.transfer_burst(0, BATCH)?;
        mesh.transfer_burst(1, BATCH)?;
    }
    let made = 2 * (calls / BATCH) * BATCH;
    let executed = |mesh: &mut Mesh| -> anyhow::Result<u64> {
        Ok(mesh.status(0)?.executions + mesh.status(1)?.executions)
    };
    let before = executed(&mut mesh)?;
    let start = instant();
    mesh.meet();
    mesh.converge()?;
    let seconds = start.elapsed().as_secs_f64();
    let ran = executed(&mut mesh)? - before;
    // Each call has to run once on the peer that did not make it; the rest is repeated work.
    let repeated = ran.saturating_sub(made) as f64 / made as f64;
    Ok(vec![
        Row::new(
            format!("two peers apart, {calls} calls each on {ACCOUNTS} rows, then equal"),
            seconds,
            "s",
            Better::Less,
            1.0,
        ),
        Row::new(
            "re-executions for each of these calls",
            repeated,
            "runs/call",
            Better::Less,
            1.0,
        ),
    ])
}
