//! `tombolo peers`.

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::Client;
use super::output::{plain, print, print_json, table};

/// Digits of a relay's key that are shown: enough to find it among the others of the table.
const RELAY_LEN: usize = 8;

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
                reached(remote),
                plain(&remote["rtt_ms"]),
                remote["up_s"].as_u64().map(span).unwrap_or_default(),
                in_sync,
                plain(&remote["lacks"]),
            ]
        })
        .collect();
    table(
        &[
            "peer", "address", "reached", "rtt ms", "up", "in sync", "lacks",
        ],
        &rows,
    )
}

/// Whether somebody stands between, and who.
fn reached(remote: &Value) -> String {
    match (remote["reached"].as_str(), remote["relay"].as_str()) {
        (Some("relayed"), Some(relay)) => {
            format!("through {}", relay.get(..RELAY_LEN).unwrap_or(relay))
        }
        (Some("relayed"), None) => "through a relay".to_owned(),
        (Some(way), _) => way.to_owned(),
        (None, _) => String::new(),
    }
}

/// A time in its largest whole unit: it is looked at to see whether a link is new.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_stands_between_is_said() {
        let relay = "1632e1158bd036887100cf0b3206b59c";
        let remote = |reached, relay| json!({ "reached": reached, "relay": relay });
        assert_eq!(reached(&remote(Some("direct"), None)), "direct");
        let through = reached(&remote(Some("relayed"), Some(relay)));
        assert_eq!(through, "through 1632e115");
        assert_eq!(reached(&remote(Some("relayed"), None)), "through a relay");
        assert_eq!(reached(&remote(None, None)), "");
    }

    #[test]
    fn times_are_in_whole_units() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(3_599), "59 min");
        assert_eq!(span(86_399), "23 h");
        assert_eq!(span(172_800), "2 d");
    }
}
