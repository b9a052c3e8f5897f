//! One filter, tied to its tables for one caller.

use spacetimedb_sats::AlgebraicType;
use store::{DataError, Row, Schema, TableId};

use super::super::Access;
use super::super::bind::{Scope, predicate};
use super::super::error::SqlError;
use super::super::plan::{edges, with_floats};
use super::super::predicate::Predicate;
use super::super::query::{Operator, Projection, Query};
use super::super::reach::{Merit, reach_by};
use super::super::relation::Relations;
use super::super::run::cells;
use super::super::selection::for_answers_alone;
use super::super::steps::{Edge, Step, Way, Wishes, alone, demands, with_filters};
use super::{FILTER_TABLES_MAX, Point};

/// A table of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RuleTable {
    pub(super) id: TableId,
    pub(super) name: String,
    pub(super) columns: Vec<AlgebraicType>,
}

impl RuleTable {
    /// The first cells of a row.
    pub(super) fn cells<'r>(&self, row: &'r Row, len: usize) -> Result<Vec<&'r [u8]>, SqlError> {
        let types = self.columns[..len].iter();
        cells(row, types).map_err(|source| SqlError::Damaged {
            table: self.name.clone(),
            source,
        })
    }

    pub(super) fn failed(&self, source: DataError) -> SqlError {
        SqlError::Store {
            table: self.name.clone(),
            source,
        }
    }
}

/// Where all rows that a filter shows are found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// A table that the condition narrows.
    Source(usize),
    /// A table of which all rows that are seen can be listed.
    Listed(usize),
}

/// One filter.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    text: String,
    /// The place of the table that it is about.
    pub(super) target: usize,
    /// In the order in which they were written.
    pub(super) tables: Vec<RuleTable>,
    /// Where the cells of each table begin.
    pub(super) behind: Vec<usize>,
    pub(super) cells_len: usize,
    pub(super) predicate: Predicate,
    /// From each table to all others.
    pub(super) from: Vec<Vec<Step>>,
    /// From each table to the one that it is about, over those between them and no others.
    pub(super) toward: Vec<Vec<Step>>,
    pub(super) start: Option<Start>,
    points: Vec<Option<Point>>,
    merits: Vec<Merit>,
}

impl Rule {
    /// Ties a filter to its tables, private ones among them: the module decides what it shows.
    ///
    /// # Errors
    /// [`SqlError`] names what is wrong with it.
    pub(super) fn new(
        text: &str,
        query: &Query,
        schema: &Schema,
        sender: &[u8; 32],
    ) -> Result<Self, SqlError> {
        only_a_filter(query)?;
        let access = Access {
            owner: true,
            sender: *sender,
        };
        let relations = Relations::find(query, schema, None, access)?;
        let tables = relations.tables();
        let scope = Scope::new(&query.tables, &tables)?;
        let edges = edges(query, &scope)?;
        for cell in edges.iter().flat_map(|edge| edge.cells) {
            let entry = &scope.entries()[scope.table_of(cell)];
            let column = cell - entry.behind;
            if reach_by(entry.table, column).is_none() {
                let column = &entry.table.columns[column].name;
                return Err(SqlError::NoIndex(format!("{}.{column}", entry.table.name)));
            }
        }
        let condition = query.condition.as_ref();
        let condition = condition.map(|it| predicate(it, sender, &mut |value| scope.of_row(value)));
        let predicate = with_floats(condition.transpose()?, &edges);
        let target = match &query.projection {
            Projection::All(Some(name)) => scope.qualified(&name.text, name.place)?,
            Projection::All(None) if tables.len() == 1 => 0,
            _ => return Err(SqlError::NotAFilter("* of several tables at once")),
        };
        for (at, (table, from)) in tables.iter().zip(&query.tables).enumerate() {
            if table.event && at != target {
                let what = "a filter that joins a table of events, which keeps no rows";
                return Err(SqlError::not_built(what, Some(from.table.place)));
            }
        }
        let wishes = Wishes::default();
        let found = alone(&scope, &edges, &predicate, &wishes);
        let paths = Paths {
            scope: &scope,
            edges: &edges,
            sources: found.iter().map(|found| found.source.clone()).collect(),
        };
        let all: Vec<usize> = (0..tables.len()).collect();
        let steps = |start: usize, among: &[usize]| {
            let ways = paths.ways(start, among);
            let of_these = |part: &Predicate| {
                let mut is_of_these = true;
                part.visit(&mut |cell| is_of_these &= among.contains(&scope.table_of(cell)));
                is_of_these
            };
            let parts = predicate.conjuncts().into_iter();
            let parts = parts.filter(|part| of_these(part)).cloned().collect();
            with_filters(&scope, &Predicate::All(parts), &wishes, ways)
        };
        let demands = demands(&edges, &predicate);
        let point = |at: usize| {
            let entry = &scope.entries()[at];
            let cells = entry.behind..entry.behind + entry.table.columns.len();
            let mut demands = demands.iter();
            let equal =
                demands.find(|it| it.operator == Operator::Equal && cells.contains(&it.column))?;
            Some((equal.column - entry.behind, equal.value.clone()))
        };
        Ok(Self {
            text: text.to_owned(),
            target,
            tables: tables
                .iter()
                .map(|table| RuleTable {
                    id: table.id,
                    name: table.name.clone(),
                    columns: table.columns.iter().map(|it| it.ty.clone()).collect(),
                })
                .collect(),
            behind: scope.entries().iter().map(|entry| entry.behind).collect(),
            cells_len: scope.cells().count(),
            from: all.iter().map(|at| steps(*at, &all)).collect(),
            toward: all
                .iter()
                .map(|at| steps(*at, &paths.between(*at, target)))
                .collect(),
            start: None,
            points: all.iter().map(|at| point(*at)).collect(),
            merits: found.iter().map(|found| found.merit).collect(),
            predicate,
        })
    }

    /// Chooses where to begin to list all rows that it shows, if that can be narrowed.
    pub(super) fn choose_start(
        &mut self,
        is_hidden: impl Fn(TableId) -> bool,
        is_listed: impl Fn(TableId) -> bool,
    ) {
        let merits = self.merits.iter().enumerate();
        let best = merits.max_by_key(|(at, merit)| (**merit, std::cmp::Reverse(*at)));
        let narrow = best.filter(|(_, merit)| **merit > Merit::default());
        let listed = || {
            let mut places = 0..self.tables.len();
            places.find(|at| {
                let id = self.tables[*at].id;
                self.is_other(*at) && is_hidden(id) && is_listed(id)
            })
        };
        self.start = match narrow {
            Some((at, _)) => Some(Start::Source(at)),
            None => listed().map(Start::Listed),
        };
    }

    /// Whether rows of one of its tables count only as far as they are seen. Of the table that the
    /// filter is about, other rows count whether they are seen or not: else it would ask for itself.
    pub(super) fn is_other(&self, at: usize) -> bool {
        self.tables[at].id != self.tables[self.target].id
    }

    /// The tables that it joins, other than its own.
    pub(super) fn others(&self) -> impl Iterator<Item = TableId> {
        let places = (0..self.tables.len()).filter(|at| self.is_other(*at));
        places.map(|at| self.tables[at].id)
    }

    /// All its tables but the place of its own.
    pub(super) fn all(&self) -> impl Iterator<Item = TableId> {
        let places = (0..self.tables.len()).filter(|at| *at != self.target);
        places.map(|at| self.tables[at].id)
    }

    /// A column and the value that it has in every row of a table that matters.
    pub(super) fn point(&self, at: usize) -> Option<&Point> {
        self.points[at].as_ref()
    }

    /// Whether it is the same one, of the same tables.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.text == other.text && self.tables == other.tables && self.points == other.points
    }
}

/// How tables lead to each other.
struct Paths<'p> {
    scope: &'p Scope<'p>,
    edges: &'p [Edge],
    sources: Vec<super::super::reach::Source>,
}

impl Paths<'_> {
    /// The tables between two, both with them. If nothing leads from one to the other, these alone.
    fn between(&self, from: usize, to: usize) -> Vec<usize> {
        // Tables belong together like the branches of a tree: one path leads to each.
        let mut paths = vec![vec![from]];
        let mut at = 0;
        while let Some(path) = paths.get(at).cloned() {
            at += 1;
            let last = path.last().copied().unwrap_or(from);
            if last == to {
                return path;
            }
            for edge in self.edges {
                let next = match edge.tables {
                    [one, other] if one == last => other,
                    [one, other] if other == last => one,
                    _ => continue,
                };
                if !path.contains(&next) {
                    paths.push(path.iter().copied().chain([next]).collect());
                }
            }
        }
        vec![from, to]
    }

    /// From one table to all others of some, by an index where an edge leads there.
    fn ways(&self, start: usize, among: &[usize]) -> Vec<(usize, Way)> {
        let mut ways = vec![(start, Way::Alone(self.sources[start].clone()))];
        loop {
            let seen = |table: usize| ways.iter().any(|(seen, _)| *seen == table);
            let reached = self.edges.iter().filter_map(|edge| {
                let (from, to) = match edge.tables.map(seen) {
                    [true, false] => (0, 1),
                    [false, true] => (1, 0),
                    _ => return None,
                };
                let table = edge.tables[to];
                let entry = &self.scope.entries()[table];
                let column = edge.cells[to] - entry.behind;
                let from = edge.cells[from];
                let reach = reach_by(entry.table, column).filter(|_| among.contains(&table))?;
                let way = Way::Reached {
                    from,
                    column,
                    reach,
                };
                Some((reach.one_row, table, way))
            });
            let best =
                reached.max_by_key(|(one_row, table, _)| (*one_row, std::cmp::Reverse(*table)));
            let next = best.map(|(_, table, way)| (table, way));
            let apart = || {
                let table = among.iter().copied().find(|table| !seen(*table))?;
                Some((table, Way::Alone(self.sources[table].clone())))
            };
            match next.or_else(apart) {
                Some(way) => ways.push(way),
                None => return ways,
            }
        }
    }
}

/// Refuses by name what is no part of a filter.
fn only_a_filter(query: &Query) -> Result<(), SqlError> {
    match for_answers_alone(query, (FILTER_TABLES_MAX, "JOIN of more tables")) {
        Some(clause) => Err(SqlError::NotAFilter(clause)),
        None => Ok(()),
    }
}
