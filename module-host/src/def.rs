//! What a module defines, in the form the rest of the peer works with.

use std::collections::BTreeMap;

use spacetimedb_sats::AlgebraicType;
use store::{TableId, TableSchema};

/// The first number of a module's tables, and of its indexes: those below are the peer's own.
pub(crate) const FIRST_ID: u32 = 4_096;

/// The first number of a module's views.
pub(crate) const FIRST_VIEW_ID: u32 = 2_200;

/// A module's tables and reducers, with canonical names and every type resolved.
#[derive(Clone, Debug)]
pub struct ModuleDef {
    /// Tables in the order of definition. Numbers of tables and indexes count up from 4096 each; a
    /// database that already has tables gives those of its own.
    pub tables: Vec<TableSchema>,
    /// Reducers in the order of definition: their place is the number the module knows them by.
    pub reducers: Vec<ReducerDef>,
    /// Values for columns that a later version of the module adds to a table with rows.
    pub defaults: Vec<ColumnDefault>,
    /// Tables whose rows say when a reducer runs.
    pub schedules: Vec<ScheduleDef>,
    /// Tables that the module computes when they are asked for.
    pub views: Vec<ViewDef>,
    /// Texts of SQL that say which rows of a table clients see, as the module wrote them. What they
    /// mean is no concern of the host, which reads no SQL.
    pub filters: Vec<String>,
    /// Whether it declares the table of roles, which the database keeps, for clients to see.
    pub shows_roles: bool,
    /// BSATN of `RawModuleDef`, exactly as the module described itself.
    pub raw: Vec<u8>,
    by_name: BTreeMap<String, usize>,
    lifecycle: BTreeMap<Lifecycle, usize>,
}

/// One function that changes tables.
#[derive(Clone, Debug)]
pub struct ReducerDef {
    /// Canonical name: what clients call it by.
    pub name: String,
    /// Name in the module's source.
    pub source_name: String,
    /// Canonical parameter names with their types, references resolved.
    pub params: Vec<(String, AlgebraicType)>,
    /// The event that calls it, if it is not for calling by name.
    pub lifecycle: Option<Lifecycle>,
    /// The first 8 bytes of a hash of the parameters' types: a call made for another version of the
    /// module fails instead of being misread.
    pub arguments_type: [u8; 8],
    /// Whether clients may call it; if not, only the database's owner may.
    pub client_callable: bool,
}

/// A table whose rows say when a reducer runs, with the row as its one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleDef {
    /// The table's canonical name. Its primary key is a `u64`.
    pub table: String,
    /// Place of the column that says when: a `ScheduleAt`.
    pub column: u16,
    /// Place of the reducer in [`ModuleDef::reducers`].
    pub reducer: usize,
}

/// A table that the module computes from others, for everybody alike or for each caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewDef {
    /// Its rows, as a table that has no indexes. Numbers count up from 2200.
    pub table: TableSchema,
    /// The number the module knows it by, among those of its kind.
    pub index: u32,
    /// Whether it is the same for everybody.
    pub anonymous: bool,
}

/// Events that call a reducer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    /// The database is created.
    Init,
    /// A client connects.
    ClientConnected,
    /// A client is gone.
    ClientDisconnected,
}

/// The value that old rows get in a column added by an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefault {
    /// The table, by its number in [`ModuleDef::tables`].
    pub table: TableId,
    /// The column's place in its table.
    pub column: u16,
    /// BSATN of the value, checked against the column's type.
    pub value: Vec<u8>,
}

impl ModuleDef {
    /// Ties the parts together. Names are unique and lifecycles distinct: the describing code has
    /// refused everything else.
    pub(crate) fn new(
        tables: Vec<TableSchema>,
        reducers: Vec<ReducerDef>,
        defaults: Vec<ColumnDefault>,
        schedules: Vec<ScheduleDef>,
        views: Vec<ViewDef>,
        filters: Vec<String>,
        raw: Vec<u8>,
    ) -> Self {
        let by_name = reducers
            .iter()
            .enumerate()
            .map(|(place, r)| (r.name.clone(), place))
            .collect();
        let lifecycle = reducers
            .iter()
            .enumerate()
            .filter_map(|(place, r)| Some((r.lifecycle?, place)))
            .collect();
        Self {
            tables,
            reducers,
            defaults,
            schedules,
            views,
            filters,
            shows_roles: false,
            raw,
            by_name,
            lifecycle,
        }
    }

    /// The reducer of that canonical name, with its place in [`ModuleDef::reducers`].
    #[must_use]
    pub fn reducer_by_name(&self, name: &str) -> Option<(usize, &ReducerDef)> {
        let place = *self.by_name.get(name)?;
        Some((place, &self.reducers[place]))
    }

    /// The place of the reducer that an event calls.
    #[must_use]
    pub fn lifecycle(&self, event: Lifecycle) -> Option<usize> {
        self.lifecycle.get(&event).copied()
    }
}
