//! Other people's systems, installed to be measured against: `cargo xtask bench --against RIVAL`.
//!
//! They come from their registries into `target/against` and are run there. Nothing of theirs is in this
//! repository or linked into anything of ours, and nothing here is part of CI.

mod scripts;
mod spacetimedb;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::command::{cargo, program};
use crate::places;

/// Who can be measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// SpacetimeDB's server 1.2.0: transfers over WebSocket. Compiling it takes 10 to 27 minutes, once
    Spacetimedb,
    /// Autobase, from npm: two writers that were apart become equal
    Autobase,
    /// Automerge, from npm: the same
    Automerge,
    /// Yjs, from npm: the same
    Yjs,
}

impl Rival {
    const fn name(self) -> &'static str {
        match self {
            Self::Spacetimedb => "spacetimedb",
            Self::Autobase => "autobase",
            Self::Automerge => "automerge",
            Self::Yjs => "yjs",
        }
    }

    /// Sees to it that it is there; answers what the benchmarks have to know of it.
    fn provide(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Spacetimedb => spacetimedb::provide(),
            Self::Autobase | Self::Automerge | Self::Yjs => scripts::provide(),
        }
    }
}

/// Installs the rivals, builds the benchmarks, and has both do the same work.
pub(crate) fn bench(rivals: &[Rival], arguments: &[String]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for rival in rivals {
        let mut named = OsString::from(format!("{}=", rival.name()));
        named.push(rival.provide()?);
        all.extend([OsString::from("--against"), named]);
    }
    all.extend(arguments.iter().map(OsString::from));
    // As people get it: nothing of it is shared with the builds of the tests.
    cargo(["build", "--profile", "dist", "--locked", "--bins"])
        .args(["--package", "peer", "--package", "benchmarks"])
        .run()?;
    program(places::target().join("dist/benchmarks"))
        .args(all)
        .run()
}

/// Where rivals are installed.
fn folder() -> PathBuf {
    places::target().join("against")
}
