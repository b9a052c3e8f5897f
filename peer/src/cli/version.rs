//! `tombolo version`.

use clap::Args;
use serde_json::json;

use super::output::{print_json, print_line};

/// Arguments of `version`.
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let engine = module_host::ENGINE;
        if self.json {
            print_json(&json!({ "version": version, "engine": engine }));
        } else {
            print_line(&format!("tombolo {version} (engine {engine})"));
        }
        Ok(())
    }
}
