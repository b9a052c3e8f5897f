//! The project's chores, one command each: `cargo xtask wasm | test | ci | nightly | fuzz | sim |
//! bench`.
//!
//! Every chore prints the commands it runs, so that any of them can be repeated by hand, and says
//! what it installs. Nothing here links the project's own crates: this program is built in
//! seconds, before anything else is.
//!
//! Everything uses the one release profile: no dependency is compiled twice. The exceptions are what is not
//! ours and has to be kept apart, `tests/rust-client`, and what is measured, which is built as people get it.

#![forbid(unsafe_code)]

mod against;
mod chromium;
mod ci;
mod command;
mod demo_module;
mod fuzz;
mod iproute;
mod mesh;
mod nightly;
mod npm;
mod places;
mod rust_client;
mod simulate;
mod test;
mod wasm;

use clap::{Parser, Subcommand};
use command::{cargo, program};
use std::ffi::OsStr;
use std::process::ExitCode;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Compile the example modules to WebAssembly, into target/wasm/
    Wasm {
        /// Also replace the committed demo module (peer/assets/chat.wasm) by what was built
        #[arg(long)]
        commit_demo: bool,
    },
    /// Run every test: unit tests, documentation, whole-system tests
    Test {
        /// Handed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that a change has to pass: format, lints, licences, tests, fuzzers, demo
    Ci,
    /// What takes too long for every change: peers that are killed a hundred times
    Nightly,
    /// Look for bytes that break a decoder: builds the fuzzers and runs each for a while
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u32,
        /// This target alone
        #[arg(long)]
        target: Option<String>,
        /// Give the target this file, and nothing else
        #[arg(long, requires = "target")]
        replay: Option<std::path::PathBuf>,
    },
    /// Run the simulator: many peers on a made-up network, from one seed
    Sim {
        /// Handed on to the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Make mistakes on purpose and see whether the simulator notices: prints which seed caught each
    Plants {
        /// Handed on to `simulator plants`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure what the design promises, into target/bench/latest.json
    Bench {
        /// Instead, have this system do the same work, into target/bench/against.json; may be repeated,
        /// and goes before all other arguments. It is installed first
        #[arg(long, value_name = "RIVAL")]
        against: Vec<against::Rival>,
        /// Handed on to the benchmarks
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse().chore {
        Chore::Wasm { commit_demo } => wasm::build().and_then(|()| {
            if commit_demo {
                demo_module::replace()?;
            }
            Ok(())
        }),
        Chore::Test { arguments } => test::run(&arguments),
        Chore::Ci => ci::run(),
        Chore::Nightly => nightly::run(),
        Chore::Fuzz {
            seconds,
            target,
            replay,
        } => fuzz::run(&fuzz::Asked {
            seconds,
            target,
            replay,
        }),
        Chore::Sim { arguments } => simulate::run(&arguments),
        Chore::Plants { arguments } => simulate::plants(&arguments),
        // Some cases are about modules of the tests.
        Chore::Bench { against, arguments } => {
            wasm::build().and_then(|()| against::bench(&against, &arguments))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds every program, as the tests do: for one package alone, dependencies would have other
/// features, and most of them would be compiled once more.
fn run_program(name: &str, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<()> {
    cargo(["build", "--release", "--workspace", "--bins"]).run()?;
    program(places::target().join("release").join(name))
        .args(arguments)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(words: &str) -> (Vec<against::Rival>, Vec<String>) {
        let words = ["xtask", "bench"].into_iter().chain(words.split(' '));
        match Xtask::try_parse_from(words).expect("fine").chore {
            Chore::Bench { against, arguments } => (against, arguments),
            _ => panic!("another chore"),
        }
    }

    #[test]
    fn rivals_come_first_and_the_rest_is_handed_on() {
        let rivals = vec![against::Rival::Yjs, against::Rival::Spacetimedb];
        let rest = vec!["--quick".to_owned(), "calls".to_owned()];
        for words in [
            "--against yjs --against spacetimedb --quick calls",
            "--against yjs --against spacetimedb -- --quick calls",
        ] {
            assert_eq!(bench(words), (rivals.clone(), rest.clone()), "{words}");
        }
        assert_eq!(bench("--quick calls"), (vec![], rest));
    }
}
