//! Everything that no cut covers yet: which entries are valid, which of them count, in what order.
//!
//! An offered entry is judged by itself, its ancestors and the cut it names, never by the clock or
//! by what came first. It ends in one of these places:
//!
//! - *pending*: a parent or its cut is missing (`pending`);
//! - *invalid*: nobody will ever accept it, so nothing of it is kept (`validity`);
//! - *quarantined*: valid, but its author may not write (`rights`), or has been struck for an
//!   equivocation (`equivocation`), or lost its rights with a cut, and nobody else builds on it: kept
//!   within a bound, not run;
//! - *clean*: it has a place in the tail (`clean`, `tail`), which whoever owns the DAG may hold back
//!   for a while (`held`). What a removed member wrote while it had not heard of that is there and does
//!   not run (`strikes`).
//!
//! Two peers with the same last cut and the same entries agree on all of it, however these came.

mod clean;
mod equivocation;
mod held;
mod pending;
mod quiet;
mod rights;
mod strikes;
mod tail;
#[cfg(test)]
mod tests;
mod validity;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cut::{Cut, CutRef, Term};
use crate::entry::{Entry, Stub, VerifiedEntry};
use crate::ids::{DatabaseId, DeviceKey, EntryId};
use crate::limits::PENDING_ENTRIES_MAX;
use crate::membership::{Rights, Role};
use crate::order::Position;
use crate::time::Hlc;

use clean::{Clean, Quarantine};
use equivocation::Equivocations;
use held::Held;
use pending::Pending;
use rights::{Claim, Grants};
use strikes::Strikes;
pub use validity::Invalid;
use validity::{Judged, Standing};

/// What is remembered of an entry that a cut covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalEntry {
    /// Its author.
    pub author: DeviceKey,
    /// Its chain.
    pub epoch: u64,
    /// Its place in the chain.
    pub seq: u64,
    /// Time of its last invocation.
    pub last_time: Hlc,
    /// Term of the cut that it names as its base.
    pub base_term: Term,
    /// Height of that cut.
    pub base_height: u64,
    /// Height of the cut that covers it.
    pub height: u64,
}

/// What cuts already cover. Up to the height of the [`Dag`]'s last cut and not beyond.
pub trait Finals {
    /// The entry, if a cut covers it.
    fn final_entry(&self, id: &EntryId) -> Option<FinalEntry>;
}

/// How far a chain is held: every entry of it below `next_seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainTip {
    /// Author of the chain.
    pub author: DeviceKey,
    /// Which of its chains.
    pub epoch: u64,
    /// The first place that is not held.
    pub next_seq: u64,
}

/// An entry at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The entry; its body is in the log.
    pub entry: Arc<Stub>,
    /// What somebody said of its author that it has not seen, if anybody did.
    pub struck: Option<Struck>,
}

/// Why an entry does not run, or only with the rights of another role, wherever it stands in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Struck {
    /// Its author may do only what this role may.
    Demoted(Role),
    /// Its author was removed: it does not run.
    Removed,
    /// Its author gave two entries the same place: it does not run.
    Equivocated,
}

impl Struck {
    /// Whether the entry does not run at all.
    #[must_use]
    pub fn is_void(self) -> bool {
        !matches!(self, Self::Demoted(_))
    }

    /// The stronger of two.
    fn and(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| self.max(other))
    }
}

/// What became of an offered entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in, and after it those that had waited for it, each after its parents. Some may be
    /// quarantined, see [`Dag::is_clean`].
    Accepted(Vec<Arc<Entry>>),
    /// It waits.
    Pending {
        /// Ancestors that are not here, not even waiting: ask for them.
        missing: Vec<EntryId>,
        /// The cut it names, if that is not here.
        cut: Option<CutRef>,
    },
    /// It is here, or final, already.
    Known,
    /// It can never be accepted by anybody: the fault of its author and of whoever sent it.
    Invalid(Invalid),
    /// A bound is reached and it was not kept. It may be offered again.
    Full,
}

/// An entry that waited and turned out to be one that nobody accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Who brought it.
    pub remote: Option<DeviceKey>,
    /// The entry.
    pub entry: EntryId,
    /// What is wrong with it.
    pub why: Invalid,
}

/// The entries that no cut covers, in memory without their bodies.
#[derive(Debug)]
pub struct Dag {
    database: DatabaseId,
    cut: CutRef,
    frontier: BTreeSet<EntryId>,
    rights: Rights,
    /// [`Rights::last_change`].
    rights_since: u64,
    nodes: BTreeMap<EntryId, Node>,
    /// All entries held are plain (`quiet`).
    all_plain: bool,
    bytes: usize,
    pending: Pending,
    grants: Grants,
    strikes: Strikes,
    equivocations: Equivocations,
    clean: Clean,
    held: Held,
    quarantine: Quarantine,
    changed_from: Option<Position>,
    faults: Vec<Fault>,
    /// Cuts after which not all was judged anew, and those of them after which no entry was looked at.
    #[cfg(test)]
    quiet_cuts: (usize, usize),
}

/// A valid entry and what follows for it from its ancestors and the rows of the last cut.
#[derive(Debug)]
struct Node {
    entry: Arc<Stub>,
    standing: Standing,
    claims: Claims,
    /// It has a place in the tail.
    clean: bool,
}

/// What an entry claims about members.
#[derive(Debug)]
enum Claims {
    /// Not checked yet: only those of sound entries are worth the work. What is not sound is in
    /// quarantine, where there is little room, so the body may stay until then.
    Unread(Arc<Entry>),
    Checked(Box<[Claim]>),
}

impl Node {
    fn claims(&self) -> &[Claim] {
        match &self.claims {
            Claims::Unread(_) => &[],
            Claims::Checked(claims) => claims,
        }
    }

    fn position(&self) -> Position {
        self.entry.position(0)
    }
}

impl Dag {
    /// Begins after `cut`, which covers `frontier` and whose rows state `rights`.
    #[must_use]
    pub fn new(database: DatabaseId, cut: CutRef, frontier: Vec<EntryId>, rights: Rights) -> Self {
        let mut dag = Self {
            database,
            cut,
            frontier: frontier.into_iter().collect(),
            rights_since: rights.last_change(),
            rights,
            nodes: BTreeMap::new(),
            all_plain: true,
            bytes: 0,
            pending: Pending::default(),
            grants: Grants::default(),
            strikes: Strikes::default(),
            equivocations: Equivocations::default(),
            clean: Clean::default(),
            held: Held::default(),
            quarantine: Quarantine::default(),
            changed_from: None,
            faults: Vec::new(),
            #[cfg(test)]
            quiet_cuts: (0, 0),
        };
        dag.sort_out();
        dag
    }

    /// Takes in an entry. `from` is the connection that brought it and is charged for it while it
    /// waits; `None` says that it is our own or from our own log, where only verified entries are,
    /// and saves the check of its signature.
    pub fn offer(
        &mut self,
        entry: Arc<Entry>,
        from: Option<DeviceKey>,
        finals: &dyn Finals,
    ) -> Offered {
        self.offer_signed(entry, from, from.is_none(), finals)
    }

    /// The same, of an entry of a remote whose signature was checked before.
    pub fn offer_verified(
        &mut self,
        entry: &VerifiedEntry,
        from: DeviceKey,
        finals: &dyn Finals,
    ) -> Offered {
        self.offer_signed(Arc::clone(entry.entry()), Some(from), true, finals)
    }

    fn offer_signed(
        &mut self,
        entry: Arc<Entry>,
        from: Option<DeviceKey>,
        is_verified: bool,
        finals: &dyn Finals,
    ) -> Offered {
        let id = entry.id;
        let is_final = finals.final_entry(&id).is_some() && !planted!(DedupForgets);
        if self.nodes.contains_key(&id) || is_final {
            return Offered::Known;
        }
        if let Some(cut) = self.pending.cut_of(&id) {
            return Offered::Pending {
                missing: self.pending.missing_of(&id),
                cut,
            };
        }
        #[cfg(feature = "plants")]
        if planted!(DropPending) && self.pending.has_waited(&id) {
            return Offered::Known;
        }
        // Before anything is kept under the id, which does not cover the signature: otherwise a
        // spoilt copy could keep the good one out.
        if !is_verified && let Err(bad) = entry.verify() {
            return Offered::Invalid(Invalid::Signature(bad));
        }
        match self.judge(&entry, finals) {
            Judged::Invalid(why) => {
                self.drop_waiting_for(id);
                Offered::Invalid(why)
            }
            Judged::Waits { missing, cut } => {
                if !self
                    .pending
                    .insert(entry, from, missing.into_iter().collect(), cut)
                {
                    return Offered::Full;
                }
                Offered::Pending {
                    missing: self.pending.missing_of(&id),
                    cut,
                }
            }
            Judged::Ready(standing) => {
                if !self.insert(&entry, from, standing) {
                    return Offered::Full;
                }
                let mut accepted = vec![entry];
                let waiting = self.pending.arrived(&id);
                self.take_in(waiting.into(), &mut accepted, finals);
                Offered::Accepted(accepted)
            }
        }
    }

    /// Judges entries that had waited, and those that wait for them in turn.
    fn take_in(
        &mut self,
        mut queue: VecDeque<(Arc<Entry>, Option<DeviceKey>)>,
        accepted: &mut Vec<Arc<Entry>>,
        finals: &dyn Finals,
    ) {
        while let Some((entry, from)) = queue.pop_front() {
            let id = entry.id;
            match self.judge(&entry, finals) {
                Judged::Invalid(why) => {
                    self.note_fault(Fault {
                        remote: from,
                        entry: id,
                        why,
                    });
                    self.drop_waiting_for(id);
                }
                Judged::Waits { missing, cut } => {
                    // Where its room is taken now it is dropped, as if it came for the first time.
                    self.pending
                        .insert(entry, from, missing.into_iter().collect(), cut);
                }
                Judged::Ready(standing) => {
                    if self.insert(&entry, from, standing) {
                        queue.extend(self.pending.arrived(&id));
                        accepted.push(entry);
                    }
                }
            }
        }
    }

    /// What waits for an invalid entry would wait for ever.
    fn drop_waiting_for(&mut self, invalid: EntryId) {
        for (entry, remote) in self.pending.remove_waiting_for(invalid) {
            let why = Invalid::BuildsOnInvalid { ancestor: invalid };
            self.note_fault(Fault { remote, entry, why });
        }
    }

    /// Keeps as many faults as one connection can have entries waiting: who is told of one knows
    /// enough.
    fn note_fault(&mut self, fault: Fault) {
        if self.faults.len() < PENDING_ENTRIES_MAX {
            self.faults.push(fault);
        }
    }

    /// Gives a valid entry its place. False if that would be the quarantine and it is full.
    fn insert(&mut self, entry: &Arc<Entry>, from: Option<DeviceKey>, standing: Standing) -> bool {
        let author = entry.header.author;
        let bytes = entry.encoded().len();
        let room = if !standing.sound {
            self.quarantine.has_room(&author, bytes)
        } else if (standing.lapsed || self.clean.is_struck(&author)) && from == Some(author) {
            // From others it may be what they build on, and then it must have a place.
            self.quarantine.has_room_for_author(&author, bytes)
        } else {
            true
        };
        if !room {
            return false;
        }
        self.bytes += bytes;
        self.quarantine.add(&author, bytes, standing.sound);
        let node = Node {
            entry: Arc::clone(entry.stub()),
            standing,
            claims: Claims::Unread(Arc::clone(entry)),
            clean: false,
        };
        self.nodes.insert(entry.id, node);
        if standing.sound {
            let sort_out = self.take_claims(entry.id);
            self.watch_place(entry.id);
            if sort_out {
                self.sort_out();
            } else {
                self.mark_new(entry.stub(), standing);
                if !standing.lapsed && !self.clean.is_struck(&author) {
                    self.admit(entry.id);
                }
            }
        }
        self.all_plain &= self.is_plain(&entry.id);
        true
    }

    /// Moves on to the next cut: drops what it covers, judges the rest by `rights`, the rows of the
    /// cut, and lets in what had waited for it. `finals` must already answer for the cut.
    ///
    /// Gives back the entries that came in, each after its parents.
    pub fn advance(&mut self, cut: &Cut, rights: &Rights, finals: &dyn Finals) -> Vec<Arc<Entry>> {
        let same_rights = self.rights == *rights;
        self.cut = cut.reference();
        self.frontier = cut.frontier.iter().copied().collect();
        if !same_rights {
            self.rights = rights.clone();
            self.rights_since = rights.last_change();
        }
        #[cfg(test)]
        let was_plain = self.all_plain;
        let covered = self.cover();
        if !same_rights || !self.advance_quietly(&covered) {
            self.judge_all_again(finals);
            self.sort_out();
            self.look_for_plain();
        } else {
            #[cfg(test)]
            self.check_quiet(was_plain, finals);
        }
        self.equivocations.after_cut(&self.rights, &self.clean);
        let mut accepted = Vec::new();
        let mut queue: VecDeque<_> = self.pending.waiting_for_cut(self.cut).into();
        let arrived = |id: &EntryId| finals.final_entry(id).is_some();
        queue.extend(self.pending.all_arrived(arrived));
        self.take_in(queue, &mut accepted, finals);
        accepted
    }

    /// Removes what the frontier covers, and tells what that was.
    fn cover(&mut self) -> BTreeSet<EntryId> {
        let mut covered = BTreeSet::new();
        let mut covered_until = None;
        let mut stack: Vec<EntryId> = self.frontier.iter().copied().collect();
        while let Some(id) = stack.pop() {
            let Some(node) = self.nodes.remove(&id) else {
                continue;
            };
            let position = node.position();
            covered_until = covered_until.max(Some(position));
            self.bytes -= node.entry.bytes;
            covered.insert(id);
            if node.clean {
                self.clean.forget(&position, &node.entry.header.parents);
            }
            self.held.remove(&node.entry);
            self.equivocations.cover(&node.entry);
            stack.extend(&node.entry.header.parents);
        }
        // What stays though it lies before something covered now comes after it.
        let first = self.clean.first();
        if let Some(first) = first.filter(|first| covered_until.is_some_and(|end| *first < end)) {
            self.changed(first);
        }
        covered
    }

    fn changed(&mut self, from: Position) {
        let earlier = self.changed_from.is_none_or(|known| from < known);
        if earlier {
            self.changed_from = Some(from);
        }
    }

    /// Drops what waits on behalf of a connection that is gone.
    pub fn forget_remote(&mut self, remote: &DeviceKey) {
        self.pending.forget(remote);
    }

    /// Entries that had waited and turned out to be invalid since this was last asked, with who
    /// brought them.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The last cut.
    #[must_use]
    pub fn cut(&self) -> CutRef {
        self.cut
    }

    /// What its rows state.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// An entry that no cut covers and that does not wait; it may be quarantined.
    #[must_use]
    pub fn get(&self, id: &EntryId) -> Option<&Arc<Stub>> {
        self.nodes.get(id).map(|node| &node.entry)
    }

    /// Whether [`Dag::get`] would give it.
    #[must_use]
    pub fn contains(&self, id: &EntryId) -> bool {
        self.nodes.contains_key(id)
    }

    /// Whether it has a place in the tail, held back or not. Only clean entries are forwarded.
    #[must_use]
    pub fn is_clean(&self, id: &EntryId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.clean)
    }

    /// Whether it waits for a parent or a cut.
    #[must_use]
    pub fn is_pending(&self, id: &EntryId) -> bool {
        self.pending.cut_of(id).is_some()
    }

    /// An entry whose author signed what can be no entry: drops what waits for it.
    pub fn refuse(&mut self, id: EntryId) {
        self.drop_waiting_for(id);
    }

    /// Entries held, quarantined ones included, waiting ones not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Encoded bytes of the entries held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many valid entries are held that do not count, and their bytes.
    #[must_use]
    pub fn quarantined(&self) -> (usize, usize) {
        self.quarantine.total()
    }

    /// Entries that wait for something missing.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}
