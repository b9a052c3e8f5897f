//! Members and tickets: what execution would say is said early, to the person who asks; then the
//! change is a system call in the one order.

use std::sync::Arc;

use sync_protocol::{ConnectionId, DeviceKey, Now, Role, SystemCall};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::refuse;
use crate::reply::{ErrorKind, RequestError};
use crate::request::{MemberChange, RequestId};

impl Core {
    pub(super) fn change_members(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        change: MemberChange,
    ) -> Result<Answer, RequestError> {
        let leaves = change == MemberChange::Remove(self.parts.device);
        let database = match leaves {
            // A reader writes nothing, and may go nevertheless.
            true => self.serving(database)?.id,
            false => self.writable(database)?,
        };
        let call = self.checked(&database, change)?;
        let caller = Arc::clone(&self.parts.own_claims);
        let waiting = Waiting::system(caller, &call, ConnectionId::ZERO);
        self.submit(now, database, Group::single(waiting, ReplyTo::Done(id)))
    }

    fn checked(
        &self,
        database: &sync_protocol::DatabaseId,
        change: MemberChange,
    ) -> Result<SystemCall, RequestError> {
        let replica = &self.replicas[database];
        let own = replica.members.get(&self.parts.device).copied();
        let denied = |why: &str| Err(refuse(ErrorKind::Denied, why));
        let held_by = |device: &DeviceKey| {
            replica.members.get(device).copied().ok_or_else(|| {
                let text = format!(
                    "{device} is not a member of the database; `tombolo members` shows who is"
                );
                refuse(ErrorKind::BadRequest, text)
            })
        };
        let outranks = |other: Role| own.is_some_and(|own| own.outranks(other));
        match change {
            MemberChange::Remove(member) => {
                let held = held_by(&member)?;
                if member == self.parts.device {
                    if held == Role::Owner {
                        return denied(
                            "the owner cannot leave: hand the database over first, with \
                             `tombolo role DATABASE DEVICE owner`",
                        );
                    }
                } else if !outranks(held) {
                    return denied(
                        "only the owner may remove admins, and only the owner or an admin others",
                    );
                }
                Ok(SystemCall::RemoveMember { member })
            }
            MemberChange::SetRole(member, Role::Owner) => {
                held_by(&member)?;
                if own != Some(Role::Owner) {
                    return denied("only the owner may hand the database over");
                }
                if member == self.parts.device {
                    return denied("this peer owns the database already");
                }
                Ok(SystemCall::TransferOwnership { to: member })
            }
            MemberChange::SetRole(member, role) => {
                let held = held_by(&member)?;
                if held == Role::Owner {
                    return denied(
                        "the owner's role changes only by handing the database over to another member",
                    );
                }
                if !outranks(held) || !outranks(role) {
                    return denied(
                        "only the owner may make or demote admins, and only the owner or an admin may \
                         change the role of others",
                    );
                }
                Ok(SystemCall::SetRole { member, role })
            }
            MemberChange::RevokeTicket(ticket) => {
                if !own.is_some_and(Role::may_invite) {
                    return denied("only the owner or an admin may revoke a ticket");
                }
                let known = replica.ticket(&ticket);
                if !matches!(known, Ok(Some(_))) {
                    return Err(refuse(
                        ErrorKind::BadRequest,
                        "this peer knows no such ticket of the database",
                    ));
                }
                Ok(SystemCall::RevokeTicket { ticket })
            }
        }
    }
}
