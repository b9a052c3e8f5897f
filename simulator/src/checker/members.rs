//! Who may what, once more: roles and tickets as the calls of one order leave them, and whose entries
//! do not run because somebody of a higher rank took their author's rights away and they had not
//! seen it.

use std::collections::{BTreeMap, BTreeSet};

use sync_protocol::{DeviceKey, Entry, EntryId, Role, SystemCall};

use super::model::{Failed, Outcome, check};

/// Revocations of an author in one segment that take anything from anybody who has not seen them.
const REVOCATIONS: usize = 16;

/// What an entry may do, if it is less than its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// What this role may.
    Of(Role),
    Nothing,
}

/// Roles and tickets at one place of the order, and what earlier cuts say of entries and members.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) roles: BTreeMap<DeviceKey, Role>,
    /// Role, uses left, end.
    pub(super) tickets: BTreeMap<DeviceKey, (Role, u32, u64)>,
    /// Since which cut each member has been able to write without a break.
    since: BTreeMap<DeviceKey, u64>,
    /// The cut that covers each entry.
    covered: BTreeMap<EntryId, u64>,
    /// Of the next cut.
    height: u64,
}

/// A call that takes rights away.
struct Taken<'a> {
    entry: &'a Entry,
    index: u16,
    from: DeviceKey,
    /// What is left.
    left: Left,
}

/// Entries that no cut covers yet, with all of them that each builds on.
struct Open<'a> {
    entries: &'a [Entry],
    below: BTreeMap<EntryId, BTreeSet<EntryId>>,
}

impl<'a> Open<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut below: BTreeMap<EntryId, BTreeSet<EntryId>> = BTreeMap::new();
        for entry in entries {
            let mut all = BTreeSet::new();
            for parent in &entry.header.parents {
                if let Some(further) = below.get(parent) {
                    all.insert(*parent);
                    all.extend(further);
                }
            }
            below.insert(entry.id, all);
        }
        Self { entries, below }
    }

    fn knows(&self, later: &Entry, earlier: &Entry) -> bool {
        self.below[&later.id].contains(&earlier.id)
    }
}

impl Members {
    /// The cut is made: its entries are covered, and its rows say who may write from here on.
    pub(super) fn cut(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.covered.insert(entry.id, self.height);
        }
        let writes = |role: &Role| *role != Role::Reader;
        let roles = &self.roles;
        self.since
            .retain(|device, _| roles.get(device).is_some_and(writes));
        for (device, _) in self.roles.iter().filter(|(_, role)| writes(role)) {
            self.since.entry(*device).or_insert(self.height);
        }
        self.height += 1;
    }

    /// What is left of entries that may do less than their authors, from the roles before them.
    /// `forked` says whose entries do not run at all.
    pub(super) fn left(
        &self,
        entries: &[Entry],
        forked: &BTreeSet<DeviceKey>,
    ) -> BTreeMap<EntryId, Left> {
        let open = Open::of(entries);
        let mut left = self.lapsed(&open);
        for taken in self.taken(&open, forked, &left) {
            let of_member = entries
                .iter()
                .filter(|entry| entry.header.author == taken.from);
            for entry in of_member {
                if !open.knows(taken.entry, entry) && !open.knows(entry, taken.entry) {
                    let held = left.entry(entry.id).or_insert(taken.left);
                    *held = taken.left.max(*held);
                }
            }
        }
        left
    }

    /// Entries whose authors lost the right to write with a cut that the entries had not seen.
    fn lapsed(&self, open: &Open<'_>) -> BTreeMap<EntryId, Left> {
        let mut saw: BTreeMap<EntryId, u64> = BTreeMap::new();
        let mut lapsed = BTreeMap::new();
        for entry in open.entries {
            let author = &entry.header.author;
            let parents = entry.header.parents.iter();
            let heights = parents.filter_map(|id| saw.get(id).or_else(|| self.covered.get(id)));
            let height = heights.copied().chain([entry.header.base.height]).max();
            let height = height.unwrap_or(0);
            saw.insert(entry.id, height);
            let by_rows = self.since.get(author).is_some_and(|since| *since <= height);
            let admits = |other: &&Entry| {
                other.system_calls().any(
                    |(_, call)| matches!(call, SystemCall::Admit { member, .. } if member == *author),
                )
            };
            let mut admitting = open
                .entries
                .iter()
                .filter(|other| open.knows(entry, other))
                .filter(admits);
            let by_grant = admitting.any(|other| !lapsed.contains_key(&other.id));
            if !by_rows && !by_grant && !self.roles.is_empty() {
                let left = match self.roles.get(author) {
                    Some(Role::Reader) => Left::Of(Role::Reader),
                    _ => Left::Nothing,
                };
                lapsed.insert(entry.id, left);
            }
        }
        lapsed
    }

    /// What takes something away: the owner's words, then those of admins who have not lost that
    /// right by words of the owner that they do not precede.
    fn taken<'a>(
        &self,
        open: &Open<'a>,
        forked: &BTreeSet<DeviceKey>,
        lapsed: &BTreeMap<EntryId, Left>,
    ) -> Vec<Taken<'a>> {
        let mut taken: Vec<Taken<'a>> = Vec::new();
        let mut stepped_down: BTreeSet<DeviceKey> = BTreeSet::new();
        for rank in [Role::Owner, Role::Admin] {
            let mut counted: BTreeMap<DeviceKey, usize> = BTreeMap::new();
            for entry in open.entries {
                let author = entry.header.author;
                let has_rank = self.roles.get(&author) == Some(&rank);
                if !has_rank || forked.contains(&author) || lapsed.contains_key(&entry.id) {
                    continue;
                }
                for (index, call) in entry.system_calls() {
                    let (member, role) = match call {
                        SystemCall::RemoveMember { member } => (member, None),
                        SystemCall::SetRole { member, role } => (member, Some(role)),
                        SystemCall::TransferOwnership { .. } => (author, None),
                        _ => continue,
                    };
                    let count = counted.entry(author).or_default();
                    *count += 1;
                    let lost = taken.iter().any(|by| {
                        let precedes = open.knows(by.entry, entry)
                            || by.entry.id == entry.id && index < by.index;
                        by.from == author && !precedes
                    });
                    if *count > REVOCATIONS || lost || stepped_down.contains(&author) {
                        continue;
                    }
                    if member == author {
                        stepped_down.insert(author);
                        continue;
                    }
                    let below = |role: Role| match rank {
                        Role::Owner => role != Role::Owner,
                        _ => !matches!(role, Role::Owner | Role::Admin),
                    };
                    let held = self.roles.get(&member).copied();
                    let takes = match role {
                        None => true,
                        Some(role) => below(role) && held.is_none_or(|held| held < role),
                    };
                    if below(held.unwrap_or(Role::Admin)) && takes {
                        taken.push(Taken {
                            entry,
                            index,
                            from: member,
                            left: role.map_or(Left::Nothing, Left::Of),
                        });
                    }
                }
            }
        }
        taken
    }

    /// Runs a call about members. `time` is its own, `role` what its author may be here.
    pub(super) fn run(
        &mut self,
        call: &SystemCall,
        author: DeviceKey,
        role: Option<Role>,
        time: u64,
    ) -> Outcome {
        let outranks = |other: Role| match role {
            Some(Role::Owner) => other != Role::Owner,
            Some(Role::Admin) => !matches!(other, Role::Owner | Role::Admin),
            _ => false,
        };
        let held =
            |members: &Self, device: &DeviceKey| members.roles.get(device).copied().ok_or(Failed);
        match call {
            SystemCall::Invite {
                ticket,
                role,
                uses,
                expires,
            } => {
                check(*uses > 0 && outranks(*role) && !self.tickets.contains_key(ticket))?;
                self.tickets.insert(*ticket, (*role, *uses, expires.0));
            }
            // Whoever made the proof had the ticket's key.
            SystemCall::Admit { member, ticket, .. } => {
                check(role.is_some() && !self.roles.contains_key(member))?;
                let (role, uses, expires) = self.tickets.get_mut(ticket).ok_or(Failed)?;
                check(*uses > 0 && time <= *expires)?;
                *uses -= 1;
                self.roles.insert(*member, *role);
            }
            SystemCall::RemoveMember { member } => {
                let held = held(self, member)?;
                let leaves = *member == author && held != Role::Owner;
                check(leaves || *member != author && outranks(held))?;
                self.roles.remove(member);
            }
            SystemCall::SetRole { member, role } => {
                check(outranks(held(self, member)?) && outranks(*role))?;
                self.roles.insert(*member, *role);
            }
            SystemCall::RevokeTicket { ticket } => {
                check(matches!(role, Some(Role::Owner | Role::Admin)))?;
                self.tickets.get_mut(ticket).ok_or(Failed)?.1 = 0;
            }
            SystemCall::TransferOwnership { to } => {
                check(role == Some(Role::Owner) && *to != author)?;
                held(self, to)?;
                self.roles.insert(*to, Role::Owner);
                self.roles.insert(author, Role::Admin);
            }
            _ => return Err(Failed),
        }
        Ok(())
    }
}
