//! `tombolo logs`.

use std::io::{BufRead, BufReader};

use clap::Args;
use serde_json::Value;

use super::Target;
use super::client::{Client, database};
use super::output::{print_line, shown_whole, utc};

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Name or identity of the database
    database: String,
    /// Go on with new lines until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only the last so many lines
    #[arg(long, short, value_name = "LINES")]
    num_lines: Option<usize>,
    /// Print the lines as JSON, as they are kept
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let lines = self
            .num_lines
            .map(|lines| format!("&num_lines={lines}"))
            .unwrap_or_default();
        let path = database(
            &self.database,
            &format!("/logs?follow={}{lines}", self.follow),
        );
        for line in BufReader::new(client.get_stream(&path)?).lines() {
            let line = line?;
            if self.json {
                print_line(&line);
            } else {
                print_line(&for_people(&line));
            }
        }
        Ok(())
    }
}

/// One kept line as a person reads it: time, level, place, message.
fn for_people(line: &str) -> String {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return shown_whole(line);
    };
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let time = utc(line["ts"].as_u64().unwrap_or_default());
    let place = match (line["filename"].as_str(), line["line_number"].as_u64()) {
        (Some(file), Some(number)) => format!("{file}:{number}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    };
    let message: Vec<String> = text("message").lines().map(uncut).collect();
    format!(
        "{time} {:<5} {}{}",
        text("level").to_uppercase(),
        uncut(&place),
        message.join("\n    ")
    )
}

/// Without control characters, in full length.
fn uncut(line: &str) -> String {
    line.chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_time_level_place_and_message() {
        let line = r#"{"level":"Info","ts":0,"filename":"src/lib.rs","line_number":7,"message":"hi\u001b[2J\nthere"}"#;
        assert_eq!(
            for_people(line),
            "1970-01-01 00:00:00.000 INFO  src/lib.rs:7: hi[2J\n    there"
        );
        assert_eq!(for_people("not JSON"), "not JSON");
    }
}
