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

/// Bytes of memory that this machine has.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn machine_bytes() -> anyhow::Result<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").context("how much memory there is")?;
    let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix(" kB"));
    let kib: u64 = kib
        .context("no MemTotal in /proc/meminfo")?
        .trim()
        .parse()?;
    Ok(kib << 10)
}

/// Lets the peak of this process begin at what is resident now.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("resetting the peak")
}

/// How much more memory this process takes for something that is done in one or more pieces. What is freed by what
/// came before is used again, so it may be more than is said.
pub(crate) struct Grown {
    /// Resident when the piece began.
    before: f64,
    /// MiB of all pieces so far.
    pub(crate) mib: f64,
}

impl Grown {
    /// The first piece begins.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn from_here() -> anyhow::Result<Self> {
        let mut grown = Self {
            before: 0.0,
            mib: 0.0,
        };
        grown.go_on()?;
        Ok(grown)
    }

    /// Another piece begins.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn go_on(&mut self) -> anyhow::Result<()> {
        forget_peak()?;
        self.before = own()?.all;
        Ok(())
    }

    /// A piece is done.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        self.mib += own()?.peak - self.before;
        Ok(())
    }
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
