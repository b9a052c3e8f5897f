//! What an answer means: what to hand to the replica, and, once that took it in, what to ask next.

use super::super::limits::{CHASE_DEPTH_MAX, COMPARED_IDS_MAX, VAIN_PAGES_MAX};
use super::super::{Conversation, ConversationEffect, HEAVY_FAULT, LIGHT_FAULT, Trust, Turn};
use super::{CUT_TRIES_MAX, Goal, Handed, Stage, Stalled};
use crate::cut::Cut;
use crate::dag::ChainTip;
use crate::ids::EntryId;
use crate::message::{Answer, SegmentPage, Want};

impl Conversation {
    /// The answer to the question that is open.
    pub(in super::super) fn hear_pulled(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Stage::Asked { want, .. } = std::mem::take(&mut self.pull.stage) else {
            return;
        };
        self.pull.pace.bytes += super::bytes_of(&answer);
        match (want, answer) {
            (want, Answer::Nothing) => self.hear_nothing(&want),
            (Want::Cuts { .. }, Answer::Cuts { cuts }) => self.hear_branch(cuts, turn),
            (Want::Cut { height }, Answer::Cut { bytes }) => self.hear_one_cut(height, bytes, turn),
            (Want::Segments { height, from }, Answer::Segments { segments }) => {
                self.hear_segments(height, from, segments, turn);
            }
            (
                Want::Beyond { chains },
                Answer::Beyond {
                    entries,
                    more,
                    heads,
                },
            ) => {
                let more = more && !entries.is_empty();
                let before = chains;
                let handed = Handed::Beyond {
                    before,
                    more,
                    heads,
                };
                self.hand_entries(entries, handed, turn);
            }
            (Want::Reconcile { .. }, Answer::Reconcile { ranges, heads }) => {
                self.hear_ranges(ranges, heads, turn);
            }
            (Want::Ids { from }, Answer::Ids { ids, more }) => {
                self.hear_ids(from, ids, more, turn);
            }
            (Want::Entries { ids, .. }, Answer::Entries { entries, more }) => {
                let more = more && !entries.is_empty();
                let handed = Handed::Entries { asked: ids, more };
                self.hand_entries(entries, handed, turn);
            }
            (Want::Introduction { page, .. }, Answer::Entries { entries, more }) => {
                let more = more && !entries.is_empty();
                self.hand_entries(entries, Handed::Introduction { page, more }, turn);
            }
            _ => {
                self.pull.rest();
                self.fault(HEAVY_FAULT, "it answered another question", turn);
            }
        }
    }

    fn hear_nothing(&mut self, want: &Want) {
        match want {
            Want::Cut { .. } => self.pull.cut_tries = CUT_TRIES_MAX,
            Want::Segments { height, .. } => {
                self.pull.stalled = Some(Stalled {
                    height: *height,
                    for_blobs: false,
                });
            }
            Want::Beyond { .. } | Want::Reconcile { .. } | Want::Ids { .. } => {
                self.pull.goal = Goal::Rest;
            }
            Want::Introduction { .. } => self.pull.introduction = None,
            Want::Entries { .. } | Want::Blob { .. } | Want::Cuts { .. } | Want::Body { .. } => {}
        }
    }

    /// A page of the ids of the whole tail.
    fn hear_ids(&mut self, from: u32, ids: Vec<EntryId>, more: bool, turn: &Turn<'_>) {
        let len = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let next = from.saturating_add(len);
        // What the page before brought has been asked for by now.
        if std::mem::take(&mut self.pull.gained) {
            self.pull.vain_pages = 0;
        }
        let goes_on = more && len > 0 && next < COMPARED_IDS_MAX;
        self.pull.goal = if goes_on && self.pull.vain_pages < VAIN_PAGES_MAX {
            Goal::Ids { from: next }
        } else {
            Goal::Rest
        };
        let unheld = ids.into_iter().filter(|id| !turn.holdings.holds(id));
        if self.pull.want(unheld.collect::<Vec<_>>()) {
            self.pull.vain_pages = self.pull.vain_pages.saturating_add(1);
        }
    }

    fn hear_one_cut(&mut self, height: u64, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        self.pull.cut_tries = self.pull.cut_tries.saturating_add(1);
        let fits = |cut: Cut| cut.height == height && cut.database == self.database;
        if !Cut::open(&bytes).is_ok_and(fits) {
            self.pull.rest();
            return self.fault(HEAVY_FAULT, "it sent another cut than was asked for", turn);
        }
        self.pull.stage = Stage::Handed(Handed::Cut);
        turn.effects.push(ConversationEffect::Cut(bytes));
    }

    fn hear_branch(&mut self, cuts: Vec<Vec<u8>>, turn: &mut Turn<'_>) {
        let last = cuts.last().and_then(|cut| Cut::open(cut).ok());
        let Some(last) = last.filter(|cut| cut.database == self.database) else {
            self.pull.rest();
            return self.fault(HEAVY_FAULT, "it sent something that is no branch", turn);
        };
        let last = last.reference();
        self.pull.stage = Stage::Handed(Handed::Branch { last });
        turn.effects.push(ConversationEffect::Branch(cuts));
    }

    fn hear_segments(
        &mut self,
        height: u64,
        from: u32,
        segments: Vec<SegmentPage>,
        turn: &mut Turn<'_>,
    ) {
        let last = segments.len().saturating_sub(1);
        let in_order = (height..).zip(&segments).enumerate();
        let fits = !segments.is_empty()
            && in_order.into_iter().all(|(at, (height, page))| {
                // A page that is neither the end nor brings anything would be asked for for
                // ever.
                let goes_on = page.complete || (at == last && !page.entries.is_empty());
                page.height == height && goes_on
            });
        if !fits {
            self.pull.rest();
            return self.fault(
                HEAVY_FAULT,
                "it sent other segments than were asked for",
                turn,
            );
        }
        let mut through = None;
        let mut partial = None;
        let mut before = from;
        for page in &segments {
            if page.complete {
                through = Some(page.height);
            } else {
                let len = u32::try_from(page.entries.len()).unwrap_or(u32::MAX);
                partial = Some((page.height, before.saturating_add(len)));
            }
            before = 0;
        }
        self.ask_ahead(through, partial, turn);
        for page in segments {
            turn.effects.push(ConversationEffect::Segment {
                cut: page.cut,
                entries: page.entries,
                complete: page.complete,
                height: page.height,
            });
        }
        self.pull.stage = Stage::Handed(Handed::Segments { through, partial });
    }

    fn hand_entries(&mut self, entries: Vec<Vec<u8>>, handed: Handed, turn: &mut Turn<'_>) {
        if entries.is_empty() {
            self.finish(handed, turn);
        } else {
            self.pull.stage = Stage::Handed(handed);
            turn.effects.push(ConversationEffect::Entries(entries));
        }
    }

    /// The replica took in what it was handed.
    pub(in super::super) fn ingested(
        &mut self,
        missing: &[EntryId],
        cut_missing: bool,
        turn: &mut Turn<'_>,
    ) {
        self.pull.handed_push = false;
        if cut_missing && !std::mem::replace(&mut self.pull.excused, true) {
            self.pull.stalled = None;
        }
        let chasing = matches!(self.pull.stage, Stage::Handed(Handed::Entries { .. }));
        if missing.is_empty() {
            self.pull.depth = 0;
        } else if chasing {
            self.pull.depth = self.pull.depth.saturating_add(1);
        }
        if self.pull.depth > CHASE_DEPTH_MAX && self.trust == Trust::Member {
            // A long branch is missing, not a leaf: its ids are cheaper than so many questions.
            self.pull.depth = 0;
            self.pull.wanted.clear();
            self.pull.compare_whole();
        } else {
            let unheld = missing.iter().filter(|id| !turn.holdings.holds(id));
            self.pull.want(unheld.copied().collect::<Vec<_>>());
        }
        match std::mem::take(&mut self.pull.stage) {
            Stage::Handed(handed) => self.finish(handed, turn),
            stage => self.pull.stage = stage,
        }
        self.blob_ingested(turn);
    }

    /// An answer has had its effect: what does it mean for the next question?
    fn finish(&mut self, handed: Handed, turn: &mut Turn<'_>) {
        match handed {
            Handed::Cut => self.compare_if_level(turn),
            // What decides something is kept as a branch no longer.
            Handed::Branch { last } => {
                self.pull.branch_goes_on = turn.holdings.branch_tip() == Some(last);
                self.pull.stalled = None;
            }
            Handed::Segments { through, partial } => {
                self.pull.partial = partial;
                self.finish_segments(through, turn);
                self.compare_if_level(turn);
            }
            Handed::Beyond {
                before,
                more,
                heads,
            } => self.finish_beyond(&before, more, heads, turn),
            Handed::Entries { asked, more } => {
                let held = |id: &&EntryId| turn.holdings.holds(id);
                let gained = asked.iter().any(|id| held(&id));
                self.pull.gained |= gained;
                // Without progress the rest would be asked for for ever.
                if more && gained {
                    let rest = asked.iter().filter(|id| !held(id));
                    let rest: Vec<_> = rest.copied().collect();
                    for id in rest.into_iter().rev() {
                        self.pull.wanted.push_front(id);
                    }
                }
            }
            Handed::Introduction { page, more } => {
                self.pull.introduction = more.then(|| page.saturating_add(1));
            }
        }
    }

    fn finish_segments(&mut self, through: Option<u64>, turn: &mut Turn<'_>) {
        self.pull.cut_tries = 0;
        let own = turn.holdings.cut().map(|cut| cut.height);
        if through > own {
            let for_blobs = !turn.holdings.wanted_blobs().is_empty();
            self.pull.partial = None;
            self.pull.stalled = Some(Stalled {
                height: own.map_or(0, |own| own.saturating_add(1)),
                for_blobs,
            });
            if !for_blobs {
                self.fault(
                    LIGHT_FAULT,
                    "it sent segments that do not continue ours",
                    turn,
                );
            }
        }
    }

    fn finish_beyond(
        &mut self,
        before: &[ChainTip],
        more: bool,
        heads: Vec<EntryId>,
        turn: &Turn<'_>,
    ) {
        if more {
            if turn.holdings.chains() == before {
                self.pull.compare_whole();
            }
            return;
        }
        self.pull.goal = Goal::Rest;
        let unheld: Vec<_> = heads
            .into_iter()
            .filter(|id| !turn.holdings.holds(id))
            .collect();
        if !unheld.is_empty() && !self.pull.want(unheld) {
            self.pull.compare_whole();
        }
    }

    /// After catching up with the remote's cuts the tails can be compared.
    fn compare_if_level(&mut self, turn: &Turn<'_>) {
        let theirs = self.theirs.and_then(|theirs| theirs.cut);
        if theirs.is_some() && turn.holdings.cut() == theirs {
            self.compare_due = Some(turn.now.tick);
        }
    }
}
