//! Reducers and procedures, `reducers.ts` and `procedures.ts`: what a client may call.

use spacetimedb_sats::AlgebraicType;

use super::expression::Writer;
use super::text::{block, key, library_import, result_import, string};
use super::types::import;
use crate::error::BindingsError;
use crate::model::Function;
use crate::names::accessor;
use crate::types::Types;

/// Writes `reducers.ts`.
pub(super) fn reducers(reducers: &[Function], types: &Types<'_>) -> Result<String, BindingsError> {
    let mut entries = Vec::with_capacity(reducers.len());
    for reducer in reducers {
        let name = string(&reducer.wire_name);
        entries.push(format!(
            "__reducerSchema({name}, {})",
            params(reducer, types)?
        ));
    }
    let used = reducers
        .iter()
        .flat_map(|reducer| reducer.params.iter().map(|(_, ty)| ty));
    Ok(file("reducers", &entries, used, types))
}

/// Writes `procedures.ts`.
pub(super) fn procedures(
    procedures: &[Function],
    types: &Types<'_>,
) -> Result<String, BindingsError> {
    let mut entries = Vec::with_capacity(procedures.len());
    for procedure in procedures {
        let name = string(&procedure.wire_name);
        let writer = Writer::new(types, format!("{}.returns", procedure.wire_name));
        let returns = writer.builder(&procedure.returns)?;
        entries.push(format!(
            "__procedureSchema({name}, {}, {returns})",
            params(procedure, types)?
        ));
    }
    let used = procedures.iter().flat_map(|procedure| {
        procedure
            .params
            .iter()
            .map(|(_, ty)| ty)
            .chain([&procedure.returns])
    });
    Ok(file("procedures", &entries, used, types))
}

fn params(function: &Function, types: &Types<'_>) -> Result<String, BindingsError> {
    let mut entries = Vec::with_capacity(function.params.len());
    for (name, ty) in &function.params {
        let name = accessor(name);
        let writer = Writer::new(types, format!("{}.{name}", function.wire_name));
        entries.push(format!("{}: {}", key(&name), writer.builder(ty)?));
    }
    Ok(block(&entries, 1))
}

fn file<'t>(
    what: &str,
    entries: &[String],
    used: impl Iterator<Item = &'t AlgebraicType>,
    types: &Types<'_>,
) -> String {
    let entries: String = entries
        .iter()
        .map(|entry| format!("\n  {entry},"))
        .collect();
    let end = if entries.is_empty() { "" } else { "\n" };
    let mut body = format!("\n/** The {what} that clients may call. */\n");
    body += &format!("export const {what} = __{what}({entries}{end});\n");
    library_import(&body) + &result_import(&body) + &import(types, used) + &body
}
