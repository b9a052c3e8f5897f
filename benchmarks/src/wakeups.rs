//! How often a process that has nothing to do wakes up, as the system counts it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::clock::{instant, pause};

/// Wake-ups a second of all threads of a process, over some seconds: each time one of them gave its
/// processor back, it had been woken.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn per_second(pid: u32, over: Duration) -> anyhow::Result<f64> {
    let before = switches(pid)?;
    let start = instant();
    pause(over);
    let seconds = start.elapsed().as_secs_f64();
    // A thread that ended takes its count with it.
    Ok(switches(pid)?.saturating_sub(before) as f64 / seconds)
}

/// Times that threads of a process went to sleep by themselves, so far.
fn switches(pid: u32) -> anyhow::Result<u64> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let threads =
        std::fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))?;
    let mut all = 0;
    for thread in threads {
        // One that ends meanwhile has nothing to tell.
        let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .context("a thread's status counts its switches")?;
        all += count.trim().parse::<u64>()?;
    }
    Ok(all)
}
