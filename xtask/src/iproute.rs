//! The program `ip`, with which the tests make hosts of network namespaces.

use crate::command::program;
use std::os::unix::fs::MetadataExt;

/// Sees to it that `ip` is there. Only root can install it, and only root can use it for this.
///
/// # Errors
/// When Debian's package cannot be installed.
pub(crate) fn provide() -> anyhow::Result<()> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        eprintln!(
            "NOT RUN: tests on several hosts, because only root can make network namespaces; \
             run this as root to have them too"
        );
        return Ok(());
    }
    if program("ip").args(["-V"]).output().is_some() {
        return Ok(());
    }
    eprintln!("installing Debian's iproute2 for tests on several hosts");
    program("apt-get").args(["update"]).run()?;
    program("apt-get")
        .args(["install", "--yes", "--no-install-recommends", "iproute2"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}
