//! Libraries for Node: two writers that were apart, each with many transfers on the same rows, become
//! equal. The scripts are in `benchmarks/against`; ours is `benchmarks offline`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::arguments::Options;
use crate::mesh::ACCOUNTS;
use crate::offline;
use crate::report::Better;

use super::Rival;
use super::table::Comparison;

/// What a script prints.
#[derive(Debug, Deserialize)]
struct Said {
    /// Until both were equal.
    seconds: f64,
    /// Transfers that were applied for that, on both together.
    applies: f64,
}

/// # Errors
/// If one of the two does not do it.
pub(crate) fn compare(
    options: &Options,
    rival: Rival,
    folder: &Path,
    runs: usize,
) -> anyhow::Result<Vec<Comparison>> {
    let calls = options.amount(10_000);
    let mut made = 0;
    let (mut ours, mut theirs) = (Sides::default(), Sides::default());
    for _ in 0..runs {
        let ran = offline::run(calls)?;
        made = ran.calls;
        ours.add(ran.seconds, ran.executed as f64);
        // As many as ours really made.
        let said = run(rival, folder, ran.calls)?;
        theirs.add(said.seconds, said.applies);
    }
    let name = format!("apart, 2 × {made} calls on {ACCOUNTS} rows, then equal");
    let rival = format!("{} {}", rival.name(), version(rival, folder)?);
    let seconds = Comparison::new(
        &rival,
        name,
        "s",
        Better::Less,
        &ours.seconds,
        &theirs.seconds,
    );
    let applies = Comparison::new(
        &rival,
        "calls that were executed for that",
        "calls",
        Better::Less,
        &ours.applies,
        &theirs.applies,
    );
    Ok(seconds.into_iter().chain(applies).collect())
}

/// What the runs of one side came to.
#[derive(Default)]
struct Sides {
    seconds: Vec<f64>,
    applies: Vec<f64>,
}

impl Sides {
    fn add(&mut self, seconds: f64, applies: f64) {
        self.seconds.push(seconds);
        self.applies.push(applies);
    }
}

/// Runs the script of a library once.
fn run(rival: Rival, folder: &Path, calls: u64) -> anyhow::Result<Said> {
    let script = folder.join(format!("{}.mjs", rival.name()));
    let output = Command::new("node")
        .arg(&script)
        .arg(calls.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting node")?;
    ensure!(
        output.status.success(),
        "{} ended with {}",
        script.display(),
        output.status
    );
    said(&String::from_utf8(output.stdout)?)
}

/// The version that is installed.
fn version(rival: Rival, folder: &Path) -> anyhow::Result<String> {
    let package = match rival {
        Rival::Automerge => "@automerge/automerge",
        rival => rival.name(),
    };
    let file = folder
        .join("node_modules")
        .join(package)
        .join("package.json");
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let version = value["version"].as_str();
    Ok(version.context("a package has a version")?.to_owned())
}

/// The last line: libraries may have their own to say.
fn said(text: &str) -> anyhow::Result<Said> {
    let line = text.trim().lines().last().context("it said nothing")?;
    serde_json::from_str(line).with_context(|| format!("not what a script says: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_a_script_says() {
        let said = said("a warning\n{\"seconds\":0.5,\"applies\":20000}\n").expect("fine");
        assert_eq!((said.seconds, said.applies), (0.5, 20_000.0));
        for wrong in ["", "{}", "{\"seconds\":1}"] {
            assert!(super::said(wrong).is_err(), "{wrong}");
        }
    }
}
