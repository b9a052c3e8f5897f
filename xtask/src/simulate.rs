//! The simulator: for a change, for a night, and for whoever looks for something.

use crate::command::{Chore, cargo, program};
use crate::{places, wasm};
use anyhow::{Context, ensure};

/// Seeds that every change has to pass. One more is drawn from its commit.
const FIXED: [&str; 6] = ["--seed", "55", "--runs", "100", "--jobs", "2"];

/// Seeds of a night.
const SEEDS_OF_A_NIGHT: &str = "2000";

/// Seeds within which a mistake that is made on purpose has to be noticed.
const SEEDS_OF_A_PLANT: &str = "200";

/// Seeds whose runs are told twice, by two processes.
const TOLD_TWICE: [&str; 4] = ["--seed", "7", "--runs", "3"];

/// Builds the simulator and what it needs, and hands it the arguments.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    wasm::build()?;
    crate::run_program("simulator", arguments)
}

/// Makes mistakes on purpose, and sees whether the simulator notices.
pub(crate) fn plants(arguments: &[String]) -> anyhow::Result<()> {
    wasm::build()?;
    cargo(["build", "--release", "--workspace", "--bin", "simulator"])
        .args(["--features", "simulator/plants"])
        .run()?;
    simulator().args(["plants"]).args(arguments).run()
}

/// What a change has to pass, after it was built: fixed seeds, one that nobody chose, and the same
/// run twice.
pub(crate) fn for_a_change() -> anyhow::Result<()> {
    let seed = seed_of_the_commit().to_string();
    simulator().args(FIXED).run()?;
    simulator().args(["--seed", &seed]).run()?;
    let tell = || simulator().args(TOLD_TWICE).output();
    let (first, second) = (tell(), tell());
    let first = first.context("the simulator did not pass seeds 7 to 9")?;
    ensure!(
        Some(&first) == second.as_ref(),
        "two processes ran the same seeds and tell different things:\n{first}\n\n{}",
        second.unwrap_or_default()
    );
    eprintln!("two processes told the same of seeds 7 to 9");
    Ok(())
}

/// Goes on where it was stopped, in target/simulator-night.json.
pub(crate) fn for_a_night() -> anyhow::Result<()> {
    let file = places::target().join("simulator-night.json");
    simulator()
        .args(["--seed", "1", "--runs", SEEDS_OF_A_NIGHT, "--jobs", "2"])
        .args(["--resume".as_ref(), file.as_os_str()])
        .run()
}

/// All mistakes that can be made on purpose.
pub(crate) fn all_plants() -> anyhow::Result<()> {
    plants(&["--within", SEEDS_OF_A_PLANT, "--jobs", "2"].map(str::to_owned))
}

fn simulator() -> Chore {
    program(places::target().join("release/simulator"))
}

/// Another one for every change, and the same for everybody who looks at it.
fn seed_of_the_commit() -> u64 {
    let commit = program("git").args(["rev-parse", "HEAD"]).output();
    let digits = commit.and_then(|commit| commit.get(..8).map(str::to_owned));
    let seed = digits.and_then(|digits| u64::from_str_radix(&digits, 16).ok());
    // Sources without a history have one seed.
    seed.unwrap_or(1)
}
