//! The programs of `examples/mesh`, a workspace of its own that is built into the same target folder: a
//! whole-system test starts them beside the program under test.

use crate::command::{Chore, cargo};
use crate::places;

/// Builds the programs and their tests.
///
/// # Errors
/// When something does not compile.
pub(crate) fn build() -> anyhow::Result<()> {
    here(cargo([
        "build",
        "--release",
        "--locked",
        "--bins",
        "--tests",
    ]))
    .run()
}

/// Runs their tests.
///
/// # Errors
/// When one fails.
pub(crate) fn test() -> anyhow::Result<()> {
    here(cargo(["test", "--release", "--locked"])).run()
}

/// Lints as in the workspace of the root.
///
/// # Errors
/// When there is something to say.
pub(crate) fn lints() -> anyhow::Result<()> {
    here(cargo(["clippy", "--release", "--locked", "--all-targets"]))
        .args(["--", "-D", "warnings"])
        .run()
}

/// Not in that workspace's own target folder, where everything would be compiled once more.
fn here(chore: Chore) -> Chore {
    chore
        .args(["--manifest-path".into(), places::mesh().join("Cargo.toml")])
        .args(["--target-dir".into(), places::target()])
}
