//! What the remote said, kind by kind.

use super::limits::COMPARE_WAIT_MS;
use super::{Conversation, ConversationEffect, HEAVY_FAULT, LIGHT_FAULT, Trust, Turn};
use crate::cut::Cut;
use crate::message::{Answer, Hello, Message, Standing};

impl Conversation {
    pub(super) fn receive(&mut self, message: Message, turn: &mut Turn<'_>) {
        match message {
            Message::Hello(hello) => self.hear_hello(hello, turn),
            Message::Standing(standing) => self.hear_standing(standing, turn),
            Message::Push { entries, forwarded } => self.hear_push(entries, forwarded, turn),
            Message::Have { ids } => self.hear_have(&ids, turn),
            Message::Prune => self.spread.prune(),
            Message::Cut { bytes } => self.hear_cut(bytes, turn),
            Message::Proofs { proofs } => {
                for proof in proofs {
                    if self.signed.take(turn.now.tick) {
                        turn.effects.push(ConversationEffect::Proof(proof));
                    } else {
                        self.fault(LIGHT_FAULT, "it sends too many proofs", turn);
                    }
                }
            }
            Message::Addresses { records } => self.hear_addresses(records, turn),
            Message::Want { request, want } => self.serve(request, want, turn),
            Message::Answer { request, answer } => self.hear_answer(request, answer, turn),
        }
    }

    fn hear_hello(&mut self, hello: Hello, turn: &mut Turn<'_>) {
        let before = self.theirs.replace(hello.standing);
        self.apart = false;
        let lower = hello.standing.cut < turn.holdings.cut();
        self.stuck = lower && before.is_some_and(|before| before.cut == hello.standing.cut);
        // It is told of a difference at once, so that the two need not wait for each other.
        self.compare_due = Some(turn.now.tick);
        if self.trust == Trust::Stranger {
            // It may have got lost.
            self.farewell = None;
            self.pull.want_introduction();
            return;
        }
        let own = turn.own();
        // A joiner opens its side anew once it has the module, and would wait for our next Hello.
        self.tells_again = hello.standing != own;
        if self
            .told
            .is_some_and(|told| told != own || self.tells_again)
        {
            self.standing_due = Some(turn.now.tick);
        }
    }

    fn hear_standing(&mut self, standing: Standing, turn: &mut Turn<'_>) {
        if self.theirs.is_some_and(|theirs| theirs.cut != standing.cut) {
            self.apart = false;
        }
        self.theirs = Some(standing);
        if standing.heads != turn.holdings.heads_hash() {
            let due = turn.now.tick.plus_ms(COMPARE_WAIT_MS);
            self.compare_due.get_or_insert(due);
        }
    }

    fn hear_cut(&mut self, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let Ok(cut) = Cut::open(&bytes) else {
            return self.fault(HEAVY_FAULT, "it sent something that is no cut", turn);
        };
        if cut.database != self.database {
            return self.fault(HEAVY_FAULT, "it sent a cut of another database", turn);
        }
        let reference = cut.reference();
        if let Some(theirs) = &mut self.theirs
            && theirs
                .cut
                .is_none_or(|known| known.place() < reference.place())
        {
            theirs.cut = Some(reference);
        }
        if turn.holdings.cut_bytes(cut.height).as_ref() == Some(&bytes) {
            return;
        }
        if self.signed.take(turn.now.tick) {
            self.pull.note_handed_push();
            turn.effects.push(ConversationEffect::Cut(bytes));
        } else {
            self.fault(LIGHT_FAULT, "it sends too many cuts", turn);
        }
    }

    fn hear_answer(&mut self, request: u32, answer: Answer, turn: &mut Turn<'_>) {
        if self.blob.is_asked(request) {
            self.hear_blob(answer, turn);
        } else if self.pull.is_asked(request) {
            self.note_patience(turn);
            self.hear_pulled(answer, turn);
        } else if self.pull.is_asked_ahead(request) {
            self.keep_ahead(answer, turn);
        } else if request > self.next_request {
            // Smaller numbers are late copies of answers, and honest.
            self.fault(LIGHT_FAULT, "it answers what was never asked", turn);
        }
    }
}
