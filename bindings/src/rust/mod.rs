//! Rust for the crate `spacetimedb-sdk`.
//!
//! `mod.rs` is what programs import; each type, table, reducer and procedure has a file, and
//! `remote_module.rs` has what every module has. Names of files and of what is in them are those that
//! programs know from SpacetimeDB's own command line; the text is ours.

mod functions;
mod names;
mod remote;
mod tables;
mod text;
mod types;

use crate::error::BindingsError;
use crate::model::Module;
use crate::names::distinct;
use crate::types::Types;
use crate::{Files, MARK};
use names::{Pool, identifier, type_identifier, version_order};
use types::Known;

const HEADER: &str = " from the definition of a module.
// Do not edit: the next run writes this file anew. Change the module instead.

#![allow(unused, nonstandard_style, missing_docs, clippy::all)]

";

/// Bytes that the name of a file may have where files are kept.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Writes all files.
pub(crate) fn files(module: &Module) -> Result<Files, BindingsError> {
    distinct(module, identifier, |it| identifier(&it.source_name))?;
    let types = Types::new(module, type_identifier)?;
    let known = Known::new(&types)?;
    let mut pool = Pool::new();
    let mut parts = types::files(module, &known, &mut pool)?;
    for table in &module.tables {
        parts.push(tables::file(table, &known, &mut pool)?);
    }
    for reducer in &module.reducers {
        parts.push(functions::reducer(reducer, &known, &mut pool)?);
    }
    for procedure in &module.procedures {
        parts.push(functions::procedure(procedure, &known, &mut pool)?);
    }
    for (name, _) in &parts {
        pool.take(name)?;
    }
    parts.push((REMOTE_MODULE.to_owned(), remote::file(module, &known)?));
    let root = root(parts.iter().map(|(name, _)| name.as_str()).collect());
    parts.push(("mod".to_owned(), root));
    let mut files = Files::new();
    for (name, text) in parts {
        let file = format!("{name}.rs");
        if file.len() > FILE_NAME_BYTES_MAX {
            return Err(BindingsError::Senseless(format!(
                "a file for one of its names would be called by {} bytes",
                file.len()
            )));
        }
        files.insert(file, format!("{MARK}{HEADER}{text}"));
    }
    Ok(files)
}

const REMOTE_MODULE: &str = "remote_module";

/// What the root offers of `remote_module.rs`: all but what only the other files need.
const REMOTE_EXPORTS: &str = "\
pub use remote_module::{
    AppliedDiff, DbConnection, DbUpdate, ErrorContext, EventContext, ProcedureEventContext,
    Reducer, ReducerEventContext, RemoteDbContext, RemoteModule, RemoteProcedures, RemoteReducers,
    RemoteTables, SubscriptionEventContext, SubscriptionHandle,
};
";

/// Writes `mod.rs`. rustfmt sorts modules by their bytes, and imports as people do.
fn root(mut names: Vec<&str>) -> String {
    let (mut modules, mut exports) = (String::new(), String::new());
    names.sort_unstable();
    for name in &names {
        if *name == REMOTE_MODULE {
            modules += "mod remote_module;\n";
            continue;
        }
        if !name.is_ascii() {
            // The compiler does not guess how the file's name is written.
            modules += &format!("#[path = \"{name}.rs\"]\n");
        }
        modules += &format!("pub mod {name};\n");
    }
    names.sort_by(|a, b| version_order(a, b));
    for name in names {
        exports += &match name == REMOTE_MODULE {
            true => REMOTE_EXPORTS.to_owned(),
            false => format!("pub use {name}::*;\n"),
        };
    }
    format!("{modules}\n{exports}")
}
