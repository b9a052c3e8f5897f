//! Subscriptions to views of the peer: whole rows of one view, by condition.

use store::TableSchema;

use super::error::SqlError;
use super::parse::{Projection, parse};

/// The view that a subscription's text names, if `find` knows one of that name and the text asks for
/// whole rows of it.
///
/// # Errors
/// [`SqlError`] names what is wrong with the text, or is no part of a subscription.
pub(crate) fn followed_view(
    text: &str,
    find: impl Fn(&str) -> Option<TableSchema>,
) -> Result<Option<TableSchema>, SqlError> {
    let query = parse(text)?;
    let Some(view) = find(&query.table.text) else {
        return Ok(None);
    };
    if let Some(join) = &query.join {
        let place = Some(join.table.place);
        return Err(SqlError::not_built("JOIN with a view of this peer", place));
    }
    if !matches!(query.projection, Projection::All(_)) {
        return Err(SqlError::NotSubscribable("a choice of columns or COUNT(*)"));
    }
    if query.limit.is_some() {
        return Err(SqlError::NotSubscribable("LIMIT"));
    }
    Ok(Some(view))
}

/// The tables that a text names, of whatever kind.
///
/// # Errors
/// [`SqlError`] names what is wrong with the text.
pub(crate) fn tables_named(text: &str) -> Result<Vec<String>, SqlError> {
    let query = parse(text)?;
    let joined = query.join.map(|join| join.table.text);
    Ok([query.table.text].into_iter().chain(joined).collect())
}
