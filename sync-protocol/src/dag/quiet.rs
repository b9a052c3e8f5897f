//! Moving on to a cut that changes nobody's rights, as nearly all are: what stays in the tail keeps its place, and
//! only how far each entry has seen is to be worked out again.
//!
//! Not even that where all entries are *plain*: they count by the rows, say nothing of members, and have seen the
//! last cut that changed rights. Then a cut costs what it covers, however long the tail is.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::entry::Stub;
use crate::ids::EntryId;

use super::rights::Right;
use super::validity::Standing;
use super::{Claims, Dag, Node};

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
        if !self.all_plain && !self.see_quietly(covered) {
            return false;
        }
        self.find_heads_left();
        true
    }

    /// Works out how far each entry has seen after a cut over `covered`. False if one does not count as it is.
    fn see_quietly(&mut self, covered: &BTreeSet<EntryId>) -> bool {
        let mut all_plain = true;
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
            let saw = seen.map(|seen| self.counting(seen)).fold(saw, u64::max);
            if self.authorise(&entry, saw) != Right::Rows {
                return false;
            }
            all_plain &= saw >= self.rights_since;
            if let Some(Node { standing, .. }) = self.nodes.get_mut(&entry.id) {
                standing.saw = saw;
            }
        }
        self.all_plain = all_plain;
        true
    }

    /// How much of having seen the cut at this height counts: nothing depends on cuts after the last that changed
    /// rights.
    pub(super) fn counting(&self, height: u64) -> u64 {
        height.min(self.rights_since)
    }

    pub(super) fn is_plain(&self, id: &EntryId) -> bool {
        let node = self.nodes.get(id);
        node.is_some_and(|node| node.is_plain(self.rights_since))
    }

    /// Notes whether all entries are plain, after all were judged anew.
    pub(super) fn look_for_plain(&mut self) {
        let mut nodes = self.nodes.values();
        self.all_plain = nodes.all(|node| node.is_plain(self.rights_since));
    }

    /// Works out the heads after a cut: entries that stay have those on them that they had.
    fn find_heads_left(&mut self) {
        let (nodes, children) = (&self.nodes, &self.clean.children);
        self.clean.heads.retain(|id| nodes.contains_key(id));
        let frontier = self.frontier.iter().copied();
        let heads = frontier.filter(|id| !children.contains_key(id));
        self.clean.heads.extend(heads);
    }
}

impl Node {
    fn is_plain(&self, rights_since: u64) -> bool {
        let Standing {
            saw,
            granted,
            sound,
            lapsed,
        } = self.standing;
        let says_nothing = matches!(&self.claims, Claims::Checked(claims) if claims.is_empty());
        self.clean && sound && !granted && !lapsed && says_nothing && saw >= rights_since
    }
}
