//! What a conversation reads of this side, and never changes.

use std::sync::Arc;

use crate::address::AddressRecord;
use crate::cut::{Cut, CutRef, Term};
use crate::dag::ChainTip;
use crate::equivocation::EquivocationProof;
use crate::ids::{BlobHash, DeviceKey, EntryId, HeadsHash};
use crate::reconcile::TailIndex;
use crate::time::Tick;

/// What this side holds. Read-only: the conversation asks, the replica changes.
pub trait Holdings {
    /// The last cut. `None`: joining, not even the genesis is here.
    fn cut(&self) -> Option<CutRef>;
    /// Hash of [`Self::heads`].
    fn heads_hash(&self) -> HeadsHash;
    /// The heads of the clean set.
    fn heads(&self) -> Vec<EntryId>;
    /// The term that this side follows. Greater than that of its last cut while it is on its way
    /// to a recovery cut of which it knows.
    fn term(&self) -> Term {
        self.cut().map_or(Term::FIRST, |cut| cut.term)
    }
    /// The encoded cut at a height.
    fn cut_bytes(&self, height: u64) -> Option<Vec<u8>>;
    /// The name of the cut at a height.
    fn cut_at(&self, height: u64) -> Option<CutRef> {
        let cut = Cut::open(&self.cut_bytes(height)?).ok()?;
        Some(cut.reference())
    }
    /// Whether the cut at a height has been handed over and is being taken: it becomes the last one soon.
    fn is_taking(&self, _height: u64) -> bool {
        false
    }
    /// The last cut of the branch that is being looked at to see whether it beats our own history.
    fn branch_tip(&self) -> Option<CutRef> {
        None
    }
    /// The other side of a fork: an encoded certified cut that our history contradicts.
    fn other_side(&self) -> Option<Arc<[u8]>> {
        None
    }
    /// Encoded entries of the segment of the cut at `height`, in order, from ordinal `from` on:
    /// about `bytes_max`, but at least one if there is one. True: there are more.
    fn segment_entries(&self, height: u64, from: u32, bytes_max: usize) -> (Vec<Vec<u8>>, bool);
    /// An encoded entry, final or not, that may be sent: durable, and clean.
    fn entry_bytes(&self, id: &EntryId) -> Option<Arc<[u8]>>;
    /// Whether the entry is here: final, in the tail, quarantined or pending.
    fn holds(&self, id: &EntryId) -> bool;
    /// The chains of the clean tail.
    fn chains(&self) -> Vec<ChainTip>;
    /// Encoded entries of the clean tail beyond the tips, in position order: about `bytes_max`, but
    /// at least one if there is one. True: there are more.
    fn entries_beyond(&self, tips: &[ChainTip], bytes_max: usize) -> (Vec<Arc<[u8]>>, bool);
    /// The ids of the clean tail in position order, so that parents come first.
    fn tail_ids(&self) -> Vec<EntryId>;
    /// The clean tail by time and id, the same entries as [`Self::tail_ids`]. `None`: joining.
    fn tail_index(&self) -> Option<&TailIndex>;
    /// Whether another conversation of this database is pulling this and getting on with it, by
    /// what [`Conversation::pulling`] says of it.
    fn is_pulled(&self, bulk: &Bulk, now: Tick) -> bool;
    /// Length of a blob and its bytes from `offset` on, at most
    /// [`BLOB_CHUNK_BYTES`](crate::limits::BLOB_CHUNK_BYTES) of them.
    fn blob_chunk(&self, hash: &BlobHash, offset: u64) -> Option<(u64, Vec<u8>)>;
    /// Whether the visible state knows the remote as a member, with any role.
    fn is_member(&self, remote: &DeviceKey) -> bool;
    /// The height of the cut that ended the remote's membership, if it was a member once.
    fn membership_ended(&self, _remote: &DeviceKey) -> Option<u64> {
        None
    }
    /// The height of the cut that covers an entry.
    fn covered_at(&self, _entry: &EntryId) -> Option<u64> {
        None
    }
    /// Proofs of equivocation that are known here.
    fn proofs(&self) -> Vec<EquivocationProof>;
    /// Blobs that are needed and not here.
    fn wanted_blobs(&self) -> Vec<BlobHash>;
    /// How many bytes of a wanted blob, from its start, are here already.
    fn blob_offset(&self, hash: &BlobHash) -> u64;
    /// Where members listen, this peer among them: sorted by device, each device once.
    fn address_records(&self) -> Vec<Arc<AddressRecord>>;
    /// Entries whose stubs this remote offered and whose bodies are not here, in the order in which
    /// they are to be asked for, with the bytes of each body.
    fn wanted_bodies(&self, remote: &DeviceKey) -> Vec<(EntryId, u32)>;
    /// How many bytes of a wanted body, from its start, are here already.
    fn body_offset(&self, entry: &EntryId) -> u64;
}

/// What is pulled from one remote at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bulk {
    /// Segments of later cuts.
    History,
    /// What of the tail is missing, by chains, or by ranges and then ids.
    Tail,
    /// A blob.
    Blob(BlobHash),
    /// The body of an entry.
    Body(EntryId),
}
