//! SQL and schemas, in the forms that clients get.

use std::sync::Arc;

use serde_json::value::RawValue;
use sync_protocol::{ConnectionId, Now, Role, SystemCall, WriteChange};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::refuse;
use crate::identity::Claims;
use crate::replica::Replica;
use crate::reply::{ErrorKind, Reply, RequestError, SqlRows, WriteKind};
use crate::request::{RequestId, SchemaVersion};
use crate::sql::{self, Reading};
use crate::values;

impl Core {
    /// Answers a query at once; a statement that changes rows becomes a call.
    pub(super) fn sql(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        text: &str,
        caller: &Claims,
        owner: bool,
    ) -> Result<Answer, RequestError> {
        let replica = self.serving(database)?;
        let access = sql::Access {
            owner,
            sender: caller.identity(),
        };
        let compiled = sql::compile(text, replica.state()?.schema(), access);
        let compiled =
            compiled.map_err(|error| refuse(ErrorKind::BadRequest, error.to_string()))?;
        let Some(statement) = compiled else {
            let rows = self.ask_rows((database, now), text, access, query)?;
            return Ok(Answer::Now(Reply::Rows(rows)));
        };
        if !owner {
            return Err(refuse(
                ErrorKind::Denied,
                "only the owner changes rows by SQL; call a reducer",
            ));
        }
        let database = self.writable(database)?;
        let role = self.replicas[&database].members.get(&self.parts.device);
        if role != Some(&Role::Owner) {
            return Err(refuse(
                ErrorKind::Denied,
                "only an owner of the database may change rows by SQL, from the owner's own peer",
            ));
        }
        let kind = match &statement.change {
            WriteChange::Insert(_) => WriteKind::Insert,
            WriteChange::Update { .. } => WriteKind::Update,
            WriteChange::Delete(_) => WriteKind::Delete,
        };
        let call = Waiting::system(
            Arc::clone(&self.parts.own_claims),
            &SystemCall::Write(statement),
            ConnectionId::ZERO,
        );
        let group = Group::single(call, ReplyTo::Write(id, kind));
        self.submit(now, database, group)
    }
}

fn query(here: &Reading<'_>, text: &str) -> Result<SqlRows, RequestError> {
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
