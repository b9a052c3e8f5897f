//! Reducer calls per second in one peer: two reads and two writes on a clean instance, batched,
//! signed, durable before the answer.

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::Mesh;
use crate::report::{Better, Row};

/// Calls that wait for their answers at a time: 8 connections with 32 each.
const IN_FLIGHT: u64 = 256;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let mut mesh = Mesh::new(1)?;
    mesh.open_chat()?;
    let bursts = options.amount(100_000) / IN_FLIGHT;
    // Caches, the file's first growth and lazy compilation are no part of the figure.
    for _ in 0..bursts / 10 {
        mesh.transfer_burst(0, IN_FLIGHT)?;
    }
    let start = instant();
    for _ in 0..bursts {
        mesh.transfer_burst(0, IN_FLIGHT)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let few = 64;
    let start_few = instant();
    for _ in 0..bursts {
        mesh.transfer_burst(0, few)?;
    }
    let seconds_few = start_few.elapsed().as_secs_f64();
    Ok(vec![
        Row::new(
            format!("reducer calls in one peer, {IN_FLIGHT} in flight"),
            (bursts * IN_FLIGHT) as f64 / seconds,
            "calls/s",
            Better::More,
            100_000.0,
        ),
        Row::note(
            format!("the same, {few} in flight"),
            (bursts * few) as f64 / seconds_few,
            "calls/s",
        ),
    ])
}
