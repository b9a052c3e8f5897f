//! Which of two branches of cuts holds: a function of the cuts alone, so that all peers that know
//! the same cuts agree, however these came.

use super::{Cut, CutError, CutRef, Term};
use crate::ids::DeviceKey;

/// Cuts that part from one's own history, each checked against the one before.
#[derive(Clone, Debug)]
pub struct Branch {
    cuts: Vec<Cut>,
    parts_after: Cut,
}

/// What a branch means to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its term is greater: what one has beyond the common cut has to go.
    Better,
    /// Its term is less: whoever follows it has yet to hear of our recovery.
    Worse,
    /// Its term is ours, and no recovery has decided between the two.
    Forked,
}

/// Why a cut does not continue a branch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    /// It is not certified, or does not follow.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The branch has as many cuts as are kept without a recovery cut among them.
    #[error("{0} cuts and no recovery among them")]
    TooLong(usize),
}

/// Cuts of a branch that are kept before one of a greater term is among them: three hours of cuts
/// every second, and at most some 10 MiB of memory with a single finaliser.
pub const BRANCH_CUTS_MAX: usize = 10_000;

impl Branch {
    /// A branch that parts from our history after `common`, which is in it.
    #[must_use]
    pub fn after(common: Cut) -> Self {
        Self {
            cuts: Vec::new(),
            parts_after: common,
        }
    }

    /// Adds the next cut.
    ///
    /// # Errors
    /// [`BranchError`]; the branch stays as it was.
    pub fn push(&mut self, cut: Cut, recovery_keys: &[DeviceKey]) -> Result<(), BranchError> {
        if self.cuts.len() == BRANCH_CUTS_MAX {
            return Err(BranchError::TooLong(BRANCH_CUTS_MAX));
        }
        cut.verify_after(self.tip(), recovery_keys)?;
        self.cuts.push(cut);
        Ok(())
    }

    /// The last cut that both have.
    #[must_use]
    pub fn common(&self) -> &Cut {
        &self.parts_after
    }

    /// Its cuts, from the first that differs from ours.
    #[must_use]
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Its last cut, or the common one.
    #[must_use]
    pub fn tip(&self) -> &Cut {
        self.cuts.last().unwrap_or(&self.parts_after)
    }

    /// The last cut's name.
    #[must_use]
    pub fn reference(&self) -> CutRef {
        self.tip().reference()
    }

    /// What it means to a peer whose history is of term `own` and goes on differently after the
    /// common cut.
    #[must_use]
    pub fn verdict(&self, own: Term) -> Verdict {
        if planted!(ForkByArrival) {
            return Verdict::Worse;
        }
        match self.tip().term.cmp(&own) {
            std::cmp::Ordering::Greater => Verdict::Better,
            std::cmp::Ordering::Less => Verdict::Worse,
            std::cmp::Ordering::Equal => Verdict::Forked,
        }
    }
}

#[cfg(test)]
mod tests;
