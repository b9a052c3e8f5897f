//! Transfers over WebSocket, as SpacetimeDB's clients make them: 8 connections with 40 calls on their
//! way each, answered when durable. Client and peer share the machine.

use anyhow::Context;
use client_messages::v2::Version;

use crate::arguments::Options;
use crate::connection::Protocol;
use crate::load::{self, Accounts};
use crate::places::chat;
use crate::processes::PeerProcess;
use crate::report::{Better, Row};
use crate::resident;
use crate::socket::Target;

const ACCOUNTS: u32 = 100_000;
const CALLS: u64 = 200_000;

/// What SpacetimeDB 1.2.0 did on such a machine with this workload, unsigned and not synced to disk.
const GOAL: f64 = 20_000.0;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let calls = options.amount(CALLS);
    let accounts = Accounts::new(ACCOUNTS, 0.0);
    let mut rows = Vec::new();
    for protocol in [Version::V2, Version::V3].map(Protocol::Later) {
        let peer = PeerProcess::start()?;
        let module = chat();
        let module = module.to_str().context("the module's path is UTF-8")?;
        peer.tombolo(&["publish", "chat", "--bin-path", module])?;
        peer.client()
            .call("open_accounts", &format!("[{ACCOUNTS}]"))?;
        let target = Target {
            address: peer.address().to_owned(),
            database: "chat".to_owned(),
        };
        let loaded = load::run(&target, protocol, &accounts, calls, 0)?;
        let name = format!("transfers over WebSocket, {}", protocol.name());
        let rate = Row::new(&name, loaded.rate(), "calls/s", Better::More, GOAL);
        rows.push(rate);
        for (share, text) in [(0.5, "p50"), (0.99, "p99")] {
            rows.push(Row::note(
                format!("{name}, {text}"),
                loaded.within_ms(share),
                "ms",
            ));
        }
        let resident = resident::of(peer.pid())?;
        rows.push(Row::note(
            format!("{name}, peak memory"),
            resident.peak,
            "MiB",
        ));
    }
    Ok(rows)
}
