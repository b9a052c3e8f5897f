//! `tombolo rename`.

use clap::Args;
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{print_json, print_line};

/// Arguments of `rename`.
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// Name or identity of the database
    database: String,
    /// Its name on this peer from now on; other members call it what they like
    name: String,
    /// Keep the names that it has: the new one comes beside them
    #[arg(long)]
    add: bool,
    /// Print the names as JSON
    #[arg(long)]
    json: bool,
}

impl Rename {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let identity = client.get_text(&database(&self.database, "/identity"))?;
        let path = database(&identity, "/names");
        if self.add {
            client.post_raw(&path, "text/plain", self.name.as_bytes())?;
        } else {
            client.put_json(&path, &json!([self.name]))?;
        }
        if self.json {
            print_json(&client.get(&path)?);
        } else {
            print_line(&format!("{} is called {} here", self.database, self.name));
        }
        Ok(())
    }
}
