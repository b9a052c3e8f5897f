//! The command line of the simulator: runs worlds and says what became of them.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use peer_core::Modules;
use simulator::{Plan, Seed, Verdict, run};

/// Runs peers on a made-up network, disk and clock. The same seed gives the same run.
///
/// Exit status: 0 passed, 10 a promise was broken, 11 the peers did not become equal in time.
#[derive(Parser)]
#[command(name = "simulator", version)]
struct Arguments {
    /// The first seed.
    #[arg(long)]
    seed: u64,
    /// How many seeds to run, counting up from the first.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Peers, 2 to 5; each seed decides if this is left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=5))]
    peers: Option<u64>,
    /// Give the database another module in the middle of the bad time.
    #[arg(long)]
    upgrade: bool,
    /// Print everything that happened.
    #[arg(long)]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let modules = Modules::new().context("wasm cannot be run on this machine")?;
    let peers = arguments.peers.map(usize::try_from).transpose()?;
    let mut worst = Verdict::Passed;
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
        let plan = Plan {
            seed: Seed(seed),
            peers,
            keep_trace: arguments.trace,
            plant: None,
            upgrade: arguments.upgrade,
        };
        let report = run(&plan, &modules);
        for line in &report.trace {
            println!("{line}");
        }
        println!(
            "seed {seed}: {}; {} peers, {} s, equal after {} s, {} cuts, {} calls ({} confirmed, {} refused), \
             {} messages, {} crashes, {} disturbances, {} hang-ups; trace {}",
            report.verdict,
            report.peers,
            report.world_s,
            report.healed_in_s,
            report.height,
            report.calls,
            report.confirmed,
            report.refused,
            report.counts.messages,
            report.counts.crashes,
            report.counts.disturbances,
            report.counts.hang_ups,
            report.trace_hash.short(),
        );
        if report.verdict != Verdict::Passed {
            println!("  faults: {}", report.faults);
            println!(
                "  replay: simulator --seed {seed}{}{} --trace",
                shown(arguments.peers),
                if arguments.upgrade { " --upgrade" } else { "" }
            );
        }
        if report.verdict.exit_code() > 0 && worst.exit_code() != 10 {
            worst = report.verdict;
        }
    }
    Ok(ExitCode::from(worst.exit_code()))
}

fn shown(peers: Option<u64>) -> String {
    peers.map_or(String::new(), |peers| format!(" --peers {peers}"))
}
