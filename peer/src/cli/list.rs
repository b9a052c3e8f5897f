//! `tombolo list`.

use clap::Args;

use super::Target;
use super::client::Client;
use super::output::{plain, print, print_json, table};

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print the databases as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let databases = Client::of(target)?.get("/v1/peer/databases")?;
        if self.json {
            print_json(&databases);
            return Ok(());
        }
        let rows: Vec<Vec<String>> = databases
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                ["name", "database", "status"]
                    .map(|key| plain(&row[key]))
                    .to_vec()
            })
            .collect();
        print(&table(&["name", "identity", "status"], &rows));
        Ok(())
    }
}
