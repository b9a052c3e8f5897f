//! From a call of a client of one peer to the change that a client of another sees, between two processes
//! on loopback: while they have nothing else to do, and under half of what the two can do.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use client_messages::v2::Version;

use crate::arguments::Options;
use crate::clock::{instant, pause};
use crate::connection::Protocol;
use crate::figures::within_ms;
use crate::follower::Follower;
use crate::load::{self, Accounts};
use crate::mesh::transfer;
use crate::paced::{CallingClient, Load};
use crate::processes::pair;
use crate::report::{Better, Row};
use crate::socket::Target;

/// Accounts that the load moves money between.
const LOADED: u32 = 1_000;

/// As many more pay the calls that are watched, one after the other; the last one is paid.
const PAYERS: u32 = 999;
const PAID: u32 = LOADED + PAYERS;

/// Between two calls that are watched, whether answered or not.
const GAP: Duration = Duration::from_millis(5);

/// Seconds that a call may take to be seen.
const PATIENCE_S: u64 = 60;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let (first, second) = pair()?;
    let accounts = PAID + 1;
    first
        .client()
        .call("open_accounts", &format!("[{accounts}]"))?;
    let target = |address: &str| Target {
        address: address.to_owned(),
        database: "chat".to_owned(),
    };
    let (near, far) = (target(first.address()), target(second.address()));
    let (seen_sender, seen) = channel();
    let watching = std::thread::spawn(move || watch(&far, &seen_sender));
    let mut probe = Probe {
        client: CallingClient::open(&near)?,
        seen,
        paid: 0,
    };
    probe.wait_for_opening()?;
    let idle = probe.latencies(options.amount(2_000))?;

    let loaded = Accounts::new(LOADED, 0.0);
    let calls = options.amount(150_000);
    let start = instant();
    load::run(&near, Protocol::Later(Version::V2), &loaded, calls, 1)?;
    // Behind all of them in the one order: whoever sees it has them.
    probe.latencies(1)?;
    let most = calls as f64 / start.elapsed().as_secs_f64();

    let load = Load::start(&near, &loaded, most / 2.0)?;
    let half = probe.latencies(options.amount(4_000));
    let rate = load.stop()?;
    let half = half?;
    drop((first, second));
    // It ends with the peer that it watched.
    let _ = watching.join();
    Ok(rows(&idle, most, rate, &half))
}

fn rows(idle: &[Duration], most: f64, rate: f64, half: &[Duration]) -> Vec<Row> {
    let name = "a call on one process, seen by a client of another";
    let under = "the same under half load";
    vec![
        Row::note(format!("{name}, p50"), within_ms(idle, 0.5), "ms"),
        Row::note("the same, p99", within_ms(idle, 0.99), "ms"),
        Row::note("transfers that both peers keep up with", most, "calls/s"),
        Row::note("half load", rate, "calls/s"),
        Row::new(
            format!("{under}, p50"),
            within_ms(half, 0.5),
            "ms",
            Better::Less,
            3.0,
        ),
        Row::new(
            format!("{under}, p99"),
            within_ms(half, 0.99),
            "ms",
            Better::Less,
            15.0,
        ),
        Row::note(format!("{under}, p99.9"), within_ms(half, 0.999), "ms"),
    ]
}

/// Tells each new balance of the account that is paid, and when it was seen.
fn watch(target: &Target, seen: &Sender<(i64, Instant)>) -> anyhow::Result<()> {
    let query = format!("SELECT * FROM account WHERE id = {PAID}");
    let mut follower = Follower::open(target, &query)?;
    // The first that is told is that it is there.
    seen.send((0, instant()))?;
    loop {
        let rows = follower.rows()?;
        let now = instant();
        for row in rows {
            let balance = row.last_chunk::<8>().context("a row ends with a balance")?;
            seen.send((i64::from_le_bytes(*balance), now))?;
        }
    }
}

struct Probe {
    client: CallingClient,
    seen: Receiver<(i64, Instant)>,
    /// Calls that were watched so far: each pays one coin.
    paid: u32,
}

impl Probe {
    fn wait_for_opening(&self) -> anyhow::Result<()> {
        let first = self.seen.recv_timeout(Duration::from_secs(PATIENCE_S));
        first.context("nobody follows the other peer").map(drop)
    }

    /// Makes so many calls; answers how long each took to be seen, in order of length.
    fn latencies(&mut self, count: u64) -> anyhow::Result<Vec<Duration>> {
        const OPENING_BALANCE: i64 = 1_000;
        let start = instant();
        let mut sent = Vec::new();
        for number in 0..u32::try_from(count)? {
            pause((GAP * number).saturating_sub(start.elapsed()));
            self.client.read_answers()?;
            sent.push(instant());
            let payer = LOADED + (self.paid + number) % PAYERS;
            self.client.call([transfer(payer, PAID)])?;
        }
        let before = OPENING_BALANCE + i64::from(self.paid);
        self.paid += u32::try_from(count)?;
        let mut latencies = Vec::new();
        while latencies.len() < sent.len() {
            let news = self.seen.recv_timeout(Duration::from_secs(PATIENCE_S));
            let (balance, at) = news.context("the other peer shows nothing new")?;
            // Calls may be seen together.
            let seen = usize::try_from(balance - before).unwrap_or(0);
            let new = sent.get(latencies.len()..seen).unwrap_or_default();
            latencies.extend(new.iter().map(|sent| at.saturating_duration_since(*sent)));
        }
        latencies.sort_unstable();
        Ok(latencies)
    }
}
