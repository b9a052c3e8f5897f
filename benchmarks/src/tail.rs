//! A long time without the finaliser: memory while the tail grows, what the spill costs, and that
//! all becomes final and equal once it is back.

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::Mesh;
use crate::report::{Better, Row};
use crate::resident;

/// Calls in one entry.
const BATCH: u64 = 64;

/// Calls after which the overlay's budget is surely not used up yet.
const BEFORE: u64 = 60_000;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(300_000);
    let mut mesh = Mesh::new(2)?;
    mesh.open_chat()?;
    mesh.converge()?;
    mesh.wait_until_final()?;
    mesh.part();
    resident::forget_peak()?;
    let before = resident::own()?;
    let mut made = 0;
    let (mut early, mut late) = (0.0, 0.0);
    let third = calls / 3;
    while made < calls {
        let start = instant();
        // Half of the calls write rows of their own, half the same rows over and over.
        mesh.message_burst(1, BATCH / 2)?;
        mesh.transfer_burst(1, BATCH / 2)?;
        let seconds = start.elapsed().as_secs_f64();
        made += BATCH;
        if made > BEFORE / 6 && made <= BEFORE.min(third) {
            early += seconds;
        } else if made > calls - third {
            late += seconds;
        }
    }
    let grown = resident::own()?;
    let status = mesh.status(1)?;
    let early_rate = (BEFORE.min(third) - BEFORE / 6) as f64 / early;
    let late_rate = third as f64 / late;
    let start = instant();
    mesh.meet();
    mesh.converge()?;
    let equal = start.elapsed().as_secs_f64();
    mesh.wait_until_final()?;
    let last = start.elapsed().as_secs_f64();
    let (first, second) = (mesh.status(0)?, mesh.status(1)?);
    anyhow::ensure!(
        first.state_root == second.state_root && first.cut.id == second.cut.id,
        "both have the same rows and the same cut in the end"
    );
    anyhow::ensure!(
        second.spilled_bytes == 0,
        "what is final is spilled no more"
    );
    Ok(vec![
        Row::new(
            format!("the most that was resident while {calls} calls waited to be final"),
            grown.peak,
            "MiB",
            Better::Less,
            192.0,
        ),
        Row::note("resident before", before.all, "MiB"),
        Row::note("resident after", grown.all, "MiB"),
        Row::note("of it anonymous", grown.anonymous, "MiB"),
        Row::note(
            "row versions in memory",
            status.overlay_bytes as f64 / 1_048_576.0,
            "MiB",
        ),
        Row::note(
            "row versions on disk",
            status.spilled_bytes as f64 / 1_048_576.0,
            "MiB",
        ),
        Row::note("calls before anything is spilled", early_rate, "calls/s"),
        Row::note(
            "calls while the tail is spilled, to those before",
            late_rate / early_rate,
            "ratio",
        ),
        Row::note("the finaliser is back: both equal", equal, "s"),
        Row::note("all final", last, "s"),
        Row::note("resident in the end", resident::own()?.all, "MiB"),
    ])
}
