//! Ties names to the columns of the tables, and literals to their types.

use spacetimedb_sats::AlgebraicType;
use store::{Column, TableSchema};

use crate::values::{list_names, type_name};

use super::compare::Comparison;
use super::error::{Place, SqlError};
use super::literal::Literal;
use super::predicate::Predicate;
use super::query::{Condition, Expression, FromTable, Name, Operand, Operator};

/// A cell of the rows that are looked at: its place, and the type of its values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) at: usize,
    pub(super) ty: AlgebraicType,
    /// As an error or a plan calls it.
    pub(super) name: String,
}

/// A table of the query, and where its cells begin: those of all tables lie one after the other, in
/// the order in which the tables were written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) alias: Option<&'a str>,
    pub(super) table: &'a TableSchema,
    pub(super) behind: usize,
}

impl Entry<'_> {
    /// What the query calls it.
    pub(super) fn name(&self) -> &str {
        self.alias.unwrap_or(&self.table.name)
    }
}

/// The tables of a query, by the names that it gives them.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Scope<'a> {
    /// # Errors
    /// [`SqlError::SameName`] if two tables cannot be told apart.
    pub(super) fn new(
        written: &'a [FromTable],
        tables: &[&'a TableSchema],
    ) -> Result<Self, SqlError> {
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(tables.len());
        let mut behind = 0;
        for (from, table) in written.iter().zip(tables.iter().copied()) {
            let entry = Entry {
                alias: from.alias.as_deref(),
                table,
                behind,
            };
            if entries.iter().any(|other| other.name() == entry.name()) {
                return Err(SqlError::SameName {
                    name: entry.name().to_owned(),
                    place: from.table.place,
                });
            }
            behind += table.columns.len();
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// Which table a cell is of.
    pub(super) fn table_of(&self, cell: usize) -> usize {
        let after = |entry: &Entry<'_>| entry.behind + entry.table.columns.len();
        let found = self.entries.iter().position(|entry| cell < after(entry));
        found.unwrap_or_else(|| unreachable!("cells are those of the tables"))
    }

    /// All cells, in order.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.entries.iter().flat_map(move |entry| {
            let columns = entry.table.columns.iter().enumerate();
            columns.map(move |(at, column)| self.cell(entry, at, column))
        })
    }

    fn cell(&self, entry: &Entry<'_>, at: usize, column: &Column) -> Cell {
        Cell {
            at: entry.behind + at,
            ty: column.ty.clone(),
            name: match self.entries.len() {
                1 => column.name.clone(),
                _ => format!("{}.{}", entry.name(), column.name),
            },
        }
    }

    /// A column by its canonical name, else by its source name; in the table that is named with it,
    /// else in the one that has it.
    pub(super) fn column(&self, name: &Name) -> Result<Cell, SqlError> {
        let within = match &name.qualifier {
            Some(qualifier) => {
                let at = self.qualified(qualifier, name.place)?;
                &self.entries[at..=at]
            }
            None => &self.entries[..],
        };
        let mut found = within.iter().filter_map(|entry| {
            let (at, column) = column_in(entry.table, &name.text)?;
            Some(self.cell(entry, at, column))
        });
        match (found.next(), found.next()) {
            (Some(cell), None) => Ok(cell),
            (Some(_), Some(_)) => Err(SqlError::Ambiguous {
                name: name.text.clone(),
                place: name.place,
            }),
            (None, _) => {
                let columns = within.iter().flat_map(|entry| &entry.table.columns);
                Err(SqlError::NoSuchColumn {
                    name: name.text.clone(),
                    table: within[0].table.name.clone(),
                    place: name.place,
                    known: list_names(columns.map(|column| column.name.as_str())),
                })
            }
        }
    }

    /// The place of the table with that name or alias.
    pub(super) fn qualified(&self, qualifier: &str, place: Place) -> Result<usize, SqlError> {
        let mut entries = self.entries.iter();
        let by_alias = entries.position(|entry| entry.alias == Some(qualifier));
        let by_name = || {
            self.entries.iter().position(|entry| {
                // Beside other tables, one with an alias is called by it.
                let hidden = self.entries.len() > 1 && entry.alias.is_some();
                let table = entry.table;
                !hidden && (table.name == qualifier || table.source_name == qualifier)
            })
        };
        by_alias.or_else(by_name).ok_or_else(|| {
            let names = self.entries.iter().map(Entry::name);
            SqlError::NoSuchTable {
                name: qualifier.to_owned(),
                place,
                known: list_names(names),
            }
        })
    }

    /// A value of every row.
    pub(super) fn of_row(&self, value: &Expression) -> Result<Cell, SqlError> {
        match value {
            Expression::Column(name) => self.column(name),
            Expression::Aggregate(aggregate) => Err(SqlError::not_built(
                "an aggregate in WHERE (HAVING takes conditions on groups)",
                Some(aggregate.place),
            )),
        }
    }
}

pub(super) fn column_in<'a>(table: &'a TableSchema, name: &str) -> Option<(usize, &'a Column)> {
    let columns = &table.columns;
    let canonical = columns.iter().position(|column| column.name == name);
    let by_source = || columns.iter().position(|column| column.source_name == name);
    let at = canonical.or_else(by_source)?;
    Some((at, &columns[at]))
}

/// How the values of a cell are compared.
pub(super) fn comparison(cell: &Cell, place: Place) -> Result<Comparison, SqlError> {
    Comparison::of(&cell.ty).ok_or_else(|| SqlError::NotComparable {
        column: cell.name.clone(),
        ty: type_name(&cell.ty),
        place,
    })
}

/// Two cells of different types, which are not compared.
pub(super) fn unlike(left: &Cell, right: &Cell, place: Place) -> SqlError {
    SqlError::Columns {
        left: left.name.clone(),
        left_ty: type_name(&left.ty),
        right: right.name.clone(),
        right_ty: type_name(&right.ty),
        place,
    }
}

/// A condition over the cells that `find` ties its columns and aggregates to.
pub(super) fn predicate(
    condition: &Condition,
    sender: &[u8; 32],
    find: &mut impl FnMut(&Expression) -> Result<Cell, SqlError>,
) -> Result<Predicate, SqlError> {
    let mut all = |parts: &[Condition]| {
        let parts = parts.iter();
        let parts = parts.map(|part| predicate(part, sender, find));
        parts.collect::<Result<Vec<_>, _>>()
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
            (Operand::Value(value), Operand::Literal(literal, place)) => {
                let cell = find(value)?;
                with_literal(cell, value.place(), *operator, (literal, *place), sender)?
            }
            (Operand::Literal(literal, place), Operand::Value(value)) => {
                let cell = find(value)?;
                let operator = operator.swapped();
                with_literal(cell, value.place(), operator, (literal, *place), sender)?
            }
            (Operand::Value(left), Operand::Value(right)) => {
                let (of_left, of_right) = (find(left)?, find(right)?);
                let comparison = comparison(&of_left, left.place())?;
                if of_left.ty != of_right.ty {
                    return Err(unlike(&of_left, &of_right, right.place()));
                }
                Predicate::Columns {
                    left: of_left.at,
                    comparison,
                    operator: *operator,
                    right: of_right.at,
                }
            }
            (Operand::Literal(_, place), Operand::Literal(..)) => {
                return Err(SqlError::NoColumn(*place));
            }
        },
    })
}

fn with_literal(
    cell: Cell,
    at: Place,
    operator: Operator,
    (literal, place): (&Literal, Place),
    sender: &[u8; 32],
) -> Result<Predicate, SqlError> {
    let comparison = comparison(&cell, at)?;
    let value = literal
        .as_type(&cell.ty, sender)
        .ok_or_else(|| SqlError::Literal {
            column: cell.name,
            ty: type_name(&cell.ty),
            literal: literal.shown(),
            place,
        })?;
    Ok(Predicate::Literal {
        column: cell.at,
        comparison,
        operator,
        value,
    })
}
