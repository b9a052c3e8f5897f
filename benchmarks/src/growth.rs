//! Calls of one peer that holds few rows, and many: the same calls, on rows that are taken from all of them.

use crate::arguments::Options;
use crate::clock::instant;
use crate::dice::Dice;
use crate::load::Accounts;
use crate::mesh::Mesh;
use crate::places;
use crate::report::{Better, Row};

/// It opens accounts from one number to another.
const MODULE: &str = "transfers_1_2";

/// So many are opened by one call.
const OPENED_AT_ONCE: u32 = 10_000;

const FEW: u32 = 100_000;
const MANY: u32 = 10_000_000;

/// Calls that wait for their answers at a time.
const IN_FLIGHT: u64 = 256;

const CALLS: u64 = 100_000;

/// As `tombolo start --cache-mib 4096` has it: more than many rows take on disk.
const LARGE_CACHE_BYTES: usize = 4 << 30;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let many = u32::try_from(options.amount(MANY.into()))?;
    let calls = options.amount(CALLS);
    let mut mesh = Mesh::new(1)?;
    mesh.publish(places::module(MODULE)?)?;
    open_accounts(&mut mesh, 0, FEW)?;
    let few = rate(&mut mesh, FEW, calls)?;
    open_accounts(&mut mesh, FEW, many)?;
    let same = rate(&mut mesh, FEW, calls)?;
    let all = rate(&mut mesh, many, calls)?;
    mesh.restart_with_cache(LARGE_CACHE_BYTES)?;
    // As many calls as there are rows in tens: most pages of the table are in the cache then.
    rate(&mut mesh, many, u64::from(many) / 10)?;
    let cached = rate(&mut mesh, many, calls)?;
    Ok(vec![
        Row::note(format!("calls on {FEW} rows"), few, "calls/s"),
        Row::note(format!("the same rows among {many}"), same, "calls/s"),
        Row::note(format!("calls on all of {many} rows"), all, "calls/s"),
        Row::new(
            "times as many as on few rows",
            all / few,
            "×",
            Better::More,
            0.7,
        ),
        Row::note(
            "calls on all of them, with a page cache of 4 GiB",
            cached,
            "calls/s",
        ),
        Row::note("times as many as on few rows", cached / few, "×"),
    ])
}

/// Opens accounts from one up to another, and waits until they are in the base.
fn open_accounts(mesh: &mut Mesh, first: u32, end: u32) -> anyhow::Result<()> {
    for first in (first..end).step_by(OPENED_AT_ONCE as usize) {
        let end = end.min(first + OPENED_AT_ONCE);
        let balance: i64 = 1_000_000;
        let arguments = [
            &first.to_le_bytes()[..],
            &end.to_le_bytes(),
            &balance.to_le_bytes(),
        ];
        mesh.call_all(0, &[("open_accounts", arguments.concat())])?;
    }
    mesh.wait_until_final()
}

/// Transfers a second between so many accounts, all alike; what they write being put into the base is part
/// of it.
fn rate(mesh: &mut Mesh, accounts: u32, calls: u64) -> anyhow::Result<f64> {
    let accounts = Accounts::new(accounts, 0.0);
    let mut dice = Dice(accounts.pair(&mut Dice(3)).0.into());
    let bursts = calls / IN_FLIGHT;
    let warm_up = bursts / 10;
    // Before the time begins: to draw from many accounts is to look for a place in memory that no cache holds.
    let drawn: Vec<Vec<_>> = (0..warm_up + bursts)
        .map(|_| (0..IN_FLIGHT).map(|_| accounts.pair(&mut dice)).collect())
        .collect();
    let (warm_up, timed) = drawn.split_at(usize::try_from(warm_up)?);
    for pairs in warm_up {
        mesh.transfers(0, pairs)?;
    }
    let start = instant();
    for pairs in timed {
        mesh.transfers(0, pairs)?;
    }
    let rate = (bursts * IN_FLIGHT) as f64 / start.elapsed().as_secs_f64();
    mesh.wait_until_final()?;
    Ok(rate)
}
