//! `tombolo peers`.

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::Client;
use super::output::{plain, print, print_json, table};

/// Arguments of `peers`.
#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Print the peers as JSON
    #[arg(long)]
    json: bool,
}

impl Peers {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let peers = Client::of(target)?.get("/v1/peer/peers")?;
        if self.json {
            print_json(&peers);
        } else {
            print(&remotes_table(
                &peers.as_array().cloned().unwrap_or_default(),
            ));
        }
        Ok(())
    }
}

/// Connected remotes, and those who are kept outside, as a table.
pub(super) fn remotes_table(remotes: &[Value]) -> String {
    let rows: Vec<Vec<String>> = remotes
        .iter()
        .map(|remote| {
            let in_sync = match remote["in_sync"].as_bool() {
                Some(true) => "yes".to_owned(),
                _ => match remote["cut_off"]["why"].as_str() {
                    Some(why) => format!("cut off for {} s: {why}", remote["cut_off"]["left_s"]),
                    None => "not yet".to_owned(),
                },
            };
            vec![
                plain(&remote["id"]),
                plain(&remote["address"]),
                plain(&remote["rtt_ms"]),
                in_sync,
            ]
        })
        .collect();
    table(&["peer", "address", "rtt ms", "in sync"], &rows)
}
