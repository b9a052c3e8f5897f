//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// The committed chat module.
pub(crate) const CHAT: &[u8] = include_bytes!("../../peer/assets/chat.wasm");

/// The folder of the programs that were built with this one.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is")?;
    Ok(own
        .parent()
        .context("a program lies in a folder")?
        .to_owned())
}

/// The peer's program.
///
/// # Errors
/// If it was not built.
pub(crate) fn tombolo() -> anyhow::Result<PathBuf> {
    let path = programs()?.join("tombolo");
    anyhow::ensure!(
        path.exists(),
        "{} is not there: build it with `cargo build --release --package peer`",
        path.display()
    );
    Ok(path)
}

/// The committed chat module as a file.
pub(crate) fn chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peer/assets/chat.wasm")
}

/// A module of the tests, as `cargo xtask wasm` builds it.
///
/// # Errors
/// If it was not built.
pub(crate) fn module(name: &str) -> anyhow::Result<Vec<u8>> {
    let programs = programs()?;
    let target = programs
        .parent()
        .context("programs lie in the target directory")?;
    let path = target.join("wasm").join(format!("{name}.wasm"));
    std::fs::read(&path)
        .with_context(|| format!("{}: `cargo xtask wasm` builds it", path.display()))
}

/// A scratch directory on the disk that is built on: the system's may be kept in memory, and then
/// nothing would cost what being durable costs.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn scratch() -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(folder()?).context("making a scratch directory")
}

/// Where the report goes: `bench/latest.json` in the target directory.
///
/// # Errors
/// If the folder cannot be made.
pub(crate) fn report() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("latest.json"))
}

/// Where that goes what others did: `bench/against.json` in the target directory.
///
/// # Errors
/// If the folder cannot be made.
pub(crate) fn against() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("against.json"))
}

/// `bench` in the target directory.
fn folder() -> anyhow::Result<PathBuf> {
    let programs = programs()?;
    let folder = programs
        .parent()
        .context("programs lie in the target directory")?
        .join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
