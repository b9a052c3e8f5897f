//! Says by name what SQL knows and we do not. The parser's structures are taken apart completely,
//! so that a clause can be refused but never overlooked.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select,
    SelectFlavor, TableFactor, UnaryOperator, WildcardAdditionalOptions,
};

use super::error::{Place, SqlError};
use super::parse::place;

type Refusal = Result<(), SqlError>;

/// Refuses the first clause that is there.
fn refuse(clauses: &[(bool, &'static str)], place: Option<Place>) -> Refusal {
    match clauses.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::not_built(what, place)),
        None => Ok(()),
    }
}

pub(super) fn query_clauses(query: &Query) -> Refusal {
    let Query {
        with,
        body: _,
        order_by,
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
            (order_by.is_some(), "ORDER BY"),
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
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let grouped = match group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
    };
    refuse(
        &[
            (distinct.is_some(), "DISTINCT"),
            (grouped, "GROUP BY"),
            (having.is_some(), "HAVING"),
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

/// Refuses every function but `COUNT(*)`.
pub(super) fn all_but_count(function: &Function) -> Refusal {
    let Function {
        name,
        uses_odbc_syntax,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    let ident = match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    };
    let place = ident.map(|ident| place(ident.span.start));
    let count = ident.is_some_and(|ident| ident.value.eq_ignore_ascii_case("count"));
    let of_all = matches!(
        args,
        FunctionArguments::List(list)
            if list.duplicate_treatment.is_none()
                && list.clauses.is_empty()
                && matches!(
                    list.args.as_slice(),
                    [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]
                )
    );
    let plain = !uses_odbc_syntax
        && matches!(parameters, FunctionArguments::None)
        && filter.is_none()
        && null_treatment.is_none()
        && within_group.is_empty();
    refuse(
        &[
            (over.is_some(), "OVER"),
            (!count, "a function other than COUNT"),
            (!of_all || !plain, "COUNT of anything but *"),
        ],
        place,
    )
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
