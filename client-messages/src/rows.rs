//! Rows of one table, one after the other, and where each of them begins.

use std::sync::Arc;

use bytes::Bytes;

use crate::bsatn::{Reader, Wire, put_len};
use crate::error::Malformed;

/// How the data of a row list divides into rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSizeHint {
    /// Every row has this many bytes.
    FixedSize(u16),
    /// Where each row begins; it ends where the next one does. The first begins at 0.
    RowOffsets(Arc<[u64]>),
}

/// Encoded rows. Clones share the data; what divides it into rows is checked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BsatnRowList {
    size_hint: RowSizeHint,
    rows_data: Bytes,
}

impl BsatnRowList {
    /// No rows.
    pub fn empty() -> Self {
        RowListBuilder::new().finish()
    }

    /// A list of what is divided already.
    ///
    /// # Errors
    /// [`Malformed::RowsMisfit`] if the data is no multiple of the fixed size, or the offsets do not
    /// begin at 0, fall, or exceed the data.
    pub fn new(size_hint: RowSizeHint, rows_data: Bytes) -> Result<Self, Malformed> {
        let fits = match &size_hint {
            RowSizeHint::FixedSize(0) => rows_data.is_empty(),
            RowSizeHint::FixedSize(size) => rows_data.len().is_multiple_of(usize::from(*size)),
            RowSizeHint::RowOffsets(offsets) => {
                let end = u64::try_from(rows_data.len()).unwrap_or(u64::MAX);
                match (offsets.first(), offsets.last()) {
                    (Some(first), Some(last)) => *first == 0 && *last <= end && offsets.is_sorted(),
                    _ => rows_data.is_empty(),
                }
            }
        };
        if fits {
            Ok(Self {
                size_hint,
                rows_data,
            })
        } else {
            Err(Malformed::RowsMisfit)
        }
    }

    /// How the data divides into rows.
    pub fn size_hint(&self) -> &RowSizeHint {
        &self.size_hint
    }

    /// All rows, one after the other.
    pub fn rows_data(&self) -> &Bytes {
        &self.rows_data
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match &self.size_hint {
            RowSizeHint::FixedSize(0) => 0,
            RowSizeHint::FixedSize(size) => self.rows_data.len() / usize::from(*size),
            RowSizeHint::RowOffsets(offsets) => offsets.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows in their order.
    pub fn iter(&self) -> Rows<'_> {
        Rows {
            list: self,
            next: 0,
        }
    }

    fn row(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = match &self.size_hint {
            RowSizeHint::FixedSize(size) => {
                let size = usize::from(*size);
                let start = index.checked_mul(size)?;
                (start, start.checked_add(size)?)
            }
            RowSizeHint::RowOffsets(offsets) => {
                let start = usize::try_from(*offsets.get(index)?).ok()?;
                let end = match offsets.get(index + 1) {
                    Some(end) => usize::try_from(*end).ok()?,
                    None => self.rows_data.len(),
                };
                (start, end)
            }
        };
        if index < self.len() {
            self.rows_data.get(start..end)
        } else {
            None
        }
    }
}

impl<'a> IntoIterator for &'a BsatnRowList {
    type Item = &'a [u8];
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// Iterates over the rows of a [`BsatnRowList`].
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    list: &'a BsatnRowList,
    next: usize,
}

impl<'a> Iterator for Rows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let row = self.list.row(self.next)?;
        self.next += 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.list.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows<'_> {}

impl Wire for BsatnRowList {
    fn put(&self, out: &mut Vec<u8>) {
        match &self.size_hint {
            RowSizeHint::FixedSize(size) => {
                out.push(0);
                size.put(out);
            }
            RowSizeHint::RowOffsets(offsets) => {
                out.push(1);
                put_len(offsets.len(), out);
                out.reserve(offsets.len() * size_of::<u64>());
                for offset in offsets.iter() {
                    offset.put(out);
                }
            }
        }
        self.rows_data.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let size_hint = match u8::take(reader)? {
            0 => RowSizeHint::FixedSize(u16::take(reader)?),
            1 => RowSizeHint::RowOffsets(Vec::take(reader)?.into()),
            tag => {
                return Err(Malformed::UnknownTag {
                    what: "a size hint",
                    tag,
                });
            }
        };
        Self::new(size_hint, Bytes::take(reader)?)
    }
}

/// Makes a [`BsatnRowList`] of rows that come one by one.
///
/// The list has a fixed size if there are rows, all are equally long, and their length is at least 1
/// and fits 16 bits; otherwise it has offsets. Offsets are kept from the first row on that differs.
#[derive(Debug, Default)]
pub struct RowListBuilder {
    data: Vec<u8>,
    rows: usize,
    sizes: Sizes,
}

/// What is known of the rows so far.
#[derive(Debug, Default)]
enum Sizes {
    #[default]
    NoRows,
    All(usize),
    Offsets(Vec<u64>),
}

impl RowListBuilder {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No rows yet, but room for so many bytes of them.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            data: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Appends a row.
    pub fn push(&mut self, row: &[u8]) {
        self.push_with(|data| data.extend_from_slice(row));
    }

    /// Appends a row that `write` appends to the data of those before it.
    ///
    /// # Panics
    /// If `write` takes away from what is there.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.data.len();
        write(&mut self.data);
        let len = self.data.len().checked_sub(start);
        let len = len.expect("whoever writes a row only appends");
        match &mut self.sizes {
            Sizes::NoRows => self.sizes = Sizes::All(len),
            Sizes::All(size) if *size == len => {}
            Sizes::All(size) => {
                let mut offsets = offsets_of_equal(self.rows, *size);
                offsets.push(offset(start));
                self.sizes = Sizes::Offsets(offsets);
            }
            Sizes::Offsets(offsets) => offsets.push(offset(start)),
        }
        self.rows += 1;
    }

    /// How many rows were appended.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The list.
    pub fn finish(self) -> BsatnRowList {
        let size_hint = match self.sizes {
            Sizes::NoRows => RowSizeHint::RowOffsets(Arc::default()),
            Sizes::All(size) => match u16::try_from(size) {
                Ok(size) if size > 0 => RowSizeHint::FixedSize(size),
                _ => RowSizeHint::RowOffsets(offsets_of_equal(self.rows, size).into()),
            },
            Sizes::Offsets(offsets) => RowSizeHint::RowOffsets(offsets.into()),
        };
        BsatnRowList {
            size_hint,
            rows_data: self.data.into(),
        }
    }
}

impl<R: AsRef<[u8]>> FromIterator<R> for BsatnRowList {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut list = RowListBuilder::new();
        for row in rows {
            list.push(row.as_ref());
        }
        list.finish()
    }
}

fn offsets_of_equal(rows: usize, size: usize) -> Vec<u64> {
    (0..rows).map(|row| offset(row * size)).collect()
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).expect("a place in memory fits 64 bits")
}
