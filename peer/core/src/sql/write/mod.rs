//! Statements that change rows: compiled to a form without names and texts where they are made, and
//! run in that form at their position on every peer. So what they mean does not depend on how a
//! later release reads SQL.

pub(crate) mod apply;
pub(super) mod parse;

use spacetimedb_sats::AlgebraicType;
use store::{Column, Schema, TableId, TableSchema};
use sync_protocol::{
    RowWrite, SystemCall, WRITE_COLUMNS_MAX, WRITE_ROWS_MAX, WRITE_TERMS_MAX, WriteChange,
    WriteCondition, WriteOperator, WriteTerm,
};

use crate::values::{list_names, type_name};

use super::Access;
use super::bind::{Cell, Scope, column_in, predicate};
use super::error::{Place, SqlError};
use super::predicate::Predicate;
use super::query::{Change, Condition, FromTable, Given, Name, Operator, Statement, Write};
use super::relation::no_such_table;

/// Tables with a smaller number are the database's own.
const FIRST_OF_MODULE: TableId = TableId(4_096);

/// Purpose of the hash by which a statement knows its columns again.
const COLUMNS_CONTEXT: &str = "tombolo write columns 1";

/// The statement in the form in which it travels; `None` if the text is a query.
///
/// # Errors
/// [`SqlError`] names what is wrong with the text, or does not fit the table.
pub(crate) fn compile(
    text: &str,
    schema: &Schema,
    access: Access,
) -> Result<Option<RowWrite>, SqlError> {
    let write = match super::parse::parse(text)? {
        Statement::Query(_) => return Ok(None),
        Statement::Write(write) => write,
    };
    let table = schema.table_by_name(&write.table.text);
    let table = table.filter(|table| access.owner || table.public);
    let table = table.ok_or_else(|| no_such_table(&write.table, schema, access))?;
    if let Some(why) = not_writable(table) {
        return Err(SqlError::NotWritable {
            table: table.name.clone(),
            why,
            place: write.table.place,
        });
    }
    let compiled = RowWrite {
        table: table.id.0,
        columns: columns_hash(table),
        change: change_of(&write, table, &access.sender)?,
    };
    let bytes = SystemCall::Write(compiled.clone()).encode().len();
    match bytes > sync_protocol::limits::ARGUMENTS_BYTES_MAX {
        true => Err(SqlError::WriteTooLarge),
        false => Ok(Some(compiled)),
    }
}

/// Why rows of a table are not written by statements.
fn not_writable(table: &TableSchema) -> Option<&'static str> {
    if table.id < FIRST_OF_MODULE {
        return Some("one of the database's own, which only calls to the database change");
    }
    table
        .event
        .then_some("a table of events, which are told by reducers")
}

fn columns_hash(table: &TableSchema) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key(COLUMNS_CONTEXT);
    for column in &table.columns {
        let ty = spacetimedb_sats::bsatn::to_vec(&column.ty);
        hasher.update(&ty.unwrap_or_else(|_| unreachable!("a type can be written down")));
    }
    let mut short = [0; 8];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    short
}

fn change_of(
    write: &Write,
    table: &TableSchema,
    sender: &[u8; 32],
) -> Result<WriteChange, SqlError> {
    let place = write.table.place;
    Ok(match &write.change {
        Change::Insert { columns, rows } => {
            if rows.len() > WRITE_ROWS_MAX {
                return Err(SqlError::TooLong);
            }
            let columns = match columns {
                Some(names) => distinct(names.iter(), table)?,
                None => (0..table.columns.len()).collect(),
            };
            let rows = rows.iter().enumerate();
            let rows = rows.map(|(at, values)| match values.len() == columns.len() {
                true => row_of(table, &columns, values, sender, place),
                false => Err(SqlError::Values {
                    row: at + 1,
                    values: values.len(),
                    columns: columns.len(),
                    place,
                }),
            });
            WriteChange::Insert(rows.collect::<Result<_, _>>()?)
        }
        Change::Update { set, condition } => {
            let columns = distinct(set.iter().map(|(name, _)| name), table)?;
            let set = columns.iter().zip(set);
            let set = set.map(|(at, (_, given))| {
                let value = value_of(&table.columns[*at], given, sender)?;
                Ok((u16::try_from(*at).map_err(|_| SqlError::TooLong)?, value))
            });
            let mut set: Vec<(u16, Vec<u8>)> = set.collect::<Result<_, SqlError>>()?;
            set.sort_unstable();
            if set.len() > WRITE_COLUMNS_MAX {
                return Err(SqlError::TooLong);
            }
            WriteChange::Update {
                set,
                condition: condition_of(condition.as_ref(), write, table, sender)?,
            }
        }
        Change::Delete { condition } => {
            WriteChange::Delete(condition_of(condition.as_ref(), write, table, sender)?)
        }
    })
}

/// The places of columns, none of which is named twice.
fn distinct<'n>(
    names: impl Iterator<Item = &'n Name>,
    table: &TableSchema,
) -> Result<Vec<usize>, SqlError> {
    let mut columns = vec![];
    for name in names {
        let found = column_in(table, &name.text);
        let (at, column) = found.ok_or_else(|| SqlError::NoSuchColumn {
            name: name.text.clone(),
            table: table.name.clone(),
            place: name.place,
            known: list_names(table.columns.iter().map(|column| column.name.as_str())),
        })?;
        if columns.contains(&at) {
            return Err(SqlError::Twice {
                column: column.name.clone(),
                place: name.place,
            });
        }
        columns.push(at);
    }
    Ok(columns)
}

/// A whole row as BSATN. Columns that number themselves may be left out: 0 asks for a number.
fn row_of(
    table: &TableSchema,
    columns: &[usize],
    values: &[Given],
    sender: &[u8; 32],
    place: Place,
) -> Result<Vec<u8>, SqlError> {
    let mut row = vec![];
    for (at, column) in table.columns.iter().enumerate() {
        match columns.iter().position(|named| *named == at) {
            Some(named) => row.extend(value_of(column, &values[named], sender)?),
            None => {
                let numbers_itself = table.auto_inc.iter().any(|it| usize::from(*it) == at);
                let zero = super::literal::Literal::Number("0".to_owned());
                let zero = zero.as_type(&column.ty, sender).filter(|_| numbers_itself);
                row.extend(zero.ok_or_else(|| SqlError::NoValue {
                    column: column.name.clone(),
                    place,
                })?);
            }
        }
    }
    Ok(row)
}

/// A value as BSATN of a column's type. NULL is the absence of an optional one.
fn value_of(column: &Column, given: &Given, sender: &[u8; 32]) -> Result<Vec<u8>, SqlError> {
    let (value, shown, place) = match given {
        Given::Literal(literal, place) => {
            let plain = || literal.as_type(&column.ty, sender);
            let some = |ty: &AlgebraicType| {
                let value = literal.as_type(ty, sender)?;
                Some([vec![0], value].concat())
            };
            let value = column.ty.as_option().map_or_else(plain, some);
            (value, literal.shown(), *place)
        }
        Given::Null(place) => {
            let none = column.ty.is_option().then(|| vec![1]);
            (none, "NULL".to_owned(), *place)
        }
    };
    value.ok_or_else(|| SqlError::Literal {
        column: column.name.clone(),
        ty: type_name(&column.ty),
        literal: shown,
        place,
    })
}

fn condition_of(
    condition: Option<&Condition>,
    write: &Write,
    table: &TableSchema,
    sender: &[u8; 32],
) -> Result<WriteCondition, SqlError> {
    let from = [FromTable {
        table: write.table.clone(),
        alias: None,
        on: None,
    }];
    let scope = Scope::new(&from, &[table])?;
    let mut find = |value: &_| -> Result<Cell, SqlError> { scope.of_row(value) };
    let predicate = match condition {
        Some(condition) => predicate(condition, sender, &mut find)?,
        None => Predicate::Constant(true),
    };
    let mut terms = vec![];
    list(&predicate, &mut terms);
    match terms.len() > WRITE_TERMS_MAX {
        true => Err(SqlError::TooLong),
        false => Ok(WriteCondition(terms)),
    }
}

/// As deep as parentheses were, which the parser has bounded.
fn list(predicate: &Predicate, terms: &mut Vec<WriteTerm>) {
    let short = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    match predicate {
        Predicate::All(parts) | Predicate::Any(parts) => {
            for part in parts {
                list(part, terms);
            }
            terms.push(match predicate {
                Predicate::All(_) => WriteTerm::All(short(parts.len())),
                _ => WriteTerm::Any(short(parts.len())),
            });
        }
        Predicate::Constant(value) => terms.push(WriteTerm::Constant(*value)),
        Predicate::Literal {
            column,
            operator,
            value,
            ..
        } => terms.push(WriteTerm::Value(
            short(*column),
            wire(*operator),
            value.clone(),
        )),
        Predicate::Columns {
            left,
            operator,
            right,
            ..
        } => terms.push(WriteTerm::Columns(
            short(*left),
            wire(*operator),
            short(*right),
        )),
    }
}

const fn wire(operator: Operator) -> WriteOperator {
    match operator {
        Operator::Equal => WriteOperator::Equal,
        Operator::NotEqual => WriteOperator::NotEqual,
        Operator::Less => WriteOperator::Less,
        Operator::LessOrEqual => WriteOperator::LessOrEqual,
        Operator::Greater => WriteOperator::Greater,
        Operator::GreaterOrEqual => WriteOperator::GreaterOrEqual,
    }
}
