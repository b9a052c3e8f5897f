//! Asking: one question at a time, repeated until it is answered. What to ask next is decided
//! afresh after every answer, from what both sides hold then.

use std::collections::VecDeque;

use super::limits::{
    ANSWER_WAIT_MS, ASKED_IDS_MAX, ASKS_MAX, CHASE_DEPTH_MAX, REMEMBERED_IDS_MAX,
};
use super::standing::RecentIds;
use super::{Conversation, ConversationEffect, HEAVY_FAULT, LIGHT_FAULT, Trust, Turn};
use crate::cut::{Cut, CutRef};
use crate::dag::ChainTip;
use crate::ids::EntryId;
use crate::message::limits::CHAINS_MAX;
use crate::message::{Answer, Message, SegmentPage, Standing, Want};
use crate::time::Tick;

/// How often a cut alone is asked for, before its whole segment is: once to learn which entries
/// are missing, once more when they are here.
const CUT_TRIES_MAX: u8 = 2;

/// Where the pull of entries and cuts stands.
#[derive(Debug, Default)]
pub(super) struct Pull {
    stage: Stage,
    goal: Goal,
    /// Something that the remote pushed is with the replica: what to ask next depends on it.
    handed_push: bool,
    /// No questions until the next round: the last one was answered with nonsense, or not at all.
    resting: bool,
    /// Ids to ask for.
    wanted: VecDeque<EntryId>,
    /// Ids asked for in this round.
    asked: RecentIds,
    /// Generations of missing parents that were asked for one after the other.
    depth: u8,
    /// The whole tail was compared by ids in this round.
    ids_compared: bool,
    /// A segment of which some pages were taken in: its height, and how many entries.
    partial: Option<(u64, u32)>,
    stalled: Option<Stalled>,
    /// Waiting for a cut excuses one stalled segment a round, not one after the other.
    excused: bool,
    cut_tries: u8,
    /// The remote's other cut at our height was asked for in this round.
    fork_shown: bool,
    /// The page of a stranger's tail to look at next.
    introduction: Option<u32>,
}

/// A segment that did not become our history.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    height: u64,
    /// Perhaps because it needs a blob that is on its way.
    for_blobs: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Asked {
        request: u32,
        want: Want,
        asks: u8,
        again: Tick,
    },
    /// The answer is with the replica.
    Handed(Handed),
}

#[derive(Debug)]
enum Handed {
    Cut,
    Segments {
        /// The height of the last complete one.
        through: Option<u64>,
        partial: Option<(u64, u32)>,
    },
    Beyond {
        before: Vec<ChainTip>,
        more: bool,
        heads: Vec<EntryId>,
    },
    Entries {
        asked: Vec<EntryId>,
        more: bool,
    },
    Introduction {
        page: u32,
        more: bool,
    },
}

/// What the comparison of tails has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Goal {
    #[default]
    Rest,
    Beyond,
    Ids {
        from: u32,
    },
}

impl Pull {
    /// The regular Hello begins a round: what failed in the last one may be tried again.
    pub(super) fn begin_round(&mut self) {
        if matches!(self.stage, Stage::Handed(_)) {
            self.stage = Stage::Idle;
        }
        self.handed_push = false;
        self.resting = false;
        self.asked.clear();
        self.depth = 0;
        self.ids_compared = false;
        self.stalled = None;
        self.excused = false;
        self.cut_tries = 0;
        self.fork_shown = false;
    }

    pub(super) fn is_asked(&self, number: u32) -> bool {
        matches!(self.stage, Stage::Asked { request, .. } if request == number)
    }

    pub(super) fn want_introduction(&mut self) {
        self.introduction.get_or_insert(0);
    }

    pub(super) fn note_handed_push(&mut self) {
        self.handed_push = true;
    }

    /// Queues ids that are to be asked for. True: at least one was not asked for before.
    fn want(&mut self, ids: impl IntoIterator<Item = EntryId>) -> bool {
        let mut new = false;
        for id in ids {
            if self.wanted.len() < REMEMBERED_IDS_MAX && self.asked.insert(id) {
                self.wanted.push_back(id);
                new = true;
            }
        }
        new
    }

    /// Ends the comparison, or begins the thorough one if there was none in this round.
    fn compare_ids(&mut self) {
        self.goal = if self.ids_compared {
            Goal::Rest
        } else {
            Goal::Ids { from: 0 }
        };
        self.ids_compared = true;
    }

    fn rest(&mut self) {
        self.stage = Stage::Idle;
        self.goal = Goal::Rest;
        self.wanted.clear();
        self.introduction = None;
        self.resting = true;
    }
}

impl Conversation {
    pub(super) fn pull_due(&self) -> Option<Tick> {
        match &self.pull.stage {
            Stage::Asked { again, .. } => Some(*again),
            Stage::Handed(_) => None,
            Stage::Idle if !self.may_ask() => None,
            Stage::Idle => {
                let graft = (self.trust == Trust::Member).then(|| self.spread.graft_due());
                [self.compare_due, graft.flatten()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Who did not say where it stands need not answer: it may not know us as a member yet.
    fn may_ask(&self) -> bool {
        self.theirs.is_some() && !self.pull.resting && !self.pull.handed_push
    }

    /// Asks, or asks again.
    pub(super) fn pull_on(&mut self, turn: &mut Turn<'_>) {
        match &mut self.pull.stage {
            Stage::Handed(_) => {}
            Stage::Asked { again, .. } if *again > turn.now.tick => {}
            Stage::Asked { asks, .. } if *asks >= ASKS_MAX => {
                let text = format!("no answer to a question asked {asks} times");
                self.pull.rest();
                turn.effects.push(ConversationEffect::Misbehaved(text));
            }
            Stage::Asked {
                request,
                want,
                asks,
                again,
            } => {
                *again = turn.now.tick.plus_ms(ANSWER_WAIT_MS << *asks);
                *asks += 1;
                let (request, want) = (*request, want.clone());
                turn.send(Message::Want { request, want });
            }
            Stage::Idle => {
                if self.may_ask()
                    && let Some(want) = self.next_want(turn)
                {
                    let request = self.new_request();
                    turn.send(Message::Want {
                        request,
                        want: want.clone(),
                    });
                    self.pull.stage = Stage::Asked {
                        request,
                        want,
                        asks: 1,
                        again: turn.now.tick.plus_ms(ANSWER_WAIT_MS),
                    };
                }
            }
        }
    }

    fn next_want(&mut self, turn: &Turn<'_>) -> Option<Want> {
        let own = turn.own();
        let theirs = self.theirs?;
        let behind = cuts_behind(own.cut, theirs.cut);
        if behind > 1
            && let Some(want) = self.next_cut(own.cut, turn)
        {
            return Some(want);
        }
        if let Some(want) = self.next_by_id(turn) {
            return Some(want);
        }
        if behind > 0
            && let Some(want) = self.next_cut(own.cut, turn)
        {
            return Some(want);
        }
        if let (Some(own), Some(theirs)) = (own.cut, theirs.cut)
            && own.height == theirs.height
            && own.id != theirs.id
            && !std::mem::replace(&mut self.pull.fork_shown, true)
        {
            // The replica has to see both certificates to call it a fork.
            let height = theirs.height;
            return Some(Want::Cut { height });
        }
        match self.trust {
            Trust::Joining => None,
            Trust::Stranger => {
                let page = self.pull.introduction?;
                let cut = own.cut;
                Some(Want::Introduction { cut, page })
            }
            Trust::Member => self.next_of_tail(own, theirs, turn),
        }
    }

    /// The next step towards the remote's cut.
    fn next_cut(&mut self, own: Option<CutRef>, turn: &Turn<'_>) -> Option<Want> {
        let theirs = self.theirs?.cut?;
        let height = own.map_or(0, |own| own.height.saturating_add(1));
        if let Some(stalled) = self.pull.stalled
            && stalled.height == height
        {
            if !stalled.for_blobs || !turn.holdings.wanted_blobs().is_empty() {
                return None;
            }
            self.pull.stalled = None;
        }
        let from = match self.pull.partial {
            Some((partial, taken)) if partial == height => taken,
            _ => 0,
        };
        // One behind, the entries are probably here already: they were pushed when they were
        // fresh.
        if own.is_some()
            && theirs.height == height
            && from == 0
            && self.pull.cut_tries < CUT_TRIES_MAX
        {
            return Some(Want::Cut { height });
        }
        Some(Want::Segments { height, from })
    }

    fn next_by_id(&mut self, turn: &Turn<'_>) -> Option<Want> {
        let mut ids = Vec::new();
        while ids.len() < ASKED_IDS_MAX
            && let Some(id) = self.pull.wanted.pop_front()
        {
            if !turn.holdings.holds(&id) {
                ids.push(id);
            }
        }
        let graft = false;
        (!ids.is_empty()).then_some(Want::Entries { ids, graft })
    }

    fn next_of_tail(&mut self, own: Standing, theirs: Standing, turn: &Turn<'_>) -> Option<Want> {
        if self.compare_due.is_some_and(|due| due <= turn.now.tick) {
            self.compare_due = None;
            if self.pull.goal == Goal::Rest && self.may_hold_more(own, theirs) {
                self.pull.goal = Goal::Beyond;
            }
        }
        if self.pull.goal == Goal::Beyond {
            let chains = turn.holdings.chains();
            if chains.len() <= CHAINS_MAX {
                return Some(Want::Beyond { chains });
            }
            self.pull.compare_ids();
        }
        if let Goal::Ids { from } = self.pull.goal {
            return Some(Want::Ids { from });
        }
        let ids = self.spread.take_grafts(turn.now.tick, turn.holdings);
        let graft = true;
        (!ids.is_empty()).then_some(Want::Entries { ids, graft })
    }

    /// Whether the remote may hold entries of the tail that are not here.
    fn may_hold_more(&self, own: Standing, theirs: Standing) -> bool {
        let (Some(own_cut), Some(their_cut)) = (own.cut, theirs.cut) else {
            return false;
        };
        // Behind a lower cut lies our own history; it would all come again.
        let comparable = own_cut.height == their_cut.height || self.stuck;
        comparable && own.heads != theirs.heads && !self.history.contains(&theirs.heads)
    }

    /// The answer to the question that is open.
    pub(super) fn hear_pulled(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Stage::Asked { want, .. } = std::mem::take(&mut self.pull.stage) else {
            return;
        };
        match (want, answer) {
            (want, Answer::Nothing) => self.hear_nothing(&want),
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
            (Want::Ids { from }, Answer::Ids { ids, more }) => {
                let len = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                let next = from.saturating_add(len);
                self.pull.goal = if more && len > 0 {
                    Goal::Ids { from: next }
                } else {
                    Goal::Rest
                };
                let unheld = ids.into_iter().filter(|id| !turn.holdings.holds(id));
                self.pull.want(unheld.collect::<Vec<_>>());
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
            Want::Beyond { .. } | Want::Ids { .. } => self.pull.goal = Goal::Rest,
            Want::Introduction { .. } => self.pull.introduction = None,
            Want::Entries { .. } | Want::Blob { .. } => {}
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
            && in_order
                .into_iter()
                .all(|(at, (height, page))| {
                    // A page that is neither the end nor brings anything would be asked for for
                    // ever.
                    let goes_on = page.complete || (at == last && !page.entries.is_empty());
                    page.height == height && goes_on
                });
        if !fits {
            self.pull.rest();
            return self.fault(HEAVY_FAULT, "it sent other segments than were asked for", turn);
        }
        let mut through = None;
        let mut partial = None;
        let mut before = from;
        for page in segments {
            if page.complete {
                through = Some(page.height);
            } else {
                let len = u32::try_from(page.entries.len()).unwrap_or(u32::MAX);
                partial = Some((page.height, before.saturating_add(len)));
            }
            before = 0;
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
    pub(super) fn ingested(&mut self, missing: &[EntryId], cut_missing: bool, turn: &mut Turn<'_>) {
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
            self.pull.compare_ids();
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
                // Without progress the rest would be asked for for ever.
                if more && asked.iter().any(|id| held(&id)) {
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
                self.fault(LIGHT_FAULT, "it sent segments that do not continue ours", turn);
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
                self.pull.compare_ids();
            }
            return;
        }
        self.pull.goal = Goal::Rest;
        let unheld: Vec<_> = heads
            .into_iter()
            .filter(|id| !turn.holdings.holds(id))
            .collect();
        if !unheld.is_empty() && !self.pull.want(unheld) {
            self.pull.compare_ids();
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

/// How many cuts the remote is ahead of us.
fn cuts_behind(own: Option<CutRef>, theirs: Option<CutRef>) -> u64 {
    let count = |cut: Option<CutRef>| cut.map_or(0, |cut| cut.height.saturating_add(1));
    count(theirs).saturating_sub(count(own))
}
