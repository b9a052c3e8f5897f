//! SpacetimeDB's own client library for Rust, as crates.io gives it, against a real peer: the program in
//! `tests/rust-client`, with client code that `tombolo generate` wrote.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Ended, PATIENCE, Peer, module, run, tombolo, turn};
use crate::node::{CASES_PATIENCE, in_target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The modules that the cases connect to, each published under its own name.
const MODULES: [&str; 5] = ["chat", "inventory", "cabinet", "clockwork", "misbehave"];
/// How many cases there are at least.
const CASES_MIN: usize = 33;
/// How long building may take: `cargo xtask test` has compiled the libraries before, but whoever runs
/// this test alone waits for them.
const BUILD_PATIENCE: Duration = Duration::from_secs(1_800);
/// How long a peer may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn clients_in_rust() {
    let program = built();
    let _turn = turn();
    let mut peer = Peer::start("a");
    for name in MODULES {
        peer.publish(name, name);
    }
    let ended = cases(&program, &peer, &["all"]);
    let passed = ended.stdout.lines().filter(|line| line.starts_with("ok "));
    let passed = passed.count();
    assert!(
        ended.status.success() && passed >= CASES_MIN,
        "{passed} cases passed, of at least {CASES_MIN}\n{}\n{}",
        ended.stdout,
        ended.stderr
    );
    // Who comes back after a restart of the peer is the same, and so are the rows.
    let token = cases(&program, &peer, &["leave"]).ok();
    let status = peer.interrupt(STOP_PATIENCE).expect("the peer stops");
    assert!(status.success(), "{status}");
    peer.start_again();
    let found = cases(&program, &peer, &["return", token.trim()]).ok();
    assert_eq!(found, "found\n");
}

fn cases(program: &Path, peer: &Peer, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("TOMBOLO_URL", peer.http())
        .env("TOMBOLO_TOKEN", peer.token());
    run(&mut command, CASES_PATIENCE)
}

/// Writes client code for each module and builds the program with it.
fn built() -> PathBuf {
    let generated = in_target("rust-client-generated");
    for name in MODULES {
        generate(name, &generated.join(name), &[]);
    }
    // The peer's own tables beside a module's.
    generate("chat", &generated.join("system"), &["--system-tables"]);
    let target = in_target("rust-client");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-client");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--locked", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("TOMBOLO_GENERATED", &generated);
    run(&mut cargo, BUILD_PATIENCE).ok();
    target.join("debug/rust-client")
}

fn generate(name: &str, folder: &Path, more: &[&str]) {
    let mut generate = Command::new(tombolo());
    generate
        .args(["generate", "--lang", "rust", "--bin-path"])
        .arg(module(name))
        .arg("--out-dir")
        .arg(folder)
        .args(more);
    run(&mut generate, PATIENCE).ok();
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .args(["--edition", "2024", "--check"])
        .arg(folder.join("mod.rs"));
    // Written as rustfmt would.
    run(&mut rustfmt, PATIENCE).ok();
}
