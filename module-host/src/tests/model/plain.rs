//! The model: tables as plain maps, with every rule written out the slow way.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::schema::{Definition, FIRST, Index, Kind, Table};
use super::values::{Row, Ty, Value};
use super::world::START;

/// Error numbers of the module ABI.
pub(super) type Errno = u32;
pub(super) const DECODE: Errno = 3;
pub(super) const NO_SUCH_TABLE: Errno = 4;
pub(super) const NO_SUCH_INDEX: Errno = 5;
pub(super) const NO_SUCH_ITER: Errno = 6;
pub(super) const WRONG_INDEX_ALGO: Errno = 10;
pub(super) const BUFFER_TOO_SMALL: Errno = 11;
pub(super) const UNIQUE_ALREADY_EXISTS: Errno = 12;
pub(super) const INDEX_NOT_UNIQUE: Errno = 14;
pub(super) const NO_SUCH_ROW: Errno = 15;
pub(super) const AUTO_INC_OVERFLOW: Errno = 16;

/// What a row or an index entry is sorted by.
#[derive(Clone, Debug)]
struct Key {
    values: Vec<Value>,
    /// The key's bytes, if they are so long that the order depends on how they are cut.
    cut: Option<Vec<u8>>,
    stored: Vec<u8>,
}

impl Key {
    /// Of values as they are.
    fn new(columns: &[Ty], places: &[usize], row: &Row) -> Self {
        let mut stored = Vec::new();
        let mut values = Vec::new();
        for place in places {
            columns[*place].key_bytes(&row[*place], &mut stored);
            values.push(row[*place].clone());
        }
        let mut cut = None;
        if stored.len() > 512 {
            let hash = blake3::derive_key("tombolo key part 1", &stored);
            stored.truncate(480);
            stored.extend_from_slice(&hash);
            cut = Some(stored.clone());
        }
        Self {
            values,
            cut,
            stored,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.cut.is_none() && other.cut.is_none() {
            self.values.cmp(&other.values)
        } else {
            self.stored.cmp(&other.stored)
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// All rows of all tables, and the last numbers given out.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    rows: Vec<BTreeMap<Key, Row>>,
    /// By table and column.
    sequences: BTreeMap<(usize, usize), u128>,
}

/// How a call's numbers are drawn.
pub(super) struct Numbers {
    /// The call's time.
    pub(super) time: u64,
    /// Numbers used up by this call.
    pub(super) drawn: u128,
}

/// A range of an index, as the ABI passes it.
pub(super) struct Range {
    pub(super) prefix: Vec<u8>,
    pub(super) prefix_len: u32,
    pub(super) start: Bound<Vec<u8>>,
    pub(super) end: Bound<Vec<u8>>,
}

/// A row that is different after a call: its table, what it was, what it is.
pub(super) type Change = (usize, Option<Vec<u8>>, Option<Vec<u8>>);

impl Plain {
    pub(super) fn new(definition: &Definition) -> Self {
        Self {
            rows: vec![BTreeMap::new(); definition.tables.len()],
            sequences: BTreeMap::new(),
        }
    }

    /// The rows of a table, in the order of a scan.
    pub(super) fn rows(&self, table: usize) -> impl Iterator<Item = &Row> {
        self.rows[table].values()
    }

    /// Takes the rows away that are gone when a call is over.
    pub(super) fn end_call(&mut self, definition: &Definition) {
        for (rows, table) in self.rows.iter_mut().zip(&definition.tables) {
            if table.event {
                rows.clear();
            }
        }
    }

    /// What is different from `before`, in order.
    pub(super) fn changes(&self, definition: &Definition, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (place, table) in definition.tables.iter().enumerate() {
            let (old, new) = (&before.rows[place], &self.rows[place]);
            let keys = old.keys().chain(new.keys()).collect::<BTreeSet<_>>();
            for key in keys {
                let bytes = |row: Option<&Row>| row.map(|row| table.bytes(row));
                let (old, new) = (bytes(old.get(key)), bytes(new.get(key)));
                if old != new {
                    changes.push((place, old, new));
                }
            }
        }
        changes
    }

    pub(super) fn insert(
        &mut self,
        definition: &Definition,
        numbers: &mut Numbers,
        table: u32,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let (place, table) = definition.table(table)?;
        let mut row = table.read(bytes).ok_or(DECODE)?;
        let generated = self.number(definition, numbers, place, &mut row)?;
        let key = table.key(&row);
        match self.rows[place].get(&key) {
            Some(held) if *held == row => return Ok(generated),
            Some(_) => return Err(UNIQUE_ALREADY_EXISTS),
            None => {}
        }
        if self.is_taken(table, place, &row, None) {
            return Err(UNIQUE_ALREADY_EXISTS);
        }
        self.rows[place].insert(key, row);
        Ok(generated)
    }

    pub(super) fn update(
        &mut self,
        definition: &Definition,
        numbers: &mut Numbers,
        (table, index): (u32, u32),
        bytes: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let (place, table) = definition.table(table)?;
        let index = match definition.index(index) {
            Some((of, index)) if of == place => index,
            _ => return Err(NO_SUCH_INDEX),
        };
        if !index.unique {
            return Err(INDEX_NOT_UNIQUE);
        }
        let mut row = table.read(bytes).ok_or(DECODE)?;
        let generated = self.number(definition, numbers, place, &mut row)?;
        let mut all = self.rows[place].values();
        let old = all.find(|held| index.agree(held, &row));
        let old = old.ok_or(NO_SUCH_ROW)?.clone();
        let (key, old_key) = (table.key(&row), table.key(&old));
        let moved_onto = key != old_key && self.rows[place].contains_key(&key);
        if moved_onto || self.is_taken(table, place, &row, Some(&old)) {
            return Err(UNIQUE_ALREADY_EXISTS);
        }
        self.rows[place].remove(&old_key);
        self.rows[place].insert(key, row);
        Ok(generated)
    }

    /// Whether a row other than `old` agrees with the new one where no two may.
    fn is_taken(&self, table: &Table, place: usize, new: &Row, old: Option<&Row>) -> bool {
        let unique = table.indexes.iter().filter(|index| index.unique);
        let mut pairs = unique.flat_map(|index| {
            self.rows[place]
                .values()
                .filter(|held| Some(*held) != old)
                .map(move |held| (index, held))
        });
        pairs.any(|(index, held)| index.agree(held, new))
    }

    /// Numbers the columns that are 0. What is drawn stays drawn, whatever becomes of the row.
    fn number(
        &mut self,
        definition: &Definition,
        numbers: &mut Numbers,
        place: usize,
        row: &mut Row,
    ) -> Result<Vec<u8>, Errno> {
        let table = &definition.tables[place];
        let mut generated = Vec::new();
        for column in &table.auto_inc {
            let (width, signed) = match table.columns[*column] {
                Ty::Unsigned(width) => (width, false),
                Ty::Signed(width) => (width, true),
                _ => unreachable!("only integers are numbered"),
            };
            let value = |number: u128| match signed {
                true => Value::Signed(0, number),
                false => Value::Unsigned(0, number),
            };
            if row[*column] != value(0) {
                continue;
            }
            let alone = |index: &Index| index.unique && index.columns == [*column];
            let looked_at = table.primary_key == Some(*column) || table.indexes.iter().any(alone);
            let by_time = width >= 8 && !definition.sequential;
            let last = self.sequences.entry((place, *column)).or_insert(0);
            let first = match by_time {
                true => u128::from(numbers.time - START) * 4_096,
                false => *last + 1,
            };
            let mut number = match by_time {
                true => first + numbers.drawn,
                false => first,
            };
            let bits = 8 * width - usize::from(signed);
            let largest = if bits < 128 {
                (1 << bits) - 1
            } else {
                u128::MAX
            };
            while looked_at
                && self.rows[place]
                    .values()
                    .any(|held| held[*column] == value(number))
                || number == 0
            {
                number += 1;
            }
            if number > largest {
                return Err(AUTO_INC_OVERFLOW);
            }
            if by_time {
                numbers.drawn = number - first + 1;
            } else {
                *last = number;
            }
            row[*column] = value(number);
            row[*column].write(&table.columns[*column], &mut generated);
        }
        Ok(generated)
    }

    pub(super) fn delete_all_by_eq(
        &mut self,
        definition: &Definition,
        table: u32,
        mut relation: &[u8],
    ) -> Result<u32, Errno> {
        let (place, table) = definition.table(table)?;
        let count = relation.split_off(..4).ok_or(DECODE)?;
        let count = u32::from_le_bytes(count.try_into().unwrap());
        let mut rows = Vec::new();
        for _ in 0..count {
            let before = relation.len();
            rows.push(table.read_off(&mut relation).ok_or(DECODE)?);
            if before == relation.len() {
                // Rows without bytes are all the same one.
                break;
            }
        }
        if !relation.is_empty() {
            return Err(DECODE);
        }
        let before = self.rows[place].len();
        for row in rows {
            let key = table.key(&row);
            if self.rows[place].get(&key) == Some(&row) {
                self.rows[place].remove(&key);
            }
        }
        Ok(u32::try_from(before - self.rows[place].len()).unwrap())
    }

    pub(super) fn clear(&mut self, definition: &Definition, table: u32) -> Result<u64, Errno> {
        let (place, _) = definition.table(table)?;
        Ok(std::mem::take(&mut self.rows[place]).len() as u64)
    }

    pub(super) fn count(&self, definition: &Definition, table: u32) -> Result<u64, Errno> {
        let (place, _) = definition.table(table)?;
        Ok(self.rows[place].len() as u64)
    }

    pub(super) fn scan(&self, definition: &Definition, table: u32) -> Result<Vec<Vec<u8>>, Errno> {
        let (place, table) = definition.table(table)?;
        Ok(self.rows(place).map(|row| table.bytes(row)).collect())
    }

    pub(super) fn scan_point(
        &self,
        definition: &Definition,
        index: u32,
        point: &[u8],
    ) -> Result<Vec<Vec<u8>>, Errno> {
        let found = self.point(definition, index, point)?;
        let (place, _) = definition.index(index).ok_or(NO_SUCH_INDEX)?;
        let table = &definition.tables[place];
        Ok(found.iter().map(|row| table.bytes(row)).collect())
    }

    pub(super) fn scan_range(
        &self,
        definition: &Definition,
        index: u32,
        range: &Range,
    ) -> Result<Vec<Vec<u8>>, Errno> {
        let found = self.range(definition, index, range)?;
        let (place, _) = definition.index(index).ok_or(NO_SUCH_INDEX)?;
        let table = &definition.tables[place];
        Ok(found.iter().map(|row| table.bytes(row)).collect())
    }

    pub(super) fn delete_point(
        &mut self,
        definition: &Definition,
        index: u32,
        point: &[u8],
    ) -> Result<u32, Errno> {
        let found = self.point(definition, index, point)?;
        Ok(self.delete(definition, index, &found))
    }

    pub(super) fn delete_range(
        &mut self,
        definition: &Definition,
        index: u32,
        range: &Range,
    ) -> Result<u32, Errno> {
        let found = self.range(definition, index, range)?;
        Ok(self.delete(definition, index, &found))
    }

    fn delete(&mut self, definition: &Definition, index: u32, rows: &[Row]) -> u32 {
        let place = definition.index(index).unwrap().0;
        let table = &definition.tables[place];
        for row in rows {
            self.rows[place].remove(&table.key(row));
        }
        u32::try_from(rows.len()).unwrap()
    }

    fn point(&self, definition: &Definition, index: u32, point: &[u8]) -> Result<Vec<Row>, Errno> {
        let (place, index) = definition.index(index).ok_or(NO_SUCH_INDEX)?;
        let table = &definition.tables[place];
        let wanted = table.read_columns(&index.columns, point).ok_or(DECODE)?;
        let matches = |row: &&Row| {
            let columns = index.columns.iter().zip(&wanted);
            columns
                .into_iter()
                .all(|(place, value)| row[*place].plain() == *value)
        };
        Ok(sorted(table, index, self.rows(place).filter(matches)))
    }

    fn range(&self, definition: &Definition, index: u32, range: &Range) -> Result<Vec<Row>, Errno> {
        let (place, index) = definition.index(index).ok_or(NO_SUCH_INDEX)?;
        let table = &definition.tables[place];
        let next = range.prefix_len as usize;
        if index.kind == Kind::Hash {
            // It answers points: all columns, bounded to one value each.
            let one = match (&range.start, &range.end) {
                (Bound::Included(start), Bound::Included(end)) => start == end,
                _ => false,
            };
            if next + 1 != index.columns.len() || !one {
                return Err(WRONG_INDEX_ALGO);
            }
        }
        let column = *index.columns.get(next).ok_or(DECODE)?;
        let prefix = match next {
            0 => vec![],
            _ => table
                .read_columns(&index.columns[..next], &range.prefix)
                .ok_or(DECODE)?,
        };
        let value = |bytes: &Vec<u8>| -> Result<Value, Errno> {
            let mut values = table.read_columns(&[column], bytes).ok_or(DECODE)?;
            Ok(values.remove(0))
        };
        let bound = |bound: &Bound<Vec<u8>>| -> Result<Bound<Value>, Errno> {
            Ok(match bound {
                Bound::Included(bytes) => Bound::Included(value(bytes)?),
                Bound::Excluded(bytes) => Bound::Excluded(value(bytes)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let (start, end) = (bound(&range.start)?, bound(&range.end)?);
        let matches = |row: &&Row| {
            let value = &row[column].plain();
            let prefixed = index
                .columns
                .iter()
                .zip(&prefix)
                .all(|(place, it)| row[*place].plain() == *it);
            prefixed
                && match &start {
                    Bound::Included(start) => value >= start,
                    Bound::Excluded(start) => value > start,
                    Bound::Unbounded => true,
                }
                && match &end {
                    Bound::Included(end) => value <= end,
                    Bound::Excluded(end) => value < end,
                    Bound::Unbounded => true,
                }
        };
        Ok(sorted(table, index, self.rows(place).filter(matches)))
    }
}

/// Rows in the order of an index: by its columns, then as in the table.
fn sorted<'a>(table: &Table, index: &Index, rows: impl Iterator<Item = &'a Row>) -> Vec<Row> {
    let key = |row: &Row| {
        let plain = row.iter().map(Value::plain).collect();
        let key = Key::new(&table.columns, &index.columns, &plain);
        (key, table.key(row))
    };
    let mut rows = rows.cloned().collect::<Vec<_>>();
    rows.sort_by_cached_key(key);
    rows
}

impl Index {
    /// Whether two rows are the same to it.
    fn agree(&self, one: &Row, other: &Row) -> bool {
        let mut columns = self.columns.iter();
        columns.all(|column| one[*column].plain() == other[*column].plain())
    }
}

impl Definition {
    fn table(&self, id: u32) -> Result<(usize, &Table), Errno> {
        let place = id.checked_sub(FIRST).ok_or(NO_SUCH_TABLE)? as usize;
        self.tables
            .get(place)
            .map(|table| (place, table))
            .ok_or(NO_SUCH_TABLE)
    }
}

impl Table {
    /// Its primary key, or all columns.
    fn key(&self, row: &Row) -> Key {
        match self.primary_key {
            Some(column) => {
                let plain = row.iter().map(Value::plain).collect();
                Key::new(&self.columns, &[column], &plain)
            }
            // Rows that differ in any bit are different rows.
            None => {
                let all = (0..self.columns.len()).collect::<Vec<_>>();
                Key::new(&self.columns, &all, row)
            }
        }
    }

    /// BSATN of a row.
    pub(super) fn bytes(&self, row: &Row) -> Vec<u8> {
        let mut bytes = Vec::new();
        let columns = row.iter().zip(&self.columns);
        columns.for_each(|(value, ty)| value.write(ty, &mut bytes));
        bytes
    }

    fn read_off(&self, input: &mut &[u8]) -> Option<Row> {
        self.columns.iter().map(|ty| ty.read(input)).collect()
    }

    /// A row, if the bytes are exactly one.
    fn read(&self, mut bytes: &[u8]) -> Option<Row> {
        self.read_off(&mut bytes).filter(|_| bytes.is_empty())
    }

    /// Values of some columns as an index takes them, if the bytes are exactly that.
    fn read_columns(&self, places: &[usize], mut bytes: &[u8]) -> Option<Vec<Value>> {
        let values = places
            .iter()
            .map(|place| Some(self.columns[*place].read(&mut bytes)?.plain()));
        values
            .collect::<Option<Vec<_>>>()
            .filter(|_| bytes.is_empty())
    }
}
