//! The module that all worlds run: a market, and what an upgrade makes of it. Both are compiled by
//! `cargo xtask wasm`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sync_protocol::BlobHash;

/// The modules.
#[derive(Clone, Debug)]
pub struct Market {
    /// What is published first.
    pub(crate) first: Arc<[u8]>,
    /// What an upgrade publishes.
    pub(crate) next: Arc<[u8]>,
}

impl Market {
    /// Reads the compiled modules of the target directory that this program was built in.
    ///
    /// # Errors
    /// If they are not there, with the command that compiles them.
    pub fn load() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let folders = program.ancestors().map(|folder| folder.join("wasm"));
        let found = folders
            .into_iter()
            .find(|folder| folder.join(FIRST).exists());
        let folder = found.with_context(|| {
            format!("{FIRST} was not compiled yet: `cargo xtask wasm` does that")
        })?;
        Ok(Self {
            first: read(&folder, FIRST)?,
            next: read(&folder, NEXT)?,
        })
    }

    /// The hash by which the upgraded module is known.
    pub(crate) fn next_hash(&self) -> BlobHash {
        BlobHash::of(&self.next)
    }
}

const FIRST: &str = "market.wasm";
const NEXT: &str = "market_next.wasm";

fn read(folder: &Path, name: &str) -> anyhow::Result<Arc<[u8]>> {
    let path: PathBuf = folder.join(name);
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes.into())
}
