//! The browser that the tests of `examples/chat` and `examples/notes` drive.

use crate::command::program;
use crate::wasm::{is_debian, is_root};

/// Sees to it that `chromium` is there, where that can be done: on Debian, as root.
///
/// # Errors
/// When Debian's package cannot be installed.
pub(crate) fn provide() -> anyhow::Result<()> {
    if program("chromium").args(["--version"]).succeeds() {
        return Ok(());
    }
    if !(is_root() && is_debian()) {
        eprintln!(
            "NOT RUN: tests in a browser, because there is no program `chromium`; install it (on \
             Debian: apt-get install chromium) to have them too"
        );
        return Ok(());
    }
    eprintln!("installing Debian's chromium for tests in a browser");
    program("apt-get").args(["update"]).run()?;
    program("apt-get")
        .args(["install", "--yes", "--no-install-recommends", "chromium"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}
