//! `tombolo members`.

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::{Client, database};
use super::output::{plain, print, print_json, table};

/// Arguments of `members`.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Name or identity of the database
    database: String,
    /// Print the members as JSON
    #[arg(long)]
    json: bool,
}

impl Members {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let members = Client::of(target)?.get(&database(&self.database, "/members"))?;
        if self.json {
            print_json(&members);
            return Ok(());
        }
        let members = members.as_array().cloned().unwrap_or_default();
        let is_held = |member: &Value| !member["held"].is_null();
        // Mostly nothing is held back, and then there is nothing to tell.
        let tells_held = members.iter().any(is_held);
        let row = |member: &Value| {
            let mut row = vec![
                plain(&member["id"]),
                plain(&member["role"]),
                whereabouts(member).to_owned(),
            ];
            row.extend(tells_held.then(|| held_back(&member["held"])));
            row
        };
        let rows: Vec<Vec<String>> = members.iter().map(row).collect();
        let names = ["device key", "role", "link", "held back"];
        let shown = if tells_held { 4 } else { 3 };
        print(&table(&names[..shown], &rows));
        Ok(())
    }
}

/// What of a member is held back here, and why.
fn held_back(held: &Value) -> String {
    if held.is_null() {
        return "-".to_owned();
    }
    format!("{}: {}", plain(&held["entries"]), plain(&held["why"]))
}

fn whereabouts(member: &Value) -> &'static str {
    if member["this_peer"] == Value::Bool(true) {
        "this peer"
    } else if member["connected"] == Value::Bool(true) {
        "connected"
    } else {
        "away"
    }
}
