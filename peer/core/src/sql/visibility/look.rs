//! The rows that filters are asked of: as they are now, or as they were before some changes.

use std::cell::Cell;

use store::{Row, State};

use super::super::JOINED_ROWS_MAX;
use super::super::aggregate::canonical;
use super::super::error::SqlError;
use super::super::join::reached;
use super::super::steps::Way;
use super::changes::Changes;
use super::rule::RuleTable;

/// Rows of one table, one after the other.
pub(super) type Found<'f> = Box<dyn Iterator<Item = Result<Row, SqlError>> + 'f>;

/// A look at the rows.
#[derive(Clone, Copy)]
pub(in super::super) struct Look<'a> {
    state: &'a State,
    /// What has to be thought away.
    without: Option<&'a Changes>,
    /// Rows that were looked at.
    looked: &'a Cell<u64>,
}

impl<'a> Look<'a> {
    /// At the rows as they are. `looked` counts them.
    pub(in super::super) const fn now(state: &'a State, looked: &'a Cell<u64>) -> Self {
        Self {
            state,
            without: None,
            looked,
        }
    }

    /// At the rows as they were before these changes, which are all that happened to the tables that
    /// are looked at.
    pub(in super::super) const fn before(self, changes: &'a Changes) -> Self {
        Self {
            without: Some(changes),
            ..self
        }
    }

    /// One more row.
    pub(super) fn count(&self) -> Result<(), SqlError> {
        self.looked.set(self.looked.get() + 1);
        match self.looked.get() > JOINED_ROWS_MAX {
            true => Err(SqlError::JoinTooLong),
            false => Ok(()),
        }
    }

    /// The rows of a step, for the cells of the steps before it.
    pub(super) fn found<'f>(
        &'f self,
        table: &'f RuleTable,
        way: &Way,
        cells: &[&[u8]],
    ) -> Result<Found<'f>, SqlError> {
        let failed = |source| table.failed(source);
        let (now, value): (Found<'f>, _) = match way {
            Way::Alone(source) => {
                let rows: Box<dyn Iterator<Item = _>> = match source.range() {
                    None => Box::new(self.state.rows(table.id).map_err(failed)?),
                    Some((index, range)) => {
                        Box::new(self.state.scan_index(index, &range).map_err(failed)?)
                    }
                };
                let rows = rows.map(move |row| row.map_err(|error| table.failed(error.into())));
                (Box::new(rows), None)
            }
            Way::Reached {
                from,
                column,
                reach,
            } => {
                let rows = reached(*reach, cells[*from], self.state).map_err(failed)?;
                let rows = rows.map(move |row| row.map_err(|error| table.failed(error.into())));
                // Floats that an index takes for one are one here too.
                let value = canonical(&table.columns[*column], cells[*from]);
                (Box::new(rows), Some((*column, value)))
            }
            Way::Gathered { .. } => unreachable!("filters join by columns that have an index"),
        };
        let Some(changes) = self.without else {
            return Ok(now);
        };
        let stayed = now.filter(move |row| {
            let row = row.as_ref();
            row.map_or(true, |row| !changes.came(table.id, row))
        });
        let went = match value {
            Some((column, value)) => changes.went_with(table, column, &value)?,
            None => changes.went_all(table.id),
        };
        Ok(Box::new(stayed.chain(went.into_iter().map(Ok))))
    }
}
