//! Documents that people write together: Automerge's changes, read within bounds and judged before
//! anything is done with them, and documents made of them.
//!
//! A change says which changes its actor had seen (its *dependencies*), and what it does to the
//! objects that those made. [`Change::read`] reads one from bytes of anybody and bounds what they cost
//! before it costs it. [`Definitions`] holds what changes have made, and says whether another change
//! refers to nothing else: the library that merges them takes that for granted, and breaks off where
//! it does not hold. [`Document`] is a set of changes that were judged so, as the library merges
//! them, with what a module may ask of it or do to it.
//!
//! Everything here is a function of its arguments: no clock, no dice. What a document is depends on
//! the set of its changes, not on their order.
//!
//! The bytes of changes are those of Automerge's binary format, as its libraries read and write them
//! in every language: <https://automerge.org/automerge-binary-format-spec/>.

#![forbid(unsafe_code)]

mod bytes;
mod change;
mod columns;
mod definitions;
mod document;
mod edit;
mod error;
mod json;
pub mod limits;
mod ops;
mod path;
mod recent;

pub use change::{Change, Hash};
pub use definitions::{Definitions, Need};
pub use document::{Document, read_all};
pub use error::{ChangeError, DocumentError};
pub use ops::{Action, Element, ObjectId, Op, OpId, Value};
pub use recent::RecentChanges;

#[cfg(test)]
mod tests;
