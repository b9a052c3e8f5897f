//! A smaller run that fails in the same way: fewer peers, fewer faults, fewer calls. Each try is a
//! run of its own with the same seed, so what comes out is replayed like any other.

use peer_core::Modules;

use crate::faults::Fault;
use crate::market::Market;
use crate::plan::Plan;
use crate::run::{Report, Verdict, run};

/// Looks for a smaller run with the same kind of verdict, in at most `tries` runs. `tried` hears of
/// each. Returns the smallest found and its report; the given one if nothing can be left out.
pub fn shrink(
    plan: &Plan,
    report: Report,
    tries: u32,
    modules: &Modules,
    market: &Market,
    mut tried: impl FnMut(&Plan, &Verdict),
) -> (Plan, Report) {
    let mut left = tries;
    let mut best = (plan.clone(), report);
    // What one round could not leave out may be superfluous after the next.
    loop {
        let mut smaller = false;
        for candidate in candidates(&best.0, &best.1) {
            if left == 0 {
                return best;
            }
            left -= 1;
            let report = run(&candidate, modules, market);
            tried(&candidate, &report.verdict);
            if report.verdict.exit_code() == best.1.verdict.exit_code() {
                best = (candidate, report);
                smaller = true;
                break;
            }
        }
        if !smaller {
            return best;
        }
    }
}

/// Runs that are smaller by one step, the largest steps first.
fn candidates(plan: &Plan, report: &Report) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let peers = report.peers;
    let mut fewer: Vec<_> = [2, peers / 2, peers.saturating_sub(1)]
        .into_iter()
        .filter(|fewer| (2..peers).contains(fewer))
        .collect();
    fewer.dedup();
    candidates.extend(fewer.into_iter().map(|peers| Plan {
        peers: Some(peers),
        ..plan.clone()
    }));
    let there = Fault::ALL
        .into_iter()
        .filter(|fault| report.faults.has(*fault));
    let there: Vec<_> = there.collect();
    let without = |faults: &[Fault]| {
        let mut plan = plan.clone();
        plan.without.extend_from_slice(faults);
        plan
    };
    // Half of them at once, before each by itself.
    if there.len() > 3 {
        let (one, other) = there.split_at(there.len() / 2);
        candidates.push(without(one));
        candidates.push(without(other));
    }
    candidates.extend(there.iter().map(|fault| without(&[*fault])));
    let calls = plan.calls.unwrap_or(report.calls).min(report.calls);
    let steps = [calls / 8, calls / 2, calls * 3 / 4, calls.saturating_sub(1)];
    let mut calls_before = None;
    for step in steps {
        if step < calls && calls_before != Some(step) {
            calls_before = Some(step);
            candidates.push(Plan {
                calls: Some(step),
                ..plan.clone()
            });
        }
    }
    candidates
}
