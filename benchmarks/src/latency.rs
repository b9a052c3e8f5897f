//! From a call on one peer to its effect in an answer of another, between two processes on
//! loopback, both asked over HTTP.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::arguments::Options;
use crate::clock::{instant, pause};
use crate::processes::{Client, pair};
use crate::report::{Better, Row};

/// Milliseconds between two calls: each meets idle peers.
const GAP_MS: u64 = 10;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let samples = options.amount(1_000);
    let (first, second) = pair()?;
    let caller = first.client();
    caller.call("open_accounts", "[2]")?;
    let (seen_sender, seen) = channel();
    let (stop, stopped) = channel::<()>();
    let watcher = second.client();
    let watching = std::thread::spawn(move || watch(&watcher, &seen_sender, &stopped));
    let latencies = sample(&caller, &seen, samples);
    drop(stop);
    let watched = watching
        .join()
        .map_err(|_| anyhow::anyhow!("the watching thread panicked"))?;
    // If the watcher failed, that is why the samples are missing.
    watched?;
    let mut latencies = latencies?;
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies[place.min(latencies.len() - 1)].as_secs_f64() * 1_000.0
    };
    let name = "call on one process, visible on another";
    Ok(vec![
        Row::new(format!("{name}, p50"), at(0.5), "ms", Better::Less, 3.0),
        Row::new(format!("{name}, p99"), at(0.99), "ms", Better::Less, 15.0),
    ])
}

/// Says each new balance of the receiving account, and when it was seen, until told to stop.
fn watch(
    client: &Client,
    seen: &Sender<(String, Instant)>,
    stopped: &Receiver<()>,
) -> anyhow::Result<()> {
    let mut last = String::new();
    while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
        let answer = client.sql("SELECT balance FROM account WHERE id = 1")?;
        let now = instant();
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let balance = answer[0]["rows"].to_string();
        if balance != last {
            last.clone_from(&balance);
            if seen.send((balance, now)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Each call moves one coin, so the balance counts the calls.
fn sample(
    caller: &Client,
    seen: &Receiver<(String, Instant)>,
    samples: u64,
) -> anyhow::Result<Vec<Duration>> {
    const OPENING_BALANCE: u64 = 1_000;
    let wait_for = |balance: u64| {
        let wanted = format!("[[{balance}]]");
        loop {
            let news = seen.recv_timeout(Duration::from_secs(30));
            let (balance, at) = news.context("the other peer shows nothing new")?;
            if balance == wanted {
                return anyhow::Ok(at);
            }
        }
    };
    wait_for(OPENING_BALANCE)?;
    let mut latencies = vec![];
    for sample in 1..=samples.min(OPENING_BALANCE) {
        pause(Duration::from_millis(GAP_MS));
        let start = instant();
        caller.call("transfer", "[0, 1, 1]")?;
        let at = wait_for(OPENING_BALANCE + sample)?;
        latencies.push(at.saturating_duration_since(start));
    }
    Ok(latencies)
}
