//! Asking ahead: where a page of history ends is where the next one begins. So the next is asked for before
//! the replica has taken in the one that came, and the link is busy while that runs. Only one is asked for
//! ahead, so what waits here is one answer at the most.
//!
//! It is a guess. When the time of the question has come it is asked for the first time if it is another
//! one, and what was asked ahead is forgotten with its answer.

use super::super::{Bulk, Conversation, Trust, Turn};
use super::{Pull, Stage};
use crate::message::{Answer, Message, Want};
use crate::time::Tick;

/// A question that was asked before its time.
#[derive(Debug)]
pub(super) struct Ahead {
    request: u32,
    want: Want,
    since: Tick,
    /// Until when the remote is waited for before others may be asked the same.
    until: Tick,
    answer: Option<Answer>,
}

impl Pull {
    pub(in super::super) fn is_asked_ahead(&self, number: u32) -> bool {
        self.ahead
            .as_ref()
            .is_some_and(|ahead| ahead.request == number)
    }

    /// What is pulled by the question that was asked ahead, unless the remote keeps us waiting. For a while
    /// only: what came another way meanwhile is never asked for here, and then others are to be asked for what
    /// is new.
    pub(super) fn pulling_ahead(&self, now: Tick) -> Option<Bulk> {
        let ahead = self.ahead.as_ref()?;
        let gets_on = ahead.until > now && !self.pace.is_too_slow(now);
        gets_on.then_some(Bulk::History)
    }

    /// Whether the answer to this question is here: nobody has to be asked.
    pub(super) fn has_answer_to(&self, want: &Want) -> bool {
        let ahead = self.ahead.as_ref();
        ahead.is_some_and(|ahead| ahead.answer.is_some() && ahead.want == *want)
    }

    /// A round in which nothing is asked for does not need it.
    pub(super) fn forget_ahead_if_idle(&mut self) {
        if matches!(self.stage, Stage::Idle) {
            self.ahead = None;
        }
    }
}

impl Conversation {
    /// Asks for the page of history after one that ends with the segment at height `through`, or within the
    /// one of `partial`, of which so many entries have come.
    pub(super) fn ask_ahead(
        &mut self,
        through: Option<u64>,
        partial: Option<(u64, u32)>,
        turn: &mut Turn<'_>,
    ) {
        // Whoever joins needs the module before anything else.
        if self.trust == Trust::Joining {
            return;
        }
        let newest = self.theirs.and_then(|theirs| theirs.cut);
        let newest = newest.map_or(0, |cut| cut.height);
        let next = match (partial, through.and_then(|through| through.checked_add(1))) {
            (Some(next), _) => next,
            // The newest cut is asked for alone: the entries are probably here already.
            (None, Some(height)) if height < newest => (height, 0),
            _ => return,
        };
        let want = Want::Segments {
            height: next.0,
            from: next.1,
        };
        let request = self.new_request();
        turn.send(Message::Want {
            request,
            want: want.clone(),
        });
        self.pull.ahead = Some(Ahead {
            request,
            want,
            since: turn.now.tick,
            until: turn.now.tick.plus_ms(self.patience.ms()),
            answer: None,
        });
    }

    /// Keeps the answer to what was asked ahead until the question's time has come.
    pub(in super::super) fn keep_ahead(&mut self, answer: Answer, turn: &Turn<'_>) {
        if let Some(ahead) = &mut self.pull.ahead
            && ahead.answer.is_none()
        {
            self.patience.note_answer(ahead.since, 1, turn.now.tick);
            ahead.answer = Some(answer);
        }
    }

    /// Whether this question was asked already: then its answer is waited for, or heard if it is here.
    pub(super) fn was_asked_ahead(&mut self, want: &Want, turn: &mut Turn<'_>) -> bool {
        let Some(ahead) = self.pull.ahead.take_if(|ahead| ahead.want == *want) else {
            self.pull.ahead = None;
            return false;
        };
        self.await_answer(ahead.request, ahead.want, ahead.since, turn);
        if let Some(answer) = ahead.answer {
            self.hear_pulled(answer, turn);
        }
        true
    }
}
