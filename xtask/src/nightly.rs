//! What takes too long for every change. `cargo xtask ci` does a little of each.

use crate::ci::{Stage, run_stages};
use crate::command::cargo;
use crate::{iproute, simulate, wasm};

/// Times that a peer is killed.
const KILLS: &str = "100";

/// Runs each stage, and stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    let stages: [Stage; 4] = [
        ("build", build),
        ("kill loop", kill_loop),
        ("simulator", simulate::for_a_night),
        ("plants", simulate::all_plants),
    ];
    run_stages(&stages)
}

/// As `cargo xtask test` builds.
fn build() -> anyhow::Result<()> {
    wasm::build()?;
    iproute::provide()?;
    cargo(["build", "--release", "--workspace", "--bins", "--tests"]).run()
}

/// Output is shown: each round prints a line.
fn kill_loop() -> anyhow::Result<()> {
    cargo(["test", "--release", "--workspace", "--test", "it"])
        .args(["--", "--nocapture", "kill_loop"])
        .env("TOMBOLO_KILL_ROUNDS", KILLS)
        .run()
}
