//! How frames from a peer to its clients are compressed: one byte that says how, then the payload.
//! Clients never compress.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::str::FromStr;

use brotli::enc::BrotliEncoderParams;
use flate2::write::GzEncoder;

use crate::error::Malformed;
use crate::limits::UNCOMPRESSED_BYTES_MAX;

const TAG_NONE: u8 = 0;
const TAG_BROTLI: u8 = 1;
const TAG_GZIP: u8 = 2;

/// Speed before size, for both: a frame is made for one client at one moment.
const BROTLI_QUALITY: i32 = 1;

/// What a client wants its frames compressed with, as it says in the query of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip, what browsers can inflate themselves.
    Gzip,
    /// Brotli, for whoever says nothing.
    #[default]
    Brotli,
}

/// A name of a compression that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the compression is None, Gzip or Brotli, not `{0}`")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        match name {
            "None" => Ok(Self::None),
            "Gzip" => Ok(Self::Gzip),
            "Brotli" => Ok(Self::Brotli),
            other => Err(UnknownCompression(other.to_owned())),
        }
    }
}

/// The frame of a payload. What is short, and what compressing would not make shorter, stays as it
/// is, whatever the client wants.
pub fn frame(compression: Compression, payload: &[u8]) -> Vec<u8> {
    shorter(compression, tag(compression), payload)
        .unwrap_or_else(|| [&[TAG_NONE], payload].concat())
}

/// A frame whose payload is being written: its first byte is there already.
pub(crate) fn begin() -> Vec<u8> {
    vec![TAG_NONE]
}

/// The frame of what was written behind [`begin`], without a copy if it stays as it is.
pub(crate) fn finish(compression: Compression, frame: Vec<u8>) -> Vec<u8> {
    let payload = frame.get(1..).unwrap_or_default();
    shorter(compression, tag(compression), payload).unwrap_or(frame)
}

/// The start of a frame that is compressed.
fn tag(compression: Compression) -> Vec<u8> {
    vec![match compression {
        Compression::None => TAG_NONE,
        Compression::Gzip => TAG_GZIP,
        Compression::Brotli => TAG_BROTLI,
    }]
}

/// Appends the payload compressed, if it is to be and gets shorter.
pub(crate) fn shorter(compression: Compression, out: Vec<u8>, payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() <= UNCOMPRESSED_BYTES_MAX {
        return None;
    }
    let compressed = match compression {
        Compression::None => return None,
        Compression::Gzip => deflate_gzip(out, payload),
        Compression::Brotli => deflate_brotli(out, payload),
    };
    (compressed.len() <= payload.len()).then_some(compressed)
}

/// The payload of a frame.
///
/// # Errors
/// [`Malformed::TooLong`] if it has more than `max_bytes` bytes, found out before more than that is
/// inflated; [`Malformed::UnknownTag`] and [`Malformed::NotInflatable`] if it is damaged.
pub fn open_frame(frame: &[u8], max_bytes: usize) -> Result<Cow<'_, [u8]>, Malformed> {
    let (tag, payload) = frame.split_first().ok_or(Malformed::CutShort)?;
    match *tag {
        TAG_NONE if payload.len() > max_bytes => Err(Malformed::TooLong { max: max_bytes }),
        TAG_NONE => Ok(payload.into()),
        TAG_BROTLI => inflate_brotli(payload, max_bytes).map(Cow::from),
        TAG_GZIP => inflate_gzip(payload, max_bytes).map(Cow::from),
        tag => Err(Malformed::UnknownTag {
            what: "a compression",
            tag,
        }),
    }
}

/// Appends gzip of the bytes.
fn deflate_gzip(out: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("a vector takes whatever is written")
}

/// Appends brotli of the bytes.
fn deflate_brotli(mut out: Vec<u8>, mut bytes: &[u8]) -> Vec<u8> {
    let params = BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        ..BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut bytes, &mut out, &params)
        .expect("a vector takes whatever is written");
    out
}

pub(crate) fn inflate_gzip(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, Malformed> {
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let out = read_at_most(&mut decoder, max_bytes)?;
    match decoder.into_inner() {
        [] => Ok(out),
        _ => Err(Malformed::NotInflatable),
    }
}

pub(crate) fn inflate_brotli(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, Malformed> {
    // Seven bits that RFC 7932 leaves free announce a window of up to 1 GiB, which the library would
    // make room for whatever comes out.
    if bytes.first().is_some_and(|first| first & 0x7F == 0x11) {
        return Err(Malformed::NotInflatable);
    }
    read_at_most(&mut brotli::Decompressor::new(bytes, 4_096), max_bytes)
}

fn read_at_most(reader: &mut impl Read, max_bytes: usize) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let one_more = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    reader
        .take(one_more)
        .read_to_end(&mut out)
        .map_err(|_| Malformed::NotInflatable)?;
    if out.len() > max_bytes {
        return Err(Malformed::TooLong { max: max_bytes });
    }
    Ok(out)
}
