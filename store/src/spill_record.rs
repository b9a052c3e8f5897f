//! The bytes of the spill file's values. `docs/FILE_FORMAT.md` has them as a table.

use sync_protocol::{POSITION_BYTES, Position};

use crate::error::StoreError;
use crate::overlay::{Counts, Row};
use crate::versions::Version;

/// Tags in front of a version's value.
const DELETED: u8 = 0;
const WRITTEN: u8 = 1;

/// What is kept of a commit beside its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) counts: Counts,
    /// The keys that it wrote, each once.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl Record {
    /// Writes a record over what is in `buffer`.
    pub(crate) fn write<'a>(
        buffer: &mut Vec<u8>,
        position: &Position,
        counts: &Counts,
        keys: impl Iterator<Item = &'a [u8]>,
    ) {
        buffer.clear();
        buffer.extend_from_slice(&position.to_bytes());
        buffer.extend_from_slice(&short(counts.len()));
        for (slot, change) in counts {
            buffer.extend_from_slice(&short(*slot));
            buffer.extend_from_slice(&change.to_le_bytes());
        }
        for key in keys {
            buffer.extend_from_slice(&short(key.len()));
            buffer.extend_from_slice(key);
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// If the bytes are none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut rest = bytes;
        let position = Position::from_bytes(take::<POSITION_BYTES>(&mut rest)?);
        let mut counts = Counts::new();
        for _ in 0..take_short(&mut rest)? {
            let slot = take_short(&mut rest)?;
            counts.push((slot, i64::from_le_bytes(*take(&mut rest)?)));
        }
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let len = take_short(&mut rest)?;
            let (key, after) = rest.split_at_checked(len).ok_or(StoreError::SpillDamaged)?;
            keys.push(key.to_vec());
            rest = after;
        }
        Ok(Self {
            position,
            counts,
            keys,
        })
    }
}

/// Slots are below `TABLES_MAX`, and stored keys have two parts at most.
fn short(number: usize) -> [u8; 2] {
    u16::try_from(number)
        .expect("slots and key lengths are below 2^16")
        .to_le_bytes()
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], StoreError> {
    let (taken, after) = rest
        .split_first_chunk::<N>()
        .ok_or(StoreError::SpillDamaged)?;
    *rest = after;
    Ok(taken)
}

fn take_short(rest: &mut &[u8]) -> Result<usize, StoreError> {
    Ok(usize::from(u16::from_le_bytes(*take(rest)?)))
}

/// Writes a version's value over what is in `buffer`.
pub(crate) fn write_value(buffer: &mut Vec<u8>, value: Option<&Row>) {
    buffer.clear();
    put_value(buffer, value);
}

fn put_value(buffer: &mut Vec<u8>, value: Option<&Row>) {
    match value {
        Some(row) => {
            buffer.push(WRITTEN);
            buffer.extend_from_slice(row);
        }
        None => buffer.push(DELETED),
    }
}

/// Reads a version's value.
///
/// # Errors
/// If the bytes are none.
pub(crate) fn read_value(bytes: &[u8]) -> Result<Option<Row>, StoreError> {
    match bytes {
        [WRITTEN, row @ ..] => Ok(Some(Row::from(row))),
        [DELETED] => Ok(None),
        _ => Err(StoreError::SpillDamaged),
    }
}

/// Writes a key's newest version over what is in `buffer`.
pub(crate) fn write_newest(buffer: &mut Vec<u8>, version: &Version) {
    buffer.clear();
    buffer.extend_from_slice(&version.commit.to_le_bytes());
    put_value(buffer, version.value.as_ref());
}

/// Reads a key's newest version.
///
/// # Errors
/// If the bytes are none.
pub(crate) fn read_newest(bytes: &[u8]) -> Result<Version, StoreError> {
    let (commit, value) = bytes
        .split_first_chunk::<8>()
        .ok_or(StoreError::SpillDamaged)?;
    Ok(Version {
        commit: u64::from_le_bytes(*commit),
        value: read_value(value)?,
    })
}
