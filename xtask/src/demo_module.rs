//! The committed demo module: what it was built from, and whether that is still so.
//!
//! `peer/assets/chat.wasm.source-hash` has one line for each source file, and one for the module
//! itself: the file's BLAKE3 and its path in the repository. A whole-system test reads the same
//! file and also holds the committed module against a rebuilt one.

use crate::places;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Replaces the committed module by the one just built, and writes down what it was built from.
pub(crate) fn replace() -> anyhow::Result<()> {
    let built = places::wasm().join("chat.wasm");
    let bytes =
        std::fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    write(&places::demo_wasm(), &bytes)?;
    write(&places::demo_sources(), sources()?.as_bytes())?;
    eprintln!("the committed demo module is the one just built");
    Ok(())
}

/// # Errors
/// When a source file of the committed module has changed since, naming it.
pub(crate) fn check() -> anyhow::Result<()> {
    let committed = std::fs::read_to_string(places::demo_sources())
        .with_context(|| format!("cannot read {}", places::demo_sources().display()))?;
    let now = sources()?;
    let changed: Vec<&str> = now
        .lines()
        .filter(|line| !committed.lines().any(|other| other == *line))
        .chain(
            committed
                .lines()
                .filter(|line| !now.lines().any(|other| other == *line)),
        )
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    if !changed.is_empty() {
        bail!(
            "the committed demo module was not built from this tree: {} changed. \
             `cargo xtask wasm --commit-demo` builds and replaces it",
            changed.join(", ")
        );
    }
    eprintln!("the committed demo module is the tree's");
    Ok(())
}

fn sources() -> anyhow::Result<String> {
    let root = places::root();
    let mut files: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock", "chat/Cargo.toml"]
        .iter()
        .map(|file| places::modules().join(file))
        .collect();
    collect(&places::modules().join("chat/src"), &mut files)?;
    files.push(places::demo_wasm());
    files.sort();
    let mut text = String::new();
    for file in files {
        let bytes =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(&root).unwrap_or(&file);
        text.push_str(&format!(
            "{}  {}\n",
            blake3::hash(&bytes).to_hex(),
            path.display()
        ));
    }
    Ok(text)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
