//! Rows that a statement of SQL writes, in a form that needs no SQL to be run: names are numbers,
//! literals are values. What a peer runs must not depend on how a parser reads a text.

use serde::{Deserialize, Serialize};

use crate::codec;

/// Rows of one statement.
pub const WRITE_ROWS_MAX: usize = 10_000;

/// Terms of a condition.
pub const WRITE_TERMS_MAX: usize = 4_096;

/// Columns that are set.
pub const WRITE_COLUMNS_MAX: usize = 1_024;

/// One `INSERT`, `UPDATE` or `DELETE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowWrite {
    /// Number of the table.
    pub table: u32,
    /// Hash of its columns' types: under other columns it means something else, and is refused.
    pub columns: [u8; 8],
    /// What is done to its rows.
    pub change: WriteChange,
}

/// What is done to the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteChange {
    /// Whole rows come, as BSATN.
    Insert(#[serde(deserialize_with = "codec::at_most::<_, _, WRITE_ROWS_MAX>")] Vec<Vec<u8>>),
    /// Rows that fulfil a condition get other values.
    Update {
        /// Columns by place, ascending, each with BSATN of its new value.
        #[serde(deserialize_with = "codec::at_most::<_, _, WRITE_COLUMNS_MAX>")]
        set: Vec<(u16, Vec<u8>)>,
        /// Which rows.
        condition: WriteCondition,
    },
    /// Rows that fulfil a condition go.
    Delete(WriteCondition),
}

/// A condition as a list: the parts of an `All` or `Any` stand in front of it. A tree would let
/// whoever writes it choose how deep a peer recurses. The last one says whether a row is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteCondition(
    /// The terms.
    #[serde(deserialize_with = "codec::at_most::<_, _, WRITE_TERMS_MAX>")]
    pub Vec<WriteTerm>,
);

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteTerm {
    /// For every row.
    Constant(bool),
    /// A column compared with a value, BSATN of the column's type.
    Value(u16, WriteOperator, Vec<u8>),
    /// A column compared with another one of the same type.
    Columns(u16, WriteOperator, u16),
    /// All of so many terms in front of it.
    All(u16),
    /// One at least of so many terms in front of it.
    Any(u16),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOperator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}
