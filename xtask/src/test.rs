//! Runs every test there is.

use crate::command::cargo;
use crate::{chromium, demo_module, iproute, npm, rust_client, wasm};

/// Builds what the tests need, then runs them. `arguments` are handed on to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    wasm::build()?;
    demo_module::check()?;
    iproute::provide()?;
    npm::provide()?;
    chromium::provide()?;
    rust_client::provide()?;
    // The whole-system tests start the program, and `cargo test` builds it only for tests of its
    // own package. With `--tests`, so that features are those of the tests and nothing compiles
    // twice.
    cargo(["build", "--release", "--workspace", "--bins", "--tests"]).run()?;
    // Not the examples in the documentation of our own crates: there are none, and looking for them
    // takes as long as compiling each crate once more.
    cargo(["test", "--release", "--workspace", "--tests"])
        .args(arguments)
        .run()
}
