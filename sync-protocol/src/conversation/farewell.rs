//! What a remote is told that was a member and is none any more: how far it was one.
//!
//! It is told of the cut that ended its membership and may ask for what cuts cover until that one, and
//! for nothing else. So a device that was put out finds out, and with it what it wrote that did not
//! become final; and whoever waits for such a call hears that it is void.

use super::{Conversation, Trust, Turn};
use crate::ids::HeadsHash;
use crate::message::{Hello, Message, Standing};

impl Conversation {
    /// Says once, and again after each of its Hellos, where its membership ended.
    pub(super) fn say_farewell(&mut self, turn: &mut Turn<'_>) {
        if self.trust != Trust::Stranger {
            self.farewell = None;
            return;
        }
        let Some(theirs) = self.theirs.and_then(|theirs| theirs.cut) else {
            return;
        };
        let Some(ended) = turn.holdings.membership_ended(&self.remote) else {
            return;
        };
        if self.farewell == Some(ended) {
            return;
        }
        self.farewell = Some(ended);
        if let Some(cut) = turn.holdings.cut_at(ended)
            && theirs.place() < cut.place()
        {
            turn.send(Message::Hello(Hello {
                standing: Standing {
                    cut: Some(cut),
                    heads: HeadsHash::ZERO,
                },
                wall: turn.now.wall,
            }));
        }
    }
}
