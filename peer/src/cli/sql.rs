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
    /// One statement, for example "SELECT * FROM message ORDER BY sent LIMIT 10"
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
    stats: Stats,
}

/// What a statement did to rows.
#[derive(Deserialize)]
struct Stats {
    rows_inserted: u64,
    rows_deleted: u64,
    rows_updated: u64,
}

impl Stats {
    fn sentence(&self) -> String {
        let parts = [
            (self.rows_inserted, "inserted"),
            (self.rows_updated, "updated"),
            (self.rows_deleted, "deleted"),
        ];
        let done = parts.iter().find(|(rows, _)| *rows > 0);
        match done {
            Some((1, what)) => format!("1 row {what}"),
            Some((rows, what)) => format!("{rows} rows {what}"),
            None => "no row was concerned".to_owned(),
        }
    }
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
            if result.columns.is_empty() {
                print_line(&result.stats.sentence());
                continue;
            }
            let header: Vec<&str> = result.columns.iter().map(String::as_str).collect();
            print(&table(&header, &result.text));
        }
        Ok(())
    }
}
