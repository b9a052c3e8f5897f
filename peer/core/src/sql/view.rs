//! Subscriptions to views: whole rows of one view, by condition.

use store::TableSchema;

use super::error::SqlError;
use super::parse::parse_query;
use super::selection::only_a_subscription;

/// The view that a subscription's text names, if `find` knows one of that name and the text asks for
/// whole rows of it.
///
/// # Errors
/// [`SqlError`] names what is wrong with the text, or is no part of a subscription.
pub(crate) fn followed_view(
    text: &str,
    find: impl Fn(&str) -> Option<TableSchema>,
) -> Result<Option<TableSchema>, SqlError> {
    let query = parse_query(text)?;
    let mut tables = query.tables.iter();
    let Some(view) = tables.next().and_then(|first| find(&first.table.text)) else {
        return Ok(None);
    };
    if let Some(joined) = tables.next() {
        let place = Some(joined.table.place);
        return Err(SqlError::not_built(
            "a subscription to a JOIN with a view",
            place,
        ));
    }
    only_a_subscription(&query)?;
    Ok(Some(view))
}

/// The tables that a text names, of whatever kind.
///
/// # Errors
/// [`SqlError`] names what is wrong with the text.
pub(crate) fn tables_named(text: &str) -> Result<Vec<String>, SqlError> {
    let tables = parse_query(text)?.tables.into_iter();
    Ok(tables.map(|from| from.table.text).collect())
}
