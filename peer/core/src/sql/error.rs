//! Why a query is not answered.

use std::fmt;

use sync_protocol::limits::ARGUMENTS_BYTES_MAX;

use crate::values::BadValue;

use super::{
    ANSWER_BYTES_MAX, ANSWER_ROWS_MAX, FILTER_TABLES_MAX, GATHERED_BYTES_MAX, GROUPS_MAX,
    JOINED_ROWS_MAX, SQL_BYTES_MAX, SQL_TOKENS_MAX, TABLES_MAX,
};

/// What can be asked, for errors that refuse the rest.
const SUPPORTED: &str = "Supported is SELECT of *, columns, COUNT, SUM, MIN, MAX, AVG FROM tables, joined with JOIN … ON a.x = b.y, \
                         with WHERE (=, <>, !=, <, >, <=, >=, AND, OR), GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET, DISTINCT, \
                         and EXPLAIN before it; for the owner also INSERT … VALUES, UPDATE … SET and DELETE";

/// Where in the text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a query is not answered. All but the last two are the caller's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    /// The text is too long.
    #[error(
        "the query is over {SQL_BYTES_MAX} bytes or {SQL_TOKENS_MAX} words and signs. Split it"
    )]
    TooLong,
    /// Not SQL.
    #[error("this is not SQL that can be read: {0}")]
    Syntax(String),
    /// Not exactly one statement.
    #[error("expected one statement, got {0}")]
    Statements(usize),
    /// SQL, but not built.
    #[error("{what} is not built yet{}. {SUPPORTED}", at(.place))]
    NotBuilt {
        /// The feature by name.
        what: &'static str,
        /// Where it was met.
        place: Option<Place>,
    },
    /// A query, but none whose rows can be followed.
    #[error(
        "a subscription asks for whole rows: SELECT * FROM one table, or t.* FROM two with JOIN … ON, \
         with WHERE; {0} is for queries"
    )]
    NotSubscribable(&'static str),
    /// A query, but none that says which rows are seen.
    #[error(
        "a visibility filter asks for whole rows of one table: SELECT * FROM it, or t.* FROM up to \
         {FILTER_TABLES_MAX} tables with JOIN, with WHERE; {0} is for queries"
    )]
    NotAFilter(&'static str),
    /// A statement of another kind.
    #[error("{0} is not built. {SUPPORTED}")]
    NotBuiltStatement(String),
    /// A statement that would change rows, where a query is asked for.
    #[error("this changes rows ({0}), and only queries are answered here")]
    NotAQuery(Place),
    /// Rows of this table are not written by SQL.
    #[error("table `{table}` ({place}) is not written by SQL: it is {why}")]
    NotWritable {
        /// The table.
        table: String,
        /// Why not.
        why: &'static str,
        /// Where.
        place: Place,
    },
    /// Not as many values as columns.
    #[error("row {row} has {values} values for {columns} columns (table at {place})")]
    Values {
        /// Which row, from 1.
        row: usize,
        /// Its values.
        values: usize,
        /// The columns.
        columns: usize,
        /// Where the table is named.
        place: Place,
    },
    /// A column without a value.
    #[error(
        "column `{column}` has no value, and only columns that number themselves may be left out \
         (table at {place})"
    )]
    NoValue {
        /// The column.
        column: String,
        /// Where the table is named.
        place: Place,
    },
    /// A column that is named twice.
    #[error("column `{column}` is named twice (again at {place})")]
    Twice {
        /// The column.
        column: String,
        /// Where.
        place: Place,
    },
    /// A statement that writes too much.
    #[error("the statement's rows take over {ARGUMENTS_BYTES_MAX} bytes. Split it")]
    WriteTooLarge,
    /// No such table, or none that the caller may read.
    #[error("there is no table `{name}` that you may read ({place}). There is {known}")]
    NoSuchTable {
        /// As written.
        name: String,
        /// Where.
        place: Place,
        /// Those that the caller may read.
        known: String,
    },
    /// A view of the module gave no rows.
    #[error("the view `{name}` failed: {why}")]
    View {
        /// As written.
        name: String,
        /// The module's text, or what it did wrong.
        why: String,
    },
    /// No such column.
    #[error("table `{table}` has no column `{name}` ({place}). It has {known}")]
    NoSuchColumn {
        /// As written.
        name: String,
        /// The table's canonical name.
        table: String,
        /// Where.
        place: Place,
        /// Its columns.
        known: String,
    },
    /// Several tables have such a column.
    #[error(
        "more than one table has a column `{name}` ({place}): write the table's name and a dot before it"
    )]
    Ambiguous {
        /// As written.
        name: String,
        /// Where.
        place: Place,
    },
    /// Columns that do not tie the table to those before.
    #[error(
        "ON has to compare a column of the joined table with one of a table in front of it ({0})"
    )]
    NotJoined(Place),
    /// Two tables of one name.
    #[error("two tables are called `{name}` ({place}): give one of them another name with AS")]
    SameName {
        /// The name.
        name: String,
        /// Where the second one is.
        place: Place,
    },
    /// Too many tables.
    #[error("a query joins {TABLES_MAX} tables at most ({0}). Split it")]
    TooManyTables(Place),
    /// A column beside groups.
    #[error(
        "column `{name}` ({place}) differs within a group: name it in GROUP BY, or take COUNT, SUM, MIN, \
         MAX or AVG of it"
    )]
    NotGrouped {
        /// As written.
        name: String,
        /// Where.
        place: Place,
    },
    /// Sorted by what DISTINCT leaves out.
    #[error("with DISTINCT, rows are sorted by what is selected, and `{name}` ({place}) is not")]
    NotShown {
        /// As written.
        name: String,
        /// Where.
        place: Place,
    },
    /// A sum or average of something else.
    #[error(
        "{function} ({place}) is of integers up to 128 bits and of floats, and column `{column}` is of \
         type {ty}. COUNT, MIN and MAX are of any column"
    )]
    NotANumber {
        /// The aggregate.
        function: &'static str,
        /// The column.
        column: String,
        /// Its type.
        ty: String,
        /// Where the aggregate is.
        place: Place,
    },
    /// A sum beyond its type.
    #[error(
        "{what} ({place}) is beyond 128 bits. Narrow it with WHERE, or take AVG, which is a float"
    )]
    Overflow {
        /// The sum.
        what: String,
        /// Where it is.
        place: Place,
    },
    /// Two tables that cannot be followed together.
    #[error(
        "subscriptions and visibility filters join tables only by columns that both have an index; `{0}` has none"
    )]
    NoIndex(String),
    /// A column of a type that has no order.
    #[error("column `{column}` ({place}) is of type {ty}, which cannot be compared")]
    NotComparable {
        /// As written.
        column: String,
        /// Its type.
        ty: String,
        /// Where.
        place: Place,
    },
    /// A literal that is no value of the column's type.
    #[error("column `{column}` is of type {ty}, and {literal} ({place}) is no {ty}")]
    Literal {
        /// As written.
        column: String,
        /// Its type.
        ty: String,
        /// What was compared with it.
        literal: String,
        /// Where.
        place: Place,
    },
    /// Two columns of different types.
    #[error("columns `{left}` ({left_ty}) and `{right}` ({right_ty}, {place}) cannot be compared")]
    Columns {
        /// As written.
        left: String,
        /// Its type.
        left_ty: String,
        /// As written.
        right: String,
        /// Its type.
        right_ty: String,
        /// Where the second one is.
        place: Place,
    },
    /// A comparison without a column.
    #[error("expected a column on one side of the comparison at {0}")]
    NoColumn(Place),
    /// The answer grew too large.
    #[error(
        "the answer is over {ANSWER_ROWS_MAX} rows or {ANSWER_BYTES_MAX} bytes. \
         Ask for less with WHERE or LIMIT"
    )]
    TooLarge,
    /// Too many groups.
    #[error(
        "there are over {GROUPS_MAX} groups, or they take over {ANSWER_BYTES_MAX} bytes. \
         Narrow them with WHERE, or group by less"
    )]
    TooManyGroups,
    /// A join without an index over too many rows.
    #[error(
        "`{table}` is joined by `{column}`, which has no index, and its rows take over \
         {GATHERED_BYTES_MAX} bytes. Give the column an index, or narrow the table with WHERE"
    )]
    JoinTooLarge {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A join over too many rows.
    #[error(
        "the join looks at over {JOINED_ROWS_MAX} rows. Narrow a table with WHERE, or join by \
         columns that are more different; EXPLAIN shows how they are read"
    )]
    JoinTooLong,
    /// A stored row does not fit its table. Ours, or the disk's.
    #[error("a row of table `{table}` is damaged: {source}")]
    Damaged {
        /// The table.
        table: String,
        /// What is wrong with it.
        #[source]
        source: BadValue,
    },
    /// The store failed. Ours, or the disk's.
    #[error("the rows of table `{table}` could not be read: {source}")]
    Store {
        /// The table.
        table: String,
        /// What failed.
        #[source]
        source: store::DataError,
    },
}

impl SqlError {
    /// Whether the question was fine and we could not answer it.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Store { .. })
    }

    pub(super) const fn not_built(what: &'static str, place: Option<Place>) -> Self {
        Self::NotBuilt { what, place }
    }
}

fn at(place: &Option<Place>) -> String {
    place.map_or(String::new(), |place| format!(" ({place})"))
}
