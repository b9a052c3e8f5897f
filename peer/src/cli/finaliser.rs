//! `tombolo finaliser`: who makes calls final, handing that over, and recovering it.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Target;
use super::client::{Client, database};
use super::output::{pairs, plain, print, print_json};

/// How often the peer is asked whether the cut has come.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `finaliser`.
#[derive(Debug, Args)]
pub(crate) struct Finaliser {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show who makes calls final
    Show(Show),
    /// Hand finality over to another member
    Move(Move),
    /// Take finality over with a recovery key: its finaliser is lost, or the database is forked
    Recover(Recover),
}

#[derive(Debug, Args)]
struct Show {
    /// Name or identity of the database
    database: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Move {
    /// Name or identity of the database
    database: String,
    /// Device key of the member, as `tombolo members` shows it
    member: String,
    /// Seconds to wait for the cut that hands it over
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    wait: u64,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Recover {
    /// Name or identity of the database
    database: String,
    /// File with the recovery key that `publish` printed; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The recovery key itself. As an argument it ends up in the shell's history and in the list
    /// of processes: a file or the environment keeps it out
    #[arg(
        long,
        value_name = "KEY",
        env = "TOMBOLO_RECOVERY_KEY",
        hide_env_values = true
    )]
    key: Option<String>,
    /// Device key of the member that makes calls final from here on [default: this peer]
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Which side of a fork stays, as `tombolo status` names it [default: this peer's]
    #[arg(long, value_name = "HEIGHT/ID")]
    pick: Option<String>,
    /// Even though the finaliser is connected: what it made final and this peer does not know is
    /// tentative again
    #[arg(long)]
    force: bool,
    /// Seconds to wait while this peer goes over to the side that was picked
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Finaliser {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        match self.verb {
            Verb::Show(verb) => verb.run(target),
            Verb::Move(verb) => verb.run(target),
            Verb::Recover(verb) => verb.run(target),
        }
    }
}

impl Show {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let info = Client::of(target)?.get(&database(&self.database, "/finaliser"))?;
        show(&info, self.json);
        Ok(())
    }
}

impl Move {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let path = database(&self.database, "/finaliser");
        let mut info = client.post(&path, &json!({ "to": self.member }))?;
        wait(self.wait, || {
            let waits = !info["moving_to"].is_null();
            if waits {
                info = client.get(&path)?;
            }
            Ok(!waits)
        })?;
        show(&info, self.json);
        if !info["moving_to"].is_null() {
            eprintln!(
                "tombolo: asked for; it holds with the next cut of the present finaliser, which has not come yet{}",
                if info["connected"] == Value::Bool(true) {
                    ""
                } else {
                    ": it is not connected"
                }
            );
        }
        Ok(())
    }
}

impl Recover {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let key = self.key()?;
        let path = database(&self.database, "/finaliser/recover");
        let decision = json!({
            "key": key,
            "to": self.to,
            "pick": self.pick,
            "force": self.force,
        });
        let before = recoveries(&client.get(&database(&self.database, "/finaliser"))?);
        let mut info = Value::Null;
        let done = wait(self.wait, || {
            info = client.post(&path, &decision)?;
            Ok(recoveries(&info) > before)
        })?;
        if !done {
            bail!(
                "this peer has not reached the side that was picked: a member that has it must be connected; \
                 run the same command again then"
            );
        }
        show(&info, self.json);
        Ok(())
    }

    /// The key, from where the person put it.
    fn key(&self) -> anyhow::Result<String> {
        match (&self.key_file, &self.key) {
            (Some(path), _) if path.as_os_str() == "-" => {
                if std::io::stdin().is_terminal() {
                    eprintln!("tombolo: type or paste the recovery key, then Enter and Ctrl-D");
                }
                let mut key = String::new();
                std::io::stdin()
                    .take(1_024)
                    .read_to_string(&mut key)
                    .context("cannot read the recovery key from standard input")?;
                Ok(key)
            }
            (Some(path), _) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the recovery key from {}", path.display())),
            (None, Some(key)) => Ok(key.clone()),
            (None, None) => bail!(
                "a recovery key is needed: --key-file FILE, or TOMBOLO_RECOVERY_KEY in the environment; \
                 `tombolo publish` printed it once"
            ),
        }
    }
}

fn recoveries(info: &Value) -> u64 {
    info["recoveries"].as_u64().unwrap_or(0)
}

/// Asks until it is done or `seconds` are over.
fn wait(seconds: u64, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let until = Instant::now() + Duration::from_secs(seconds.min(3_600));
    loop {
        if done()? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(ASK_EVERY);
    }
}

fn show(info: &Value, as_json: bool) {
    if as_json {
        print_json(info);
        return;
    }
    let list = |name: &str| -> String {
        let all: Vec<String> = info[name]
            .as_array()
            .into_iter()
            .flatten()
            .map(plain)
            .collect();
        all.join(", ")
    };
    let whereabouts = if info["this_peer"] == Value::Bool(true) {
        "this peer"
    } else if info["connected"] == Value::Bool(true) {
        "connected"
    } else {
        "away"
    };
    let mut lines = vec![
        (
            "finaliser",
            format!("{} ({whereabouts})", list("finalisers")),
        ),
        (
            "last cut",
            format!(
                "{}/{}",
                plain(&info["cut"]["height"]),
                plain(&info["cut"]["id"])
            ),
        ),
        ("recoveries", plain(&info["recoveries"])),
        ("recovery keys", list("recovery_keys")),
        (
            "status",
            match info["detail"].as_str() {
                Some(detail) => format!("{}: {detail}", plain(&info["status"])),
                None => plain(&info["status"]),
            },
        ),
    ];
    if !info["moving_to"].is_null() {
        lines.insert(1, ("moves to", plain(&info["moving_to"])));
    }
    print(&pairs(&lines));
}
