//! Asking: one question at a time, repeated until it is answered. What to ask next is decided
//! afresh after every answer, from what both sides hold then; only for history it is asked ahead (see
//! [`ahead`]).

mod ahead;
mod answer;
mod pace;
mod ranges;

use std::collections::VecDeque;

use super::limits::{
    ASKED_IDS_MAX, ASKS_MAX, HOLD_MS, REMEMBERED_IDS_MAX, VECTOR_CHAINS_MAX, VECTOR_TAIL_MAX,
};
use super::standing::RecentIds;
use super::{Bulk, Conversation, ConversationEffect, Trust, Turn};
use crate::cut::{CutRef, Term};
use crate::dag::ChainTip;
use crate::ids::EntryId;
use crate::message::limits::{CHAINS_MAX, KNOWN_CUTS_MAX};
use crate::message::{Answer, Message, Standing, Want};
use crate::reconcile::TailIndex;
use crate::time::Tick;
use ahead::Ahead;
use pace::Pace;
use ranges::Ranges;

/// How often a cut alone is asked for, before its whole segment is: once to learn which entries
/// are missing, once more when they are here.
const CUT_TRIES_MAX: u8 = 2;

/// Where the pull of entries and cuts stands.
#[derive(Debug, Default)]
pub(super) struct Pull {
    stage: Stage,
    ahead: Option<Ahead>,
    goal: Goal,
    /// Something that the remote pushed is with the replica: what to ask next depends on it.
    handed_push: bool,
    /// No comparison of tails until the next round: there is no room for what it brings.
    tail_left: bool,
    /// No questions until the next round: the last one was answered with nonsense, or not at all.
    resting: bool,
    /// Ids to ask for.
    wanted: VecDeque<EntryId>,
    /// Ids asked for in this round.
    asked: RecentIds,
    /// Generations of missing parents that were asked for one after the other.
    depth: u8,
    /// How the whole tail was compared in this round.
    compared: Compared,
    ranges: Ranges,
    /// Of the ids to ask for many came from ranges: no other conversation need pull the tail.
    bulk_ids: bool,
    /// Entries that were asked for by id came, since this was last looked at.
    gained: bool,
    /// Pages of ids in a row that brought no entry.
    vain_pages: u8,
    /// A segment of which some pages were taken in: its height, and how many entries.
    partial: Option<(u64, u32)>,
    stalled: Option<Stalled>,
    /// Waiting for a cut excuses one stalled segment a round, not one after the other.
    excused: bool,
    cut_tries: u8,
    /// Where our histories part was asked for in this round.
    branch_asked: bool,
    /// There are more cuts of the remote's branch to ask for.
    branch_goes_on: bool,
    /// The page of a stranger's tail to look at next.
    introduction: Option<u32>,
    /// Something is wanted that another conversation is pulling: when to look again.
    hold: Option<Tick>,
    pace: Pace,
}

fn bulk_of(want: &Want) -> Option<Bulk> {
    match want {
        Want::Segments { .. } => Some(Bulk::History),
        Want::Beyond { .. } | Want::Reconcile { .. } => Some(Bulk::Tail),
        _ => None,
    }
}

/// Bytes of what an answer is about, for kinds that may be long.
pub(super) fn bytes_of(answer: &Answer) -> u64 {
    let bytes = |entries: &[Vec<u8>]| entries.iter().map(Vec::len).sum::<usize>() as u64;
    match answer {
        Answer::Segments { segments } => segments
            .iter()
            .map(|page| page.cut.len() as u64 + bytes(&page.entries))
            .sum(),
        Answer::Beyond { entries, .. } | Answer::Entries { entries, .. } => bytes(entries),
        Answer::Cuts { cuts } => bytes(cuts),
        Answer::Blob { bytes, .. } => bytes.len() as u64,
        _ => 0,
    }
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
        /// When it was asked first.
        since: Tick,
        asks: u8,
        again: Tick,
    },
    /// The answer is with the replica.
    Handed(Handed),
}

#[derive(Debug)]
enum Handed {
    Cut,
    Branch {
        /// The last cut of it.
        last: CutRef,
    },
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
    /// Where the ranges stand is in [`Pull::ranges`].
    Ranges,
    Ids {
        from: u32,
    },
}

/// The most thorough comparison of whole tails that was begun. Each is tried once a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Compared {
    #[default]
    Not,
    ByRanges,
    ByIds,
}

impl Pull {
    /// The regular Hello begins a round: what failed in the last one may be tried again.
    pub(super) fn begin_round(&mut self) {
        self.forget_ahead_if_idle();
        if matches!(self.stage, Stage::Handed(_)) {
            self.stage = Stage::Idle;
        }
        self.handed_push = false;
        self.resting = false;
        self.tail_left = false;
        self.asked.clear();
        self.depth = 0;
        self.compared = Compared::Not;
        self.vain_pages = 0;
        self.stalled = None;
        self.excused = false;
        self.cut_tries = 0;
        self.branch_asked = false;
        self.branch_goes_on = false;
    }

    pub(super) fn is_asked(&self, number: u32) -> bool {
        matches!(self.stage, Stage::Asked { request, .. } if request == number)
    }

    pub(super) fn remembered(&self) -> usize {
        self.wanted.len() + self.asked.len() + self.ranges.remembered()
    }

    /// What is being pulled, unless the remote keeps us waiting.
    pub(super) fn pulling(&self, now: Tick) -> Option<Bulk> {
        match &self.stage {
            Stage::Asked {
                want,
                asks: 1,
                again,
                ..
            } if *again > now && !self.pace.is_too_slow(now) => self.bulk_now(want),
            Stage::Handed(Handed::Segments { .. }) => Some(Bulk::History),
            _ => self.pulling_ahead(now),
        }
    }

    /// A blob is complete: what waited for it may go on.
    pub(super) fn go_on_after_blob(&mut self) {
        self.stalled = None;
        self.asked.clear();
        self.compared = Compared::Not;
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

    /// Ends the comparison, or begins the next more thorough one that there was not in this round:
    /// first by ranges, and as fingerprints prove nothing, by ids after that.
    fn compare_whole(&mut self) {
        (self.goal, self.compared) = match self.compared {
            Compared::Not => (Goal::Ranges, Compared::ByRanges),
            Compared::ByRanges => (Goal::Ids { from: 0 }, Compared::ByIds),
            Compared::ByIds => (Goal::Rest, Compared::ByIds),
        };
        self.ranges = Ranges::default();
        self.gained = false;
        self.vain_pages = 0;
    }

    /// What of the bulk a question is for, ids that came from ranges included.
    fn bulk_now(&self, want: &Want) -> Option<Bulk> {
        match want {
            Want::Entries { graft: false, .. } if self.bulk_ids => Some(Bulk::Tail),
            want => bulk_of(want),
        }
    }

    pub(super) fn leave_tail(&mut self) {
        self.tail_left = true;
        if std::mem::take(&mut self.bulk_ids) {
            self.wanted.clear();
        }
    }

    fn rest(&mut self) {
        self.stage = Stage::Idle;
        self.goal = Goal::Rest;
        self.wanted.clear();
        self.ranges = Ranges::default();
        self.bulk_ids = false;
        self.introduction = None;
        self.ahead = None;
        self.resting = true;
    }
}

impl Conversation {
    pub(super) fn pull_due(&self) -> Option<Tick> {
        match &self.pull.stage {
            Stage::Asked { again, .. } => Some(*again),
            Stage::Handed(_) => None,
            Stage::Idle if !self.may_ask() => None,
            // Only a member's tail is compared, and only a member's announcements count.
            Stage::Idle if self.trust != Trust::Member => self.pull.hold,
            Stage::Idle => {
                // While a comparison is held back its time has come already.
                let compare = self.compare_due.filter(|_| self.pull.hold.is_none());
                let dues = [compare, self.pull.hold, self.spread.graft_due()];
                dues.into_iter().flatten().min()
            }
        }
    }

    /// The open question is answered now: that says how long the next may take.
    pub(super) fn note_patience(&mut self, turn: &Turn<'_>) {
        if let Stage::Asked { since, asks, .. } = &self.pull.stage {
            self.patience.note_answer(*since, *asks, turn.now.tick);
        }
    }

    /// Who did not say where it stands need not answer: it may not know us as a member yet.
    fn may_ask(&self) -> bool {
        self.theirs.is_some() && !self.pull.resting && !self.pull.handed_push
    }

    /// Asks, or asks again.
    pub(super) fn pull_on(&mut self, turn: &mut Turn<'_>) {
        self.pull.hold = None;
        match &mut self.pull.stage {
            Stage::Handed(_) => {}
            Stage::Asked { again, .. } if *again > turn.now.tick => {}
            Stage::Asked { want, asks, .. }
                if *asks < ASKS_MAX
                    && bulk_of(want)
                        .is_some_and(|bulk| turn.holdings.is_pulled(&bulk, turn.now.tick)) =>
            {
                // Another remote is faster. This one may be asked again when that one is done.
                self.pull.stage = Stage::Idle;
                self.ask_next(turn);
            }
            Stage::Asked { asks, .. } if *asks >= ASKS_MAX => {
                let text = format!("no answer to a question asked {asks} times");
                self.pull.rest();
                turn.effects.push(ConversationEffect::Silent(text));
            }
            Stage::Asked {
                request,
                want,
                asks,
                again,
                ..
            } => {
                *again = turn.now.tick.plus_ms(self.patience.ms() << *asks);
                *asks += 1;
                let (request, want) = (*request, want.clone());
                turn.send(Message::Want { request, want });
            }
            Stage::Idle => self.ask_next(turn),
        }
    }

    fn ask_next(&mut self, turn: &mut Turn<'_>) {
        if !self.may_ask() {
            return;
        }
        let Some(want) = self.next_want(turn) else {
            self.pull.pace = Pace::default();
            return;
        };
        let bulk = self.pull.bulk_now(&want);
        self.pull.pace.note_question(bulk, turn.now.tick);
        if self.was_asked_ahead(&want, turn) {
            if matches!(self.pull.stage, Stage::Idle) {
                self.ask_next(turn); // the answer was here, and brought nothing to take in
            }
            return;
        }
        let request = self.new_request();
        turn.send(Message::Want {
            request,
            want: want.clone(),
        });
        self.await_answer(request, want, turn.now.tick, turn);
    }

    /// A question was first asked at `since`.
    fn await_answer(&mut self, request: u32, want: Want, since: Tick, turn: &Turn<'_>) {
        self.pull.stage = Stage::Asked {
            request,
            want,
            since,
            asks: 1,
            again: turn.now.tick.plus_ms(self.patience.ms()),
        };
    }

    fn next_want(&mut self, turn: &Turn<'_>) -> Option<Want> {
        let own = turn.own();
        let theirs = self.theirs?;
        if let Some(want) = self.next_of_branch(theirs, turn) {
            return Some(want);
        }
        let term = turn.holdings.term();
        let behind = if theirs.cut.is_some_and(|cut| cut.term <= term)
            && turn.holdings.other_side().is_some()
        {
            0 // finality stands still until a recovery cut comes
        } else {
            cuts_behind(own.cut, theirs.cut, term)
        };
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

    /// Where the two histories part, if they do and ours may have to give way: once a round, and on
    /// as long as that decides nothing.
    fn next_of_branch(&mut self, theirs: Standing, turn: &Turn<'_>) -> Option<Want> {
        let own = turn.holdings.cut()?;
        let theirs = theirs.cut?;
        let term = turn.holdings.term();
        let elsewhere = theirs.term == term
            && theirs.height <= own.height
            && turn.holdings.cut_at(theirs.height) != Some(theirs);
        self.apart |= elsewhere;
        let asks = theirs.term > term || theirs.term == term && self.apart;
        // A fork that is known needs no second proof.
        let known = theirs.term == term && turn.holdings.other_side().is_some();
        if !std::mem::take(&mut self.pull.branch_goes_on)
            && (!asks || known || std::mem::replace(&mut self.pull.branch_asked, true))
        {
            return None;
        }
        let mut known: Vec<CutRef> = turn.holdings.branch_tip().into_iter().collect();
        let mut height = Some(own.height);
        let mut step = 1;
        while let Some(at) = height
            && known.len() < KNOWN_CUTS_MAX - 1
        {
            known.extend(turn.holdings.cut_at(at));
            height = at.checked_sub(step);
            step = step.saturating_mul(2);
        }
        // The first cut is common to all.
        known.extend(turn.holdings.cut_at(0));
        Some(Want::Cuts { known })
    }

    /// The next step towards the remote's cut.
    fn next_cut(&mut self, own: Option<CutRef>, turn: &Turn<'_>) -> Option<Want> {
        let theirs = self.theirs?.cut?;
        let height = own.map_or(0, |own| own.height.saturating_add(1));
        if turn.holdings.is_taking(height) {
            return None;
        }
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
        self.unless_pulled(Want::Segments { height, from }, turn)
    }

    /// The question, unless another conversation gets on with the same.
    fn unless_pulled(&mut self, want: Want, turn: &Turn<'_>) -> Option<Want> {
        let now = turn.now.tick;
        // Two that wait for each other would wait for long.
        let is_here = self.pull.has_answer_to(&want);
        if !is_here && bulk_of(&want).is_some_and(|bulk| turn.holdings.is_pulled(&bulk, now)) {
            self.pull.hold = Some(now.plus_ms(HOLD_MS));
            return None;
        }
        Some(want)
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
        // Nothing is left of what ranges brought.
        self.pull.bulk_ids &= !ids.is_empty();
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
        let tail_left = self.pull.tail_left;
        let compares = matches!(self.pull.goal, Goal::Beyond | Goal::Ranges);
        if tail_left || compares && self.is_known(own, theirs) {
            // It came another way meanwhile, or there is no room for it.
            self.pull.goal = Goal::Rest;
            self.pull.ranges = Ranges::default();
        }
        if self.pull.goal == Goal::Beyond {
            let chains = turn.holdings.chains();
            let tail_len = turn.holdings.tail_index().map_or(0, TailIndex::len);
            if chains.len() > CHAINS_MAX {
                self.pull.compare_whole();
            } else if chains.len() > VECTOR_CHAINS_MAX && tail_len > VECTOR_TAIL_MAX {
                self.pull.goal = Goal::Ranges;
                self.pull.compared = self.pull.compared.max(Compared::ByRanges);
            } else if let Some(want) = self.unless_pulled(Want::Beyond { chains }, turn) {
                return Some(want);
            }
        }
        if self.pull.goal == Goal::Ranges
            && let Some(want) = self.next_of_ranges(turn)
        {
            return Some(want);
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
        let comparable = own_cut.height == their_cut.height || self.stuck || self.apart;
        comparable && !self.is_known(own, theirs)
    }

    /// Whether the remote's heads are ours, or were a moment ago.
    fn is_known(&self, own: Standing, theirs: Standing) -> bool {
        own.heads == theirs.heads || self.history.contains(&theirs.heads)
    }
}

/// How many cuts the remote is ahead of us. One that follows an earlier term than we do leads
/// nowhere.
fn cuts_behind(own: Option<CutRef>, theirs: Option<CutRef>, term: Term) -> u64 {
    if own.is_some() && theirs.is_some_and(|theirs| theirs.term < term) {
        return 0;
    }
    let count = |cut: Option<CutRef>| cut.map_or(0, |cut| cut.height.saturating_add(1));
    count(theirs).saturating_sub(count(own))
}
