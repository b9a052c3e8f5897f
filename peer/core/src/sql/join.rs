//! Rows of two tables that belong together: equal in one column of each.

use store::{Range, Row, State, StoreError, TableId};

use crate::values::{BadValue, Reader};

use super::error::SqlError;
use super::reach::Reach;

/// One side of a join, for rows of the other side.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) table: TableId,
    pub(super) name: String,
    pub(super) columns: Vec<spacetimedb_sats::AlgebraicType>,
    /// Place of the column that is equal.
    pub(super) column: usize,
    pub(super) reach: Reach,
}

impl Side {
    /// The cells of a row of this table.
    pub(super) fn cells<'a>(&self, row: &'a [u8]) -> Result<Vec<&'a [u8]>, BadValue> {
        let mut reader = Reader::new(row);
        self.columns.iter().map(|ty| reader.value(ty)).collect()
    }

    pub(super) fn damaged(&self, source: BadValue) -> SqlError {
        SqlError::Damaged {
            table: self.name.clone(),
            source,
        }
    }

    /// The rows of this table whose column has this value.
    pub(super) fn matches(&self, value: &[u8], state: &State) -> Result<Vec<Row>, SqlError> {
        let failed = |source: store::DataError| SqlError::Store {
            table: self.name.clone(),
            source,
        };
        let broken = |source: StoreError| failed(source.into());
        let rows = reached(self.reach, value, state).map_err(failed)?;
        rows.map(|row| row.map_err(broken)).collect()
    }
}

/// The rows whose first indexed column has this value.
pub(super) fn reached<'s>(
    reach: Reach,
    value: &[u8],
    state: &'s State,
) -> Result<impl Iterator<Item = Result<Row, StoreError>> + use<'s>, store::DataError> {
    let range = match reach.whole {
        true => Range::point(value),
        false => Range::Prefix {
            prefix: value,
            prefix_len: 1,
            start: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
        },
    };
    state.scan_index(reach.index, &range)
}
