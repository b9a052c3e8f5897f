//! Who may write: the rules over member rows as the last cut left them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{DatabaseId, DeviceKey, Signature};
use crate::keys::{BadSignature, SecretKey};
use crate::time::Hlc;

const ADMISSION_CONTEXT: &str = "tombolo admission 1";

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Everything.
    Owner,
    /// Writes, invites, changes roles below its own.
    Admin,
    /// Writes, and speaks for users whose browsers cannot sign.
    Gateway,
    /// Writes.
    Writer,
    /// Holds the database and watches.
    Reader,
}

impl Role {
    /// Whether entries of such a member run.
    #[must_use]
    pub fn may_write(self) -> bool {
        self != Self::Reader
    }

    /// Whether such a member may speak for users whose tokens it says it has checked.
    #[must_use]
    pub fn may_vouch(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Gateway)
    }

    /// Whether such a member may make tickets.
    #[must_use]
    pub fn may_invite(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Whether a member with this role may remove one with the other, or give it another role. Nobody
    /// outranks an owner, and equals do not outrank each other: two who remove each other while apart
    /// would otherwise have to be told apart by what either can forge.
    #[must_use]
    pub fn outranks(self, other: Self) -> bool {
        match self {
            Self::Owner => other != Self::Owner,
            Self::Admin => !matches!(other, Self::Owner | Self::Admin),
            Self::Gateway | Self::Writer | Self::Reader => false,
        }
    }

    /// The one of two roles that may do less.
    #[must_use]
    pub fn lesser(self, other: Self) -> Self {
        self.max(other)
    }
}

/// From a cut on, a device has this role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// Height of the cut at which it first holds.
    pub from: u64,
    /// The role; `None` once the device is no member any more.
    pub role: Option<Role>,
}

/// A ticket that the rows of the last cut know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketRight {
    /// Height of the cut at which it first holds.
    pub from: u64,
    /// What it makes of a device.
    pub role: Role,
    /// When it ends, compared with the admission's time.
    pub expires: Hlc,
}

/// Rights as the rows of the last cut state them, with the heights since when, so that entries
/// which name an older cut are judged by that one. Made afresh from the rows at every cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Changes of each device's role, by ascending height.
    pub roles: BTreeMap<DeviceKey, Vec<RoleChange>>,
    /// Tickets, used up or not: uses count where they are executed.
    pub tickets: BTreeMap<DeviceKey, TicketRight>,
    /// Authors with a final equivocation, and the height of the cut that covered the report.
    pub frozen: BTreeMap<DeviceKey, u64>,
}

impl Rights {
    /// The rights at a database's birth: its creator owns it.
    #[must_use]
    pub fn of_creator(creator: DeviceKey) -> Self {
        let owner = RoleChange {
            from: 0,
            role: Some(Role::Owner),
        };
        Self {
            roles: BTreeMap::from([(creator, vec![owner])]),
            ..Self::default()
        }
    }

    /// The role of a device in the rows of the cut at `height`.
    #[must_use]
    pub fn role_at(&self, device: &DeviceKey, height: u64) -> Option<Role> {
        let changes = self.roles.get(device)?;
        changes
            .iter()
            .rev()
            .find(|change| change.from <= height)?
            .role
    }

    /// The height since which the device has had roles that let it write, without a break, if it may
    /// write at `height`.
    #[must_use]
    pub fn writes_since(&self, device: &DeviceKey, height: u64) -> Option<u64> {
        let mut since = None;
        for change in self.roles.get(device)? {
            if change.from > height {
                break;
            }
            since = match change.role.is_some_and(Role::may_write) {
                true => since.or(Some(change.from)),
                false => None,
            };
        }
        since
    }

    /// Whether the device had a role that `allows` at one height of `from..=to`.
    pub(crate) fn held(
        &self,
        device: &DeviceKey,
        from: u64,
        to: u64,
        allows: impl Fn(Role) -> bool,
    ) -> bool {
        let Some(changes) = self.roles.get(device) else {
            return false;
        };
        self.role_at(device, from).is_some_and(&allows)
            || changes.iter().any(|change| {
                change.from > from && change.from <= to && change.role.is_some_and(&allows)
            })
    }

    /// Height of the last cut that changed somebody's role, or brought a ticket: rights at one height are those at any
    /// later one from there on.
    #[must_use]
    pub fn last_change(&self) -> u64 {
        let roles = self.roles.values().filter_map(|changes| changes.last());
        let roles = roles.map(|change| change.from);
        let tickets = self.tickets.values().map(|ticket| ticket.from);
        roles.chain(tickets).max().unwrap_or_default()
    }

    /// Whether rows, not the tail, know the device as a member of any role at `height`.
    #[must_use]
    pub fn is_member(&self, device: &DeviceKey, height: u64) -> bool {
        self.role_at(device, height).is_some()
    }
}

/// The joiner's half of an admission: signed with the ticket's key, for this device only.
#[must_use]
pub fn prove_admission(ticket: &SecretKey, database: &DatabaseId, member: &DeviceKey) -> Signature {
    ticket.sign(ADMISSION_CONTEXT, &[database.0, member.0].concat())
}

/// Whether the holder of `ticket`'s private key admits `member` to `database`.
///
/// # Errors
/// [`BadSignature`] if the proof is by another key or for another device or database.
pub fn check_admission(
    ticket: &DeviceKey,
    database: &DatabaseId,
    member: &DeviceKey,
    proof: &Signature,
) -> Result<(), BadSignature> {
    ticket.verify(ADMISSION_CONTEXT, &[database.0, member.0].concat(), proof)
}

/// [`check_admission`], where the reason does not matter.
#[must_use]
pub fn admission_is_proven(
    database: &DatabaseId,
    member: &DeviceKey,
    ticket: &DeviceKey,
    proof: &Signature,
) -> bool {
    check_admission(ticket, database, member, proof).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_holds_from_its_height_until_the_next() {
        let device = DeviceKey([1; 32]);
        let change = |from, role| RoleChange { from, role };
        let changes = vec![
            change(3, Some(Role::Writer)),
            change(7, None),
            change(9, Some(Role::Admin)),
        ];
        let rights = Rights {
            roles: BTreeMap::from([(device, changes)]),
            ..Rights::default()
        };
        let check = |height, role| assert_eq!(rights.role_at(&device, height), role, "{height}");
        check(2, None);
        check(3, Some(Role::Writer));
        check(6, Some(Role::Writer));
        check(7, None);
        check(8, None);
        check(9, Some(Role::Admin));
        check(u64::MAX, Some(Role::Admin));
        assert!(rights.held(&device, 0, 3, Role::may_write));
        assert!(!rights.held(&device, 0, 2, Role::may_write));
        assert!(!rights.held(&device, 7, 8, Role::may_write));
        assert!(!rights.held(&device, 0, 8, Role::may_invite));
        assert!(rights.held(&device, 7, 9, Role::may_invite));
        assert!(!rights.is_member(&DeviceKey([2; 32]), 9));
    }

    #[test]
    fn an_admission_is_for_one_device_and_one_database() {
        let ticket = SecretKey::from_bytes(&[1; 32]);
        let (database, member) = (DatabaseId([2; 32]), DeviceKey([3; 32]));
        let proof = prove_admission(&ticket, &database, &member);
        let check =
            |database, member| admission_is_proven(&database, &member, &ticket.public(), &proof);
        assert!(check(database, member));
        assert!(!check(DatabaseId([9; 32]), member));
        assert!(!check(database, DeviceKey([9; 32])));
    }
}
