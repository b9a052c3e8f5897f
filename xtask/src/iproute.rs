//! The programs `ip` and `nft`, with which the tests make hosts of network namespaces, and routers
//! between them.

use crate::command::program;
use std::os::unix::fs::MetadataExt;

/// Sees to it that both are there. Only root can install them, and only root can use them for this.
///
/// # Errors
/// When Debian's packages cannot be installed.
pub(crate) fn provide() -> anyhow::Result<()> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        eprintln!(
            "NOT RUN: tests on several hosts, because only root can make network namespaces; \
             run this as root to have them too"
        );
        return Ok(());
    }
    let there = |name| program(name).args(["-V"]).output().is_some();
    if there("ip") && there("nft") {
        return Ok(());
    }
    eprintln!("installing Debian's iproute2 and nftables for tests on several hosts");
    program("apt-get").args(["update"]).run()?;
    program("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(["iproute2", "nftables"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}
