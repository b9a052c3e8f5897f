//! What is made of the values of a group.

use spacetimedb_sats::AlgebraicType;

use super::bind::Cell;
use super::error::SqlError;
use super::group::{Aggregated, sort_key};
use super::sum::FloatSum;

/// What an aggregate does with the values of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows, or values that are some.
    Count,
    Min,
    Max,
    SumSigned,
    SumUnsigned,
    SumFloat,
    AvgSigned,
    AvgUnsigned,
    AvgFloat,
}

impl Kind {
    /// The sum or average of a type, and its own type. Integers of more than 128 bits have none.
    pub(super) fn number(ty: &AlgebraicType, is_sum: bool) -> Option<(Self, AlgebraicType)> {
        use AlgebraicType as T;
        Some(match (ty, is_sum) {
            (T::I8 | T::I16 | T::I32 | T::I64 | T::I128, true) => (Self::SumSigned, T::I128),
            (T::I8 | T::I16 | T::I32 | T::I64 | T::I128, false) => (Self::AvgSigned, T::F64),
            (T::U8 | T::U16 | T::U32 | T::U64 | T::U128, true) => (Self::SumUnsigned, T::U128),
            (T::U8 | T::U16 | T::U32 | T::U64 | T::U128, false) => (Self::AvgUnsigned, T::F64),
            (T::F32 | T::F64, true) => (Self::SumFloat, T::F64),
            (T::F32 | T::F64, false) => (Self::AvgFloat, T::F64),
            _ => return None,
        })
    }
}

/// What is known of the values so far. Nothing of it depends on the order in which they come.
#[derive(Debug)]
pub(super) enum Accumulator {
    Count(u64),
    /// The sort key of the best value, and the value.
    Best {
        greatest: bool,
        best: Option<(Vec<u8>, Vec<u8>)>,
    },
    Whole {
        signed: bool,
        average: bool,
        sum: WholeSum,
        count: u64,
    },
    Float {
        average: bool,
        sum: Box<FloatSum>,
        count: u64,
    },
}

/// A sum of integers: what is beyond 128 bits is counted, so that it may come back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WholeSum {
    low: u128,
    high: i64,
}

impl WholeSum {
    fn add(&mut self, value: u128, is_negative: bool) {
        let (low, carried) = self.low.overflowing_add(value);
        self.low = low;
        // A negative number has all bits set above its own.
        self.high += i64::from(carried) - i64::from(is_negative);
    }

    fn signed(self) -> Option<i128> {
        let low = self.low.cast_signed();
        (self.high == -i64::from(low < 0)).then_some(low)
    }

    fn unsigned(self) -> Option<u128> {
        (self.high == 0).then_some(self.low)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an average is a float, as near as there is one"
    )]
    fn approximate(self) -> f64 {
        match self.signed() {
            Some(sum) => sum as f64,
            None => self.low as f64 + self.high as f64 * 2.0_f64.powi(128),
        }
    }
}

impl Accumulator {
    pub(super) fn new(kind: Kind) -> Self {
        let whole = |signed, average| Self::Whole {
            signed,
            average,
            sum: WholeSum::default(),
            count: 0,
        };
        let float = |average| Self::Float {
            average,
            sum: Box::default(),
            count: 0,
        };
        match kind {
            Kind::Count => Self::Count(0),
            Kind::Min | Kind::Max => Self::Best {
                greatest: kind == Kind::Max,
                best: None,
            },
            Kind::SumSigned => whole(true, false),
            Kind::AvgSigned => whole(true, true),
            Kind::SumUnsigned => whole(false, false),
            Kind::AvgUnsigned => whole(false, true),
            Kind::SumFloat => float(false),
            Kind::AvgFloat => float(true),
        }
    }

    /// Bytes of memory, with what grows left out.
    pub(super) const fn bytes(&self) -> usize {
        let boxed = match self {
            Self::Float { .. } => size_of::<FloatSum>(),
            _ => 0,
        };
        size_of::<Self>() + boxed
    }

    /// Counts rows; gives the bytes that it grew by.
    pub(super) const fn count(&mut self, rows: u64) -> usize {
        if let Self::Count(count) = self {
            *count += rows;
        }
        0
    }

    /// Takes a value in; gives the bytes that it grew by.
    pub(super) fn see(&mut self, cell: &Cell, value: &[u8]) -> Result<usize, SqlError> {
        match self {
            // BSATN of an option begins with 0 if there is a value.
            Self::Count(count) => *count += u64::from(value.first() == Some(&0)),
            Self::Best { greatest, best } => {
                let key = sort_key(cell, value)?;
                let better = |known: &[u8]| match *greatest {
                    true => key.as_slice() > known,
                    false => key.as_slice() < known,
                };
                if best.as_ref().is_none_or(|(known, _)| better(known)) {
                    let before = best
                        .as_ref()
                        .map_or(0, |(key, value)| key.len() + value.len());
                    let value = canonical(&cell.ty, value);
                    let after = key.len() + value.len();
                    *best = Some((key, value));
                    return Ok(after.saturating_sub(before));
                }
            }
            Self::Whole {
                signed, sum, count, ..
            } => {
                *count += 1;
                let is_negative = *signed && value.last().is_some_and(|top| top & 0x80 != 0);
                let mut wide = match is_negative {
                    true => [0xFF; 16],
                    false => [0; 16],
                };
                wide[..value.len()].copy_from_slice(value);
                sum.add(u128::from_le_bytes(wide), is_negative);
            }
            Self::Float { sum, count, .. } => {
                *count += 1;
                sum.add(float(value));
            }
        }
        Ok(0)
    }

    /// The value as BSATN; `None` if there is none of no rows.
    pub(super) fn finish(self, of: &Aggregated) -> Result<Option<Vec<u8>>, SqlError> {
        let overflow = || SqlError::Overflow {
            what: of.name.clone(),
            place: of.place,
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "an average is a float, as near as there is one"
        )]
        let averaged = |sum: f64, count: u64| {
            let average = (count > 0).then(|| sum / count as f64);
            Ok(average.map(|average| average.to_le_bytes().to_vec()))
        };
        match self {
            Self::Count(count) => Ok(Some(count.to_le_bytes().to_vec())),
            Self::Best { best, .. } => Ok(best.map(|(_, value)| value)),
            Self::Whole {
                average: true,
                sum,
                count,
                ..
            } => averaged(sum.approximate(), count),
            Self::Whole {
                signed: true, sum, ..
            } => {
                let sum = sum.signed().ok_or_else(overflow)?;
                Ok(Some(sum.to_le_bytes().to_vec()))
            }
            Self::Whole { sum, .. } => {
                let sum = sum.unsigned().ok_or_else(overflow)?;
                Ok(Some(sum.to_le_bytes().to_vec()))
            }
            Self::Float {
                average: true,
                sum,
                count,
            } => averaged(sum.nearest(), count),
            Self::Float { sum, .. } => Ok(Some(sum.nearest().to_le_bytes().to_vec())),
        }
    }
}

/// A float of either width.
fn float(value: &[u8]) -> f64 {
    match value.len() {
        4 => value.try_into().map_or(0.0, f32::from_le_bytes).into(),
        _ => value.try_into().map_or(0.0, f64::from_le_bytes),
    }
}

/// A value as it is shown for all that are the same to an index: floats have one zero and one NaN.
pub(super) fn canonical(ty: &AlgebraicType, value: &[u8]) -> Vec<u8> {
    if !matches!(ty, AlgebraicType::F32 | AlgebraicType::F64) {
        return value.to_vec();
    }
    let number = float(value);
    match value.len() {
        _ if number == 0.0 => vec![0; value.len()],
        4 if number.is_nan() => f32::NAN.to_le_bytes().to_vec(),
        8 if number.is_nan() => f64::NAN.to_le_bytes().to_vec(),
        _ => value.to_vec(),
    }
}
