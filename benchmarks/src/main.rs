//! Measures what the design promises: `cargo xtask bench`, or `--quick` for a first look.
//!
//! Prints a table and writes `target/bench/latest.json`: `{"quick", "runs", "rows": [{"measurement",
//! "name", "value", "unit", "goal", "ok", "better", "min", "max"}]}`. A goal that is missed is said, and
//! is no failure: machines differ. Each measurement is one file; all use the real store on the real
//! disk.
//!
//! A figure is one run's, or the median of `--runs N`; `--compare FILE` shows beside it what a saved run
//! had. What other systems do with the same work is in `against`, and goes into
//! `target/bench/against.json`.

#![forbid(unsafe_code)]

mod against;
mod arguments;
mod binary;
mod calls;
mod catch_up;
mod clock;
mod compare;
mod connection;
mod dice;
mod documents;
mod fan_out;
mod figures;
mod follower;
mod following;
mod growth;
mod late;
mod latency;
mod load;
mod memory;
mod mesh;
mod offline;
mod paced;
mod places;
mod processes;
mod reconcile;
mod report;
mod resident;
mod rows;
mod runs;
mod socket;
mod tail;
mod wakeups;
mod websocket;

use std::process::ExitCode;

use arguments::Options;
use mimalloc::MiMalloc;
use report::Report;

/// The program's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("benchmarks: something could not be measured, see above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("benchmarks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be measured.
fn run() -> anyhow::Result<bool> {
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        println!("{}", arguments::HELP);
        return Ok(true);
    };
    let mut complete = true;
    if options.measures() {
        complete &= measure(&options)?;
    }
    if !options.against.is_empty() {
        complete &= against::measure(&options, &places::against()?)?;
    }
    Ok(complete)
}

/// What the design promises.
fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut report = Report::new(options)?;
    report.measure("calls", calls::measure);
    report.measure("catch-up", catch_up::measure);
    report.measure("offline", offline::measure);
    report.measure("late", late::measure);
    report.measure("latency", latency::measure);
    report.measure("memory", memory::measure);
    report.measure("documents", documents::measure);
    report.measure("rows", rows::measure);
    report.measure("growth", growth::measure);
    report.measure("tail", tail::measure);
    report.measure("reconcile", reconcile::measure);
    report.measure("following", following::measure);
    report.measure("fan-out", fan_out::measure);
    report.measure("websocket", websocket::measure);
    report.measure("binary", binary::measure);
    report.finish(&places::report()?)
}
