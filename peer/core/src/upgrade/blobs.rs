//! Entries that publish a module wait until the module is here: whoever holds such an entry can
//! judge it, and has the module's bytes for others. They are never invalid for want of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sync_protocol::limits::MODULE_BYTES_MAX;
use sync_protocol::{BlobHash, DeviceKey, Entry, EntryId, Role, SystemCall};

use crate::error::Stop;
use crate::limits::{FETCHED_MODULES_MAX, PARKED_BYTES_MAX, PARKED_ENTRIES_MAX};
use crate::replica::{Context, Replica};

/// Entries that wait for modules, and the modules as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    entries: BTreeMap<EntryId, Waiting>,
    /// What each module that is being fetched has so far.
    parts: BTreeMap<BlobHash, Vec<u8>>,
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<Entry>,
    from: DeviceKey,
    missing: BTreeSet<BlobHash>,
}

impl Parked {
    pub(crate) fn holds(&self, id: &EntryId) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The modules to fetch, those that were begun first.
    pub(crate) fn wanted(&self) -> Vec<BlobHash> {
        let mut wanted: Vec<BlobHash> = self.parts.keys().copied().collect();
        let missing = self.entries.values().flat_map(|waiting| &waiting.missing);
        let missing: BTreeSet<BlobHash> = missing
            .filter(|hash| !self.parts.contains_key(*hash))
            .copied()
            .collect();
        let room = FETCHED_MODULES_MAX.saturating_sub(wanted.len());
        wanted.extend(missing.into_iter().take(room));
        wanted
    }

    /// Bytes that are here of it.
    pub(crate) fn have(&self, hash: &BlobHash) -> u64 {
        self.parts.get(hash).map_or(0, |part| part.len() as u64)
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
    fn arrived(&mut self, hash: &BlobHash) -> Vec<(Arc<Entry>, DeviceKey)> {
        self.parts.remove(hash);
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
        let mut missing = BTreeSet::new();
        for (_, call) in entry.system_calls() {
            if let SystemCall::Publish(new_module) = call
                && ctx.disk.blob_len(&new_module.module)?.is_none()
            {
                missing.insert(new_module.module);
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

    /// Takes a piece of a module that continues what is here. Gives back entries that waited for
    /// it, encoded, with whom they came from.
    ///
    /// # Errors
    /// The inner one is the remote's fault.
    #[expect(clippy::type_complexity, reason = "one call site")]
    pub(crate) fn take_chunk(
        &mut self,
        hash: &BlobHash,
        offset: u64,
        total: u64,
        bytes: &[u8],
        ctx: &Context<'_>,
    ) -> Result<Result<Vec<(Vec<u8>, DeviceKey)>, &'static str>, Stop> {
        if !self.parked.wanted().contains(hash) || offset != self.parked.have(hash) {
            return Ok(Ok(Vec::new())); // a piece that came twice
        }
        let part = self.parked.parts.entry(*hash).or_default();
        let len = part.len() + bytes.len();
        if len as u64 > total || len > MODULE_BYTES_MAX {
            self.parked.parts.remove(hash);
            return Ok(Err("the module is longer than it was said to be"));
        }
        part.extend_from_slice(bytes);
        if (len as u64) < total {
            return Ok(Ok(Vec::new()));
        }
        if BlobHash::of(part) != *hash {
            self.parked.parts.remove(hash);
            return Ok(Err("the module is not the one that was published"));
        }
        ctx.disk.put_blob(part)?;
        let ready = self.parked.arrived(hash);
        Ok(Ok(ready
            .into_iter()
            .map(|(entry, from)| (entry.encoded().to_vec(), from))
            .collect()))
    }
}
