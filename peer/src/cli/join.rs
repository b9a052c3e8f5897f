//! `tombolo join`: returns when the database can be used here, or says why it cannot.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Target;
use super::client::{Client, segment};
use super::output::{plain, print_json, print_line};

/// How often the peer is asked how the join goes.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Arguments of `join`.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The ticket: tombolo1…
    ticket: String,
    /// Print the database as JSON
    #[arg(long)]
    json: bool,
}

impl Join {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let joined = join(&client, &self.ticket, &bar())?;
        if self.json {
            print_json(&joined);
        } else {
            print_line(&format!(
                "joined {} ({})",
                plain(&joined["name"]),
                plain(&joined["database"])
            ));
        }
        Ok(())
    }
}

/// A bar on standard error, if that is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Joins and waits until it is done; the last progress.
///
/// # Errors
/// The reason, as the peer tells it.
pub(super) fn join(client: &Client, ticket: &str, bar: &ProgressBar) -> anyhow::Result<Value> {
    let mut progress = client.post("/v1/peer/join", &json!({ "ticket": ticket }))?;
    let database = progress["database"]
        .as_str()
        .context("the peer's answer names no database; is it another version?")?
        .to_owned();
    let path = format!("/v1/peer/join?database={}", segment(&database));
    loop {
        show(&progress, bar);
        match progress["state"].as_str() {
            Some("done") => {
                bar.finish_and_clear();
                return Ok(progress);
            }
            Some("failed") => {
                bar.finish_and_clear();
                bail!("cannot join: {}", plain(&progress["error"]));
            }
            _ => {}
        }
        sleep(ASK_EVERY);
        progress = client.get(&path)?;
    }
}

fn show(progress: &Value, bar: &ProgressBar) {
    let module = &progress["module"];
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (have, total) = (number(&module["have"]), number(&module["total"]));
    bar.set_length(total);
    bar.set_position(have);
    bar.set_message(match progress["state"].as_str() {
        Some("asking") => "asking to be admitted".to_owned(),
        Some("fetching") if have < total || total == 0 => "fetching the module".to_owned(),
        _ => format!(
            "fetching history: {} entries, cut {}",
            number(&progress["entries"]),
            number(&progress["height"])
        ),
    });
}
