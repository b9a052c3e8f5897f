//! SpacetimeDB's own client library for TypeScript, as npm gives it, against real peers: the cases
//! in `tests/node` run in Node, with client code that `tombolo generate` wrote.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, module, run, tombolo, turn};
use crate::node::{self, CASES_PATIENCE, in_target, modules_folder};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

/// The modules that the cases publish.
const MODULES: [&str; 6] = [
    "chat",
    "inventory",
    "cabinet",
    "misbehave",
    "doorkeeper",
    "private_notes",
];

/// Files of cases, and how many cases they have at least.
type Cases = (&'static [&'static str], u64);

const ONE_PEER: Cases = (
    &[
        "callbacks",
        "calling",
        "columns",
        "connecting",
        "crowd",
        "frames",
        "lifecycle",
        "raw",
        "refused",
        "sets",
        "subscribing",
        "visibility",
    ],
    144,
);
/// By themselves: afterwards the peer is at another address.
const RESTARTS: Cases = (&["restart"], 3);
const TWO_PEERS: Cases = (&["two_peers"], 7);

#[test]
fn clients_of_one_peer() {
    cases(&["a"], ONE_PEER);
}

#[test]
fn clients_of_a_peer_that_is_started_again() {
    cases(&["a"], RESTARTS);
}

#[test]
fn clients_of_two_peers() {
    cases(&["a", "b"], TWO_PEERS);
}

#[test]
fn the_cases_are_right_by_their_types() {
    let scratch = bundled();
    let paths = json!({
        "generated/*": [scratch.join("generated/*")],
        "spacetimedb": [node::packages().join("spacetimedb")],
    });
    node::check_types(&cases_folder(), &scratch, &paths);
}

/// Runs the cases of some files against fresh peers. All have to pass, and at least so many have to
/// be there.
fn cases(names: &[&str], (files, count_min): Cases) {
    let scratch = bundled();
    let _turn = turn();
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    let files: Vec<PathBuf> = files
        .iter()
        .map(|file| scratch.join(format!("{file}.test.cjs")))
        .collect();
    let more = [("TOMBOLO_MODULES", modules_folder())];
    node::cases(&files, count_min, names, &mut peers, &more);
}

fn cases_folder() -> PathBuf {
    node::folder("node/src")
}

/// Writes client code for each module and bundles the cases with it and the library, once.
fn bundled() -> PathBuf {
    static ONCE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ONCE.get_or_init(bundle).clone()
}

fn bundle() -> PathBuf {
    let scratch = in_target("sdk-tests");
    let generated = scratch.join("generated");
    for name in MODULES {
        let mut generate = Command::new(tombolo());
        generate
            .args(["generate", "--lang", "typescript", "--bin-path"])
            .arg(module(name))
            .arg("--out-dir")
            .arg(generated.join(name));
        run(&mut generate, CASES_PATIENCE).ok();
    }
    let known: Vec<&str> = [ONE_PEER, RESTARTS, TWO_PEERS]
        .iter()
        .flat_map(|(files, _)| *files)
        .copied()
        .collect();
    let files = node::sources(&cases_folder(), &known);
    let more = [format!("--alias:generated={}", generated.display())];
    node::bundle(&files, &scratch, &more);
    scratch
}
