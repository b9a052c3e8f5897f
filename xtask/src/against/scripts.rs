//! The scripts for Node, and the libraries that they are about.

use std::path::PathBuf;

use anyhow::Context;

use crate::{npm, places};

/// Copies the scripts to where their packages are installed; answers where that is.
///
/// # Errors
/// If there is no Node, or the packages cannot be had.
pub(crate) fn provide() -> anyhow::Result<PathBuf> {
    let from = places::rivals();
    let to = super::folder().join("scripts");
    std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let files =
        std::fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))?;
    for file in files {
        let file = file?;
        // Node looks for packages beside the script: what somebody installed in the source is no part
        // of it.
        if file.file_type()?.is_file() {
            let copy = to.join(file.file_name());
            std::fs::copy(file.path(), &copy)
                .with_context(|| format!("cannot write {}", copy.display()))?;
        }
    }
    npm::provide_in(&to, "autobase, automerge, yjs")?;
    Ok(to)
}
