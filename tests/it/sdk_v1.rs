//! SpacetimeDB's client libraries of 1.x, as npm gives them, against a real peer, and the text form
//! of their protocol by hand: the cases in `tests/node-v1` run in Node.

use crate::harness::{Peer, turn};
use crate::node::{self, in_target, modules_folder};
use serde_json::json;
use std::path::PathBuf;

/// Files of cases.
const FILES: [&str; 3] = ["json", "library", "restart"];
/// How many cases they have at least, without those of a peer that is started again.
const CASES_MIN: u64 = 64;
/// How many those have.
const RESTARTS_MIN: u64 = 2;

#[test]
fn clients_of_spacetimedb_1() {
    cases(&["json", "library"], CASES_MIN);
}

#[test]
fn clients_of_spacetimedb_1_of_a_peer_that_is_started_again() {
    // By themselves: afterwards the peer is at another address.
    cases(&["restart"], RESTARTS_MIN);
}

#[test]
fn the_cases_for_spacetimedb_1_are_right_by_their_types() {
    let packages = node::folder("node-v1/node_modules");
    let paths = json!({
        "spacetimedb": [packages.join("spacetimedb")],
        "@clockworklabs/*": [packages.join("@clockworklabs/*")],
    });
    node::check_types(&cases_folder(), &in_target("sdk-v1-tests"), &paths);
}

fn cases(files: &[&str], count_min: u64) {
    let scratch = bundled();
    let _turn = turn();
    let mut peers = [Peer::start("a")];
    let files: Vec<PathBuf> = files
        .iter()
        .map(|file| scratch.join(format!("{file}.test.cjs")))
        .collect();
    let more = [("TOMBOLO_MODULES", modules_folder())];
    node::cases(&files, count_min, &["a"], &mut peers, &more);
}

fn cases_folder() -> PathBuf {
    node::folder("node-v1/src")
}

/// Bundles the cases with the libraries, once.
fn bundled() -> PathBuf {
    static ONCE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let bundle = || {
        let scratch = in_target("sdk-v1-tests");
        node::bundle(&node::sources(&cases_folder(), &FILES), &scratch, &[]);
        scratch
    };
    ONCE.get_or_init(bundle).clone()
}
