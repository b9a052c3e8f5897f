//! Entries that are held back by whoever owns the DAG, because their authors have written more than
//! their share. They are held like those of the future: they have their place, are counted among
//! the heads and are told to whoever asks, and neither run nor are built on.
//!
//! What is held back says nothing about validity, and two peers may hold back different entries:
//! heads, the clean set and the segments of cuts are the same all the while. The owner sees to it
//! that what builds on a held entry is held too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::entry::Stub;
use crate::ids::EntryId;
use crate::order::Position;

use super::Dag;

/// Which entries are held back. Nothing is as mostly so, and then all of it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The entries, by the place of their first invocation.
    positions: BTreeSet<Position>,
    /// How many held entries build on each entry.
    children: BTreeMap<EntryId, usize>,
    /// Entries that held ones build on and that are not held themselves.
    front: BTreeSet<EntryId>,
}

impl Held {
    pub(super) fn contains(&self, position: &Position) -> bool {
        self.positions.contains(position)
    }

    /// Those with a place in `range`, in order.
    pub(super) fn range(&self, range: Range<Position>) -> impl Iterator<Item = &Position> {
        self.positions.range(range)
    }

    /// Entries that are not held, and how many held ones build on each.
    pub(super) fn front(&self) -> impl Iterator<Item = (EntryId, usize)> {
        let count = |id: &EntryId| self.children.get(id).copied().unwrap_or_default();
        self.front.iter().map(move |id| (*id, count(id)))
    }

    fn add(&mut self, entry: &Stub, is_held: impl Fn(&EntryId) -> bool) -> bool {
        if !self.positions.insert(entry.position(0)) {
            return false;
        }
        self.front.remove(&entry.id);
        for parent in &entry.header.parents {
            *self.children.entry(*parent).or_default() += 1;
            if !is_held(parent) {
                self.front.insert(*parent);
            }
        }
        true
    }

    /// Forgets an entry: it may run, or a cut covers it, or it is clean no more.
    pub(super) fn remove(&mut self, entry: &Stub) -> bool {
        if !self.positions.remove(&entry.position(0)) {
            return false;
        }
        for parent in &entry.header.parents {
            if let Some(held) = self.children.get_mut(parent) {
                *held -= 1;
                if *held == 0 {
                    self.children.remove(parent);
                    self.front.remove(parent);
                }
            }
        }
        if self.children.contains_key(&entry.id) {
            self.front.insert(entry.id);
        }
        true
    }
}

impl Dag {
    /// Holds a clean entry back until [`Dag::let_go`] or a cut over it. What builds on it has to be
    /// held too before the tail is asked for. False if it is held already or is not clean.
    pub fn hold(&mut self, id: &EntryId) -> bool {
        let Some(node) = self.nodes.get(id).filter(|node| node.clean) else {
            return false;
        };
        let entry = std::sync::Arc::clone(&node.entry);
        let (nodes, held) = (&self.nodes, &mut self.held);
        let before: BTreeSet<EntryId> = entry
            .header
            .parents
            .iter()
            .copied()
            .filter(|parent| {
                let node = nodes.get(parent);
                node.is_some_and(|node| held.contains(&node.position()))
            })
            .collect();
        held.add(&entry, |parent| before.contains(parent))
    }

    /// Lets a held entry have its place in the tail. What it builds on must not be held. False if it
    /// is not held.
    pub fn let_go(&mut self, id: &EntryId) -> bool {
        let Some(node) = self.nodes.get(id) else {
            return false;
        };
        let (entry, position) = (std::sync::Arc::clone(&node.entry), node.position());
        let was_held = self.held.remove(&entry);
        if was_held {
            self.changed(position);
        }
        was_held
    }

    /// Whether it is held back by its owner's decision; what is ahead of time is another matter.
    #[must_use]
    pub fn is_held(&self, id: &EntryId) -> bool {
        let node = self.nodes.get(id);
        node.is_some_and(|node| self.held.contains(&node.position()))
    }

    /// How many entries are held back.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.held.positions.len()
    }

    /// The held entries that an entry builds on, itself not among them, each after its parents. At
    /// most as many as are held, so ask only where it matters.
    #[must_use]
    pub fn held_below(&self, id: &EntryId) -> Vec<EntryId> {
        let mut below: BTreeSet<Position> = BTreeSet::new();
        let mut stack: Vec<EntryId> = vec![*id];
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.get(&id) else {
                continue;
            };
            for parent in &node.entry.header.parents {
                let Some(node) = self.nodes.get(parent) else {
                    continue;
                };
                let position = node.position();
                // What is not held builds on nothing that is.
                if self.held.contains(&position) && below.insert(position) {
                    stack.push(*parent);
                }
            }
        }
        below.into_iter().map(|position| position.entry).collect()
    }

    /// After it was decided afresh who counts: what counts no more is not held either.
    pub(super) fn forget_unclean_held(&mut self) {
        let is_clean = |position: &&Position| {
            let node = self.nodes.get(&position.entry);
            node.is_some_and(|node| node.clean)
        };
        let gone: Vec<Position> = self
            .held
            .positions
            .iter()
            .filter(|position| !is_clean(position))
            .copied()
            .collect();
        for position in gone {
            if let Some(node) = self.nodes.get(&position.entry) {
                self.held.remove(&node.entry);
            }
        }
    }
}
