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
        let rows: Vec<Vec<String>> = members
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| {
                vec![
                    plain(&member["id"]),
                    plain(&member["role"]),
                    whereabouts(member).to_owned(),
                ]
            })
            .collect();
        print(&table(&["device key", "role", "link"], &rows));
        Ok(())
    }
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
