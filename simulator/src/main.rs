//! The command line of the simulator: runs worlds and says what became of them.

#![forbid(unsafe_code)]

#[cfg(feature = "plants")]
mod planted;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use peer_core::Modules;
use simulator::{Campaign, Fault, Market, PEERS_MAX, Plan, Report, Seed, Totals, Verdict, run};

/// Runs peers on a made-up network, disk and clock. The same seed gives the same run.
///
/// Exit status: 0 passed, 10 a promise was broken, 11 the peers did not become equal in time.
#[derive(Parser)]
#[command(name = "simulator", version)]
struct Arguments {
    #[cfg(feature = "plants")]
    #[command(subcommand)]
    command: Option<Command>,
    /// The first seed; a new one, which is printed, if this is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run, counting up from the first.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Peers, 2 to 50; each seed decides if this is left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=PEERS_MAX as u64))]
    peers: Option<u64>,
    /// Faults that do not happen although the seed draws them, with commas between.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Fault>,
    /// Calls that are made at most while things go wrong.
    #[arg(long)]
    calls: Option<u64>,
    /// Note in this file how far it is, and go on from there.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Runs that may be tried to find a smaller one that fails, after one has failed.
    #[arg(long, default_value_t = 60)]
    shrink: u32,
    /// Print everything that happened. Nothing is shrunk then.
    #[arg(long)]
    trace: bool,
}

#[cfg(feature = "plants")]
#[derive(clap::Subcommand)]
enum Command {
    /// Make mistakes on purpose, one after the other, and see whether they are noticed.
    Plants(planted::Planting),
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    #[cfg(feature = "plants")]
    if let Some(Command::Plants(planting)) = &arguments.command {
        let all = planting.run()?;
        return Ok(ExitCode::from(u8::from(!all)));
    }
    let modules = Modules::new().context("wasm cannot be run on this machine")?;
    let market = Market::load()?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => fresh_seed()?,
    };
    let plan = Plan {
        seed: Seed(seed),
        peers: arguments.peers.map(usize::try_from).transpose()?,
        without: arguments.without,
        calls: arguments.calls,
        keep_trace: arguments.trace,
    };
    if arguments.trace {
        let report = run(&plan, &modules, &market);
        for line in &report.trace {
            println!("{line}");
        }
        tell(&plan, &report);
        return Ok(ExitCode::from(report.verdict.exit_code()));
    }
    let campaign = Campaign {
        first: plan,
        runs: arguments.runs,
        jobs: arguments.jobs,
        file: arguments.resume.as_deref(),
    };
    let (totals, failed) = campaign.run(&modules, &market, tell)?;
    if arguments.runs > 1 {
        summarise(&totals);
    }
    let Some((plan, report)) = failed else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("looking for a smaller run that fails");
    let heard = |plan: &Plan, verdict: &Verdict| println!("  {plan}: {verdict}");
    let (plan, report) =
        simulator::shrink(&plan, report, arguments.shrink, &modules, &market, heard);
    println!("the smallest that was found:");
    tell(&plan, &report);
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// A seed that nobody chose.
fn fresh_seed() -> anyhow::Result<u64> {
    use std::hash::{BuildHasher, RandomState};
    // Short enough to be typed.
    Ok(RandomState::new().hash_one(std::process::id()) % 1_000_000_000)
}

fn tell(plan: &Plan, report: &Report) {
    let counts = &report.counts;
    println!(
        "{plan}: {}; {} peers, {} s, equal after {} s, {} cuts, {} calls ({} acknowledged, \
         {} refused), {} messages, {} crashes, {} disturbances, {} disk faults, {} lies, \
         {} hang-ups; trace {}",
        report.verdict,
        report.peers,
        report.world_s,
        report.healed_in_s,
        report.height,
        report.calls,
        report.confirmed,
        report.refused,
        counts.messages,
        counts.crashes,
        counts.disturbances,
        counts.disk_faults,
        counts.lies,
        counts.hang_ups,
        report.trace_hash.short(),
    );
    if report.verdict != Verdict::Passed {
        println!("  faults: {}", report.faults);
        println!("  replay: cargo xtask sim {plan} --trace");
    }
}

fn summarise(totals: &Totals) {
    let numbers = totals
        .named()
        .map(|(name, number)| format!("{name} {number}"));
    println!("passed: {}", numbers.join(", "));
}
