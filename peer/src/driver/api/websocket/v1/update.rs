//! Rows that came and went, as v1 has them: by table, and each only once however many of the client's
//! sets ask for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use client_messages::BsatnRowList;
use client_messages::compression::Compression;
use client_messages::v1::{DatabaseUpdate, QueryUpdate, SubscribeRows, TableUpdate};
use peer_core::{ChangedRows, RowType, TableChange, TableRows, Update};

use super::Unspeakable;
use super::form::Form;

/// What rows of a subscription do to what the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Came,
    Went,
}

impl Rows {
    /// All tables that queries ask of, those without rows too.
    pub(super) fn of_tables<F: Form>(
        self,
        compression: Compression,
        queries: &[TableRows],
    ) -> Result<DatabaseUpdate<F>, Unspeakable> {
        let mut tables = Tables::new(compression);
        for query in queries {
            let none = BsatnRowList::empty();
            let (deletes, inserts) = match self {
                Self::Came => (&none, &query.rows),
                Self::Went => (&query.rows, &none),
            };
            let table = (&query.table, query.table_id);
            tables.push(table, &query.row_type, deletes, inserts)?;
        }
        Ok(tables.finish())
    }

    /// The same of one table. `None`: there is not one, but none or several.
    pub(super) fn of_one_table<F: Form>(
        self,
        compression: Compression,
        queries: &[TableRows],
    ) -> Result<Option<SubscribeRows<F>>, Unspeakable> {
        let mut tables = self.of_tables(compression, queries)?.tables;
        let table_rows = match tables.len() {
            1 => tables.pop(),
            _ => None,
        };
        Ok(table_rows.map(|table_rows| SubscribeRows {
            table_id: table_rows.table_id,
            table_name: Arc::clone(&table_rows.table_name),
            table_rows,
        }))
    }
}

/// What changed.
pub(super) fn changed<F: Form>(
    compression: Compression,
    update: &Update,
) -> Result<DatabaseUpdate<F>, Unspeakable> {
    let mut tables = Tables::new(compression);
    let mut told = BTreeSet::new();
    for change in update.sets.iter().flat_map(|set| &set.tables) {
        let TableChange {
            table,
            table_id,
            row_type,
            rows,
        } = &**change;
        // A query that several sets have has the same change in all of them.
        if !told.insert(Arc::as_ptr(change)) {
            continue;
        }
        // Nobody who speaks v1 follows events.
        if let ChangedRows::Kept { inserts, deletes } = rows {
            tables.push((table, *table_id), row_type, deletes, inserts)?;
        }
    }
    Ok(tables.finish())
}

/// Updates by table.
struct Tables<F: Form> {
    compression: Compression,
    tables: Vec<TableUpdate<F>>,
}

impl<F: Form> Tables<F> {
    fn new(compression: Compression) -> Self {
        Self {
            compression,
            tables: Vec::new(),
        }
    }

    fn push(
        &mut self,
        (name, id): (&Arc<str>, u32),
        row_type: &RowType,
        deletes: &BsatnRowList,
        inserts: &BsatnRowList,
    ) -> Result<(), Unspeakable> {
        let rows = deletes.len() + inserts.len();
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        let update = QueryUpdate {
            deletes: F::rows(row_type, deletes)?,
            inserts: F::rows(row_type, inserts)?,
        };
        let update = F::update(self.compression, update);
        match self.tables.iter_mut().find(|it| it.table_name == *name) {
            Some(table) => {
                table.num_rows += rows;
                table.updates.push(update);
            }
            None => self.tables.push(TableUpdate {
                table_id: id,
                table_name: Arc::clone(name),
                num_rows: rows,
                updates: vec![update],
            }),
        }
        Ok(())
    }

    fn finish(self) -> DatabaseUpdate<F> {
        DatabaseUpdate {
            tables: self.tables,
        }
    }
}
