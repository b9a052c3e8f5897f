//! A cut as the log keeps it: its bytes, and what is kept of each entry that it covers.

use sync_protocol::{Cut, EntryId, FinalEntry, Position, Stub};

use super::{final_entry, stored_cut};

/// A cut, and what it covers.
#[derive(Debug)]
pub(crate) struct CutRecord {
    height: u64,
    stored: Vec<u8>,
    /// By place in the final order.
    covered: Vec<Covered>,
    /// The same places, by entry.
    by_entry: Vec<u32>,
}

/// An entry that a cut covers.
#[derive(Debug)]
pub(crate) struct Covered {
    pub(super) position: Position,
    pub(super) kept: FinalEntry,
}

impl Covered {
    pub(super) fn id(&self) -> EntryId {
        self.position.entry
    }
}

impl CutRecord {
    pub(crate) fn new<'a>(cut: &Cut, segment: impl Iterator<Item = &'a Stub>) -> Self {
        let covered: Vec<_> = segment
            .map(|entry| Covered {
                position: entry.position(0),
                kept: final_entry(entry, cut.height),
            })
            .collect();
        let mut by_entry: Vec<_> = (0_u32..).take(covered.len()).collect();
        by_entry.sort_unstable_by_key(|place| covered[*place as usize].id());
        Self {
            height: cut.height,
            stored: stored_cut(cut),
            covered,
            by_entry,
        }
    }

    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// The cut's id and its bytes, as the tables have them.
    pub(super) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The cut's bytes.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.stored[size_of::<EntryId>()..]
    }

    pub(super) fn covered(&self) -> &[Covered] {
        &self.covered
    }

    /// What is kept of the entries, by id: trees are filled in their order, page after page.
    pub(super) fn by_entry(&self) -> impl Iterator<Item = &Covered> {
        self.by_entry
            .iter()
            .map(|place| &self.covered[*place as usize])
    }

    /// What is kept of an entry, if this cut covers it.
    pub(super) fn final_entry(&self, id: &EntryId) -> Option<FinalEntry> {
        let id_at = |place: &u32| self.covered[*place as usize].id();
        let at = self.by_entry.binary_search_by_key(id, id_at).ok()?;
        Some(self.covered[self.by_entry[at] as usize].kept)
    }
}
