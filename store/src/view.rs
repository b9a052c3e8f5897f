//! What is visible: the base, above it the spill and the overlay, above these what a call has
//! written so far.
//! Point reads ask from the top down; scans merge the layers in key order.

use std::cell::RefCell;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use crate::base::Base;
use crate::base_range::BaseRange;
use crate::error::{DataError, StoreError};
use crate::key::Key;
use crate::key_map;
use crate::limits::{ROW_OVERHEAD_BYTES, SCAN_BYTES_MAX};
use crate::overlay::{Overlay, Row};
use crate::plan::{IndexPlan, TablePlan};
use crate::range::{FullBounds, KeyRange};
use crate::reads::Reading;
use crate::recent::Recent;
use crate::spill::{SpillAt, SpillItem, SpillRange};
use crate::versions::Versions;

/// What a call has done to one key.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// Its value before the call.
    pub(crate) old: Option<Row>,
    /// Its value now.
    pub(crate) new: Option<Row>,
}

pub(crate) type Writes = BTreeMap<Key, Write>;

/// The layers that a reader sees.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: &'a Base,
    pub(crate) spill: Option<SpillAt<'a>>,
    pub(crate) overlay: Option<&'a Overlay>,
    /// Of the overlay only what commits with labels before this one wrote.
    pub(crate) before: u64,
    pub(crate) writes: Option<&'a Writes>,
    /// What was read below `writes` already, by the same call.
    pub(crate) recent: Option<&'a RefCell<Recent>>,
    /// Where to note what is read below `writes`, if somebody wants to know.
    pub(crate) reads: Option<&'a RefCell<Reading>>,
}

/// The label that is above all.
pub(crate) const ALL: u64 = u64::MAX;

impl<'a> View<'a> {
    /// The value of a key of the table with this slot.
    pub(crate) fn get(&self, slot: usize, key: &[u8]) -> Result<Option<Row>, StoreError> {
        // Most tables of a young database are in the overlay alone.
        self.get_where(key, self.base.count(slot) > 0)
    }

    /// The value of a key that is no row and no entry, so that no row count can say it is absent.
    pub(crate) fn get_uncounted(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.get_where(key, true)
    }

    /// The same, with nobody who wants to know what is read.
    fn unread(&self) -> Self {
        Self {
            reads: None,
            ..*self
        }
    }

    fn get_where(&self, key: &[u8], may_be_in_base: bool) -> Result<Option<Row>, StoreError> {
        let stored = Key::from(key);
        if let Some(write) = self.writes.and_then(|writes| writes.get(&stored)) {
            return Ok(write.new.clone());
        }
        if let Some(reads) = self.reads
            && !(planted!(ForgetAbsentKey) && self.unread().get_uncounted(key)?.is_none())
        {
            reads.borrow_mut().key(key);
        }
        let Some(recent) = self.recent else {
            return self.get_below(&stored, may_be_in_base);
        };
        let known = recent.borrow().get(&stored);
        if let Some(value) = known {
            return Ok(value);
        }
        let value = self.get_below(&stored, may_be_in_base)?;
        recent.borrow_mut().put(stored, value.clone());
        Ok(value)
    }

    /// What lies below the call's own writes.
    fn get_below(&self, key: &Key, may_be_in_base: bool) -> Result<Option<Row>, StoreError> {
        if let Some(held) = self.overlay.and_then(|overlay| overlay.get(key))
            && let Some(visible) = held.before(self.before)
        {
            return Ok(visible.value.clone());
        }
        let key = key.as_bytes();
        if let Some(spill) = self.spill
            && let Some(version) = spill.get(key)?
        {
            return Ok(version.value);
        }
        match may_be_in_base {
            true => self.base.get(key),
            false => Ok(None),
        }
    }

    /// The values of the keys from `low` up to but without `high`, in order.
    fn merge(&self, slot: usize, low: &[u8], high: &[u8]) -> Result<Merged<'a>, StoreError> {
        use std::ops::Bound::{Excluded, Included};
        if low >= high {
            return Ok(Merged {
                writes: None,
                overlay: None,
                before: self.before,
                spill: None,
                spill_next: None,
                base: None,
            });
        }
        let (low_key, high_key) = (Key::from(low), Key::from(high));
        if let Some(reads) = self.reads
            && !planted!(SkipRangeRead)
        {
            reads.borrow_mut().range(&low_key, &high_key);
        }
        let bounds = (Included(&low_key), Excluded(&high_key));
        let mut merged = Merged {
            writes: self.writes.map(|writes| writes.range(bounds).peekable()),
            overlay: self
                .overlay
                .map(|overlay| overlay.range(&low_key, &high_key).peekable()),
            before: self.before,
            spill: None,
            spill_next: None,
            base: None,
        };
        if let Some(spill) = self.spill {
            let mut range = spill.range(low, high)?;
            merged.spill_next = range.next()?;
            merged.spill = Some(range);
        }
        if self.base.count(slot) > 0 {
            merged.base = Some(self.base.range(low, high)?);
        }
        Ok(merged)
    }

    /// The rows of a table, in key order.
    pub(crate) fn rows(&self, plan: &'a TablePlan) -> Result<Scan<'a>, StoreError> {
        let KeyRange::Between { low, high, .. } = KeyRange::space(crate::key::Space::Rows(plan.id))
        else {
            unreachable!("a space is never a point");
        };
        let found = Found::Rows(self.merge(plan.slot, &low, &high)?);
        Ok(Scan {
            view: *self,
            plan,
            found,
            full: None,
            ends: Vec::new(),
        })
    }

    /// The rows that a range of an index stands for, in the order of the index's stored keys.
    pub(crate) fn scan(
        &self,
        plan: &'a TablePlan,
        index: &'a IndexPlan,
        range: KeyRange,
    ) -> Result<Scan<'a>, StoreError> {
        let (found, full) = match range {
            KeyRange::Point(key) => (Found::One(self.point(plan, index, &key)?), None),
            KeyRange::Between { low, high, full } => {
                let merged = self.merge(plan.slot, &low, &high)?;
                let found = if index.is_row_key {
                    Found::Rows(merged)
                } else {
                    Found::Entries(merged)
                };
                (found, full.map(|full| (index, full)))
            }
        };
        Ok(Scan {
            view: *self,
            plan,
            found,
            full,
            ends: Vec::new(),
        })
    }

    /// The row that a key of a unique index stands for.
    pub(crate) fn point(
        &self,
        plan: &TablePlan,
        index: &IndexPlan,
        key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        match self.get(plan.slot, key)? {
            Some(row_key) if !index.is_row_key => self.row_of_entry(plan, &row_key).map(Some),
            found => Ok(found),
        }
    }

    fn row_of_entry(&self, plan: &TablePlan, row_key: &[u8]) -> Result<Row, StoreError> {
        self.get(plan.slot, row_key)?.ok_or_else(|| {
            StoreError::damaged(format!(
                "index of table {}: an entry without a row",
                plan.name
            ))
        })
    }
}

/// The layers' values of a range of keys, the upper layer's where two have one.
struct Merged<'a> {
    writes: Option<Peekable<btree_map::Range<'a, Key, Write>>>,
    overlay: Option<Peekable<key_map::Range<'a, Versions>>>,
    before: u64,
    spill: Option<SpillRange<'a>>,
    spill_next: Option<SpillItem>,
    base: Option<BaseRange<'a>>,
}

impl Merged<'_> {
    fn next(&mut self) -> Result<Option<Row>, StoreError> {
        loop {
            let write = self
                .writes
                .as_mut()
                .and_then(|writes| writes.peek())
                .map(|(key, _)| *key);
            let held = self
                .overlay
                .as_mut()
                .and_then(|held| held.peek())
                .map(|(key, _)| *key);
            let spilled = self.spill_next.as_ref().map(|(key, _)| key.value());
            let base = self.base.as_ref().and_then(BaseRange::key);
            let (write, held) = (write.map(Key::as_bytes), held.map(Key::as_bytes));
            let Some(key) = [write, held, spilled, base].into_iter().flatten().min() else {
                return Ok(None);
            };
            let (in_writes, in_overlay) = (write == Some(key), held == Some(key));
            let (in_spill, in_base) = (spilled == Some(key), base == Some(key));
            // The upper layer decides, and every layer steps past the key.
            let mut value: Option<Option<Row>> = None;
            if in_writes && let Some((_, write)) = self.writes.as_mut().and_then(Iterator::next) {
                value = Some(write.new.clone());
            }
            if in_overlay && let Some((_, held)) = self.overlay.as_mut().and_then(Iterator::next) {
                let visible = held.before(self.before);
                value = value.or_else(|| visible.map(|version| version.value.clone()));
            }
            if in_spill
                && let (Some(range), Some((_, row))) = (&mut self.spill, self.spill_next.take())
            {
                value = value.or(Some(row));
                self.spill_next = range.next()?;
            }
            if in_base && let Some(range) = &mut self.base {
                value = value.or_else(|| Some(range.value()));
                range.step()?;
            }
            if let Some(Some(value)) = value {
                return Ok(Some(value));
            }
        }
    }
}

enum Found<'a> {
    One(Option<Row>),
    /// The values are rows.
    Rows(Merged<'a>),
    /// The values are keys of rows.
    Entries(Merged<'a>),
}

/// Rows of a table, one after the other. Ends at the first error.
pub(crate) struct Scan<'a> {
    view: View<'a>,
    plan: &'a TablePlan,
    found: Found<'a>,
    /// Bounds that stored keys cannot tell.
    full: Option<(&'a IndexPlan, FullBounds)>,
    ends: Vec<u32>,
}

impl Scan<'_> {
    fn step(&mut self) -> Result<Option<Row>, StoreError> {
        loop {
            let row = match &mut self.found {
                Found::One(row) => row.take(),
                Found::Rows(merged) => merged.next()?,
                Found::Entries(merged) => match merged.next()? {
                    Some(row_key) => Some(self.view.row_of_entry(self.plan, &row_key)?),
                    None => None,
                },
            };
            let (Some(row), Some((index, full))) = (&row, &self.full) else {
                return Ok(row);
            };
            let holds = self
                .plan
                .cells(row, &mut self.ends)
                .and_then(|cells| full.hold(self.plan, index, &cells))
                .map_err(|why| damaged_row(self.plan, why))?;
            if holds {
                return Ok(Some(Row::clone(row)));
            }
        }
    }

    /// All of them, if they are not too many.
    ///
    /// # Errors
    /// [`DataError::ScanTooLarge`], or the store's failure.
    pub(crate) fn collect_bounded(mut self) -> Result<Vec<Row>, DataError> {
        if let Found::One(row) = &mut self.found {
            return Ok(row.take().into_iter().collect());
        }
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(row) = self.step()? {
            bytes += row.len() + ROW_OVERHEAD_BYTES;
            if bytes > SCAN_BYTES_MAX {
                return Err(DataError::ScanTooLarge);
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.found = Found::One(None);
        }
        step.transpose()
    }
}

/// A stored row that its table's columns cannot be read from.
pub(crate) fn damaged_row(plan: &TablePlan, why: &'static str) -> StoreError {
    StoreError::damaged(format!("row of table {}: {why}", plan.name))
}
