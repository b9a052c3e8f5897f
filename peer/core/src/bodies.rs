//! Bodies of entries. The DAG keeps entries without them; what runs now or was just taken in is
//! here, and the rest is read from the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use store::Log;
use sync_protocol::{DatabaseId, Entry, EntryId};

use crate::error::Stop;
use crate::limits::BODIES_BYTES_MAX;

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
            drop(self.forget(&oldest));
        }
    }

    /// Takes out an entry that a cut covers.
    pub(crate) fn forget(&mut self, id: &EntryId) -> Option<Arc<Entry>> {
        let gone = self.held.remove(id);
        if let Some(entry) = &gone {
            self.bytes -= entry.bytes;
        }
        // Where all is covered, as mostly, nothing is left to be skipped later.
        if self.held.is_empty() {
            self.order.clear();
        }
        gone
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

#[cfg(test)]
mod tests {
    use store::limits::LOG_CACHE_BYTES;
    use store::{Disk, MemoryDisk};

    use super::*;
    use crate::tests::lone::{self, DATABASE};

    /// An entry of about a megabyte.
    fn entry(seq: u64) -> Arc<Entry> {
        Arc::new(lone::entry(seq, 1_000_000))
    }

    #[test]
    fn the_newest_stay_and_the_others_come_from_the_log() {
        let disk = MemoryDisk::new();
        let file = disk.log(&DATABASE).expect("memory");
        let mut log = Log::open(file, LOG_CACHE_BYTES).expect("memory");
        let entries: Vec<_> = (0..8).map(entry).collect();
        log.append(&entries).expect("memory");
        let mut bodies = Bodies::default();
        for entry in &entries {
            bodies.keep(entry);
            bodies.keep(entry);
            assert!(bodies.bytes <= BODIES_BYTES_MAX);
        }
        assert_eq!(bodies.held.len(), 4, "as many as fit");
        assert!(bodies.held.contains_key(&entries[7].id));
        for entry in &entries {
            let found = bodies.get(&entry.id, &log, DATABASE).expect("it is there");
            assert_eq!(found, *entry);
        }
        drop(bodies.forget(&entries[5].id));
        assert_eq!(bodies.held.len(), 3);
        entries
            .iter()
            .for_each(|entry| drop(bodies.forget(&entry.id)));
        assert_eq!((bodies.bytes, bodies.order.len()), (0, 0));
        let missing = bodies.get(&EntryId([9; 32]), &log, DATABASE);
        assert!(matches!(missing, Err(Stop::Damaged { .. })));
    }
}
