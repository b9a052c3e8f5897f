//! The bytes of the journal: frames, one for each write, from the start of a half on, and zeros behind them.
//!
//! A frame begins at a multiple of 64, so that its header lies in one sector; `docs/FILE_FORMAT.md` has its bytes. The
//! next one is begun only after the sync of the one before, so a crash spoils the last one at most, which nobody
//! was told of.

use std::sync::Arc;

use sync_protocol::{Cut, Entry, EntryId};

use super::logged_cut::LoggedCut;
use crate::error::StoreError;
use crate::xxh64::xxh64;

/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 64;

/// The sum of the rest of the header, the body's sum, the body's length, what is in it, zeros.
const HEADER_BYTES: usize = 32;

/// Seeds of the two sums: one is never the other.
const HEADER_SEED: u64 = 0x746f_6d62_6f6c_6f31;
const BODY_SEED: u64 = 0x746f_6d62_6f6c_6f32;

/// What is in a body.
const ENTRIES: u8 = 0;
const CUT: u8 = 1;

/// What is in the frames of one half, or of both.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Cuts, each with what it covers, by place.
    pub(crate) cuts: Vec<(Cut, Vec<EntryId>)>,
}

/// Bytes of the frame of these entries.
pub(super) fn entries_frame_bytes(entries: &[Arc<Entry>]) -> usize {
    let bytes = entries.iter().map(|entry| 4 + entry.encoded().len());
    frame_bytes(bytes.sum())
}

/// The frame of entries that are appended together. It is no longer than the journal.
pub(crate) fn entries_frame(entries: &[Arc<Entry>]) -> Vec<u8> {
    let mut frame = begin_frame(entries_frame_bytes(entries));
    for entry in entries {
        put(&mut frame, entry.encoded());
    }
    end_frame(frame, ENTRIES)
}

/// Bytes of the frame of a cut.
pub(super) fn cut_frame_bytes(cut: &LoggedCut) -> usize {
    frame_bytes(4 + cut.encoded().len() + size_of::<EntryId>() * cut.covered().len())
}

/// The frame of a cut and what it covers. It is no longer than the journal.
pub(crate) fn cut_frame(cut: &LoggedCut) -> Vec<u8> {
    let mut frame = begin_frame(cut_frame_bytes(cut));
    put(&mut frame, cut.encoded());
    for covered in cut.covered() {
        frame.extend_from_slice(&covered.id().0);
    }
    end_frame(frame, CUT)
}

/// Bytes of a frame with so many in its body.
fn frame_bytes(body: usize) -> usize {
    HEADER_BYTES.saturating_add(body).next_multiple_of(ALIGN)
}

fn begin_frame(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes);
    frame.resize(HEADER_BYTES, 0);
    frame
}

fn put(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
}

fn end_frame(mut frame: Vec<u8>, kind: u8) -> Vec<u8> {
    let bytes = frame.len() - HEADER_BYTES;
    frame.resize(frame_bytes(bytes), 0);
    let (header, body) = frame.split_at_mut(HEADER_BYTES);
    header[8..16].copy_from_slice(&xxh64(BODY_SEED, body).to_le_bytes());
    header[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
    header[20] = kind;
    // The sum itself is zero so far.
    let sum = xxh64(HEADER_SEED, header);
    header[..8].copy_from_slice(&sum.to_le_bytes());
    frame
}

/// Reads the frames of a half. One that was being written when the power failed ends them.
pub(crate) fn read_frames(mut bytes: &[u8], found: &mut Found) -> Result<(), StoreError> {
    while let Some(Split { kind, body, rest }) = split_frame(bytes)? {
        match kind {
            ENTRIES => read_entries(body, &mut found.entries)?,
            CUT => found.cuts.push(read_cut(body)?),
            _ => return Err(damaged("a frame of an unknown kind")),
        }
        bytes = rest;
    }
    Ok(())
}

struct Split<'a> {
    kind: u8,
    body: &'a [u8],
    rest: &'a [u8],
}

fn damaged(what: &str) -> StoreError {
    StoreError::damaged(format!("journal: {what}"))
}

/// The first frame; none if it was not written to its end.
fn split_frame(bytes: &[u8]) -> Result<Option<Split<'_>>, StoreError> {
    let damaged = || damaged("a frame");
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    // It lies in one sector, which is written as a whole or not at all.
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let (mut summed, mut header_sum, mut body_sum, mut len) = (*header, [0; 8], [0; 8], [0; 4]);
    summed[..8].fill(0);
    header_sum.copy_from_slice(&header[..8]);
    body_sum.copy_from_slice(&header[8..16]);
    len.copy_from_slice(&header[16..20]);
    if u64::from_le_bytes(header_sum) != xxh64(HEADER_SEED, &summed) {
        return Err(damaged());
    }
    let len = u32::from_le_bytes(len) as usize;
    let (frame, rest) = bytes
        .split_at_checked(frame_bytes(len))
        .ok_or_else(damaged)?;
    let body = &frame[HEADER_BYTES..];
    match xxh64(BODY_SEED, body) == u64::from_le_bytes(body_sum) {
        true => Ok(Some(Split {
            kind: header[20],
            body: &body[..len],
            rest,
        })),
        // The next one is begun only when this one is durable.
        false if rest.iter().any(|byte| *byte != 0) => Err(damaged()),
        false => Ok(None),
    }
}

fn read_entries(mut body: &[u8], entries: &mut Vec<Arc<Entry>>) -> Result<(), StoreError> {
    while !body.is_empty() {
        let (entry, rest) = take(body).ok_or_else(|| damaged("an entry"))?;
        let entry = Entry::open(entry).map_err(|_| damaged("an entry"))?;
        entries.push(Arc::new(entry));
        body = rest;
    }
    Ok(())
}

fn read_cut(body: &[u8]) -> Result<(Cut, Vec<EntryId>), StoreError> {
    let (cut, ids) = take(body).ok_or_else(|| damaged("a cut"))?;
    let cut = Cut::open(cut).map_err(|_| damaged("a cut"))?;
    let (ids, surplus) = ids.as_chunks();
    if !surplus.is_empty() {
        return Err(damaged("what a cut covers"));
    }
    Ok((cut, ids.iter().copied().map(EntryId).collect()))
}

/// Splits off bytes that come after their length.
fn take(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = body.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
