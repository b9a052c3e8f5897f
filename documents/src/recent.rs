//! Changes that were read a moment ago: the same ones are asked for again and again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::Change;
use crate::document::read_each;
use crate::error::{ChangeError, DocumentError};
use crate::limits::{RECENT_CHANGE_BYTES_MAX, RECENT_CHANGE_OPS_MAX, RECENT_CHANGES_MAX};

/// The last few changes that were read, so that whoever asks again for one of them need not read it again. Whoever
/// judges a change asks for it twice, and mostly for the one that its actor made before.
///
/// What a reader is told does not depend on what is kept here. Large changes are not kept.
#[derive(Debug, Default)]
pub struct RecentChanges {
    /// The latest at the end.
    kept: VecDeque<Arc<Change>>,
}

impl RecentChanges {
    /// As [`Change::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Arc<Change>, ChangeError> {
        let (change, rest) = self.read_first(bytes)?;
        match rest {
            [] => Ok(change),
            _ => Err(Change::more_follows()),
        }
    }

    /// As [`read_all`](crate::read_all).
    ///
    /// # Errors
    /// As there.
    pub fn read_all(
        &mut self,
        bytes: &[u8],
        pay: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Arc<Change>>, DocumentError> {
        read_each(bytes, |rest| self.read_first(rest), pay)
    }

    fn read_first<'b>(&mut self, bytes: &'b [u8]) -> Result<(Arc<Change>, &'b [u8]), ChangeError> {
        // The bytes of a change say how many they are, so whatever begins with them is that change.
        let known = self.kept.iter().rev().find_map(|change| {
            let rest = bytes.strip_prefix(change.bytes())?;
            Some((Arc::clone(change), rest))
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let (change, rest) = Change::read_first(bytes)?;
        let change = Arc::new(change);
        self.keep(&change);
        Ok((change, rest))
    }

    fn keep(&mut self, change: &Arc<Change>) {
        if change.bytes().len() > RECENT_CHANGE_BYTES_MAX
            || change.ops().len() > RECENT_CHANGE_OPS_MAX
        {
            return;
        }
        if self.kept.len() >= RECENT_CHANGES_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(change));
    }
}
