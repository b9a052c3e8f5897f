//! A member writes far too much on a good day: does it delay anybody else?

use super::{Run, Verdict};

/// Milliseconds after which what others call while somebody writes far too much is final.
const FINAL_MS_MAX: u64 = 20_000;

/// Milliseconds between two deluges on a good day.
const DELUGE_EVERY_MS: u64 = 500;

impl Run {
    /// While a member writes far too much on a good day, what others call becomes final in time.
    pub(super) fn go_on_in_a_deluge(&mut self) -> Result<(), Verdict> {
        if !self.faults.lies.deluges || self.world.clocks_are_far_off() {
            return Ok(());
        }
        let present = self.present();
        let liar = self.world.nodes.len() - 1;
        if !present.contains(&liar) {
            return Ok(());
        }
        self.world.write_more();
        let mut some = false;
        for time in 0..FINAL_MS_MAX / DELUGE_EVERY_MS {
            // Who signs two histories is heard by nobody.
            let is_heard = self.world.links_of(liar) > 0 && !self.faults.lies.equivocates;
            some |= self.world.deluge(&present) && is_heard;
            // When all shares are used up.
            if time == 2 {
                self.world.say_once_each();
            }
            self.pass(DELUGE_EVERY_MS)?;
            let mut holds = |at: &usize| {
                let status = self.world.status(*at);
                status.is_some_and(|status| !status.held.is_empty())
            };
            if time == 2 && some && !present.iter().any(&mut holds) {
                return Err(Verdict::Unsafe(
                    "a deluge was held back by nobody".to_owned(),
                ));
            }
        }
        for at in present {
            let unsafe_at = |why: String| Verdict::Unsafe(format!("peer {at}: {why}"));
            let places = self.history(at).map_err(unsafe_at)?.places();
            let world = &self.world;
            let final_yet = world
                .ledger
                .complete(&places, |peer| world.is_liar(peer), false);
            final_yet.map_err(|why| {
                Verdict::Stuck(format!("peer {at}, in a deluge: not final: {why}"))
            })?;
        }
        self.settle()
    }
}
