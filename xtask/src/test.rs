//! Runs every test there is.

use std::thread;

use crate::command::cargo;
use crate::{chromium, demo_module, iproute, mesh, npm, rust_client, wasm};

/// Builds what the tests need, then runs them. `arguments` are handed on to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    wasm::build()?;
    demo_module::check()?;
    rust_client::provide()?;
    thread::scope(|scope| {
        // What is waited for comes while the processor is busy. Whatever else may install packages of the
        // system has done so by now: two at once would be in each other's way.
        let provided = scope.spawn(provide);
        // The whole-system tests start the program, and `cargo test` builds it only for tests of its
        // own package. With `--tests`, so that features are those of the tests and nothing compiles
        // twice.
        let built = cargo(["build", "--release", "--workspace", "--bins", "--tests"]).run();
        match provided.join() {
            Ok(provided) => provided.and(built),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    mesh::build()?;
    // Whoever asks for some tests of the workspace wants these alone.
    if arguments.is_empty() {
        mesh::test()?;
    }
    // Not the examples in the documentation of our own crates: there are none, and looking for them
    // takes as long as compiling each crate once more.
    cargo(["test", "--release", "--workspace", "--tests"])
        .env("RUST_TEST_THREADS", test_threads())
        .args(arguments)
        .run()
}

/// Tests that run at once: half as many again as there are processors. Whole-system tests wait for
/// other processes most of the time, and the others do not mind.
fn test_threads() -> String {
    std::env::var("RUST_TEST_THREADS").unwrap_or_else(|_| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        (processors + processors.div_ceil(2)).to_string()
    })
}

/// What comes from elsewhere: programs and packages.
fn provide() -> anyhow::Result<()> {
    iproute::provide()?;
    npm::provide()?;
    chromium::provide()
}
