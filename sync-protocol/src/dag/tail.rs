//! What is read off the clean set: heads, parents of the next entry, the tail in order, segments of
//! cuts, and what a remote lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entry::Stub;
use crate::ids::{DeviceKey, EntryId, HeadsHash, hash};
use crate::limits::{AHEAD_US_MAX, PARENTS_MAX};
use crate::order::Position;
use crate::reconcile::TailIndex;
use crate::time::Hlc;

use super::rights::Claim;
use super::{ChainTip, Dag, Finals, Ordered, Struck};

const HEADS_CONTEXT: &str = "tombolo heads 1";

/// Entries later than this are held back: their authors' clocks are ahead.
fn due_until(mesh_time: Hlc) -> Hlc {
    Hlc(mesh_time.0.saturating_add(AHEAD_US_MAX))
}

/// Before every entry of a later time, after every entry of this one.
fn after(time: Hlc) -> Position {
    Position {
        hlc: Hlc(time.0.saturating_add(1)),
        ..Position::MIN
    }
}

impl Dag {
    /// The clean entries that no clean entry builds on, held back or not, and of the last cut's
    /// frontier those that no clean entry builds on. Sorted.
    #[must_use]
    pub fn heads(&self) -> Vec<EntryId> {
        self.clean.heads.iter().copied().collect()
    }

    /// The hash of the heads. Two peers with the same last cut and the same hash hold the same
    /// clean entries: each head's id covers all its ancestors.
    #[must_use]
    pub fn heads_hash(&self) -> HeadsHash {
        let ids: Vec<u8> = self.clean.heads.iter().flat_map(|id| id.0).collect();
        HeadsHash(hash(HEADS_CONTEXT, &ids))
    }

    /// What our own next entry should build on, sorted: our previous entry, and as many heads as
    /// fit, oldest first. What is held back is left out, or it would hold ours back too.
    #[must_use]
    pub fn parents_for_next(&self, own_previous: Option<EntryId>, mesh_time: Hlc) -> Vec<EntryId> {
        let held_from = after(due_until(mesh_time));
        let mut held_children: BTreeMap<EntryId, usize> = BTreeMap::new();
        for (position, entry) in self.clean.order.range(held_from..) {
            if self.held.contains(position) {
                continue; // counted below
            }
            for parent in &entry.header.parents {
                *held_children.entry(*parent).or_default() += 1;
            }
        }
        for (id, held) in self.held.front() {
            *held_children.entry(id).or_default() += held;
        }
        // Where only held-back entries build on one, it is a head for now.
        let for_now = held_children
            .iter()
            .filter(|(id, held)| self.clean.children.get(*id) == Some(*held))
            .map(|(id, _)| *id);
        let mut heads: Vec<(Position, EntryId)> = self
            .clean
            .heads
            .iter()
            .copied()
            .chain(for_now)
            .filter_map(|id| match self.nodes.get(&id) {
                Some(node) => Some((node.position(), id)),
                None => self.frontier.contains(&id).then_some((Position::MIN, id)),
            })
            .filter(|(position, id)| {
                let held = *position >= held_from || self.held.contains(position);
                !held && Some(*id) != own_previous
            })
            .collect();
        heads.sort_unstable();
        let room = PARENTS_MAX - usize::from(own_previous.is_some());
        let heads = heads.into_iter().map(|(_, id)| id).take(room);
        let mut parents: Vec<EntryId> = own_previous.into_iter().chain(heads).collect();
        parents.sort_unstable();
        parents
    }

    /// The latest time among `parents`: the author stamps its entry later.
    #[must_use]
    pub fn latest_time(&self, parents: &[EntryId], finals: &dyn Finals) -> Hlc {
        let time = |id: &EntryId| match self.nodes.get(id) {
            Some(node) => Some(node.entry.last_time()),
            None => finals.final_entry(id).map(|covered| covered.last_time),
        };
        parents.iter().filter_map(time).max().unwrap_or_default()
    }

    /// The tail in position order, without what is held back, at `mesh_time` or by [`Dag::hold`].
    pub fn tail(&self, mesh_time: Hlc) -> impl Iterator<Item = Ordered> + '_ {
        self.tail_from(&Position::MIN, mesh_time)
    }

    /// The same from the entry at `from` on.
    pub fn tail_from(&self, from: &Position, mesh_time: Hlc) -> impl Iterator<Item = Ordered> + '_ {
        let from = from.start_of_entry();
        let end = after(due_until(mesh_time)).max(from);
        // Both are in order, so one walk beside the other tells what is held.
        let mut held = self.held.range(from..end).peekable();
        let mut runs = move |position: &Position| {
            while held.next_if(|held| *held < position).is_some() {}
            held.next_if(|held| *held == position).is_none()
        };
        self.clean
            .order
            .range(from..end)
            .filter(move |(position, _)| runs(position))
            .map(|(position, entry)| Ordered {
                entry: Arc::clone(entry),
                struck: self.struck(position),
            })
    }

    /// The least position from which the tail, held-back entries included, has changed since this
    /// was last asked: what was executed from there on no longer holds. Entries that a cut took
    /// away from the front are no change.
    pub fn take_changed_from(&mut self) -> Option<Position> {
        self.changed_from.take()
    }

    /// The mesh time at which the next held-back entry becomes due.
    #[must_use]
    pub fn next_due(&self, mesh_time: Hlc) -> Option<Hlc> {
        let held_from = after(due_until(mesh_time));
        let (position, _) = self.clean.order.range(held_from..).next()?;
        Some(Hlc(position.hlc.0.saturating_sub(AHEAD_US_MAX)))
    }

    /// The entries that a cut with this frontier covers and the last one does not, in position
    /// order. Struck are those of authors whom a report in the segment or the rows accuse, those whom a
    /// revocation in the segment has not seen, and those who may not write at all.
    ///
    /// # Errors
    /// The ids of entries that are not here, to be asked for.
    pub fn segment(
        &self,
        frontier: &[EntryId],
        finals: &dyn Finals,
    ) -> Result<Vec<Ordered>, Vec<EntryId>> {
        let mut seen: BTreeSet<EntryId> = frontier.iter().copied().collect();
        let mut stack: Vec<EntryId> = seen.iter().copied().collect();
        let mut segment = BTreeMap::new();
        let mut missing = Vec::new();
        while let Some(id) = stack.pop() {
            if let Some(node) = self.nodes.get(&id) {
                segment.insert(node.position(), node);
                let parents = &node.entry.header.parents;
                stack.extend(
                    parents
                        .iter()
                        .copied()
                        .filter(|parent| seen.insert(*parent)),
                );
            } else if finals.final_entry(&id).is_none() {
                missing.push(id);
            }
        }
        if !missing.is_empty() {
            return Err(self.pending.nearest_missing(&missing));
        }
        let reported: BTreeSet<DeviceKey> = segment
            .values()
            .filter(|node| node.standing.sound)
            .flat_map(|node| node.claims())
            .filter_map(|claim| match claim {
                Claim::Report { author } => Some(*author),
                _ => None,
            })
            .collect();
        let equivocated = |author: &DeviceKey| {
            let is_frozen = self.rights.frozen.contains_key(author);
            reported.contains(author) || is_frozen && !planted!(ThawEquivocator)
        };
        let mut marks = self.marks_of_segment(&segment, equivocated);
        let unsound = segment.values().filter(|node| !node.standing.sound);
        marks.extend(unsound.map(|node| (node.entry.id, Struck::Removed)));
        let ordered = segment.values().map(|node| Ordered {
            entry: Arc::clone(&node.entry),
            struck: match equivocated(&node.entry.header.author) {
                true => Some(Struck::Equivocated),
                false => marks.get(&node.entry.id).copied(),
            },
        });
        Ok(ordered.collect())
    }

    /// How far each chain of the tail is held here. Quarantined entries count: a remote in whose
    /// tail they are need not send them again.
    #[must_use]
    pub fn chains(&self) -> Vec<ChainTip> {
        let mut tips: BTreeMap<(DeviceKey, u64), u64> = BTreeMap::new();
        for node in self.nodes.values() {
            let header = &node.entry.header;
            let next_seq = tips.entry(header.chain()).or_default();
            *next_seq = header.seq.saturating_add(1).max(*next_seq);
        }
        let tip = |((author, epoch), next_seq)| ChainTip {
            author,
            epoch,
            next_seq,
        };
        tips.into_iter().map(tip).collect()
    }

    /// Clean entries beyond what `tips` say is held elsewhere, in position order, and whether there
    /// are more. At least one, then as many as `bytes_max` encoded bytes hold.
    #[must_use]
    pub fn entries_beyond(&self, tips: &[ChainTip], bytes_max: usize) -> (Vec<Arc<Stub>>, bool) {
        let held: BTreeMap<(DeviceKey, u64), u64> = tips
            .iter()
            .map(|tip| ((tip.author, tip.epoch), tip.next_seq))
            .collect();
        let beyond = |entry: &&Arc<Stub>| {
            let header = &entry.header;
            held.get(&header.chain())
                .is_none_or(|next_seq| header.seq >= *next_seq)
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in self.clean.order.values().filter(beyond) {
            bytes += entry.bytes;
            if bytes > bytes_max && !entries.is_empty() {
                return (entries, true);
            }
            entries.push(Arc::clone(entry));
        }
        (entries, false)
    }

    /// The clean entries by time and id, to be compared with a remote's.
    #[must_use]
    pub fn tail_index(&self) -> &TailIndex {
        &self.clean.index
    }

    /// The ids of all clean entries, in position order.
    #[must_use]
    pub fn ids(&self) -> Vec<EntryId> {
        self.clean
            .order
            .keys()
            .map(|position| position.entry)
            .collect()
    }
}
