//! A cut on its way into the base file: what it writes lies above the file's rows until it is there.

use std::sync::Arc;

use crate::aside::Work;
use crate::base::KeyWrites;
use crate::error::StoreError;
use crate::key::Key;
use crate::key_filter::KeyFilter;
use crate::key_hash::KeyHasher;
use crate::overlay::Row;

/// A cut that is being written aside.
pub(crate) struct Unwritten {
    writes: Arc<KeyWrites>,
    /// Of the keys of `writes`: nearly all that is looked for is not among them.
    filter: KeyFilter,
    pub(crate) work: Work<Result<(), StoreError>>,
}

impl Unwritten {
    /// The cut that `work` writes.
    pub(crate) fn new(
        writes: Arc<KeyWrites>,
        hasher: KeyHasher,
        work: Work<Result<(), StoreError>>,
    ) -> Self {
        let keys = writes.iter().map(|(key, _)| key.as_bytes());
        Self {
            filter: KeyFilter::of(hasher, keys),
            writes,
            work,
        }
    }

    /// What the cut makes of a key, if it writes it.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Option<Row>> {
        if !self.filter.may_have(key) {
            return None;
        }
        let writes = &*self.writes;
        let at = writes.binary_search_by(|(held, _)| held.as_bytes().cmp(key));
        at.ok().map(|at| &writes[at].1)
    }

    /// What it writes from `low` up to but without `high`, by ascending key.
    pub(crate) fn range(&self, low: &[u8], high: &[u8]) -> &[(Key, Option<Row>)] {
        let place = |bound| {
            self.writes
                .partition_point(|(held, _)| held.as_bytes() < bound)
        };
        let (from, to) = (place(low), place(high));
        &self.writes[from..to.max(from)]
    }
}
