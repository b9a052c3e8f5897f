//! What must come out, computed anew from the set of entries by the definitions, without anything
//! of the code under test: the judge stands outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entry::Entry;
use crate::fixtures::Birth;
use crate::ids::{DeviceKey, EntryId};
use crate::membership::{Rights, Role};
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
        let mut heights = entry.header.base.height..=self.saw(entry);
        heights.any(|height| {
            self.rights
                .role_at(&entry.header.author, height)
                .is_some_and(&allows)
        })
    }

    fn may_write(&self, entry: &Entry) -> bool {
        let author = &entry.header.author;
        let now = self.rights.role_at(author, self.birth.cut.height);
        let by_rows = now.is_some_and(Role::may_write) && self.held(entry, Role::may_write);
        by_rows
            || self.ancestors[&entry.id]
                .iter()
                .any(|id| self.admits(self.entries[id], author))
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

    fn sound(&self) -> BTreeSet<EntryId> {
        let may_write: BTreeSet<EntryId> = self
            .entries
            .values()
            .filter(|e| self.may_write(e))
            .map(|e| e.id)
            .collect();
        let whole = |id: &&EntryId| self.ancestors[*id].is_subset(&may_write);
        may_write.iter().filter(whole).copied().collect()
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

    /// The clean entries in order, each with whether it is void; and the heads.
    pub(super) fn clean(&self) -> (Vec<(EntryId, bool)>, BTreeSet<EntryId>) {
        let sound = self.sound();
        let mut reports: BTreeMap<DeviceKey, Vec<&Entry>> = BTreeMap::new();
        for id in &sound {
            for accused in self.reported(self.entries[id]) {
                reports.entry(accused).or_default().push(self.entries[id]);
            }
        }
        let mut struck: BTreeSet<DeviceKey> = reports.keys().copied().collect();
        struck.extend(self.rights.frozen.keys());
        let mut roots: BTreeSet<EntryId> = sound
            .iter()
            .filter(|id| !struck.contains(&self.entries[*id].header.author))
            .copied()
            .collect();
        for by in reports.values() {
            if by.iter().all(|entry| struck.contains(&entry.header.author)) {
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
        let tail = order
            .iter()
            .map(|entry| (entry.id, struck.contains(&entry.header.author)));
        (tail.collect(), heads)
    }
}
