//! SpacetimeDB's client library and what the tests with it need, from npm, into
//! `tests/node/node_modules`: exactly what `package-lock.json` says.

use crate::command::program;
use crate::places;
use crate::wasm::{is_debian, is_root};
use anyhow::{Context, bail};

/// The oldest Node that the library and `node --test` do with.
const NODE_MAJOR_MIN: u32 = 20;

/// Sees to it that Node and the packages are there.
///
/// # Errors
/// When there is no Node, an older one, or the packages cannot be had.
pub(crate) fn provide() -> anyhow::Result<()> {
    if !(runs("node") && runs("npm")) && is_root() && is_debian() {
        // If it fails, what is missing is told below.
        let _ = install();
    }
    if !(node_is_enough() && runs("npm")) {
        bail!(
            "tests with SpacetimeDB's client library need node and npm, Node {NODE_MAJOR_MIN} or \
             newer: install them (https://nodejs.org), then try again"
        );
    }
    let folder = places::node_tests();
    let lock = std::fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("cannot read the lock file in {}", folder.display()))?;
    // A copy of what was installed: npm's own record is written in another form.
    let installed = folder.join("node_modules/.installed-lock.json");
    if std::fs::read(&installed).ok().as_ref() == Some(&lock) {
        return Ok(());
    }
    eprintln!(
        "installing the packages of {} (SpacetimeDB's client library, esbuild, typescript, undici)",
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
    eprintln!("installing Debian's nodejs and npm for tests with SpacetimeDB's client library");
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
        let major = version.trim_start_matches('v').split('.').next();
        major
            .and_then(|major| major.parse::<u32>().ok())
            .is_some_and(|major| major >= NODE_MAJOR_MIN)
    })
}
