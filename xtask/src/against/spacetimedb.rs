//! SpacetimeDB's server, compiled from the registry of packages.

use std::path::PathBuf;

use anyhow::Context;

use crate::command::cargo;

const PACKAGE: &str = "spacetimedb-standalone";

/// The release whose library the modules of `tests/modules-1.2` are made with: both servers run the same
/// module.
const VERSION: &str = "1.2.0";

/// Compiles the server unless it is there; answers where its program is.
///
/// # Errors
/// If it cannot be had or compiled.
pub(crate) fn provide() -> anyhow::Result<PathBuf> {
    let folder = super::folder().join("spacetimedb");
    let program = folder.join("bin").join(PACKAGE);
    if program.exists() {
        eprintln!("{PACKAGE} {VERSION} is there: {}", program.display());
        return Ok(program);
    }
    eprintln!(
        "installing {PACKAGE} {VERSION}, which takes 10 to 27 minutes, once. It needs a C \
         compiler, make and perl. It is under SpacetimeDB's own licence (Business Source Licence): it is \
         run here, and nothing of it becomes part of Tombolo"
    );
    let built = folder.join("build");
    cargo(["install", PACKAGE, "--version", VERSION, "--locked"])
        .args(["--root".as_ref(), folder.as_os_str()])
        // Kept apart: nothing of ours is compiled with its features.
        .args(["--target-dir".as_ref(), built.as_os_str()])
        .env_remove("CARGO_TARGET_DIR")
        .run()?;
    // What the program was made of is needed no more.
    std::fs::remove_dir_all(&built)
        .with_context(|| format!("cannot remove {}", built.display()))?;
    Ok(program)
}
