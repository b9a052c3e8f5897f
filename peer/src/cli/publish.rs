//! `tombolo publish`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::Target;
use super::client::{Client, segment};
use super::output::{plain, print, print_json};

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
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Publish {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let wasm = std::fs::read(&self.bin_path)
            .with_context(|| format!("cannot read {}", self.bin_path.display()))?;
        let client = Client::of(target)?;
        let query = match self.auto_inc {
            AutoInc::Unique => "",
            AutoInc::Sequential => "?auto_inc=sequential",
        };
        let path = format!("/v1/database/{}{query}", segment(&self.name));
        let answer = client.put(&path, &wasm)?;
        let success = &answer["Success"];
        if self.json {
            print_json(success);
            return Ok(());
        }
        let identity = plain(&success["database_identity"]);
        let done = match success["op"].as_str() {
            Some("created") => "created",
            _ => "unchanged: the same module is published already",
        };
        let mut text = format!("{} {done}\nidentity      {identity}\n", self.name);
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
