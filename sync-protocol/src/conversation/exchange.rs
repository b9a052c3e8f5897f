//! What a conversation is told, and what it answers with.

use std::sync::Arc;

use crate::address::AddressRecord;
use crate::entry::Entry;
use crate::equivocation::EquivocationProof;
use crate::ids::{BlobHash, DeviceKey, EntryId};
use crate::message::Message;
use crate::time::Tick;

/// What happened.
#[derive(Debug)]
pub enum ConversationInput<'a> {
    /// The link can be used.
    Opened,
    /// The remote said something about this database.
    Received(Message),
    /// The time of a [`ConversationEffect::WakeAt`] has come. Harmless at any other time.
    Wake,
    /// Clean entries are new here and durable. Every conversation of the database is told.
    Fresh {
        /// In position order.
        entries: &'a [Arc<Entry>],
        /// Who sent them; `None`: this peer wrote them.
        from: Option<DeviceKey>,
    },
    /// A cut is new here and durable.
    FreshCut {
        /// Encoded.
        bytes: &'a [u8],
    },
    /// The replica has taken in, or refused, whatever earlier effects handed it: go on.
    Ingested {
        /// Parents that entries from this remote wait for.
        missing: &'a [EntryId],
        /// Whether entries from this remote wait for a cut that is not here.
        cut_missing: bool,
        /// Whether a cut from this remote does not follow from ours.
        apart: bool,
    },
    /// [`Holdings::address_records`] has something new.
    AddressesChanged,
}

/// What to do.
#[allow(
    clippy::large_enum_variant,
    reason = "proofs are rare, and every effect moves once"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationEffect {
    /// Send this to the remote.
    Send(Message),
    /// Encoded entries came, large ones as stubs. Checked for nothing yet. [`ConversationInput::Ingested`] follows.
    Entries(Vec<Vec<u8>>),
    /// A page of final history came. Checked for nothing yet. `Ingested` follows.
    Segment {
        /// The encoded cut that covers it.
        cut: Vec<u8>,
        /// Encoded entries in order, large ones as stubs; earlier pages of the segment were handed over before.
        entries: Vec<Vec<u8>>,
        /// Whether the segment ends with this page, so that the cut can be tried.
        complete: bool,
        /// The cut's height.
        height: u64,
    },
    /// An encoded cut came without its segment; the entries may be here already. Keep it or not:
    /// it comes again. `Ingested` follows.
    Cut(Vec<u8>),
    /// Consecutive cuts of the remote's history came, from where it parts from ours or from
    /// [`Holdings::branch_tip`] on. `Ingested` follows.
    Branch(Vec<Vec<u8>>),
    /// A part of a wanted blob came. `Ingested` follows.
    BlobChunk {
        /// Which.
        hash: BlobHash,
        /// Where it begins.
        offset: u64,
        /// How long the whole blob is said to be, in bytes.
        total: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// A part of the body came of an entry that the remote offered. `Ingested` follows.
    BodyChunk {
        /// The entry.
        entry: EntryId,
        /// Where the part begins.
        offset: u64,
        /// How long the whole body is said to be, in bytes.
        total: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// Evidence against an author. Not verified yet.
    Proof(EquivocationProof),
    /// Where devices say they listen. Nothing is verified yet, not even that they are members.
    Addresses(Vec<AddressRecord>),
    /// Both sides hold the same now, and a moment ago they did not.
    InSync,
    /// The remote breaks the rules: cut it off. The text says why.
    Misbehaved(String),
    /// The remote no longer answers, which is no fault: close the link, so that another is opened.
    /// The text says what was asked in vain.
    Silent(String),
    /// Hand in [`ConversationInput::Wake`] at this tick; the latest one counts.
    WakeAt(Tick),
}
