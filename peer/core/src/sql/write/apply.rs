//! Runs a compiled statement in a transaction: the same on every peer, whoever wrote it. Nothing of
//! it is believed before it is checked: it comes from another peer.

use store::{DataError, Row, TableId, TableSchema, Transaction};
use sync_protocol::{RowWrite, WriteChange, WriteCondition, WriteOperator, WriteTerm};

use crate::values::Reader;

use super::super::compare::Comparison;
use super::super::predicate::Predicate;
use super::super::query::Operator;
use super::super::reach::source;
use super::super::run::cells;
use super::super::steps::demands;
use super::{columns_hash, not_writable};

/// Levels of a condition: as many as parentheses can make, with some room.
const LEVELS_MAX: usize = 64;

/// Why a statement changes nothing.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It is no statement for this table.
    Refused(&'static str),
    /// The rows do not allow it, or the store failed.
    Rows(DataError),
}

impl From<DataError> for Unfit {
    fn from(error: DataError) -> Self {
        Self::Rows(error)
    }
}

/// Runs a statement; gives how many rows it concerned.
pub(crate) fn apply(tx: &mut Transaction, write: &RowWrite) -> Result<u64, Unfit> {
    let schema = tx.schema().clone();
    let id = TableId(write.table);
    let table = schema.table(id);
    let table = table.ok_or(Unfit::Refused("there is no table with that number"))?;
    if not_writable(table).is_some() {
        return Err(Unfit::Refused("rows of that table are not written by SQL"));
    }
    if columns_hash(table) != write.columns {
        return Err(Unfit::Refused(
            "the table has other columns than when the statement was made: make it again",
        ));
    }
    match &write.change {
        WriteChange::Insert(rows) => {
            for row in rows {
                tx.insert(id, row)?;
            }
            Ok(rows.len() as u64)
        }
        WriteChange::Delete(condition) => {
            let rows = meant(tx, table, condition)?;
            delete(tx, id, &rows)?;
            Ok(rows.len() as u64)
        }
        WriteChange::Update { set, condition } => {
            for (at, value) in set {
                let column = table.columns.get(usize::from(*at));
                let column = column.ok_or(Unfit::Refused("there is no such column"))?;
                let mut reader = Reader::new(value);
                let whole = reader.value(&column.ty).is_ok() && reader.finish().is_ok();
                if !whole {
                    return Err(Unfit::Refused("a value is none of its column's type"));
                }
            }
            let rows = meant(tx, table, condition)?;
            let mut changed = Vec::with_capacity(rows.len());
            for row in &rows {
                let types = table.columns.iter().map(|column| &column.ty);
                let mut cells = cells(row, types).map_err(|_| DAMAGED)?;
                for (at, value) in set {
                    cells[usize::from(*at)] = value;
                }
                changed.push(cells.concat());
            }
            // First all go, so that no row is in the way of another's new values.
            delete(tx, id, &rows)?;
            for row in &changed {
                tx.insert(id, row)?;
            }
            Ok(rows.len() as u64)
        }
    }
}

const DAMAGED: Unfit = Unfit::Rows(DataError::Decode("a stored row is none of its table"));

/// Deletes rows that are there.
fn delete(tx: &mut Transaction, table: TableId, rows: &[Row]) -> Result<(), DataError> {
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let mut relation = count.to_le_bytes().to_vec();
    rows.iter().for_each(|row| relation.extend_from_slice(row));
    tx.delete_all_by_eq(table, &relation).map(|_| ())
}

/// The rows that a condition means, by an index where that is less to read. What is read decides
/// whether a scan is too large, which all peers have to say alike: another choice of index is
/// another engine.
fn meant(
    tx: &Transaction,
    table: &TableSchema,
    condition: &WriteCondition,
) -> Result<Vec<Row>, Unfit> {
    let predicate = read(table, condition)?;
    let found = source(table, &demands(&[], &predicate), None, false);
    let rows = match found.source.range() {
        None => tx.scan(table.id)?,
        Some((index, range)) => tx.scan_range(index, &range)?,
    };
    let len = predicate.cells_len();
    let mut meant = vec![];
    for row in rows {
        let types = table.columns[..len].iter().map(|column| &column.ty);
        let cells = cells(&row, types).map_err(|_| DAMAGED)?;
        if predicate.holds(&cells) {
            meant.push(row);
        }
    }
    // Rows may be numbered anew, and that must not follow from the index they were found by.
    meant.sort_unstable();
    Ok(meant)
}

/// The condition over the table's columns, with everything in it checked.
fn read(table: &TableSchema, condition: &WriteCondition) -> Result<Predicate, Unfit> {
    let no_condition = || Unfit::Refused("the condition is none");
    let column = |at: u16| {
        let column = table.columns.get(usize::from(at));
        column.ok_or(Unfit::Refused("there is no such column"))
    };
    let comparison = |at: u16| {
        let comparison = Comparison::of(&column(at)?.ty);
        comparison.ok_or(Unfit::Refused("the column cannot be compared"))
    };
    let mut parts: Vec<(Predicate, usize)> = vec![];
    for term in &condition.0 {
        let (predicate, level) = match term {
            WriteTerm::Constant(value) => (Predicate::Constant(*value), 0),
            WriteTerm::Value(at, operator, value) => {
                let mut reader = Reader::new(value);
                let whole = reader.value(&column(*at)?.ty).is_ok() && reader.finish().is_ok();
                if !whole {
                    return Err(Unfit::Refused("a value is none of its column's type"));
                }
                let predicate = Predicate::Literal {
                    column: usize::from(*at),
                    comparison: comparison(*at)?,
                    operator: operator_of(*operator),
                    value: value.clone(),
                };
                (predicate, 0)
            }
            WriteTerm::Columns(left, operator, right) => {
                if column(*left)?.ty != column(*right)?.ty {
                    return Err(Unfit::Refused("columns of two types are compared"));
                }
                let predicate = Predicate::Columns {
                    left: usize::from(*left),
                    comparison: comparison(*left)?,
                    operator: operator_of(*operator),
                    right: usize::from(*right),
                };
                (predicate, 0)
            }
            WriteTerm::All(count) | WriteTerm::Any(count) => {
                let start = parts.len().checked_sub(usize::from(*count));
                let of = parts.split_off(start.ok_or_else(no_condition)?);
                let level = of.iter().map(|(_, level)| level + 1).max().unwrap_or(1);
                let of = of.into_iter().map(|(part, _)| part).collect();
                let predicate = match term {
                    WriteTerm::All(_) => Predicate::All(of),
                    _ => Predicate::Any(of),
                };
                (predicate, level)
            }
        };
        if level > LEVELS_MAX {
            return Err(Unfit::Refused("the condition is nested too deeply"));
        }
        parts.push((predicate, level));
    }
    match (parts.pop(), parts.is_empty()) {
        (Some((predicate, _)), true) => Ok(predicate),
        _ => Err(no_condition()),
    }
}

const fn operator_of(operator: WriteOperator) -> Operator {
    match operator {
        WriteOperator::Equal => Operator::Equal,
        WriteOperator::NotEqual => Operator::NotEqual,
        WriteOperator::Less => Operator::Less,
        WriteOperator::LessOrEqual => Operator::LessOrEqual,
        WriteOperator::Greater => Operator::Greater,
        WriteOperator::GreaterOrEqual => Operator::GreaterOrEqual,
    }
}
