//! Queries and schemas, in the forms that clients get.

use serde_json::value::RawValue;

use crate::error::refuse;
use crate::replica::Replica;
use crate::reply::{ErrorKind, RequestError, SqlRows};
use crate::request::SchemaVersion;
use crate::sql::Reading;
use crate::values;

pub(super) fn query(here: &Reading<'_>, text: &str) -> Result<SqlRows, RequestError> {
    let result = here.ask(text).map_err(|error| {
        let kind = if error.is_ours() {
            ErrorKind::Internal
        } else {
            ErrorKind::BadRequest
        };
        refuse(kind, error.to_string())
    })?;
    let mut rows = SqlRows {
        columns: result
            .columns
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
        schema: values::columns_json(&result.columns),
        rows: Vec::with_capacity(result.rows.len()),
        text: Vec::with_capacity(result.rows.len()),
    };
    let internal = |error: &dyn std::fmt::Display| refuse(ErrorKind::Internal, error.to_string());
    for row in &result.rows {
        let json = values::row_json(&result.columns, row).map_err(|error| internal(&error))?;
        let json = RawValue::from_string(json).map_err(|error| internal(&error))?;
        rows.rows.push(json);
        let text = values::row_text(&result.columns, row).map_err(|error| internal(&error))?;
        rows.text.push(text);
    }
    Ok(rows)
}

pub(super) fn schema(
    replica: &Replica,
    version: SchemaVersion,
) -> Result<serde_json::Value, RequestError> {
    let def = replica.executor.module().def();
    match version {
        SchemaVersion::V9 => values::schema_v9(def),
        SchemaVersion::V10 => values::schema_v10(def),
        SchemaVersion::Plain => Ok(values::schema_plain(def)),
    }
    .map_err(|error| refuse(ErrorKind::Internal, error.to_string()))
}
