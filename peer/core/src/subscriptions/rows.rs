//! Rows on their way to clients: one copy, however many get it.

use std::sync::Arc;

use client_messages::BsatnRowList;

use crate::request::SetId;
use crate::sql::Columns;
use crate::values::row_json_named;

/// What the rows of a table are made of. Clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowType(pub(crate) Columns);

impl RowType {
    /// A row as an object of SATS-JSON, with the names of fields and variants: how clients of
    /// `v1.json.spacetimedb` get it. `None` if the bytes are no such row, or its text would have
    /// over 32 MiB.
    pub fn json(&self, row: &[u8]) -> Option<String> {
        row_json_named(&self.0, row).ok()
    }
}

/// Rows of one table that a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The table's canonical name.
    pub table: Arc<str>,
    /// Its number.
    pub table_id: u32,
    /// What its rows are made of.
    pub row_type: RowType,
    /// The rows.
    pub rows: BsatnRowList,
}

/// How what a query asks for changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table's canonical name.
    pub table: Arc<str>,
    /// Its number.
    pub table_id: u32,
    /// What its rows are made of.
    pub row_type: RowType,
    /// Its rows.
    pub rows: ChangedRows,
}

/// Rows that came and went, or that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedRows {
    /// Of a table that keeps its rows.
    Kept {
        /// Rows that are there now. One that changed is here, and as it was in `deletes`.
        inserts: BsatnRowList,
        /// Rows that are there no more.
        deletes: BsatnRowList,
    },
    /// Of a table of events.
    Events(BsatnRowList),
}

/// Changes of one set of queries of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// What the client calls the set.
    pub set: SetId,
    /// A change for each of its queries that is concerned; two may be of one table. A query that
    /// several sets have has the same change in all of them, which is the same allocation.
    pub tables: Vec<Arc<TableChange>>,
}

/// What changed for one client: a state that was visible, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Sets that are concerned, by number.
    pub sets: Vec<SetChange>,
}
