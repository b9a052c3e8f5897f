//! A replica that takes its time with history.

use std::collections::VecDeque;

use super::super::{ConversationEffect, ConversationInput};
use super::peer::{Peer, Sent};
use crate::ids::DeviceKey;
use crate::time::{Now, Tick};

/// Pages of an answer that are being taken in, in order: when that is done, and who sent them.
#[derive(Default)]
pub(super) struct Digested(VecDeque<(Tick, DeviceKey, Vec<ConversationEffect>)>);

impl Digested {
    pub(super) fn due(&self) -> Option<Tick> {
        self.0.front().map(|(due, ..)| *due)
    }
}

impl Peer {
    /// Puts off the history that is among these effects, of a slow replica. Gives the others.
    pub(super) fn put_off(
        &mut self,
        now: Now,
        remote: DeviceKey,
        effects: Vec<ConversationEffect>,
    ) -> Vec<ConversationEffect> {
        if self.digest_ms == 0 {
            return effects;
        }
        let is_history =
            |effect: &ConversationEffect| matches!(effect, ConversationEffect::Segment { .. });
        let (pages, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_history);
        if !pages.is_empty() {
            let begin = self.digested.0.back().map_or(now.tick, |(due, ..)| *due);
            let ms = self.digest_ms * pages.len() as u64;
            let due = begin.max(now.tick).plus_ms(ms);
            self.digested.0.push_back((due, remote, pages));
        }
        others
    }

    /// Has taken in what was put off first.
    pub(super) fn digest(&mut self, now: Now) -> Vec<Sent> {
        let Some((_, remote, pages)) = self.digested.0.pop_front() else {
            return Vec::new();
        };
        let mut sent = Vec::new();
        let (mut fresh, mut cuts, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for page in pages {
            let lacks = self.carry_out(remote, page, &mut sent, &mut fresh, &mut cuts);
            missing.extend(lacks.into_iter().flatten());
        }
        let input = ConversationInput::Ingested {
            missing: &missing,
            cut_missing: false,
            apart: false,
        };
        sent.extend(self.tell(now, remote, input));
        self.pass_on(now, remote, &fresh, &cuts, &mut sent);
        sent
    }

    /// Takes in a page of history at once.
    pub(super) fn take_in(&mut self, remote: DeviceKey, page: ConversationEffect) {
        let (mut sent, mut fresh, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        self.carry_out(remote, page, &mut sent, &mut fresh, &mut cuts);
    }
}
