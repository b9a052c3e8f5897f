//! Groups of rows, and what is told of each.

use std::collections::{BTreeMap, BTreeSet};

use spacetimedb_sats::AlgebraicType;
use store::limits::ROW_OVERHEAD_BYTES;

use crate::values::type_name;

use super::aggregate::{Accumulator, Kind, canonical};
use super::bind::{Cell, Scope};
use super::error::{Place, SqlError};
use super::plan::{Columns, Output, aliased};
use super::predicate::Predicate;
use super::query::{Aggregate, Expression, Function, Projection, Query};
use super::{ANSWER_BYTES_MAX, GROUPS_MAX};

/// How rows are grouped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grouping {
    pub(super) columns: GroupColumns,
    /// What a group has to fulfil, over its cells.
    pub(super) having: Predicate,
}

/// The cells of a group: the columns that its rows share, then the aggregates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GroupColumns {
    /// Cells of the rows.
    pub(super) by: Vec<Cell>,
    pub(super) aggregates: Vec<Aggregated>,
}

/// An aggregate that is tied to a cell of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aggregated {
    pub(super) kind: Kind,
    pub(super) of: Option<Cell>,
    pub(super) ty: AlgebraicType,
    pub(super) name: String,
    pub(super) place: Place,
}

/// `None`: rows are answered as they are.
pub(super) fn group(query: &Query, scope: &Scope<'_>) -> Result<Option<Grouping>, SqlError> {
    let aggregated = match &query.projection {
        Projection::All(_) => false,
        Projection::Items(items) => items
            .iter()
            .any(|(value, _)| matches!(value, Expression::Aggregate(_))),
    };
    if !aggregated && query.group_by.is_empty() && query.having.is_none() {
        return Ok(None);
    }
    let by = query.group_by.iter().map(|name| scope.column(name));
    Ok(Some(Grouping {
        columns: GroupColumns {
            by: by.collect::<Result<_, _>>()?,
            aggregates: vec![],
        },
        having: Predicate::Constant(true),
    }))
}

impl GroupColumns {
    /// The group's cell that a value stands for.
    pub(super) fn add(&mut self, value: &Expression, scope: &Scope<'_>) -> Result<Cell, SqlError> {
        match value {
            Expression::Column(name) => {
                let cell = scope.column(name)?;
                let at = self.by.iter().position(|by| by.at == cell.at);
                let at = at.ok_or_else(|| SqlError::NotGrouped {
                    name: name.text.clone(),
                    place: name.place,
                })?;
                Ok(Cell { at, ..cell })
            }
            Expression::Aggregate(aggregate) => {
                let tied = tie(aggregate, scope)?;
                let same = |known: &Aggregated| (known.kind, &known.of) == (tied.kind, &tied.of);
                let at = self.aggregates.iter().position(same);
                let at = at.unwrap_or(self.aggregates.len());
                let cell = Cell {
                    at: self.by.len() + at,
                    ty: tied.ty.clone(),
                    name: tied.name.clone(),
                };
                if at == self.aggregates.len() {
                    self.aggregates.push(tied);
                }
                Ok(cell)
            }
        }
    }

    /// The same for ORDER BY and HAVING, which know the answer's names too.
    pub(super) fn find(
        &mut self,
        value: &Expression,
        scope: &Scope<'_>,
        columns: &Columns,
        output: &Output,
    ) -> Result<Cell, SqlError> {
        match aliased(value, columns, output) {
            Some(cell) => Ok(cell),
            None => self.add(value, scope),
        }
    }

    /// The cells of rows that are looked at.
    pub(super) fn looked_at(&self) -> BTreeSet<usize> {
        let of = self.aggregates.iter().flat_map(|it| &it.of);
        self.by.iter().chain(of).map(|cell| cell.at).collect()
    }

    /// Whether the number of rows is all that is asked for.
    pub(super) fn only_counts(&self) -> bool {
        let counts = |it: &Aggregated| it.kind == Kind::Count && it.of.is_none();
        self.by.is_empty() && self.aggregates.iter().all(counts)
    }
}

fn tie(aggregate: &Aggregate, scope: &Scope<'_>) -> Result<Aggregated, SqlError> {
    let of = aggregate.of.as_ref().map(|name| scope.column(name));
    let mut of = of.transpose()?;
    let function = aggregate.function;
    let name = of.as_ref().map_or("*", |cell| &cell.name);
    let name = format!("{}({name})", function.name());
    let (kind, ty) = match (function, &of) {
        // Without NULL every row has a value, save in optional columns.
        (Function::Count, Some(cell)) if !cell.ty.is_option() => {
            of = None;
            (Kind::Count, AlgebraicType::U64)
        }
        (Function::Count, _) => (Kind::Count, AlgebraicType::U64),
        (Function::Min, Some(cell)) => (Kind::Min, cell.ty.clone()),
        (Function::Max, Some(cell)) => (Kind::Max, cell.ty.clone()),
        (Function::Sum | Function::Avg, Some(cell)) => {
            let is_sum = function == Function::Sum;
            let known = Kind::number(&cell.ty, is_sum);
            known.ok_or_else(|| SqlError::NotANumber {
                function: function.name(),
                column: cell.name.clone(),
                ty: type_name(&cell.ty),
                place: aggregate.place,
            })?
        }
        (_, None) => unreachable!("only COUNT is of all"),
    };
    Ok(Aggregated {
        kind,
        of,
        ty,
        name,
        place: aggregate.place,
    })
}

/// Groups in the making.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    columns: &'a GroupColumns,
    /// By the sort keys of the columns that they share, one after the other.
    groups: BTreeMap<Vec<u8>, Group>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    by: Vec<Vec<u8>>,
    accumulators: Vec<Accumulator>,
}

impl<'a> Groups<'a> {
    pub(super) const fn new(columns: &'a GroupColumns) -> Self {
        Self {
            columns,
            groups: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn see(&mut self, cells: &[&[u8]]) -> Result<(), SqlError> {
        let Self { columns, .. } = *self;
        let mut key = vec![];
        for by in &columns.by {
            key.extend(sort_key(by, cells[by.at])?);
        }
        if !self.groups.contains_key(&key) {
            let by = columns.by.iter();
            let by: Vec<_> = by.map(|by| canonical(&by.ty, cells[by.at])).collect();
            let shared: usize = by.iter().map(Vec::len).sum();
            let accumulators: Vec<_> = self.fresh();
            let accumulated: usize = accumulators.iter().map(Accumulator::bytes).sum();
            self.bytes += key.len() + shared + accumulated + ROW_OVERHEAD_BYTES;
            if self.groups.len() == GROUPS_MAX || self.bytes > ANSWER_BYTES_MAX {
                return Err(SqlError::TooManyGroups);
            }
            let group = Group { by, accumulators };
            self.groups.insert(key.clone(), group);
        }
        let Some(group) = self.groups.get_mut(&key) else {
            unreachable!("it is there now");
        };
        for (accumulator, it) in group.accumulators.iter_mut().zip(&columns.aggregates) {
            let grown = match &it.of {
                None => accumulator.count(1),
                Some(cell) => accumulator.see(cell, cells[cell.at])?,
            };
            self.bytes += grown;
        }
        match self.bytes > ANSWER_BYTES_MAX {
            true => Err(SqlError::TooManyGroups),
            false => Ok(()),
        }
    }

    /// Counts rows that were not looked at.
    pub(super) fn see_all(&mut self, rows: u64) {
        let accumulators = self.fresh();
        let mut group = Group {
            by: vec![],
            accumulators,
        };
        for accumulator in &mut group.accumulators {
            accumulator.count(rows);
        }
        self.groups.insert(vec![], group);
    }

    fn fresh(&self) -> Vec<Accumulator> {
        let aggregates = self.columns.aggregates.iter();
        aggregates.map(|it| Accumulator::new(it.kind)).collect()
    }

    /// The cells of each group, in the order of the columns that its rows share.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Result<Vec<Vec<u8>>, SqlError>> {
        if self.groups.is_empty() && self.columns.by.is_empty() {
            // All rows are one group, even if there are none.
            self.see_all(0);
        }
        let columns = self.columns;
        self.groups.into_values().filter_map(move |group| {
            let accumulators = group.accumulators.into_iter().zip(&columns.aggregates);
            let told: Result<Option<Vec<_>>, _> = accumulators
                .map(|(accumulator, it)| accumulator.finish(it))
                .collect();
            match told {
                // Of no rows there is no least, no greatest, and no average.
                Ok(told) => told.map(|told| Ok(group.by.into_iter().chain(told).collect())),
                Err(error) => Some(Err(error)),
            }
        })
    }
}

/// The bytes by which the store orders a cell's value.
pub(super) fn sort_key(cell: &Cell, value: &[u8]) -> Result<Vec<u8>, SqlError> {
    store::sort_key(&cell.ty, value).map_err(|source| SqlError::Store {
        table: cell.name.clone(),
        source,
    })
}
