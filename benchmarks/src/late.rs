//! Calls that come late, under many that have been executed: how many of these run again, and how
//! long the peer is busy with it.

use anyhow::Context;
use peer_core::Replay;

use crate::arguments::Options;
use crate::clock::Deadline;
use crate::dice::Dice;
use crate::mesh::{ACCOUNTS, Call, Mesh, transfer};
use crate::places;
use crate::report::{Better, Row};

/// Calls in one entry.
const BATCH: usize = 16;

/// Accounts that only late calls touch, where nothing is to be shared.
const APART: u32 = 2;

/// It is away, so that nothing becomes final.
const FINALISER: usize = 0;
const MANY: usize = 1;
const LATE: usize = 2;

/// Of so many calls one reads a range, where calls do.
const SCAN_EVERY: usize = 10;
/// Accounts in a range.
const SCANNED: u32 = 50;

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
    scans: bool,
}

const CASES: [Case; 5] = [
    Case {
        name: "1 late call on rows of its own",
        late: 1,
        late_pick: apart,
        pick: uniform,
        scans: false,
    },
    Case {
        name: "100 late calls, uniform",
        late: 100,
        late_pick: uniform,
        pick: uniform,
        scans: false,
    },
    Case {
        name: "100 late calls, zipf",
        late: 100,
        late_pick: zipf,
        pick: zipf,
        scans: false,
    },
    Case {
        name: "100 late calls, zipf with scans",
        late: 100,
        late_pick: zipf,
        pick: zipf,
        scans: true,
    },
    Case {
        name: "100 late calls, one hot row",
        late: 100,
        late_pick: hot,
        pick: hot,
        scans: false,
    },
];

/// What one run of a case came to.
struct Ran {
    /// Calls that ran again.
    again: f64,
    /// The longest that the peer was busy at a time.
    busy_ms: f64,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = usize::try_from(options.amount(10_000))?;
    let mut rows = Vec::new();
    let mut table = String::new();
    for case in CASES {
        let selective = run(&case, calls, Replay::Selective)?;
        let suffix = run(&case, calls, Replay::Suffix)?;
        table.push_str(&format!(
            "{:<34} {:>12} {:>9.1} {:>12} {:>9.1}\n",
            case.name, selective.again, selective.busy_ms, suffix.again, suffix.busy_ms
        ));
        let under = format!("{} under {calls}", case.name);
        let again = format!("{under}: calls run again");
        let busy = format!("{under}: busy");
        if case.late == 1 {
            let goal = calls as f64 / 100.0;
            rows.push(Row::new(
                again,
                selective.again,
                "calls",
                Better::Less,
                goal,
            ));
            rows.push(Row::new(busy, selective.busy_ms, "ms", Better::Less, 5.0));
        } else {
            rows.push(Row::note(again, selective.again, "calls"));
            rows.push(Row::note(busy, selective.busy_ms, "ms"));
        }
        rows.push(Row::note(
            format!("{under}: busy, running all again"),
            suffix.busy_ms,
            "ms",
        ));
    }
    println!(
        "{:<34} {:>12} {:>9} {:>12} {:>9}\n{table}",
        format!("under {calls}"),
        "selective",
        "ms",
        "suffix",
        "ms"
    );
    Ok(rows)
}

fn run(case: &Case, calls: usize, replay: Replay) -> anyhow::Result<Ran> {
    let mut mesh = Mesh::replaying(3, replay)?;
    let mut dice = Dice(7);
    if case.scans {
        mesh.open(places::module("bank")?)?;
    } else {
        mesh.open_chat()?;
    }
    mesh.converge()?;
    mesh.part();
    mesh.leave(FINALISER);
    for number in 0..case.late {
        let late = call(case, case.late_pick, number, &mut dice);
        mesh.call_all(LATE, &[late])?;
    }
    let calls: Vec<_> = (0..calls)
        .map(|number| call(case, case.pick, number, &mut dice))
        .collect();
    for batch in calls.chunks(BATCH) {
        mesh.call_all(MANY, batch)?;
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
    Ok(Ran {
        again: ran as f64,
        busy_ms: busy.as_secs_f64() * 1e3,
    })
}

/// The `number`-th call of a case: a transfer, or what reads a range around where one would go.
fn call(case: &Case, pick: Pick, number: usize, dice: &mut Dice) -> Call {
    let (from, to) = pick(dice);
    if case.scans && number.is_multiple_of(SCAN_EVERY) {
        let first = to / SCANNED * SCANNED;
        let end = first + SCANNED;
        return ("add_up", [first.to_le_bytes(), end.to_le_bytes()].concat());
    }
    transfer(from, to)
}

/// Entries that both had before they were apart.
fn common(mesh: &mut Mesh) -> anyhow::Result<u64> {
    Ok(mesh.status(FINALISER)?.entries)
}
