//! A cut as the log keeps it: its bytes, and what is kept of each entry that it covers.

use sync_protocol::{Cut, CutId, DeviceKey, EntryId, FinalEntry, Hlc, Position, Stub, Term};

use crate::error::StoreError;

/// Bytes of what is kept of a final entry.
pub(super) const FINAL_BYTES: usize = 80;

/// A cut, and what it covers.
#[derive(Debug)]
pub(crate) struct LoggedCut {
    height: u64,
    stored: Vec<u8>,
    /// By place in the final order.
    covered: Vec<Covered>,
    /// The same places, by entry.
    by_entry: Vec<u32>,
}

/// An entry that a cut covers.
#[derive(Debug)]
pub(crate) struct Covered {
    pub(super) position: Position,
    pub(super) kept: FinalEntry,
}

impl Covered {
    pub(super) fn id(&self) -> EntryId {
        self.position.entry
    }
}

impl LoggedCut {
    pub(crate) fn new<'a>(cut: &Cut, segment: impl Iterator<Item = &'a Stub>) -> Self {
        let covered: Vec<_> = segment
            .map(|entry| Covered {
                position: entry.position(0),
                kept: final_entry(entry, cut.height),
            })
            .collect();
        let mut by_entry: Vec<_> = (0_u32..).take(covered.len()).collect();
        by_entry.sort_unstable_by_key(|place| covered[*place as usize].id());
        Self {
            height: cut.height,
            stored: stored_cut(cut),
            covered,
            by_entry,
        }
    }

    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// The cut's id and its bytes, as the tables have them.
    pub(super) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The cut's bytes.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.stored[size_of::<EntryId>()..]
    }

    pub(super) fn covered(&self) -> &[Covered] {
        &self.covered
    }

    /// What is kept of the entries, by id: trees are filled in their order, page after page.
    pub(super) fn by_entry(&self) -> impl Iterator<Item = &Covered> {
        self.by_entry
            .iter()
            .map(|place| &self.covered[*place as usize])
    }

    /// What is kept of an entry, if this cut covers it.
    pub(super) fn final_entry(&self, id: &EntryId) -> Option<FinalEntry> {
        let id_at = |place: &u32| self.covered[*place as usize].id();
        let at = self.by_entry.binary_search_by_key(id, id_at).ok()?;
        Some(self.covered[self.by_entry[at] as usize].kept)
    }
}

/// A cut as stored: its id is asked for often, and would cost a decoding and a hash.
pub(crate) fn stored_cut(cut: &Cut) -> Vec<u8> {
    [cut.id().as_bytes(), &**cut.encoded()].concat()
}

pub(crate) fn split_cut(stored: &[u8]) -> Result<(CutId, &[u8]), StoreError> {
    let (id, cut) = stored
        .split_first_chunk::<32>()
        .ok_or_else(|| StoreError::damaged("log: a cut"))?;
    Ok((CutId(*id), cut))
}

pub(crate) fn final_entry(entry: &Stub, height: u64) -> FinalEntry {
    FinalEntry {
        author: entry.header.author,
        epoch: entry.header.epoch,
        seq: entry.header.seq,
        last_time: entry.last_time(),
        base_term: entry.header.base.term,
        base_height: entry.header.base.height,
        height,
    }
}

pub(crate) fn encode_final(entry: &FinalEntry) -> [u8; FINAL_BYTES] {
    let mut bytes = [0; FINAL_BYTES];
    bytes[..32].copy_from_slice(&entry.author.0);
    let numbers = [
        entry.epoch,
        entry.seq,
        entry.last_time.0,
        entry.base_term.0,
        entry.base_height,
        entry.height,
    ];
    for (bytes, number) in bytes[32..].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    bytes
}

pub(crate) fn decode_final(bytes: &[u8; FINAL_BYTES]) -> FinalEntry {
    let mut author = DeviceKey::ZERO;
    author.0.copy_from_slice(&bytes[..32]);
    let mut numbers = [0; 6];
    for (number, bytes) in numbers.iter_mut().zip(bytes[32..].as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    let [epoch, seq, last_time, base_term, base_height, height] = numbers;
    FinalEntry {
        author,
        epoch,
        seq,
        last_time: Hlc(last_time),
        base_term: Term(base_term),
        base_height,
        height,
    }
}
