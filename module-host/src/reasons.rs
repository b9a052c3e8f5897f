//! Why a module is refused: every reason at once.

use crate::error::PrepareError;
use crate::limits::REASONS_MAX;

/// Why a module is refused: what people can read at once, and how many more there are.
#[derive(Default)]
pub(crate) struct Reasons {
    listed: Vec<String>,
    more: usize,
}

impl Reasons {
    /// Adds one.
    pub(crate) fn add(&mut self, reason: impl Into<String>) {
        if self.listed.len() < REASONS_MAX {
            self.listed.push(reason.into());
        } else {
            self.more += 1;
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Refuses if there are any.
    pub(crate) fn refuse(mut self) -> Result<(), PrepareError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        Err(PrepareError::Refused(self.listed))
    }
}
