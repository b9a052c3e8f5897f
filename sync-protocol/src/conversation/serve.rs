//! Answering a member's questions from what is held here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::blob::body_part;
use super::lengths::Lengths;
use super::pull::bytes_of;
use super::spread::header_of;
use super::{Conversation, LIGHT_FAULT, Trust, Turn};
use crate::cut::CutRef;
use crate::dag::ChainTip;
use crate::entry::travelling;
use crate::ids::{DeviceKey, EntryId};
use crate::limits::{BLOB_CHUNK_BYTES, PULL_BYTES_MAX};
use crate::message::limits::{
    CHAINS_MAX, ENTRIES_PER_MESSAGE_MAX, HEADS_PER_MESSAGE_MAX, IDS_PER_MESSAGE_MAX,
    SEGMENTS_PER_MESSAGE_MAX,
};
use crate::message::{Answer, Message, SegmentPage, Want};
use crate::reconcile::{self, Range, Told};

/// How far a remote that does not know us was shown our tail.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The page shown last.
    page: u32,
    /// The chains as far as the pages before it show them.
    before: Chains,
    /// The chains as far as it shows them.
    after: Chains,
}

impl Shown {
    pub(super) fn remembered(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

/// How long answers to the two kinds of questions are, of which each waits for its own answer.
#[derive(Debug)]
pub(super) struct AnswerLengths {
    pulled: Lengths,
    pieces: Lengths,
}

impl Default for AnswerLengths {
    fn default() -> Self {
        Self {
            pulled: Lengths::new(PULL_BYTES_MAX),
            pieces: Lengths::new(BLOB_CHUNK_BYTES),
        }
    }
}

impl AnswerLengths {
    fn of(&mut self, is_piece: bool) -> &mut Lengths {
        if is_piece {
            &mut self.pieces
        } else {
            &mut self.pulled
        }
    }
}

/// The first place that was not shown, by author and epoch.
type Chains = BTreeMap<(DeviceKey, u64), u64>;

impl Conversation {
    pub(super) fn serve(&mut self, request: u32, want: Want, turn: &mut Turn<'_>) {
        // Others are told nothing, not even that there is nothing.
        let until = match self.trust {
            Trust::Member => u64::MAX,
            _ => match turn.holdings.membership_ended(&self.remote) {
                Some(ended) => ended,
                None => return,
            },
        };
        if !self.questions.take(turn.now.tick) {
            return self.fault(LIGHT_FAULT, "it asks too much", turn);
        }
        if matches!(want, Want::Reconcile { .. }) && !self.range_questions.take(turn.now.tick) {
            return self.fault(LIGHT_FAULT, "it asks too much about ranges", turn);
        }
        let is_piece = matches!(want, Want::Blob { .. } | Want::Body { .. });
        let lengths = self.lengths.of(is_piece);
        let bytes_max = lengths.of_answer(request, turn.now.tick);
        let answer = match want {
            _ if !may_ask(&want, until, turn) => Answer::Nothing,
            Want::Cut { height } => turn
                .holdings
                .cut_bytes(height)
                .map_or(Answer::Nothing, |bytes| Answer::Cut { bytes }),
            Want::Segments { height, from } => segments(height, from, until, bytes_max, turn),
            Want::Cuts { known } => cuts(&known, until, bytes_max, turn),
            Want::Beyond { chains } => beyond(&chains, bytes_max, turn),
            Want::Ids { from } => ids(from, turn),
            Want::Reconcile { ranges } => reconciled(&ranges, turn),
            Want::Entries { mut ids, graft } => {
                ids.retain(|id| until == u64::MAX || is_covered(id, until, turn));
                if graft {
                    self.spread.graft();
                }
                entries(&ids, bytes_max, turn)
            }
            Want::Introduction { page, .. } => self.introduce(page, bytes_max, turn),
            Want::Blob { hash, offset } => turn
                .holdings
                .blob_chunk(&hash, offset)
                .filter(|(_, bytes)| !bytes.is_empty())
                .map_or(Answer::Nothing, |(total, mut bytes)| {
                    bytes.truncate(bytes_max);
                    Answer::Blob { total, bytes }
                }),
            Want::Body { entry, offset } => turn
                .holdings
                .entry_bytes(&entry)
                .map_or(Answer::Nothing, |bytes| {
                    body_part(&bytes, offset, bytes_max)
                }),
        };
        let len = usize::try_from(bytes_of(&answer)).unwrap_or(usize::MAX);
        let lengths = self.lengths.of(is_piece);
        lengths.note_answer(request, turn.now.tick, len);
        turn.send(Message::Answer { request, answer });
    }

    /// One page of our whole tail. A page is shown again if its answer got lost.
    fn introduce(&mut self, page: u32, bytes_max: usize, turn: &Turn<'_>) -> Answer {
        let shown = &mut self.shown;
        if page == 0 {
            *shown = Shown::default();
        } else if page == shown.page.saturating_add(1) {
            shown.before = std::mem::take(&mut shown.after);
        } else if page != shown.page {
            return Answer::Nothing;
        }
        shown.page = page;
        let tips: Vec<_> = shown
            .before
            .iter()
            .map(|((author, epoch), next_seq)| ChainTip {
                author: *author,
                epoch: *epoch,
                next_seq: *next_seq,
            })
            .collect();
        let (entries, more) = turn.holdings.entries_beyond(&tips, bytes_max);
        shown.after.clone_from(&shown.before);
        for header in entries.iter().filter_map(|entry| header_of(entry)) {
            let next_seq = shown.after.entry(header.chain()).or_default();
            *next_seq = header.seq.saturating_add(1).max(*next_seq);
        }
        let more = more && shown.after.len() <= CHAINS_MAX;
        Answer::Entries {
            entries: travelling_all(&entries),
            more,
        }
    }
}

/// Whether the remote may ask this: whoever is no member any more only for what cuts cover until the
/// one that ended that, at `until`.
fn may_ask(want: &Want, until: u64, turn: &Turn<'_>) -> bool {
    until == u64::MAX
        || match want {
            Want::Cut { height } | Want::Segments { height, .. } => *height <= until,
            Want::Body { entry, .. } => is_covered(entry, until, turn),
            Want::Cuts { .. } | Want::Entries { .. } | Want::Blob { .. } => true,
            Want::Beyond { .. }
            | Want::Ids { .. }
            | Want::Reconcile { .. }
            | Want::Introduction { .. } => false,
        }
}

fn is_covered(entry: &EntryId, until: u64, turn: &Turn<'_>) -> bool {
    let height = turn.holdings.covered_at(entry);
    height.is_some_and(|height| height <= until)
}

fn travelling_all(entries: &[Arc<[u8]>]) -> Vec<Vec<u8>> {
    let travels = entries.iter().map(|entry| travelling(entry).to_vec());
    travels.collect()
}

/// Consecutive segments from `height` on, not beyond `until`, as much as fits; the birth alone.
fn segments(height: u64, from: u32, until: u64, bytes_max: usize, turn: &Turn<'_>) -> Answer {
    let mut segments = Vec::new();
    let mut left = bytes_max;
    let mut from = from;
    for height in height..=until {
        if left == 0 || segments.len() == SEGMENTS_PER_MESSAGE_MAX {
            break;
        }
        let Some(cut) = turn.holdings.cut_bytes(height) else {
            break;
        };
        let (entries, more) = turn.holdings.segment_entries(height, from, left);
        let travels = entries.iter().map(|entry| travelling(entry).to_vec());
        let entries: Vec<_> = travels.collect();
        let bytes = cut.len() + entries.iter().map(Vec::len).sum::<usize>();
        left = left.saturating_sub(bytes);
        // An incomplete page must bring something, or it would be asked for again and again.
        let complete = !more || entries.is_empty();
        segments.push(SegmentPage {
            height,
            cut,
            entries,
            complete,
        });
        // Whoever asks for the birth has nothing yet. It needs the module before it can take in what
        // follows, and asks for that then.
        if !complete || height == 0 {
            break;
        }
        from = 0;
    }
    if segments.is_empty() {
        Answer::Nothing
    } else {
        Answer::Segments { segments }
    }
}

/// Our cuts after the first of `known` that is ours, as many as fit.
fn cuts(known: &[CutRef], until: u64, bytes_max: usize, turn: &Turn<'_>) -> Answer {
    let ours = |cut: &&CutRef| turn.holdings.cut_at(cut.height) == Some(**cut);
    let Some(common) = known.iter().find(ours) else {
        return Answer::Nothing;
    };
    let mut cuts = Vec::new();
    let mut bytes = 0;
    let mut height = common.height;
    while let Some(next) = height.checked_add(1).filter(|next| *next <= until)
        && cuts.len() < ENTRIES_PER_MESSAGE_MAX
        && let Some(cut) = turn.holdings.cut_bytes(next)
    {
        bytes += cut.len();
        if bytes > bytes_max && !cuts.is_empty() {
            break;
        }
        cuts.push(cut);
        height = next;
    }
    if cuts.is_empty() {
        Answer::Nothing
    } else {
        Answer::Cuts { cuts }
    }
}

fn beyond(chains: &[ChainTip], bytes_max: usize, turn: &Turn<'_>) -> Answer {
    let (entries, more) = turn.holdings.entries_beyond(chains, bytes_max);
    let mut heads = if more {
        Vec::new()
    } else {
        turn.holdings.heads()
    };
    heads.truncate(HEADS_PER_MESSAGE_MAX);
    Answer::Beyond {
        entries: travelling_all(&entries),
        more,
        heads,
    }
}

/// From nothing but the question and what is held now.
fn reconciled(question: &[Range], turn: &Turn<'_>) -> Answer {
    let Some(index) = turn.holdings.tail_index() else {
        return Answer::Nothing;
    };
    let ranges = reconcile::answer(index, question);
    let goes_on = ranges
        .iter()
        .any(|range| matches!(range.told, Told::Fingerprint(_)));
    let mut heads = if goes_on {
        Vec::new()
    } else {
        turn.holdings.heads()
    };
    heads.truncate(HEADS_PER_MESSAGE_MAX);
    Answer::Reconcile { ranges, heads }
}

fn ids(from: u32, turn: &Turn<'_>) -> Answer {
    let all = turn.holdings.tail_ids();
    let rest = all.get(from as usize..).unwrap_or_default();
    let page = &rest[..rest.len().min(IDS_PER_MESSAGE_MAX)];
    Answer::Ids {
        ids: page.to_vec(),
        more: page.len() < rest.len(),
    }
}

fn entries(ids: &[EntryId], bytes_max: usize, turn: &Turn<'_>) -> Answer {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    for id in ids {
        let Some(entry) = turn.holdings.entry_bytes(id) else {
            continue;
        };
        let travels = travelling(&entry);
        if bytes + travels.len() > bytes_max && !entries.is_empty() {
            more = true;
            break;
        }
        bytes += travels.len();
        entries.push(travels.to_vec());
    }
    Answer::Entries { entries, more }
}
