//! Settling calls between which others stay in the tail: a cut may put calls before such as the tail had run
//! earlier. Where none of two that change their order has read or written what the other wrote, each did what it
//! would have done in the other order, and nothing has to run again.

use std::collections::BTreeSet;

use sync_protocol::Position;

use crate::error::StoreError;
use crate::reads::Changed;
use crate::settle::Settlement;
use crate::state::State;

impl State {
    /// What the call at this position wrote, for [`Dirt`](crate::Dirt): as if every later call could see it.
    #[must_use]
    pub fn written_at(&self, position: &Position) -> Changed {
        self.0.overlay.written_at(position)
    }

    /// Works out what a cut writes: everything executed up to and with `through`, but for the calls at `staying`,
    /// which keep what they wrote, above it. Changes nothing. That they are independent of what is settled from
    /// after them, the caller has seen.
    ///
    /// # Errors
    /// If the disk fails.
    ///
    /// # Panics
    /// If something is spilled: [`State::spilled_bytes`].
    pub fn plan_settle_but(
        &self,
        through: &Position,
        staying: &[Position],
    ) -> Result<Settlement, StoreError> {
        assert!(
            self.0.spill.labels().is_none(),
            "what was spilled is settled in order"
        );
        let staying: BTreeSet<u64> = self.0.overlay.labels_of(staying).collect();
        self.plan_before(self.end_of(Some(through))?, staying, Vec::new())
    }
}
