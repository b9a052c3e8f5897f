//! `tombolo delete`.

use std::io::IsTerminal;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{confirmed, print_json, print_line};

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name or identity of the database
    database: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print what was deleted as JSON
    #[arg(long)]
    json: bool,
}

impl Delete {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let identity = client.get_text(&database(&self.database, "/identity"))?;
        // A script knows what it does; a person may have mistyped.
        if !self.yes && std::io::stdin().is_terminal() {
            let question = format!(
                "Delete {} ({identity}) from this peer? What no other member has is lost. [y/N] ",
                self.database
            );
            if !confirmed(&question)? {
                bail!("nothing was deleted");
            }
        }
        client.delete(&database(&identity, ""))?;
        if self.json {
            print_json(&json!({ "database": identity, "deleted": true }));
        } else {
            print_line(&format!("{} is gone from this peer", self.database));
        }
        Ok(())
    }
}
