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
    let index = format!("{NAME}_identity_idx_btree");
    TableSchema {
        id: ROLE,
        name: NAME.to_owned(),
        source_name: NAME.to_owned(),
        columns: vec![
            column("identity", AlgebraicType::identity()),
            column("role", AlgebraicType::String),
        ],
        primary_key: Some(0),
        indexes: vec![IndexSchema {
            id: ROLE_IDENTITY,
            name: index.clone(),
            source_name: index,
            columns: vec![0],
            unique: true,
            kind: IndexKind::BTree,
        }],
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
    let found_by = |name: &str| own.indexes.iter().any(|index| index.name == *name);
    columns(declared) == columns(&own)
        && declared.primary_key == own.primary_key
        && declared.auto_inc.is_empty()
        && !declared.event
        && declared.source_name == NAME
        && declared.indexes.iter().all(|index| {
            index.columns == [0] && found_by(&index.name) && found_by(&index.source_name)
        })
}
