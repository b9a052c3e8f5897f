//! `tombolo demo`: the first thing that somebody runs.

use crate::harness::{run, tombolo, turn};
use std::process::Command;
use std::time::Duration;

/// The demo promises half of this on an idle machine; tests share theirs.
const DEMO_PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_demo_converges() {
    let _turn = turn();
    let ended = run(Command::new(tombolo()).arg("demo"), DEMO_PATIENCE);
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
    let last = ended.stdout.trim_end().lines().last().unwrap_or_default();
    assert!(last.contains("converged"), "{}", ended.stdout);
    let roots = state_roots(&ended.stdout);
    assert!(
        roots.len() >= 3,
        "three peers, three roots: {}",
        ended.stdout
    );
    let last = &roots[roots.len() - 3..];
    assert!(last.iter().all(|root| *root == last[0]), "{last:?}");
}

/// Every word of 64 hex digits, in order.
fn state_roots(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.len() == 64 && word.chars().all(|letter| letter.is_ascii_hexdigit()))
        .collect()
}
