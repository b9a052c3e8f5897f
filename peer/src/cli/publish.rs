//! `tombolo publish`.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Target;
use super::client::{Client, database, segment};
use super::output::{confirmed, plain, print, print_json};

/// How `auto_inc` columns of 64 bits and more count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AutoInc {
    /// Numbers that never change, from the time of the call
    Unique,
    /// 1, 2, 3 in the one order; a number may change until its call is final
    Sequential,
}

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// What the database is called on this peer
    name: String,
    /// The compiled module
    #[arg(long, short, value_name = "FILE.wasm")]
    bin_path: PathBuf,
    /// How new rows are numbered
    #[arg(long, value_enum, default_value_t = AutoInc::Unique)]
    auto_inc: AutoInc,
    /// Let an upgrade take away what clients were compiled against
    #[arg(long)]
    break_clients: bool,
    /// Delete all rows of a database that is there, for all members, and run `init` anew
    #[arg(long)]
    delete_data: bool,
    /// Do not ask before rows are deleted
    #[arg(long, short)]
    yes: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Publish {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let wasm = std::fs::read(&self.bin_path)
            .with_context(|| format!("cannot read {}", self.bin_path.display()))?;
        let client = Client::of(target)?;
        // A script knows what it does; a person may have mistyped.
        if self.delete_data && !self.yes && std::io::stdin().is_terminal() {
            let is_there = client.get_text(&database(&self.name, "/identity")).is_ok();
            let question = format!(
                "Delete all rows of {}, for all its members? They do not come back. [y/N] ",
                self.name
            );
            if is_there && !confirmed(&question)? {
                bail!("nothing was published");
            }
        }
        let mut query = Vec::new();
        if self.auto_inc == AutoInc::Sequential {
            query.push("auto_inc=sequential");
        }
        if self.break_clients {
            query.push("policy=BreakClients");
        }
        if self.delete_data {
            query.push("clear=true");
        }
        let path = format!("/v1/database/{}?{}", segment(&self.name), query.join("&"));
        let answer = client.put(&path, &wasm)?;
        let success = &answer["Success"];
        if self.json {
            print_json(success);
            return Ok(());
        }
        let identity = plain(&success["database_identity"]);
        let done = done(success);
        let mut text = format!("{} {done}\nidentity      {identity}\n", self.name);
        for step in success["upgrade"]["steps"].as_array().into_iter().flatten() {
            text.push_str(&format!("  {}\n", plain(step)));
        }
        if let Some(key) = success["recovery_key"].as_str() {
            text.push_str(&format!(
                "recovery key  {key}\nKeep the recovery key; it is shown only now. It can hand the database's finality \
                 to another peer if this one is lost.\n"
            ));
        }
        print(&text);
        if self.auto_inc == AutoInc::Sequential {
            eprintln!("Numbers of auto_inc columns may change until their calls are final.");
        }
        Ok(())
    }
}

/// What a publish came to, in a line.
fn done(success: &Value) -> String {
    if success["op"] == "created" {
        return "created".to_owned();
    }
    let upgrade = &success["upgrade"];
    match upgrade["state"].as_str() {
        Some("effective") => format!("updated, effective at cut {}", plain(&upgrade["height"])),
        Some("waiting") => {
            "update published; it waits for the finaliser, whose next cut judges it: see `tombolo status`"
                .to_owned()
        }
        _ => "unchanged: it runs that module already".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_publish_says_what_came_of_it() {
        let check = |success: Value, expected: &str| {
            let done = done(&success);
            assert!(done.contains(expected), "{done}");
        };
        check(json!({"op": "created"}), "created");
        let upgrade = |state: &str, height: Value| json!({"op": "updated", "upgrade": {"state": state, "height": height, "steps": []}});
        check(upgrade("effective", json!(12)), "effective at cut 12");
        check(upgrade("waiting", Value::Null), "waits for the finaliser");
        check(upgrade("unchanged", Value::Null), "unchanged");
    }
}
