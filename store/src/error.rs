//! What can go wrong, told apart by whose fault it is: [`DataError`] is the guest's or the
//! caller's (an outcome of the call), [`StoreError`] is the disk's or ours (the database stops),
//! [`SchemaError`] is the module author's (the module is refused).

use crate::page_sums::DamagedPage;
use crate::schema::{IndexId, TableId};

/// The disk failed, holds what it should not, or was asked for what cannot be. Never an outcome of
/// a call: whoever meets one stops the database and reports it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file could not be read or written.
    #[error("the database file failed: {0}. Check the disk, then start again")]
    Database(#[source] Box<redb::Error>),
    /// A file or folder could not be read or written.
    #[error("{what}: {source}. Check the disk and its permissions, then start again")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// Stored bytes do not say what they must.
    #[error(
        "damaged: {what}. Restore the data directory from a backup, or join the database again"
    )]
    Damaged {
        /// What is damaged.
        what: String,
    },
    /// The file was written by another release.
    #[error("{file} has format {found}, this release reads {known}. Use the release that wrote it")]
    Format {
        /// Which file.
        file: &'static str,
        /// The format number it carries.
        found: u32,
        /// The format number that this release writes.
        known: u32,
    },
    /// The rows on disk were written under other columns than the schema's.
    #[error("table {table} (number {}) is stored with other columns than the schema has", id.0)]
    TableChanged {
        /// Name of the table.
        table: String,
        /// Its number.
        id: TableId,
    },
    /// A new unique index does not hold for the rows on disk.
    #[error("index {index} (number {}) cannot be unique: two stored rows share a key", id.0)]
    NotUnique {
        /// Name of the index.
        index: String,
        /// Its number.
        id: IndexId,
    },
    /// A row to be written at a cut does not fit its table.
    #[error("a row written at a cut does not fit table number {}: {why}", table.0)]
    BadWrite {
        /// The table.
        table: TableId,
        /// What is wrong with it.
        why: String,
    },
    /// Entries that were being appended could not be, so it is not known what the file holds.
    #[error("entries could not be written to the log: {why}")]
    NotAppended {
        /// What happened.
        why: String,
    },
    /// A cut could not be written, so it is not known what the file holds.
    #[error("writing a cut failed earlier: open the database again")]
    Stopped,
    /// The spill file could not be written, so it is not known what it holds.
    #[error("writing the spill file failed earlier: start again, it is made anew")]
    SpillFailed,
    /// The spill file does not say what was written to it.
    #[error("the spill file is damaged: check the disk, then start again; it is made anew")]
    SpillDamaged,
    /// A cut was stored out of turn.
    #[error("cut {height} cannot follow: the log expects height {expected}")]
    CutOutOfTurn {
        /// Height of the refused cut.
        height: u64,
        /// The only height that fits.
        expected: u64,
    },
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::of_redb(error.into())
            }
        }
    )*};
}

from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);

impl StoreError {
    fn of_redb(error: redb::Error) -> Self {
        match &error {
            redb::Error::Io(io) => match damaged_page(io) {
                Some(page) => Self::damaged(page.to_string()),
                None => Self::Database(Box::new(error)),
            },
            redb::Error::Corrupted(what) => Self::damaged(format!("database file: {what}")),
            _ => Self::Database(Box::new(error)),
        }
    }

    /// A file that could not be read or written, or is damaged.
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        match damaged_page(&source) {
            Some(page) => Self::damaged(page.to_string()),
            None => Self::Io {
                what: what.into(),
                source,
            },
        }
    }

    /// Stored bytes that do not say what they must.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

fn damaged_page(error: &std::io::Error) -> Option<&DamagedPage> {
    error.get_ref()?.downcast_ref()
}

/// Why an operation on rows was refused. Every variant but [`DataError::Store`] is the caller's
/// doing and leaves the transaction as it was.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No table has this number.
    #[error("there is no table number {}", .0.0)]
    NoSuchTable(TableId),
    /// No index has this number.
    #[error("there is no index number {}", .0.0)]
    NoSuchIndex(IndexId),
    /// Bytes that are not BSATN of the type they should have.
    #[error("malformed BSATN: {0}")]
    Decode(&'static str),
    /// Another row holds this value of a unique index.
    #[error("index {index} is unique and another row has this value")]
    UniqueAlreadyExists {
        /// Name of the index, or of the table whose primary key it is.
        index: String,
    },
    /// An update needs a unique index to find its row.
    #[error("index number {} is not unique, so it cannot name the row to update", .0.0)]
    IndexNotUnique(IndexId),
    /// No row has this value of the unique index.
    #[error("no row has this value of the index")]
    NoSuchRow,
    /// An `auto_inc` column has no number left.
    #[error("column {column} has no number left to give out")]
    AutoIncOverflow {
        /// Name of the column.
        column: String,
    },
    /// The index answers points only.
    #[error("index number {} answers points only, not ranges", .0.0)]
    WrongIndexAlgo(IndexId),
    /// A row is longer than [`ROW_BYTES_MAX`](crate::limits::ROW_BYTES_MAX).
    #[error(
        "a row of {bytes} bytes is too large: at most {}",
        crate::limits::ROW_BYTES_MAX
    )]
    RowTooLarge {
        /// Bytes of the row.
        bytes: usize,
    },
    /// A scan would hold more than [`SCAN_BYTES_MAX`](crate::limits::SCAN_BYTES_MAX).
    #[error(
        "a scan of more than {} bytes: narrow its range",
        crate::limits::SCAN_BYTES_MAX
    )]
    ScanTooLarge,
    /// The call's writes hold more than
    /// [`TRANSACTION_BYTES_MAX`](crate::limits::TRANSACTION_BYTES_MAX).
    #[error(
        "a call that writes more than {} bytes: split it",
        crate::limits::TRANSACTION_BYTES_MAX
    )]
    TransactionTooLarge,
    /// The store itself failed. Must never become an outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DataError {
    /// Whether this is the store's failure and not the caller's.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

impl From<redb::StorageError> for DataError {
    fn from(error: redb::StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// Why a schema was refused. Nothing a module describes can make the store panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two tables share a number.
    #[error("two tables have the number {}", .0.0)]
    TableTwice(TableId),
    /// Two indexes share a number.
    #[error("two indexes have the number {}", .0.0)]
    IndexTwice(IndexId),
    /// Two tables share a name.
    #[error("two tables are called {0}")]
    TableNameTwice(String),
    /// Two indexes share a name.
    #[error("two indexes are called {0}")]
    IndexNameTwice(String),
    /// A number of a table or index is out of range.
    #[error("number {0} is out of range: table and index numbers lie below {max}", max = crate::limits::ID_MAX)]
    IdTooLarge(u32),
    /// More tables, columns or indexes than a schema may have.
    #[error("{what}: {count} is more than {max}")]
    TooMany {
        /// What there is too much of, and where.
        what: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A column's type refers to a type that was not resolved.
    #[error("column {column} of table {table} has an unresolved type")]
    Unresolved {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
    },
    /// A column's type is nested too deeply or too large.
    #[error("column {column} of table {table} has a type that is too large or nested too deeply")]
    TypeTooLarge {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
    },
    /// A primary key, index or `auto_inc` names a column that does not exist, or one twice.
    #[error("{what} of table {table} names column {column}, which does not fit")]
    BadColumn {
        /// What names the column.
        what: String,
        /// Name of the table.
        table: String,
        /// The column's place.
        column: u16,
    },
    /// An index without columns.
    #[error("index {0} has no columns")]
    NoColumns(String),
    /// A column with `auto_inc` that is not an integer.
    #[error("column {column} of table {table} has auto_inc but is not an integer")]
    AutoIncType {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
    },
}
