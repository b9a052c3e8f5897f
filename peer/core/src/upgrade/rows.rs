//! The replicated rows about modules: which one rules from which cut on, what was published, and
//! the numbers of tables and indexes. They tell a peer that opens a database, or joins it, how to
//! read every other row.

use std::collections::BTreeMap;

use spacetimedb_sats::AlgebraicType;
use store::{IndexId, Row, RowWrite, TableId, TableSchema};
use sync_protocol::{BlobHash, NewModule, POSITION_BYTES, Position};

use crate::system_tables::{Fields, Reader, table};

/// `sys_module(number, height, module, length, engine)`: one row for the genesis and for each
/// upgrade; the last rules.
pub(crate) const MODULE: TableId = TableId(5);
/// `sys_publish(position, module, length, engine, break_clients, clear, outcome, height)`: one row
/// for each publish after the genesis.
pub(crate) const PUBLISH: TableId = TableId(7);
/// `sys_table(number, name, from, until)`: the numbers that tables ever had.
pub(crate) const TABLE: TableId = TableId(8);
/// `sys_index(number, table, name, from, until)`: the numbers that indexes ever had.
pub(crate) const INDEX: TableId = TableId(9);

/// The first number of a module's tables, and of its indexes: those below are the peer's own.
const FIRST_ID: u32 = 4_096;

/// `until` of what is still there.
const FOR_EVER: u64 = u64::MAX;

/// The schemas of these tables.
pub(crate) fn schemas() -> Vec<TableSchema> {
    let bytes = AlgebraicType::bytes;
    let lives = [("from", AlgebraicType::U64), ("until", AlgebraicType::U64)];
    let number = ("number", AlgebraicType::U32);
    let name = ("name", AlgebraicType::String);
    vec![
        table(
            MODULE,
            "sys_module",
            &[
                number.clone(),
                ("height", AlgebraicType::U64),
                ("module", bytes()),
                ("length", AlgebraicType::U32),
                ("engine", AlgebraicType::U32),
            ],
            true,
        ),
        table(
            PUBLISH,
            "sys_publish",
            &[
                ("position", bytes()),
                ("module", bytes()),
                ("length", AlgebraicType::U32),
                ("engine", AlgebraicType::U32),
                ("break_clients", AlgebraicType::Bool),
                ("clear", AlgebraicType::Bool),
                ("outcome", AlgebraicType::U8),
                ("height", AlgebraicType::U64),
            ],
            true,
        ),
        table(
            TABLE,
            "sys_table",
            &[&[number.clone(), name.clone()][..], &lives].concat(),
            true,
        ),
        table(
            INDEX,
            "sys_index",
            &[&[number, ("table", AlgebraicType::U32), name][..], &lives].concat(),
            true,
        ),
    ]
}

/// A module that rules, or ruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModuleRow {
    pub(crate) number: u32,
    /// The cut from which on it rules.
    pub(crate) height: u64,
    pub(crate) module: BlobHash,
    pub(crate) len: u32,
    pub(crate) engine: u32,
}

impl ModuleRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        Fields::default()
            .fixed(&self.number.to_le_bytes())
            .fixed(&self.height.to_le_bytes())
            .bytes(&self.module.0)
            .fixed(&self.len.to_le_bytes())
            .fixed(&self.engine.to_le_bytes())
            .0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        Self {
            number: reader.u32(),
            height: reader.u64(),
            module: BlobHash(reader.key()),
            len: reader.u32(),
            engine: reader.u32(),
        }
    }
}

/// What came of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    /// No cut covers it yet.
    Waiting,
    /// Its module ruled from that cut on, unless a later publish of the same cut replaced it.
    Accepted,
    /// It changed nothing.
    Refused,
    /// The module ruled already.
    Unchanged,
}

const OUTCOMES: [PublishOutcome; 4] = [
    PublishOutcome::Waiting,
    PublishOutcome::Accepted,
    PublishOutcome::Refused,
    PublishOutcome::Unchanged,
];

/// A publish after the genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishRow {
    pub(crate) position: Position,
    pub(crate) new_module: NewModule,
    pub(crate) outcome: PublishOutcome,
    /// The cut that covers it; 0 while it waits.
    pub(crate) height: u64,
}

impl PublishRow {
    pub(crate) fn waiting(position: Position, new_module: NewModule) -> Self {
        Self {
            position,
            new_module,
            outcome: PublishOutcome::Waiting,
            height: 0,
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let outcome = OUTCOMES.iter().position(|code| *code == self.outcome);
        Fields::default()
            .bytes(&self.position.to_bytes())
            .bytes(&self.new_module.module.0)
            .fixed(&self.new_module.module_len.to_le_bytes())
            .fixed(&self.new_module.engine.to_le_bytes())
            .u8(u8::from(self.new_module.break_clients))
            .u8(u8::from(self.new_module.clear))
            .u8(outcome.and_then(|at| u8::try_from(at).ok()).unwrap_or(0))
            .fixed(&self.height.to_le_bytes())
            .0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        let position: [u8; POSITION_BYTES] = reader
            .bytes()
            .try_into()
            .expect("positions have one length");
        Self {
            position: Position::from_bytes(&position),
            new_module: NewModule {
                module: BlobHash(reader.key()),
                module_len: reader.u32(),
                engine: reader.u32(),
                break_clients: reader.u8() != 0,
                clear: reader.u8() != 0,
            },
            outcome: OUTCOMES
                .get(usize::from(reader.u8()))
                .copied()
                .expect("outcomes are ours"),
            height: reader.u64(),
        }
    }
}

/// What has one of the numbers: a table by name, an index by its table and name.
type Named = (Option<TableId>, String);

/// The numbers of tables and indexes: those in use, and which come next. Never reused, so that a
/// number means one thing for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    used: BTreeMap<Named, Used>,
    /// How many numbers tables and indexes have had.
    tables: u32,
    indexes: u32,
    /// What changed since it was read.
    changed: Vec<NumberRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    number: u32,
    from: u64,
}

/// A line of `sys_table` or `sys_index`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NumberRow {
    named: Named,
    number: u32,
    from: u64,
    until: u64,
}

impl NumberRow {
    fn write(&self) -> RowWrite {
        let fields = Fields::default().fixed(&self.number.to_le_bytes());
        let (table, fields) = match self.named.0 {
            None => (TABLE, fields),
            Some(table) => (INDEX, fields.fixed(&table.0.to_le_bytes())),
        };
        RowWrite {
            table,
            row: fields
                .bytes(self.named.1.as_bytes())
                .fixed(&self.from.to_le_bytes())
                .fixed(&self.until.to_le_bytes())
                .0,
            delete: false,
        }
    }

    fn read(row: &[u8], of_index: bool) -> Self {
        let mut reader = Reader(row);
        let number = reader.u32();
        let table = of_index.then(|| TableId(reader.u32()));
        let name = String::from_utf8_lossy(reader.bytes()).into_owned();
        Self {
            named: (table, name),
            number,
            from: reader.u64(),
            until: reader.u64(),
        }
    }
}

impl Numbers {
    /// From the rows of `sys_table` and `sys_index`.
    pub(crate) fn read(tables: &[Row], indexes: &[Row]) -> Self {
        let mut numbers = Self::default();
        let tables = tables.iter().map(|row| NumberRow::read(row, false));
        let indexes = indexes.iter().map(|row| NumberRow::read(row, true));
        for row in tables.chain(indexes) {
            let next = row.number.saturating_sub(FIRST_ID).saturating_add(1);
            let count = match row.named.0 {
                None => &mut numbers.tables,
                Some(_) => &mut numbers.indexes,
            };
            *count = next.max(*count);
            if row.until == FOR_EVER {
                let (number, from) = (row.number, row.from);
                numbers.used.insert(row.named, Used { number, from });
            }
        }
        numbers
    }

    pub(crate) fn table(&self, name: &str) -> Option<TableId> {
        let used = self.used.get(&(None, name.to_owned()))?;
        Some(TableId(used.number))
    }

    pub(crate) fn index(&self, table: TableId, name: &str) -> Option<IndexId> {
        let used = self.used.get(&(Some(table), name.to_owned()))?;
        Some(IndexId(used.number))
    }

    fn give(&mut self, named: Named, height: u64) -> u32 {
        let count = match named.0 {
            None => &mut self.tables,
            Some(_) => &mut self.indexes,
        };
        let number = FIRST_ID.saturating_add(*count);
        *count = count.saturating_add(1);
        let from = height;
        self.used.insert(named.clone(), Used { number, from });
        self.changed.push(NumberRow {
            named,
            number,
            from,
            until: FOR_EVER,
        });
        number
    }

    fn take(&mut self, named: Named, height: u64) {
        if let Some(Used { number, from }) = self.used.remove(&named) {
            self.changed.push(NumberRow {
                named,
                number,
                from,
                until: height,
            });
        }
    }

    /// A new number for a table that begins at the cut of `height`.
    pub(crate) fn give_table(&mut self, name: &str, height: u64) -> TableId {
        TableId(self.give((None, name.to_owned()), height))
    }

    /// A new number for an index.
    pub(crate) fn give_index(&mut self, table: TableId, name: &str, height: u64) -> IndexId {
        IndexId(self.give((Some(table), name.to_owned()), height))
    }

    /// A table ends at the cut of `height`; its indexes end by themselves.
    pub(crate) fn take_table(&mut self, name: &str, height: u64) {
        self.take((None, name.to_owned()), height);
    }

    pub(crate) fn take_index(&mut self, table: TableId, name: &str, height: u64) {
        self.take((Some(table), name.to_owned()), height);
    }

    /// The rows that changed since it was read, to be written in this order.
    pub(crate) fn changed_rows(&self) -> Vec<RowWrite> {
        self.changed.iter().map(NumberRow::write).collect()
    }

    /// A module's tables with the numbers that they and their indexes have. `None`: one has none.
    pub(crate) fn apply(&self, tables: &[TableSchema]) -> Option<Vec<TableSchema>> {
        let mut numbered = tables.to_vec();
        for table in &mut numbered {
            table.id = self.table(&table.name)?;
            for index in &mut table.indexes {
                index.id = self.index(table.id, &index.name)?;
            }
        }
        Some(numbered)
    }

    /// The numbers of a database's first tables, in their order.
    pub(crate) fn of_first(tables: &[TableSchema]) -> Self {
        let mut numbers = Self::default();
        for table in tables {
            let id = numbers.give_table(&table.name, 0);
            for index in &table.indexes {
                numbers.give_index(id, &index.name, 0);
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::{DeviceKey, EntryId, Hlc};

    fn split(numbers: &Numbers) -> (Vec<Row>, Vec<Row>) {
        let of = |table| {
            let rows = numbers.changed_rows().into_iter();
            // A later line about a number replaces the earlier, as a row with its key does.
            let mut last = BTreeMap::new();
            for write in rows.filter(|write| write.table == table) {
                last.insert(write.row[..4].to_vec(), Row::from(write.row));
            }
            last.into_values().collect()
        };
        (of(TABLE), of(INDEX))
    }

    #[test]
    fn rows_go_there_and_back() {
        let module = ModuleRow {
            number: 3,
            height: 77,
            module: BlobHash([8; 32]),
            len: 1_000,
            engine: 1,
        };
        assert_eq!(ModuleRow::read(&module.write()), module);
        for outcome in OUTCOMES {
            let publish = PublishRow {
                position: Position {
                    hlc: Hlc(5),
                    author: DeviceKey([1; 32]),
                    entry: EntryId([2; 32]),
                    index: 9,
                },
                new_module: NewModule {
                    module: BlobHash([7; 32]),
                    module_len: 3,
                    engine: 4,
                    break_clients: outcome == PublishOutcome::Refused,
                    clear: outcome == PublishOutcome::Accepted,
                },
                outcome,
                height: 12,
            };
            assert_eq!(PublishRow::read(&publish.write()), publish);
        }
    }

    #[test]
    fn numbers_are_never_used_again() {
        let mut numbers = Numbers::default();
        let chat = numbers.give_table("chat", 0);
        let by_name = numbers.give_index(chat, "by_name", 0);
        assert_eq!((chat, by_name), (TableId(4_096), IndexId(4_096)));
        numbers.take_index(chat, "by_name", 1);
        numbers.take_table("chat", 1);
        let (tables, indexes) = split(&numbers);
        let mut again = Numbers::read(&tables, &indexes);
        assert_eq!(again.table("chat"), None);
        assert_eq!(again.index(chat, "by_name"), None);
        let chat = again.give_table("chat", 2);
        assert_eq!(chat, TableId(4_097));
        assert_eq!(again.give_index(chat, "by_name", 2), IndexId(4_097));
        assert_eq!(
            again.changed_rows().len(),
            2,
            "only what changed is written"
        );
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let mut numbers = Numbers::default();
        let a = numbers.give_table("a", 0);
        numbers.give_table("b", 0);
        numbers.give_index(a, "x", 3);
        numbers.take_table("b", 4);
        let (tables, indexes) = split(&numbers);
        let read = Numbers::read(&tables, &indexes);
        assert_eq!(read.used, numbers.used);
        assert_eq!((read.tables, read.indexes), (2, 1));
    }
}
