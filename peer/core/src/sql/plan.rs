//! Ties a query to a table: names to columns, literals to types, and the condition to the index
//! that narrows it most. Decides only; reads no rows.

use std::ops::Bound;

use spacetimedb_sats::AlgebraicType;
use store::{Column, IndexId, IndexKind, IndexSchema, TableId, TableSchema};

use crate::values::{list_names, type_name};

use super::compare::Comparison;
use super::error::{Place, SqlError};
use super::literal::Literal;
use super::parse::{Condition, Join, Name, Operand, Operator, Projection, Query};
use super::predicate::Predicate;

/// How a query is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) source: Source,
    /// The table whose rows come with those of the source. Cells are counted through both then.
    pub(super) join: Option<JoinPlan>,
    /// Every row of the source is asked; an index only makes the source smaller.
    pub(super) predicate: Predicate,
    pub(super) output: Output,
    pub(super) limit: Option<u64>,
}

impl Plan {
    /// How many cells of a row it looks at, counted from the first.
    pub(super) fn cells_len(&self) -> usize {
        let projected = match &self.output {
            Output::Cells(cells) => cells.iter().max().map_or(0, |last| last + 1),
            Output::Rows { .. } | Output::Count => 0,
        };
        projected.max(self.predicate.cells_len())
    }
}

/// How the rows of two tables find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JoinPlan {
    /// The other table.
    pub(super) table: TableId,
    /// Columns of the first table: cells of the other are counted behind them.
    pub(super) first_len: usize,
    /// Places of the columns that are equal: in the first table, and in the other.
    pub(super) columns: [usize; 2],
    /// Indexes that begin with them.
    pub(super) indexes: [Option<Reach>; 2],
}

/// An index by whose first column rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) index: IndexId,
    /// Whether it has no other column.
    pub(super) whole: bool,
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
    /// Whole rows: of the first table, or of the joined one.
    Rows { joined: bool },
    /// These columns.
    Cells(Vec<usize>),
    /// How many rows there are.
    Count,
}

/// Plans a query over its table, and over the one that it joins, if it does.
///
/// # Errors
/// [`SqlError`] names what does not fit the tables.
pub(super) fn plan(
    query: &Query,
    table: &TableSchema,
    joined: Option<(&Join, &TableSchema)>,
    sender: &[u8; 32],
) -> Result<(Plan, Vec<(String, AlgebraicType)>), SqlError> {
    let binder = Binder {
        query,
        table,
        joined,
        sender,
    };
    let join = joined.map(|(join, other)| binder.join(join, other));
    let join = join.transpose()?;
    let predicate = match &query.condition {
        Some(condition) => binder.predicate(condition)?,
        None => Predicate::Constant(true),
    };
    let (output, columns) = binder.output()?;
    let source = source(table, &predicate);
    Ok((
        Plan {
            source,
            join,
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
    joined: Option<(&'a Join, &'a TableSchema)>,
    sender: &'a [u8; 32],
}

impl Binder<'_> {
    fn output(&self) -> Result<(Output, Vec<(String, AlgebraicType)>), SqlError> {
        Ok(match &self.query.projection {
            Projection::All(None) if self.joined.is_some() => {
                let tables = self.tables();
                let columns = tables.flat_map(|(_, table, _)| &table.columns);
                let columns: Vec<_> = columns.map(named).collect();
                (Output::Cells((0..columns.len()).collect()), columns)
            }
            Projection::All(name) => {
                let (joined, table, _) = match name {
                    Some(name) => self.qualified(&name.text, name.place)?,
                    None => (false, self.table, 0),
                };
                let columns = table.columns.iter().map(named).collect();
                (Output::Rows { joined }, columns)
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
            return Err(self.unlike(left, left_column, right, right_column));
        }
        Ok(Predicate::Columns {
            left: left_at,
            comparison,
            operator,
            right: right_at,
        })
    }

    /// The tables: whether it is the joined one, and where its cells begin.
    fn tables(&self) -> impl Iterator<Item = (bool, &TableSchema, usize)> {
        let joined = self.joined.map(|(_, table)| table);
        let behind = self.table.columns.len();
        let joined = joined.map(|table| (true, table, behind));
        [(false, self.table, 0)].into_iter().chain(joined)
    }

    fn join(&self, join: &Join, other: &TableSchema) -> Result<JoinPlan, SqlError> {
        let [one, two] = &join.columns;
        let found = [self.column(one)?, self.column(two)?];
        let first_len = self.table.columns.len();
        let ((first, of_first), (second, of_second)) = match found {
            [first, second] if first.0 < first_len && second.0 >= first_len => (first, second),
            [second, first] if first.0 < first_len && second.0 >= first_len => (first, second),
            _ => return Err(SqlError::NotJoined(one.place)),
        };
        if of_first.ty != of_second.ty {
            return Err(self.unlike(one, found[0].1, two, found[1].1));
        }
        comparison(one, of_first)?;
        let columns = [first, second - first_len];
        Ok(JoinPlan {
            table: other.id,
            first_len,
            columns,
            indexes: [
                reach_by(self.table, columns[0]),
                reach_by(other, columns[1]),
            ],
        })
    }

    fn unlike(&self, left: &Name, of_left: &Column, right: &Name, of_right: &Column) -> SqlError {
        SqlError::Columns {
            left: left.text.clone(),
            left_ty: type_name(&of_left.ty),
            right: right.text.clone(),
            right_ty: type_name(&of_right.ty),
            place: right.place,
        }
    }

    /// A column by its canonical name, else by its source name; in the table that is named with it,
    /// else in the one that has it.
    fn column(&self, name: &Name) -> Result<(usize, &Column), SqlError> {
        let none = |tables: &[&TableSchema]| {
            let columns = tables.iter().flat_map(|table| &table.columns);
            SqlError::NoSuchColumn {
                name: name.text.clone(),
                table: tables[0].name.clone(),
                place: name.place,
                known: list_names(columns.map(|column| column.name.as_str())),
            }
        };
        if let Some(qualifier) = &name.qualifier {
            let (_, table, behind) = self.qualified(qualifier, name.place)?;
            let found = column_in(table, &name.text).ok_or_else(|| none(&[table]))?;
            return Ok((behind + found.0, found.1));
        }
        let mut found = self.tables().filter_map(|(_, table, behind)| {
            let (at, column) = column_in(table, &name.text)?;
            Some((behind + at, column))
        });
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column),
            (Some(_), Some(_)) => Err(SqlError::Ambiguous {
                name: name.text.clone(),
                place: name.place,
            }),
            (None, _) => {
                let tables: Vec<_> = self.tables().map(|(_, table, _)| table).collect();
                Err(none(&tables))
            }
        }
    }

    /// The table of that name or alias.
    fn qualified(
        &self,
        qualifier: &str,
        place: Place,
    ) -> Result<(bool, &TableSchema, usize), SqlError> {
        let alias = |joined: bool| match (joined, self.joined) {
            (true, Some((join, _))) => join.alias.as_deref(),
            _ => self.query.alias.as_deref(),
        };
        let by_alias = self
            .tables()
            .find(|(joined, ..)| alias(*joined) == Some(qualifier));
        let mut by_name = self.tables().filter(|(joined, table, _)| {
            let hidden = self.joined.is_some() && alias(*joined).is_some();
            !hidden && (table.name == qualifier || table.source_name == qualifier)
        });
        by_alias.or_else(|| by_name.next()).ok_or_else(|| {
            let names = self.tables();
            let names = names.map(|(joined, table, _)| alias(joined).unwrap_or(&table.name));
            SqlError::NoSuchTable {
                name: qualifier.to_owned(),
                place,
                known: list_names(names.collect::<Vec<_>>()),
            }
        })
    }
}

fn named(column: &Column) -> (String, AlgebraicType) {
    (column.name.clone(), column.ty.clone())
}

fn column_in<'a>(table: &'a TableSchema, name: &str) -> Option<(usize, &'a Column)> {
    let columns = &table.columns;
    let canonical = columns.iter().position(|column| column.name == name);
    let by_source = || columns.iter().position(|column| column.source_name == name);
    let at = canonical.or_else(by_source)?;
    Some((at, &columns[at]))
}

/// The index by which rows with a value of one column are found.
fn reach_by(table: &TableSchema, column: usize) -> Option<Reach> {
    let begins = |index: &&IndexSchema| {
        let whole = index.columns.len() == 1;
        let first = index.columns.first().map(|first| usize::from(*first));
        first == Some(column) && (whole || index.kind != IndexKind::Hash)
    };
    let best = table.indexes.iter().filter(begins);
    let best = best.max_by_key(|index| (index.columns.len() == 1, index.unique))?;
    Some(Reach {
        index: best.id,
        whole: best.columns.len() == 1,
    })
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
