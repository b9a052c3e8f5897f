//! A query that stays: whole rows of one table, each wanted or not by itself, or by those of another
//! table that belong to it; and of these what the caller sees. What a client subscribes to.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spacetimedb_sats::AlgebraicType;
use store::{Row, Schema, State, TableId, TableSchema};

use crate::values::BadValue;

use super::Access;
use super::aggregate::canonical;
use super::bind::Scope;
use super::error::SqlError;
use super::join::Side;
use super::parse::parse_query;
use super::plan::{Output, Plan, plan};
use super::predicate::Predicate;
use super::query::{Operator, Projection, Query};
use super::reach::reach_by;
use super::relation::Relations;
use super::run::{cells, rows};
use super::visibility::{Changes, Filters, Look, Point, Visible};

/// Names and types of the columns of a table's rows.
pub(crate) type Columns = Arc<[(String, AlgebraicType)]>;

/// Those of a table.
pub(crate) fn columns_of(table: &TableSchema) -> Columns {
    let columns = table.columns.iter();
    columns
        .map(|column| (column.name.clone(), column.ty.clone()))
        .collect()
}

/// Rows, and how many more or fewer of each there are.
pub(crate) type RowCounts = BTreeMap<Row, i64>;

/// The rows of a side that have a value in the column that is equal.
type Matches<'m> = dyn Fn(&Side, &[u8]) -> Result<Vec<Row>, SqlError> + 'm;

/// Which rows of one table are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The table whose rows these are.
    pub(crate) table: TableId,
    /// Its canonical name.
    pub(crate) name: String,
    /// Whether it asks of events.
    pub(crate) event: bool,
    /// Columns of the rows.
    pub(crate) shown: Columns,
    text: String,
    access: Access,
    plan: Plan,
    /// Types of the first table's columns: if they change, the rows that a client holds mean nothing.
    columns: Vec<AlgebraicType>,
    first: TableId,
    join: Option<Box<[Side; 2]>>,
    /// What the caller sees of the tables.
    visible: Visible,
}

impl Selection {
    /// Ties a subscription's text to its tables.
    ///
    /// # Errors
    /// [`SqlError`] names what is wrong, or is no part of a subscription.
    pub(crate) fn new(
        text: &str,
        schema: &Schema,
        access: Access,
        filters: &Filters,
    ) -> Result<Self, SqlError> {
        let query = parse_query(text)?;
        only_a_subscription(&query)?;
        let relations = Relations::find(&query, schema, None, access)?;
        let tables = relations.tables();
        let scope = Scope::new(&query.tables, &tables)?;
        let visible = Visible::of(filters, schema, access, tables.iter().copied());
        let (plan, _) = plan(&query, &scope, &access.sender, &visible)?;
        let Output::Rows(shown) = plan.output else {
            return Err(SqlError::NotSubscribable("* of two tables at once"));
        };
        let join = match plan.edges.as_slice() {
            [] => None,
            [edge, ..] => {
                let side = |at: usize| {
                    let table = tables[at];
                    let column = edge.cells[at] - plan.behind[at];
                    let known = reach_by(table, column);
                    Ok(Side {
                        table: table.id,
                        name: table.name.clone(),
                        columns: table.columns.iter().map(|it| it.ty.clone()).collect(),
                        column,
                        reach: known.ok_or_else(|| {
                            let column = &table.columns[column].name;
                            SqlError::NoIndex(format!("{}.{column}", table.name))
                        })?,
                    })
                };
                Some(Box::new([side(0)?, side(1)?]))
            }
        };
        let columns = tables[0].columns.iter().map(|column| column.ty.clone());
        Ok(Self {
            table: tables[shown].id,
            name: tables[shown].name.clone(),
            event: tables.iter().any(|table| table.event),
            shown: columns_of(tables[shown]),
            text: text.to_owned(),
            access,
            columns: columns.collect(),
            first: tables[0].id,
            plan,
            join,
            visible,
        })
    }

    /// All wanted rows.
    ///
    /// # Errors
    /// [`SqlError::TooLarge`], or the store's failure.
    pub(crate) fn rows(&self, state: &State) -> Result<Vec<Vec<u8>>, SqlError> {
        let query = parse_query(&self.text)?;
        let relations = Relations::find(&query, state.schema(), None, self.access)?;
        rows(&self.plan, &relations, state, &self.visible)
    }

    /// The tables by whose rows it is decided what is wanted, and seen.
    pub(crate) fn tables(&self) -> BTreeSet<TableId> {
        let own: BTreeSet<TableId> = self.own_tables().collect();
        let asked = own.iter().filter(|table| self.visible.asks(**table));
        let joined = asked.flat_map(|table| self.visible.joined(*table));
        own.iter().copied().chain(joined).collect()
    }

    /// The tables that the query names.
    fn own_tables(&self) -> impl Iterator<Item = TableId> {
        let joined = self.join.as_ref().map(|sides| sides[1].table);
        let joined = joined.filter(|table| *table != self.first);
        [self.first].into_iter().chain(joined)
    }

    /// Whether rows of other tables decide what the caller sees of it.
    pub(crate) fn is_filtered(&self) -> bool {
        self.own_tables().any(|table| self.visible.asks(table))
    }

    /// Whether what it asks for depends on who asks.
    pub(crate) fn is_personal(&self) -> bool {
        self.text.contains(":sender") || self.visible.is_personal()
    }

    /// Whether rows of two tables decide together.
    pub(crate) fn is_join(&self) -> bool {
        self.join.is_some()
    }

    /// How many cells of a row of one of its tables have to be seen, counted from the first, to tell
    /// whether it may matter.
    pub(crate) fn cells_len(&self, table: TableId) -> usize {
        let points = self.points(table);
        let points = points.iter().flatten().map(|(column, _)| column + 1);
        let points = points.max().unwrap_or(0);
        match self.is_join() || table != self.first {
            true => points,
            false => self.plan.predicate.cells_len().max(points),
        }
    }

    /// Whether a row is wanted, by its first [`Selection::cells_len`] cells. Of one table only.
    pub(crate) fn wants(&self, cells: &[&[u8]]) -> bool {
        self.plan.predicate.holds(cells)
    }

    /// Columns of one of its tables and their values, as BSATN: every row that matters has one of
    /// them. `None`: rows that matter have nothing in common that is known.
    pub(crate) fn points(&self, table: TableId) -> Option<Vec<Point>> {
        let mut points = Vec::new();
        if self.own_tables().any(|own| own == table) {
            match self.point(table) {
                Some((column, value)) => points.push((column, value.to_vec())),
                None if self.visible.asks(table) => {
                    points.extend(self.visible.points_of_target(table)?);
                }
                None => return None,
            }
        }
        for own in self.own_tables().filter(|own| self.visible.asks(*own)) {
            points.extend(self.visible.points_beside(table, own)?);
        }
        points.sort();
        points.dedup();
        Some(points)
    }

    /// A column of a table that it names that has this value in every row that is wanted.
    fn point(&self, table: TableId) -> Option<(usize, &[u8])> {
        let predicate = &self.plan.predicate;
        let Some([one, other]) = self.join.as_deref() else {
            return equal_to(predicate, &|column| Some(column));
        };
        if one.table == other.table {
            return None; // a table with itself: a row may matter on either side
        }
        let len = one.columns.len();
        let [first, second] = [one.column, other.column];
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
    pub(crate) fn tied_to(&self, schema: &Schema, filters: &Filters) -> Option<Self> {
        let again = Self::new(&self.text, schema, self.access, filters);
        let same = |again: &Self| {
            let sides = |of: &Self| -> Vec<AlgebraicType> {
                let sides = of.join.iter().flat_map(|sides| sides.iter());
                sides.flat_map(|side| side.columns.clone()).collect()
            };
            again.table == self.table
                && again.name == self.name
                && again.columns == self.columns
                && sides(again) == sides(self)
                && again.visible.is_like(&self.visible)
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
            _ if table == self.first => &self.columns[..],
            Some(sides) if table == sides[1].table => &sides[1].columns,
            _ => self.visible.columns(table).unwrap_or_default(),
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
        let Some(sides) = self.join.as_deref() else {
            return Ok(RowCounts::new());
        };
        let of = |side: &Side| -> Vec<(Row, i64)> {
            let changed = changed.iter().filter(|(table, ..)| *table == side.table);
            changed
                .map(|(_, row, sign)| (Row::clone(row), *sign))
                .collect()
        };
        let changed = [of(&sides[0]), of(&sides[1])];
        self.pairs(sides, changed, &|side, value| side.matches(value, state))
    }

    /// What changes of what the caller sees and wants. `touched` are changed rows of its tables, at
    /// least those that may matter; `changes` all that changed since it was told the last time.
    ///
    /// # Errors
    /// The store's failure, or that too much had to be looked at.
    pub(crate) fn seen_changes(
        &self,
        touched: &[(TableId, Row)],
        changes: &Changes,
        state: &State,
    ) -> Result<RowCounts, SqlError> {
        let looked = Cell::new(0);
        let now = Look::now(state, &looked);
        let all = |_: &Row| Ok(true);
        let Some(sides) = self.join.as_deref() else {
            let wanted = |row: &Row| self.wants_row(row);
            let seen = self
                .visible
                .changes(self.first, &wanted, touched, (changes, now))?;
            return Ok(seen.into_iter().collect());
        };
        let of = |side: &Side| {
            self.visible
                .changes(side.table, &all, touched, (changes, now))
        };
        let changed = [of(&sides[0])?, of(&sides[1])?];
        self.pairs(sides, changed, &|side, value| {
            let rows = side.matches(value, state)?.into_iter();
            let seen = rows.map(|row| Ok((self.visible.sees(side.table, &row, &now)?, row)));
            let seen = seen.filter_map(|row: Result<_, SqlError>| match row {
                Ok((is_seen, row)) => is_seen.then_some(Ok(row)),
                Err(error) => Some(Err(error)),
            });
            seen.collect()
        })
    }

    /// Whether the caller sees and wants an event.
    ///
    /// # Errors
    /// Those of [`Selection::seen_changes`].
    pub(crate) fn hears_of(&self, event: &Row, state: &State) -> Result<bool, SqlError> {
        let looked = Cell::new(0);
        let now = Look::now(state, &looked);
        Ok(!self.is_join()
            && self.wants_row(event)?
            && self.visible.sees(self.first, event, &now)?)
    }

    /// Whether a row is wanted. Of one table only.
    fn wants_row(&self, row: &Row) -> Result<bool, SqlError> {
        let len = self.plan.predicate.cells_len();
        let cells = self.cells(self.first, row, len);
        let cells = cells.map_err(|source| SqlError::Damaged {
            table: self.name.clone(),
            source,
        })?;
        Ok(self.wants(&cells))
    }

    /// What changes of pairs of rows, one of each side, when these came and went; `matches` gives the
    /// rows of a side with a value, as they are now.
    fn pairs(
        &self,
        sides: &[Side; 2],
        [of_first, of_second]: [Vec<(Row, i64)>; 2],
        matches: &Matches<'_>,
    ) -> Result<RowCounts, SqlError> {
        let mut counts = RowCounts::new();
        let [first, second] = sides;
        for (row, sign) in &of_first {
            let value = self.value(first, row)?;
            for other in matches(second, &value)? {
                self.count(sides, (row, &other), *sign, &mut counts)?;
            }
        }
        let mut by_value: BTreeMap<Vec<u8>, Vec<(&Row, i64)>> = BTreeMap::new();
        for (other, sign) in &of_second {
            let value = self.value(second, other)?;
            for row in matches(first, &value)? {
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
        // Floats that an index takes for one have to be one here too.
        Ok(canonical(&side.columns[side.column], cells[side.column]))
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
                Output::Rows(1) => other,
                _ => row,
            };
            *counts.entry(Row::clone(shown)).or_default() += sign;
        }
        Ok(())
    }
}

/// Refuses by name what is for queries that are answered once.
pub(super) fn only_a_subscription(query: &Query) -> Result<(), SqlError> {
    match for_answers_alone(query, (2, "JOIN of more than two tables")) {
        Some(clause) => Err(SqlError::NotSubscribable(clause)),
        None => Ok(()),
    }
}

/// What a query has that only one that is answered once may have. `tables`: how many the others may
/// have, and what more are called.
pub(super) fn for_answers_alone(
    query: &Query,
    tables: (usize, &'static str),
) -> Option<&'static str> {
    let Query {
        explain,
        tables: joined,
        projection,
        distinct,
        condition: _,
        group_by,
        having,
        order_by,
        limit,
        offset,
    } = query;
    let (most, more) = tables;
    let clauses = [
        (*explain, "EXPLAIN"),
        (joined.len() > most, more),
        (*distinct, "DISTINCT"),
        (!group_by.is_empty(), "GROUP BY"),
        (having.is_some(), "HAVING"),
        (!order_by.is_empty(), "ORDER BY"),
        (limit.is_some(), "LIMIT"),
        (*offset > 0, "OFFSET"),
        (
            matches!(projection, Projection::Items(_)),
            "a choice of columns, COUNT, SUM, MIN, MAX or AVG",
        ),
    ];
    let found = clauses.iter().find(|(there, _)| *there)?;
    Some(found.1)
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
