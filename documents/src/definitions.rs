//! What changes have made, and whether another change refers to nothing else.
//!
//! The library that merges changes looks objects, elements and predecessors up without a second
//! thought: it breaks off, or holds what no other order of the same changes would give, if one is
//! missing or is something else. So whoever takes a change from somebody asks here first.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::{Change, Hash};
use crate::error::ChangeError;
use crate::limits::COUNTER_GAP_MAX;
use crate::ops::{Action, Element, ObjectId, Op, OpId, Value};

/// Changes with all that they depend on. What is in it was judged.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    changes: BTreeMap<Hash, Arc<Known>>,
    /// Every actor's changes: number 1 is at place 0.
    by_actor: BTreeMap<Box<[u8]>, Vec<Arc<Known>>>,
    ops: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    change: Change,
    /// Of each actor, the number of the last change that it has seen; its own included.
    seen: BTreeMap<Box<[u8]>, u64>,
    /// The highest number of an operation that it has seen or made.
    max_op: u32,
}

impl Definitions {
    /// Whether a change is among them.
    #[must_use]
    pub fn contains(&self, hash: &Hash) -> bool {
        self.changes.contains_key(hash)
    }

    /// A change by its name.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<&Change> {
        self.changes.get(hash).map(|known| &known.change)
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Operations of all changes.
    #[must_use]
    pub const fn ops(&self) -> usize {
        self.ops
    }

    /// Bytes of all changes, uncompressed.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Judges a change and takes it in. One that is there already is left alone.
    ///
    /// # Errors
    /// [`ChangeError`] when it depends on what is not here, is not the next of its actor, or refers to
    /// what it has not seen or to what is something else. Then nothing has changed.
    pub fn add(&mut self, change: Change) -> Result<(), ChangeError> {
        if self.contains(&change.hash()) {
            return Ok(());
        }
        let mut seen: BTreeMap<Box<[u8]>, u64> = BTreeMap::new();
        let mut max_op = 0;
        for dependency in change.dependencies() {
            let known = self
                .changes
                .get(dependency)
                .ok_or(ChangeError::Missing(*dependency))?;
            max_op = max_op.max(known.max_op);
            if seen.is_empty() {
                seen.clone_from(&known.seen);
                continue;
            }
            for (actor, seq) in &known.seen {
                let last = seen.entry(actor.clone()).or_default();
                *last = (*last).max(*seq);
            }
        }
        let last = seen.get(change.actor()).copied().unwrap_or(0);
        if change.seq() != last + 1 {
            return Err(ChangeError::Sequence {
                is: change.seq(),
                last,
            });
        }
        let made = self.by_actor.get(change.actor()).map_or(0, Vec::len);
        if made as u64 > last {
            return Err(ChangeError::Forked(change.seq()));
        }
        check_counter(&change, max_op)?;
        judge(&change, |actor, counter| {
            let known = self.by_actor.get(actor)?;
            let after = known.partition_point(|known| known.change.start_op() <= counter);
            let change = &known.get(after.checked_sub(1)?)?.change;
            let has_seen = change.seq() <= seen.get(actor).copied().unwrap_or(0);
            has_seen.then_some(change)
        })?;
        seen.insert(change.actor().into(), change.seq());
        self.ops += change.ops().len();
        self.bytes += change.bytes().len();
        let known = Arc::new(Known {
            max_op: change.max_op(),
            seen,
            change,
        });
        let actor = known.change.actor().into();
        self.changes.insert(known.change.hash(), Arc::clone(&known));
        self.by_actor.entry(actor).or_default().push(known);
        Ok(())
    }

    /// Takes out a change again that nothing here depends on.
    pub(crate) fn remove(&mut self, hash: &Hash) {
        let Some(known) = self.changes.remove(hash) else {
            return;
        };
        self.ops -= known.change.ops().len();
        self.bytes -= known.change.bytes().len();
        if let Some(of_actor) = self.by_actor.get_mut(known.change.actor()) {
            of_actor.retain(|other| other.change.hash() != *hash);
        }
    }
}

/// Whether a change numbers its operations after those that it has seen, and not far after.
///
/// # Errors
/// [`ChangeError::Counter`].
fn check_counter(change: &Change, seen: u32) -> Result<(), ChangeError> {
    let gap = u64::from(change.start_op()).checked_sub(u64::from(seen) + 1);
    if gap.is_some_and(|gap| gap <= COUNTER_GAP_MAX) {
        return Ok(());
    }
    Err(ChangeError::Counter {
        is: change.start_op().into(),
        seen: seen.into(),
    })
}

/// Whether every operation of a change is at work on something that is there, of the right kind.
/// `find` gives the change of an actor that may hold the operation of a number, if the change that is
/// judged has seen it.
///
/// # Errors
/// [`ChangeError::Reference`].
fn judge<'a>(
    change: &'a Change,
    find: impl Fn(&[u8], u32) -> Option<&'a Change>,
) -> Result<(), ChangeError> {
    for (at, op) in change.ops().iter().enumerate() {
        let judged = Judged {
            change,
            at,
            find: &find,
        };
        judged
            .check(op)
            .map_err(|what| ChangeError::Reference { at, what })?;
    }
    Ok(())
}

/// An operation somewhere.
#[derive(Clone, Copy)]
struct Found<'a> {
    change: &'a Change,
    at: usize,
}

impl<'a> Found<'a> {
    fn op(&self) -> &'a Op {
        &self.change.ops()[self.at]
    }

    /// Actor and number.
    fn id(&self) -> (&'a [u8], u32) {
        (self.change.actor(), self.change.start_op() + self.at as u32)
    }
}

/// The actor and number that an id of a change stands for.
fn named(change: &Change, id: OpId) -> (&[u8], u32) {
    (&change.actors()[id.actor as usize], id.counter)
}

struct Judged<'a, 'f, F> {
    change: &'a Change,
    at: usize,
    find: &'f F,
}

impl<'a, F: Fn(&[u8], u32) -> Option<&'a Change>> Judged<'a, '_, F> {
    fn find(&self, id: OpId) -> Option<Found<'a>> {
        let (actor, counter) = named(self.change, id);
        if actor == self.change.actor() && counter >= self.change.start_op() {
            let at = (counter - self.change.start_op()) as usize;
            return (at < self.at).then_some(Found {
                change: self.change,
                at,
            });
        }
        let change = (self.find)(actor, counter)?;
        let at = counter.checked_sub(change.start_op())? as usize;
        (at < change.ops().len()).then_some(Found { change, at })
    }

    /// Whether an operation that was found is at work on the same object as `op`.
    fn same_object(&self, op: &Op, found: Found<'a>) -> bool {
        match (op.object, found.op().object) {
            (ObjectId::Root, ObjectId::Root) => true,
            (ObjectId::Made(own), ObjectId::Made(other)) => {
                named(self.change, own) == named(found.change, other)
            }
            _ => false,
        }
    }

    fn check(&self, op: &'a Op) -> Result<(), &'static str> {
        let holder = match op.object {
            ObjectId::Root => Action::MakeMap,
            ObjectId::Made(id) => {
                let found = self.find(id).ok_or("an object that it has not seen")?;
                found.op().action
            }
        };
        match (holder, &op.element) {
            (Action::MakeMap, Element::Key(_)) if op.insert => {
                return Err("a key of a map as if it were a place in a list");
            }
            (Action::MakeMap, Element::Key(_)) => {}
            (Action::MakeMap, _) => return Err("a place of a map as if it were a list"),
            (Action::MakeList | Action::MakeText, Element::Key(_)) => {
                return Err("a key of a list as if it were a map");
            }
            (Action::MakeList | Action::MakeText, Element::Head) if !op.insert => {
                return Err("the place before a list as if it were an element");
            }
            (Action::MakeList | Action::MakeText, Element::Head) => {}
            (Action::MakeList | Action::MakeText, Element::At(id)) => {
                let found = self.find(*id).ok_or("an element that it has not seen")?;
                if !found.op().insert || !self.same_object(op, found) {
                    return Err("an element that is none of its list");
                }
            }
            _ => return Err("an object that is none"),
        }
        let predecessors = self.change.predecessors(op);
        match op.action {
            Action::Mark if !op.insert || op.element_is_key() => {
                return Err("a mark that is not in a list or text");
            }
            Action::Delete | Action::Increment if op.insert => {
                return Err("a new element that it takes away or adds to");
            }
            Action::Delete | Action::Increment if predecessors.is_empty() => {
                return Err("nothing that it could take away or add to");
            }
            _ if op.insert && !predecessors.is_empty() => {
                return Err("predecessors of what is new");
            }
            _ => {}
        }
        let ids = || predecessors.iter().map(|id| named(self.change, *id));
        if !ids()
            .map(|(actor, counter)| (counter, actor))
            .is_sorted_by(|a, b| a < b)
        {
            return Err("predecessors that are not in order");
        }
        for id in predecessors {
            let found = self.find(*id).ok_or("a predecessor that it has not seen")?;
            self.check_predecessor(op, found)?;
        }
        Ok(())
    }

    fn check_predecessor(&self, op: &Op, found: Found<'a>) -> Result<(), &'static str> {
        let before = found.op();
        let same_element = match (&op.element, &before.element) {
            (Element::Key(own), Element::Key(other)) => own == other,
            (Element::At(own), _) if before.insert => named(self.change, *own) == found.id(),
            (Element::At(own), Element::At(other)) => {
                named(self.change, *own) == named(found.change, *other)
            }
            _ => false,
        };
        if !same_element || !self.same_object(op, found) {
            return Err("a predecessor that is somewhere else");
        }
        if !before.action.makes() && before.action != Action::Put && before.action != Action::Mark {
            return Err("a predecessor that put nothing");
        }
        if op.action == Action::Increment
            && (before.action != Action::Put || before.value != Value::Counter)
        {
            return Err("a counter that is none");
        }
        Ok(())
    }
}

impl Op {
    const fn element_is_key(&self) -> bool {
        matches!(self.element, Element::Key(_))
    }
}

/// Operations of one actor, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need<'a> {
    /// Whose they are.
    pub actor: &'a [u8],
    /// The first.
    pub first: u32,
    /// The last; the same for one.
    pub last: u32,
}

impl Change {
    /// The operations of other changes that its own refer to, each once, those of its own actor first: for
    /// whoever keeps changes apart and gives [`Change::check`] those that are needed.
    #[must_use]
    pub fn needs(&self) -> Vec<Need<'_>> {
        let mut ids: Vec<OpId> = Vec::new();
        for op in self.ops() {
            if let ObjectId::Made(id) = op.object {
                ids.push(id);
            }
            if let Element::At(id) = op.element {
                ids.push(id);
            }
            ids.extend_from_slice(self.predecessors(op));
        }
        // The actors beside its own are in order, so numbers are as good as names.
        ids.retain(|id| id.actor != 0 || id.counter < self.start_op());
        ids.sort_unstable_by_key(|id| (id.actor, id.counter));
        ids.dedup();
        let mut needs: Vec<Need<'_>> = Vec::new();
        for id in ids {
            let (actor, counter) = named(self, id);
            match needs.last_mut() {
                Some(last) if last.actor == actor && last.last + 1 == counter => {
                    last.last = counter
                }
                _ => needs.push(Need {
                    actor,
                    first: counter,
                    last: counter,
                }),
            }
        }
        needs
    }

    /// Judges a change beside the ones that hold what it [needs](Change::needs). Whoever asks sees to it
    /// that it has seen those, that it is the next of its actor, and that `seen` is the highest number of
    /// an operation of all changes that it depends on, near and far.
    ///
    /// # Errors
    /// [`ChangeError`] when it refers to what none of them holds, or to what is something else.
    pub fn check(&self, others: &[impl Borrow<Self>], seen: u32) -> Result<(), ChangeError> {
        check_counter(self, seen)?;
        let mut by_start: Vec<&Self> = others.iter().map(Borrow::borrow).collect();
        by_start.sort_unstable_by_key(|change| (change.actor(), change.start_op()));
        judge(self, |actor, counter| {
            let after = by_start
                .partition_point(|change| (change.actor(), change.start_op()) <= (actor, counter));
            let change = *by_start.get(after.checked_sub(1)?)?;
            (change.actor() == actor).then_some(change)
        })
    }
}
