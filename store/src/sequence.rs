//! Numbers for `auto_inc` columns.
//!
//! Columns of 64 bits and more are numbered by time: `(µs since 2024) · 4096 + n`, n counting the
//! call's draws. Such a number does not depend on what else happened, so it stays when history
//! moves. Narrower columns, and all columns where the database asks for it, count 1, 2, 3 in the
//! one order; how far they are is state like any row.

use sync_protocol::Hlc;

use crate::editor::Editor;
use crate::error::DataError;
use crate::key::{SPACE_BYTES, Space, seal_part};
use crate::limits::SEQUENCE_STEPS_MAX;
use crate::plan::{AutoInc, TablePlan, Taken};
use crate::view::ALL;

/// 2024-01-01 00:00:00 UTC in microseconds since 1970.
const START_US: u64 = 1_704_067_200_000_000;

/// Numbers of one microsecond.
const PER_US: u128 = 4_096;

/// Bytes of the widest integer.
const WIDEST: usize = 32;

/// How rows get their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbering {
    /// They do not: zeros stay.
    AsGiven,
    /// Wide columns by the call's time, narrow ones by sequence.
    ByTime(Hlc),
    /// All by sequence.
    BySequence,
}

impl Editor<'_> {
    /// Draws the next number of a column that no other row has: little-endian, in as many bytes as
    /// the column is wide.
    pub(crate) fn draw(
        &mut self,
        plan: &TablePlan,
        auto_inc: &AutoInc,
        numbering: &Numbering,
    ) -> Result<[u8; WIDEST], DataError> {
        match numbering {
            Numbering::ByTime(time) if auto_inc.width >= 8 => {
                let first = first_of(*time);
                let number =
                    self.next_free(plan, auto_inc, first + u128::from(self.buffer.drawn))?;
                // Skipped numbers are used up too: a later draw need not look at them again.
                let drawn = number - first + 1;
                self.buffer.drawn = u64::try_from(drawn).map_err(|_| overflow(auto_inc))?;
                Ok(widened(number))
            }
            _ => {
                let mut key = Space::Sequences(plan.id).bytes().to_vec();
                let column = u16::try_from(auto_inc.column).unwrap_or(u16::MAX);
                key.extend_from_slice(&column.to_be_bytes());
                let mut view = self.view();
                if planted!(AutoIncByArrival) {
                    view.before = ALL;
                }
                let held = view.get_uncounted(&key)?;
                let last = match &held {
                    Some(last) => u128::from_le_bytes(crate::base::exact("sequence", Some(last))?),
                    None => 0,
                };
                let next = last.checked_add(1).ok_or_else(|| overflow(auto_inc))?;
                let number = self.next_free(plan, auto_inc, next)?;
                self.put_sequence(&key, held, number);
                Ok(widened(number))
            }
        }
    }

    /// The first free number from `from` on. After many taken ones in a row it looks only at every
    /// second, fourth, eighth: a free one, but not always the first.
    fn next_free(
        &self,
        plan: &TablePlan,
        auto_inc: &AutoInc,
        from: u128,
    ) -> Result<u128, DataError> {
        let largest = largest(auto_inc);
        let mut number = from;
        let mut steps = 0_u32;
        loop {
            if number > largest {
                return Err(overflow(auto_inc));
            }
            // Zero asks for a number, so it can never be one.
            if number != 0 && !self.is_taken(plan, auto_inc, number)? {
                return Ok(number);
            }
            steps += 1;
            let stride = 1_u128 << steps.saturating_sub(SEQUENCE_STEPS_MAX).min(127);
            number = number.saturating_add(stride);
            if number == u128::MAX {
                return Err(overflow(auto_inc));
            }
        }
    }

    fn is_taken(
        &self,
        plan: &TablePlan,
        auto_inc: &AutoInc,
        number: u128,
    ) -> Result<bool, DataError> {
        let space = match auto_inc.taken {
            Taken::Never => return Ok(false),
            Taken::RowKey => Space::Rows(plan.id),
            Taken::Index(place) => plan.index_space(&plan.indexes[place]),
        };
        let mut key = space.bytes().to_vec();
        let number = widened(number);
        plan.column(auto_inc.column)
            .encode(&mut &number[..auto_inc.width], &mut key)
            .map_err(DataError::Decode)?;
        seal_part(&mut key, SPACE_BYTES);
        Ok(self.view().get(plan.slot, &key)?.is_some())
    }
}

/// The first number of a call at this time. Only made-up clocks show times before 2024; they count
/// from 1970, so that different times still have different numbers.
fn first_of(time: Hlc) -> u128 {
    u128::from(time.0.checked_sub(START_US).unwrap_or(time.0)) * PER_US
}

/// The largest number of a column, or of what is given out, whichever is smaller.
fn largest(auto_inc: &AutoInc) -> u128 {
    let bits = (8 * auto_inc.width - usize::from(auto_inc.signed)).min(127);
    (1_u128 << bits) - 1
}

fn widened(number: u128) -> [u8; WIDEST] {
    let mut wide = [0; WIDEST];
    wide[..16].copy_from_slice(&number.to_le_bytes());
    wide
}

fn overflow(auto_inc: &AutoInc) -> DataError {
    DataError::AutoIncOverflow {
        column: auto_inc.name.clone(),
    }
}
