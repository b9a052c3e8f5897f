//! Who may write: by the rows of the last cut, or by an admission among the entry's ancestors that
//! no cut covers yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{Entry, Stub};
use crate::ids::{DeviceKey, EntryId};
use crate::membership::{Role, admission_is_proven};
use crate::order::Position;
use crate::system_call::SystemCall;
use crate::time::Hlc;

use super::validity::Standing;
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
    Revoke {
        index: u16,
        member: DeviceKey,
        /// What is left: `None` if it is no member any more.
        role: Option<Role>,
    },
    Transfer {
        index: u16,
    },
}

/// Why an author may write, as far as an entry's ancestors and the rows of the last cut say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// By the rows.
    Rows,
    /// By the rows of a cut that it saw, but no more: a cut that it did not see ended that.
    Lapsed,
    /// By an admission in the tail; `lapsed` if whoever admitted it had no right to any more.
    Granted { lapsed: bool },
    /// It may not, and might not when it wrote.
    None,
}

/// Tickets and admissions of the tail.
#[derive(Debug, Default)]
pub(super) struct Grants {
    invites: BTreeMap<DeviceKey, Vec<Invited>>,
    admitted: BTreeMap<DeviceKey, Vec<Admitted>>,
}

#[derive(Clone, Copy, Debug)]
struct Invited {
    at: Position,
    role: Role,
    expires: Hlc,
}

/// Who admitted somebody, and whether its own right had lapsed.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    at: Position,
    lapsed: bool,
}

impl Grants {
    pub(super) fn clear(&mut self) {
        self.invites.clear();
        self.admitted.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.invites.is_empty() && self.admitted.is_empty()
    }

    /// Whether somebody in the tail admits the device.
    pub(super) fn knows(&self, member: &DeviceKey) -> bool {
        self.admitted.contains_key(member)
    }
}

impl Dag {
    /// Whether an entry that a device writes now counts: by the rows of the last cut, or by an admission
    /// in the tail. A role that the tail alone gives lets nobody write, and what whoever has it invites
    /// and admits counts with the cut that covers it.
    #[must_use]
    pub fn lets_write(&self, device: &DeviceKey) -> bool {
        let by_rows = self.rights.writes_since(device, self.cut.height);
        by_rows.is_some() || self.grants.knows(device)
    }

    /// By what the entry's author writes. `saw` is the highest cut whose rows the entry's ancestors
    /// include.
    pub(super) fn authorise(&self, entry: &Stub, saw: u64) -> Right {
        let author = &entry.header.author;
        let base = entry.header.base.height;
        if planted!(SkipRightsCheck) {
            return Right::Rows;
        }
        // Who was removed writes no more, whatever cut he names; not with what he wrote before either,
        // once he is admitted again.
        let since = self.rights.writes_since(author, self.cut.height);
        if since.is_some_and(|since| since <= saw) {
            return Right::Rows;
        }
        match self.grant_of(entry) {
            Some(lapsed) => Right::Granted { lapsed },
            None if self.rights.held(author, base, saw, Role::may_write) => Right::Lapsed,
            None => Right::None,
        }
    }

    /// Whether an admission among the entry's ancestors lets its author write: if one does, whether
    /// only such whose own authors had lost the right to admit.
    fn grant_of(&self, entry: &Stub) -> Option<bool> {
        let author = &entry.header.author;
        let admissions = self.grants.admitted.get(author)?;
        // What an earlier entry of the same author descends from, this one does too.
        let earlier = entry
            .header
            .parents
            .iter()
            .filter_map(|parent| self.nodes.get(parent));
        let own = earlier.filter(|node| node.entry.header.author == *author);
        let own = own.filter(|node| node.standing.granted);
        let by_own = own.map(|node| node.standing.lapsed).min();
        if by_own == Some(false) {
            return by_own;
        }
        let seen = admissions.iter();
        let seen = seen.filter(|admission| self.is_ancestor(&admission.at, entry));
        seen.map(|admission| admission.lapsed).chain(by_own).min()
    }

    /// Whether `entry` descends from the entry at `ancestor`.
    pub(super) fn is_ancestor(&self, ancestor: &Position, entry: &Stub) -> bool {
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
        let Standing { saw, lapsed, .. } = node.standing;
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
                        let admitted = Admitted { at, lapsed };
                        let known = self.grants.admitted.entry(*member).or_default();
                        known.push(admitted);
                    }
                }
                Claim::Revoke { index, .. } | Claim::Transfer { index } => {
                    let author = &entry.header.author;
                    let role = self.rights.role_at(author, self.cut.height);
                    if !lapsed && role.is_some_and(|role| role.outranks(Role::Reader)) {
                        sort_out |= self.strikes.note(entry.position(*index));
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
        SystemCall::RemoveMember { member } => Some(Claim::Revoke {
            index,
            member,
            role: None,
        }),
        SystemCall::SetRole { member, role } => Some(Claim::Revoke {
            index,
            member,
            role: Some(role),
        }),
        SystemCall::TransferOwnership { .. } => Some(Claim::Transfer { index }),
        SystemCall::Genesis(_)
        | SystemCall::ClientConnected
        | SystemCall::ClientDisconnected
        | SystemCall::Publish(_)
        | SystemCall::MoveFinaliser { .. }
        | SystemCall::Fire(_)
        | SystemCall::Write(_)
        | SystemCall::RevokeTicket { .. }
        | SystemCall::TrustIssuer(_)
        | SystemCall::DistrustIssuer { .. }
        | SystemCall::SetIssuerKeys { .. }
        | SystemCall::Bind { .. }
        | SystemCall::Unbind { .. } => None,
    };
    entry.system_calls().filter_map(claim).collect()
}
