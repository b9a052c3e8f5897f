//! The clauses behind WHERE: GROUP BY, ORDER BY, LIMIT and OFFSET.

use sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, OrderBySort,
    Value, ValueWithSpan,
};

use super::error::SqlError;
use super::parse::{column_of, expression_of, place};
use super::query::{Name, OrderItem};
use super::refuse;

pub(super) fn group_of(group_by: &GroupByExpr) -> Result<Vec<Name>, SqlError> {
    let (columns, modifiers) = match group_by {
        GroupByExpr::All(_) => return Err(SqlError::not_built("GROUP BY ALL", None)),
        GroupByExpr::Expressions(columns, modifiers) => (columns, modifiers),
    };
    if !modifiers.is_empty() {
        let what = "ROLLUP, CUBE or another modifier of GROUP BY";
        return Err(SqlError::not_built(what, None));
    }
    let column = |expr: &Expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_of(expr),
        other => Err(SqlError::not_built(
            "GROUP BY of anything but columns",
            refuse::place_of(other),
        )),
    };
    columns.iter().map(column).collect()
}

pub(super) fn order_of(order_by: &OrderBy) -> Result<Vec<OrderItem>, SqlError> {
    if order_by.interpolate.is_some() {
        return Err(SqlError::not_built("INTERPOLATE", None));
    }
    match &order_by.kind {
        OrderByKind::All(_) => Err(SqlError::not_built("ORDER BY ALL", None)),
        OrderByKind::Expressions(items) => items.iter().map(order_item).collect(),
    }
}

fn order_item(item: &OrderByExpr) -> Result<OrderItem, SqlError> {
    let OrderByExpr {
        expr,
        options: OrderByOptions { sort, nulls_first },
        with_fill,
    } = item;
    let at = refuse::place_of(expr);
    if nulls_first.is_some() {
        return Err(SqlError::not_built("NULLS FIRST or LAST", at));
    }
    if with_fill.is_some() {
        return Err(SqlError::not_built("WITH FILL", at));
    }
    let descending = match sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(SqlError::not_built("ORDER BY … USING", at)),
    };
    let by = match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_) => {
            expression_of(expr)?
        }
        _ => {
            let what = "ORDER BY of anything but a column, an alias or an aggregate";
            return Err(SqlError::not_built(what, at));
        }
    };
    Ok(OrderItem { by, descending })
}

/// How many rows at most, and how many are left out before them.
pub(super) fn limits_of(clause: &LimitClause) -> Result<(Option<u64>, u64), SqlError> {
    let LimitClause::LimitOffset {
        limit,
        offset,
        limit_by,
    } = clause
    else {
        return Err(SqlError::not_built("LIMIT with two numbers", None));
    };
    if !limit_by.is_empty() {
        return Err(SqlError::not_built("LIMIT BY", None));
    }
    let limit = limit.as_ref().map(|limit| whole_number("LIMIT", limit));
    let offset = offset
        .as_ref()
        .map(|offset| whole_number("OFFSET", &offset.value));
    Ok((limit.transpose()?, offset.transpose()?.unwrap_or(0)))
}

fn whole_number(clause: &'static str, expr: &Expr) -> Result<u64, SqlError> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::Number(digits, _),
            span,
        }) => digits.parse().map_err(|_| {
            SqlError::Syntax(format!(
                "{clause} takes a whole number, got {digits} ({})",
                place(span.start)
            ))
        }),
        other => Err(SqlError::not_built(
            match clause {
                "LIMIT" => "LIMIT of anything but a number",
                _ => "OFFSET of anything but a number",
            },
            refuse::place_of(other),
        )),
    }
}
