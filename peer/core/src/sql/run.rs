//! Runs a planned query over the visible rows.

use spacetimedb_sats::AlgebraicType;
use store::{Range, Row, Schema, State, StoreError, TableSchema};

use crate::values::{BadValue, Reader, list_names};

use super::error::SqlError;
use super::join::Side;
use super::parse::{Name, Query, parse};
use super::plan::{JoinPlan, Output, Plan, Source, plan};
use super::predicate::Predicate;
use super::{ANSWER_BYTES_MAX, ANSWER_ROWS_MAX, Access, SqlResult, VirtualTables};

/// Answers one query over the visible state and the views of this peer.
///
/// # Errors
/// [`SqlError`]: what is wrong with the query, where, and what could be asked instead; or, told
/// apart by [`SqlError::is_ours`], that the store failed.
pub(crate) fn run(
    text: &str,
    schema: &Schema,
    state: &State,
    extra: &dyn VirtualTables,
    access: Access,
) -> Result<SqlResult, SqlError> {
    let query = parse(text)?;
    if let Some(tables) = Tables::find(&query, schema, access)? {
        let (plan, columns) = tables.plan(&query, access)?;
        let rows = stored(&plan, &tables, state)?;
        return Ok(SqlResult { columns, rows });
    }
    if let Some(join) = &query.join {
        let place = Some(join.table.place);
        return Err(SqlError::not_built("JOIN with a view of this peer", place));
    }
    let (table, rows) = extra
        .table(&query.table.text)
        .filter(|(table, _)| access.owner || table.public)
        .ok_or_else(|| no_such_table(&query.table, schema, access))?;
    let (mut plan, columns) = plan(&query, &table, None, &access.sender)?;
    // Views have no indexes, whatever their schema says.
    plan.source = Source::Table;
    let rows = collect(&plan, &table, rows.into_iter().map(Ok))?;
    Ok(SqlResult { columns, rows })
}

/// The stored tables that a query names.
pub(super) struct Tables<'a> {
    pub(super) first: &'a TableSchema,
    pub(super) joined: Option<&'a TableSchema>,
}

impl<'a> Tables<'a> {
    /// `None`: the first one is not stored, and nothing is joined to it that is.
    pub(super) fn find(
        query: &Query,
        schema: &'a Schema,
        access: Access,
    ) -> Result<Option<Self>, SqlError> {
        let table = |name: &Name| {
            let table = schema.table_by_name(&name.text);
            table.filter(|table| access.owner || table.public)
        };
        let Some(first) = table(&query.table) else {
            return Ok(None);
        };
        let joined = query.join.as_ref().map(|join| {
            table(&join.table).ok_or_else(|| no_such_table(&join.table, schema, access))
        });
        Ok(Some(Self {
            first,
            joined: joined.transpose()?,
        }))
    }

    pub(super) fn plan(
        &self,
        query: &Query,
        access: Access,
    ) -> Result<(Plan, Vec<(String, AlgebraicType)>), SqlError> {
        let joined = query.join.as_ref().zip(self.joined);
        plan(query, self.first, joined, &access.sender)
    }

    /// Both sides of a join.
    pub(super) fn sides(&self, join: &JoinPlan) -> Option<[Side; 2]> {
        let side = |table: &TableSchema, at: usize| Side {
            table: table.id,
            name: table.name.clone(),
            columns: table.columns.iter().map(|it| it.ty.clone()).collect(),
            column: join.columns[at],
            reach: join.indexes[at],
        };
        Some([side(self.first, 0), side(self.joined?, 1)])
    }
}

/// Private tables are not named to those who may not read them: they learn nothing but what a
/// client can see.
pub(super) fn no_such_table(name: &Name, schema: &Schema, access: Access) -> SqlError {
    let tables = schema
        .tables()
        .iter()
        .filter(|table| access.owner || table.public);
    SqlError::NoSuchTable {
        name: name.text.clone(),
        place: name.place,
        known: list_names(tables.map(|table| table.name.as_str())),
    }
}

pub(super) fn stored(
    plan: &Plan,
    tables: &Tables<'_>,
    state: &State,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let table = tables.first;
    let failed = |source| SqlError::Store {
        table: table.name.clone(),
        source,
    };
    if plan.output == Output::Count
        && plan.predicate == Predicate::Constant(true)
        && plan.join.is_none()
    {
        // The store counts rows as they change, so none has to be read.
        return collect_count(plan, state.row_count(table.id).map_err(failed)?);
    }
    let sides = plan.join.as_ref().and_then(|join| tables.sides(join));
    let answer = |rows: &mut dyn Iterator<Item = Result<Row, StoreError>>| match &sides {
        None => collect(plan, table, rows),
        Some(sides) => collect_pairs(plan, sides, rows, state),
    };
    match &plan.source {
        Source::Table => answer(&mut state.rows(table.id).map_err(failed)?),
        Source::Point(index, values) => {
            let range = Range::point(values);
            answer(&mut state.scan_index(*index, &range).map_err(failed)?)
        }
        Source::Range {
            index,
            prefix,
            prefix_len,
            start,
            end,
        } => {
            let range = Range::Prefix {
                prefix,
                prefix_len: *prefix_len,
                start: start.as_ref().map(Vec::as_slice),
                end: end.as_ref().map(Vec::as_slice),
            };
            answer(&mut state.scan_index(*index, &range).map_err(failed)?)
        }
    }
}

fn collect(
    plan: &Plan,
    table: &TableSchema,
    rows: impl Iterator<Item = Result<Row, StoreError>>,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let mut collector = Collector::new(plan);
    let columns = &table.columns[..plan.cells_len()];
    for row in rows {
        if collector.is_full() {
            break;
        }
        let row = row.map_err(|source| SqlError::Store {
            table: table.name.clone(),
            source: source.into(),
        })?;
        let types = columns.iter().map(|column| &column.ty);
        let cells = cells(&row, types).map_err(|source| SqlError::Damaged {
            table: table.name.clone(),
            source,
        })?;
        collector.see(&cells, [&row, &[]])?;
    }
    collector.finish()
}

/// Each row with those of the other table that belong to it.
fn collect_pairs(
    plan: &Plan,
    [first, second]: &[Side; 2],
    rows: &mut dyn Iterator<Item = Result<Row, StoreError>>,
    state: &State,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let mut collector = Collector::new(plan);
    for row in rows {
        let row = row.map_err(|source| SqlError::Store {
            table: first.name.clone(),
            source: source.into(),
        })?;
        let cells = first.cells(&row).map_err(|error| first.damaged(error))?;
        for other in second.matches(cells[first.column], state)? {
            if collector.is_full() {
                return collector.finish();
            }
            let of_other = second
                .cells(&other)
                .map_err(|error| second.damaged(error))?;
            let both: Vec<&[u8]> = cells.iter().chain(&of_other).copied().collect();
            collector.see(&both, [&row, &other])?;
        }
    }
    collector.finish()
}

/// Puts the answer together.
struct Collector<'a> {
    plan: &'a Plan,
    wanted: u64,
    found: u64,
    answer: Answer,
}

impl<'a> Collector<'a> {
    fn new(plan: &'a Plan) -> Self {
        let wanted = match plan.output {
            // A limit bounds the rows of the answer, and a count is one row.
            Output::Count => u64::MAX,
            Output::Rows { .. } | Output::Cells(_) => plan.limit.unwrap_or(u64::MAX),
        };
        Self {
            plan,
            wanted,
            found: 0,
            answer: Answer::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.found >= self.wanted
    }

    /// A row of each table, or of one, by its cells and whole.
    fn see(&mut self, cells: &[&[u8]], [row, other]: [&[u8]; 2]) -> Result<(), SqlError> {
        if !self.plan.predicate.holds(cells) {
            return Ok(());
        }
        self.found += 1;
        match &self.plan.output {
            Output::Rows { joined: false } => self.answer.push(row.to_vec()),
            Output::Rows { joined: true } => self.answer.push(other.to_vec()),
            Output::Cells(columns) => {
                let chosen = columns.iter().flat_map(|at| cells[*at]);
                self.answer.push(chosen.copied().collect())
            }
            Output::Count => Ok(()),
        }
    }

    fn finish(self) -> Result<Vec<Vec<u8>>, SqlError> {
        match self.plan.output {
            Output::Count => collect_count(self.plan, self.found),
            Output::Rows { .. } | Output::Cells(_) => Ok(self.answer.rows),
        }
    }
}

fn collect_count(plan: &Plan, count: u64) -> Result<Vec<Vec<u8>>, SqlError> {
    let mut answer = Answer::default();
    if plan.limit != Some(0) {
        answer.push(count.to_le_bytes().to_vec())?;
    }
    Ok(answer.rows)
}

/// The first cells of a row, each as BSATN.
pub(super) fn cells<'a, 't>(
    row: &'a [u8],
    types: impl Iterator<Item = &'t AlgebraicType>,
) -> Result<Vec<&'a [u8]>, BadValue> {
    let mut reader = Reader::new(row);
    types.map(|ty| reader.value(ty)).collect()
}

#[derive(Default)]
struct Answer {
    rows: Vec<Vec<u8>>,
    bytes: usize,
}

impl Answer {
    fn push(&mut self, row: Vec<u8>) -> Result<(), SqlError> {
        self.bytes += row.len() + store::limits::ROW_OVERHEAD_BYTES;
        if self.rows.len() == ANSWER_ROWS_MAX || self.bytes > ANSWER_BYTES_MAX {
            return Err(SqlError::TooLarge);
        }
        self.rows.push(row);
        Ok(())
    }
}
