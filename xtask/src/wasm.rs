//! Compiles the modules to WebAssembly, those of the examples and those of the tests, with whatever
//! this machine can do it.
//!
//! In this order: the toolchain in use if it has the target; the target added by rustup; Debian's
//! compiler, which comes with the source of the standard library and builds it once.

use crate::command::{Chore, cargo, program};
use crate::places;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// Builds every module and puts `<name>.wasm` into `target/wasm/`.
///
/// # Errors
/// When no toolchain can be found or installed, with the commands that would, or when a module
/// does not compile.
pub(crate) fn build() -> anyhow::Result<()> {
    let compiler = Compiler::find_or_install()?;
    for workspace in places::all_modules() {
        compiler.command(&workspace)?.run()?;
    }
    collect()
}

enum Compiler {
    /// The toolchain in use; it has the target.
    InUse,
    /// Debian's, which builds the standard library too.
    Debian,
}

impl Compiler {
    fn find_or_install() -> anyhow::Result<Compiler> {
        if toolchain_has_target() {
            eprintln!("modules are compiled by the toolchain in use: it has {TARGET}");
            return Ok(Compiler::InUse);
        }
        if program("rustup").args(["--version"]).succeeds() {
            eprintln!("installing {TARGET} for the toolchain in use, by rustup");
            let added = program("rustup").args(["target", "add", TARGET]).run();
            if added.is_ok() && toolchain_has_target() {
                return Ok(Compiler::InUse);
            }
            eprintln!("rustup has no {TARGET} for this toolchain here");
        }
        if !debian_is_complete() && is_debian() && is_root() {
            eprintln!(
                "installing Debian's packages {}",
                DEBIAN_PACKAGES.join(", ")
            );
            program("apt-get").args(["update"]).run()?;
            program("apt-get")
                .args(["install", "--yes", "--no-install-recommends"])
                .args(DEBIAN_PACKAGES)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run()?;
        }
        if debian_is_complete() {
            eprintln!("modules are compiled by Debian's {DEBIAN_RUSTC}, standard library included");
            return Ok(Compiler::Debian);
        }
        bail!(
            "nothing on this machine compiles to {TARGET}. Do one of these, then try again:\n  \
             rustup target add {TARGET}\n  \
             sudo apt-get update && sudo apt-get install --no-install-recommends {}",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    fn command(&self, workspace: &Path) -> anyhow::Result<Chore> {
        let manifest = workspace.join("Cargo.toml");
        // The packages have to be there before their folders can be named below.
        cargo(["fetch", "--locked", "--manifest-path"])
            .args([&manifest])
            .run()?;
        let command = match self {
            Compiler::InUse => cargo(["build", "--release", "--locked"]),
            Compiler::Debian => program(DEBIAN_CARGO)
                // Debian's own first: otherwise rustup's proxies answer for cargo and rustc.
                .env("PATH", path_with_debian_first())
                .env("RUSTC", DEBIAN_RUSTC)
                // `-Zbuild-std` is there in every compiler, but only for those who ask like this.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
                .args([
                    "build",
                    "--release",
                    "--locked",
                    "-Zbuild-std=std,panic_abort",
                ]),
        };
        Ok(command
            .args(["--target", TARGET, "--manifest-path"])
            .args([&manifest])
            .args(["--target-dir".as_ref(), modules_target().as_os_str()])
            .env("CARGO_ENCODED_RUSTFLAGS", flags()?)
            .env_remove("CARGO_TARGET_DIR"))
    }
}

/// One for all workspaces: what two of them use is compiled once.
fn modules_target() -> PathBuf {
    places::modules().join("target")
}

/// The same module from the same source, whoever builds it: no folder of this machine gets into
/// the messages of its panics.
fn flags() -> anyhow::Result<String> {
    // The same flags for all workspaces, or what they share would be compiled for each.
    let mut flags: Vec<String> = places::all_modules()
        .iter()
        .map(|workspace| remap(workspace, "modules"))
        .collect();
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home
        .context("cannot tell where cargo keeps its packages: set CARGO_HOME")?
        .join("registry/src");
    if let Ok(folders) = std::fs::read_dir(&sources) {
        let mut folders: Vec<PathBuf> = folders.flatten().map(|folder| folder.path()).collect();
        // Another order would be other flags, and everything would be built again.
        folders.sort();
        flags.extend(folders.iter().map(|folder| remap(folder, "packages")));
    }
    Ok(flags.join("\u{1f}"))
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn toolchain_has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    program(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .is_some_and(|files| {
            files
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
}

fn debian_is_complete() -> bool {
    let source = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
    [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_LINKER, source]
        .iter()
        .all(|file| Path::new(file).exists())
}

pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

pub(crate) fn is_root() -> bool {
    program("id").args(["-u"]).output().as_deref() == Some("0")
}

fn path_with_debian_first() -> String {
    match std::env::var("PATH") {
        Ok(path) => format!("/usr/bin:{path}"),
        Err(_) => "/usr/bin:/bin".to_string(),
    }
}

/// Copies what was built to one place with short names.
fn collect() -> anyhow::Result<()> {
    let built = modules_target().join(TARGET).join("release");
    let to = places::wasm();
    std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut count = 0;
    let files =
        std::fs::read_dir(&built).with_context(|| format!("cannot read {}", built.display()))?;
    for file in files {
        let from = file?.path();
        let Some(name) = from
            .file_name()
            .filter(|_| from.extension().is_some_and(|end| end == "wasm"))
        else {
            continue;
        };
        let bytes =
            std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = to.join(name);
        // Untouched when it is the same: what depends on its time is not built again.
        if std::fs::read(&to).ok().as_deref() != Some(&bytes) {
            std::fs::write(&to, &bytes)
                .with_context(|| format!("cannot write {}", to.display()))?;
        }
        eprintln!("  {} ({} KiB)", to.display(), bytes.len() / 1024);
        count += 1;
    }
    if count == 0 {
        bail!("the compiler left no module in {}", built.display());
    }
    Ok(())
}
