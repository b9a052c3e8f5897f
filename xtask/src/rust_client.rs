//! What the test with SpacetimeDB's client library for Rust needs: `tests/rust-client` is a workspace of its
//! own, and the only one that is not built with the release profile. Its program waits for a peer most of the
//! time, and compiles in half the time this way.

use crate::command::{cargo, program};
use crate::places;
use crate::wasm::{is_debian, is_root};
use anyhow::bail;

/// Compiles the libraries. The program itself is compiled by the test, with client code that the
/// program under test has to write first.
///
/// # Errors
/// When OpenSSL, which the library links, cannot be had, and when something does not compile.
pub(crate) fn provide() -> anyhow::Result<()> {
    if !has_openssl() && is_root() && is_debian() {
        // If it fails, what is missing is told below.
        let _ = install();
    }
    if !has_openssl() {
        bail!(
            "the test with SpacetimeDB's client library for Rust needs OpenSSL's headers and pkg-config: \
             install them (on Debian: apt-get install libssl-dev pkg-config), then try again"
        );
    }
    cargo(["build", "--locked", "--manifest-path"])
        .args([places::rust_client().join("Cargo.toml")])
        .args(["--target-dir".into(), places::target().join("rust-client")])
        .run()
}

fn has_openssl() -> bool {
    program("pkg-config")
        .args(["--exists", "openssl"])
        .succeeds()
}

fn install() -> anyhow::Result<()> {
    eprintln!(
        "installing Debian's libssl-dev and pkg-config for a test with the client library for Rust"
    );
    program("apt-get").args(["update"]).run()?;
    program("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(["libssl-dev", "pkg-config"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}
