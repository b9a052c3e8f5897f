//! How a query is answered: which tables in which order, what is kept, grouped, sorted and shown.
//! Decides only; reads no rows.

use std::collections::BTreeSet;

use spacetimedb_sats::AlgebraicType;
use store::TableSchema;

use super::bind::{Cell, Scope, comparison, predicate, unlike};
use super::error::SqlError;
use super::group::{Grouping, group};
use super::predicate::Predicate;
use super::query::{Expression, Operator, Projection, Query};
use super::steps::{Edge, Step, Wishes, steps};
use super::visibility::Visible;

/// How a query is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The tables, in the order in which they are read.
    pub(super) steps: Vec<Step>,
    /// Where the cells of each table begin, in the order in which they were written.
    pub(super) behind: Vec<usize>,
    /// How many cells all tables have.
    pub(super) cells_len: usize,
    /// How each table but the first belongs to one in front of it, in the order written.
    pub(super) edges: Vec<Edge>,
    /// What has to hold of the cells of all tables. The steps ask it, each as much as it can.
    pub(super) predicate: Predicate,
    pub(super) grouping: Option<Grouping>,
    /// By what rows, or groups, are sorted.
    pub(super) order: Vec<OrderBy>,
    /// Whether the steps find rows in that order.
    pub(super) in_order: bool,
    pub(super) distinct: bool,
    pub(super) output: Output,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
    /// Of each table, in the order written, whether its rows have to be asked for one by one whether
    /// the caller sees them.
    pub(super) asked: Vec<bool>,
}

/// A cell by which rows are sorted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderBy {
    pub(super) cell: Cell,
    pub(super) descending: bool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Whole rows of one table, by its place among those written.
    Rows(usize),
    /// These cells.
    Cells(Vec<Cell>),
}

/// Names and types of an answer's columns.
pub(super) type Columns = Vec<(String, AlgebraicType)>;

/// Plans a query over its tables.
///
/// # Errors
/// [`SqlError`] names what does not fit the tables.
pub(super) fn plan(
    query: &Query,
    scope: &Scope<'_>,
    sender: &[u8; 32],
    visible: &Visible,
) -> Result<(Plan, Columns), SqlError> {
    let edges = edges(query, scope)?;
    let condition = query.condition.as_ref();
    let condition = condition.map(|it| predicate(it, sender, &mut |value| scope.of_row(value)));
    let predicate = with_floats(condition.transpose()?, &edges);
    let predicate = with_visible(predicate, scope, visible);
    let mut grouping = group(query, scope)?;
    let (output, columns) = output(query, scope, &mut grouping)?;
    let mut order = order(query, scope, &mut grouping, &columns, &output)?;
    if let Some((grouping, having)) = grouping.as_mut().zip(query.having.as_ref()) {
        grouping.having = self::predicate(having, sender, &mut |value| {
            grouping.columns.find(value, scope, &columns, &output)
        })?;
    }
    // A column with one value sorts nothing.
    if grouping.is_none() {
        let fixed = fixed(&predicate);
        order.retain(|by| !fixed.contains(&by.cell.at));
    }
    let wishes = Wishes {
        order: match grouping.is_none() && order.iter().all(|by| !by.descending) {
            true => Some(order.iter().map(|by| by.cell.at).collect()),
            false => None,
        },
        few: query.limit.is_some(),
        shown: shown(scope, &grouping, &order, &output),
    };
    let (steps, in_order) = steps(scope, &edges, &predicate, &wishes);
    let cells_len = scope.cells().count();
    let plan = Plan {
        steps,
        behind: scope.entries().iter().map(|entry| entry.behind).collect(),
        cells_len,
        edges,
        predicate,
        grouping,
        order,
        in_order,
        distinct: query.distinct,
        output,
        limit: query.limit,
        offset: query.offset,
        asked: scope
            .entries()
            .iter()
            .map(|entry| visible.asks(entry.table.id))
            .collect(),
    };
    Ok((plan, columns))
}

/// With what filters that look at one table say of it.
fn with_visible(predicate: Predicate, scope: &Scope<'_>, visible: &Visible) -> Predicate {
    let shown = scope.entries().iter().filter_map(|entry| {
        let condition = visible.condition(entry.table.id)?;
        Some(condition.moved(entry.behind))
    });
    let mut parts: Vec<Predicate> = shown.collect();
    match parts.is_empty() {
        true => predicate,
        false => {
            parts.push(predicate);
            Predicate::All(parts)
        }
    }
}

/// Which columns belong together.
pub(super) fn edges(query: &Query, scope: &Scope<'_>) -> Result<Vec<Edge>, SqlError> {
    let joined = query.tables.iter().enumerate();
    let joined = joined.filter_map(|(at, from)| Some((at, from.on.as_ref()?)));
    let edge = |(at, [one, two]): (usize, &[super::query::Name; 2])| {
        let found = [scope.column(one)?, scope.column(two)?];
        let tables = [scope.table_of(found[0].at), scope.table_of(found[1].at)];
        let [first, second] = match tables {
            [other, own] if other < at && own == at => [0, 1],
            [own, other] if other < at && own == at => [1, 0],
            _ => return Err(SqlError::NotJoined(one.place)),
        };
        if found[0].ty != found[1].ty {
            return Err(unlike(&found[0], &found[1], two.place));
        }
        let comparison = comparison(&found[0], one.place)?;
        Ok(Edge {
            cells: [found[first].at, found[second].at],
            tables: [tables[first], tables[second]],
            comparison,
        })
    };
    joined.map(edge).collect()
}

/// Indexes take all NaNs for one, and equality takes none for another: floats that an index brings
/// together are compared.
pub(super) fn with_floats(condition: Option<Predicate>, edges: &[Edge]) -> Predicate {
    let floats = edges.iter();
    let floats = floats.filter(|edge| !edge.comparison.is_indexed_alike());
    let mut parts: Vec<_> = floats
        .map(|edge| Predicate::Columns {
            left: edge.cells[0],
            comparison: edge.comparison,
            operator: Operator::Equal,
            right: edge.cells[1],
        })
        .collect();
    match condition {
        Some(condition) if parts.is_empty() => condition,
        condition => {
            parts.extend(condition);
            match parts.is_empty() {
                true => Predicate::Constant(true),
                false => Predicate::All(parts),
            }
        }
    }
}

/// Cells that have one value wherever the predicate holds.
fn fixed(predicate: &Predicate) -> BTreeSet<usize> {
    let fixed = predicate.conjuncts().into_iter();
    let fixed = fixed.filter_map(|part| match part {
        Predicate::Literal {
            column,
            comparison,
            operator: Operator::Equal,
            ..
        } if comparison.is_indexed_alike() => Some(*column),
        _ => None,
    });
    fixed.collect()
}

fn output(
    query: &Query,
    scope: &Scope<'_>,
    grouping: &mut Option<Grouping>,
) -> Result<(Output, Columns), SqlError> {
    let whole = |table: &TableSchema| -> Columns {
        let columns = table.columns.iter();
        let columns = columns.map(|column| (column.name.clone(), column.ty.clone()));
        columns.collect()
    };
    let entries = scope.entries();
    Ok(match &query.projection {
        Projection::All(name) if grouping.is_some() => {
            let place = name.as_ref().map(|name| name.place);
            return Err(SqlError::not_built("* with GROUP BY or HAVING", place));
        }
        Projection::All(None) if entries.len() > 1 => {
            let columns = entries.iter().flat_map(|entry| whole(entry.table));
            (Output::Cells(scope.cells().collect()), columns.collect())
        }
        Projection::All(name) => {
            let at = match name {
                Some(name) => scope.qualified(&name.text, name.place)?,
                None => 0,
            };
            let columns = whole(entries[at].table);
            match query.distinct {
                true => {
                    let cells = scope.cells().skip(entries[at].behind);
                    (Output::Cells(cells.take(columns.len()).collect()), columns)
                }
                false => (Output::Rows(at), columns),
            }
        }
        Projection::Items(items) => {
            let mut cells = vec![];
            let mut columns = vec![];
            for (value, shown) in items {
                let cell = match grouping {
                    Some(grouping) => grouping.columns.add(value, scope)?,
                    None => scope.of_row(value)?,
                };
                columns.push((shown.clone(), cell.ty.clone()));
                cells.push(cell);
            }
            (Output::Cells(cells), columns)
        }
    })
}

fn order(
    query: &Query,
    scope: &Scope<'_>,
    grouping: &mut Option<Grouping>,
    columns: &Columns,
    output: &Output,
) -> Result<Vec<OrderBy>, SqlError> {
    let mut order = Vec::with_capacity(query.order_by.len());
    for item in &query.order_by {
        let cell = match grouping {
            Some(grouping) => grouping.columns.find(&item.by, scope, columns, output)?,
            None => match (&item.by, aliased(&item.by, columns, output)) {
                (_, Some(cell)) => cell,
                (Expression::Column(name), None) => scope.column(name)?,
                (Expression::Aggregate(aggregate), None) => {
                    return Err(SqlError::not_built(
                        "an aggregate in ORDER BY without one in the answer, or GROUP BY",
                        Some(aggregate.place),
                    ));
                }
            },
        };
        if query.distinct {
            let shown = |cells: &[Cell]| cells.iter().any(|shown| shown.at == cell.at);
            if !matches!(output, Output::Cells(cells) if shown(cells)) {
                return Err(SqlError::NotShown {
                    name: cell.name,
                    place: item.by.place(),
                });
            }
        }
        order.push(OrderBy {
            cell,
            descending: item.descending,
        });
    }
    Ok(order)
}

/// The cell that the answer calls by this name.
pub(super) fn aliased(value: &Expression, columns: &Columns, output: &Output) -> Option<Cell> {
    let (Expression::Column(name), Output::Cells(cells)) = (value, output) else {
        return None;
    };
    if name.qualifier.is_some() {
        return None;
    }
    let at = columns.iter().position(|(shown, _)| *shown == name.text)?;
    Some(cells[at].clone())
}

/// The cells of the tables that are looked at behind the condition.
fn shown(
    scope: &Scope<'_>,
    grouping: &Option<Grouping>,
    order: &[OrderBy],
    output: &Output,
) -> BTreeSet<usize> {
    if let Some(grouping) = grouping {
        return grouping.columns.looked_at();
    }
    let sorted = order.iter().map(|by| by.cell.at);
    let cells = match output {
        Output::Rows(_) => vec![],
        Output::Cells(cells) => cells.iter().map(|cell| cell.at).collect(),
    };
    let last = scope.cells().count();
    sorted.chain(cells).filter(|cell| *cell < last).collect()
}
