//! Writes client code from a module's definition: what a program needs to subscribe to the tables
//! of a database and to call its reducers with types.
//!
//! Pure: bytes in, files out, the same files for the same bytes. Knows no disk, no network and no
//! peer; whoever calls it writes the files.
//!
//! More is read than a peer runs: views and procedures become client code too, so that a module
//! which is meant for another host can be described.
//!
//! Words used here: an *accessor* is the name that client code uses, made from the name in the
//! module's source; a *wire name* is the canonical name that is sent and that SQL sees; a *builder*
//! is the value by which the client library knows a type.

#![forbid(unsafe_code)]

mod error;
mod model;
mod names;
mod read;
mod typescript;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_sats::AlgebraicType;

pub use error::BindingsError;
pub use typescript::MARK;

/// Files by their names relative to the folder that they are for, `/` between folders.
pub type Files = BTreeMap<String, String>;

/// A table that is no module's: a view that the peer itself makes.
#[derive(Clone, Debug)]
pub struct LocalTable {
    /// Its name, on the wire and in the source alike.
    pub name: String,
    /// Names and types of its columns. Types refer to no others.
    pub columns: Vec<(String, AlgebraicType)>,
    /// Whether the first column is the primary key.
    pub keyed: bool,
}

/// Writes TypeScript for the npm package `spacetimedb` 2.10.
///
/// `raw` is BSATN of `RawModuleDef`, version 9 or 10. What clients cannot reach is left out:
/// private tables and views, life-cycle reducers, functions that are for the owner alone. `local` are
/// tables that the peer has besides.
///
/// # Errors
/// [`BindingsError`], for the first thing that cannot be written.
pub fn typescript(raw: &[u8], local: &[LocalTable]) -> Result<Files, BindingsError> {
    typescript_of(
        module_host::decode(raw).map_err(BindingsError::Undecodable)?,
        local,
    )
}

/// Writes TypeScript as [`typescript`] does, for a definition that is decoded already, by something
/// that bounds its depth: types are walked by recursion.
///
/// # Errors
/// [`BindingsError`], for the first thing that cannot be written.
pub fn typescript_of(
    definition: RawModuleDef,
    local: &[LocalTable],
) -> Result<Files, BindingsError> {
    typescript::files(&read::module(definition, local)?)
}
