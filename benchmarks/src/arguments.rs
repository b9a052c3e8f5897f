//! What the person who measures wants.

use anyhow::bail;

pub(crate) const HELP: &str = "\
Measures what the design promises; writes target/bench/latest.json

Usage: benchmarks [--quick] [NAME…]

  --quick   a tenth of the work: a first look, not a figure to quote
  NAME      calls, catch-up, offline, late, latency, memory, rows, tail, reconcile, following,
            websocket, binary; all if none is given";

const NAMES: [&str; 12] = [
    "calls",
    "catch-up",
    "offline",
    "late",
    "latency",
    "memory",
    "rows",
    "tail",
    "reconcile",
    "following",
    "websocket",
    "binary",
];

/// The options of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A tenth of the work.
    pub(crate) quick: bool,
    /// Which measurements; all if empty.
    pub(crate) names: Vec<String>,
}

impl Options {
    /// Reads the command line; `None` asks for help.
    ///
    /// # Errors
    /// For anything that is not in [`HELP`].
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--help" | "-h" => return Ok(None),
                name if NAMES.contains(&name) => options.names.push(name.to_owned()),
                other => bail!("`{other}` is not known\n\n{HELP}"),
            }
        }
        Ok(Some(options))
    }

    /// Whether a measurement is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }

    /// `whole`, or a tenth of it if it has to be quick.
    pub(crate) const fn amount(&self, whole: u64) -> u64 {
        if self.quick { whole / 10 } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_names_and_quick() {
        let read = |text: &str| Options::read(text.split_whitespace().map(str::to_owned));
        let options = read("--quick calls").expect("fine").expect("not help");
        assert!(options.quick && options.wants("calls") && !options.wants("memory"));
        assert!(read("").expect("fine").expect("not help").wants("memory"));
        assert_eq!(read("-h").expect("fine"), None);
        assert!(read("--fast").is_err());
    }
}
