//! What the person who measures wants.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::against::Rival;

pub(crate) const HELP: &str = "\
Measures what the design promises; writes target/bench/latest.json

Usage: benchmarks [--quick] [--runs N] [--compare FILE] [--against RIVAL=PATH]… [NAME…]

  --quick         a tenth of the work: a first look, not a figure to quote
  --runs N        takes each measurement N times, one after the other; the figure is the median, and
                  the file has the least and the most, too
  --compare FILE  shows beside each figure what a saved run had. To save a run, copy
                  target/bench/latest.json; that file itself is read before it is replaced
  --against RIVAL=PATH
                  has another system do the same work, into target/bench/against.json: spacetimedb,
                  autobase, automerge, yjs. `cargo xtask bench --against RIVAL` installs it first
  NAME            calls, catch-up, offline, late, latency, memory, documents, rows, growth, tail, reconcile,
                  following, fan-out, websocket, binary; all if neither a name nor a rival is given";

const NAMES: [&str; 15] = [
    "calls",
    "catch-up",
    "offline",
    "late",
    "latency",
    "memory",
    "documents",
    "rows",
    "growth",
    "tail",
    "reconcile",
    "following",
    "fan-out",
    "websocket",
    "binary",
];

/// More would be a mistake in typing: a single run of everything takes a quarter of an hour.
const RUNS_MAX: usize = 1_000;

/// The options of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A tenth of the work.
    pub(crate) quick: bool,
    /// How often each measurement is taken, `1..=RUNS_MAX`; what is usual for it if nothing was said.
    pub(crate) runs: Option<usize>,
    /// The file of an earlier run.
    pub(crate) compare: Option<PathBuf>,
    /// Who else does the same work, and where it was installed.
    pub(crate) against: Vec<(Rival, PathBuf)>,
    /// Which measurements; all if neither these nor rivals are named.
    pub(crate) names: Vec<String>,
}

impl Options {
    /// Reads the command line; `None` asks for help.
    ///
    /// # Errors
    /// For anything that is not in [`HELP`].
    pub(crate) fn read(
        mut arguments: impl Iterator<Item = String>,
    ) -> anyhow::Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("{argument} needs a value\n\n{HELP}"))
            };
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--runs" => options.runs = Some(runs(&value()?)?),
                "--compare" => options.compare = Some(value()?.into()),
                "--against" => options.against.push(rival(&value()?)?),
                "--help" | "-h" => return Ok(None),
                name if NAMES.contains(&name) => options.names.push(name.to_owned()),
                other => bail!("`{other}` is not known\n\n{HELP}"),
            }
        }
        anyhow::ensure!(
            options.compare.is_none() || options.measures(),
            "--compare is about measurements: name some beside --against"
        );
        Ok(Some(options))
    }

    /// Whether anything but rivals is wanted.
    pub(crate) fn measures(&self) -> bool {
        !self.names.is_empty() || self.against.is_empty()
    }

    /// Whether a measurement is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.measures() && (self.names.is_empty() || self.names.iter().any(|wanted| wanted == name))
    }

    /// `whole`, or a tenth of it if it has to be quick.
    pub(crate) const fn amount(&self, whole: u64) -> u64 {
        if self.quick { whole / 10 } else { whole }
    }
}

fn runs(text: &str) -> anyhow::Result<usize> {
    match text.parse() {
        Ok(runs @ 1..=RUNS_MAX) => Ok(runs),
        _ => bail!("--runs is from 1 to {RUNS_MAX}, not `{text}`"),
    }
}

fn rival(text: &str) -> anyhow::Result<(Rival, PathBuf)> {
    let named = text.split_once('=');
    let named = named.and_then(|(name, path)| Some((Rival::named(name)?, path.into())));
    // Whoever hands `--against spacetimedb` on to here meant the option of xtask.
    named.with_context(|| {
        format!("--against is RIVAL=PATH here, not `{text}`; `cargo xtask bench --against RIVAL` goes before all other arguments")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Option<Options>> {
        Options::read(text.split_whitespace().map(str::to_owned))
    }

    fn options(text: &str) -> Options {
        read(text).expect("fine").expect("not help")
    }

    #[test]
    fn arguments_are_names_and_quick() {
        let named = options("--quick calls");
        assert!(named.quick && named.wants("calls") && !named.wants("memory"));
        assert!(options("").wants("memory"));
        assert_eq!(read("-h").expect("fine"), None);
        assert!(read("--fast").is_err());
    }

    #[test]
    fn runs_are_a_number_that_makes_sense() {
        assert_eq!(options("--runs 5 calls").runs, Some(5));
        assert_eq!(options("").runs, None);
        for wrong in ["--runs", "--runs 0", "--runs 1001", "--runs many"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rivals_alone_take_no_measurements() {
        let rivals = options("--against yjs=a/b --against spacetimedb=c");
        let expected = [(Rival::Yjs, "a/b".into()), (Rival::SpacetimeDb, "c".into())];
        assert_eq!(rivals.against, expected);
        assert!(!rivals.measures() && !rivals.wants("calls"));
        let both = options("--against yjs=a offline");
        assert!(both.wants("offline") && !both.wants("calls"));
        for wrong in [
            "--against yjs",
            "--against other=a",
            "--against yjs=a --compare f",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("--against yjs=a --compare f offline").is_ok());
    }
}
