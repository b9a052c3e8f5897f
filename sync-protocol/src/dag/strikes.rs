//! What a revocation does to entries whose author had not heard of it.
//!
//! A revocation acts in the rows from its position on. But positions follow from times, which their
//! authors choose: whoever is removed could date entries back before its removal. So of an author
//! whom somebody of a higher rank removes or demotes, the entries that are concurrent with the
//! revocation are *struck*, wherever they stand; what the revocation had seen stands, and so does
//! what is final. Ranks are those of the rows of the last cut, so who strikes whom hangs on the entries
//! alone, not on what any of them did (`docs/decisions/0024-revocations-strike.md`).

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::Stub;
use crate::ids::{DeviceKey, EntryId};
use crate::limits::REVOCATIONS_MAX;
use crate::membership::Role;
use crate::order::Position;

use super::rights::Claim;
use super::validity::Standing;
use super::{Dag, Node, Struck};

/// Revocations of the tail and what they do.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    /// Where authors revoke something, by author.
    noted: BTreeMap<DeviceKey, BTreeSet<Position>>,
    /// Those that strike.
    active: Vec<Active>,
    /// Entries that do not run as they are: struck ones, and those whose authors' rights lapsed.
    marks: BTreeMap<EntryId, Struck>,
}

/// A revocation that strikes what it has not seen.
#[derive(Debug)]
struct Active {
    at: Position,
    member: DeviceKey,
    effect: Struck,
    /// The entries that build on it.
    later: BTreeSet<EntryId>,
}

/// What a revocation, or a change of owners, says.
#[derive(Clone, Copy)]
struct Revocation {
    at: Position,
    /// `None`: its author hands over the ownership.
    member: Option<DeviceKey>,
    role: Option<Role>,
}

impl Strikes {
    /// Forgets all, before all entries are judged again. What the entries came to is kept until then.
    pub(super) fn clear_noted(&mut self) {
        self.noted.clear();
    }

    /// Whether nobody revokes anything, and nothing was struck.
    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty() && self.active.is_empty() && self.marks.is_empty()
    }

    /// Notes a revocation of a sound entry. True if it may strike.
    pub(super) fn note(&mut self, at: Position) -> bool {
        let noted = self.noted.entry(at.author).or_default();
        noted.insert(at);
        noted.iter().take(REVOCATIONS_MAX).any(|first| *first == at)
    }

    /// What became of an entry.
    pub(super) fn mark_of(&self, id: &EntryId) -> Option<Struck> {
        self.marks.get(id).copied()
    }

    pub(super) fn take_marks(&mut self) -> BTreeMap<EntryId, Struck> {
        std::mem::take(&mut self.marks)
    }
}

impl Dag {
    /// What somebody said of an entry's author that it has not seen.
    pub(super) fn struck(&self, position: &Position) -> Option<Struck> {
        match self.clean.is_struck(&position.author) {
            true => Some(Struck::Equivocated),
            false => self.strikes.mark_of(&position.entry),
        }
    }

    /// What an entry comes to whose author's right a cut ended.
    fn lapsed(&self, author: &DeviceKey) -> Struck {
        match self.rights.role_at(author, self.cut.height) {
            Some(Role::Reader) => Struck::Demoted(Role::Reader),
            _ => Struck::Removed,
        }
    }

    /// Marks a new sound entry that revokes nothing: nothing builds on it yet.
    pub(super) fn mark_new(&mut self, entry: &Stub, standing: Standing) {
        let position = entry.position(0);
        let mut mark = standing.lapsed.then(|| self.lapsed(&position.author));
        for active in &mut self.strikes.active {
            let parents = &entry.header.parents;
            let builds_on_it = parents
                .iter()
                .any(|parent| *parent == active.at.entry || active.later.contains(parent));
            if builds_on_it {
                active.later.insert(entry.id);
            } else if active.member == position.author {
                mark = Some(active.effect.and(mark));
            }
        }
        if let Some(mark) = mark {
            self.strikes.marks.insert(entry.id, mark);
        }
    }

    /// Marks all entries of the tail afresh.
    pub(super) fn mark_all(&mut self) {
        let nodes: BTreeMap<Position, &Node> = self
            .nodes
            .values()
            .filter(|node| node.standing.sound)
            .map(|node| (node.position(), node))
            .collect();
        let is_struck = |author: &DeviceKey| self.clean.is_struck(author);
        let active = self.active_within(&nodes, is_struck);
        let marks = self.marks_within(&nodes, &active);
        self.strikes.active = active;
        self.strikes.marks = marks;
    }

    /// What revocations among these entries do to the others among them. `is_struck` tells whose
    /// entries are void altogether.
    pub(super) fn marks_of_segment(
        &self,
        nodes: &BTreeMap<Position, &Node>,
        is_struck: impl Fn(&DeviceKey) -> bool,
    ) -> BTreeMap<EntryId, Struck> {
        let active = self.active_within(nodes, is_struck);
        self.marks_within(nodes, &active)
    }

    fn marks_within(
        &self,
        nodes: &BTreeMap<Position, &Node>,
        active: &[Active],
    ) -> BTreeMap<EntryId, Struck> {
        let lapsed = nodes.values().filter(|node| node.standing.lapsed);
        let mut marks: BTreeMap<EntryId, Struck> = lapsed
            .map(|node| (node.entry.id, self.lapsed(&node.entry.header.author)))
            .collect();
        for revocation in active {
            let seen = self.ancestors_of(&revocation.at.entry);
            let of_member = nodes.keys().filter(|it| it.author == revocation.member);
            for Position { entry, .. } in of_member {
                if !seen.contains(entry) && !revocation.later.contains(entry) {
                    let mark = revocation.effect.and(marks.get(entry).copied());
                    marks.insert(*entry, mark);
                }
            }
        }
        marks
    }

    /// The revocations among these entries that strike: each by an author who outranks the member in
    /// the rows of the last cut, and whom nobody above revokes in turn without having seen it.
    fn active_within(
        &self,
        nodes: &BTreeMap<Position, &Node>,
        is_struck: impl Fn(&DeviceKey) -> bool,
    ) -> Vec<Active> {
        let mut active: Vec<Active> = Vec::new();
        // Where authors lost what they had: a revocation that this has not seen is none any more.
        let mut lowered: BTreeMap<DeviceKey, Vec<Position>> = BTreeMap::new();
        for rank in [Role::Owner, Role::Admin] {
            let authors = self.strikes.noted.iter().filter(|(author, _)| {
                self.rights.role_at(author, self.cut.height) == Some(rank) && !is_struck(author)
            });
            for (author, noted) in authors {
                let within = noted
                    .iter()
                    .filter(|at| nodes.contains_key(&at.start_of_entry()));
                for at in within.take(REVOCATIONS_MAX) {
                    let was_lowered = lowered.get(author).into_iter().flatten();
                    let counts = was_lowered.into_iter().all(|by| self.has_seen(by, at));
                    let Some(revocation) = self.revocation(at).filter(|_| counts) else {
                        continue;
                    };
                    let member = revocation.member.unwrap_or(*author);
                    if member == *author {
                        lowered.entry(*author).or_default().push(*at);
                    } else if let Some(effect) = self.effect(rank, member, revocation.role) {
                        lowered.entry(member).or_default().push(*at);
                        active.push(Active {
                            at: revocation.at,
                            member,
                            effect,
                            later: descendants_of(&at.entry, nodes),
                        });
                    }
                }
            }
        }
        active
    }

    /// What somebody of this rank does to a member by leaving it this role: `None` if it may not, or
    /// takes nothing away.
    fn effect(&self, rank: Role, member: DeviceKey, role: Option<Role>) -> Option<Struck> {
        // Whom only the tail knows may be what only an owner makes.
        let held = self.rights.role_at(&member, self.cut.height);
        let may = rank.outranks(held.unwrap_or(Role::Admin))
            && role.is_none_or(|role| rank.outranks(role));
        match role {
            _ if !may => None,
            None => Some(Struck::Removed),
            Some(role) => held
                .is_none_or(|held| held < role)
                .then_some(Struck::Demoted(role)),
        }
    }

    fn revocation(&self, at: &Position) -> Option<Revocation> {
        let claims = self.nodes.get(&at.entry)?.claims();
        claims.iter().find_map(|claim| match claim {
            Claim::Revoke {
                index,
                member,
                role,
            } if *index == at.index => Some(Revocation {
                at: *at,
                member: Some(*member),
                role: *role,
            }),
            Claim::Transfer { index } if *index == at.index => Some(Revocation {
                at: *at,
                member: None,
                role: None,
            }),
            _ => None,
        })
    }

    /// Whether the call at `later` comes after the one at `earlier` by more than its time.
    fn has_seen(&self, later: &Position, earlier: &Position) -> bool {
        match later.entry == earlier.entry {
            true => earlier.index < later.index,
            false => self
                .nodes
                .get(&later.entry)
                .is_some_and(|node| self.is_ancestor(earlier, &node.entry)),
        }
    }

    fn ancestors_of(&self, id: &EntryId) -> BTreeSet<EntryId> {
        let mut ancestors = BTreeSet::new();
        let mut stack = vec![*id];
        while let Some(node) = stack.pop().and_then(|id| self.nodes.get(&id)) {
            let parents = node.entry.header.parents.iter().copied();
            stack.extend(
                parents
                    .filter(|parent| self.nodes.contains_key(parent) && ancestors.insert(*parent)),
            );
        }
        ancestors
    }
}

fn descendants_of(id: &EntryId, nodes: &BTreeMap<Position, &Node>) -> BTreeSet<EntryId> {
    let mut later = BTreeSet::new();
    for node in nodes.values() {
        let parents = &node.entry.header.parents;
        if parents
            .iter()
            .any(|parent| parent == id || later.contains(parent))
        {
            later.insert(node.entry.id);
        }
    }
    later
}
