//! The one table of a database that its module reads and does not own: who has which role.
//!
//! A module declares it as it declares any table, under this name and with these columns; the
//! database keeps its rows and the module cannot write them. To a server that does not know of it
//! it is an ordinary table without rows, so that a module that reads it runs there too.

use spacetimedb_sats::AlgebraicType;
use store::{Column, IndexId, IndexKind, IndexSchema, TableId, TableSchema};

/// `sys_role(identity, role)`: members by their own identities.
pub const ROLE: TableId = TableId(14);

/// The index over identities.
pub const ROLE_IDENTITY: IndexId = IndexId(14);

/// The index over roles: visibility filters join by columns that have one.
pub(crate) const ROLE_ROLE: IndexId = IndexId(67);

/// Its name.
pub(crate) const NAME: &str = "sys_role";

/// Its schema: `identity`, the primary key, and `role`, one of `owner`, `admin`, `gateway`, `writer`
/// and `reader`. Everybody may read it.
#[must_use]
pub fn role_schema() -> TableSchema {
    let column = |name: &str, ty| Column {
        name: name.to_owned(),
        source_name: name.to_owned(),
        ty,
    };
    let index = |id, place: u16, column: &str, unique| {
        let name = format!("{NAME}_{column}_idx_btree");
        IndexSchema {
            id,
            name: name.clone(),
            source_name: name,
            columns: vec![place],
            unique,
            kind: IndexKind::BTree,
        }
    };
    TableSchema {
        id: ROLE,
        name: NAME.to_owned(),
        source_name: NAME.to_owned(),
        columns: vec![
            column("identity", AlgebraicType::identity()),
            column("role", AlgebraicType::String),
        ],
        primary_key: Some(0),
        indexes: vec![
            index(ROLE_IDENTITY, 0, "identity", true),
            index(ROLE_ROLE, 1, "role", false),
        ],
        auto_inc: Vec::new(),
        public: true,
        event: false,
    }
}

/// Whether a module means this table by what it declares, and can only mean it.
pub(crate) fn is_declared_well(declared: &TableSchema) -> bool {
    let own = role_schema();
    let columns = |table: &TableSchema| -> Vec<(String, AlgebraicType)> {
        let columns = table.columns.iter();
        columns.map(|it| (it.name.clone(), it.ty.clone())).collect()
    };
    let is_there = |declared: &IndexSchema| {
        own.indexes.iter().any(|index| {
            index.columns == declared.columns
                && index.unique == declared.unique
                && index.name == declared.name
                && index.source_name == declared.source_name
        })
    };
    columns(declared) == columns(&own)
        && declared.primary_key == own.primary_key
        && declared.auto_inc.is_empty()
        && !declared.event
        && declared.source_name == NAME
        && declared.indexes.iter().all(is_there)
}
