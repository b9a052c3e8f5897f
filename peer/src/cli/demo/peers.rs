//! The three processes, and the end of them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Patience;
use super::screen::Screen;
use crate::cli::client::{Client, database};
use crate::cli::output::{plain, print_line};
use crate::driver::data_dir::read_run_info;

/// How long a peer may take to stop by itself.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Lines of a peer's log that are shown when the demo fails.
const LAST_WORDS_LINES: usize = 12;

/// The database of the demo, under the same name everywhere.
pub(super) const CHAT: &str = "chat";

/// One of the three.
pub(super) struct Peer {
    /// Who uses it in the story.
    pub(super) name: &'static str,
    dir: PathBuf,
    child: Option<Child>,
    client: Option<Client>,
}

/// All three, and the directory they live in.
pub(super) struct Peers {
    pub(super) all: Vec<Peer>,
    keep: bool,
    // Last: removed after the processes have ended.
    scratch: Option<TempDir>,
}

impl Peers {
    /// Nothing runs yet.
    pub(super) fn prepare(keep: bool) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("tombolo-demo-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let all = ["ada", "bob", "cyd"]
            .map(|name| Peer {
                name,
                dir: scratch.path().join(name),
                child: None,
                client: None,
            })
            .into();
        Ok(Self {
            all,
            keep,
            scratch: Some(scratch),
        })
    }

    /// Starts the three and waits until each can be talked to.
    pub(super) fn start(&mut self, patience: &Patience, screen: &Screen) -> anyhow::Result<()> {
        screen.say("starting three peers, each a process with its own data directory");
        for peer in &mut self.all {
            peer.spawn(self.keep)?;
        }
        for peer in &mut self.all {
            peer.client = Some(patience.until("a peer to start", || peer.try_connect())?);
            let run = read_run_info(&peer.dir)?;
            screen.add(&format!("{}  {}  process {}", peer.name, run.http, run.pid));
        }
        Ok(())
    }

    /// The ends of the peers' logs, for when something went wrong.
    pub(super) fn last_words(&self) -> String {
        let mut text = String::new();
        for peer in &self.all {
            let log = std::fs::read_to_string(peer.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(LAST_WORDS_LINES);
            for line in &lines[from..] {
                text.push_str(&format!("[{}] {line}\n", peer.name));
            }
        }
        text
    }

    /// Lets the three run on, and says where they are.
    pub(super) fn leave_running(&mut self) {
        let Some(scratch) = self.scratch.take() else {
            return;
        };
        print_line("");
        let mut pids = Vec::new();
        for peer in &mut self.all {
            let http = read_run_info(&peer.dir)
                .map(|run| run.http)
                .unwrap_or_default();
            print_line(&format!(
                "{}  {http}  --data-dir {}",
                peer.name,
                peer.dir.display()
            ));
            // A child that is dropped is neither waited for nor ended.
            pids.extend(peer.child.take().map(|child| child.id().to_string()));
        }
        let dir = scratch.keep();
        print_line(&format!(
            "\nThey run on. Try: tombolo sql {CHAT} \"SELECT * FROM message LIMIT 5\" --data-dir {}\n\
             To end them: kill {} && rm -r {}",
            self.all[0].dir.display(),
            pids.join(" "),
            dir.display()
        ));
    }
}

impl Drop for Peers {
    /// Ends every process that was started here, and no other.
    fn drop(&mut self) {
        for peer in &mut self.all {
            peer.ask_to_stop();
        }
        let given_up = Instant::now() + STOP_WAIT;
        for peer in &mut self.all {
            peer.wait_or_kill(given_up);
        }
    }
}

impl Peer {
    fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    fn spawn(&mut self, keep: bool) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let log = File::create(self.log()).context("cannot write the log of a peer")?;
        let mut command = Command::new(program);
        command
            .arg("start")
            .arg("--data-dir")
            .arg(&self.dir)
            .args(["--listen", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"])
            .arg("--no-mdns")
            .stdout(Stdio::null())
            .stderr(log);
        if keep {
            // A group of its own: Ctrl-C in this terminal is not meant for it.
            command.stdin(Stdio::null()).process_group(0);
        } else {
            // However this process ends, the pipe closes, and the child stops.
            command.arg("--until-stdin-closes").stdin(Stdio::piped());
        }
        self.child = Some(command.spawn().context("cannot start a peer")?);
        Ok(())
    }

    fn try_connect(&mut self) -> anyhow::Result<Option<Client>> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            bail!("the peer of {} ended at once ({status})", self.name);
        }
        if !Path::new(&self.dir).join("run.json").exists() {
            return Ok(None);
        }
        Ok(Client::of_data_dir(&self.dir).ok())
    }

    fn ask_to_stop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
        }
    }

    fn wait_or_kill(&mut self, given_up: Instant) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Kept ones have no pipe that could tell them.
        while Instant::now() < given_up {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The way to the peer.
    pub(super) fn client(&self) -> anyhow::Result<&Client> {
        self.client.as_ref().context("the peer has not started")
    }

    /// Calls a reducer of the chat.
    pub(super) fn call(&self, reducer: &str, arguments: &Value) -> anyhow::Result<()> {
        let path = database(CHAT, &format!("/call/{reducer}"));
        self.client()?
            .post_raw(&path, "application/json", arguments.to_string().as_bytes())
            .with_context(|| format!("{} of {}", reducer, self.name))?;
        Ok(())
    }

    /// The rows of a query, as text.
    pub(super) fn sql(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let path = database(CHAT, "/sql?text=true");
        let (_, answer) = self
            .client()?
            .post_raw(&path, "text/plain", query.as_bytes())?;
        let answer: Value = serde_json::from_str(&answer)?;
        let rows = answer[0]["text"].as_array().cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .map(|row| row.as_array().into_iter().flatten().map(plain).collect())
            .collect())
    }

    /// The one number that a query answers with.
    pub(super) fn number(&self, query: &str) -> anyhow::Result<i64> {
        let rows = self.sql(query)?;
        rows.first()
            .and_then(|row| row.first())
            .and_then(|cell| cell.parse().ok())
            .with_context(|| format!("{query} gave no number"))
    }

    /// How the chat stands here.
    pub(super) fn status(&self) -> anyhow::Result<Value> {
        self.client()?.get(&database(CHAT, "/status"))
    }

    /// Pulls the plug, or puts it back.
    pub(super) fn plug(&self, on: bool) -> anyhow::Result<()> {
        self.client()?
            .post("/v1/peer/network", &json!({ "on": on }))?;
        Ok(())
    }
}
