//! Entries that publish a module wait until the module is here: whoever holds such an entry can
//! judge it, and has the module's bytes for others. They are never invalid for want of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sync_protocol::{BlobHash, DeviceKey, Entry, EntryId, Role, SystemCall};

use crate::error::Stop;
use crate::limits::{PARKED_BYTES_MAX, PARKED_ENTRIES_MAX};
use crate::partials::PARTIALS_MAX;
use crate::replica::{Context, Replica};

/// Entries that wait for modules. What is here of the modules are partial blobs.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    entries: BTreeMap<EntryId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<Entry>,
    from: DeviceKey,
    /// The modules it lacks, with the bytes that it says each has.
    missing: BTreeMap<BlobHash, u32>,
}

impl Parked {
    pub(crate) fn holds(&self, id: &EntryId) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The modules to fetch.
    pub(crate) fn wanted(&self) -> Vec<BlobHash> {
        let entries = self.entries.values();
        let missing = entries.flat_map(|waiting| waiting.missing.keys().copied());
        let missing: BTreeSet<BlobHash> = missing.collect();
        missing.into_iter().take(PARTIALS_MAX).collect()
    }

    /// Bytes that a module to be fetched has, by what was published.
    pub(crate) fn len_of(&self, hash: &BlobHash) -> Option<u64> {
        let mut entries = self.entries.values();
        let len = entries.find_map(|waiting| waiting.missing.get(hash))?;
        Some(u64::from(*len))
    }

    fn has_room(&self, entry: &Entry) -> bool {
        let bytes: usize = self
            .entries
            .values()
            .map(|waiting| waiting.entry.encoded().len())
            .sum();
        self.entries.is_empty()
            || (self.entries.len() < PARKED_ENTRIES_MAX
                && bytes + entry.encoded().len() <= PARKED_BYTES_MAX)
    }

    /// A module is here: gives back the entries that lack none any more.
    pub(crate) fn arrived(&mut self, hash: &BlobHash) -> Vec<(Arc<Entry>, DeviceKey)> {
        for waiting in self.entries.values_mut() {
            waiting.missing.remove(hash);
        }
        let ready: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, waiting)| waiting.missing.is_empty())
            .map(|(id, _)| *id)
            .collect();
        ready
            .iter()
            .filter_map(|id| self.entries.remove(id))
            .map(|waiting| (waiting.entry, waiting.from))
            .collect()
    }
}

/// What became of an entry that may have to wait.
pub(crate) enum Parking {
    /// It lacks no module.
    Ready,
    /// It waits.
    Parked,
    /// Too many wait: it will come again.
    Full,
}

impl Replica {
    /// Keeps an entry aside if it publishes a module that is not here.
    pub(crate) fn park(
        &mut self,
        entry: &Arc<Entry>,
        from: DeviceKey,
        ctx: &Context<'_>,
    ) -> Result<Parking, Stop> {
        if self.parked.holds(&entry.id) {
            return Ok(Parking::Parked);
        }
        let mut missing = BTreeMap::new();
        for (_, call) in entry.system_calls() {
            if let SystemCall::Publish(new_module) = call
                && ctx.disk.blob_len(&new_module.module)?.is_none()
            {
                missing.insert(new_module.module, new_module.module_len);
            }
        }
        // Others' publishes fail where they stand, whatever the module.
        let owner = self.members.get(&entry.header.author) == Some(&Role::Owner);
        if missing.is_empty() || !owner || self.dag.contains(&entry.id) {
            return Ok(Parking::Ready);
        }
        // A forged entry must not make us fetch anything; offered, it gets its due.
        if entry.verify().is_err() {
            return Ok(Parking::Ready);
        }
        if !self.parked.has_room(entry) {
            return Ok(Parking::Full);
        }
        self.parked.entries.insert(
            entry.id,
            Waiting {
                entry: Arc::clone(entry),
                from,
                missing,
            },
        );
        Ok(Parking::Parked)
    }
}
