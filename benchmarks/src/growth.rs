//! Calls of a peer that holds few rows, and of one that holds many: the same calls, on rows that are taken from all of
//! them, in turns.

use crate::arguments::Options;
use crate::clock::instant;
use crate::dice::Dice;
use crate::load::Accounts;
use crate::mesh::Mesh;
use crate::places;
use crate::report::{Better, Row};
use crate::resident;

/// It opens accounts from one number to another.
const MODULE: &str = "transfers_1_2";

/// So many are opened by one call.
const OPENED_AT_ONCE: u32 = 10_000;

const FEW: u32 = 100_000;
const MANY: u32 = 10_000_000;

/// Calls that wait for their answers at a time.
const IN_FLIGHT: u64 = 256;

const CALLS: u64 = 500_000;

/// So often each peer takes its turn.
const TURNS: u64 = 5;

/// As `tombolo start --cache-mib 16` has it, and as a machine with less than 128 MiB has by itself.
const SMALL_CACHE_BYTES: usize = 16 << 20;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let many = u32::try_from(options.amount(MANY.into()))?;
    let calls = options.amount(CALLS) / TURNS;
    let (mut small, mut large) = (peer_with(FEW)?, peer_with(many)?);
    let mut total = Rates::default();
    for _ in 0..TURNS {
        total.add(&mut small, &mut large, many, calls)?;
    }
    let resident = resident::own()?.all;
    large.restart_with_cache(SMALL_CACHE_BYTES)?;
    let mut uncached = Rates::default();
    for _ in 0..TURNS {
        uncached.add(&mut small, &mut large, many, calls)?;
    }
    let on_all = format!("calls on all of {many} rows");
    Ok(vec![
        Row::note(format!("calls on {FEW} rows"), total.few(), "calls/s"),
        Row::note(
            format!("the same rows among {many}"),
            total.among_many(),
            "calls/s",
        ),
        Row::note(on_all, total.all(), "calls/s"),
        Row::new(
            "times as many as on few rows",
            total.all() / total.few(),
            "×",
            Better::More,
            0.7,
        ),
        Row::note("resident meanwhile", resident, "MiB"),
        Row::note(
            "calls on all of them, with a cache of 16 MiB",
            uncached.all(),
            "calls/s",
        ),
        Row::note(
            "times as many as on few rows",
            uncached.all() / uncached.few(),
            "×",
        ),
    ])
}

/// A peer that holds so many accounts.
fn peer_with(accounts: u32) -> anyhow::Result<Mesh> {
    let mut mesh = Mesh::new(1)?;
    mesh.publish(places::module(MODULE)?)?;
    open_accounts(&mut mesh, accounts)?;
    Ok(mesh)
}

/// Calls a second of peers that take turns, each turn's: the machine is not as fast at all times.
#[derive(Default)]
struct Rates {
    few: Vec<f64>,
    among_many: Vec<f64>,
    all: Vec<f64>,
}

impl Rates {
    fn add(
        &mut self,
        small: &mut Mesh,
        large: &mut Mesh,
        many: u32,
        calls: u64,
    ) -> anyhow::Result<()> {
        self.few.push(rate(small, FEW, calls)?);
        self.among_many.push(rate(large, FEW, calls)?);
        self.all.push(rate(large, many, calls)?);
        Ok(())
    }

    fn few(&self) -> f64 {
        over_all(&self.few)
    }

    fn among_many(&self) -> f64 {
        over_all(&self.among_many)
    }

    fn all(&self) -> f64 {
        over_all(&self.all)
    }
}

/// The rate of turns with as many calls each.
fn over_all(rates: &[f64]) -> f64 {
    let seconds: f64 = rates.iter().map(|rate| 1.0 / rate).sum();
    rates.len() as f64 / seconds
}

/// Opens so many accounts, and waits until they are in the base.
fn open_accounts(mesh: &mut Mesh, accounts: u32) -> anyhow::Result<()> {
    for first in (0..accounts).step_by(OPENED_AT_ONCE as usize) {
        let end = accounts.min(first + OPENED_AT_ONCE);
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
