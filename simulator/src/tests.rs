//! Whole worlds. Every failure names its seed; `cargo xtask sim --seed N --trace` shows what
//! happened.

use std::sync::OnceLock;

use peer_core::Modules;

use crate::{Fault, Market, Plan, Report, Seed, Verdict, run, run_on, shrink};

/// Preparing a module takes longer than a whole run: all tests share it.
fn modules() -> &'static Modules {
    static MODULES: OnceLock<Modules> = OnceLock::new();
    MODULES.get_or_init(|| Modules::new().expect("wasm runs here"))
}

fn market() -> &'static Market {
    static MARKET: OnceLock<Market> = OnceLock::new();
    MARKET.get_or_init(|| Market::load().expect("`cargo xtask wasm` was run"))
}

fn report(plan: &Plan) -> Report {
    run(plan, modules(), market())
}

fn passes(plan: &Plan) -> Report {
    let report = report(plan);
    assert_eq!(
        report.verdict,
        Verdict::Passed,
        "replay: cargo xtask sim {plan} --trace; faults: {}",
        report.faults
    );
    assert!(
        report.confirmed > 0 && report.height > 0,
        "{plan} did nothing"
    );
    report
}

/// Seeds that once ended badly, and why.
const ONCE_BROKEN: [(u64, &str); 2] = [
    (
        14,
        "a peer built on what it had written with a clock of the future, and its callers never heard",
    ),
    (
        55,
        "a peer that was corrected by the others fell back to its own clock when they were gone",
    ),
];

#[test]
fn seeds_that_once_ended_badly_pass() {
    for (seed, why) in ONCE_BROKEN {
        println!("seed {seed}: {why}");
        passes(&Plan::of(Seed(seed)));
    }
}

#[test]
fn a_large_world_passes() {
    let plan = Plan {
        peers: Some(20),
        calls: Some(60),
        ..Plan::of(Seed(4))
    };
    assert_eq!(passes(&plan).peers, 20);
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_not() {
    let hashes = [7, 10].map(|seed| {
        let plan = Plan::of(Seed(seed));
        let (first, second) = (passes(&plan), passes(&plan));
        assert_eq!(first.trace_lines, second.trace_lines, "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        first.trace_hash
    });
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn the_judge_notices_disks_that_lie_and_shows_a_smaller_run() {
    let notices = |seed: &u64| {
        let verdict = run_on(&Plan::of(Seed(*seed)), modules(), market(), true).verdict;
        println!("seed {seed}: {verdict}");
        matches!(verdict, Verdict::Unsafe(_))
    };
    // Only worlds in which the power fails can tell.
    let noticed = (2_000..2_008_u64).filter(notices).count();
    assert!(noticed >= 2, "only {noticed} of 8 were noticed");
}

#[test]
fn what_passes_is_not_made_smaller() {
    let plan = Plan {
        peers: Some(2),
        calls: Some(0),
        without: Fault::ALL.to_vec(),
        ..Plan::of(Seed(1))
    };
    let report = report(&plan);
    assert_eq!(report.verdict, Verdict::Passed);
    let (same, _) = shrink(&plan, report, 9, modules(), market(), |_, _| {});
    assert_eq!(same, plan);
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
