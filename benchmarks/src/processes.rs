//! Peers as processes of their own, used through the command line and HTTP as people do.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use ureq::Agent;

use crate::clock::{Deadline, pause};
use crate::places::{chat, scratch, tombolo};

/// Seconds that starting, stopping or joining may take.
const PATIENCE_S: u64 = 60;

/// Milliseconds between two looks at something that is awaited.
const LOOK_EVERY_MS: u64 = 10;

/// A running `tombolo start`; it is stopped when dropped.
pub(crate) struct PeerProcess {
    child: Child,
    /// `None` once it was handed on.
    data: Option<TempDir>,
    http: String,
    token: String,
}

impl PeerProcess {
    /// Starts a peer on a scratch directory and waits until it listens.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_on(scratch()?)
    }

    /// The same on a directory that a peer was stopped on.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start_on(data: TempDir) -> anyhow::Result<Self> {
        let mut child = Command::new(tombolo()?)
            .args([
                "start",
                "--listen",
                "127.0.0.1:0",
                "--p2p",
                "/ip4/127.0.0.1/tcp/0",
            ])
            .args(["--no-mdns", "--until-stdin-closes", "--data-dir"])
            .arg(data.path())
            .env("TOMBOLO_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("starting tombolo")?;
        let deadline = Deadline::after_s(PATIENCE_S);
        let run = loop {
            if let Some(run) = read_run(data.path()) {
                break run;
            }
            if let Some(status) = child.try_wait()? {
                bail!("tombolo ended with {status} before it listened");
            }
            deadline.check("tombolo to listen")?;
            pause(Duration::from_millis(LOOK_EVERY_MS));
        };
        let http = run["http"]
            .as_str()
            .context("run.json names an address")?
            .to_owned();
        let token = std::fs::read_to_string(data.path().join("owner.token"))
            .context("the owner's token")?
            .trim()
            .to_owned();
        Ok(Self {
            child,
            data: Some(data),
            http,
            token,
        })
    }

    /// Stops it as Ctrl-C does; answers its directory.
    ///
    /// # Errors
    /// If it does not stop by itself.
    pub(crate) fn stop(mut self) -> anyhow::Result<TempDir> {
        drop(self.child.stdin.take());
        let deadline = Deadline::after_s(PATIENCE_S);
        while self.child.try_wait()?.is_none() {
            deadline.check("tombolo to stop")?;
            pause(Duration::from_millis(LOOK_EVERY_MS));
        }
        self.data.take().context("it is handed on once")
    }

    /// Ends it without a chance to tidy up; answers its directory.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub(crate) fn kill(mut self) -> anyhow::Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        let data = self.data.take().context("it is handed on once")?;
        // What said where it listened is stale, and would be found before the next one is written.
        std::fs::remove_file(data.path().join("run.json"))?;
        Ok(data)
    }

    fn data(&self) -> anyhow::Result<&Path> {
        let data = self.data.as_ref().context("it is still running")?;
        Ok(data.path())
    }

    /// Where it listens for clients: host and port.
    pub(crate) fn address(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    /// What proves that somebody is its owner.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs one verb of the command line against this peer; answers what it printed.
    ///
    /// # Errors
    /// If it failed, with what it said.
    pub(crate) fn tombolo(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(tombolo()?)
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data()?)
            .output()
            .context("running tombolo")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("tombolo {} failed: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A client of this peer that keeps its connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address(), "chat", &self.token)
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        // A peer stops by itself when its standard input ends; one that does not is killed.
        drop(self.child.stdin.take());
        let deadline = Deadline::after_s(5);
        while deadline.check("tombolo to stop").is_ok() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(LOOK_EVERY_MS));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_run(data: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(data.join("run.json")).ok()?;
    serde_json::from_str(&text).ok()
}

/// An HTTP client of one database, at a peer or at another server that speaks as SpacetimeDB does.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Client {
    /// A client of the database of this name or identity, for whoever has the token.
    pub(crate) fn new(address: &str, database: &str, token: &str) -> Self {
        Self {
            agent: agent(PATIENCE_S),
            base: format!("http://{address}/v1/database/{database}"),
            authorization: format!("Bearer {token}"),
        }
    }

    /// Calls a reducer with JSON arguments.
    ///
    /// # Errors
    /// If the call failed.
    pub(crate) fn call(&self, reducer: &str, arguments: &str) -> anyhow::Result<()> {
        let path = format!("{}/call/{reducer}", self.base);
        self.post(&path, "application/json", arguments).map(|_| ())
    }

    /// Asks for rows; answers the JSON text.
    ///
    /// # Errors
    /// If the query failed.
    pub(crate) fn sql(&self, query: &str) -> anyhow::Result<String> {
        self.post(&format!("{}/sql", self.base), "text/plain", query)
    }

    fn post(&self, url: &str, kind: &str, body: &str) -> anyhow::Result<String> {
        let request = self
            .agent
            .post(url)
            .header("authorization", &self.authorization);
        let mut response = request.content_type(kind).send(body)?;
        Ok(response.body_mut().read_to_string()?)
    }
}

/// What asks over HTTP, and waits so many seconds at most.
pub(crate) fn agent(patience_s: u64) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(patience_s)))
        // What is measured is on this machine.
        .proxy(None)
        .build()
        .into()
}

/// Two peers that both hold the chat database.
///
/// # Errors
/// If one of them does not start, publish or join.
pub(crate) fn pair() -> anyhow::Result<(PeerProcess, PeerProcess)> {
    let (first, second) = (PeerProcess::start()?, PeerProcess::start()?);
    let module = chat();
    let module = module.to_str().context("the module's path is UTF-8")?;
    first.tombolo(&["publish", "chat", "--bin-path", module])?;
    let ticket = first.tombolo(&["invite", "chat"])?;
    second.tombolo(&["join", &ticket])?;
    Ok((first, second))
}
