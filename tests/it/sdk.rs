//! SpacetimeDB's own client library for TypeScript, as npm gives it, against real peers: the cases
//! in `tests/node` run in Node, with client code that `tombolo generate` wrote.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, module, run, tombolo, turn};
use crate::node::{self, CASES_PATIENCE, in_target, modules_folder};
use serde_json::json;
use std::path::{Path, PathBuf};
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
    let modules = node_tests().join("node_modules");
    let config = json!({
        "extends": node_tests().join("tsconfig.json"),
        "compilerOptions": {
            "typeRoots": [modules.join("@types")],
            "paths": {
                "generated/*": [scratch.join("generated/*")],
                "spacetimedb": [modules.join("spacetimedb")],
            },
        },
        "include": [node_tests().join("src")],
    });
    let file = scratch.join("tsconfig.json");
    std::fs::write(&file, config.to_string()).expect("the scratch directory can be written");
    let mut compiler = Command::new("node");
    compiler
        .arg(modules.join("typescript/bin/tsc"))
        .arg("--project")
        .arg(&file);
    let ended = run(&mut compiler, CASES_PATIENCE);
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
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

fn node_tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

/// Writes client code for each module and bundles the cases with it and the library, once.
fn bundled() -> PathBuf {
    static ONCE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ONCE.get_or_init(bundle).clone()
}

fn bundle() -> PathBuf {
    let modules = node_tests().join("node_modules");
    assert!(
        modules.exists(),
        "{} is not there: `cargo xtask test` installs it",
        modules.display()
    );
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
    let mut esbuild = Command::new(modules.join(".bin/esbuild"));
    esbuild
        .args(sources())
        .args(["--bundle", "--platform=node", "--target=node20"])
        .args(["--format=cjs", "--out-extension:.js=.cjs"])
        // The same file of the library for the cases and for the generated code.
        .arg("--main-fields=module,main")
        .arg("--log-level=warning")
        .arg(format!("--outdir={}", scratch.display()))
        .arg(format!("--alias:generated={}", generated.display()))
        // The generated code lies elsewhere than the packages that it uses.
        .env("NODE_PATH", &modules);
    run(&mut esbuild, CASES_PATIENCE).ok();
    scratch
}

/// All files of cases.
///
/// # Panics
/// When no test runs one of them.
fn sources() -> Vec<PathBuf> {
    let files = std::fs::read_dir(node_tests().join("src")).expect("the cases are there");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("a folder can be read").path())
        .filter(|file| file.to_string_lossy().ends_with(".test.ts"))
        .collect();
    files.sort();
    let mut known: Vec<PathBuf> = [ONE_PEER, RESTARTS, TWO_PEERS]
        .iter()
        .flat_map(|(files, _)| *files)
        .map(|name| node_tests().join(format!("src/{name}.test.ts")))
        .collect();
    known.sort();
    assert_eq!(files, known, "each file of cases is run by a test");
    files
}
