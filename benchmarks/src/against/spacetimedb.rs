//! SpacetimeDB's server: transfers over WebSocket, made by the same client program, of the same module,
//! in the protocol that both speak.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::arguments::Options;
use crate::clock::{Deadline, pause};
use crate::connection::Protocol;
use crate::load::{self, Accounts};
use crate::places::{self, scratch};
use crate::processes::{Client, PeerProcess, agent};
use crate::report::Better;
use crate::resident;
use crate::socket::Target;

use super::table::Comparison;

/// As `cargo xtask bench` installs it.
const RIVAL: &str = "spacetimedb 1.2.0";

/// Built with SpacetimeDB's library of the server's version, which peers run, too.
const MODULE: &str = "transfers_1_2";

const ACCOUNTS: u32 = 100_000;

/// So many are opened by one call.
const OPENED_AT_ONCE: u32 = 10_000;

/// What each account holds when it is opened: no transfer is refused.
const OPENING_BALANCE: i64 = 1_000_000_000;

const CALLS: u64 = 200_000;

/// One call of so many is made before anything is timed: caches fill, files grow for the first time.
const WARM_UP: u64 = 20;

/// How unlike accounts are taken, as in [`Accounts::new`].
const ALPHAS: [(f64, &str); 2] = [(0.0, "uniform"), (1.5, "zipf 1.5")];

/// Seconds that starting or publishing may take.
const PATIENCE_S: u64 = 120;

/// Milliseconds between two looks at something that is awaited.
const LOOK_EVERY_MS: u64 = 20;

/// # Errors
/// If one of the two does not do it.
pub(crate) fn compare(
    options: &Options,
    program: &Path,
    runs: usize,
) -> anyhow::Result<Vec<Comparison>> {
    let calls = options.amount(CALLS);
    let module = places::module(MODULE)?;
    let mut rows = Vec::new();
    for (alpha, how) in ALPHAS {
        let accounts = Accounts::new(ACCOUNTS, alpha);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let seed = run as u64;
            let mut our_turn = || -> anyhow::Result<()> {
                ours.push(on_a_peer(&module, &accounts, calls, seed).context("a peer")?);
                Ok(())
            };
            let mut their_turn = || -> anyhow::Result<()> {
                let sample = on_theirs(program, &module, &accounts, calls, seed);
                theirs.push(sample.context("SpacetimeDB")?);
                Ok(())
            };
            // Whoever comes second finds a warmer machine.
            if run.is_multiple_of(2) {
                our_turn()?;
                their_turn()?;
            } else {
                their_turn()?;
                our_turn()?;
            }
        }
        rows.extend(table(how, &ours, &theirs));
    }
    Ok(rows)
}

/// One run of one server.
struct Sample {
    /// Calls a second.
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    peak_mib: f64,
}

fn table(how: &str, ours: &[Sample], theirs: &[Sample]) -> Vec<Comparison> {
    type Column = (&'static str, &'static str, Better, fn(&Sample) -> f64);
    const COLUMNS: [Column; 4] = [
        ("", "calls/s", Better::More, |sample| sample.rate),
        (", p50", "ms", Better::Less, |sample| sample.p50_ms),
        (", p99", "ms", Better::Less, |sample| sample.p99_ms),
        (", peak memory", "MiB", Better::Less, |sample| {
            sample.peak_mib
        }),
    ];
    let row = |(name, unit, better, of): Column| {
        let name = format!("transfers over WebSocket, {how}{name}");
        let all = |samples: &[Sample]| samples.iter().map(of).collect::<Vec<_>>();
        Comparison::new(RIVAL, name, unit, better, &all(ours), &all(theirs))
    };
    COLUMNS.into_iter().filter_map(row).collect()
}

fn on_a_peer(module: &[u8], accounts: &Accounts, calls: u64, seed: u64) -> anyhow::Result<Sample> {
    let peer = PeerProcess::start()?;
    run(
        peer.address(),
        peer.token(),
        peer.pid(),
        module,
        accounts,
        calls,
        seed,
    )
}

fn on_theirs(
    program: &Path,
    module: &[u8],
    accounts: &Accounts,
    calls: u64,
    seed: u64,
) -> anyhow::Result<Sample> {
    let server = Server::start(program)?;
    let token = server.token()?;
    run(
        &server.address,
        &token,
        server.child.id(),
        module,
        accounts,
        calls,
        seed,
    )
}

/// The same for both, on a server that has just been started.
fn run(
    address: &str,
    token: &str,
    pid: u32,
    module: &[u8],
    accounts: &Accounts,
    calls: u64,
    seed: u64,
) -> anyhow::Result<Sample> {
    let database = publish(address, token, module).context("publishing the module")?;
    let client = Client::new(address, &database, token);
    for first in (0..ACCOUNTS).step_by(OPENED_AT_ONCE as usize) {
        let end = ACCOUNTS.min(first + OPENED_AT_ONCE);
        client
            .call(
                "open_accounts",
                &format!("[{first}, {end}, {OPENING_BALANCE}]"),
            )
            .context("opening accounts")?;
    }
    let target = Target {
        address: address.to_owned(),
        database,
    };
    // Other transfers than those that are timed.
    load::run(
        &target,
        Protocol::V1,
        accounts,
        calls / WARM_UP,
        u64::from(u32::MAX) + seed,
    )?;
    let loaded = load::run(&target, Protocol::V1, accounts, calls, seed)?;
    Ok(Sample {
        rate: loaded.rate(),
        p50_ms: loaded.within_ms(0.5),
        p99_ms: loaded.within_ms(0.99),
        peak_mib: resident::of(pid)?.peak,
    })
}

/// Publishes a module under no name of ours; answers the identity of the database.
fn publish(address: &str, token: &str, module: &[u8]) -> anyhow::Result<String> {
    let mut response = agent(PATIENCE_S)
        .post(format!("http://{address}/v1/database"))
        .header("authorization", format!("Bearer {token}"))
        .content_type("application/wasm")
        .send(module)?;
    published(&response.body_mut().read_to_string()?)
}

fn published(answer: &str) -> anyhow::Result<String> {
    let value: serde_json::Value = serde_json::from_str(answer)?;
    let identity = &value["Success"]["database_identity"];
    // Bare in some versions, in an object in others.
    let identity = identity.as_str().or(identity["__identity__"].as_str());
    let identity = identity.with_context(|| format!("not what publishing answers: {answer}"))?;
    Ok(identity.trim_start_matches("0x").to_owned())
}

/// A running `spacetimedb-standalone`; it is killed when dropped.
struct Server {
    child: Child,
    address: String,
    /// Removed with the server.
    data: TempDir,
}

impl Server {
    /// Starts one on loopback, with a data directory of its own, and waits until it answers.
    fn start(program: &Path) -> anyhow::Result<Self> {
        let data = scratch()?;
        // It does not say which port it took, so it has to be told a free one.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let keys = data.path().join("keys");
        std::fs::create_dir(&keys)?;
        let log = File::create(data.path().join("log"))?;
        let child = Command::new(program)
            .args(["start", "--listen-addr", &address, "--data-dir"])
            .arg(data.path().join("data"))
            // Otherwise those of whoever runs this, in the home directory, would be used.
            .arg("--jwt-key-dir")
            .arg(keys)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Self {
            child,
            address,
            data,
        };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let deadline = Deadline::after_s(PATIENCE_S);
        let ping = format!("http://{}/v1/ping", self.address);
        while agent(1).get(&ping).call().is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it listened:\n{}", self.log());
            }
            deadline
                .check("SpacetimeDB to listen")
                .with_context(|| self.log())?;
            pause(Duration::from_millis(LOOK_EVERY_MS));
        }
        Ok(())
    }

    /// A new identity, of whoever publishes.
    fn token(&self) -> anyhow::Result<String> {
        let mut response = agent(PATIENCE_S)
            .post(format!("http://{}/v1/identity", self.address))
            .send_empty()?;
        let answer = response.body_mut().read_to_string()?;
        let value: serde_json::Value = serde_json::from_str(&answer)?;
        let token = value["token"].as_str();
        Ok(token.context("an identity comes with a token")?.to_owned())
    }

    /// What it said, for people.
    fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_told_by_its_identity() {
        for answer in [
            r#"{"Success":{"domain":null,"database_identity":"c200ab","op":"created"}}"#,
            r#"{"Success":{"database_identity":{"__identity__":"0xc200ab"},"op":"created"}}"#,
        ] {
            assert_eq!(published(answer).expect("fine"), "c200ab");
        }
        assert!(published(r#"{"PermissionDenied":{"name":"chat"}}"#).is_err());
    }
}
