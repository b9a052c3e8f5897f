//! Asking for what of a long tail is missing, by ranges: several questions that belong together.
//! The ids they bring are kept until the last one, so that parents can be asked for first.

use std::collections::BTreeMap;

use super::super::limits::{RANGE_ROUNDS_MAX, REMEMBERED_IDS_MAX, VAIN_PASSES_MAX};
use super::super::{Conversation, Turn};
use super::Goal;
use crate::ids::EntryId;
use crate::message::Want;
use crate::message::limits::RANGE_IDS_MAX;
use crate::reconcile::{self, FoundIds, Range, TailItem, Told, Until};

/// How far the ranges have been compared. Dropped at any time, it costs only the questions.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// The next question; `None`: begin.
    question: Option<Vec<Range>>,
    /// Ids that are not here, by where their ranges begin.
    found: BTreeMap<Option<TailItem>, Vec<EntryId>>,
    found_len: usize,
    /// Answers since the beginning.
    rounds: u8,
    /// Passes in a row that did not come to their end and brought no entry.
    vain_passes: u8,
}

impl Ranges {
    pub(super) fn remembered(&self) -> usize {
        let told = |range: &Range| match &range.told {
            Told::Ids(ids) => 1 + ids.len(),
            Told::Skip | Told::Fingerprint(_) => 1,
        };
        let question = self.question.iter().flatten().map(told);
        self.found_len + question.sum::<usize>()
    }

    /// Keeps ids for later. False: there may be no room for those of another answer.
    fn keep(&mut self, found: Vec<FoundIds>, room: usize) -> bool {
        for FoundIds { from, mut ids } in found {
            ids.truncate(room.saturating_sub(self.found_len));
            self.found_len += ids.len();
            let from = from.as_ref().and_then(Until::place);
            self.found.entry(from).or_default().extend(ids);
        }
        self.found_len + RANGE_IDS_MAX <= room
    }
}

impl Conversation {
    /// The next question about ranges.
    pub(super) fn next_of_ranges(&mut self, turn: &Turn<'_>) -> Option<Want> {
        let Some(index) = turn.holdings.tail_index() else {
            self.pull.goal = Goal::Rest;
            return None;
        };
        let ranges = match &self.pull.ranges.question {
            Some(question) => question.clone(),
            None => {
                // A pass that was cut short is worth another one only if it brought something.
                if std::mem::take(&mut self.pull.gained) {
                    self.pull.ranges.vain_passes = 0;
                }
                if self.pull.ranges.vain_passes >= VAIN_PASSES_MAX {
                    self.pull.compare_whole();
                    return None;
                }
                let begin = reconcile::begin(index);
                self.pull.ranges.question = Some(begin.clone());
                begin
            }
        };
        self.unless_pulled(Want::Reconcile { ranges }, turn)
    }

    /// The answer to one of them.
    pub(super) fn hear_ranges(
        &mut self,
        answer: Vec<Range>,
        heads: Vec<EntryId>,
        turn: &mut Turn<'_>,
    ) {
        let Some(index) = turn.holdings.tail_index() else {
            self.pull.goal = Goal::Rest;
            return;
        };
        // Without a fingerprint in it an answer is the last one, and says what the heads are.
        let is_last = !answer
            .iter()
            .any(|range| matches!(range.told, Told::Fingerprint(_)));
        let mut heard = reconcile::hear(index, answer);
        for found in &mut heard.found {
            found.ids.retain(|id| !turn.holdings.holds(id));
        }
        let room = REMEMBERED_IDS_MAX.saturating_sub(self.pull.wanted.len());
        let ranges = &mut self.pull.ranges;
        ranges.rounds = ranges.rounds.saturating_add(1);
        let goes_on = ranges.keep(heard.found, room) && ranges.rounds < RANGE_ROUNDS_MAX;
        if goes_on && !heard.question.is_empty() {
            ranges.question = Some(heard.question);
            return;
        }
        let found = std::mem::take(&mut ranges.found).into_values().flatten();
        let unheld_heads = heads.iter().filter(|id| !turn.holdings.holds(id));
        let ids: Vec<_> = found.chain(unheld_heads.copied()).collect();
        let lacks_some = !ids.is_empty();
        let asks_some = self.pull.want(ids);
        self.pull.bulk_ids |= asks_some;
        let vain_passes = self.pull.ranges.vain_passes.saturating_add(1);
        self.pull.ranges = Ranges::default();
        if !is_last {
            self.pull.ranges.vain_passes = vain_passes;
            self.pull.gained = false;
        } else if lacks_some && !asks_some {
            self.pull.compare_whole();
        } else {
            self.pull.goal = Goal::Rest;
        }
    }
}
