//! Whole worlds. Every failure names its seed; `simulator --seed N --trace` shows what happened.

use std::sync::OnceLock;

use peer_core::Modules;

use crate::{Plan, Plant, Report, Seed, Verdict, run};

/// Preparing the module takes longer than a whole run: all tests share it.
fn modules() -> &'static Modules {
    static MODULES: OnceLock<Modules> = OnceLock::new();
    MODULES.get_or_init(|| Modules::new().expect("wasm runs here"))
}

fn report(seed: u64) -> Report {
    run(&Plan::of(Seed(seed)), modules())
}

fn passes(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let report = report(seed);
        assert_eq!(
            report.verdict,
            Verdict::Passed,
            "replay: simulator --seed {seed} --trace; faults: {}",
            report.faults
        );
        assert!(
            report.confirmed > 0 && report.height > 0,
            "seed {seed} did nothing"
        );
    }
}

/// Seeds that once ended badly, each for a reason of its own.
const ONCE_BROKEN: [u64; 7] = [2, 47, 55, 220, 241, 599, 613];

#[test]
fn seeds_that_once_broke_a_promise_pass() {
    passes(ONCE_BROKEN);
}

#[test]
fn a_dozen_worlds_pass() {
    passes(1_000..1_012);
}

#[test]
fn worlds_pass_whose_module_changes_in_the_middle() {
    let other = sync_protocol::BlobHash::of(&crate::world::other_chat()).to_string();
    let mut changed = 0;
    for seed in 3_000..3_012 {
        let plan = Plan {
            upgrade: true,
            ..Plan::of(Seed(seed))
        };
        let report = run(&plan, modules());
        assert_eq!(
            report.verdict,
            Verdict::Passed,
            "replay: simulator --seed {seed} --upgrade --trace; faults: {}",
            report.faults
        );
        changed += usize::from(report.module_hash == other);
    }
    // Where the power failed over the publish it may be lost, and nobody was told otherwise.
    assert!(changed >= 9, "only {changed} of 12 run the other module");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_not() {
    let hashes = [7, 10].map(|seed| {
        let (first, second) = (report(seed), report(seed));
        assert_eq!(first.trace_lines, second.trace_lines, "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        first.trace_hash
    });
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn the_judge_notices_disks_that_lie() {
    let notices = |seed: &u64| {
        let plan = Plan {
            plant: Some(Plant::LyingDisks),
            ..Plan::of(Seed(*seed))
        };
        let verdict = run(&plan, modules()).verdict;
        println!("seed {seed}: {verdict}");
        matches!(verdict, Verdict::Unsafe(_))
    };
    // Only worlds in which the power fails can tell.
    let noticed = (2_000..2_012_u64).filter(notices).count();
    assert!(noticed >= 3, "only {noticed} of 12 were noticed");
}

#[test]
fn verdicts_have_their_own_exit_codes() {
    let codes = [
        Verdict::Passed,
        Verdict::Unsafe(String::new()),
        Verdict::Stuck(String::new()),
    ]
    .map(|verdict| verdict.exit_code());
    assert_eq!(codes, [0, 10, 11]);
}
