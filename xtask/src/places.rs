//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    // The folder above this package's: right wherever the command was started.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the repository")
        .to_path_buf()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The workspace of the example modules.
pub(crate) fn modules() -> PathBuf {
    root().join("examples/modules")
}

/// The workspace of the greenhouse's programs.
pub(crate) fn mesh() -> PathBuf {
    root().join("examples/mesh")
}

/// The workspace of the fuzzers.
pub(crate) fn fuzz() -> PathBuf {
    root().join("fuzz")
}

/// The inputs that a target starts from, and those that once broke it.
pub(crate) fn corpus(target: &str) -> PathBuf {
    root().join("tests/corpus").join(target)
}

/// The workspace of the modules that only tests use.
pub(crate) fn test_modules() -> PathBuf {
    root().join("tests/modules")
}

/// The workspace of the modules that are built with the library of SpacetimeDB 1.2.
pub(crate) fn old_modules() -> PathBuf {
    root().join("tests/modules-1.2")
}

/// The workspace of the client with SpacetimeDB's library for Rust.
pub(crate) fn rust_client() -> PathBuf {
    root().join("tests/rust-client")
}

/// All workspaces that are compiled to WebAssembly.
pub(crate) fn all_modules() -> [PathBuf; 3] {
    [modules(), test_modules(), old_modules()]
}

/// The folders with packages from npm, and what comes with each.
pub(crate) fn npm_packages() -> [(PathBuf, &'static str); 6] {
    [
        (
            "tests/node",
            "SpacetimeDB's client library, esbuild, typescript, undici",
        ),
        ("tests/node-v1", "the client libraries of SpacetimeDB 1.x"),
        ("examples/chat", "the same library, react, vite, typescript"),
        ("examples/notes", "the same and Automerge"),
        ("tests/browser", "playwright-core, which drives Chromium"),
        ("tests/oidc", "oidc-provider, and the Node that it needs"),
    ]
    .map(|(folder, what)| (root().join(folder), what))
}

/// The scripts in which other people's libraries do what the benchmarks do.
pub(crate) fn rivals() -> PathBuf {
    root().join("benchmarks/against")
}

/// Where the compiled modules are put: `<name>.wasm`.
pub(crate) fn wasm() -> PathBuf {
    target().join("wasm")
}

/// The demo module, committed so that the demo needs no WebAssembly toolchain.
pub(crate) fn demo_wasm() -> PathBuf {
    root().join("peer/assets/chat.wasm")
}

/// What the committed demo module was built from.
pub(crate) fn demo_sources() -> PathBuf {
    root().join("peer/assets/chat.wasm.source-hash")
}
