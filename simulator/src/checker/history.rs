//! The one order, worked out from the entries on one disk: a cut covers what its frontier descends
//! from and no cut before it covers; inside, entries stand by time, author and id.

use std::collections::{BTreeMap, BTreeSet};

use store::{Disk, Log, MemoryDisk};
use sync_protocol::{Cut, DatabaseId, Entry, EntryId};

/// Bytes of page cache for looking at a log.
const CACHE_BYTES: usize = 1 << 20;

/// What lies in one log.
pub(crate) struct History {
    /// Cuts by height, the birth of the database first.
    pub(crate) cuts: Vec<Cut>,
    /// What each of them covers, in the order of the log.
    pub(crate) segments: Vec<Vec<Entry>>,
    /// What none covers, in the order of the log.
    pub(crate) tail: Vec<Entry>,
}

impl History {
    /// Reads a copy of a peer's log, as a backup of its directory would have it.
    pub(crate) fn read(disk: &MemoryDisk, database: &DatabaseId) -> Result<Self, String> {
        Self::of_log(disk, database).map_err(|error| format!("its log cannot be read: {error:#}"))
    }

    fn of_log(disk: &MemoryDisk, database: &DatabaseId) -> anyhow::Result<Self> {
        let log = Log::open(disk.backup().log(database)?, CACHE_BYTES)?;
        let open = |entries: Vec<Vec<u8>>| -> anyhow::Result<Vec<Entry>> {
            let opened = entries.iter().map(|bytes| Entry::open(bytes));
            Ok(opened.collect::<Result<_, _>>()?)
        };
        let mut cuts = Vec::new();
        let mut segments = Vec::new();
        while let Some(bytes) = log.cut(cuts.len() as u64)? {
            let (entries, more) = log.segment(cuts.len() as u64, 0, usize::MAX)?;
            anyhow::ensure!(!more, "a segment has more than fits into memory");
            cuts.push(Cut::open(&bytes)?);
            segments.push(open(entries)?);
        }
        Ok(Self {
            cuts,
            segments,
            tail: open(log.tail()?)?,
        })
    }

    /// The ids of the cuts by height.
    pub(crate) fn cut_ids(&self) -> Vec<String> {
        self.cuts.iter().map(|cut| cut.id().to_string()).collect()
    }

    /// Where each final entry stands, and how many calls it has.
    pub(crate) fn places(&self) -> BTreeMap<EntryId, (usize, u16)> {
        let entries = self.segments.iter().flatten().enumerate();
        entries
            .map(|(place, entry)| (entry.id, (place, entry.header.invocations)))
            .collect()
    }

    /// Whether the entry is here, final or not.
    pub(crate) fn holds(&self, id: &EntryId) -> bool {
        let all = self.segments.iter().flatten().chain(&self.tail);
        all.into_iter().any(|entry| entry.id == *id)
    }

    /// Whether the log says what the order must be: each entry once, after all that it builds on,
    /// each segment what its cut covers, by time, author and id.
    pub(crate) fn check(&self) -> Result<(), String> {
        let finals = self.segments.iter().flatten();
        let by_id: BTreeMap<EntryId, &Entry> = finals.map(|entry| (entry.id, entry)).collect();
        let count: usize = self.segments.iter().map(Vec::len).sum();
        if by_id.len() != count {
            return Err("an entry is final twice".to_owned());
        }
        let mut covered = BTreeSet::new();
        for (cut, segment) in self.cuts.iter().zip(&self.segments) {
            let fresh = closure(&cut.frontier, &by_id, &covered)
                .map_err(|missing| format!("cut {} lacks entry {missing}", cut.height))?;
            let mut expected: Vec<_> = fresh.iter().map(|id| by_id[id]).collect();
            expected.sort_by_key(|entry| (entry.header.hlc.0, entry.header.author, entry.id));
            let mut pairs = expected.iter().zip(segment);
            let differs = pairs.any(|(expected, found)| expected.id != found.id);
            if differs || expected.len() != segment.len() {
                return Err(format!(
                    "the segment of cut {} has {} entries in another order than the {} it covers",
                    cut.height,
                    segment.len(),
                    expected.len()
                ));
            }
            for entry in segment {
                if let Some(parent) = entry
                    .header
                    .parents
                    .iter()
                    .find(|id| !covered.contains(*id))
                {
                    return Err(format!(
                        "entry {} stands before {parent}, on which it builds",
                        entry.id
                    ));
                }
                covered.insert(entry.id);
            }
        }
        for entry in &self.tail {
            if by_id.contains_key(&entry.id) {
                return Err(format!("entry {} is final and in the tail", entry.id));
            }
        }
        Ok(())
    }

    /// Whether another log has the same final history.
    pub(crate) fn same_finals(&self, other: &Self) -> Result<(), String> {
        let ids = |history: &Self| -> Vec<EntryId> {
            let entries = history.segments.iter().flatten();
            entries.map(|entry| entry.id).collect()
        };
        let (ours, theirs) = (ids(self), ids(other));
        if ours == theirs && self.cut_ids() == other.cut_ids() {
            return Ok(());
        }
        Err(format!(
            "its log has {} final entries and {} cuts, which are not the {} and {} of another",
            ours.len(),
            self.cuts.len(),
            theirs.len(),
            other.cuts.len()
        ))
    }
}

/// What the frontier descends from, itself included, without what was covered before.
fn closure(
    frontier: &[EntryId],
    by_id: &BTreeMap<EntryId, &Entry>,
    covered: &BTreeSet<EntryId>,
) -> Result<BTreeSet<EntryId>, EntryId> {
    let mut fresh = BTreeSet::new();
    let mut stack = frontier.to_vec();
    while let Some(id) = stack.pop() {
        if covered.contains(&id) || !fresh.insert(id) {
            continue;
        }
        let entry = by_id.get(&id).ok_or(id)?;
        stack.extend(&entry.header.parents);
    }
    Ok(fresh)
}
