//! `tombolo status`.

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::{Client, database};
use super::output::{pairs, plain, print, print_json};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Name or identity of the database; all of them without it
    database: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        match &self.database {
            Some(name) => {
                let status = client.get(&database(name, "/status"))?;
                if self.json {
                    print_json(&status);
                } else {
                    print(&of_database(&status));
                }
            }
            None => {
                let all = client.get("/v1/peer/status")?;
                if self.json {
                    print_json(&all);
                    return Ok(());
                }
                let mut text = of_peer(&client.get("/v1/peer")?);
                for status in all.as_array().into_iter().flatten() {
                    text.push('\n');
                    text.push_str(&of_database(status));
                }
                print(&text);
            }
        }
        Ok(())
    }
}

fn of_peer(peer: &Value) -> String {
    let opened = format!("{:.0} ms", peer["opened_ms"].as_f64().unwrap_or(0.0));
    let mut lines = vec![
        ("peer", plain(&peer["did"])),
        ("identity", plain(&peer["identity"])),
        ("data", plain(&peer["data_dir"])),
        ("http", plain(&peer["http"])),
        ("opened in", opened),
    ];
    for address in peer["p2p"].as_array().into_iter().flatten() {
        lines.push(("p2p", plain(address)));
    }
    let network = if peer["network_on"] == Value::Bool(false) {
        "off: `tombolo network on` plugs it in again".to_owned()
    } else if peer["network_leads_out"] == Value::Bool(false) {
        "on, but no network of this machine leads to any member".to_owned()
    } else {
        format!("on, {} links", plain(&peer["links"]))
    };
    lines.push(("network", network));
    pairs(&lines)
}

fn of_database(status: &Value) -> String {
    let get = |name: &str| plain(&status[name]);
    let cut = &status["cut"];
    let state = match status["detail"].as_str() {
        Some(detail) => format!("{}: {detail}", get("status")),
        None => get("status"),
    };
    let heads = status["heads"].as_array().map_or(0, Vec::len);
    let mut text = pairs(&[
        ("database", get("name")),
        ("identity", get("database")),
        ("status", state),
        ("state root", get("state_root")),
        ("heads", format!("{heads}, hash {}", get("heads_hash"))),
        (
            "cut",
            format!(
                "{}, state root {}",
                plain(&cut["height"]),
                plain(&cut["state_root"])
            ),
        ),
        (
            "calls not final",
            format!("{} (of {} entries in all)", get("tail"), get("entries")),
        ),
        ("members", get("members")),
    ]);
    text.push_str(&of_upgrade(&status["upgrade"]));
    let spilled = status["spilled_bytes"].as_u64().unwrap_or(0);
    if spilled > 0 {
        let spilled = format!("{} MiB of row versions", spilled.div_ceil(1 << 20));
        text.push_str(&pairs(&[("spilled to disk", spilled)]));
    }
    if status["pending"].as_u64().unwrap_or(0) > 0 {
        text.push_str(&pairs(&[("entries waiting", get("pending"))]));
    }
    for held in status["held"].as_array().into_iter().flatten() {
        let member = plain(&held["member"]);
        let line = format!(
            "{} of {member}: {}",
            plain(&held["entries"]),
            plain(&held["why"])
        );
        text.push_str(&pairs(&[("entries held back", line)]));
    }
    let remotes = status["peers"].as_array().cloned().unwrap_or_default();
    if !remotes.is_empty() {
        text.push_str(&super::peers::remotes_table(&remotes));
    }
    text
}

/// How the latest upgrade stands, if there was one.
fn of_upgrade(upgrade: &Value) -> String {
    let (hash, height) = (plain(&upgrade["module_hash"]), plain(&upgrade["height"]));
    let line = match upgrade["state"].as_str() {
        Some("waiting") => format!("to module {hash} waits for the finaliser's next cut"),
        Some("refused") => format!("to module {hash} was refused at cut {height}"),
        Some("effective") => format!("to module {hash}, effective since cut {height}"),
        _ => return String::new(),
    };
    let mut text = pairs(&[("upgrade", line)]);
    for reason in upgrade["reasons"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {}\n", plain(reason)));
    }
    text
}
