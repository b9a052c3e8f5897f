//! Rows that came and went.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Bsatn, Format, TextFormat};
use crate::bsatn;
use crate::compression::{self, Compression};
use crate::error::Malformed;

/// Rows that came and went, by table. For rows that are sent for the first time, all came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct DatabaseUpdate<F: Format> {
    /// The tables whose rows changed.
    pub tables: Vec<TableUpdate<F>>,
}

/// Rows of one table that came and went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct TableUpdate<F: Format> {
    /// The number of the table.
    pub table_id: u32,
    /// The canonical name of the table.
    pub table_name: Arc<str>,
    /// How many rows came or went, over all of the updates.
    pub num_rows: u64,
    /// The rows.
    pub updates: Vec<F::Update>,
}

/// Rows that came and went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct QueryUpdate<F: Format> {
    /// Rows that went.
    pub deletes: F::Rows,
    /// Rows that came.
    pub inserts: F::Rows,
}

/// Rows that came and went, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompressableQueryUpdate {
    /// As they are.
    Uncompressed(QueryUpdate<Bsatn>),
    /// Brotli of their BSATN.
    Brotli(Bytes),
    /// Gzip of their BSATN.
    Gzip(Bytes),
}

impl CompressableQueryUpdate {
    /// Compresses an update, unless it is short or would not get shorter.
    pub fn compress(compression: Compression, update: QueryUpdate<Bsatn>) -> Self {
        if compression == Compression::None {
            return Self::Uncompressed(update);
        }
        let plain = bsatn::encode(&update);
        match compression::shorter(compression, Vec::new(), &plain) {
            None => Self::Uncompressed(update),
            Some(bytes) if compression == Compression::Gzip => Self::Gzip(bytes.into()),
            Some(bytes) => Self::Brotli(bytes.into()),
        }
    }

    /// The update, of at most `max_bytes` bytes of BSATN if it was compressed.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] if it has more, found out before more than that is inflated; another
    /// [`Malformed`] if it is damaged.
    pub fn open(&self, max_bytes: usize) -> Result<QueryUpdate<Bsatn>, Malformed> {
        let plain = match self {
            Self::Uncompressed(update) => return Ok(update.clone()),
            Self::Brotli(bytes) => compression::inflate_brotli(bytes, max_bytes)?,
            Self::Gzip(bytes) => compression::inflate_gzip(bytes, max_bytes)?,
        };
        bsatn::decode(&plain)
    }
}

product!(DatabaseUpdate<Bsatn> { tables });
product!(TableUpdate<Bsatn> { table_id, table_name, num_rows, updates });
product!(QueryUpdate<Bsatn> { deletes, inserts });

sum!(CompressableQueryUpdate, "an update" {
    0 => Uncompressed(update),
    1 => Brotli(bytes),
    2 => Gzip(bytes),
});
