//! A query that stays: whole rows of one table, each wanted or not by itself, or by those of another
//! table that belong to it. What a client subscribes to.

use std::collections::BTreeMap;

use spacetimedb_sats::AlgebraicType;
use store::{Row, Schema, State, TableId};

use crate::values::BadValue;

use super::Access;
use super::error::SqlError;
use super::join::Side;
use super::parse::{Operator, parse};
use super::plan::{Output, Plan};
use super::predicate::Predicate;
use super::run::{Tables, cells, no_such_table, stored};

/// Rows, and how many more or fewer of each there are.
pub(crate) type RowCounts = BTreeMap<Row, i64>;

/// Which rows of one table are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The table whose rows these are.
    pub(crate) table: TableId,
    /// Its canonical name.
    pub(crate) name: String,
    text: String,
    access: Access,
    plan: Plan,
    /// Types of the first table's columns: if they change, the rows that a client holds mean nothing.
    columns: Vec<AlgebraicType>,
    first: TableId,
    join: Option<Box<[Side; 2]>>,
}

impl Selection {
    /// Ties a subscription's text to its tables.
    ///
    /// # Errors
    /// [`SqlError`] names what is wrong, or is no part of a subscription.
    pub(crate) fn new(text: &str, schema: &Schema, access: Access) -> Result<Self, SqlError> {
        let query = parse(text)?;
        let tables = Tables::find(&query, schema, access)?
            .ok_or_else(|| no_such_table(&query.table, schema, access))?;
        let (plan, _) = tables.plan(&query, access)?;
        let Output::Rows { joined } = plan.output else {
            return Err(SqlError::NotSubscribable("a choice of columns or COUNT(*)"));
        };
        if plan.limit.is_some() {
            return Err(SqlError::NotSubscribable("LIMIT"));
        }
        let join = plan.join.as_ref().and_then(|join| tables.sides(join));
        let blind = join.iter().flatten().find(|side| side.reach.is_none());
        if let Some(side) = blind {
            let column = &side.column;
            let table = [tables.first].into_iter().chain(tables.joined);
            let named = table.filter(|table| table.id == side.table);
            let name = named.flat_map(|table| table.columns.get(*column)).next();
            let name = name.map_or_else(String::new, |column| column.name.clone());
            return Err(SqlError::NoIndex(format!("{}.{name}", side.name)));
        }
        let table = match tables.joined {
            Some(other) if joined => other,
            _ => tables.first,
        };
        let columns = tables.first.columns.iter().map(|column| column.ty.clone());
        Ok(Self {
            table: table.id,
            name: table.name.clone(),
            text: text.to_owned(),
            access,
            plan,
            columns: columns.collect(),
            first: tables.first.id,
            join: join.map(Box::new),
        })
    }

    /// All wanted rows.
    ///
    /// # Errors
    /// [`SqlError::TooLarge`], or the store's failure.
    pub(crate) fn rows(&self, state: &State) -> Result<Vec<Vec<u8>>, SqlError> {
        let query = parse(&self.text)?;
        match Tables::find(&query, state.schema(), self.access)? {
            Some(tables) => stored(&self.plan, &tables, state),
            None => Ok(Vec::new()),
        }
    }

    /// The tables by whose rows it is decided what is wanted.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableId> {
        let joined = self.join.as_ref().map(|sides| sides[1].table);
        let joined = joined.filter(|table| *table != self.first);
        [self.first].into_iter().chain(joined)
    }

    /// Whether rows of two tables decide together.
    pub(crate) fn is_join(&self) -> bool {
        self.join.is_some()
    }

    /// How many cells of a row of one of its tables have to be seen, counted from the first, to tell
    /// whether it may matter.
    pub(crate) fn cells_len(&self, table: TableId) -> usize {
        let point = self.point(table).map_or(0, |(column, _)| column + 1);
        match self.is_join() {
            true => point,
            false => self.plan.predicate.cells_len().max(point),
        }
    }

    /// Whether a row is wanted, by its first [`Selection::cells_len`] cells. Of one table only.
    pub(crate) fn wants(&self, cells: &[&[u8]]) -> bool {
        self.plan.predicate.holds(cells)
    }

    /// A column of one of its tables that has this value, as BSATN, in every row that matters.
    pub(crate) fn point(&self, table: TableId) -> Option<(usize, &[u8])> {
        let predicate = &self.plan.predicate;
        let Some(join) = &self.plan.join else {
            return equal_to(predicate, &|column| Some(column));
        };
        if self.first == join.table {
            return None; // a table with itself: a row may matter on either side
        }
        let len = join.first_len;
        let [first, second] = join.columns;
        // What one side of the join has, the other has too.
        equal_to(predicate, &|column| match table == self.first {
            true if column < len => Some(column),
            true => (column == len + second).then_some(first),
            false if column >= len => Some(column - len),
            false => (column == first).then_some(second),
        })
    }

    /// The same, tied to the tables of another module, which may have other indexes. `None`: the
    /// rows that a client holds mean something else there, or nothing.
    pub(crate) fn tied_to(&self, schema: &Schema) -> Option<Self> {
        let again = Self::new(&self.text, schema, self.access);
        let same = |again: &Self| {
            let sides = |of: &Self| -> Vec<AlgebraicType> {
                let sides = of.join.iter().flat_map(|sides| sides.iter());
                sides.flat_map(|side| side.columns.clone()).collect()
            };
            again.table == self.table
                && again.name == self.name
                && again.columns == self.columns
                && sides(again) == sides(self)
        };
        again.ok().filter(same)
    }

    /// The first cells of a row of one of its tables.
    ///
    /// # Errors
    /// [`BadValue`] if the row is none of this table.
    pub(crate) fn cells<'a>(
        &self,
        table: TableId,
        row: &'a Row,
        len: usize,
    ) -> Result<Vec<&'a [u8]>, BadValue> {
        let columns = match &self.join {
            Some(sides) if table != self.first => &sides[1].columns,
            _ => &self.columns,
        };
        cells(row, columns[..len.min(columns.len())].iter())
    }

    /// What changes of a join when these rows came (1) and went (-1), and the state is what came of
    /// it: ΔL⋈R + L⋈ΔR − ΔL⋈ΔR (ORDERING 8).
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) fn joined_changes(
        &self,
        changed: &[(TableId, Row, i64)],
        state: &State,
    ) -> Result<RowCounts, SqlError> {
        let mut counts = RowCounts::new();
        let Some(sides) = self.join.as_deref() else {
            return Ok(counts);
        };
        let [first, second] = sides;
        let of = |side: &Side| -> Vec<(&Row, i64)> {
            let changed = changed.iter().filter(|(table, ..)| *table == side.table);
            changed.map(|(_, row, sign)| (row, *sign)).collect()
        };
        let (of_first, of_second) = (of(first), of(second));
        for (row, sign) in &of_first {
            let value = self.value(first, row)?;
            for other in second.matches(&value, state)? {
                self.count(sides, (row, &other), *sign, &mut counts)?;
            }
        }
        let mut by_value: BTreeMap<Vec<u8>, Vec<(&Row, i64)>> = BTreeMap::new();
        for (other, sign) in &of_second {
            let value = self.value(second, other)?;
            for row in first.matches(&value, state)? {
                self.count(sides, (&row, other), *sign, &mut counts)?;
            }
            by_value.entry(value).or_default().push((other, *sign));
        }
        for (row, sign) in &of_first {
            let value = self.value(first, row)?;
            for (other, other_sign) in by_value.get(&value).into_iter().flatten() {
                self.count(sides, (row, other), -(sign * other_sign), &mut counts)?;
            }
        }
        counts.retain(|_, count| *count != 0);
        Ok(counts)
    }

    fn value(&self, side: &Side, row: &Row) -> Result<Vec<u8>, SqlError> {
        let cells = side.cells(row).map_err(|error| side.damaged(error))?;
        Ok(cells[side.column].to_vec())
    }

    /// Counts a pair of rows, if it is wanted.
    fn count(
        &self,
        [first, second]: &[Side; 2],
        (row, other): (&Row, &Row),
        sign: i64,
        counts: &mut RowCounts,
    ) -> Result<(), SqlError> {
        let mut cells = first.cells(row).map_err(|error| first.damaged(error))?;
        cells.extend(second.cells(other).map_err(|error| second.damaged(error))?);
        if self.plan.predicate.holds(&cells) {
            let shown = match self.plan.output {
                Output::Rows { joined: true } => other,
                _ => row,
            };
            *counts.entry(Row::clone(shown)).or_default() += sign;
        }
        Ok(())
    }
}

/// A column that has one value wherever the predicate holds, of those that `find` knows.
fn equal_to<'a>(
    predicate: &'a Predicate,
    find: &impl Fn(usize) -> Option<usize>,
) -> Option<(usize, &'a [u8])> {
    match predicate {
        Predicate::All(parts) => parts.iter().find_map(|part| equal_to(part, find)),
        Predicate::Literal {
            column,
            comparison,
            operator: Operator::Equal,
            value,
        } if comparison.is_indexed_alike() => Some((find(*column)?, value)),
        _ => None,
    }
}
