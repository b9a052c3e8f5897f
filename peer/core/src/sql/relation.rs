//! The tables that a query names: stored ones, and views that this peer makes.

use std::borrow::Cow;

use store::{Row, Schema, TableSchema};

use crate::values::list_names;

use super::error::SqlError;
use super::query::{Name, Query};
use super::{Access, VirtualTables};

/// The tables of a query, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Relations<'a>(Vec<Relation<'a>>);

/// A table.
#[derive(Debug)]
pub(super) struct Relation<'a> {
    pub(super) table: Cow<'a, TableSchema>,
    /// All its rows, if they are made and not stored.
    pub(super) made: Option<Vec<Row>>,
}

impl<'a> Relations<'a> {
    pub(super) fn find(
        query: &Query,
        schema: &'a Schema,
        extra: Option<&dyn VirtualTables>,
        access: Access,
    ) -> Result<Self, SqlError> {
        let readable = |table: &TableSchema| access.owner || table.public;
        let relations = query.tables.iter().map(|from| {
            let name = &from.table.text;
            let stored = schema.table_by_name(name).filter(|table| readable(table));
            if let Some(table) = stored {
                return Ok(Relation {
                    table: Cow::Borrowed(table),
                    made: None,
                });
            }
            let made = extra.and_then(|extra| extra.table(name));
            let made = made.filter(|(table, _)| readable(table));
            let (mut table, rows) =
                made.ok_or_else(|| no_such_table(&from.table, schema, access))?;
            // Views have no indexes and no order, whatever their schema says.
            table.indexes.clear();
            table.primary_key = None;
            Ok(Relation {
                table: Cow::Owned(table),
                made: Some(rows),
            })
        });
        relations.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn get(&self, at: usize) -> &Relation<'a> {
        &self.0[at]
    }

    /// Those that are stored.
    pub(super) fn stored(&self) -> impl Iterator<Item = &TableSchema> {
        let stored = self.0.iter().filter(|relation| relation.made.is_none());
        stored.map(|relation| &*relation.table)
    }

    pub(super) fn tables(&self) -> Vec<&TableSchema> {
        self.0.iter().map(|relation| &*relation.table).collect()
    }
}

/// Private tables are not named to those who may not read them: they learn nothing but what a
/// client can see.
pub(super) fn no_such_table(name: &Name, schema: &Schema, access: Access) -> SqlError {
    let tables = schema
        .tables()
        .iter()
        .filter(|table| access.owner || table.public);
    SqlError::NoSuchTable {
        name: name.text.clone(),
        place: name.place,
        known: list_names(tables.map(|table| table.name.as_str())),
    }
}
