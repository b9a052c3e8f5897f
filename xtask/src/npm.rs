//! What the tests need from npm: SpacetimeDB's client library, what builds the chat, what drives a
//! browser. Each folder gets exactly what its `package-lock.json` says, into its `node_modules`.

use crate::command::program;
use crate::places;
use crate::wasm::{is_debian, is_root};
use anyhow::{Context, bail};
use std::path::Path;

/// The oldest Node that vite, the library and `node --test` do with.
const NODE_MIN: (u32, u32) = (20, 19);

/// Sees to it that Node and the packages of the tests are there.
///
/// # Errors
/// When there is no Node, an older one, or the packages cannot be had.
pub(crate) fn provide() -> anyhow::Result<()> {
    node()?;
    places::npm_packages()
        .iter()
        .try_for_each(|(folder, what)| packages(folder, what))
}

/// The same for one folder.
///
/// # Errors
/// As [`provide`].
pub(crate) fn provide_in(folder: &Path, what: &str) -> anyhow::Result<()> {
    node()?;
    packages(folder, what)
}

/// Sees to it that Node is there.
fn node() -> anyhow::Result<()> {
    if !(runs("node") && runs("npm")) && is_root() && is_debian() {
        // If it fails, what is missing is told below.
        let _ = install();
    }
    if !(node_is_enough() && runs("npm")) {
        bail!(
            "packages from npm need node and npm, Node {}.{} or newer: install them \
             (https://nodejs.org), then try again",
            NODE_MIN.0,
            NODE_MIN.1
        );
    }
    Ok(())
}

/// Installs what the lock file of a folder says, unless that has been done.
fn packages(folder: &Path, what: &str) -> anyhow::Result<()> {
    let lock = std::fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("cannot read the lock file in {}", folder.display()))?;
    // A copy of what was installed: npm's own record is written in another form.
    let installed = folder.join("node_modules/.installed-lock.json");
    if std::fs::read(&installed).ok().as_ref() == Some(&lock) {
        return Ok(());
    }
    eprintln!(
        "installing the packages of {} ({what})",
        folder.join("package-lock.json").display()
    );
    program("npm")
        .args(["--prefix".as_ref(), folder.as_os_str()])
        // No package needs its scripts, so none runs any.
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .run()?;
    std::fs::write(&installed, &lock)
        .with_context(|| format!("cannot write {}", installed.display()))
}

fn install() -> anyhow::Result<()> {
    eprintln!("installing Debian's nodejs and npm for tests with packages from npm");
    program("apt-get").args(["update"]).run()?;
    program("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(["nodejs", "npm"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn runs(name: &str) -> bool {
    program(name).args(["--version"]).succeeds()
}

fn node_is_enough() -> bool {
    let version = program("node").args(["--version"]).output();
    version.is_some_and(|version| {
        let mut numbers = version.trim_start_matches('v').split('.').map(str::parse);
        matches!(
            (numbers.next(), numbers.next()),
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= NODE_MIN
        )
    })
}
