//! `tombolo network`: the plug.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Target;
use super::client::Client;
use super::output::{print_json, print_line};

/// The two positions of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Position {
    /// Close every connection to other peers and refuse new ones
    Off,
    /// Connect again
    On,
}

/// Arguments of `network`.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Which way; without it, only shows how it stands
    position: Option<Position>,
    /// Print how it stands as JSON
    #[arg(long)]
    json: bool,
}

impl Network {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let answer = match self.position {
            Some(position) => switch(&client, position == Position::On)?,
            None => client.get("/v1/peer/network")?,
        };
        if self.json {
            print_json(&answer);
        } else if answer["on"] == Value::Bool(true) {
            match answer["leads_out"] {
                Value::Bool(false) => print_line(
                    "the network is on, but no network of this machine leads to any member",
                ),
                _ => print_line("the network is on"),
            }
        } else {
            print_line("the network is off: this peer works alone until `tombolo network on`");
        }
        Ok(())
    }
}

/// Unplugs a peer or plugs it in.
pub(super) fn switch(client: &Client, on: bool) -> anyhow::Result<Value> {
    client.post("/v1/peer/network", &json!({ "on": on }))
}
