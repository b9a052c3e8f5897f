//! Tables, columns and indexes of one database, as a module describes them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use spacetimedb_sats::AlgebraicType;

use crate::error::{DataError, SchemaError};
use crate::limits::TABLES_MAX;
use crate::plan::TablePlan;

/// Number of a table: replicated, never reused. User tables start at 4,096, system tables lie
/// below. Less than [`ID_MAX`](crate::limits::ID_MAX).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Number of an index: replicated, never reused, counted apart from tables. Less than
/// [`ID_MAX`](crate::limits::ID_MAX).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub u32);

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Canonical name.
    pub name: String,
    /// Name in the module's source.
    pub source_name: String,
    /// Its type, fully resolved: no references.
    pub ty: AlgebraicType,
}

/// What an index can be asked. All are kept as ordered entries; the kind decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// Points, prefixes and ranges.
    BTree,
    /// Points only.
    Hash,
    /// An index over one small integer: points, prefixes and ranges.
    Direct,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSchema {
    /// Its number.
    pub id: IndexId,
    /// Canonical name.
    pub name: String,
    /// Name in the module's source.
    pub source_name: String,
    /// The columns, by place, in the order in which they are compared.
    pub columns: Vec<u16>,
    /// Whether no two rows may agree in all its columns.
    pub unique: bool,
    /// What it can be asked.
    pub kind: IndexKind,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Its number.
    pub id: TableId,
    /// Canonical name.
    pub name: String,
    /// Name in the module's source.
    pub source_name: String,
    /// The columns, in the order of a row's BSATN.
    pub columns: Vec<Column>,
    /// Place of the primary key's column. Without one, rows are keyed by all their columns.
    pub primary_key: Option<u16>,
    /// The indexes. Each unique constraint has one.
    pub indexes: Vec<IndexSchema>,
    /// Places of the columns that get a number where a row has 0, ascending.
    pub auto_inc: Vec<u16>,
    /// Whether clients may read it.
    pub public: bool,
    /// Whether its rows are seen in their transaction and sent at commit, but never kept.
    pub event: bool,
}

/// All tables of a database, checked and compiled.
#[derive(Debug)]
pub struct Schema {
    tables: Vec<TableSchema>,
    plans: Vec<TablePlan>,
    /// Place of each table in the two lists above.
    slots: BTreeMap<TableId, usize>,
    /// Place of each index: its table's, then its own in the table.
    indexes: BTreeMap<IndexId, (usize, usize)>,
    table_names: BTreeMap<String, usize>,
    table_source_names: BTreeMap<String, usize>,
    index_names: BTreeMap<String, (usize, usize)>,
    index_source_names: BTreeMap<String, (usize, usize)>,
}

impl Schema {
    /// Checks and compiles tables.
    ///
    /// # Errors
    /// [`SchemaError`] says what does not fit. Two tables, or two indexes, may share a source
    /// name: then the first is found by it.
    pub fn new(tables: Vec<TableSchema>) -> Result<Self, SchemaError> {
        if tables.len() > TABLES_MAX {
            let what = "tables of the database".to_owned();
            return Err(SchemaError::TooMany {
                what,
                count: tables.len(),
                max: TABLES_MAX,
            });
        }
        let mut schema = Self {
            plans: Vec::with_capacity(tables.len()),
            slots: BTreeMap::new(),
            indexes: BTreeMap::new(),
            table_names: BTreeMap::new(),
            table_source_names: BTreeMap::new(),
            index_names: BTreeMap::new(),
            index_source_names: BTreeMap::new(),
            tables,
        };
        for (slot, table) in schema.tables.iter().enumerate() {
            schema.plans.push(TablePlan::compile(table, slot)?);
            if schema.slots.insert(table.id, slot).is_some() {
                return Err(SchemaError::TableTwice(table.id));
            }
            if schema
                .table_names
                .insert(table.name.clone(), slot)
                .is_some()
            {
                return Err(SchemaError::TableNameTwice(table.name.clone()));
            }
            schema
                .table_source_names
                .entry(table.source_name.clone())
                .or_insert(slot);
            for (place, index) in table.indexes.iter().enumerate() {
                let place = (slot, place);
                match schema.indexes.entry(index.id) {
                    Slot::Vacant(free) => free.insert(place),
                    Slot::Occupied(_) => return Err(SchemaError::IndexTwice(index.id)),
                };
                if schema
                    .index_names
                    .insert(index.name.clone(), place)
                    .is_some()
                {
                    return Err(SchemaError::IndexNameTwice(index.name.clone()));
                }
                schema
                    .index_source_names
                    .entry(index.source_name.clone())
                    .or_insert(place);
            }
        }
        Ok(schema)
    }

    /// The table with this number.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&TableSchema> {
        self.slots.get(&id).map(|slot| &self.tables[*slot])
    }

    /// The table with this canonical name, else the one with this source name.
    #[must_use]
    pub fn table_by_name(&self, name: &str) -> Option<&TableSchema> {
        let slot = self
            .table_names
            .get(name)
            .or_else(|| self.table_source_names.get(name))?;
        Some(&self.tables[*slot])
    }

    /// The index with this number, and its table.
    #[must_use]
    pub fn index(&self, id: IndexId) -> Option<(&TableSchema, &IndexSchema)> {
        self.indexes.get(&id).map(|place| self.index_at(*place))
    }

    /// The index with this canonical name, else the one with this source name, and its table.
    #[must_use]
    pub fn index_by_name(&self, name: &str) -> Option<(&TableSchema, &IndexSchema)> {
        let place = self
            .index_names
            .get(name)
            .or_else(|| self.index_source_names.get(name))?;
        Some(self.index_at(*place))
    }

    /// All tables, as they were given.
    #[must_use]
    pub fn tables(&self) -> &[TableSchema] {
        &self.tables
    }

    /// Splits a row into its columns, BSATN each, checking every byte.
    ///
    /// # Errors
    /// [`DataError::NoSuchTable`], or [`DataError::Decode`] if the bytes are not a row of it.
    pub fn cells<'a>(&self, table: TableId, row: &'a [u8]) -> Result<Vec<&'a [u8]>, DataError> {
        let plan = self.plan(table).ok_or(DataError::NoSuchTable(table))?;
        let mut ends = Vec::new();
        plan.cells(row, &mut ends).map_err(DataError::Decode)?;
        let ends = plan.ends(&ends);
        Ok(ends
            .windows(2)
            .map(|ends| &row[ends[0] as usize..ends[1] as usize])
            .collect())
    }

    fn index_at(&self, (slot, place): (usize, usize)) -> (&TableSchema, &IndexSchema) {
        let table = &self.tables[slot];
        (table, &table.indexes[place])
    }

    pub(crate) fn plans(&self) -> &[TablePlan] {
        &self.plans
    }

    pub(crate) fn plan(&self, id: TableId) -> Option<&TablePlan> {
        self.slots.get(&id).map(|slot| &self.plans[*slot])
    }

    /// The plan of an index's table, and the place of the index in it.
    pub(crate) fn index_plan(&self, id: IndexId) -> Option<(&TablePlan, usize)> {
        let (slot, place) = *self.indexes.get(&id)?;
        Some((&self.plans[slot], place))
    }
}
