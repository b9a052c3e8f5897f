//! What the databases of one peer may hold in memory. `docs/MEMORY.md` has the whole picture.

use store::{OverlayBudget, limits};
use sync_protocol::SecretKey;

use crate::limits::{CACHE_BYTES_MIN, CACHES_BYTES, CACHES_PART};

/// Context of the hash that makes the caches' secret.
const SECRET_CONTEXT: &str = "tombolo cache secret 1";

/// Bounds on memory that are this peer's own business: no outcome depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Row versions of one database's tail; what is beyond goes to its spill file.
    pub overlay: OverlayBudget,
    /// Bytes of memory for pages and rows of the files of all databases together. Each database has at
    /// least a mebibyte, however many there are.
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
    /// What a peer takes on a machine with so many bytes of memory, where nobody says otherwise: an eighth
    /// of them for what its files hold, and 16 MiB at least. It is taken as it is needed: a peer whose rows
    /// take little has little in memory.
    #[must_use]
    pub fn of_machine(memory_bytes: u64) -> Self {
        let part = usize::try_from(memory_bytes / CACHES_PART).unwrap_or(usize::MAX);
        Self {
            caches_bytes: part.max(CACHES_BYTES),
            ..Self::default()
        }
    }

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

/// Keys the hash that places rows in memory: only this device knows it, and it is the same at every start.
pub(crate) fn cache_secret(device: &SecretKey) -> u64 {
    let derived = blake3::derive_key(SECRET_CONTEXT, &device.to_bytes());
    let [a, b, c, d, e, f, g, h, ..] = derived;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Bytes of cache for the files of one database.
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
        let large = MemoryBudget::of_machine(8 << 30);
        assert_eq!(large.caches_bytes, 1 << 30);
        let small = MemoryBudget::of_machine(64 << 20);
        assert_eq!(small.caches_bytes, CACHES_BYTES);
        assert_eq!(large.share(1).log_bytes, limits::LOG_CACHE_BYTES);
        assert_eq!(
            large.share(1).base_bytes,
            (1 << 30) - limits::LOG_CACHE_BYTES
        );
    }
}
