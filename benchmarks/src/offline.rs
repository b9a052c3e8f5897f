//! Two peers that were apart, each with many calls on the same rows, become equal.

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::{ACCOUNTS, Mesh};
use crate::report::{Better, Row};

/// Calls in one entry: a client at a time that makes a few at once.
const BATCH: u64 = 16;

/// What becoming equal took.
pub(crate) struct Ran {
    /// Calls that each of the two had made.
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    /// Calls that were executed for that, on both together.
    pub(crate) executed: u64,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(10_000);
    let ran = run(calls)?;
    // Each call has to run once on the peer that did not make it; the rest is repeated work.
    let made = 2 * ran.calls;
    let repeated = ran.executed.saturating_sub(made) as f64 / made as f64;
    Ok(vec![
        Row::new(
            format!("two peers apart, {calls} calls each on {ACCOUNTS} rows, then equal"),
            ran.seconds,
            "s",
            Better::Less,
            0.5,
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

/// Has two peers that are apart make about so many calls each, then become equal.
///
/// # Errors
/// If they do not.
pub(crate) fn run(calls: u64) -> anyhow::Result<Ran> {
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
    let executed = |mesh: &mut Mesh| -> anyhow::Result<u64> {
        Ok(mesh.status(0)?.executions + mesh.status(1)?.executions)
    };
    let before = executed(&mut mesh)?;
    let start = instant();
    mesh.meet();
    mesh.converge()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Ran {
        calls: calls / BATCH * BATCH,
        seconds,
        executed: executed(&mut mesh)? - before,
    })
}
