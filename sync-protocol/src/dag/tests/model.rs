//! What must come out, computed anew from the set of entries by the definitions, without anything
//! of the code under test: the judge stands outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Struck;
use crate::entry::Entry;
use crate::fixtures::Birth;
use crate::ids::{DeviceKey, EntryId};
use crate::membership::{Rights, Role};
use crate::order::Position;
use crate::system_call::SystemCall;

pub(super) struct Model<'a> {
    birth: &'a Birth,
    rights: &'a Rights,
    entries: BTreeMap<EntryId, &'a Arc<Entry>>,
    ancestors: BTreeMap<EntryId, BTreeSet<EntryId>>,
}

impl<'a> Model<'a> {
    /// All entries that no cut covers and whose ancestors are among them or final.
    pub(super) fn of(
        birth: &'a Birth,
        rights: &'a Rights,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
    ) -> Self {
        let open = entries.filter(|entry| !birth.covered.contains_key(&entry.id));
        let mut waiting: Vec<&Arc<Entry>> = open.collect();
        let mut model = Self {
            birth,
            rights,
            entries: BTreeMap::new(),
            ancestors: BTreeMap::new(),
        };
        loop {
            let before = waiting.len();
            waiting.retain(|entry| !model.place(entry));
            if waiting.len() == before {
                return model;
            }
        }
    }

    fn place(&mut self, entry: &'a Arc<Entry>) -> bool {
        let mut ancestors = BTreeSet::new();
        for parent in &entry.header.parents {
            if let Some(further) = self.ancestors.get(parent) {
                ancestors.insert(*parent);
                ancestors.extend(further);
            } else if !self.birth.covered.contains_key(parent) {
                return false;
            }
        }
        self.entries.insert(entry.id, entry);
        self.ancestors.insert(entry.id, ancestors);
        true
    }

    /// The highest cut that an entry or one of its ancestors saw.
    fn saw(&self, entry: &Entry) -> u64 {
        let with = self.ancestors[&entry.id]
            .iter()
            .map(|id| self.entries[id].as_ref());
        let seen = with.chain([entry]).flat_map(|entry| {
            let finals = entry
                .header
                .parents
                .iter()
                .filter_map(|id| self.birth.covered.get(id));
            finals
                .map(|covered| covered.height)
                .chain([entry.header.base.height])
        });
        seen.max().unwrap()
    }

    fn held(&self, entry: &Entry, allows: impl Fn(Role) -> bool) -> bool {
        let author = &entry.header.author;
        let base = entry.header.base.height;
        let changes = self.rights.roles.get(author).into_iter().flatten();
        let mut later =
            changes.filter(|change| (base + 1..=self.saw(entry)).contains(&change.from));
        self.rights.role_at(author, base).is_some_and(&allows)
            || later.any(|change| change.role.is_some_and(&allows))
    }

    /// Whether the rows let the author write at every height from what the entry saw until now.
    fn writes_on(&self, entry: &Entry) -> bool {
        let mut heights = self.saw(entry)..=self.birth.cut.height;
        heights.all(|height| {
            let role = self.rights.role_at(&entry.header.author, height);
            role.is_some_and(Role::may_write)
        })
    }

    /// By each entry that might be written when it was: whether its author's right has lapsed.
    fn rightful(&self) -> BTreeMap<EntryId, bool> {
        let mut order: Vec<&Arc<Entry>> = self.entries.values().copied().collect();
        order.sort_by_key(|entry| entry.position(0));
        let mut rightful: BTreeMap<EntryId, bool> = BTreeMap::new();
        for entry in order {
            let ancestors = &self.ancestors[&entry.id];
            let admitting = ancestors
                .iter()
                .filter(|id| self.admits(self.entries[*id], &entry.header.author));
            let lapsed_grants: Vec<bool> = admitting
                .filter_map(|id| rightful.get(id).copied())
                .collect();
            let lapsed = if self.writes_on(entry) {
                Some(false)
            } else if let Some(lapsed) = lapsed_grants.iter().min() {
                Some(*lapsed)
            } else {
                self.held(entry, Role::may_write).then_some(true)
            };
            if let Some(lapsed) = lapsed {
                rightful.insert(entry.id, lapsed);
            }
        }
        rightful
    }

    /// Whether an entry admits a device with an effect.
    fn admits(&self, admitting: &Entry, device: &DeviceKey) -> bool {
        admitting.system_calls().any(|(index, call)| {
            let SystemCall::Admit {
                member,
                ticket,
                proof,
            } = call
            else {
                return false;
            };
            let signed = [self.birth.database.0, member.0].concat();
            let proven = ticket
                .verify("tombolo admission 1", &signed, &proof)
                .is_ok();
            let tickets = self.tickets(admitting, index, &ticket);
            let time = admitting.time_of(index);
            let by_ticket = tickets
                .iter()
                .any(|(role, expires)| role.may_write() && time <= *expires);
            let unknown = tickets.is_empty() && self.held(admitting, Role::may_invite);
            member == *device && proven && (by_ticket || unknown)
        })
    }

    /// What a ticket says to an admission: by the rows, and by invitations it builds on.
    fn tickets(
        &self,
        admitting: &Entry,
        index: u16,
        ticket: &DeviceKey,
    ) -> Vec<(Role, crate::time::Hlc)> {
        let mut known = Vec::new();
        if let Some(row) = self.rights.tickets.get(ticket)
            && row.from <= self.saw(admitting)
        {
            known.push((row.role, row.expires));
        }
        let above = self.ancestors[&admitting.id]
            .iter()
            .map(|id| self.entries[id].as_ref());
        for entry in above.chain([admitting]) {
            for (at, call) in entry.system_calls() {
                if let SystemCall::Invite {
                    ticket: invited,
                    role,
                    expires,
                    ..
                } = call
                    && invited == *ticket
                    && (entry.id != admitting.id || at < index)
                    && self.held(entry, Role::may_invite)
                {
                    known.push((role, expires));
                }
            }
        }
        known
    }

    /// Entries that might be written, with all that they build on; of each whether it has lapsed.
    fn sound(&self) -> BTreeMap<EntryId, bool> {
        let rightful = self.rightful();
        let whole = |id: &EntryId| {
            let mut ancestors = self.ancestors[id].iter();
            ancestors.all(|ancestor| rightful.contains_key(ancestor))
        };
        let sound = rightful.iter().filter(|(id, _)| whole(id));
        sound.map(|(id, lapsed)| (*id, *lapsed)).collect()
    }

    fn reported(&self, entry: &Entry) -> BTreeSet<DeviceKey> {
        let accused = entry.system_calls().filter_map(|(_, call)| match call {
            SystemCall::ReportEquivocation(proof) => proof
                .verify(&self.birth.database)
                .is_ok()
                .then(|| proof.author()),
            _ => None,
        });
        accused
            .filter(|author| !self.rights.frozen.contains_key(author))
            .collect()
    }

    /// The clean entries in order, each with what strikes it; and the heads.
    pub(super) fn clean(&self) -> (Vec<(EntryId, Option<Struck>)>, BTreeSet<EntryId>) {
        let sound = self.sound();
        let mut reports: BTreeMap<DeviceKey, Vec<&Entry>> = BTreeMap::new();
        for id in sound.keys() {
            for accused in self.reported(self.entries[id]) {
                reports.entry(accused).or_default().push(self.entries[id]);
            }
        }
        let mut equivocated: BTreeSet<DeviceKey> = reports.keys().copied().collect();
        equivocated.extend(self.rights.frozen.keys());
        let counts =
            |id: &EntryId| !sound[id] && !equivocated.contains(&self.entries[id].header.author);
        let mut roots: BTreeSet<EntryId> = sound.keys().filter(|id| counts(id)).copied().collect();
        for by in reports.values() {
            if by.iter().all(|entry| !counts(&entry.id)) {
                roots.extend(
                    by.iter()
                        .min_by_key(|entry| entry.position(0))
                        .map(|e| e.id),
                );
            }
        }
        let below = roots.iter().flat_map(|id| &self.ancestors[id]);
        let clean: BTreeSet<EntryId> = roots.iter().chain(below).copied().collect();

        let cited: BTreeSet<EntryId> = clean
            .iter()
            .flat_map(|id| self.entries[id].header.parents.iter().copied())
            .collect();
        let all = clean.iter().chain(&self.birth.cut.frontier);
        let heads = all.filter(|id| !cited.contains(*id)).copied().collect();
        let mut order: Vec<&Entry> = clean.iter().map(|id| self.entries[id].as_ref()).collect();
        order.sort_by_key(|entry| entry.position(0));
        let revocations = self.revocations(&sound, &equivocated);
        let tail = order.iter().map(|entry| {
            let struck = match equivocated.contains(&entry.header.author) {
                true => Some(Struck::Equivocated),
                false => self.struck(entry, sound[&entry.id], &revocations),
            };
            (entry.id, struck)
        });
        (tail.collect(), heads)
    }

    fn rank(&self, member: &DeviceKey) -> Option<Role> {
        self.rights.role_at(member, self.birth.cut.height)
    }

    /// What strikes: owners' revocations, then those of admins whom none of these lowers unseen.
    fn revocations(
        &self,
        sound: &BTreeMap<EntryId, bool>,
        equivocated: &BTreeSet<DeviceKey>,
    ) -> Vec<Revocation> {
        let mut all: Vec<(Position, SystemCall)> = sound
            .iter()
            .filter(|(_, lapsed)| !**lapsed)
            .map(|(id, _)| self.entries[id])
            .filter(|entry| !equivocated.contains(&entry.header.author))
            .flat_map(|entry| {
                let calls = entry.system_calls();
                calls.map(|(index, call)| (entry.position(index), call))
            })
            .collect();
        all.sort_by_key(|(at, _)| *at);
        let seen = |by: &Position, at: &Position| match by.entry == at.entry {
            true => at.index < by.index,
            false => self.ancestors[&by.entry].contains(&at.entry),
        };
        let mut found: Vec<Revocation> = Vec::new();
        for rank in [Role::Owner, Role::Admin] {
            let mut stepped_down: BTreeSet<DeviceKey> = BTreeSet::new();
            for (at, call) in all
                .iter()
                .filter(|(at, _)| self.rank(&at.author) == Some(rank))
            {
                let was_lowered = found
                    .iter()
                    .any(|by| by.member == at.author && !seen(&by.at, at));
                if was_lowered || stepped_down.contains(&at.author) {
                    continue;
                }
                let (member, role) = match call {
                    SystemCall::RemoveMember { member } => (*member, None),
                    SystemCall::SetRole { member, role } => (*member, Some(*role)),
                    SystemCall::TransferOwnership { .. } => (at.author, None),
                    _ => continue,
                };
                if member == at.author {
                    stepped_down.insert(member);
                    continue;
                }
                let below = |role: Role| match rank {
                    Role::Owner => role != Role::Owner,
                    _ => role > Role::Admin,
                };
                let held = self.rank(&member);
                if !below(held.unwrap_or(Role::Admin)) || role.is_some_and(|role| !below(role)) {
                    continue;
                }
                if role.is_some_and(|role| held.is_some_and(|held| role <= held)) {
                    continue;
                }
                let at = *at;
                found.push(Revocation { at, member, role });
            }
        }
        found
    }

    fn struck(&self, entry: &Entry, lapsed: bool, revocations: &[Revocation]) -> Option<Struck> {
        let author = entry.header.author;
        let by_rows = lapsed.then(|| match self.rank(&author) {
            Some(Role::Reader) => Struck::Demoted(Role::Reader),
            _ => Struck::Removed,
        });
        let unseen = revocations.iter().filter(|by| {
            by.member == author
                && !self.ancestors[&by.at.entry].contains(&entry.id)
                && !self.ancestors[&entry.id].contains(&by.at.entry)
        });
        let struck = unseen.map(|by| by.role.map_or(Struck::Removed, Struck::Demoted));
        struck.chain(by_rows).max()
    }
}

/// A revocation that strikes.
struct Revocation {
    at: Position,
    member: DeviceKey,
    role: Option<Role>,
}
