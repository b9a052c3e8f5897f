//! What SpacetimeDB's clients and a peer say to each other over a WebSocket: the messages of its
//! protocols v1 (as bytes and as JSON), v2 and v3, and how frames are compressed.
//!
//! Only bytes: no sockets, no clock, no state of a connection. Nothing here knows databases, tables
//! or types; rows and arguments are byte strings, or texts, that somebody else writes and reads.
//!
//! Both sides are here, both ways: a peer reads [`v2::ClientMessage`] and writes
//! [`v2::ServerMessage`], tests and benchmarks do the opposite. A client decides none of the memory
//! that reading takes but by the bytes it sends: a length that exceeds them is refused before
//! anything is allocated, and [`limits`] bounds how many things one frame may hold.
//!
//! Words used here: a *frame* is the payload of one WebSocket message; a *message* is one thing said
//! in it; a *row list* is the rows of one table one after the other ([`BsatnRowList`]); identities
//! and connection ids are their little-endian bytes, as in BSATN, so reversed against their
//! hexadecimal text.
//!
//! Reading order: `limits`, `bsatn` (numbers, strings, lists), `rows`, `compression`, `v2`, `v1`.

#![forbid(unsafe_code)]

#[macro_use]
mod bsatn;

pub mod compression;
mod error;
pub mod limits;
mod rows;
#[cfg(test)]
mod tests;
pub mod v1;
pub mod v2;

pub use error::Malformed;
pub use rows::{BsatnRowList, RowListBuilder, RowSizeHint, Rows};
