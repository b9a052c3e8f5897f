//! What the databases of one peer may hold in memory. `docs/MEMORY.md` has the whole picture.

use store::{OverlayBudget, limits};

use crate::limits::{CACHE_BYTES_MIN, CACHES_BYTES};

/// Bounds on memory that are this peer's own business: no outcome depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Row versions of one database's tail; what is beyond goes to its spill file.
    pub overlay: OverlayBudget,
    /// Bytes of page cache for the files of all databases together. Each database has at least a
    /// mebibyte, however many there are.
    pub caches_bytes: usize,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self {
            overlay: OverlayBudget::default(),
            caches_bytes: CACHES_BYTES,
        }
    }
}

impl MemoryBudget {
    /// The share of one database among `databases`. A cache keeps its size while its file is open,
    /// so a database that comes later gets a share of its own beside those that are out.
    pub(crate) fn share(&self, databases: usize) -> FileCaches {
        let share = self.caches_bytes / databases.max(1);
        // Rows are read in any order, entries where they were appended last.
        let log_bytes = (share / 4).clamp(CACHE_BYTES_MIN, limits::LOG_CACHE_BYTES);
        FileCaches {
            base_bytes: share.saturating_sub(log_bytes).max(CACHE_BYTES_MIN),
            log_bytes,
        }
    }
}

/// Bytes of page cache for the files of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileCaches {
    pub(crate) base_bytes: usize,
    pub(crate) log_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_share_what_there_is() {
        let budget = MemoryBudget::default();
        let total = |databases| {
            let caches = budget.share(databases);
            databases * (caches.base_bytes + caches.log_bytes)
        };
        assert_eq!(total(1), CACHES_BYTES);
        assert_eq!(total(8), CACHES_BYTES);
        assert_eq!(
            budget.share(1_000),
            FileCaches {
                base_bytes: CACHE_BYTES_MIN,
                log_bytes: CACHE_BYTES_MIN
            }
        );
        let large = MemoryBudget {
            caches_bytes: 1 << 30,
            ..budget
        };
        assert_eq!(large.share(1).log_bytes, limits::LOG_CACHE_BYTES);
        assert_eq!(
            large.share(1).base_bytes,
            (1 << 30) - limits::LOG_CACHE_BYTES
        );
    }
}
