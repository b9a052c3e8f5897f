//! `tombolo rebuild`: the way out when a peer's tables are not to be trusted.

use clap::Args;
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{print_json, print_line};

/// Arguments of `rebuild`.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// Name or identity of the database
    database: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Rebuild {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let answer = Client::of(target)?.post(&database(&self.database, "/rebuild"), &json!({}))?;
        if self.json {
            print_json(&answer);
        } else {
            print_line(&format!("rebuilt {} from its log", self.database));
        }
        Ok(())
    }
}
