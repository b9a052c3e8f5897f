//! The same work in other people's systems, on the same machine: `cargo xtask bench --against RIVAL`,
//! which installs them, as nothing of theirs is in this repository or linked into anything.
//!
//! Runs take turns, ours and theirs, so that whatever else the machine does meanwhile is bad for both.
//! Prints medians and how many times as good ours is, and writes them into `against.json`:
//! `{"quick", "rows": [{"rival", "name", "unit", "ours": {"median", "min", "max", "runs"}, "theirs":
//! {…}, "ratio"}]}`.

mod scripts;
mod spacetimedb;
mod table;

use std::path::Path;

use anyhow::Context;

use crate::arguments::Options;

use table::Comparison;

/// Who does the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    SpacetimeDb,
    Autobase,
    Automerge,
    Yjs,
}

impl Rival {
    const ALL: [Self; 4] = [
        Self::SpacetimeDb,
        Self::Autobase,
        Self::Automerge,
        Self::Yjs,
    ];

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rival| rival.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SpacetimeDb => "spacetimedb",
            Self::Autobase => "autobase",
            Self::Automerge => "automerge",
            Self::Yjs => "yjs",
        }
    }

    /// How often each of the two does it, if nothing was said.
    const fn usual_runs(self, quick: bool) -> usize {
        match (self, quick) {
            // It may take minutes.
            (Self::Autobase, true) => 1,
            (Self::Autobase, false) => 3,
            (_, true) => 2,
            (_, false) => 5,
        }
    }

    /// What to know before the figures are believed.
    const fn note(self) -> &'static str {
        match self {
            Self::SpacetimeDb => {
                "SpacetimeDB 1.2.0 answers before a call is synced to disk, a peer after; a peer signs \
                 what it keeps, SpacetimeDB does not."
            }
            Self::Autobase => {
                "Autobase is on disk and signed, as a peer is; its rows are in a Hyperbee that each \
                 `apply` reads and writes once."
            }
            Self::Automerge => {
                "Automerge is in memory and unsigned; its rows are counters, which commute, so nothing is \
                 refused and nothing runs again."
            }
            Self::Yjs => {
                "Yjs is in memory and unsigned; it has no counters: of two balances that were assigned, \
                 one wins, and the other's transfers are lost."
            }
        }
    }
}

/// Has every rival that is wanted do its work; answers whether all could.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn measure(options: &Options, path: &Path) -> anyhow::Result<bool> {
    let mut all = Vec::new();
    let mut complete = true;
    for (rival, installed) in &options.against {
        let runs = options.runs.unwrap_or(rival.usual_runs(options.quick));
        eprintln!("{}: runs of each: {runs}", rival.name());
        let compared = match rival {
            Rival::SpacetimeDb => spacetimedb::compare(options, installed, runs),
            rival => scripts::compare(options, *rival, installed, runs),
        };
        match compared {
            Ok(rows) => {
                println!("\n{}", table::heading());
                for row in &rows {
                    println!("{}", row.line());
                }
                println!("{}", rival.note());
                all.extend(rows);
            }
            Err(error) => {
                eprintln!("{}: {error:#}", rival.name());
                complete = false;
            }
        }
    }
    // What an earlier run wrote is worth more than nothing.
    if !all.is_empty() {
        write(options, path, &all)?;
    }
    Ok(complete)
}

fn write(options: &Options, path: &Path, rows: &[Comparison]) -> anyhow::Result<()> {
    #[derive(serde::Serialize)]
    struct File<'a> {
        quick: bool,
        rows: &'a [Comparison],
    }
    let text = serde_json::to_string_pretty(&File {
        quick: options.quick,
        rows,
    })?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
