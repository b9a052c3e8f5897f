//! A peer with many small rows: how it is filled, how fast it is there again, what it then takes.

use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::arguments::Options;
use crate::clock::{instant, pause};
use crate::mesh::Mesh;
use crate::processes::PeerProcess;
use crate::report::{Better, Row};
use crate::resident::{self, Resident};

/// Calls that wait for their answers at a time.
const IN_FLIGHT: u64 = 1_024;

/// Questions behind a median.
const ASKED: usize = 200;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let rows = options.amount(1_000_000);
    resident::forget_peak()?;
    let mut mesh = Mesh::new(1)?;
    mesh.open_chat()?;
    let start = instant();
    for _ in 0..rows.div_ceil(IN_FLIGHT) {
        mesh.message_burst(0, IN_FLIGHT)?;
    }
    let filling = start.elapsed().as_secs_f64();
    mesh.wait_until_final()?;
    let filled = resident::own()?;
    let data = mesh.into_data_dir()?;

    // The first start finds files that another process has just closed: the second, as all later
    // ones, finds what a peer leaves.
    let peer = PeerProcess::start_on(data)?;
    let (after_stop, peer) = opened(peer.stop()?)?;
    peer.client()
        .call("send_message", r#"["lobby", "last words"]"#)?;
    let (after_kill, peer) = opened(peer.kill()?)?;
    pause(Duration::from_secs(if options.quick { 2 } else { 5 }));
    let idle = resident::of(peer.pid())?;
    let client = peer.client();
    let read = median(|| client.sql("SELECT * FROM account WHERE id = 7").map(|_| ()))?;
    let call = median(|| client.call("transfer", "[0, 1, 1]"))?;
    let worked = resident::of(peer.pid())?;
    Ok(figures(
        rows, filling, &filled, after_stop, after_kill, &idle, read, call, &worked,
    ))
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call site, each a figure of its own"
)]
fn figures(
    rows: u64,
    filling: f64,
    filled: &Resident,
    after_stop: f64,
    after_kill: f64,
    idle: &Resident,
    read: f64,
    call: f64,
    worked: &Resident,
) -> Vec<Row> {
    vec![
        Row::note(
            format!("filling a peer with {rows} rows, one a call"),
            rows as f64 / filling,
            "calls/s",
        ),
        Row::note("the most that was resident meanwhile", filled.peak, "MiB"),
        Row::new(
            format!("start with {rows} rows until the first answer"),
            after_stop,
            "s",
            Better::Less,
            1.0,
        ),
        Row::new("the same after a kill", after_kill, "s", Better::Less, 1.0),
        Row::new(
            format!("resident memory of an idle peer with {rows} rows"),
            idle.all,
            "MiB",
            Better::Less,
            64.0,
        ),
        Row::note("of it anonymous", idle.anonymous, "MiB"),
        Row::note("a point read over HTTP, median", read, "ms"),
        Row::note("a call over HTTP, median", call, "ms"),
        Row::note("resident memory after these", worked.all, "MiB"),
    ]
}

/// Starts the program; answers the seconds until its first answer.
fn opened(data: TempDir) -> anyhow::Result<(f64, PeerProcess)> {
    let start = instant();
    let peer = PeerProcess::start_on(data)?;
    peer.client().sql("SELECT * FROM account WHERE id = 7")?;
    Ok((start.elapsed().as_secs_f64(), peer))
}

/// The median of the milliseconds that something takes.
fn median(mut ask: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let start = instant();
        ask()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    times.get(ASKED / 2).copied().context("something was asked")
}
