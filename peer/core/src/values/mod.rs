//! Values at the border: JSON that people and clients write becomes BSATN that modules read, and
//! back, always led by the type. Schemas as JSON and as text live here too.
//!
//! Pure: knows types and bytes, no tables, no databases. Whatever comes from outside is bounded in
//! size and depth and answered with an error that names the place; nothing here panics because of
//! its input.

mod arguments;
mod bsatn;
mod cursor;
mod encode;
mod integer;
mod json;
mod schema;
mod schema_v10;
mod schema_v9;
mod special;
#[cfg(test)]
pub(crate) mod strategies;
mod text;
mod words;

pub(crate) use arguments::arguments_from_json;
pub(crate) use bsatn::{BadValue, Reader};
pub(crate) use encode::hex_bytes;
pub(crate) use integer::Integer;
pub(crate) use json::{columns_json, row_json, row_json_named};
pub(crate) use schema::{schema_plain, schema_v9, schema_v10};
pub(crate) use special::{Special, special_from_text};
pub(crate) use text::row_text;
pub(crate) use words::{list_names, type_name};

/// Levels of nesting that are followed, in types and in JSON: far beyond what a program declares,
/// far below what a thread's stack holds.
pub(crate) const DEPTH_MAX: u32 = 64;
