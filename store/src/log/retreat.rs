//! Going back: when another branch of cuts has won, the cuts beyond the common one go, and what
//! they covered waits for a cut again. No entry is ever lost by it.

use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};
use sync_protocol::{Cut, Entry};

use super::{CUTS, ENTRIES, FINALS, Log, NOTES, ORDER, PLEDGE, TAIL, split_cut, stored_cut};
use crate::crash_point::CrashPoint;
use crate::error::StoreError;

impl Log {
    /// Goes back to the cut at `height`: in one durable commit later cuts are dropped, what they
    /// covered is in the tail again, `pledge`, the cuts to follow from here, is kept, and `note` is
    /// made, which says that the base has to be built anew.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged; then nothing has changed.
    pub fn retreat(&mut self, height: u64, pledge: &[Cut], note: &str) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        {
            let held = write.open_table(ENTRIES)?;
            let mut tail = write.open_table(TAIL)?;
            let mut order = write.open_table(ORDER)?;
            let mut finals = write.open_table(FINALS)?;
            let beyond = (Bound::Excluded((height, u32::MAX)), Bound::Unbounded);
            let mut going = Vec::new();
            for item in order.range::<(u64, u32)>(beyond)? {
                let (place, id) = item?;
                going.push((place.value(), id.value()));
            }
            for (place, id) in going {
                let entry = held
                    .get(id)?
                    .and_then(|bytes| Entry::open(bytes.value()).ok())
                    .map(Arc::new)
                    .ok_or_else(|| StoreError::damaged("log: an entry of a cut"))?;
                tail.insert(entry.position(0).to_bytes(), ())?;
                order.remove(place)?;
                finals.remove(id)?;
            }
            let mut cuts = write.open_table(CUTS)?;
            cuts.retain(|at, _| at <= height)?;
            let mut kept = write.open_table(PLEDGE)?;
            kept.retain(|_, _| false)?;
            for cut in pledge {
                kept.insert(cut.height, stored_cut(cut).as_slice())?;
            }
            write.open_table(NOTES)?.insert(note, [].as_slice())?;
        }
        self.commit(write, CrashPoint::Retreated)
    }

    /// The cuts that this peer has promised to follow, by height.
    ///
    /// # Errors
    /// If the disk fails or the log is damaged.
    pub fn pledge(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.db.begin_read()?;
        let mut cuts = Vec::new();
        for item in read.open_table(PLEDGE)?.iter()? {
            cuts.push(split_cut(item?.1.value())?.1.to_vec());
        }
        Ok(cuts)
    }

    /// Keeps the cuts to follow from the last one on, in place of any that were kept before.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn put_pledge(&mut self, pledge: &[Cut]) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        {
            let mut kept = write.open_table(PLEDGE)?;
            kept.retain(|_, _| false)?;
            for cut in pledge {
                kept.insert(cut.height, stored_cut(cut).as_slice())?;
            }
        }
        self.commit(write, CrashPoint::PledgeKept)
    }

    /// Forgets the cuts that were to be followed: they are reached.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn drop_pledge(&mut self) -> Result<(), StoreError> {
        let write = self.begin_write()?;
        write.open_table(PLEDGE)?.retain(|_, _| false)?;
        self.commit(write, CrashPoint::PledgeDropped)
    }

    /// Takes a note away, durably, if there is one.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn drop_note(&mut self, name: &str) -> Result<(), StoreError> {
        if self.note(name)?.is_none() {
            return Ok(());
        }
        let write = self.begin_write()?;
        write.open_table(NOTES)?.remove(name)?;
        self.commit(write, CrashPoint::NoteDropped)
    }
}
