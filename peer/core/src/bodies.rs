//! Bodies of entries. The DAG keeps entries without them; what runs now or was just taken in is
//! here, and the rest is read from the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use store::Log;
use sync_protocol::{DatabaseId, Entry, EntryId};

use crate::error::Stop;

/// Bytes of the entries that stay in memory with their bodies, as stored. Enough for what comes in
/// between two sweeps, and for a late entry to find the end of the tail here; a longer way back
/// costs one read of the log an entry, which is little beside running it.
const BODIES_BYTES_MAX: usize = 4 << 20;

/// The entries taken in last, within a bound.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    held: BTreeMap<EntryId, Arc<Entry>>,
    /// Oldest first. Ids that are no longer held are among them.
    order: VecDeque<EntryId>,
    bytes: usize,
}

impl Bodies {
    /// Keeps an entry as the newest. The log must hold it before it is asked for.
    pub(crate) fn keep(&mut self, entry: &Arc<Entry>) {
        if self.held.insert(entry.id, Arc::clone(entry)).is_some() {
            return;
        }
        self.order.push_back(entry.id);
        self.bytes += entry.bytes;
        while self.bytes > BODIES_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(&oldest);
        }
    }

    /// Drops an entry that a cut covers.
    pub(crate) fn forget(&mut self, id: &EntryId) {
        if let Some(entry) = self.held.remove(id) {
            self.bytes -= entry.bytes;
        }
        // Where all is covered, as mostly, nothing is left to be skipped later.
        if self.held.is_empty() {
            self.order.clear();
        }
    }

    /// An entry with its body.
    ///
    /// # Errors
    /// If the disk fails, or the log does not hold what it must.
    pub(crate) fn get(
        &self,
        id: &EntryId,
        log: &Log,
        database: DatabaseId,
    ) -> Result<Arc<Entry>, Stop> {
        if let Some(entry) = self.held.get(id) {
            return Ok(Arc::clone(entry));
        }
        log.entry(id)?
            .and_then(|bytes| Entry::open(&bytes).ok())
            .map(Arc::new)
            .ok_or(Stop::Damaged {
                what: "entry",
                database,
            })
    }
}
