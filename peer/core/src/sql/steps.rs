//! In which order tables are read, and how: first the one of which least is left, then those that
//! are found by an index, then the rest.

use std::collections::BTreeSet;

use super::bind::Scope;
use super::compare::Comparison;
use super::predicate::Predicate;
use super::query::Operator;
use super::reach::{Demand, Found, Merit, Reach, Source, reach_by, source};

/// Two cells that are equal in all rows that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edge {
    /// One of a table, and one of a table that was written behind it.
    pub(super) cells: [usize; 2],
    /// The places of the tables.
    pub(super) tables: [usize; 2],
    pub(super) comparison: Comparison,
}

/// A table that is read for each row of those before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// Its place among the tables as they were written.
    pub(super) table: usize,
    pub(super) way: Way,
    /// How many of its cells are looked at, counted from the first.
    pub(super) cells_len: usize,
    /// What its rows have to fulfil by themselves.
    pub(super) own: Predicate,
    /// What they have to fulfil together with those before.
    pub(super) together: Predicate,
}

/// How the rows of a table are found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// Without looking at other tables.
    Alone(Source),
    /// Those whose column equals a cell of a table before, by an index.
    Reached {
        from: usize,
        column: usize,
        reach: Reach,
    },
    /// The same without an index: read once, and kept in memory by that column.
    Gathered {
        from: usize,
        column: usize,
        source: Source,
    },
}

/// What else is wanted of the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// Cells in whose ascending order rows are wanted, if that is all that is asked for.
    pub(super) order: Option<Vec<usize>>,
    /// Whether only some rows are wanted.
    pub(super) few: bool,
    /// Cells that are looked at whatever the condition is.
    pub(super) shown: BTreeSet<usize>,
}

/// The steps, and whether they find rows in the order that is wanted.
pub(super) fn steps(
    scope: &Scope<'_>,
    edges: &[Edge],
    predicate: &Predicate,
    wishes: &Wishes,
) -> (Vec<Step>, bool) {
    let alone = alone(scope, edges, predicate, wishes);
    let tables = scope.entries().len();
    let walks = (0..tables).map(|start| walk(scope, edges, &alone, start));
    let best = walks.enumerate().max_by_key(|(start, ways)| {
        let gathered = ways.iter();
        let gathered = gathered.filter(|(_, way)| matches!(way, Way::Gathered { .. }));
        let found = &alone[*start];
        let Merit {
            one_row,
            equal,
            bounds,
        } = found.merit;
        (
            (one_row, equal > 0, bounds > 0),
            std::cmp::Reverse(gathered.count()),
            (found.merit, found.in_order),
            std::cmp::Reverse(*start),
        )
    });
    let (start, ways) = best.unwrap_or_else(|| unreachable!("a query has a table"));
    let steps = with_filters(scope, predicate, wishes, ways);
    (steps, alone[start].in_order)
}

/// How each table's rows are found without looking at others.
pub(super) fn alone(
    scope: &Scope<'_>,
    edges: &[Edge],
    predicate: &Predicate,
    wishes: &Wishes,
) -> Vec<Found> {
    let demands = demands(edges, predicate);
    let tables = scope.entries().len();
    (0..tables)
        .map(|at| {
            let entry = &scope.entries()[at];
            let own = |cell: &usize| scope.table_of(*cell) == at;
            let demands = demands.iter().filter(|demand| own(&demand.column));
            let demands: Vec<_> = demands
                .map(|demand| Demand {
                    column: demand.column - entry.behind,
                    ..demand.clone()
                })
                .collect();
            let order = wishes.order.as_ref().filter(|order| order.iter().all(own));
            let order = order.map(|order| order.iter().map(|cell| cell - entry.behind).collect());
            let order: Option<Vec<usize>> = order;
            source(entry.table, &demands, order.as_deref(), wishes.few)
        })
        .collect()
}

/// All tables, from one on, each by the best way to it.
fn walk(scope: &Scope<'_>, edges: &[Edge], alone: &[Found], start: usize) -> Vec<(usize, Way)> {
    let mut ways = vec![(start, Way::Alone(alone[start].source.clone()))];
    while ways.len() < alone.len() {
        let seen = |table: usize| ways.iter().any(|(seen, _)| *seen == table);
        // Tables belong together like the branches of a tree: one edge leads to each.
        let next = edges.iter().filter_map(|edge| {
            let (from, to) = match edge.tables.map(seen) {
                [true, false] => (0, 1),
                [false, true] => (1, 0),
                _ => return None,
            };
            let table = edge.tables[to];
            let entry = &scope.entries()[table];
            let column = edge.cells[to] - entry.behind;
            let from = edge.cells[from];
            let own = &alone[table];
            let reach = reach_by(entry.table, column).filter(|_| !own.merit.one_row);
            Some(match reach {
                Some(reach) => {
                    let way = Way::Reached {
                        from,
                        column,
                        reach,
                    };
                    ((false, reach.one_row, true, reach.whole), table, way)
                }
                None => {
                    let source = own.source.clone();
                    let way = Way::Gathered {
                        from,
                        column,
                        source,
                    };
                    ((own.merit.one_row, false, false, false), table, way)
                }
            })
        });
        let best = next.max_by_key(|(merit, table, _)| (*merit, std::cmp::Reverse(*table)));
        let (_, table, way) = best.unwrap_or_else(|| unreachable!("each table has an edge"));
        ways.push((table, way));
    }
    ways
}

/// What the condition demands of cells; what one side of an edge has, the other has too.
pub(super) fn demands(edges: &[Edge], predicate: &Predicate) -> Vec<Demand> {
    let conjuncts = predicate.conjuncts().into_iter();
    let demands = conjuncts.filter_map(|part| match part {
        Predicate::Literal {
            column,
            comparison,
            operator,
            value,
        } if comparison.is_indexed_alike() => Some(Demand {
            column: *column,
            comparison: *comparison,
            operator: *operator,
            value: value.clone(),
        }),
        _ => None,
    });
    let mut demands: Vec<Demand> = demands.collect();
    let mut at = 0;
    while let Some(demand) = demands.get(at).cloned() {
        at += 1;
        for edge in edges.iter().filter(|_| demand.operator == Operator::Equal) {
            let other = match edge.cells {
                [one, other] if one == demand.column => other,
                [other, one] if one == demand.column => other,
                _ => continue,
            };
            let further = Demand {
                column: other,
                ..demand.clone()
            };
            if !demands.contains(&further) {
                demands.push(further);
            }
        }
    }
    demands
}

/// Each part of the condition is asked as soon as its cells are there.
pub(super) fn with_filters(
    scope: &Scope<'_>,
    predicate: &Predicate,
    wishes: &Wishes,
    ways: Vec<(usize, Way)>,
) -> Vec<Step> {
    let mut looked_at = wishes.shown.clone();
    predicate.visit(&mut |cell| {
        looked_at.insert(cell);
    });
    for (table, way) in &ways {
        if let Way::Reached { from, column, .. } | Way::Gathered { from, column, .. } = way {
            looked_at.insert(*from);
            looked_at.insert(scope.entries()[*table].behind + column);
        }
    }
    let place = |cell: usize| {
        let table = scope.table_of(cell);
        let place = ways.iter().position(|(seen, _)| *seen == table);
        place.unwrap_or_else(|| unreachable!("all tables are read"))
    };
    let mut own = vec![vec![]; ways.len()];
    let mut together = vec![vec![]; ways.len()];
    for part in predicate.conjuncts() {
        let mut places = BTreeSet::new();
        part.visit(&mut |cell| {
            places.insert(place(cell));
        });
        let last = places.last().copied().unwrap_or(0);
        let kind = match places.len() {
            0 | 1 => &mut own,
            _ => &mut together,
        };
        kind[last].push(part.clone());
    }
    let parts = own.into_iter().zip(together);
    let steps = ways.into_iter().zip(parts);
    let steps = steps.map(|((table, way), (own, together))| {
        let entry = &scope.entries()[table];
        let cells = entry.behind..entry.behind + entry.table.columns.len();
        let last = looked_at.range(cells).last();
        Step {
            table,
            way,
            cells_len: last.map_or(0, |last| last + 1 - entry.behind),
            own: all(own),
            together: all(together),
        }
    });
    steps.collect()
}

fn all(mut parts: Vec<Predicate>) -> Predicate {
    match parts.len() {
        0 => Predicate::Constant(true),
        1 => parts.remove(0),
        _ => Predicate::All(parts),
    }
}
