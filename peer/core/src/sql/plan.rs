//! Ties a query to a table: names to columns, literals to types, and the condition to the index
//! that narrows it most. Decides only; reads no rows.

use std::ops::Bound;

use spacetimedb_sats::AlgebraicType;
use store::{Column, IndexId, IndexKind, IndexSchema, TableSchema};

use crate::values::{list_names, type_name};

use super::compare::Comparison;
use super::error::{Place, SqlError};
use super::literal::Literal;
use super::parse::{Condition, Name, Operand, Operator, Projection, Query};
use super::predicate::Predicate;

/// How a query is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) source: Source,
    /// Every row of the source is asked; an index only makes the source smaller.
    pub(super) predicate: Predicate,
    pub(super) output: Output,
    pub(super) limit: Option<u64>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// All rows of the table.
    Table,
    /// Rows whose indexed columns have these values: BSATN of each, one after the other.
    Point(IndexId, Vec<u8>),
    /// Rows whose leading indexed columns have these values and the next one lies between bounds.
    Range {
        index: IndexId,
        prefix: Vec<u8>,
        prefix_len: u16,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Whole rows.
    Rows,
    /// These columns.
    Cells(Vec<usize>),
    /// How many rows there are.
    Count,
}

/// Plans a query.
///
/// # Errors
/// [`SqlError`] names what does not fit the table.
pub(super) fn plan(
    query: &Query,
    table: &TableSchema,
    sender: &[u8; 32],
) -> Result<(Plan, Vec<(String, AlgebraicType)>), SqlError> {
    let binder = Binder {
        query,
        table,
        sender,
    };
    let predicate = match &query.condition {
        Some(condition) => binder.predicate(condition)?,
        None => Predicate::Constant(true),
    };
    let (output, columns) = binder.output()?;
    let source = source(table, &predicate);
    Ok((
        Plan {
            source,
            predicate,
            output,
            limit: query.limit,
        },
        columns,
    ))
}

struct Binder<'a> {
    query: &'a Query,
    table: &'a TableSchema,
    sender: &'a [u8; 32],
}

impl Binder<'_> {
    fn output(&self) -> Result<(Output, Vec<(String, AlgebraicType)>), SqlError> {
        Ok(match &self.query.projection {
            Projection::All(table) => {
                if let Some(name) = table {
                    self.qualifier(&name.text, name.place)?;
                }
                let columns = &self.table.columns;
                let columns = columns
                    .iter()
                    .map(|column| (column.name.clone(), column.ty.clone()));
                (Output::Rows, columns.collect())
            }
            Projection::Count(name) => (Output::Count, vec![(name.clone(), AlgebraicType::U64)]),
            Projection::Columns(names) => {
                let mut cells = vec![];
                let mut columns = vec![];
                for (name, shown) in names {
                    let (at, column) = self.column(name)?;
                    cells.push(at);
                    columns.push((shown.clone(), column.ty.clone()));
                }
                (Output::Cells(cells), columns)
            }
        })
    }

    fn predicate(&self, condition: &Condition) -> Result<Predicate, SqlError> {
        let all = |parts: &[Condition]| {
            parts
                .iter()
                .map(|part| self.predicate(part))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match condition {
            Condition::And(parts) => Predicate::All(all(parts)?),
            Condition::Or(parts) => Predicate::Any(all(parts)?),
            Condition::Constant(value) => Predicate::Constant(*value),
            Condition::Compare {
                left,
                operator,
                right,
            } => match (left, right) {
                (Operand::Column(name), Operand::Literal(literal, place)) => {
                    self.with_literal(name, *operator, literal, *place)?
                }
                (Operand::Literal(literal, place), Operand::Column(name)) => {
                    self.with_literal(name, operator.swapped(), literal, *place)?
                }
                (Operand::Column(left), Operand::Column(right)) => {
                    self.two_columns(left, *operator, right)?
                }
                (Operand::Literal(_, place), Operand::Literal(..)) => {
                    return Err(SqlError::NoColumn(*place));
                }
            },
        })
    }

    fn with_literal(
        &self,
        name: &Name,
        operator: Operator,
        literal: &Literal,
        place: Place,
    ) -> Result<Predicate, SqlError> {
        let (at, column) = self.column(name)?;
        let comparison = comparison(name, column)?;
        let value = literal
            .as_type(&column.ty, self.sender)
            .ok_or_else(|| SqlError::Literal {
                column: name.text.clone(),
                ty: type_name(&column.ty),
                literal: literal.shown(),
                place,
            })?;
        Ok(Predicate::Literal {
            column: at,
            comparison,
            operator,
            value,
        })
    }

    fn two_columns(
        &self,
        left: &Name,
        operator: Operator,
        right: &Name,
    ) -> Result<Predicate, SqlError> {
        let (left_at, left_column) = self.column(left)?;
        let (right_at, right_column) = self.column(right)?;
        let comparison = comparison(left, left_column)?;
        if left_column.ty != right_column.ty {
            return Err(SqlError::Columns {
                left: left.text.clone(),
                left_ty: type_name(&left_column.ty),
                right: right.text.clone(),
                right_ty: type_name(&right_column.ty),
                place: right.place,
            });
        }
        Ok(Predicate::Columns {
            left: left_at,
            comparison,
            operator,
            right: right_at,
        })
    }

    /// A column by its canonical name, else by its source name.
    fn column(&self, name: &Name) -> Result<(usize, &Column), SqlError> {
        if let Some(qualifier) = &name.qualifier {
            self.qualifier(qualifier, name.place)?;
        }
        let columns = &self.table.columns;
        let canonical = columns.iter().position(|column| column.name == name.text);
        canonical
            .or_else(|| {
                columns
                    .iter()
                    .position(|column| column.source_name == name.text)
            })
            .map(|at| (at, &columns[at]))
            .ok_or_else(|| SqlError::NoSuchColumn {
                name: name.text.clone(),
                table: self.table.name.clone(),
                place: name.place,
                known: list_names(columns.iter().map(|column| column.name.as_str())),
            })
    }

    fn qualifier(&self, qualifier: &str, place: Place) -> Result<(), SqlError> {
        let alias = self.query.alias.as_deref();
        let known = [alias, Some(&self.table.name), Some(&self.table.source_name)];
        if known.contains(&Some(qualifier)) {
            return Ok(());
        }
        Err(SqlError::NoSuchTable {
            name: qualifier.to_owned(),
            place,
            known: list_names([alias.unwrap_or(&self.table.name)]),
        })
    }
}

fn comparison(name: &Name, column: &Column) -> Result<Comparison, SqlError> {
    Comparison::of(&column.ty).ok_or_else(|| SqlError::NotComparable {
        column: name.text.clone(),
        ty: type_name(&column.ty),
        place: name.place,
    })
}

/// What a condition demands of one column in every row.
#[derive(Clone, Copy, Debug)]
struct Demand<'a> {
    column: usize,
    comparison: Comparison,
    operator: Operator,
    value: &'a [u8],
}

/// The index that narrows the condition most, if any narrows it.
fn source(table: &TableSchema, predicate: &Predicate) -> Source {
    let mut demands = vec![];
    collect_demands(predicate, &mut demands);
    let best = table
        .indexes
        .iter()
        .filter_map(|index| reach(index, &demands))
        .max_by_key(|(merit, _)| *merit);
    best.map_or(Source::Table, |(_, source)| source)
}

/// What holds for all rows: comparisons that nothing but AND stands above.
fn collect_demands<'a>(predicate: &'a Predicate, demands: &mut Vec<Demand<'a>>) {
    match predicate {
        Predicate::All(parts) => parts.iter().for_each(|part| collect_demands(part, demands)),
        Predicate::Literal {
            column,
            comparison,
            operator,
            value,
        } if comparison.is_indexed_alike() => {
            demands.push(Demand {
                column: *column,
                comparison: *comparison,
                operator: *operator,
                value,
            });
        }
        _ => {}
    }
}

/// How much an index narrows: compared from the first field on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    /// At most one row is left.
    one_row: bool,
    /// Columns with a known value.
    equal: usize,
    /// Bounds of the next column.
    bounds: usize,
}

fn reach(index: &IndexSchema, demands: &[Demand<'_>]) -> Option<(Merit, Source)> {
    let equal_to = |column: u16| {
        let mut wanted = demands
            .iter()
            .filter(|demand| demand.column == usize::from(column));
        wanted.find(|demand| demand.operator == Operator::Equal)
    };
    let equal: Vec<_> = index
        .columns
        .iter()
        .map_while(|column| equal_to(*column))
        .collect();
    let prefix: Vec<u8> = equal
        .iter()
        .flat_map(|demand| demand.value)
        .copied()
        .collect();
    if equal.len() == index.columns.len() {
        let merit = Merit {
            one_row: index.unique,
            equal: equal.len(),
            bounds: 0,
        };
        return Some((merit, Source::Point(index.id, prefix)));
    }
    if index.kind == IndexKind::Hash {
        return None;
    }
    let next = usize::from(index.columns[equal.len()]);
    let mut start: Bound<&Demand<'_>> = Bound::Unbounded;
    let mut end: Bound<&Demand<'_>> = Bound::Unbounded;
    // The narrowest bounds win; of an equal value, the one that leaves it out.
    for demand in demands.iter().filter(|demand| demand.column == next) {
        match demand.operator {
            Operator::Greater if narrows(&start, demand, true) => start = Bound::Excluded(demand),
            Operator::GreaterOrEqual if narrows(&start, demand, true) => {
                start = Bound::Included(demand);
            }
            Operator::Less if narrows(&end, demand, false) => end = Bound::Excluded(demand),
            Operator::LessOrEqual if narrows(&end, demand, false) => {
                end = Bound::Included(demand);
            }
            _ => {}
        }
    }
    let bounds = [&start, &end]
        .iter()
        .filter(|bound| !matches!(bound, Bound::Unbounded))
        .count();
    if equal.is_empty() && bounds == 0 {
        return None;
    }
    let merit = Merit {
        one_row: false,
        equal: equal.len(),
        bounds,
    };
    let source = Source::Range {
        index: index.id,
        prefix,
        prefix_len: u16::try_from(equal.len()).expect("an index has at most 65,536 columns"),
        start: start.map(|demand| demand.value.to_vec()),
        end: end.map(|demand| demand.value.to_vec()),
    };
    Some((merit, source))
}

/// Whether a further demand leaves less than a bound does.
fn narrows(bound: &Bound<&Demand<'_>>, demand: &Demand<'_>, is_start: bool) -> bool {
    let (known, included) = match bound {
        Bound::Unbounded => return true,
        Bound::Included(known) => (known, true),
        Bound::Excluded(known) => (known, false),
    };
    match demand.comparison.compare(demand.value, known.value) {
        Some(std::cmp::Ordering::Equal) => included,
        Some(ordering) => ordering.is_gt() == is_start,
        None => false,
    }
}
