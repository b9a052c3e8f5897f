//! `st_table`, `st_column`, `st_index`: what a query can ask for. Private tables are for the owner.

use store::{IndexKind, TableSchema};

use super::LocalViews;
use crate::system_tables::{Fields, is_system};
use crate::values::type_name;

impl LocalViews<'_> {
    fn readable(&self) -> impl Iterator<Item = &TableSchema> {
        let schema = self.replica.state().ok().map(|state| state.schema());
        let tables = schema.into_iter().flat_map(|schema| schema.tables());
        tables.filter(|table| self.access.owner || table.public)
    }

    pub(super) fn tables(&self) -> Vec<Vec<u8>> {
        let rows = self.readable().map(|table| {
            let kind = match is_system(table.id) {
                true => "system",
                false => "user",
            };
            let access = match table.public {
                true => "public",
                false => "private",
            };
            let state = self.replica.state().ok();
            // Of what the reader sees: the number of the others is none of its business.
            let count = state.and_then(|state| self.reading(state).seen_count(table).ok());
            Fields::default()
                .fixed(&table.id.0.to_le_bytes())
                .bytes(table.name.as_bytes())
                .bytes(kind.as_bytes())
                .bytes(access.as_bytes())
                .fixed(&count.unwrap_or_default().to_le_bytes())
                .0
        });
        rows.collect()
    }

    pub(super) fn columns(&self) -> Vec<Vec<u8>> {
        let rows = self.readable().flat_map(|table| {
            table.columns.iter().zip(0u16..).map(|(column, place)| {
                Fields::default()
                    .fixed(&table.id.0.to_le_bytes())
                    .fixed(&place.to_le_bytes())
                    .bytes(column.name.as_bytes())
                    .bytes(type_name(&column.ty).as_bytes())
                    .0
            })
        });
        rows.collect()
    }

    pub(super) fn indexes(&self) -> Vec<Vec<u8>> {
        let rows = self.readable().flat_map(|table| {
            table.indexes.iter().map(|index| {
                let algorithm = match index.kind {
                    IndexKind::BTree => "btree",
                    IndexKind::Hash => "hash",
                    IndexKind::Direct => "direct",
                };
                let named = index.columns.iter().map(|place| {
                    let column = table.columns.get(usize::from(*place));
                    column.map_or("", |column| column.name.as_str())
                });
                let named: Vec<&str> = named.collect();
                Fields::default()
                    .fixed(&index.id.0.to_le_bytes())
                    .fixed(&table.id.0.to_le_bytes())
                    .bytes(index.name.as_bytes())
                    .bytes(algorithm.as_bytes())
                    .bytes(named.join(", ").as_bytes())
                    .u8(u8::from(index.unique))
                    .0
            })
        });
        rows.collect()
    }
}
