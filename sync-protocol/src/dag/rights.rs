//! Who may write: by the rows of the last cut, or by an admission among the entry's ancestors that
//! no cut covers yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{Entry, Stub};
use crate::ids::{DeviceKey, EntryId};
use crate::membership::{Role, admission_is_proven};
use crate::order::Position;
use crate::system_call::SystemCall;
use crate::time::Hlc;

use super::{Claims, Dag};

/// What an entry says about members, with its signatures checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Invite {
        index: u16,
        ticket: DeviceKey,
        role: Role,
        expires: Hlc,
    },
    Admit {
        index: u16,
        member: DeviceKey,
        ticket: DeviceKey,
    },
    Report {
        author: DeviceKey,
    },
}

/// Tickets and admissions of the tail.
#[derive(Debug, Default)]
pub(super) struct Grants {
    invites: BTreeMap<DeviceKey, Vec<Invited>>,
    admitted: BTreeMap<DeviceKey, Vec<Position>>,
}

#[derive(Clone, Copy, Debug)]
struct Invited {
    at: Position,
    role: Role,
    expires: Hlc,
}

impl Grants {
    pub(super) fn clear(&mut self) {
        self.invites.clear();
        self.admitted.clear();
    }

    /// Whether somebody in the tail admits the device.
    pub(super) fn knows(&self, member: &DeviceKey) -> bool {
        self.admitted.contains_key(member)
    }
}

impl Dag {
    /// Whether the entry's author writes by a grant in the tail, and whether he may write at all.
    /// `saw` is the highest cut whose rows the entry's ancestors include.
    pub(super) fn authorise(&self, entry: &Stub, saw: u64) -> (bool, bool) {
        let author = &entry.header.author;
        let base = entry.header.base.height;
        if planted!(SkipRightsCheck) {
            return (false, true);
        }
        // Who was removed by the last cut writes no more, whatever cut he names.
        let now = self
            .rights
            .role_at(author, self.cut.height)
            .is_some_and(Role::may_write);
        if now && self.rights.held(author, base, saw, Role::may_write) {
            return (false, true);
        }
        let granted = self.is_granted(entry);
        (granted, granted)
    }

    fn is_granted(&self, entry: &Stub) -> bool {
        let author = &entry.header.author;
        let Some(admissions) = self.grants.admitted.get(author) else {
            return false;
        };
        // What an earlier entry of the same author descends from, this one does too.
        let earlier = entry
            .header
            .parents
            .iter()
            .filter_map(|parent| self.nodes.get(parent));
        let mut own = earlier.filter(|node| node.entry.header.author == *author);
        own.any(|node| node.standing.granted)
            || admissions
                .iter()
                .any(|admission| self.is_ancestor(admission, entry))
    }

    /// Whether `entry` descends from the entry at `ancestor`.
    fn is_ancestor(&self, ancestor: &Position, entry: &Stub) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<&EntryId> = entry.header.parents.iter().collect();
        while let Some(id) = stack.pop() {
            if *id == ancestor.entry {
                return true;
            }
            let Some(node) = self.nodes.get(id) else {
                continue;
            };
            // Everything it builds on is earlier still.
            if node.entry.header.hlc > ancestor.hlc && seen.insert(*id) {
                stack.extend(&node.entry.header.parents);
            }
        }
        false
    }

    /// Notes what a sound entry claims about members. True if a report changes who is struck, or
    /// who keeps the report known, so that everything must be sorted out again.
    pub(super) fn take_claims(&mut self, id: EntryId) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else {
            return false;
        };
        let entry = std::sync::Arc::clone(&node.entry);
        let saw = node.standing.saw;
        let database = self.database;
        // Taken out while they are gone through.
        let claims = match std::mem::replace(&mut node.claims, Claims::Checked(Box::default())) {
            Claims::Unread(entry) => checked_claims(&entry, &database),
            Claims::Checked(claims) => claims,
        };
        let mut sort_out = false;
        for claim in &claims {
            match claim {
                Claim::Invite {
                    index,
                    ticket,
                    role,
                    expires,
                } => {
                    let Stub { header, .. } = entry.as_ref();
                    let base = header.base.height;
                    if self
                        .rights
                        .held(&header.author, base, saw, Role::may_invite)
                    {
                        let at = entry.position(*index);
                        let invited = Invited {
                            at,
                            role: *role,
                            expires: *expires,
                        };
                        self.grants
                            .invites
                            .entry(*ticket)
                            .or_default()
                            .push(invited);
                    }
                }
                Claim::Admit {
                    index,
                    member,
                    ticket,
                } => {
                    if self.admits(&entry, *index, ticket, saw) {
                        let at = entry.position(*index);
                        self.grants.admitted.entry(*member).or_default().push(at);
                    }
                }
                Claim::Report { author } => {
                    if !self.rights.frozen.contains_key(author) {
                        let position = entry.position(0);
                        sort_out |= self.clean.add_report(*author, position);
                    }
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.claims = Claims::Checked(claims);
        }
        sort_out
    }

    /// Whether an admission, its proof checked, lets somebody write. Whether the ticket still has
    /// uses is decided where it is executed.
    fn admits(&self, entry: &Stub, index: u16, ticket: &DeviceKey, saw: u64) -> bool {
        let lets_write =
            |role: Role, expires: Hlc| role.may_write() && entry.time_of(index) <= expires;
        let mut known = false;
        if let Some(row) = self
            .rights
            .tickets
            .get(ticket)
            .filter(|row| row.from <= saw)
        {
            known = true;
            if lets_write(row.role, row.expires) {
                return true;
            }
        }
        for invited in self.grants.invites.get(ticket).into_iter().flatten() {
            let above = invited.at.entry == entry.id && invited.at.index < index;
            if above || self.is_ancestor(&invited.at, entry) {
                known = true;
                if lets_write(invited.role, invited.expires) {
                    return true;
                }
            }
        }
        // Who may invite may also admit without a ticket that others know.
        let header = &entry.header;
        !known
            && self
                .rights
                .held(&header.author, header.base.height, saw, Role::may_invite)
    }
}

/// The claims of an entry whose signatures hold. At most `PROOFS_PER_ENTRY_MAX` cost a check.
fn checked_claims(entry: &Entry, database: &crate::ids::DatabaseId) -> Box<[Claim]> {
    let claim = |(index, call)| match call {
        SystemCall::Invite {
            ticket,
            role,
            expires,
            ..
        } => Some(Claim::Invite {
            index,
            ticket,
            role,
            expires,
        }),
        SystemCall::Admit {
            member,
            ticket,
            proof,
        } => {
            let proven = admission_is_proven(database, &member, &ticket, &proof);
            proven.then_some(Claim::Admit {
                index,
                member,
                ticket,
            })
        }
        SystemCall::ReportEquivocation(proof) => {
            proof.verify(database).ok()?;
            Some(Claim::Report {
                author: proof.author(),
            })
        }
        SystemCall::Genesis(_)
        | SystemCall::ClientConnected
        | SystemCall::ClientDisconnected
        | SystemCall::Publish(_)
        | SystemCall::MoveFinaliser { .. }
        | SystemCall::Fire(_)
        | SystemCall::Write(_) => None,
    };
    entry.system_calls().filter_map(claim).collect()
}
