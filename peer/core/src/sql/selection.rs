//! A query that stays: whole rows of one table, wanted or not one by one. What a client subscribes
//! to.

use spacetimedb_sats::AlgebraicType;
use store::{Row, Schema, State, TableId, TableSchema};

use crate::values::BadValue;

use super::Access;
use super::error::SqlError;
use super::parse::{Operator, parse};
use super::plan::{Output, Plan, plan};
use super::predicate::Predicate;
use super::run::{cells, no_such_table, stored};

/// Which rows of one table are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The table.
    pub(crate) table: TableId,
    /// Its canonical name.
    pub(crate) name: String,
    plan: Plan,
    /// Types of the table's columns: if they change, the rows that a client holds mean nothing.
    columns: Vec<AlgebraicType>,
}

impl Selection {
    /// Ties a subscription's text to its table.
    ///
    /// # Errors
    /// [`SqlError`] names what is wrong, or is no part of a subscription.
    pub(crate) fn new(text: &str, schema: &Schema, access: Access) -> Result<Self, SqlError> {
        let query = parse(text)?;
        let table = schema
            .table_by_name(&query.table.text)
            .filter(|table| access.owner || table.public)
            .ok_or_else(|| no_such_table(&query, schema, access))?;
        let (plan, _) = plan(&query, table, &access.sender)?;
        if plan.output != Output::Rows {
            return Err(SqlError::NotSubscribable("columns or COUNT(*)"));
        }
        if plan.limit.is_some() {
            return Err(SqlError::NotSubscribable("LIMIT"));
        }
        let columns = table.columns.iter().map(|column| column.ty.clone());
        Ok(Self {
            table: table.id,
            name: table.name.clone(),
            plan,
            columns: columns.collect(),
        })
    }

    /// All wanted rows.
    ///
    /// # Errors
    /// [`SqlError::TooLarge`], or the store's failure.
    pub(crate) fn rows(&self, state: &State) -> Result<Vec<Vec<u8>>, SqlError> {
        let schema = state.schema();
        let table = schema.tables().iter().find(|table| table.id == self.table);
        table.map_or(Ok(Vec::new()), |table| stored(&self.plan, table, state))
    }

    /// How many cells of a row it has to see, counted from the first.
    pub(crate) fn cells_len(&self) -> usize {
        let point = self.point().map_or(0, |(column, _)| column + 1);
        self.plan.predicate.cells_len().max(point)
    }

    /// Whether a row is wanted, by its first [`Selection::cells_len`] cells.
    pub(crate) fn wants(&self, cells: &[&[u8]]) -> bool {
        self.plan.predicate.holds(cells)
    }

    /// A column that has this value, as BSATN, in every wanted row.
    pub(crate) fn point(&self) -> Option<(usize, &[u8])> {
        equal_to(&self.plan.predicate)
    }

    /// Whether the table is still the one that this was tied to.
    pub(crate) fn fits(&self, schema: &Schema) -> bool {
        let table = schema.tables().iter().find(|table| table.id == self.table);
        let same = |table: &TableSchema| {
            let columns = table.columns.iter().map(|column| &column.ty);
            table.name == self.name && columns.eq(&self.columns)
        };
        table.is_some_and(same)
    }

    /// The first cells of a row of this table.
    ///
    /// # Errors
    /// [`BadValue`] if the row is none of this table.
    pub(crate) fn cells<'a>(&self, row: &'a Row, len: usize) -> Result<Vec<&'a [u8]>, BadValue> {
        cells(row, self.columns[..len.min(self.columns.len())].iter())
    }
}

fn equal_to(predicate: &Predicate) -> Option<(usize, &[u8])> {
    match predicate {
        Predicate::All(parts) => parts.iter().find_map(equal_to),
        Predicate::Literal {
            column,
            comparison,
            operator: Operator::Equal,
            value,
        } if comparison.is_indexed_alike() => Some((*column, value)),
        _ => None,
    }
}
