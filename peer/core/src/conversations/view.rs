//! What conversations may see: a replica, or a join that has nothing yet.

use std::sync::Arc;

use store::Disk;
use sync_protocol::{
    AddressRecord, BlobHash, ChainTip, CutRef, DeviceKey, EntryId, EquivocationProof, HeadsHash,
    Holdings,
};

use crate::joining::Joining;
use crate::replica::Replica;

/// A replica as a conversation sees it. A disk that fails shows as something not held; the next
/// write finds out and stops the database.
pub(super) struct View<'a> {
    pub(super) replica: &'a Replica,
    pub(super) disk: &'a dyn Disk,
}

impl Holdings for View<'_> {
    fn cut(&self) -> Option<CutRef> {
        Some(self.replica.cut.reference())
    }

    fn heads_hash(&self) -> HeadsHash {
        self.replica.dag.heads_hash()
    }

    fn heads(&self) -> Vec<EntryId> {
        self.replica.dag.heads()
    }

    fn cut_bytes(&self, height: u64) -> Option<Vec<u8>> {
        self.replica.log.cut(height).ok().flatten()
    }

    fn segment_entries(&self, height: u64, from: u32, bytes_max: usize) -> (Vec<Vec<u8>>, bool) {
        self.replica
            .log
            .segment(height, from, bytes_max)
            .unwrap_or_default()
    }

    fn entry_bytes(&self, id: &EntryId) -> Option<Arc<[u8]>> {
        let dag = &self.replica.dag;
        if dag.is_clean(id) || !dag.contains(id) && self.is_final(id) {
            self.encoded(id)
        } else {
            None
        }
    }

    fn holds(&self, id: &EntryId) -> bool {
        self.replica.dag.contains(id) || self.replica.parked.holds(id) || self.is_final(id)
    }

    fn chains(&self) -> Vec<ChainTip> {
        self.replica.dag.chains()
    }

    fn entries_beyond(&self, tips: &[ChainTip], bytes_max: usize) -> (Vec<Arc<[u8]>>, bool) {
        let (entries, more) = self.replica.dag.entries_beyond(tips, bytes_max);
        let encoded = entries.iter().map_while(|entry| self.encoded(&entry.id));
        (encoded.collect(), more)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        self.replica.dag.ids()
    }

    fn blob_chunk(&self, hash: &BlobHash, offset: u64) -> Option<(u64, Vec<u8>)> {
        if !self.replica.knows_module(hash) {
            return None; // other blobs are other databases' business
        }
        let max = sync_protocol::limits::BLOB_CHUNK_BYTES;
        let total = self.disk.blob_len(hash).ok().flatten()?;
        let chunk = self.disk.blob_part(hash, offset, max).ok().flatten()?;
        (!chunk.is_empty()).then_some((total, chunk))
    }

    fn is_member(&self, remote: &DeviceKey) -> bool {
        self.replica.members.contains_key(remote)
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        self.replica.dag.proofs()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        self.replica.parked.wanted()
    }

    fn blob_offset(&self, hash: &BlobHash) -> u64 {
        self.replica.parked.have(hash)
    }

    fn address_records(&self) -> Vec<Arc<AddressRecord>> {
        self.replica.addresses.records().cloned().collect()
    }
}

impl View<'_> {
    /// An entry as it is sent: from memory if it is new, else from the log.
    fn encoded(&self, id: &EntryId) -> Option<Arc<[u8]>> {
        let Replica {
            bodies,
            log,
            id: of,
            ..
        } = self.replica;
        let entry = bodies.get(id, log, *of).ok()?;
        Some(Arc::clone(entry.encoded()))
    }

    fn is_final(&self, id: &EntryId) -> bool {
        matches!(self.replica.log.final_entry(id), Ok(Some(_)))
    }
}

/// A join as a conversation sees it: nothing is here but what its birth says is wanted.
pub(super) struct JoinView<'a>(pub(super) &'a Joining);

impl Holdings for JoinView<'_> {
    fn cut(&self) -> Option<CutRef> {
        None
    }

    fn heads_hash(&self) -> HeadsHash {
        HeadsHash::ZERO
    }

    fn heads(&self) -> Vec<EntryId> {
        Vec::new()
    }

    fn cut_bytes(&self, _height: u64) -> Option<Vec<u8>> {
        None
    }

    fn segment_entries(&self, _height: u64, _from: u32, _max: usize) -> (Vec<Vec<u8>>, bool) {
        (Vec::new(), false)
    }

    fn entry_bytes(&self, _id: &EntryId) -> Option<Arc<[u8]>> {
        None
    }

    fn holds(&self, _id: &EntryId) -> bool {
        false
    }

    fn chains(&self) -> Vec<ChainTip> {
        Vec::new()
    }

    fn entries_beyond(&self, _tips: &[ChainTip], _max: usize) -> (Vec<Arc<[u8]>>, bool) {
        (Vec::new(), false)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        Vec::new()
    }

    fn blob_chunk(&self, _hash: &BlobHash, _offset: u64) -> Option<(u64, Vec<u8>)> {
        None
    }

    fn is_member(&self, _remote: &DeviceKey) -> bool {
        false
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        Vec::new()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        self.0.wanted_blob().into_iter().collect()
    }

    fn blob_offset(&self, _hash: &BlobHash) -> u64 {
        self.0.module.len() as u64
    }

    fn address_records(&self) -> Vec<Arc<AddressRecord>> {
        Vec::new()
    }
}
