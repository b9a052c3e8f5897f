//! Calls that come late, under many that have been executed: how many of these run again, and how
//! long the peer is busy with it.

use anyhow::Context;
use peer_core::Replay;

use crate::arguments::Options;
use crate::clock::Deadline;
use crate::dice::Dice;
use crate::mesh::{ACCOUNTS, Mesh};
use crate::report::{Better, Row};

/// Calls in one entry.
const BATCH: usize = 16;

/// Accounts that only late calls touch, where nothing is to be shared.
const APART: u32 = 2;

/// It is away, so that nothing becomes final.
const FINALISER: usize = 0;
const MANY: usize = 1;
const LATE: usize = 2;

type Pick = fn(&mut Dice) -> (u32, u32);

fn pair(dice: &mut Dice, mut pick: impl FnMut(&mut Dice) -> u32) -> (u32, u32) {
    loop {
        let (from, to) = (pick(dice), pick(dice));
        if from != to {
            return (from, to);
        }
    }
}

fn uniform(dice: &mut Dice) -> (u32, u32) {
    pair(dice, |dice| dice.below(ACCOUNTS - APART))
}

/// Account n is about half as much in use as account n / 2 (Zipf, exponent 1).
fn zipf(dice: &mut Dice) -> (u32, u32) {
    pair(dice, |dice| {
        let unit = f64::from(dice.below(1 << 30)) / f64::from(1 << 30);
        let account = f64::from(ACCOUNTS - APART).powf(unit) - 1.0;
        account as u32
    })
}

/// All into one account.
fn hot(dice: &mut Dice) -> (u32, u32) {
    (1 + dice.below(ACCOUNTS - APART - 1), 0)
}

fn apart(_: &mut Dice) -> (u32, u32) {
    (ACCOUNTS - 2, ACCOUNTS - 1)
}

struct Case {
    name: &'static str,
    late: usize,
    late_pick: Pick,
    pick: Pick,
}

const CASES: [Case; 4] = [
    Case {
        name: "1 late call on rows of its own",
        late: 1,
        late_pick: apart,
        pick: uniform,
    },
    Case {
        name: "100 late calls, uniform",
        late: 100,
        late_pick: uniform,
        pick: uniform,
    },
    Case {
        name: "100 late calls, zipf",
        late: 100,
        late_pick: zipf,
        pick: zipf,
    },
    Case {
        name: "100 late calls, one hot row",
        late: 100,
        late_pick: hot,
        pick: hot,
    },
];

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = usize::try_from(options.amount(10_000))?;
    let mut rows = Vec::new();
    for case in CASES {
        let (again, ms) = run(&case, calls, Replay::Selective)?;
        let (_, suffix_ms) = run(&case, calls, Replay::Suffix)?;
        let under = format!("{} under {calls}", case.name);
        let (name, busy) = (
            format!("{under}: calls run again"),
            format!("{under}: busy"),
        );
        if case.late == 1 {
            let goal = calls as f64 / 100.0;
            rows.push(Row::new(name, again, "calls", Better::Less, goal));
            rows.push(Row::new(busy, ms, "ms", Better::Less, 5.0));
        } else {
            rows.push(Row::note(name, again, "calls"));
            rows.push(Row::note(busy, ms, "ms"));
        }
        rows.push(Row::note(
            format!("{under}: busy, running all again"),
            suffix_ms,
            "ms",
        ));
    }
    Ok(rows)
}

/// How many calls ran again, and the longest that the peer was busy at a time.
fn run(case: &Case, calls: usize, replay: Replay) -> anyhow::Result<(f64, f64)> {
    let mut mesh = Mesh::replaying(3, replay)?;
    let mut dice = Dice(7);
    mesh.open_chat()?;
    mesh.converge()?;
    mesh.part();
    mesh.leave(FINALISER);
    for _ in 0..case.late {
        let late = (case.late_pick)(&mut dice);
        mesh.transfers(LATE, &[late])?;
    }
    let pairs: Vec<_> = (0..calls).map(|_| (case.pick)(&mut dice)).collect();
    for batch in pairs.chunks(BATCH) {
        mesh.transfers(MANY, batch)?;
    }
    let before = mesh.status(MANY)?;
    let entries = before.entries + mesh.status(LATE)?.entries;
    let entries = entries - common(&mut mesh)?;
    mesh.take_longest(MANY);
    mesh.meet();
    let deadline = Deadline::after_s(60);
    let after = loop {
        mesh.settle();
        let status = mesh.status(MANY)?;
        if status.entries == entries {
            break status;
        }
        deadline.check("the late calls to arrive")?;
    };
    let ran = (after.executions - before.executions)
        .checked_sub(case.late as u64)
        .context("every late call runs once")?;
    let busy = mesh.take_longest(MANY);
    Ok((ran as f64, busy.as_secs_f64() * 1e3))
}

/// Entries that both had before they were apart.
fn common(mesh: &mut Mesh) -> anyhow::Result<u64> {
    Ok(mesh.status(FINALISER)?.entries)
}
