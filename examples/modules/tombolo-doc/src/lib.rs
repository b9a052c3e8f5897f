//! Documents that people write together, for SpacetimeDB modules on Tombolo.
//!
//! Two people's keystrokes are no calls of a reducer that one may simply put in an order: both have to be
//! in the text. [Automerge](https://automerge.org) merges them, and a peer of Tombolo knows how to: the
//! imports `tombolo_1.0` of a module do natively what would be slow in WebAssembly. A module that
//! uses this crate is an ordinary SpacetimeDB module plus these imports; it runs on Tombolo only.
//!
//! There are two ways to keep a document:
//!
//! - **As a column**: [`Doc`] holds all changes of a small document in one row, such as settings or a list of
//!   things to do. Whoever changes it rewrites the row, so two calls that change the same document at the same
//!   time are run again where they were not in order.
//! - **As rows of changes**: [`changes`] judges a change that somebody made in a browser or an app, beside the
//!   changes that it builds on, and the module inserts it into a table. Nobody reads the whole document for it, a
//!   change that comes late makes no other call run again, and clients follow the table: each row is
//!   what somebody typed, and they merge it with Automerge's library for their language.
//!
//! Whatever is refused is an [`Error`] with a sentence for people, to return from the reducer.

pub mod changes;
mod doc;
mod host;

pub use doc::{Doc, Document};

use std::fmt;

/// Why something was not done with a document, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// So that `?` works in reducers that return `Result<(), String>`.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.0
    }
}
