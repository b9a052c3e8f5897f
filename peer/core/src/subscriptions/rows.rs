//! Rows on their way to clients: one copy, however many get it.

use std::sync::Arc;

use client_messages::BsatnRowList;

/// Rows of one table that a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The table's canonical name.
    pub table: Arc<str>,
    /// Its number.
    pub table_id: u32,
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
    /// The number that the client gave the set.
    pub set: u32,
    /// A change for each of its queries that is concerned; two may be of one table.
    pub tables: Vec<Arc<TableChange>>,
}

/// What changed for one client: a state that was visible, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Sets that are concerned, by number.
    pub sets: Vec<SetChange>,
}
