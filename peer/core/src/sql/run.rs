//! Runs a planned query over the visible rows.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use spacetimedb_sats::AlgebraicType;
use store::limits::ROW_OVERHEAD_BYTES;
use store::{DataError, Row, State, StoreError};

use crate::values::{BadValue, Reader};

use super::bind::Scope;
use super::collect::Collector;
use super::error::SqlError;
use super::explain::explain;
use super::group::Groups;
use super::join::reached;
use super::parse::parse_query;
use super::plan::{Plan, plan};
use super::predicate::Predicate;
use super::reach::Source;
use super::relation::{Relation, Relations};
use super::steps::{Step, Way};
use super::visibility::{Look, Visible};
use super::{GATHERED_BYTES_MAX, JOINED_ROWS_MAX, Reading, SqlResult};

/// Answers one query over the visible state and the views of this peer.
///
/// # Errors
/// [`SqlError`]: what is wrong with the query, where, and what could be asked instead; or, told
/// apart by [`SqlError::is_ours`], that the store failed.
pub(crate) fn run(text: &str, here: &Reading<'_>) -> Result<SqlResult, SqlError> {
    let (state, access) = (here.state, here.access);
    let schema = state.schema();
    let query = parse_query(text)?;
    let relations = Relations::find(&query, schema, Some(here.views), access)?;
    let visible = Visible::of(here.filters, schema, access, relations.stored());
    let tables = relations.tables();
    let scope = Scope::new(&query.tables, &tables)?;
    let (plan, columns) = plan(&query, &scope, &access.sender, &visible)?;
    if query.explain {
        return Ok(explain(&plan, &columns, &scope));
    }
    let rows = rows(&plan, &relations, state, &visible)?;
    Ok(SqlResult { columns, rows })
}

/// The answer to a planned query.
pub(super) fn rows(
    plan: &Plan,
    relations: &Relations<'_>,
    state: &State,
    visible: &Visible,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let mut collector = Collector::new(plan);
    if collector.is_full() {
        return Ok(vec![]);
    }
    let walk = Walk {
        plan,
        relations,
        state,
        visible,
        gathered: plan.steps.iter().map(|_| OnceCell::new()).collect(),
        joined: Cell::new(0),
    };
    let mut came = 0;
    let Some(grouping) = &plan.grouping else {
        walk.all(&mut |cells, rows| {
            came += 1;
            collector.see(came, cells, rows)
        })?;
        return collector.finish();
    };
    let mut groups = Groups::new(&grouping.columns);
    match walk.counted().filter(|_| grouping.columns.only_counts()) {
        Some(count) => groups.see_all(count?),
        None => {
            walk.all(&mut |cells, _| {
                groups.see(cells)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    for group in groups.finish() {
        let group = group?;
        let cells: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        came += 1;
        if grouping.having.holds(&cells) && collector.see(came, &cells, &[])?.is_break() {
            break;
        }
    }
    collector.finish()
}

/// Takes the cells and rows of all tables that belong together.
type See<'s> = dyn FnMut(&[&[u8]], &[&[u8]]) -> Result<ControlFlow<()>, SqlError> + 's;

/// Rows by the sort key of one of their columns.
type Gathered = BTreeMap<Vec<u8>, Vec<Row>>;

/// Rows of one table, one after the other.
type Found<'w> = Box<dyn Iterator<Item = Result<Row, SqlError>> + 'w>;

/// A walk over the rows of all tables, one inside of the other.
struct Walk<'a> {
    plan: &'a Plan,
    relations: &'a Relations<'a>,
    state: &'a State,
    /// What the caller sees of tables whose rows have to be asked for.
    visible: &'a Visible,
    /// For each step, rows that are found without an index.
    gathered: Vec<OnceCell<Gathered>>,
    /// Rows that were looked at for rows of other tables.
    joined: Cell<u64>,
}

impl Walk<'_> {
    /// The number of all rows, where nothing is asked of them: the store counts rows as they
    /// change, so none has to be read.
    fn counted(&self) -> Option<Result<u64, SqlError>> {
        let [step] = self.plan.steps.as_slice() else {
            return None;
        };
        let relation = self.relations.get(step.table);
        let all = step.way == Way::Alone(Source::Table) && step.own == Predicate::Constant(true);
        let stored = all && relation.made.is_none() && !self.plan.asked[step.table];
        let count = || self.state.row_count(relation.table.id);
        stored.then(|| count().map_err(|error| failed(relation, error)))
    }

    /// Walks over all rows, until no more are wanted.
    fn all(&self, see: &mut See<'_>) -> Result<(), SqlError> {
        let no_cells = vec![&[][..]; self.plan.cells_len];
        let no_rows = vec![&[][..]; self.plan.steps.len()];
        self.from(0, &no_cells, &no_rows, see).map(|_| ())
    }

    /// Walks over the rows of one step, and those of the steps behind it for each of them.
    fn from(
        &self,
        at: usize,
        cells: &[&[u8]],
        rows: &[&[u8]],
        see: &mut See<'_>,
    ) -> Result<ControlFlow<()>, SqlError> {
        let Some(step) = self.plan.steps.get(at) else {
            return see(cells, rows);
        };
        let relation = self.relations.get(step.table);
        let behind = self.plan.behind[step.table];
        let (found, is_seen) = self.found(at, step, cells)?;
        let is_asked = self.plan.asked[step.table] && !is_seen;
        for row in found {
            let row = row?;
            if at > 0 {
                self.joined.set(self.joined.get() + 1);
                if self.joined.get() > JOINED_ROWS_MAX {
                    return Err(SqlError::JoinTooLong);
                }
            }
            let mut cells = cells.to_vec();
            let own = own_cells(relation, &row, step.cells_len)?;
            cells[behind..behind + own.len()].copy_from_slice(&own);
            if !step.own.holds(&cells) || !step.together.holds(&cells) {
                continue;
            }
            if is_asked && !self.visible.sees(relation.table.id, &row, &self.look())? {
                continue;
            }
            let mut rows = rows.to_vec();
            rows[step.table] = &row;
            if self.from(at + 1, &cells, &rows, see)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn look(&self) -> Look<'_> {
        Look::now(self.state, &self.joined)
    }

    /// The rows of a step, and whether it is known already that the caller sees them.
    fn found(
        &self,
        at: usize,
        step: &Step,
        cells: &[&[u8]],
    ) -> Result<(Found<'_>, bool), SqlError> {
        let relation = self.relations.get(step.table);
        match &step.way {
            Way::Alone(source) => {
                // A list is in no order.
                let in_order = at == 0 && self.plan.in_order && !self.plan.order.is_empty();
                self.read(step.table, source, !in_order)
            }
            Way::Reached { from, reach, .. } => {
                let rows = reached(*reach, cells[*from], self.state);
                let rows = rows.map_err(|error| failed(relation, error))?;
                let rows = rows.map(|row| row.map_err(|error| broken(relation, error)));
                Ok((Box::new(rows), false))
            }
            Way::Gathered {
                from,
                column,
                source,
            } => {
                let gathered = match self.gathered[at].get() {
                    Some(gathered) => gathered,
                    None => {
                        let gathered = self.gather(step, *column, source)?;
                        self.gathered[at].get_or_init(|| gathered)
                    }
                };
                let ty = &relation.table.columns[*column].ty;
                let key = store::sort_key(ty, cells[*from]);
                let key = key.map_err(|error| failed(relation, error))?;
                let rows = gathered.get(&key).into_iter().flatten();
                Ok((Box::new(rows.map(|row| Ok(Row::clone(row)))), true))
            }
        }
    }

    /// Reads a table once, and keeps those of its rows that can matter.
    fn gather(&self, step: &Step, column: usize, source: &Source) -> Result<Gathered, SqlError> {
        let relation = self.relations.get(step.table);
        let behind = self.plan.behind[step.table];
        let mut gathered = Gathered::new();
        let mut bytes = 0;
        let (found, is_seen) = self.read(step.table, source, true)?;
        let is_asked = self.plan.asked[step.table] && !is_seen;
        for row in found {
            let row = row?;
            let own = own_cells(relation, &row, step.cells_len)?;
            let mut cells = vec![&[][..]; self.plan.cells_len];
            cells[behind..behind + own.len()].copy_from_slice(&own);
            if !step.own.holds(&cells) {
                continue;
            }
            if is_asked && !self.visible.sees(relation.table.id, &row, &self.look())? {
                continue;
            }
            let key = store::sort_key(&relation.table.columns[column].ty, own[column]);
            let key = key.map_err(|error| failed(relation, error))?;
            bytes += key.len() + row.len() + ROW_OVERHEAD_BYTES;
            if bytes > GATHERED_BYTES_MAX {
                return Err(SqlError::JoinTooLarge {
                    table: relation.table.name.clone(),
                    column: relation.table.columns[column].name.clone(),
                });
            }
            gathered.entry(key).or_default().push(Row::clone(&row));
        }
        Ok(gathered)
    }

    /// The rows of a source, and whether it is known already that the caller sees them; in any order
    /// if `listed`.
    fn read(
        &self,
        table: usize,
        source: &Source,
        listed: bool,
    ) -> Result<(Found<'_>, bool), SqlError> {
        let relation = self.relations.get(table);
        if let Some(rows) = &relation.made {
            let rows = rows.iter().map(|row| Ok(Row::clone(row)));
            return Ok((Box::new(rows), true));
        }
        let lists = self.plan.asked[table] && listed && *source == Source::Table;
        let list = match lists {
            true => self.visible.list(relation.table.id, &self.look())?,
            false => None,
        };
        if let Some(rows) = list {
            return Ok((Box::new(rows.into_iter().map(Ok)), true));
        }
        let failed = |error| failed(relation, error);
        let broken = |row: Result<Row, StoreError>| row.map_err(|error| broken(relation, error));
        let Some((index, range)) = source.range() else {
            let rows = self.state.rows(relation.table.id).map_err(failed)?;
            return Ok((Box::new(rows.map(broken)), false));
        };
        let rows = self.state.scan_index(index, &range).map_err(failed)?;
        Ok((Box::new(rows.map(broken)), false))
    }
}

fn failed(relation: &Relation<'_>, source: DataError) -> SqlError {
    SqlError::Store {
        table: relation.table.name.clone(),
        source,
    }
}

fn broken(relation: &Relation<'_>, error: StoreError) -> SqlError {
    failed(relation, error.into())
}

fn own_cells<'r>(
    relation: &Relation<'_>,
    row: &'r [u8],
    len: usize,
) -> Result<Vec<&'r [u8]>, SqlError> {
    let types = relation.table.columns[..len].iter();
    cells(row, types.map(|column| &column.ty)).map_err(|source| SqlError::Damaged {
        table: relation.table.name.clone(),
        source,
    })
}

/// The first cells of a row, each as BSATN.
pub(super) fn cells<'a, 't>(
    row: &'a [u8],
    types: impl Iterator<Item = &'t AlgebraicType>,
) -> Result<Vec<&'a [u8]>, BadValue> {
    let mut reader = Reader::new(row);
    types.map(|ty| reader.value(ty)).collect()
}
