//! What two peers say to each other about one database, and its bytes.
//!
//! A frame is the version (one byte), the database (32 bytes) and the message (postcard). Whoever
//! reads one checks that it is canonical, so one message has one encoding.
//!
//! Bulk is pulled: a [`Want`] carries a number, and its [`Answer`] repeats it, so that an answer
//! that was delayed, doubled or never asked for is told from the one that is awaited. What is fresh
//! is pushed and needs no answer: whatever gets lost is missed when standings are compared.

mod entries;
pub mod limits;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::address::AddressRecord;
use crate::codec;
use crate::cut::CutRef;
use crate::dag::ChainTip;
use crate::equivocation::EquivocationProof;
use crate::ids::{BlobHash, DatabaseId, EntryId, HeadsHash};
use crate::limits::{CUT_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::reconcile::{self, Range};
use limits::{
    ADDRESS_RECORDS_PER_MESSAGE_MAX, CHAINS_MAX, ENTRIES_PER_MESSAGE_MAX, HEADS_PER_MESSAGE_MAX,
    IDS_PER_MESSAGE_MAX, KNOWN_CUTS_MAX, PROOFS_PER_MESSAGE_MAX, RANGES_MAX,
    SEGMENTS_PER_MESSAGE_MAX,
};

/// The version of the messages that this code speaks, the first byte of every frame.
pub const MESSAGE_VERSION: u8 = 1;

/// Bytes before the message itself: version and database.
const PREFIX_BYTES: usize = 1 + 32;

/// Where a peer stands: two peers with equal standings hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The last cut; none while joining, before the genesis is here.
    pub cut: Option<CutRef>,
    /// The hash of the heads of the clean set.
    pub heads: HeadsHash,
}

/// Said when a link opens and every 30 s after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Where the sender stands.
    pub standing: Standing,
    /// The sender's clock, microseconds since the Unix epoch.
    pub wall: u64,
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The regular comparison.
    Hello(Hello),
    /// The sender's standing changed a moment ago.
    Standing(Standing),
    /// Fresh entries, whole, in position order.
    Push {
        /// Encoded entries, large ones as stubs.
        #[serde(with = "entries")]
        entries: Vec<Vec<u8>>,
        /// False: the sender wrote them itself. Only forwarded doubles are worth a [`Self::Prune`].
        forwarded: bool,
    },
    /// Fresh entries by id: ask for those that do not come another way.
    Have {
        /// Their ids.
        #[serde(deserialize_with = "codec::at_most::<_, _, IDS_PER_MESSAGE_MAX>")]
        ids: Vec<EntryId>,
    },
    /// What you forward reaches me faster another way: tell me ids only.
    Prune,
    /// A fresh cut.
    Cut {
        /// The encoded cut.
        #[serde(with = "codec::bytes")]
        bytes: Vec<u8>,
    },
    /// Evidence that authors signed two histories.
    Proofs {
        /// At least one.
        #[serde(deserialize_with = "codec::at_most::<_, _, PROOFS_PER_MESSAGE_MAX>")]
        proofs: Vec<EquivocationProof>,
    },
    /// Where members listen, the sender among them.
    Addresses {
        /// At least one, sorted by device, each device once.
        #[serde(deserialize_with = "codec::at_most::<_, _, ADDRESS_RECORDS_PER_MESSAGE_MAX>")]
        records: Vec<AddressRecord>,
    },
    /// A question.
    Want {
        /// Chosen by the asker; the answer repeats it.
        request: u32,
        /// What is wanted.
        want: Want,
    },
    /// The answer to a question.
    Answer {
        /// The number of the question.
        request: u32,
        /// What was found.
        answer: Answer,
    },
}

/// What one side asks the other for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// One cut, without its segment.
    Cut {
        /// Which.
        height: u64,
    },
    /// Final history: the segment of this cut and of those after it, as much as fits; the birth
    /// (height 0) comes alone.
    Segments {
        /// The first cut wanted.
        height: u64,
        /// How many entries of that segment the asker has taken in already.
        from: u32,
    },
    /// Whatever of the tail lies beyond these chains.
    Beyond {
        /// The chains of the asker's tail.
        #[serde(deserialize_with = "codec::at_most::<_, _, CHAINS_MAX>")]
        chains: Vec<ChainTip>,
    },
    /// The ids of the whole tail, in position order, for what chains cannot tell apart.
    Ids {
        /// How many to skip.
        from: u32,
    },
    /// Entries by id.
    Entries {
        /// Which.
        #[serde(deserialize_with = "codec::at_most::<_, _, IDS_PER_MESSAGE_MAX>")]
        ids: Vec<EntryId>,
        /// The ids came in a [`Message::Have`]: push what is fresh again.
        graft: bool,
    },
    /// I do not know you as a member: show me your tail. Tells nothing but the asker's cut.
    Introduction {
        /// The asker's cut.
        cut: Option<CutRef>,
        /// Which page of the tail; page 0 starts afresh.
        page: u32,
    },
    /// A part of a blob.
    Blob {
        /// Which.
        hash: BlobHash,
        /// The first byte wanted.
        offset: u64,
    },
    /// Where our histories part: your cuts after the first of these that is yours too.
    Cuts {
        /// Cuts that the asker knows, the latest first, ever sparser towards the first cut.
        #[serde(deserialize_with = "codec::at_most::<_, _, KNOWN_CUTS_MAX>")]
        known: Vec<CutRef>,
    },
    /// A part of the body of a large entry, whose stub the asker has.
    Body {
        /// The entry.
        entry: EntryId,
        /// The first byte wanted.
        offset: u32,
    },
    /// What of the tail the asker lacks, by ranges; see [`reconcile`](crate::reconcile).
    Reconcile {
        /// At least one.
        #[serde(deserialize_with = "codec::at_most::<_, _, RANGES_MAX>")]
        ranges: Vec<Range>,
    },
}

/// One segment, or a page of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPage {
    /// The height of the cut that covers it.
    pub height: u64,
    /// The encoded cut.
    #[serde(with = "codec::bytes")]
    pub cut: Vec<u8>,
    /// Encoded entries in order.
    #[serde(with = "entries")]
    pub entries: Vec<Vec<u8>>,
    /// Whether these are the last ones of the segment.
    pub complete: bool,
}

/// What one side found for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The asked side does not hold it.
    Nothing,
    /// To [`Want::Cut`].
    Cut {
        /// The encoded cut.
        #[serde(with = "codec::bytes")]
        bytes: Vec<u8>,
    },
    /// To [`Want::Segments`]: consecutive, all but the last complete.
    Segments {
        /// At least one.
        #[serde(deserialize_with = "codec::at_most::<_, _, SEGMENTS_PER_MESSAGE_MAX>")]
        segments: Vec<SegmentPage>,
    },
    /// To [`Want::Beyond`].
    Beyond {
        /// Encoded entries in position order, large ones as stubs.
        #[serde(with = "entries")]
        entries: Vec<Vec<u8>>,
        /// Whether there are more.
        more: bool,
        /// The heads of the answering side: whoever holds them holds all that it does. Empty
        /// unless this is the last page; cut off at the bound.
        #[serde(deserialize_with = "codec::at_most::<_, _, HEADS_PER_MESSAGE_MAX>")]
        heads: Vec<EntryId>,
    },
    /// To [`Want::Ids`].
    Ids {
        /// A page of ids.
        #[serde(deserialize_with = "codec::at_most::<_, _, IDS_PER_MESSAGE_MAX>")]
        ids: Vec<EntryId>,
        /// Whether there are more.
        more: bool,
    },
    /// To [`Want::Entries`] and [`Want::Introduction`].
    Entries {
        /// Encoded entries, as far as they are held and fit.
        #[serde(with = "entries")]
        entries: Vec<Vec<u8>>,
        /// Whether some were left out because they did not fit.
        more: bool,
    },
    /// To [`Want::Blob`] and [`Want::Body`].
    Blob {
        /// The length of the whole blob, in bytes.
        total: u64,
        /// The bytes from the wanted offset on: a full chunk, or what is left.
        #[serde(with = "codec::bytes")]
        bytes: Vec<u8>,
    },
    /// To [`Want::Cuts`].
    Cuts {
        /// Encoded cuts, consecutive, as many as fit, without their segments.
        #[serde(with = "entries")]
        cuts: Vec<Vec<u8>>,
    },
    /// To [`Want::Reconcile`].
    Reconcile {
        /// What differs still, and ids that the asker lacks. Empty: nothing does.
        #[serde(deserialize_with = "codec::at_most::<_, _, RANGES_MAX>")]
        ranges: Vec<Range>,
        /// The heads of the answering side, as in [`Self::Beyond`]. Empty while a range has a
        /// fingerprint; cut off at the bound.
        #[serde(deserialize_with = "codec::at_most::<_, _, HEADS_PER_MESSAGE_MAX>")]
        heads: Vec<EntryId>,
    },
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A version that this code does not speak: to be ignored and counted, not held against the
    /// sender, which may be newer.
    #[error("message version {0} is unknown here: one of the two peers should be updated")]
    Version(u8),
    /// Longer than any message may be.
    #[error("a message of {0} bytes is over the bound of {MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// Not a canonical encoding within the bounds.
    #[error("malformed message")]
    Malformed,
}

impl Message {
    /// The frame that carries this message.
    ///
    /// # Panics
    /// If the message is over a bound: its builder is ours and keeps them.
    #[must_use]
    pub fn encode(&self, database: &DatabaseId) -> Vec<u8> {
        assert!(self.within_bounds(), "a message we built is over a bound");
        let message = codec::encode(self);
        let mut frame = Vec::with_capacity(PREFIX_BYTES + message.len());
        frame.push(MESSAGE_VERSION);
        frame.extend_from_slice(database.as_bytes());
        frame.extend_from_slice(&message);
        assert!(
            frame.len() <= MESSAGE_BYTES_MAX,
            "a message we built does not fit a frame"
        );
        frame
    }

    /// Reads a frame: the database it speaks of, and the message.
    ///
    /// # Errors
    /// [`MessageError`]: the bytes are a stranger's, so anything may be wrong with them.
    pub fn decode(frame: &[u8]) -> Result<(DatabaseId, Self), MessageError> {
        if frame.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong(frame.len()));
        }
        let (&version, rest) = frame.split_first().ok_or(MessageError::Malformed)?;
        if version != MESSAGE_VERSION {
            return Err(MessageError::Version(version));
        }
        let (database, body) = rest
            .split_first_chunk::<32>()
            .ok_or(MessageError::Malformed)?;
        let message: Self = codec::decode("message", body, MESSAGE_BYTES_MAX)
            .map_err(|_| MessageError::Malformed)?;
        if message.within_bounds() {
            Ok((DatabaseId(*database), message))
        } else {
            Err(MessageError::Malformed)
        }
    }

    /// The bounds that decoding alone does not check.
    fn within_bounds(&self) -> bool {
        match self {
            Self::Hello(_) | Self::Standing(_) | Self::Prune => true,
            Self::Push { entries, .. } => within(entries, ENTRIES_PER_MESSAGE_MAX),
            Self::Have { ids } => within(ids, IDS_PER_MESSAGE_MAX),
            Self::Cut { bytes } => bytes.len() <= CUT_BYTES_MAX,
            Self::Proofs { proofs } => within(proofs, PROOFS_PER_MESSAGE_MAX),
            Self::Addresses { records } => {
                within(records, ADDRESS_RECORDS_PER_MESSAGE_MAX)
                    && records.iter().all(AddressRecord::within_bounds)
                    && records.is_sorted_by(|a, b| a.device < b.device)
            }
            Self::Want { want, .. } => want.within_bounds(),
            Self::Answer { answer, .. } => answer.within_bounds(),
        }
    }
}

impl Want {
    fn within_bounds(&self) -> bool {
        match self {
            Self::Beyond { chains } => chains.len() <= CHAINS_MAX,
            Self::Entries { ids, .. } => within(ids, IDS_PER_MESSAGE_MAX),
            Self::Cuts { known } => within(known, KNOWN_CUTS_MAX),
            Self::Cut { .. }
            | Self::Segments { .. }
            | Self::Ids { .. }
            | Self::Introduction { .. }
            | Self::Blob { .. }
            | Self::Body { .. } => true,
            Self::Reconcile { ranges } => !ranges.is_empty() && reconcile::within_bounds(ranges),
        }
    }
}

impl Answer {
    fn within_bounds(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Cut { bytes } => bytes.len() <= CUT_BYTES_MAX,
            Self::Segments { segments } => {
                within(segments, SEGMENTS_PER_MESSAGE_MAX)
                    && segments.iter().all(|segment| {
                        segment.cut.len() <= CUT_BYTES_MAX
                            && segment.entries.len() <= ENTRIES_PER_MESSAGE_MAX
                    })
            }
            Self::Beyond { entries, heads, .. } => {
                entries.len() <= ENTRIES_PER_MESSAGE_MAX && heads.len() <= HEADS_PER_MESSAGE_MAX
            }
            Self::Ids { ids, .. } => ids.len() <= IDS_PER_MESSAGE_MAX,
            Self::Entries { entries, .. } => entries.len() <= ENTRIES_PER_MESSAGE_MAX,
            Self::Blob { bytes, .. } => !bytes.is_empty(),
            Self::Cuts { cuts } => {
                within(cuts, ENTRIES_PER_MESSAGE_MAX)
                    && cuts.iter().all(|cut| cut.len() <= CUT_BYTES_MAX)
            }
            Self::Reconcile { ranges, heads } => {
                reconcile::within_bounds(ranges) && heads.len() <= HEADS_PER_MESSAGE_MAX
            }
        }
    }
}

/// A list that says something and is not over its bound.
fn within<T>(list: &[T], max: usize) -> bool {
    (1..=max).contains(&list.len())
}
