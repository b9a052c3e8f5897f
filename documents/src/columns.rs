//! Columns of operations: runs of equal values, differences, runs of booleans. Each is read into one
//! value a row, with the number of rows known before: a run of a thousand million costs nothing.

use crate::bytes::Reader;
use crate::error::ChangeError;

const TOO_LONG: ChangeError =
    ChangeError::Malformed("a column has more rows than there are operations");
const TOO_SHORT: ChangeError = ChangeError::Malformed("a column ends before the last operation");

/// One value a row of a column of runs. A column without bytes is empty in every row.
pub(crate) fn runs<'a, T: Clone>(
    bytes: &'a [u8],
    rows: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, ChangeError>,
) -> Result<Vec<Option<T>>, ChangeError> {
    let mut values = Vec::with_capacity(rows);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let run = reader.signed()?;
        let room = rows - values.len();
        let fitting = |len: u64| {
            usize::try_from(len)
                .ok()
                .filter(|len| *len <= room)
                .ok_or(TOO_LONG)
        };
        match run {
            0 => {
                let len = fitting(reader.unsigned()?)?;
                values.extend(std::iter::repeat_n(None, len));
            }
            1.. => {
                let len = fitting(run.unsigned_abs())?;
                let value = read(&mut reader)?;
                values.extend(std::iter::repeat_n(Some(value), len));
            }
            _ => {
                for _ in 0..fitting(run.unsigned_abs())? {
                    values.push(Some(read(&mut reader)?));
                }
            }
        }
    }
    if bytes.is_empty() {
        values.resize(rows, None);
    }
    if values.len() < rows {
        return Err(TOO_SHORT);
    }
    Ok(values)
}

/// How many rows a column of runs has, if that is at most `max`.
pub(crate) fn rows_of_runs(
    bytes: &[u8],
    max: usize,
    mut skip: impl FnMut(&mut Reader<'_>) -> Result<(), ChangeError>,
) -> Result<Option<usize>, ChangeError> {
    let mut rows = 0_u64;
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let run = reader.signed()?;
        let len = match run {
            0 => reader.unsigned()?,
            1.. => {
                skip(&mut reader)?;
                run.unsigned_abs()
            }
            _ => {
                // Each takes a byte at least, so the bytes bound this.
                for _ in 0..run.unsigned_abs() {
                    skip(&mut reader)?;
                }
                run.unsigned_abs()
            }
        };
        rows = rows.saturating_add(len);
        if rows > max as u64 {
            return Ok(None);
        }
    }
    Ok(usize::try_from(rows).ok())
}

/// A column of numbers, as runs.
pub(crate) fn numbers(bytes: &[u8], rows: usize) -> Result<Vec<Option<u64>>, ChangeError> {
    runs(bytes, rows, Reader::unsigned)
}

/// A column of numbers that each row gives as the difference from the row before.
pub(crate) fn differences(bytes: &[u8], rows: usize) -> Result<Vec<Option<u64>>, ChangeError> {
    let mut sum = 0_i64;
    runs(bytes, rows, Reader::signed)?
        .into_iter()
        .map(|difference| {
            let Some(difference) = difference else {
                return Ok(None);
            };
            sum = sum.checked_add(difference).filter(|sum| *sum >= 0).ok_or(
                ChangeError::Malformed("a counter is below zero or too large"),
            )?;
            Ok(Some(sum.unsigned_abs()))
        })
        .collect()
}

/// A column of booleans: lengths of runs, of *no* first. A column without bytes is *no* in every row.
pub(crate) fn booleans(bytes: &[u8], rows: usize) -> Result<Vec<bool>, ChangeError> {
    let mut values = Vec::with_capacity(rows);
    let mut reader = Reader::new(bytes);
    let mut value = false;
    while !reader.is_empty() {
        let first = values.is_empty() && !value;
        let len = reader.unsigned()?;
        if len == 0 && !first {
            return Err(ChangeError::Malformed("a run of booleans is empty"));
        }
        let room = rows - values.len();
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= room)
            .ok_or(TOO_LONG)?;
        values.extend(std::iter::repeat_n(value, len));
        value = !value;
    }
    if bytes.is_empty() {
        values.resize(rows, false);
    }
    if values.len() < rows {
        return Err(TOO_SHORT);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_literals_and_gaps() {
        // Three sevens, two literals, two gaps.
        let bytes = [3, 7, 0x7e, 1, 2, 0, 2];
        let expected = [Some(7), Some(7), Some(7), Some(1), Some(2), None, None];
        assert_eq!(numbers(&bytes, 7), Ok(expected.to_vec()));
        assert_eq!(numbers(&bytes, 6), Err(TOO_LONG));
        assert_eq!(numbers(&bytes, 8), Err(TOO_SHORT));
        assert_eq!(
            rows_of_runs(&bytes, 7, |reader| reader.unsigned().map(drop)),
            Ok(Some(7))
        );
        assert_eq!(
            rows_of_runs(&bytes, 6, |reader| reader.unsigned().map(drop)),
            Ok(None)
        );
        assert_eq!(numbers(&[], 2), Ok(vec![None, None]));
    }

    #[test]
    fn a_run_of_all_there_is_costs_nothing() {
        let endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 7];
        assert_eq!(numbers(&endless, 5), Err(TOO_LONG));
        let gap = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(numbers(&gap, 5), Err(TOO_LONG));
        assert_eq!(
            rows_of_runs(&endless, 5, |reader| reader.unsigned().map(drop)),
            Ok(None)
        );
        let booleans_of_all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(booleans(&booleans_of_all, 5), Err(TOO_LONG));
        let least = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
        assert_eq!(numbers(&least, 5), Err(TOO_LONG));
    }

    #[test]
    fn differences_add_up_and_never_below_zero() {
        // Twice +1 from 5, a gap, then -2.
        let bytes = [0x7f, 5, 2, 1, 0, 1, 0x7f, 0x7e];
        assert_eq!(
            differences(&bytes, 5),
            Ok(vec![Some(5), Some(6), Some(7), None, Some(5)])
        );
        assert!(differences(&[0x7f, 0x7f], 1).is_err());
    }

    #[test]
    fn booleans_begin_with_no() {
        assert_eq!(booleans(&[1, 2], 3), Ok(vec![false, true, true]));
        assert_eq!(booleans(&[0, 2], 2), Ok(vec![true, true]));
        assert!(booleans(&[1, 0, 1], 2).is_err());
        assert_eq!(booleans(&[], 2), Ok(vec![false, false]));
        assert_eq!(booleans(&[1], 2), Err(TOO_SHORT));
    }
}
