//! Final history that has come. It is taken in at the next pause, not at once: so the question for what follows
//! leaves first, and the link brings the one while this peer runs the other.

use sync_protocol::{DeviceKey, Tick};

use super::Brought;
use crate::error::Stop;
use crate::replica::{Context, Replica};

/// Entries of the segment of one cut.
pub(super) struct Page {
    /// Encoded.
    pub(super) cut: Vec<u8>,
    /// Encoded, or stubs.
    pub(super) entries: Vec<Vec<u8>>,
    /// The segment ends with it.
    pub(super) is_last: bool,
}

/// What one answer brought: a conversation hands over the next when it was told what came of this one.
pub(crate) struct Answered {
    by: DeviceKey,
    pages: Vec<Page>,
}

impl Replica {
    /// Keeps what an answer brought until the next pause.
    pub(super) fn keep_history(&mut self, by: DeviceKey, pages: Vec<Page>) {
        if !pages.is_empty() {
            self.history.push(Answered { by, pages });
        }
    }

    /// At once, if something waits.
    pub(super) fn history_due(&self, ctx: &Context<'_>) -> Option<Tick> {
        (!self.history.is_empty()).then_some(ctx.now.tick)
    }

    /// Takes in what waits, page by page. What is without a link by now comes again on another.
    pub(crate) fn take_in_history(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        for Answered { by, pages } in std::mem::take(&mut self.history) {
            let Some(mut link) = self.links.remove(&by) else {
                continue;
            };
            let mut brought = Brought::default();
            for page in pages {
                let is_history = self.continues(&page.cut);
                self.bring_entries(&mut link, page.entries, is_history, &mut brought, ctx)?;
                if page.is_last {
                    self.bring_cut(&mut link, &page.cut, &mut brought, ctx)?;
                }
            }
            self.links.insert(by, link);
            self.tell(by, brought.as_input(), ctx)?;
        }
        Ok(())
    }
}
