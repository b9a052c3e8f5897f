//! Putting what is new into the tables: entries, and cuts with what they cover. Doing so a second time changes
//! nothing.

use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use sync_protocol::{Entry, EntryId, Stub};

use super::frames::Found;
use super::logged_cut::LoggedCut;
use super::{CUTS, ENTRIES, FINALS, ORDER, TAIL, encode_final, missing};
use crate::aside::give_way;
use crate::error::StoreError;

/// What is durable in the journal and perhaps not in the tables.
#[derive(Debug, Default)]
pub(super) struct News {
    /// In the order in which they came.
    pub(super) entries: Vec<Arc<Entry>>,
    /// By height.
    pub(super) cuts: Vec<Arc<LoggedCut>>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.cuts.is_empty()
    }

    /// One of the entries.
    pub(super) fn find(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.entries.iter().rfind(|entry| entry.id == *id)
    }

    fn covers(&self, id: &EntryId) -> bool {
        let mut cuts = self.cuts.iter();
        cuts.any(|cut| cut.final_entry(id).is_some())
    }
}

/// Puts all of it into the tables.
///
/// # Errors
/// If the disk fails, a cut is not the next one, or covers what the log does not hold.
pub(super) fn insert(write: &WriteTransaction, news: &News) -> Result<(), StoreError> {
    insert_entries(write, &news.entries, |id| news.covers(id))?;
    news.cuts.iter().try_for_each(|cut| insert_cut(write, cut))
}

/// Puts entries into the tables, and into the tail those that no cut covers, unless they are there already.
pub(super) fn insert_entries(
    write: &WriteTransaction,
    entries: &[Arc<Entry>],
    is_covered: impl Fn(&EntryId) -> bool,
) -> Result<(), StoreError> {
    let mut held = write.open_table(ENTRIES)?;
    let mut tail = write.open_table(TAIL)?;
    // Page after page.
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_unstable_by_key(|entry| entry.id);
    for entry in entries {
        give_way();
        // What a cut covers is among those that are there.
        if held.get(entry.id.0)?.is_none() {
            held.insert(entry.id.0, &**entry.encoded())?;
            if !is_covered(&entry.id) && !planted!(LostTailWrite) {
                tail.insert(entry.position(0).to_bytes(), ())?;
            }
        }
    }
    Ok(())
}

/// Puts a cut into the tables, unless it is there already.
fn insert_cut(write: &WriteTransaction, cut: &LoggedCut) -> Result<(), StoreError> {
    let height = cut.height();
    let mut cuts = write.open_table(CUTS)?;
    let last = cuts.last()?.map(|(last, _)| last.value());
    let expected = last.map_or(0, |last| last + 1);
    if height != expected {
        let known = cuts
            .get(height)?
            .map(|stored| stored.value() == cut.stored());
        return match known {
            Some(true) => Ok(()),
            Some(false) => Err(StoreError::damaged(format!(
                "log: cut {height} is there twice"
            ))),
            None => Err(StoreError::CutOutOfTurn { height, expected }),
        };
    }
    cuts.insert(height, cut.stored())?;
    let held = write.open_table(ENTRIES)?;
    let mut tail = write.open_table(TAIL)?;
    let mut order = write.open_table(ORDER)?;
    for (place, covered) in (0_u32..).zip(cut.covered()) {
        give_way();
        let id = covered.id();
        if tail.remove(covered.position.to_bytes())?.is_none() && held.get(id.0)?.is_none() {
            return Err(missing(&id));
        }
        order.insert((height, place), id.0)?;
    }
    let mut finals = write.open_table(FINALS)?;
    for covered in cut.by_entry() {
        give_way();
        finals.insert(covered.id().0, encode_final(&covered.kept))?;
    }
    Ok(())
}

/// Puts into the tables what a crash left in the journal.
///
/// # Errors
/// If the disk fails, or a cut is not the next one or covers what the log does not hold.
pub(super) fn insert_found(write: &WriteTransaction, mut found: Found) -> Result<(), StoreError> {
    found.cuts.sort_by_key(|(cut, _)| cut.height);
    insert_entries(write, &found.entries, |id| {
        found.cuts.iter().any(|(_, segment)| segment.contains(id))
    })?;
    for (cut, segment) in &found.cuts {
        // Without their bodies, which may be more than fits into memory.
        let stubs: Result<Vec<_>, _> = segment.iter().map(|id| held_stub(write, id)).collect();
        let stubs = stubs?;
        let stubs = stubs.iter().map(|stub| &**stub);
        insert_cut(write, &LoggedCut::new(cut, stubs))?;
    }
    Ok(())
}

fn held_stub(write: &WriteTransaction, id: &EntryId) -> Result<Arc<Stub>, StoreError> {
    let held = write.open_table(ENTRIES)?;
    let stored = held.get(id.0)?.ok_or_else(|| missing(id))?;
    match Entry::open(stored.value()) {
        Ok(entry) => Ok(Arc::clone(entry.stub())),
        Err(_) => Err(StoreError::damaged(format!("log: entry {id}"))),
    }
}
