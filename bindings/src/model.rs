//! What client code is written from: a module's definition with every name on the wire decided.

use std::collections::{BTreeMap, BTreeSet};

use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, Typespace};

/// A module as a client sees it.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Types that others refer to.
    pub(crate) typespace: Typespace,
    /// Names of types, the scope first, parts joined by dots.
    pub(crate) type_names: BTreeMap<AlgebraicTypeRef, String>,
    /// Public tables and views.
    pub(crate) tables: Vec<Table>,
    /// Reducers that a client may call.
    pub(crate) reducers: Vec<Function>,
    /// Procedures that a client may call.
    pub(crate) procedures: Vec<Function>,
}

/// A table, or a view, which clients read as one.
#[derive(Debug)]
pub(crate) struct Table {
    /// Name in the module's source, from which each language makes its own.
    pub(crate) source_name: String,
    /// Name on the wire.
    pub(crate) wire_name: String,
    /// The type of its rows. A table that is no module's has none: its columns say all.
    pub(crate) row: Option<AlgebraicTypeRef>,
    pub(crate) columns: Vec<Column>,
    /// Place of the column.
    pub(crate) primary_key: Option<usize>,
    /// Places of columns that are unique on their own, the primary key not among them.
    pub(crate) unique: BTreeSet<usize>,
    /// Places of columns with an index of their own, by which tables can be joined.
    pub(crate) indexed: BTreeSet<usize>,
    /// Indexes that client code has a name for.
    pub(crate) indexes: Vec<Index>,
    /// Whether its rows are seen once and never kept.
    pub(crate) event: bool,
}

/// One column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) source_name: String,
    pub(crate) wire_name: String,
    pub(crate) ty: AlgebraicType,
}

/// An index that rows can be looked up by. Of what kind it is says nothing to a client, which searches
/// its own copy of the rows.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) source_name: String,
    /// Places of its columns, in order.
    pub(crate) columns: Vec<usize>,
}

/// A reducer or a procedure.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) source_name: String,
    /// What it is called by on the wire.
    pub(crate) wire_name: String,
    /// Names in the source with types, in order.
    pub(crate) params: Vec<(String, AlgebraicType)>,
    /// What a procedure returns; nothing for a reducer.
    pub(crate) returns: AlgebraicType,
}
