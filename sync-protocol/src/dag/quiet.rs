//! Moving on to a cut that changes nobody's rights, as nearly all are: what stays in the tail keeps its place, and
//! only how far each entry has seen is to be worked out again.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::entry::Stub;
use crate::ids::EntryId;

use super::rights::Right;
use super::validity::Standing;
use super::{Dag, Node};

impl Dag {
    /// Brings the tail up to date after a cut over `covered` whose rows give everybody the rights that he
    /// had. False if somebody in the tail says something about members, or some entry does not count as it is:
    /// then all has to be judged anew, whatever this has changed.
    pub(super) fn advance_quietly(&mut self, covered: &BTreeSet<EntryId>) -> bool {
        let all_count = self.quarantine.total() == (0, 0);
        let is_quiet = self.grants.is_empty()
            && self.strikes.is_empty()
            && self.clean.accuses_nobody()
            && self.equivocations.knows_nobody();
        if !all_count || !is_quiet || self.nodes.len() != self.clean.order.len() {
            return false;
        }
        let order: Vec<Arc<Stub>> = self.clean.order.values().map(Arc::clone).collect();
        for entry in order {
            let Some(node) = self.nodes.get(&entry.id) else {
                return false;
            };
            let Standing {
                saw,
                granted,
                sound,
                lapsed,
            } = node.standing;
            if !sound || granted || lapsed || !node.claims().is_empty() {
                return false;
            }
            // What older cuts cover was counted when the entry came.
            let parents = entry.header.parents.iter();
            let seen = parents.map(|parent| match covered.contains(parent) {
                true => self.cut.height,
                false => self.nodes.get(parent).map_or(0, |node| node.standing.saw),
            });
            let saw = seen.fold(saw, u64::max);
            if self.authorise(&entry, saw) != Right::Rows {
                return false;
            }
            if let Some(Node { standing, .. }) = self.nodes.get_mut(&entry.id) {
                standing.saw = saw;
            }
        }
        self.find_heads();
        true
    }
}
