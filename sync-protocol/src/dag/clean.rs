//! The clean set: the entries that count. Closed under ancestors, it gives the heads, the tail and
//! what the next cut may cover.
//!
//! An author whom a report accuses is *struck*: his entries are void, and they stay in the clean
//! set only where others build on them. A report speaks for itself, so it counts whoever brought
//! it, even another struck author: then one entry with it stays in the clean set as its *anchor*,
//! because all peers must come to hold it. So who is struck depends on the sound entries alone.
//!
//! In the common case an entry is added at the end in O(log n); everything is sorted out again only
//! when a cut or a report changes who counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entry::Stub;
use crate::ids::{DeviceKey, EntryId};
use crate::limits::{
    PENDING_BYTES_MAX, PENDING_ENTRIES_MAX, QUARANTINE_BYTES_MAX, QUARANTINE_ENTRIES_MAX,
};
use crate::order::Position;
use crate::reconcile::{TailIndex, TailItem};

use super::pending::Usage;
use super::{Dag, Struck};

#[derive(Debug, Default)]
pub(super) struct Clean {
    /// Clean entries in position order.
    pub(super) order: BTreeMap<Position, Arc<Stub>>,
    /// The same by time and id, for comparing ranges with a remote.
    pub(super) index: TailIndex,
    /// Those that no clean entry builds on, and such of the last cut's frontier.
    pub(super) heads: BTreeSet<EntryId>,
    /// How many clean entries build on each entry, final ones included.
    pub(super) children: BTreeMap<EntryId, usize>,
    /// Authors whose entries are void.
    struck: BTreeSet<DeviceKey>,
    /// Where sound entries report each accused author.
    reports: BTreeMap<DeviceKey, BTreeSet<Position>>,
    /// Entries of struck authors that stay for the sake of their report.
    anchors: BTreeMap<DeviceKey, EntryId>,
}

/// Room taken by entries that are not clean.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    by_author: BTreeMap<DeviceKey, Usage>,
    unsound: Usage,
}

impl Quarantine {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Room for an entry whose author may not write. Keys cost nothing, so all share a bound.
    pub(super) fn has_room(&self, author: &DeviceKey, bytes: usize) -> bool {
        self.unsound
            .has_room(bytes, QUARANTINE_ENTRIES_MAX, QUARANTINE_BYTES_MAX)
            && self.has_room_for_author(author, bytes)
    }

    /// Room for an entry whose author is a member but struck.
    pub(super) fn has_room_for_author(&self, author: &DeviceKey, bytes: usize) -> bool {
        let usage = self.by_author.get(author).copied().unwrap_or_default();
        usage.has_room(bytes, PENDING_ENTRIES_MAX, PENDING_BYTES_MAX)
    }

    pub(super) fn add(&mut self, author: &DeviceKey, bytes: usize, sound: bool) {
        self.by_author.entry(*author).or_default().add(bytes);
        if !sound {
            self.unsound.add(bytes);
        }
    }

    /// Entries and bytes, over all authors.
    pub(super) fn total(&self) -> (usize, usize) {
        let usages = self.by_author.values();
        usages.fold((0, 0), |(entries, bytes), usage| {
            (entries + usage.entries, bytes + usage.bytes)
        })
    }

    /// The entry is clean now.
    fn release(&mut self, author: &DeviceKey, bytes: usize) {
        if let Some(usage) = self.by_author.get_mut(author) {
            usage.remove(bytes);
            if usage.entries == 0 {
                self.by_author.remove(author);
            }
        }
    }
}

impl Clean {
    pub(super) fn is_struck(&self, author: &DeviceKey) -> bool {
        self.struck.contains(author)
    }

    pub(super) fn first(&self) -> Option<Position> {
        self.order.keys().next().copied()
    }

    /// Forgets a clean entry that a cut covers. Who built on its parents builds on what is final, or is final too.
    pub(super) fn forget(&mut self, position: &Position, parents: &[EntryId]) {
        self.order.remove(position);
        self.index.remove(&item(position));
        for parent in parents {
            if let Some(children) = self.children.get_mut(parent) {
                *children -= 1;
                if *children == 0 {
                    self.children.remove(parent);
                }
            }
        }
    }

    /// Whether no author is struck or reported.
    pub(super) fn accuses_nobody(&self) -> bool {
        self.struck.is_empty() && self.reports.is_empty() && self.anchors.is_empty()
    }

    /// Notes a report by a sound entry. True if somebody else is struck by it, or if it may take
    /// an anchor's place.
    pub(super) fn add_report(&mut self, accused: DeviceKey, position: Position) -> bool {
        self.reports.entry(accused).or_default().insert(position);
        !self.struck.contains(&accused) || self.anchors.contains_key(&accused)
    }
}

impl Dag {
    /// Adds a new sound entry by an author who is not struck, and with it the struck ancestors that
    /// were kept out until now.
    pub(super) fn admit(&mut self, id: EntryId) {
        self.clean.heads.insert(id);
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.clean) else {
                continue;
            };
            node.clean = true;
            let entry = Arc::clone(&node.entry);
            let position = entry.position(0);
            self.quarantine.release(&position.author, entry.bytes);
            for parent in &entry.header.parents {
                *self.clean.children.entry(*parent).or_default() += 1;
                self.clean.heads.remove(parent);
                stack.push(*parent);
            }
            self.clean.order.insert(position, entry);
            self.clean.index.insert(item(&position));
            self.changed(position);
        }
    }

    /// Decides about every entry afresh: who is struck, what is clean, which are the heads.
    pub(super) fn sort_out(&mut self) {
        let before = std::mem::take(&mut self.clean.order);
        let struck_before = std::mem::take(&mut self.clean.struck);
        let marks_before = self.strikes.take_marks();
        let frozen = self.rights.frozen.keys();
        let frozen = frozen.filter(|_| !planted!(ThawEquivocator));
        let nodes = &self.nodes;
        self.clean.strike(frozen, |id| {
            nodes.get(id).is_some_and(|node| node.standing.lapsed)
        });
        self.mark_all();
        self.clean.children.clear();
        self.quarantine.clear();

        let anchors: BTreeSet<EntryId> = self.clean.anchors.values().copied().collect();
        let mut latest_first: Vec<Position> = self.nodes.values().map(|n| n.position()).collect();
        latest_first.sort_unstable_by(|a, b| b.cmp(a));
        for position in latest_first {
            let id = position.entry;
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            // Children are later, so whether a clean one builds on this is known by now.
            let needed = self.clean.children.contains_key(&id) || anchors.contains(&id);
            let is_out = node.standing.lapsed || self.clean.struck.contains(&position.author);
            let counts = needed || !is_out;
            node.clean = node.standing.sound && counts;
            let entry = &node.entry;
            if node.clean {
                for parent in &entry.header.parents {
                    *self.clean.children.entry(*parent).or_default() += 1;
                }
                self.clean.order.insert(position, Arc::clone(entry));
            } else {
                let bytes = entry.bytes;
                self.quarantine
                    .add(&position.author, bytes, node.standing.sound);
            }
        }
        self.find_heads();

        self.clean.index_again(&before);
        self.forget_unclean_held();

        let old = before
            .keys()
            .map(|p| match struck_before.contains(&p.author) {
                true => (*p, Some(Struck::Equivocated)),
                false => (*p, marks_before.get(&p.entry).copied()),
            });
        let new = self.clean.order.keys().map(|p| (*p, self.struck(p)));
        if let Some(from) = first_difference(old, new) {
            self.changed(from);
        }
    }
}

impl Dag {
    /// Works out which entries nobody builds on.
    pub(super) fn find_heads(&mut self) {
        let ids = self.clean.order.keys().map(|position| position.entry);
        let all = ids.chain(self.frontier.iter().copied());
        self.clean.heads = all
            .filter(|id| !self.clean.children.contains_key(id))
            .collect();
    }
}

impl Clean {
    /// Brings the index up to date after the order was made anew. Mostly the two are the same.
    fn index_again(&mut self, before: &BTreeMap<Position, Arc<Stub>>) {
        let gone = before.keys().filter(|p| !self.order.contains_key(p));
        for position in gone {
            self.index.remove(&item(position));
        }
        if self.index.len() != self.order.len() {
            for position in self.order.keys() {
                self.index.insert(item(position));
            }
        }
    }

    /// Forgets the reports, before all entries are judged again.
    pub(super) fn clear_reports(&mut self) {
        self.reports.clear();
    }

    /// Strikes those with a report and those whom the rows freeze.
    /// `is_lapsed` tells of entries that others must build on to be clean.
    fn strike<'a>(
        &mut self,
        frozen: impl Iterator<Item = &'a DeviceKey>,
        is_lapsed: impl Fn(&EntryId) -> bool,
    ) {
        self.struck = self
            .reports
            .keys()
            .copied()
            .chain(frozen.copied())
            .collect();
        self.anchors.clear();
        for (accused, reports) in &self.reports {
            // A report by somebody else is clean anyway.
            if let Some(first) = reports.first()
                && reports
                    .iter()
                    .all(|report| self.struck.contains(&report.author) || is_lapsed(&report.entry))
            {
                self.anchors.insert(*accused, first.entry);
            }
        }
    }
}

fn item(position: &Position) -> TailItem {
    TailItem {
        hlc: position.hlc,
        id: position.entry,
    }
}

/// The least position at which two tails, each with who is struck, are not the same.
fn first_difference(
    old: impl Iterator<Item = (Position, Option<Struck>)>,
    new: impl Iterator<Item = (Position, Option<Struck>)>,
) -> Option<Position> {
    let (mut old, mut new) = (old, new);
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b => {}
            (a, b) => return a.into_iter().chain(b).map(|(position, _)| position).min(),
        }
    }
}
