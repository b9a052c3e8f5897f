//! Runs one command, after printing it.

use anyhow::{Context, bail};
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

/// A command that is printed before it runs. It starts in the repository's root, with nothing on
/// standard input, so that no chore ever waits for somebody to type.
pub(crate) struct Chore {
    command: Command,
    /// What was set in its environment, for printing.
    settings: Vec<String>,
}

/// The cargo that runs this program, with `arguments`.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Chore {
    program(cargo_path()).args(arguments)
}

/// The same for what something else does not wait for: whatever else there is to do goes first.
pub(crate) fn cargo_meanwhile() -> Chore {
    program("nice").args(["-n", "19"]).args([cargo_path()])
}

/// Cargo tells the programs it runs which cargo it is.
fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Any program.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Chore {
    let mut command = Command::new(name);
    command
        .current_dir(crate::places::root())
        .stdin(Stdio::null());
    Chore {
        command,
        settings: Vec::new(),
    }
}

impl Chore {
    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Chore {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Chore {
        let value = value.as_ref();
        self.settings.push(format!(
            "{name}={}",
            value.to_string_lossy().replace('\u{1f}', " ")
        ));
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Chore {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end with status 0.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let text = self.text();
        eprintln!("+ {text}");
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{text}`"))?;
        if !status.success() {
            bail!("`{text}` ended with {status}");
        }
        Ok(())
    }

    /// Runs it quietly and says whether it ended with status 0.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs it quietly and gives its standard output without the space around it, or nothing if
    /// it failed.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        if !output.status.success() {
            return None;
        }
        Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
    }

    /// As one would type it.
    pub(crate) fn text(&self) -> String {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let program = match program.rsplit_once('/') {
            // The proxy's full path says nothing that the name does not.
            Some((_, "cargo")) if self.settings.is_empty() => "cargo".to_string(),
            _ => program,
        };
        let quote = |word: String| match word.contains([' ', '\'', '"', '$']) {
            true => format!("'{word}'"),
            false => word,
        };
        self.settings
            .iter()
            .cloned()
            .chain([program])
            .chain(
                self.command
                    .get_args()
                    .map(|word| word.to_string_lossy().into_owned()),
            )
            .map(quote)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
