//! Says by name what SQL knows and we do not. The parser's structures are taken apart completely,
//! so that a clause can be refused but never overlooked.

use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select,
    SelectFlavor, Statement, TableFactor, UnaryOperator, WildcardAdditionalOptions,
};

use super::error::{Place, SqlError};
use super::parse::{column_of, place};
use super::query::{self, Aggregate};

type Refusal = Result<(), SqlError>;

/// Refuses the first clause that is there.
pub(super) fn refuse(clauses: &[(bool, &'static str)], place: Option<Place>) -> Refusal {
    match clauses.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::not_built(what, place)),
        None => Ok(()),
    }
}

pub(super) fn query_clauses(query: &Query) -> Refusal {
    let Query {
        with,
        body: _,
        order_by: _,
        limit_clause: _,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    refuse(
        &[
            (with.is_some(), "WITH"),
            (fetch.is_some(), "FETCH"),
            (!locks.is_empty() || for_clause.is_some(), "FOR"),
            (settings.is_some(), "SETTINGS"),
            (format_clause.is_some(), "FORMAT"),
            (!pipe_operators.is_empty(), "|>"),
        ],
        None,
    )
}

pub(super) fn select_clauses(select: &Select) -> Refusal {
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let by_some = matches!(distinct, Some(Distinct::All | Distinct::On(_)));
    refuse(
        &[
            (by_some, "SELECT ALL or DISTINCT ON"),
            (top.is_some(), "TOP"),
            (into.is_some(), "INTO"),
            (exclude.is_some(), "EXCLUDE"),
            (!lateral_views.is_empty(), "LATERAL VIEW"),
            (prewhere.is_some(), "PREWHERE"),
            (!connect_by.is_empty(), "CONNECT BY"),
            (!cluster_by.is_empty(), "CLUSTER BY"),
            (!distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!sort_by.is_empty(), "SORT BY"),
            (!named_window.is_empty(), "WINDOW"),
            (qualify.is_some(), "QUALIFY"),
            (
                select_modifiers.is_some() || value_table_mode.is_some(),
                "a modifier of SELECT",
            ),
            (*flavor != SelectFlavor::Standard, "FROM before SELECT"),
        ],
        None,
    )
}

pub(super) fn table_clauses(table: &TableFactor, place: Place) -> Refusal {
    let TableFactor::Table {
        name: _,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_directives,
        inheritance,
    } = table
    else {
        return Err(SqlError::not_built(
            "FROM of anything but a table's name",
            Some(place),
        ));
    };
    let columns_renamed = alias
        .as_ref()
        .is_some_and(|alias| !alias.columns.is_empty());
    refuse(
        &[
            (args.is_some(), "a table function"),
            (columns_renamed, "an alias with column names"),
            (
                !with_hints.is_empty() || !index_directives.is_empty(),
                "a hint for the table",
            ),
            (version.is_some(), "a table as of another time"),
            (*with_ordinality, "WITH ORDINALITY"),
            (!partitions.is_empty(), "PARTITION"),
            (json_path.is_some(), "a path into a table"),
            (sample.is_some(), "SAMPLE"),
            (inheritance.is_some(), "ONLY"),
        ],
        Some(place),
    )
}

pub(super) fn wildcard_options(options: &WildcardAdditionalOptions) -> Refusal {
    let WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let there = opt_ilike.is_some()
        || opt_exclude.is_some()
        || opt_except.is_some()
        || opt_replace.is_some()
        || opt_rename.is_some()
        || opt_alias.is_some();
    refuse(
        &[(there, "a clause after *")],
        Some(place(wildcard_token.0.span.start)),
    )
}

/// Refuses every function but the aggregates, and what they are not built for.
pub(super) fn all_but_aggregates(call: &Function) -> Result<Aggregate, SqlError> {
    let Function {
        name,
        uses_odbc_syntax,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = call;
    let ident = match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    };
    let found = ident.and_then(|ident| {
        let known = query::Function::ALL.into_iter();
        let mut named = known.filter(|known| ident.value.eq_ignore_ascii_case(known.name()));
        Some((named.next()?, place(ident.span.start)))
    });
    let Some((function, at)) = found else {
        let what = "a function other than COUNT, SUM, MIN, MAX and AVG";
        return Err(SqlError::not_built(
            what,
            ident.map(|it| place(it.span.start)),
        ));
    };
    let plain = !uses_odbc_syntax
        && matches!(parameters, FunctionArguments::None)
        && null_treatment.is_none()
        && within_group.is_empty();
    let FunctionArguments::List(list) = args else {
        return Err(SqlError::not_built(
            "an aggregate of a nested query, or of nothing",
            Some(at),
        ));
    };
    let distinct = list.duplicate_treatment.is_some();
    refuse(
        &[
            (over.is_some(), "OVER"),
            (filter.is_some(), "FILTER"),
            (distinct, "DISTINCT or ALL inside of an aggregate"),
            (
                !plain || !list.clauses.is_empty(),
                "a clause inside of an aggregate",
            ),
        ],
        Some(at),
    )?;
    let of = match (function, list.args.as_slice()) {
        (query::Function::Count, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) => None,
        (_, [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))]) => match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some(column_of(expr)?),
            _ => {
                let what = "an aggregate of anything but a column";
                return Err(SqlError::not_built(what, Some(at)));
            }
        },
        _ => {
            let what = "an aggregate of anything but one column, or * for COUNT";
            return Err(SqlError::not_built(what, Some(at)));
        }
    };
    Ok(Aggregate {
        function,
        of,
        place: at,
    })
}

/// The query of a plain `EXPLAIN`.
pub(super) fn all_but_explain(statement: &Statement) -> Result<&Query, SqlError> {
    let Statement::Explain {
        describe_alias: _,
        analyze,
        verbose,
        query_plan,
        estimate,
        statement,
        format,
        options,
    } = statement
    else {
        return Err(SqlError::not_built("DESCRIBE", None));
    };
    refuse(
        &[
            (*analyze, "EXPLAIN ANALYZE"),
            (*verbose, "EXPLAIN VERBOSE"),
            (*query_plan, "EXPLAIN QUERY PLAN"),
            (*estimate, "EXPLAIN ESTIMATE"),
            (
                format.is_some() || options.is_some(),
                "EXPLAIN with options",
            ),
        ],
        None,
    )?;
    match statement.as_ref() {
        Statement::Query(query) => Ok(query),
        _ => Err(SqlError::not_built("EXPLAIN of anything but SELECT", None)),
    }
}

/// Names an expression that is neither a column, a literal, nor a comparison.
pub(super) fn expression(expr: &Expr) -> SqlError {
    let what = match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => "a condition that is only a column",
        Expr::Value(_) => "a value that stands alone",
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            ..
        } => "NOT",
        Expr::UnaryOp { .. } => "a sign or operator in front of an expression",
        Expr::BinaryOp { .. } => "an operator inside of a comparison or a list of columns",
        Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => "LIKE",
        Expr::IsNull(_) | Expr::IsNotNull(_) => "IS NULL",
        Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => "IS",
        Expr::In { .. } => "IN",
        Expr::Between { .. } => "BETWEEN",
        Expr::Case { .. } => "CASE",
        Expr::Cast { .. } => "CAST",
        Expr::Exists { .. } => "EXISTS",
        Expr::Subquery(_) => "a nested query",
        Expr::Function(_) => "a function in a condition",
        Expr::Tuple(_) => "a list of values",
        Expr::Array(_) => "an array",
        _ => "an expression of this kind",
    };
    SqlError::not_built(what, place_of(expr))
}

/// Where an expression begins, as far as that is known. Walks and does not recurse: expressions
/// lean to the left as deep as the text is long.
pub(super) fn place_of(mut expr: &Expr) -> Option<Place> {
    loop {
        expr = match expr {
            Expr::Identifier(ident) => return Some(place(ident.span.start)),
            Expr::CompoundIdentifier(parts) => {
                return parts.first().map(|ident| place(ident.span.start));
            }
            Expr::Value(value) => return Some(place(value.span.start)),
            Expr::Function(function) => {
                let ident = function.name.0.first().and_then(|part| part.as_ident());
                return ident.map(|ident| place(ident.span.start));
            }
            Expr::BinaryOp { left: inner, .. }
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::Like { expr: inner, .. }
            | Expr::ILike { expr: inner, .. }
            | Expr::In { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::Cast { expr: inner, .. } => inner,
            _ => return None,
        };
    }
}
