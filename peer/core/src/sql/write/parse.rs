//! `INSERT`, `UPDATE` and `DELETE` into what is asked; every other clause of them is refused by name.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, SetExpr, TableObject,
    TableWithJoins, Update, Value, ValueWithSpan, Values,
};

use super::super::error::{Place, SqlError};
use super::super::parse::{condition_of, operand_of, place, single_name, table_of};
use super::super::query::{Change, Given, Name, Operand, Write};
use super::super::refuse::{self, refuse};

pub(in super::super) fn insert_of(insert: &Insert) -> Result<Write, SqlError> {
    let Insert {
        insert_token: _,
        optimizer_hints: _,
        or,
        ignore,
        into: _,
        table,
        table_alias,
        columns,
        by_name,
        overwrite,
        source,
        assignments,
        partitioned,
        after_columns,
        overriding,
        has_table_keyword: _,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let TableObject::TableName(name) = table else {
        return Err(SqlError::not_built("INSERT into a function", None));
    };
    let table = single_name(name)?;
    let several = multi_table_insert_type.is_some()
        || !multi_table_into_clauses.is_empty()
        || !multi_table_when_clauses.is_empty()
        || multi_table_else_clause.is_some();
    refuse(
        &[
            (or.is_some() || *ignore, "INSERT OR …"),
            (*replace_into, "REPLACE"),
            (*overwrite, "INSERT OVERWRITE"),
            (on.is_some(), "ON CONFLICT"),
            (returning.is_some() || output.is_some(), "RETURNING"),
            (!assignments.is_empty(), "INSERT … SET"),
            (
                table_alias.is_some() || insert_alias.is_some(),
                "an alias in INSERT",
            ),
            (
                partitioned.is_some() || !after_columns.is_empty(),
                "PARTITION",
            ),
            (several, "INSERT into several tables"),
            (*by_name, "BY NAME"),
            (overriding.is_some(), "OVERRIDING"),
            (
                priority.is_some() || settings.is_some() || format_clause.is_some(),
                "a clause of INSERT of this kind",
            ),
        ],
        Some(table.place),
    )?;
    let only_values = || SqlError::not_built("INSERT of anything but VALUES", Some(table.place));
    let source = source.as_ref().ok_or_else(only_values)?;
    refuse::query_clauses(source)?;
    let SetExpr::Values(values) = source.body.as_ref() else {
        return Err(only_values());
    };
    let Values {
        explicit_row,
        value_keyword,
        rows,
    } = values;
    let ends = source.order_by.is_some() || source.limit_clause.is_some();
    if *explicit_row || *value_keyword || ends {
        return Err(only_values());
    }
    let rows = rows.iter().map(|row| {
        let values = row.content.iter().map(given);
        values.collect::<Result<Vec<_>, _>>()
    });
    let columns: Vec<Name> = columns.iter().map(single_name).collect::<Result<_, _>>()?;
    Ok(Write {
        change: Change::Insert {
            columns: (!columns.is_empty()).then_some(columns),
            rows: rows.collect::<Result<_, _>>()?,
        },
        table,
    })
}

pub(in super::super) fn update_of(update: &Update) -> Result<Write, SqlError> {
    let Update {
        update_token: _,
        optimizer_hints: _,
        table,
        on_cluster,
        assignments,
        from,
        selection,
        returning,
        output,
        or,
        order_by,
        limit,
        settings,
    } = update;
    let table = single_table(table)?;
    refuse(
        &[
            (from.is_some(), "UPDATE … FROM"),
            (or.is_some(), "UPDATE OR …"),
            (returning.is_some() || output.is_some(), "RETURNING"),
            (!order_by.is_empty(), "ORDER BY in UPDATE"),
            (limit.is_some(), "LIMIT in UPDATE"),
            (
                on_cluster.is_some() || settings.is_some(),
                "a clause of UPDATE of this kind",
            ),
        ],
        Some(table.place),
    )?;
    let set = assignments.iter().map(|Assignment { target, value }| {
        let AssignmentTarget::ColumnName(column) = target else {
            let what = "SET of several columns at once";
            return Err(SqlError::not_built(what, Some(table.place)));
        };
        Ok((single_name(column)?, given(value)?))
    });
    Ok(Write {
        change: Change::Update {
            set: set.collect::<Result<_, _>>()?,
            condition: selection.as_ref().map(condition_of).transpose()?,
        },
        table,
    })
}

pub(in super::super) fn delete_of(delete: &Delete) -> Result<Write, SqlError> {
    let Delete {
        delete_token: _,
        optimizer_hints: _,
        tables,
        from,
        on_cluster,
        using,
        selection,
        returning,
        output,
        order_by,
        limit,
        settings,
    } = delete;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
    let [from] = from.as_slice() else {
        return Err(SqlError::not_built("DELETE from several tables", None));
    };
    let table = single_table(from)?;
    refuse(
        &[
            (!tables.is_empty(), "DELETE from several tables"),
            (using.is_some(), "USING"),
            (returning.is_some() || output.is_some(), "RETURNING"),
            (!order_by.is_empty(), "ORDER BY in DELETE"),
            (limit.is_some(), "LIMIT in DELETE"),
            (
                on_cluster.is_some() || settings.is_some(),
                "a clause of DELETE of this kind",
            ),
        ],
        Some(table.place),
    )?;
    Ok(Write {
        change: Change::Delete {
            condition: selection.as_ref().map(condition_of).transpose()?,
        },
        table,
    })
}

fn single_table(from: &TableWithJoins) -> Result<Name, SqlError> {
    let (table, alias) = table_of(&from.relation)?;
    let place = Some(table.place);
    refuse(
        &[
            (
                !from.joins.is_empty(),
                "JOIN in a statement that changes rows",
            ),
            (alias.is_some(), "an alias in a statement that changes rows"),
        ],
        place,
    )?;
    Ok(table)
}

fn given(expr: &Expr) -> Result<Given, SqlError> {
    if let Expr::Value(ValueWithSpan {
        value: Value::Null,
        span,
    }) = expr
    {
        return Ok(Given::Null(place(span.start)));
    }
    match operand_of(expr)? {
        Operand::Literal(literal, place) => Ok(Given::Literal(literal, place)),
        Operand::Value(value) => {
            let at: Place = value.place();
            let what = "a value that is no literal, in a statement that changes rows";
            Err(SqlError::not_built(what, Some(at)))
        }
    }
}
