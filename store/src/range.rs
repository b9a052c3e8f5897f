//! Which part of an index a scan wants, and the stored keys that bound it.

use std::ops::Bound;

use crate::error::DataError;
use crate::key::{SPACE_BYTES, Space, seal_part, step_past_prefix};
use crate::layout::Malformed;
use crate::limits::KEY_PREFIX_BYTES;
use crate::plan::{Cells, IndexPlan, TablePlan};

/// Which part of an index a scan wants. Borrows the BSATN it was made of; the bytes are checked
/// against the index's columns when the range is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range<'a> {
    /// All columns at once: BSATN of each, one after the other.
    Point(&'a [u8]),
    /// Leading columns equal to given values, the next one between bounds, the rest free.
    Prefix {
        /// BSATN of the leading columns, one after the other.
        prefix: &'a [u8],
        /// How many columns the prefix has.
        prefix_len: u16,
        /// Where the next column begins: BSATN of a value.
        start: Bound<&'a [u8]>,
        /// Where the next column ends: BSATN of a value.
        end: Bound<&'a [u8]>,
    },
}

impl Range<'static> {
    /// The whole index.
    pub const EVERYTHING: Self = Self::Prefix {
        prefix: &[],
        prefix_len: 0,
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
}

impl<'a> Range<'a> {
    /// The rows whose index columns have exactly these values: BSATN of each, one after the other.
    #[must_use]
    pub const fn point(values: &'a [u8]) -> Self {
        Self::Point(values)
    }

    /// A range as the module ABI passes it: `prefix` is BSATN of `prefix_len` columns, `start` and
    /// `end` are BSATN of a `Bound` (included 0, excluded 1, unbounded 2) of the next column.
    ///
    /// # Errors
    /// [`DataError::Decode`] if a bound is none. The values are checked when the range is used.
    pub fn from_abi(
        prefix: &'a [u8],
        prefix_len: u16,
        start: &'a [u8],
        end: &'a [u8],
    ) -> Result<Self, DataError> {
        let start = bound(start).map_err(DataError::Decode)?;
        let end = bound(end).map_err(DataError::Decode)?;
        Ok(Self::Prefix {
            prefix,
            prefix_len,
            start,
            end,
        })
    }
}

impl<'a> Range<'a> {
    /// Whether it bounds all columns of an index to one value each: then it may be asked of an
    /// index that answers points only.
    pub(crate) fn is_point(&self, columns: usize) -> bool {
        match *self {
            Self::Point(_) => true,
            Self::Prefix {
                prefix_len,
                start: Bound::Included(start),
                end,
                ..
            } => usize::from(prefix_len) + 1 == columns && end == Bound::Included(start),
            Self::Prefix { .. } => false,
        }
    }

    /// The same range, as a [`Range::Point`] where that takes no copying: points are looked up,
    /// not scanned.
    pub(crate) fn simplified(&self, columns: usize) -> Self {
        match *self {
            Self::Prefix {
                prefix: [],
                start: Bound::Included(start),
                ..
            } if self.is_point(columns) => Self::Point(start),
            other => other,
        }
    }
}

fn bound(bytes: &[u8]) -> Result<Bound<&[u8]>, Malformed> {
    match bytes {
        [0, value @ ..] => Ok(Bound::Included(value)),
        [1, value @ ..] => Ok(Bound::Excluded(value)),
        [2] => Ok(Bound::Unbounded),
        _ => Err("a bound is 0 or 1 and a value, or 2"),
    }
}

/// The stored keys that a range stands for.
#[derive(Debug)]
pub(crate) enum KeyRange {
    /// One key, of a row or of a unique index's entry.
    Point(Vec<u8>),
    /// Keys from `low` up to but without `high`.
    Between {
        low: Vec<u8>,
        high: Vec<u8>,
        /// The bounds are so long that stored keys are cut before they tell: what lies between
        /// `low` and `high` must be compared in full.
        full: Option<FullBounds>,
    },
}

/// Uncut keys between which the row's own uncut index key must lie.
#[derive(Debug)]
pub(crate) struct FullBounds {
    from: Vec<u8>,
    until: Vec<u8>,
}

impl FullBounds {
    /// Whether a row lies between the bounds.
    pub(crate) fn hold(
        &self,
        plan: &TablePlan,
        index: &IndexPlan,
        cells: &Cells<'_>,
    ) -> Result<bool, Malformed> {
        let mut key = plan.index_space(index).bytes().to_vec();
        for column in &index.columns {
            plan.column(*column)
                .encode(&mut cells.cell(*column), &mut key)?;
        }
        Ok(self.from <= key && key < self.until)
    }
}

impl KeyRange {
    /// All keys of a space.
    pub(crate) fn space(space: Space) -> Self {
        let low = space.bytes().to_vec();
        let high = stepped(low.clone());
        Self::Between {
            low,
            high,
            full: None,
        }
    }

    /// The stored keys for `range` of an index.
    ///
    /// # Errors
    /// What is wrong with the range's bytes.
    pub(crate) fn of(
        plan: &TablePlan,
        index: &IndexPlan,
        range: &Range<'_>,
    ) -> Result<Self, Malformed> {
        match *range {
            Range::Point(values) => {
                let mut key = Vec::new();
                point_key(plan, index, values, &mut key)?;
                if index.unique {
                    return Ok(Self::Point(key));
                }
                // What follows in the stored key is the row's own key. A cut part ends in a hash
                // of all its values, so nothing needs comparing in full.
                let high = stepped(key.clone());
                Ok(Self::Between {
                    low: key,
                    high,
                    full: None,
                })
            }
            Range::Prefix {
                prefix,
                prefix_len,
                start,
                end,
            } => {
                let next = usize::from(prefix_len);
                let column = *index
                    .columns
                    .get(next)
                    .ok_or("the prefix leaves no column to bound")?;
                let mut key = Vec::new();
                encode(plan, index, &index.columns[..next], prefix, &mut key)?;
                let value = |mut value: &[u8]| {
                    let mut key = key.clone();
                    plan.column(column).encode(&mut value, &mut key)?;
                    if value.is_empty() {
                        Ok(key)
                    } else {
                        Err("bytes are left over after a bound")
                    }
                };
                // The columns that follow do not matter: their bytes come after the value's, and
                // no value's bytes are the beginning of another's.
                let from = match start {
                    Bound::Included(start) => value(start)?,
                    Bound::Excluded(start) => stepped(value(start)?),
                    Bound::Unbounded => key.clone(),
                };
                let until = match end {
                    Bound::Included(end) => stepped(value(end)?),
                    Bound::Excluded(end) => value(end)?,
                    Bound::Unbounded => stepped(key),
                };
                Ok(Self::between(from, until))
            }
        }
    }

    /// Stored keys are cut, so longer bounds can only be compared in full, row by row.
    fn between(from: Vec<u8>, until: Vec<u8>) -> Self {
        const CUT: usize = SPACE_BYTES + KEY_PREFIX_BYTES;
        if from.len() <= CUT && until.len() <= CUT {
            return Self::Between {
                low: from,
                high: until,
                full: None,
            };
        }
        let low = from[..from.len().min(CUT)].to_vec();
        let high = if until.len() <= CUT {
            until.clone()
        } else {
            stepped(until[..CUT].to_vec())
        };
        Self::Between {
            low,
            high,
            full: Some(FullBounds { from, until }),
        }
    }
}

/// The values, if the range stands for one row at most and can be looked up without being copied.
pub(crate) fn unique_point<'a>(index: &IndexPlan, range: &Range<'a>) -> Option<&'a [u8]> {
    match range.simplified(index.columns.len()) {
        Range::Point(values) if index.unique => Some(values),
        _ => None,
    }
}

/// Writes the stored key of an index's values into `key`, or how it begins where the index is not unique.
pub(crate) fn point_key(
    plan: &TablePlan,
    index: &IndexPlan,
    values: &[u8],
    key: &mut Vec<u8>,
) -> Result<(), Malformed> {
    encode(plan, index, &index.columns, values, key)?;
    seal_part(key, SPACE_BYTES);
    Ok(())
}

/// Writes the space of an index and the key bytes of its leading columns into `key`.
fn encode(
    plan: &TablePlan,
    index: &IndexPlan,
    columns: &[usize],
    mut values: &[u8],
    key: &mut Vec<u8>,
) -> Result<(), Malformed> {
    key.clear();
    key.reserve(2 * values.len() + 40);
    key.extend_from_slice(&plan.index_space(index).bytes());
    for column in columns {
        plan.column(*column).encode(&mut values, key)?;
    }
    if values.is_empty() {
        Ok(())
    } else {
        Err("bytes are left over after the values")
    }
}

fn stepped(mut key: Vec<u8>) -> Vec<u8> {
    step_past_prefix(&mut key);
    key
}
