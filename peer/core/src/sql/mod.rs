//! Answers queries: one `SELECT` over tables that are joined, by an index where the condition or the
//! order allows it.
//!
//! Text is taken apart ([`parse`]), tied to the tables' columns ([`bind`]), planned ([`mod@plan`],
//! [`mod@steps`], [`reach`]) and run over the visible rows ([`run`](mod@run)), which are grouped ([`mod@group`]) and
//! collected ([`collect`]). Everything is bounded: the text before it is parsed, because dropping a
//! deep tree of the parser's would overflow the stack; groups and the answer while they grow.
//!
//! Knows no network and no JSON: rows come out as BSATN, `values` writes them for people.

mod aggregate;
mod bind;
mod clauses;
mod collect;
mod compare;
mod error;
mod explain;
mod group;
mod join;
mod literal;
mod parse;
mod plan;
mod predicate;
mod query;
mod reach;
mod refuse;
mod relation;
mod run;
mod selection;
mod steps;
mod sum;
#[cfg(test)]
mod tests;
mod view;
mod visibility;
mod write;

use spacetimedb_sats::AlgebraicType;
use store::{Row, State, TableSchema};

pub(crate) use error::SqlError;
pub(crate) use run::run;
pub(crate) use selection::{Columns, RowCounts, Selection, columns_of};
pub(crate) use view::{followed_view, tables_named};
use visibility::seen_count;
pub(crate) use visibility::{Changes, FILTER_TABLES_MAX, Filters};
pub(crate) use write::apply::{Unfit, apply};
pub(crate) use write::compile;

/// Bytes of a query's text. The parser builds a tree as deep as the text is long, and dropping
/// 512 KiB of one overflows a thread's stack.
pub(crate) const SQL_BYTES_MAX: usize = 32 << 10;

/// Tokens of a query's text: bounds the depth of the parser's tree, whatever the tokens are.
pub(crate) const SQL_TOKENS_MAX: usize = 4_096;

/// Tables of a query.
pub(crate) const TABLES_MAX: usize = 8;

/// Rows of a query that are looked at for rows of other tables. A join over columns that are nearly
/// all equal multiplies: eight small tables would keep a peer busy for days.
pub(crate) const JOINED_ROWS_MAX: u64 = 5_000_000;

/// Groups of a query.
pub(crate) const GROUPS_MAX: usize = 100_000;

/// Bytes of the rows of a table that is joined without an index, with what it takes to find them.
pub(crate) const GATHERED_BYTES_MAX: usize = 64 << 20;

/// Rows of an answer.
pub(crate) const ANSWER_ROWS_MAX: usize = 1_000_000;

/// Bytes of an answer, with [`store::limits::ROW_OVERHEAD_BYTES`] for each row.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

// A single row always fits into an answer.
const _: () =
    assert!(store::limits::ROW_BYTES_MAX + store::limits::ROW_OVERHEAD_BYTES < ANSWER_BYTES_MAX);

/// On whose behalf a query runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Whether the caller owns the database, and so may read private tables.
    pub(crate) owner: bool,
    /// The caller's identity as BSATN, little-endian: what `:sender` stands for.
    pub(crate) sender: [u8; 32],
}

/// Tables that are not state: views of this peer, made when they are asked for.
pub(crate) trait VirtualTables {
    /// The table with this name and all its rows.
    fn table(&self, name: &str) -> Option<(TableSchema, Vec<Row>)>;

    /// The table with this name, without its rows.
    fn schema(&self, name: &str) -> Option<TableSchema> {
        self.table(name).map(|(schema, _)| schema)
    }
}

/// What is read, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) state: &'a State,
    pub(crate) views: &'a dyn VirtualTables,
    pub(crate) access: Access,
    /// What the module shows to whom.
    pub(crate) filters: &'a Filters,
}

impl Reading<'_> {
    /// Answers a query.
    ///
    /// # Errors
    /// Those of [`run`](run()).
    pub(crate) fn ask(&self, text: &str) -> Result<SqlResult, SqlError> {
        run(text, self)
    }

    /// How many rows of a table are seen. Costs nothing where no filter says which.
    ///
    /// # Errors
    /// The store's failure, or that too much had to be looked at.
    pub(crate) fn seen_count(&self, table: &TableSchema) -> Result<u64, SqlError> {
        seen_count(self, table)
    }
}

/// What a query answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlResult {
    /// Names and types: canonical names for `*`, else as written.
    pub(crate) columns: Vec<(String, AlgebraicType)>,
    /// BSATN of each row. Those that are equal in what they are sorted by are in the order in which they
    /// were found: that of the index that answered, else of their keys.
    pub(crate) rows: Vec<Vec<u8>>,
}
