//! Runs a planned query over the visible rows.

use spacetimedb_sats::AlgebraicType;
use store::{Range, Row, Schema, State, StoreError, TableSchema};

use crate::values::{BadValue, Reader, list_names};

use super::error::SqlError;
use super::parse::{Query, parse};
use super::plan::{Output, Plan, Source, plan};
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
    let name = query.table.text.as_str();
    if let Some(table) = schema
        .table_by_name(name)
        .filter(|table| access.owner || table.public)
    {
        let (plan, columns) = plan(&query, table, &access.sender)?;
        let rows = stored(&plan, table, state)?;
        return Ok(SqlResult { columns, rows });
    }
    let (table, rows) = extra
        .table(name)
        .filter(|(table, _)| access.owner || table.public)
        .ok_or_else(|| no_such_table(&query, schema, access))?;
    let (mut plan, columns) = plan(&query, &table, &access.sender)?;
    // Views have no indexes, whatever their schema says.
    plan.source = Source::Table;
    let rows = collect(&plan, &table, rows.into_iter().map(Ok))?;
    Ok(SqlResult { columns, rows })
}

/// Private tables are not named to those who may not read them: they learn nothing but what a
/// client can see.
pub(super) fn no_such_table(query: &Query, schema: &Schema, access: Access) -> SqlError {
    let tables = schema
        .tables()
        .iter()
        .filter(|table| access.owner || table.public);
    SqlError::NoSuchTable {
        name: query.table.text.clone(),
        place: query.table.place,
        known: list_names(tables.map(|table| table.name.as_str())),
    }
}

pub(super) fn stored(
    plan: &Plan,
    table: &TableSchema,
    state: &State,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let failed = |source| SqlError::Store {
        table: table.name.clone(),
        source,
    };
    if plan.output == Output::Count && plan.predicate == Predicate::Constant(true) {
        // The store counts rows as they change, so none has to be read.
        return collect_count(plan, state.row_count(table.id).map_err(failed)?);
    }
    match &plan.source {
        Source::Table => collect(plan, table, state.rows(table.id).map_err(failed)?),
        Source::Point(index, values) => {
            let range = Range::point(values);
            collect(
                plan,
                table,
                state.scan_index(*index, &range).map_err(failed)?,
            )
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
            collect(
                plan,
                table,
                state.scan_index(*index, &range).map_err(failed)?,
            )
        }
    }
}

fn collect(
    plan: &Plan,
    table: &TableSchema,
    rows: impl Iterator<Item = Result<Row, StoreError>>,
) -> Result<Vec<Vec<u8>>, SqlError> {
    let wanted = match plan.output {
        // A limit bounds the rows of the answer, and a count is one row.
        Output::Count => u64::MAX,
        Output::Rows | Output::Cells(_) => plan.limit.unwrap_or(u64::MAX),
    };
    let projected = match &plan.output {
        Output::Cells(cells) => cells.iter().max().map_or(0, |last| last + 1),
        Output::Rows | Output::Count => 0,
    };
    let looked_at = projected.max(plan.predicate.cells_len());
    let columns = &table.columns[..looked_at];
    let mut answer = Answer::default();
    let mut found = 0_u64;
    for row in rows {
        if found >= wanted {
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
        if !plan.predicate.holds(&cells) {
            continue;
        }
        found += 1;
        match &plan.output {
            Output::Rows => answer.push(row.to_vec())?,
            Output::Cells(columns) => {
                answer.push(columns.iter().flat_map(|at| cells[*at]).copied().collect())?;
            }
            Output::Count => {}
        }
    }
    match plan.output {
        Output::Count => collect_count(plan, found),
        Output::Rows | Output::Cells(_) => Ok(answer.rows),
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
