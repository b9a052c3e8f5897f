//! Finding out which entries of a long tail the other side has and this one lacks, without telling
//! all ids: range-based set reconciliation (Meyer 2023, "Range-Based Set Reconciliation"; the
//! scheme of negentropy), of which each side runs the half that asks for itself.
//!
//! Both sides sort their tails by time and id and cut them into ranges. Of a range one side tells
//! the *fingerprint*, a hash of the sum of its ids. Where fingerprints are equal there is nothing
//! more to say; where they differ the range is cut into smaller ones, until ids are cheaper:
//!
//! - the asker [`begin`]s with ranges that cover everything, small ones at the end, where
//!   differences are likely;
//! - the asked side [`answer`]s from nothing but the question: with smaller ranges, or with ids;
//! - the asker goes on ([`hear`]) with the ranges that still differ, until there are none.
//!
//! Only what the *asker* lacks comes to light. What the asked side lacks it asks for itself.
//!
//! *A fingerprint proves nothing.* Sums of ids that an adversary chooses freely can be made to
//! collide (Wagner 2002), so whoever needs certainty checks the heads afterwards. A lie costs at
//! most the rounds that the conversation allows.
//!
//! Why it is ours, and how it differs from negentropy: `docs/decisions/0015`.

mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::EntryId;
use crate::message::limits::{RANGE_IDS_MAX, RANGES_MAX};
use crate::time::Hlc;
pub use index::{TailIndex, TailItem};

/// Parts into which a range that differs is cut.
const PARTS: usize = 16;

/// Entries below which a range that differs is told by its ids: fewer bytes than cutting it again.
const LISTED_BELOW: usize = 2 * PARTS;

/// Ids of the latest entries, told at once by whoever asks: then what is missing behind them comes
/// with the first answer.
const LATEST: usize = 8;

/// How much larger each range of the first question is than the one after it.
const GROWTH: usize = 4;

/// Where a range ends: before this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Until {
    /// All entries of this time and later are behind it.
    Time(Hlc),
    /// The entry of this time and id, and what is later. Needed only where neighbours share a time.
    Entry(Hlc, EntryId),
    /// Everything is before it.
    End,
}

impl Until {
    /// The least entry that is not before it, as if it existed; `None`: there is none.
    pub(crate) fn place(&self) -> Option<TailItem> {
        match *self {
            Self::Time(hlc) => Some(TailItem {
                hlc,
                id: EntryId::ZERO,
            }),
            Self::Entry(hlc, id) => Some(TailItem { hlc, id }),
            Self::End => None,
        }
    }

    /// Whether this ends before the other does.
    fn is_before(&self, other: &Self) -> bool {
        match (self.place(), other.place()) {
            (Some(this), Some(other)) => this < other,
            (this, other) => this.is_some() && other.is_none(),
        }
    }
}

/// A hash of how many entries are in a range and of the sum of their ids: the first 16 bytes of
/// BLAKE3 (derive-key `tombolo range 1`). Shows a difference, never the lack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeFingerprint(pub [u8; 16]);

/// What is said of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Nothing: there is nothing more to say of it.
    Skip,
    /// The fingerprint of the sender's entries in it.
    Fingerprint(RangeFingerprint),
    /// In a question all ids of the sender's entries in it, in an answer those that the asker lacks
    /// or did not tell; by time and id.
    Ids(#[serde(deserialize_with = "codec::at_most::<_, _, RANGE_IDS_MAX>")] Vec<EntryId>),
}

/// A part of the tail, from where the range before it ends, and what is said of it. Behind the
/// last range there is nothing more to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Where it ends.
    pub until: Until,
    /// What is said of it.
    pub told: Told,
}

/// Whether ranges from a message are what this code could have sent: ascending, none empty by its
/// bounds, skips only in between and merged, within the bounds.
pub(crate) fn within_bounds(ranges: &[Range]) -> bool {
    let ids = ranges.iter().map(|range| match &range.told {
        Told::Ids(ids) => ids.len(),
        Told::Skip | Told::Fingerprint(_) => 0,
    });
    let skips = |range: &Range| range.told == Told::Skip;
    ranges.len() <= RANGES_MAX
        && ids.sum::<usize>() <= RANGE_IDS_MAX
        && !ranges.last().is_some_and(skips)
        && ranges.windows(2).all(|pair| {
            pair[0].until.is_before(&pair[1].until) && !(skips(&pair[0]) && skips(&pair[1]))
        })
}

/// The first question: ranges that grow towards the past, and the latest ids. At most
/// `log4(len)` fingerprints.
#[must_use]
pub fn begin(index: &TailIndex) -> Vec<Range> {
    let mut starts = vec![index.len().saturating_sub(LATEST)];
    let mut size = LISTED_BELOW;
    while let Some(start) = starts.last().copied().filter(|start| *start > 0) {
        let rest = start.saturating_sub(size);
        // A range smaller than the next one is not worth a fingerprint.
        starts.push(if rest < size { 0 } else { rest });
        size = size.saturating_mul(GROWTH);
    }
    let mut writer = Writer::new(index);
    for pair in starts.windows(2).rev() {
        writer.fingerprint(pair[1], pair[0], index.boundary(pair[0]));
    }
    writer.ids(starts[0], index.len(), Until::End);
    writer.ranges
}

/// The answer to a question, from the entries that are held now. Empty: the asker lacks nothing
/// as far as this side can tell.
///
/// Costs at most `RANGES_MAX` fingerprints, of O(log n) each, and `2 · RANGE_IDS_MAX` ids, whatever
/// the question says. What does not fit is left to the next question.
#[must_use]
pub fn answer(index: &TailIndex, question: &[Range]) -> Vec<Range> {
    let mut writer = Writer::new(index);
    let mut from = 0;
    for range in question {
        let to = index.rank(&range.until);
        let whole = match &range.told {
            Told::Skip => writer.skip(range.until),
            Told::Fingerprint(theirs) if from == to || *theirs == index.fingerprint(from, to) => {
                writer.skip(range.until)
            }
            Told::Fingerprint(_) => writer.differs(from, to, range.until),
            Told::Ids(listed) => writer.unlisted(from, to, range.until, listed),
        };
        if !whole {
            break;
        }
        from = to;
    }
    writer.ranges
}

/// Ids that came for one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundIds {
    /// Where the range begins; `None`: at the start of the tail.
    pub from: Option<Until>,
    /// In the order in which the remote told them: by time and id, if it is honest, so that parents
    /// come first. Some may be here already.
    pub ids: Vec<EntryId>,
}

/// What an answer means to the asker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Ids that the remote holds.
    pub found: Vec<FoundIds>,
    /// The next question. Empty: there is nothing more to ask.
    pub question: Vec<Range>,
}

/// Takes in an answer: the ids it brings, and what to ask next, from the entries that are held now.
/// The tail may have changed since the question.
#[must_use]
pub fn hear(index: &TailIndex, answer: Vec<Range>) -> Heard {
    let mut writer = Writer::new(index);
    let mut found = Vec::new();
    let mut from = 0;
    let mut start = None;
    // Once there is no room the rest is asked for as a whole, and ids are still taken in.
    let mut room = true;
    for range in answer {
        let to = index.rank(&range.until);
        match range.told {
            Told::Skip => room = room && writer.skip(range.until),
            Told::Ids(ids) => {
                found.push(FoundIds { from: start, ids });
                room = room && writer.skip(range.until);
            }
            Told::Fingerprint(theirs) => {
                if theirs == index.fingerprint(from, to) {
                    room = room && writer.skip(range.until);
                } else {
                    room = room && writer.differs(from, to, range.until);
                }
            }
        }
        start = Some(range.until);
        from = to;
    }
    Heard {
        found,
        question: writer.ranges,
    }
}

/// Writes ranges one after the other, within the bounds of a message.
struct Writer<'a> {
    index: &'a TailIndex,
    ranges: Vec<Range>,
    ids: usize,
    /// Up to here nothing is to be said, and that is not written yet.
    skipped: Option<Until>,
}

impl<'a> Writer<'a> {
    fn new(index: &'a TailIndex) -> Self {
        Self {
            index,
            ranges: Vec::new(),
            ids: 0,
            skipped: None,
        }
    }

    /// Whether so much fits, a skip before it and the fingerprint of the rest after it.
    fn has_room(&self, ranges: usize, ids: usize) -> bool {
        self.ranges.len() + ranges + 2 <= RANGES_MAX && self.ids + ids <= RANGE_IDS_MAX
    }

    fn put(&mut self, until: Until, told: Told) {
        if let Some(until) = self.skipped.take() {
            let told = Told::Skip;
            self.ranges.push(Range { until, told });
        }
        self.ranges.push(Range { until, told });
    }

    fn skip(&mut self, until: Until) -> bool {
        self.skipped = Some(until);
        true
    }

    fn fingerprint(&mut self, from: usize, to: usize, until: Until) {
        let fingerprint = self.index.fingerprint(from, to);
        self.put(until, Told::Fingerprint(fingerprint));
    }

    fn ids(&mut self, from: usize, to: usize, until: Until) {
        let ids: Vec<_> = self.index.items(from, to).map(|item| item.id).collect();
        self.ids += ids.len();
        self.put(until, Told::Ids(ids));
    }

    /// A range that is not the same on both sides. False: there was no room for it, and it is part
    /// of the rest now.
    fn differs(&mut self, from: usize, to: usize, until: Until) -> bool {
        let len = to - from;
        if len < LISTED_BELOW {
            if !self.has_room(1, len) {
                return self.rest(from);
            }
            self.ids(from, to, until);
        } else {
            if !self.has_room(PARTS, 0) {
                return self.rest(from);
            }
            let mut start = from;
            for part in 1..PARTS {
                let end = from + len * part / PARTS;
                self.fingerprint(start, end, self.index.boundary(end));
                start = end;
            }
            self.fingerprint(start, to, until);
        }
        true
    }

    /// The ids of a range that are not among those listed, as many as fit.
    fn unlisted(&mut self, from: usize, to: usize, until: Until, listed: &[EntryId]) -> bool {
        if !self.has_room(1, 0) {
            return self.rest(from);
        }
        let listed: BTreeSet<&EntryId> = listed.iter().collect();
        let mut ids = Vec::new();
        let mut end = to;
        for (at, item) in (from..).zip(self.index.items(from, to)) {
            if listed.contains(&item.id) {
                continue;
            }
            if self.ids + ids.len() == RANGE_IDS_MAX {
                end = at;
                break;
            }
            ids.push(item.id);
        }
        self.ids += ids.len();
        if ids.is_empty() && end == to {
            return self.skip(until);
        }
        if end == to {
            self.put(until, Told::Ids(ids));
            return true;
        }
        if ids.is_empty() {
            return self.rest(from);
        }
        self.put(self.index.boundary(end), Told::Ids(ids));
        self.rest(end)
    }

    /// Everything from here on as one range. The range written last must end here.
    fn rest(&mut self, from: usize) -> bool {
        self.fingerprint(from, self.index.len(), Until::End);
        false
    }
}
