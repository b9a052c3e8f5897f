//! SQL text into the little that is asked: table, columns, condition, limit. Everything else is
//! refused by name.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join as SqlJoin, JoinConstraint, JoinOperator, LimitClause,
    ObjectName, Query as SqlQuery, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    Statement, TableFactor, UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::{Place, SqlError};
use super::literal::Literal;
use super::{SQL_BYTES_MAX, SQL_TOKENS_MAX, refuse};

/// Levels that the parser may recurse; parentheses take one or two each.
const RECURSION_MAX: usize = 50;

/// A query as it was written; no name is looked up yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) table: Name,
    /// What else the table is called in this query.
    pub(super) alias: Option<String>,
    /// Another table whose rows come with those of this one.
    pub(super) join: Option<Join>,
    pub(super) projection: Projection,
    pub(super) condition: Option<Condition>,
    pub(super) limit: Option<u64>,
}

/// A table that is joined: rows belong together in which two columns are equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Join {
    pub(super) table: Name,
    pub(super) alias: Option<String>,
    /// One of them is of the joined table, the other of the first.
    pub(super) columns: [Name; 2],
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    /// The table in front of a column's dot.
    pub(super) qualifier: Option<String>,
    pub(super) text: String,
    pub(super) place: Place,
}

/// What is selected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Projection {
    /// `*`, or `t.*` with the table's name.
    All(Option<Name>),
    /// `COUNT(*) AS name`.
    Count(String),
    /// Columns and what they are called in the answer.
    Columns(Vec<(Name, String)>),
}

/// A condition, with chains of AND and OR made flat.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare {
        left: Operand,
        operator: Operator,
        right: Operand,
    },
    Constant(bool),
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Column(Name),
    Literal(Literal, Place),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// The operator that says the same with its sides swapped.
    pub(super) const fn swapped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Takes a query's text apart.
///
/// # Errors
/// [`SqlError`] names what is wrong or not built, and where it stands.
pub(super) fn parse(text: &str) -> Result<Query, SqlError> {
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
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => query_of(&query),
        (Some(_), true) => Err(SqlError::ReadOnly(first_word.unwrap_or_default())),
        (Some(_), false) => Err(SqlError::Statements(statements.len() + 1)),
        (None, _) => Err(SqlError::Statements(0)),
    }
}

fn query_of(query: &SqlQuery) -> Result<Query, SqlError> {
    refuse::query_clauses(query)?;
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(SqlError::not_built("UNION, VALUES or a nested query", None));
    };
    refuse::select_clauses(select)?;
    let (table, alias, join) = tables_of(select)?;
    Ok(Query {
        table,
        alias,
        join,
        projection: projection_of(&select.projection)?,
        condition: select.selection.as_ref().map(condition_of).transpose()?,
        limit: query.limit_clause.as_ref().map_or(Ok(None), limit_of)?,
    })
}

fn tables_of(select: &Select) -> Result<(Name, Option<String>, Option<Join>), SqlError> {
    let [from] = select.from.as_slice() else {
        return Err(SqlError::not_built(
            "FROM with more or less than one table",
            None,
        ));
    };
    let (table, alias) = table_of(&from.relation)?;
    let join = match from.joins.as_slice() {
        [] => None,
        [join] => Some(join_of(join)?),
        _ => {
            let place = Some(table.place);
            return Err(SqlError::not_built("JOIN of more than two tables", place));
        }
    };
    Ok((table, alias, join))
}

fn table_of(factor: &TableFactor) -> Result<(Name, Option<String>), SqlError> {
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

fn join_of(join: &SqlJoin) -> Result<Join, SqlError> {
    let (table, alias) = table_of(&join.relation)?;
    let place = Some(table.place);
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if !join.global => {
            constraint
        }
        _ => return Err(SqlError::not_built("a JOIN that is no inner one", place)),
    };
    let JoinConstraint::On(on) = constraint else {
        return Err(SqlError::not_built("JOIN without ON", place));
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
        } => Ok(Join {
            table,
            alias,
            columns: [column_of(left)?, column_of(right)?],
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
        [SelectItem::UnnamedExpr(Expr::Function(function))] => {
            refuse::all_but_count(function)?;
            return Ok(Projection::Count("count".to_owned()));
        }
        [
            SelectItem::ExprWithAlias {
                expr: Expr::Function(function),
                alias,
            },
        ] => {
            refuse::all_but_count(function)?;
            return Ok(Projection::Count(alias.value.clone()));
        }
        _ => {}
    }
    let columns = items.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) => {
            let name = column_of(expr)?;
            let shown = name.text.clone();
            Ok((name, shown))
        }
        SelectItem::ExprWithAlias { expr, alias } => Ok((column_of(expr)?, alias.value.clone())),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
            Err(SqlError::not_built("* beside other columns", None))
        }
        SelectItem::ExprWithAliases { .. } => {
            Err(SqlError::not_built("a column with several aliases", None))
        }
    });
    columns.collect::<Result<_, _>>().map(Projection::Columns)
}

fn column_of(expr: &Expr) -> Result<Name, SqlError> {
    match expr {
        Expr::Identifier(ident) => Ok(name_of(None, ident)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] => Ok(name_of(Some(table.value.clone()), column)),
            _ => Err(SqlError::not_built(
                "a column name of more than two parts",
                None,
            )),
        },
        Expr::Function(function) => {
            refuse::all_but_count(function)?;
            Err(SqlError::not_built(
                "COUNT(*) beside other columns",
                refuse::place_of(expr),
            ))
        }
        other => Err(refuse::expression(other)),
    }
}

/// Chains of the same operator lean to the left as deep as the text is long, so they are walked
/// and not recursed into; what recursion is left, parentheses, the parser has bounded.
fn condition_of(expr: &Expr) -> Result<Condition, SqlError> {
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

fn operand_of(expr: &Expr) -> Result<Operand, SqlError> {
    match expr {
        Expr::Nested(inner) => operand_of(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_of(expr).map(Operand::Column),
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

fn limit_of(clause: &LimitClause) -> Result<Option<u64>, SqlError> {
    let LimitClause::LimitOffset {
        limit,
        offset: None,
        limit_by,
    } = clause
    else {
        return Err(SqlError::not_built("OFFSET", None));
    };
    if !limit_by.is_empty() {
        return Err(SqlError::not_built("LIMIT BY", None));
    }
    match limit {
        None => Ok(None),
        Some(Expr::Value(ValueWithSpan {
            value: Value::Number(digits, _),
            span,
        })) => digits.parse().map(Some).map_err(|_| {
            SqlError::Syntax(format!(
                "LIMIT takes a whole number, got {digits} ({})",
                place(span.start)
            ))
        }),
        Some(other) => Err(SqlError::not_built(
            "LIMIT of anything but a number",
            refuse::place_of(other),
        )),
    }
}

fn single_name(name: &ObjectName) -> Result<Name, SqlError> {
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
