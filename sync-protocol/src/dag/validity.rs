//! Whether an entry is valid: a function of itself, its ancestors and the cut it names.

use crate::cut::{CutRef, Term};
use crate::entry::Stub;
use crate::ids::EntryId;
use crate::keys::BadSignature;
use crate::time::Hlc;

use super::rights::Right;
use super::{Dag, Finals};

/// Why an entry can never be accepted, whoever judges it and whenever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not signed by its author. This copy, that is: the id does not cover the signature.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It belongs to another database, or is a second beginning.
    #[error("it does not belong to this database")]
    OtherDatabase,
    /// It claims not to be later than what it builds on.
    #[error("its time is not later than that of its parent {parent}")]
    NotLater {
        /// The parent.
        parent: EntryId,
    },
    /// It names an older cut than what it builds on.
    #[error("it is based on cut {base}, its parent {parent} on the later cut {parents_base}")]
    BaseStepsBack {
        /// Height of its own base.
        base: u64,
        /// The parent.
        parent: EntryId,
        /// Height of the parent's base.
        parents_base: u64,
    },
    /// The entry before it in its chain is not among its parents.
    #[error("it does not cite number {previous} of its own chain")]
    PreviousNotCited {
        /// The `seq` that should be there.
        previous: u64,
    },
    /// It builds on an entry that nobody accepts.
    #[error("it builds on the invalid entry {ancestor}")]
    BuildsOnInvalid {
        /// The invalid entry.
        ancestor: EntryId,
    },
}

/// What follows for a valid entry from its ancestors and the rows of the last cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The highest cut that it saw: the one it names, or one that covers an ancestor. Of the latter, those after
    /// the last that changed rights do not count.
    pub(super) saw: u64,
    /// Its author writes by a grant among its ancestors that no cut covers yet.
    pub(super) granted: bool,
    /// Its author might write when it was made, and so might the authors of all its ancestors.
    pub(super) sound: bool,
    /// A cut that it has not seen ended its author's right: it stays for those who built on it.
    pub(super) lapsed: bool,
}

pub(super) enum Judged {
    Ready(Standing),
    Waits {
        missing: Vec<EntryId>,
        cut: Option<CutRef>,
    },
    Invalid(Invalid),
}

/// What an entry must know of a parent.
struct Parent {
    last_time: Hlc,
    base: (Term, u64),
    saw: u64,
    sound: bool,
    is_previous: bool,
}

impl Dag {
    pub(super) fn judge(&self, entry: &Stub, finals: &dyn Finals) -> Judged {
        let header = &entry.header;
        let is_foreign = entry.database() != self.database && !planted!(ForeignSignature);
        if is_foreign || entry.is_genesis() {
            return Judged::Invalid(Invalid::OtherDatabase);
        }
        let mut missing = Vec::new();
        let mut saw = header.base.height;
        let mut sound = true;
        let mut previous_cited = header.seq == 0;
        for id in &header.parents {
            let Some(parent) = self.parent(id, entry, finals) else {
                missing.push(*id);
                continue;
            };
            if header.hlc <= parent.last_time {
                return Judged::Invalid(Invalid::NotLater { parent: *id });
            }
            if header.base.place() < parent.base {
                let base = header.base.height;
                let parents_base = parent.base.1;
                return Judged::Invalid(Invalid::BaseStepsBack {
                    base,
                    parent: *id,
                    parents_base,
                });
            }
            saw = saw.max(self.counting(parent.saw));
            sound &= parent.sound;
            previous_cited |= parent.is_previous;
        }
        if missing.is_empty() && !previous_cited {
            let previous = header.seq - 1;
            return Judged::Invalid(Invalid::PreviousNotCited { previous });
        }
        let cut = self.lacks_cut(header.base).then_some(header.base);
        if !missing.is_empty() || cut.is_some() {
            return Judged::Waits { missing, cut };
        }
        let right = self.authorise(entry, saw);
        Judged::Ready(Standing {
            saw,
            granted: matches!(right, Right::Granted { .. }),
            sound: sound && right != Right::None,
            lapsed: matches!(right, Right::Lapsed | Right::Granted { lapsed: true }),
        })
    }

    fn parent(&self, id: &EntryId, child: &Stub, finals: &dyn Finals) -> Option<Parent> {
        let child = &child.header;
        let before = |author, epoch, seq: u64| {
            author == child.author && epoch == child.epoch && seq.checked_add(1) == Some(child.seq)
        };
        if let Some(node) = self.nodes.get(id) {
            let header = &node.entry.header;
            return Some(Parent {
                last_time: header.last_time(),
                base: header.base.place(),
                saw: node.standing.saw,
                sound: node.standing.sound,
                is_previous: before(header.author, header.epoch, header.seq),
            });
        }
        let covered = finals.final_entry(id)?;
        Some(Parent {
            last_time: covered.last_time,
            base: (covered.base_term, covered.base_height),
            saw: covered.height,
            // What a cut covers is beyond doubt.
            sound: true,
            is_previous: before(covered.author, covered.epoch, covered.seq),
        })
    }

    /// Whether the cut it names is still to come. One at a place that our own history has reached
    /// is not: if it is none of ours, it belongs to a branch that lost, or to the other side of a
    /// fork, and its entries count all the same.
    fn lacks_cut(&self, base: CutRef) -> bool {
        base.place() > self.cut.place()
    }

    /// Judges every entry afresh after the last cut changed. Validity stays; who may write does
    /// not.
    pub(super) fn judge_all_again(&mut self, finals: &dyn Finals) {
        self.grants.clear();
        self.strikes.clear_noted();
        self.equivocations.clear_places();
        self.clean.clear_reports();
        let mut order: Vec<_> = self.nodes.values().map(super::Node::position).collect();
        order.sort_unstable();
        for position in order {
            let id = position.entry;
            let entry = std::sync::Arc::clone(&self.nodes[&id].entry);
            // It was valid, and a cut only makes ancestors final. So anything else means that
            // `finals` could not answer, of which its owner knows.
            let Judged::Ready(standing) = self.judge(&entry, finals) else {
                continue;
            };
            if let Some(node) = self.nodes.get_mut(&id) {
                node.standing = standing;
            }
            if standing.sound {
                self.take_claims(id);
                self.watch_place(id);
            }
        }
    }
}
