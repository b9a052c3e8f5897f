//! Memory of a process, as the system counts it.

use std::path::Path;

use anyhow::Context;

/// One look at a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// All pages that are in memory, those of the program's file too (`VmRSS`).
    pub(crate) all: f64,
    /// What the process has allocated (`RssAnon`).
    pub(crate) anonymous: f64,
    /// The most that was ever resident, since the last [`forget_peak`] (`VmHWM`).
    pub(crate) peak: f64,
}

/// Looks at the process with this number.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn of(pid: u32) -> anyhow::Result<Resident> {
    read(&format!("/proc/{pid}"))
}

/// Looks at this process.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn own() -> anyhow::Result<Resident> {
    read("/proc/self")
}

/// Lets the peak of this process begin at what is resident now.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("resetting the peak")
}

fn read(process: &str) -> anyhow::Result<Resident> {
    let path = Path::new(process).join("status");
    let status =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mib = |name: &str| -> anyhow::Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().next())
            .with_context(|| format!("a process has a {name} line"))?
            .parse()?;
        Ok(kib / 1_024.0)
    };
    Ok(Resident {
        all: mib("VmRSS:")?,
        anonymous: mib("RssAnon:")?,
        peak: mib("VmHWM:")?,
    })
}
