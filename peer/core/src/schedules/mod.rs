//! Rows that say when a reducer runs (DESIGN 5). When each is due is a replicated row beside it, in
//! `sys_schedule`: written with the row itself, moved on or deleted when it fires, ordered, rolled
//! back and hashed like any other.
//!
//! No clock fires anything by itself. A member makes a call that names the row and when it was due;
//! the first such call in the one order runs the reducer, and the others find that it was done. Which
//! member calls is no part of the rules, only of who bothers ([`due`]).

mod due;

use spacetimedb_sats::AlgebraicType;
use store::{DataError, IndexKind, IndexSchema, Range, Row, TableId, TableSchema, Transaction};
use sync_protocol::{DeviceKey, Fire, Hlc};

use crate::system_tables::{Fields, Reader, SCHEDULE, SCHEDULE_DUE, find, index_of, table};

pub(crate) use due::Firing;

/// Microseconds between two firings of an interval at least: shorter ones would leave a peer no time
/// for anything else.
pub(crate) const INTERVAL_US_MIN: u64 = 10_000;

/// Microseconds from the call that sets a row until it is due have to be fewer: SpacetimeDB's bound.
pub(crate) const DELAY_US_MAX: u64 = ((1 << 36) - 1) * 1_000;

/// The table of when rows are due.
pub(crate) fn schema() -> TableSchema {
    let bytes = AlgebraicType::bytes;
    let columns = [
        ("slot", bytes()),
        ("due", AlgebraicType::U64),
        ("set_at", AlgebraicType::U64),
        ("author", bytes()),
    ];
    let mut schema = table(SCHEDULE, "sys_schedule", &columns, true);
    let name = "sys_schedule_due_idx_btree".to_owned();
    schema.indexes.push(IndexSchema {
        id: SCHEDULE_DUE,
        source_name: name.clone(),
        name,
        columns: vec![1],
        unique: false,
        kind: IndexKind::BTree,
    });
    schema
}

/// When a row of a module's table is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleRow {
    pub(crate) table: TableId,
    /// Primary key of the row.
    pub(crate) key: u64,
    pub(crate) due: Hlc,
    /// Time of the call that wrote the row, so that one written anew is another.
    pub(crate) set_at: Hlc,
    /// Whose call it was: that peer fires it, if it is there.
    pub(crate) author: DeviceKey,
}

impl ScheduleRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        Fields::default()
            .bytes(&slot(self.table, self.key))
            .fixed(&self.due.0.to_le_bytes())
            .fixed(&self.set_at.0.to_le_bytes())
            .bytes(&self.author.0)
            .0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        let slot = reader.bytes();
        let mut numbers = Reader(slot);
        Self {
            table: TableId(u32::from_be_bytes(numbers.take())),
            key: u64::from_be_bytes(numbers.take()),
            due: Hlc(reader.u64()),
            set_at: Hlc(reader.u64()),
            author: DeviceKey(reader.key()),
        }
    }

    /// The one that a call names, if it still waits.
    pub(crate) fn find(tx: &Transaction, fire: &Fire) -> Result<Option<Self>, DataError> {
        let found = find(tx, SCHEDULE, &slot_key(TableId(fire.table), fire.key))?;
        let row = found.map(|row: Row| Self::read(&row));
        Ok(row.filter(|row| row.fire() == *fire))
    }

    /// What a call says that fires it.
    pub(crate) fn fire(&self) -> Fire {
        Fire {
            table: self.table.0,
            key: self.key,
            set_at: self.set_at,
            due: self.due,
        }
    }

    /// Sets it, whatever was there.
    pub(crate) fn set(&self, tx: &mut Transaction) -> Result<(), DataError> {
        Self::delete(tx, self.table, self.key)?;
        tx.insert(SCHEDULE, &self.write()).map(drop)
    }

    pub(crate) fn delete(tx: &mut Transaction, table: TableId, key: u64) -> Result<(), DataError> {
        let range = slot_key(table, key);
        tx.delete_by_range(index_of(SCHEDULE), &Range::point(&range))
            .map(drop)
    }
}

/// Big-endian, so that rows of one table lie together in the order of their keys.
fn slot(table: TableId, key: u64) -> Vec<u8> {
    [&table.0.to_be_bytes()[..], &key.to_be_bytes()].concat()
}

fn slot_key(table: TableId, key: u64) -> Vec<u8> {
    Fields::default().bytes(&slot(table, key)).0
}

/// When a row says that its reducer runs: `ScheduleAt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Again and again, so many microseconds apart.
    Every(u64),
    /// Once.
    At(Hlc),
}

impl When {
    /// Reads BSATN of a `ScheduleAt`; `None` if it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (tag, micros) = bytes.split_first()?;
        let micros = i64::from_le_bytes(micros.try_into().ok()?);
        match tag {
            0 => Some(Self::Every(micros.unsigned_abs().max(INTERVAL_US_MIN))),
            // What lies before 1970 is due at once.
            1 => Some(Self::At(Hlc(u64::try_from(micros).unwrap_or_default()))),
            _ => None,
        }
    }

    /// When a row is due that is written now; `None`: too far away.
    pub(crate) fn first_due(self, now: Hlc) -> Option<Hlc> {
        let due = match self {
            Self::Every(interval) => Hlc(now.0.saturating_add(interval)),
            Self::At(at) => at,
        };
        (due.0.saturating_sub(now.0) < DELAY_US_MAX).then_some(due)
    }

    /// When it is due again after it was fired; `None`: never. What was missed meanwhile is skipped.
    pub(crate) fn next_due(self, due: Hlc, now: Hlc) -> Option<Hlc> {
        let Self::Every(interval) = self else {
            return None;
        };
        let missed = now.0.saturating_sub(due.0) / interval;
        let ahead = interval.saturating_mul(missed.saturating_add(1));
        Some(Hlc(due.0.saturating_add(ahead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule_at(tag: u8, micros: i64) -> Vec<u8> {
        [&[tag][..], &micros.to_le_bytes()].concat()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let row = ScheduleRow {
            table: TableId(4_100),
            key: u64::MAX - 1,
            due: Hlc(77),
            set_at: Hlc(5),
            author: DeviceKey([9; 32]),
        };
        assert_eq!(ScheduleRow::read(&row.write()), row);
    }

    #[test]
    fn intervals_skip_what_was_missed_and_are_not_endlessly_short() {
        let every = When::read(&schedule_at(0, 1_000_000)).expect("an interval");
        assert_eq!(every.first_due(Hlc(5)), Some(Hlc(1_000_005)));
        let next = |now| every.next_due(Hlc(1_000_000), Hlc(now));
        assert_eq!(next(1_000_000), Some(Hlc(2_000_000)));
        assert_eq!(next(1_999_999), Some(Hlc(2_000_000)));
        assert_eq!(next(2_000_000), Some(Hlc(3_000_000)));
        assert_eq!(next(9_500_000), Some(Hlc(10_000_000)));
        let short = When::read(&schedule_at(0, 0)).expect("an interval");
        assert_eq!(short, When::Every(INTERVAL_US_MIN));
        assert_eq!(
            When::read(&schedule_at(0, i64::MIN)),
            Some(When::Every(1 << 63))
        );
        assert_eq!(When::Every(1 << 63).first_due(Hlc(1)), None);
    }

    #[test]
    fn a_time_of_the_past_is_due_at_once_and_one_of_the_next_century_is_refused() {
        let at = |micros| When::read(&schedule_at(1, micros)).expect("a time");
        assert_eq!(at(-5).first_due(Hlc(100)), Some(Hlc(0)));
        assert_eq!(at(50).first_due(Hlc(100)), Some(Hlc(50)));
        assert_eq!(at(50).next_due(Hlc(50), Hlc(100)), None);
        let last = i64::try_from(DELAY_US_MAX).expect("fits");
        assert_eq!(at(last).first_due(Hlc(0)), None);
        assert!(at(last - 1).first_due(Hlc(0)).is_some());
        assert_eq!(When::read(&schedule_at(2, 0)), None);
        assert_eq!(When::read(&[1, 0]), None);
    }
}
