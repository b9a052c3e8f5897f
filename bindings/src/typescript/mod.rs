//! TypeScript for the npm package `spacetimedb`.
//!
//! `index.ts` is what programs import; `types.ts` has the module's own types; `tables.ts`,
//! `reducers.ts` and `procedures.ts` describe what the connection offers. `result.ts` is there only
//! if a type needs it.

mod expression;
mod functions;
mod index;
mod tables;
mod text;
mod types;

use crate::error::BindingsError;
use crate::model::Module;
use crate::names::{accessor, distinct, type_identifier};
use crate::types::Types;
use crate::{Files, MARK};
use text::RESULT_IMPORT;

/// The release of the client library that the files are written for; it refuses what says less.
const LIBRARY_VERSION: &str = "2.10.1";

const HEADER: &str = " from the definition of a module.
// Do not edit: the next run writes this file anew. Change the module instead.

/* eslint-disable */
";

/// Writes all files.
pub(crate) fn files(module: &Module) -> Result<Files, BindingsError> {
    // The library makes names of functions from those on the wire.
    distinct(module, accessor, |function| accessor(&function.wire_name))?;
    let types = Types::new(module, type_identifier)?;
    let mut texts = vec![
        ("index.ts", index::file()),
        ("types.ts", types::file(&types)?),
        ("tables.ts", tables::file(module, &types)?),
        (
            "reducers.ts",
            functions::reducers(&module.reducers, &types)?,
        ),
        (
            "procedures.ts",
            functions::procedures(&module.procedures, &types)?,
        ),
    ];
    if texts.iter().any(|(_, text)| text.contains(RESULT_IMPORT)) {
        texts.push(("result.ts", expression::RESULT_FILE.to_owned()));
    }
    let whole = |(name, text): (&str, String)| (name.to_owned(), format!("{MARK}{HEADER}\n{text}"));
    Ok(texts.into_iter().map(whole).collect())
}
