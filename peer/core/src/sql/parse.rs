//! SQL text into the little that is asked: tables, columns, conditions, order. Everything else is
//! refused by name.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join as SqlJoin, JoinConstraint, JoinOperator, ObjectName,
    Query as SqlQuery, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    Statement as SqlStatement, TableFactor, UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::clauses::{group_of, limits_of, order_of};
use super::error::{Place, SqlError};
use super::literal::Literal;
use super::query::{
    Condition, Expression, FromTable, Name, Operand, Operator, Projection, Query, Statement,
};
use super::write::parse::{delete_of, insert_of, update_of};
use super::{SQL_BYTES_MAX, SQL_TOKENS_MAX, TABLES_MAX, refuse};

/// Levels that the parser may recurse; parentheses take one or two each.
const RECURSION_MAX: usize = 50;

/// Takes a statement's text apart.
///
/// # Errors
/// [`SqlError`] names what is wrong or not built, and where it stands.
pub(super) fn parse(text: &str) -> Result<Statement, SqlError> {
    if text.len() > SQL_BYTES_MAX {
        return Err(SqlError::TooLong);
    }
    let dialect = GenericDialect {};
    let tokens: Vec<TokenWithSpan> = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::Syntax(error.to_string()))?
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    if tokens.len() > SQL_TOKENS_MAX {
        return Err(SqlError::TooLong);
    }
    let first_word = tokens
        .first()
        .map(|token| token.token.to_string().to_uppercase());
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| SqlError::Syntax(error.to_string()))?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (Some(_), false) => return Err(SqlError::Statements(statements.len() + 1)),
        (None, _) => return Err(SqlError::Statements(0)),
    };
    match statement {
        SqlStatement::Query(query) => query_of(&query).map(Box::new).map(Statement::Query),
        explain @ SqlStatement::Explain { .. } => {
            let query = query_of(refuse::all_but_explain(&explain)?)?;
            Ok(Statement::Query(Box::new(Query {
                explain: true,
                ..query
            })))
        }
        SqlStatement::Insert(insert) => insert_of(&insert).map(Box::new).map(Statement::Write),
        SqlStatement::Update(update) => update_of(&update).map(Box::new).map(Statement::Write),
        SqlStatement::Delete(delete) => delete_of(&delete).map(Box::new).map(Statement::Write),
        _ => Err(SqlError::NotBuiltStatement(first_word.unwrap_or_default())),
    }
}

/// The same of a text that has to be a query.
pub(super) fn parse_query(text: &str) -> Result<Query, SqlError> {
    let query = parse_filter(text)?;
    let mut joined = query.tables.iter().skip(1);
    match joined.find(|from| from.on.is_none()) {
        Some(from) => Err(SqlError::not_built(
            "JOIN without ON",
            Some(from.table.place),
        )),
        None => Ok(query),
    }
}

/// The same of a visibility filter, which may join a table as a whole: then its rows say who sees
/// something, and not what.
pub(super) fn parse_filter(text: &str) -> Result<Query, SqlError> {
    match parse(text)? {
        Statement::Query(query) => Ok(*query),
        Statement::Write(write) => Err(SqlError::NotAQuery(write.table.place)),
    }
}

fn query_of(query: &SqlQuery) -> Result<Query, SqlError> {
    refuse::query_clauses(query)?;
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(SqlError::not_built("UNION, VALUES or a nested query", None));
    };
    refuse::select_clauses(select)?;
    let (limit, offset) = query
        .limit_clause
        .as_ref()
        .map_or(Ok((None, 0)), limits_of)?;
    Ok(Query {
        explain: false,
        tables: tables_of(select)?,
        projection: projection_of(&select.projection)?,
        distinct: select.distinct.is_some(),
        condition: select.selection.as_ref().map(condition_of).transpose()?,
        group_by: group_of(&select.group_by)?,
        having: select.having.as_ref().map(condition_of).transpose()?,
        order_by: query.order_by.as_ref().map_or(Ok(vec![]), order_of)?,
        limit,
        offset,
    })
}

fn tables_of(select: &Select) -> Result<Vec<FromTable>, SqlError> {
    let [from] = select.from.as_slice() else {
        return Err(SqlError::not_built(
            "FROM with more or less than one table (write JOIN … ON)",
            None,
        ));
    };
    let (table, alias) = table_of(&from.relation)?;
    if from.joins.len() >= TABLES_MAX {
        return Err(SqlError::TooManyTables(table.place));
    }
    let first = FromTable {
        table,
        alias,
        on: None,
    };
    let joined = from.joins.iter().map(join_of);
    [Ok(first)].into_iter().chain(joined).collect()
}

pub(super) fn table_of(factor: &TableFactor) -> Result<(Name, Option<String>), SqlError> {
    let TableFactor::Table { name, alias, .. } = factor else {
        return Err(SqlError::not_built(
            "FROM of anything but a table's name",
            None,
        ));
    };
    let name = single_name(name)?;
    refuse::table_clauses(factor, name.place)?;
    let alias = alias.as_ref().map(|alias| alias.name.value.clone());
    Ok((name, alias))
}

fn join_of(join: &SqlJoin) -> Result<FromTable, SqlError> {
    let (table, alias) = table_of(&join.relation)?;
    let place = Some(table.place);
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if !join.global => {
            constraint
        }
        _ => return Err(SqlError::not_built("a JOIN that is no inner one", place)),
    };
    let on = match constraint {
        JoinConstraint::On(on) => on,
        JoinConstraint::None => {
            return Ok(FromTable {
                table,
                alias,
                on: None,
            });
        }
        _ => return Err(SqlError::not_built("JOIN without ON", place)),
    };
    let mut on = on;
    while let Expr::Nested(inner) = on {
        on = inner;
    }
    match on {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => Ok(FromTable {
            table,
            alias,
            on: Some([column_of(left)?, column_of(right)?]),
        }),
        other => Err(SqlError::not_built(
            "ON of anything but the equality of two columns",
            refuse::place_of(other),
        )),
    }
}

fn projection_of(items: &[SelectItem]) -> Result<Projection, SqlError> {
    match items {
        [SelectItem::Wildcard(options)] => {
            refuse::wildcard_options(options)?;
            return Ok(Projection::All(None));
        }
        [
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ),
        ] => {
            refuse::wildcard_options(options)?;
            return Ok(Projection::All(Some(single_name(name)?)));
        }
        _ => {}
    }
    let items = items.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) => {
            let value = expression_of(expr)?;
            let shown = match &value {
                Expression::Column(name) => name.text.clone(),
                Expression::Aggregate(aggregate) => aggregate.function.name().to_lowercase(),
            };
            Ok((value, shown))
        }
        SelectItem::ExprWithAlias { expr, alias } => {
            Ok((expression_of(expr)?, alias.value.clone()))
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
            Err(SqlError::not_built("* beside other columns", None))
        }
        SelectItem::ExprWithAliases { .. } => {
            Err(SqlError::not_built("a column with several aliases", None))
        }
    });
    items.collect::<Result<_, _>>().map(Projection::Items)
}

pub(super) fn column_of(expr: &Expr) -> Result<Name, SqlError> {
    match expr {
        Expr::Identifier(ident) => Ok(name_of(None, ident)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] => Ok(name_of(Some(table.value.clone()), column)),
            _ => Err(SqlError::not_built(
                "a column name of more than two parts",
                refuse::place_of(expr),
            )),
        },
        other => Err(refuse::expression(other)),
    }
}

pub(super) fn expression_of(expr: &Expr) -> Result<Expression, SqlError> {
    match expr {
        Expr::Function(function) => refuse::all_but_aggregates(function).map(Expression::Aggregate),
        other => column_of(other).map(Expression::Column),
    }
}

/// Chains of the same operator lean to the left as deep as the text is long, so they are walked
/// and not recursed into; what recursion is left, parentheses, the parser has bounded.
pub(super) fn condition_of(expr: &Expr) -> Result<Condition, SqlError> {
    let (left, operator, right) = match expr {
        Expr::Nested(inner) => return condition_of(inner),
        Expr::Value(ValueWithSpan {
            value: Value::Boolean(value),
            ..
        }) => {
            return Ok(Condition::Constant(*value));
        }
        Expr::BinaryOp {
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            ..
        } => {
            let mut parts = vec![];
            let mut rest = expr;
            while let Expr::BinaryOp {
                left,
                op: same,
                right,
            } = rest
                && same == op
            {
                parts.push(condition_of(right)?);
                rest = left;
            }
            parts.push(condition_of(rest)?);
            parts.reverse();
            return Ok(match op {
                BinaryOperator::And => Condition::And(parts),
                _ => Condition::Or(parts),
            });
        }
        Expr::BinaryOp { left, op, right } => (left, op, right),
        other => return Err(refuse::expression(other)),
    };
    let operator = match operator {
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::Lt => Operator::Less,
        BinaryOperator::LtEq => Operator::LessOrEqual,
        BinaryOperator::Gt => Operator::Greater,
        BinaryOperator::GtEq => Operator::GreaterOrEqual,
        _ => return Err(refuse::expression(expr)),
    };
    Ok(Condition::Compare {
        left: operand_of(left)?,
        operator,
        right: operand_of(right)?,
    })
}

pub(super) fn operand_of(expr: &Expr) -> Result<Operand, SqlError> {
    match expr {
        Expr::Nested(inner) => operand_of(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_) => {
            expression_of(expr).map(Operand::Value)
        }
        Expr::Value(value) => literal_of(value, ""),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: inner,
        } => match inner.as_ref() {
            Expr::Value(
                value @ ValueWithSpan {
                    value: Value::Number(..),
                    ..
                },
            ) => literal_of(value, "-"),
            _ => Err(refuse::expression(expr)),
        },
        other => Err(refuse::expression(other)),
    }
}

fn literal_of(value: &ValueWithSpan, sign: &str) -> Result<Operand, SqlError> {
    let place = place(value.span.start);
    let literal = match &value.value {
        Value::Number(digits, _) => Literal::Number(format!("{sign}{digits}")),
        Value::SingleQuotedString(text) => Literal::Text(text.clone()),
        Value::HexStringLiteral(digits) => Literal::Hex(digits.clone()),
        Value::Boolean(value) => Literal::Bool(*value),
        Value::Placeholder(name) if name == ":sender" => Literal::Sender,
        Value::Placeholder(_) => {
            return Err(SqlError::not_built(
                "a parameter other than :sender",
                Some(place),
            ));
        }
        Value::Null => return Err(SqlError::not_built("NULL", Some(place))),
        _ => return Err(SqlError::not_built("a literal of this form", Some(place))),
    };
    Ok(Operand::Literal(literal, place))
}

pub(super) fn single_name(name: &ObjectName) -> Result<Name, SqlError> {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) => Ok(name_of(None, ident)),
            None => Err(SqlError::not_built("a computed table name", None)),
        },
        _ => Err(SqlError::not_built("a table name with a dot", None)),
    }
}

fn name_of(qualifier: Option<String>, ident: &Ident) -> Name {
    Name {
        qualifier,
        text: ident.value.clone(),
        place: place(ident.span.start),
    }
}

pub(super) const fn place(location: Location) -> Place {
    Place {
        line: location.line,
        column: location.column,
    }
}
