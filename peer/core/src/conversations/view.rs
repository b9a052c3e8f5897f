//! What conversations may see: a replica, or a join that has nothing yet.

use std::sync::Arc;

use store::Disk;
use sync_protocol::{
    AddressRecord, BlobHash, Bulk, ChainTip, Cut, CutRef, DeviceKey, EntryId, EquivocationProof,
    HeadsHash, Holdings, TailIndex, Term, Tick,
};

use super::body_name;
use crate::joining::Joining;
use crate::partials::Partials;
use crate::replica::Replica;

/// A replica as a conversation sees it. A disk that fails shows as something not held; the next
/// write finds out and stops the database.
pub(super) struct View<'a> {
    pub(super) replica: &'a Replica,
    /// Whose conversation it is.
    pub(super) remote: DeviceKey,
    pub(super) disk: &'a dyn Disk,
    /// Nothing large is to be fetched.
    pub(super) is_short_of_room: bool,
    pub(super) partials: &'a Partials,
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

    fn term(&self) -> Term {
        self.replica.term()
    }

    fn cut_at(&self, height: u64) -> Option<CutRef> {
        let own = self.replica.cut.reference();
        if height == own.height {
            return Some(own);
        }
        let cut = Cut::open(&self.cut_bytes(height)?).ok()?;
        Some(cut.reference())
    }

    fn is_taking(&self, height: u64) -> bool {
        self.replica.is_taking(height)
    }

    fn branch_tip(&self) -> Option<CutRef> {
        self.replica.contest.branch_tip()
    }

    fn other_side(&self) -> Option<Arc<[u8]>> {
        self.replica.contest.other_side()
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

    fn tail_index(&self) -> Option<&TailIndex> {
        Some(self.replica.dag.tail_index())
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
        // Whoever makes cuts has to hear that it is not to any more.
        self.replica.members.contains_key(remote) || self.replica.is_ending_finaliser(remote)
    }

    fn membership_ended(&self, remote: &DeviceKey) -> Option<u64> {
        let changes = self.replica.rights.roles.get(remote)?;
        let last = changes.last().filter(|change| change.role.is_none())?;
        Some(last.from)
    }

    fn covered_at(&self, entry: &EntryId) -> Option<u64> {
        let covered = self.replica.log.final_entry(entry).ok().flatten()?;
        Some(covered.height)
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        self.replica.dag.proofs()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        let wanted = self.replica.parked.wanted().into_iter();
        wanted
            .filter(|_| !self.is_short_of_room)
            .filter(|hash| !self.partials.distrusts(hash, &self.remote))
            .collect()
    }

    fn blob_offset(&self, hash: &BlobHash) -> u64 {
        self.replica
            .parked
            .len_of(hash)
            .map_or(0, |total| self.partials.offset(hash, &self.remote, total))
    }

    fn is_pulled(&self, bulk: &Bulk, now: Tick) -> bool {
        // The link whose conversation asks is not among them.
        let mut links = self.replica.links.values();
        links.any(|link| link.conversation.pulling(now).any(|other| other == *bulk))
    }

    fn wanted_bodies(&self, remote: &DeviceKey) -> Vec<(EntryId, u32)> {
        if self.is_short_of_room {
            return Vec::new();
        }
        self.replica.awaited.offered_by(remote)
    }

    fn body_offset(&self, entry: &EntryId) -> u64 {
        self.replica.awaited.stub(entry).map_or(0, |stub| {
            let total = u64::from(stub.header.body_len);
            self.partials.offset(&body_name(entry), &self.remote, total)
        })
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
pub(super) struct JoinView<'a> {
    pub(super) joining: &'a Joining,
    /// Whose conversation it is.
    pub(super) remote: DeviceKey,
    pub(super) partials: &'a Partials,
}

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

    fn tail_index(&self) -> Option<&TailIndex> {
        None
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
        let wanted = self.joining.wanted_blob().map(|(hash, _)| hash);
        wanted
            .filter(|hash| !self.partials.distrusts(hash, &self.remote))
            .into_iter()
            .collect()
    }

    fn blob_offset(&self, hash: &BlobHash) -> u64 {
        self.joining.wanted_blob().map_or(0, |(_, total)| {
            self.partials.offset(hash, &self.remote, total)
        })
    }

    fn is_pulled(&self, bulk: &Bulk, now: Tick) -> bool {
        let mut links = self.joining.links.values();
        links.any(|link| link.conversation.pulling(now).any(|other| other == *bulk))
    }

    fn wanted_bodies(&self, _remote: &DeviceKey) -> Vec<(EntryId, u32)> {
        Vec::new()
    }

    fn body_offset(&self, _entry: &EntryId) -> u64 {
        0
    }

    fn address_records(&self) -> Vec<Arc<AddressRecord>> {
        Vec::new()
    }
}
