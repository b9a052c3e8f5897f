//! `tombolo dump`: the rows of one cut as text, to be compared with another peer's by `diff`.

use clap::Args;
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{plain, print_json, print_line};

/// Arguments of `dump`.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// Name or identity of the database
    database: String,
    /// The rows after this cut [default: the last one]
    #[arg(long)]
    height: Option<u64>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Dump {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let options = json!({ "height": self.height });
        let answer = Client::of(target)?.post(&database(&self.database, "/dump"), &options)?;
        if self.json {
            print_json(&answer);
        } else {
            print_line(&plain(&answer["dump"]));
        }
        Ok(())
    }
}
