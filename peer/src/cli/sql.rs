//! `tombolo sql`.

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::Target;
use super::client::{Client, database};
use super::output::{print, print_line, table};

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// Name or identity of the database
    database: String,
    /// One statement, for example "SELECT * FROM message"
    query: String,
    /// Print the answer as SpacetimeDB's HTTP interface gives it
    #[arg(long)]
    json: bool,
}

/// The part of the answer that is for people.
#[derive(Deserialize)]
struct Shown {
    columns: Vec<String>,
    text: Vec<Vec<String>>,
}

impl Sql {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let query = if self.json { "/sql" } else { "/sql?text=true" };
        let path = database(&self.database, query);
        let (_, answer) = client.post_raw(&path, "text/plain", self.query.as_bytes())?;
        if self.json {
            // As it came: numbers of 128 bits would not survive being read.
            print_line(&answer);
            return Ok(());
        }
        let results: Vec<Shown> = serde_json::from_str(&answer)
            .context("the peer's answer is not understood; is it another version?")?;
        for result in results {
            let header: Vec<&str> = result.columns.iter().map(String::as_str).collect();
            print(&table(&header, &result.text));
        }
        Ok(())
    }
}
