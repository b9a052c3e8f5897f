//! How much memory there is for this process: the machine's, or less where somebody set a limit.

use std::fs::read_to_string;
use std::path::Path;

/// Where control groups of the second version are.
const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes of the machine's memory, or of what this process's control groups allow if that is less. `None` where
/// the system does not say so as Linux does.
pub(crate) fn bytes() -> Option<u64> {
    let total = total(&read_to_string("/proc/meminfo").ok()?)?;
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = group(&groups).map_or(Vec::new(), limits);
    Some(limits.into_iter().fold(total, u64::min))
}

/// All of it, by the text of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// This process's group, by the text of `/proc/self/cgroup`.
fn group(groups: &str) -> Option<&Path> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(path))
}

/// What a group and those above it allow, where there is a bound.
fn limits(group: &Path) -> Vec<u64> {
    group
        .ancestors()
        .filter_map(|group| read_to_string(Path::new(GROUPS).join(group).join("memory.max")).ok())
        .filter_map(|limit| limit.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_linux_says() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:        22105728 kB\n";
        assert_eq!(total(meminfo), Some(24_689_764 * 1_024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: much\n"), None);
        let groups = "1:cpu:/\n0::/system.slice/tombolo.service\n";
        let path = Path::new("system.slice/tombolo.service");
        assert_eq!(group(groups), Some(path));
        assert_eq!(group("0::/\n"), Some(Path::new("")));
        assert_eq!(group("4:memory:/old\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        let bytes = bytes().expect("Linux says so");
        assert!(bytes > 16 << 20, "{bytes}");
    }
}
