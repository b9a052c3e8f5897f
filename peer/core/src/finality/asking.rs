//! A finaliser that has just started asks before it signs: its data directory may be a restored
//! backup, and members may hold cuts of its own that it has forgotten.

use sync_protocol::Tick;

use crate::replica::{Context, Replica};

/// Milliseconds that it waits for most members to say where they stand: one alone may have been put out
/// since, which an old backup does not say. Then it goes on alone.
const ALONE_AFTER_MS: u64 = 10_000;

/// Milliseconds after which it goes on although a member says that it holds later cuts: one that
/// says so and never shows them must not stop finality.
const UNPROVEN_AFTER_MS: u64 = 60_000;

impl Replica {
    /// From when on this peer may sign cuts, as far as what members know is concerned.
    pub(super) fn may_cut_from(&self) -> Tick {
        let Some(start) = self.asks_since else {
            return Tick(0);
        };
        let members = self
            .links
            .iter()
            .filter(|(remote, _)| self.members.contains_key(remote));
        let told = members.filter_map(|(_, link)| link.conversation.their_cut());
        let mut heard = 0;
        for theirs in told {
            if theirs.place() > self.cut.reference().place() {
                return start.plus_ms(UNPROVEN_AFTER_MS);
            }
            heard += 1;
        }
        let others = self.members.len().saturating_sub(1);
        if 2 * heard > others {
            Tick(0)
        } else {
            start.plus_ms(ALONE_AFTER_MS)
        }
    }

    /// Begins to ask, unless nobody else holds the database.
    pub(crate) fn ask_before_cutting(&mut self, ctx: &Context<'_>) {
        let asks = self.members.len() > 1 && !planted!(CutWithoutAsking);
        self.asks_since = asks.then_some(ctx.now.tick);
    }
}
