//! System calls about members and tickets. Who may what to whom is read at the call's position.

use store::Transaction;
use sync_protocol::{DeviceKey, Role, Signature, check_admission};

use super::system::{DONE, Place, refused};
use super::{EntryRun, Ran};
use crate::error::Stop;
use crate::system_tables::{MemberRow, TICKET, TicketRow, member_role};

pub(super) fn invite(
    mut tx: Transaction,
    place: &Place<'_>,
    row: TicketRow,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    if !place.role.is_some_and(Role::may_invite) {
        return Ok(refused(tx, "only an owner or admin may invite"));
    }
    if row.uses_left == 0 || row.role == Role::Owner {
        return Ok(refused(
            tx,
            "a ticket has at least one use, and ownership cannot be invited to",
        ));
    }
    if !place.role.is_some_and(|role| role.outranks(row.role)) {
        return Ok(refused(tx, "only an owner may invite admins"));
    }
    if TicketRow::find(&tx, &row.ticket)?.is_some() {
        return Ok(refused(tx, "that ticket exists already"));
    }
    tx.insert(TICKET, &row.write())?;
    run.rights_changed = true;
    Ok((tx, DONE))
}

pub(super) fn admit(
    mut tx: Transaction,
    place: &Place<'_>,
    member: &DeviceKey,
    ticket: &DeviceKey,
    proof: &Signature,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    // Even if it comes to nothing: the device may have written for those who could not know that.
    run.rights_changed = true;
    if place.role.is_none() {
        return Ok(refused(tx, "only members can admit others"));
    }
    let database = place.entry.database();
    if check_admission(ticket, &database, member, proof).is_err() {
        return Ok(refused(tx, "the proof was not made with the ticket's key"));
    }
    let Some(row) = TicketRow::find(&tx, ticket)? else {
        return Ok(refused(tx, "there is no such ticket"));
    };
    if member_role(&tx, member)?.is_some() {
        return Ok((tx, DONE)); // two members admitted the same device while apart
    }
    if row.uses_left == 0 {
        return Ok(refused(
            tx,
            "the ticket has been used up or revoked: ask for a new one",
        ));
    }
    if place.entry.time_of(place.index) > row.expires {
        return Ok(refused(tx, "the ticket has expired: ask for a new one"));
    }
    let used = TicketRow {
        uses_left: row.uses_left - 1,
        ..row
    };
    used.update(&mut tx)?;
    MemberRow::insert(&mut tx, member, row.role)?;
    Ok((tx, DONE))
}

/// The row stays: nobody can make a ticket with its key again.
pub(super) fn revoke_ticket(
    mut tx: Transaction,
    place: &Place<'_>,
    ticket: &DeviceKey,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    if !place.role.is_some_and(Role::may_invite) {
        return Ok(refused(tx, "only an owner or admin may revoke a ticket"));
    }
    let Some(row) = TicketRow::find(&tx, ticket)? else {
        return Ok(refused(tx, "there is no such ticket"));
    };
    TicketRow {
        uses_left: 0,
        ..row
    }
    .update(&mut tx)?;
    run.rights_changed = true;
    Ok((tx, DONE))
}

pub(super) fn remove(
    mut tx: Transaction,
    place: &Place<'_>,
    member: &DeviceKey,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let Some(held) = member_role(&tx, member)? else {
        return Ok(refused(tx, "that device is not a member"));
    };
    let leaves = *member == place.entry.header.author;
    if leaves && held == Role::Owner {
        return Ok(refused(
            tx,
            "an owner cannot leave: hand the database over first",
        ));
    }
    if !leaves && !place.role.is_some_and(|role| role.outranks(held)) {
        return Ok(refused(
            tx,
            "only an owner may remove admins, and only an owner or admin others",
        ));
    }
    MemberRow::delete(&mut tx, member)?;
    run.rights_changed = true;
    Ok((tx, DONE))
}

pub(super) fn set_role(
    mut tx: Transaction,
    place: &Place<'_>,
    member: &DeviceKey,
    role: Role,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let Some(held) = member_role(&tx, member)? else {
        return Ok(refused(tx, "that device is not a member"));
    };
    let outranks = |other: Role| place.role.is_some_and(|own| own.outranks(other));
    if !outranks(held) || !outranks(role) {
        return Ok(refused(
            tx,
            "only an owner may make or demote admins, only an owner or admin may change the role of \
             others, and ownership is handed over, not given",
        ));
    }
    MemberRow::put(&mut tx, member, role)?;
    run.rights_changed = true;
    Ok((tx, DONE))
}

pub(super) fn transfer(
    mut tx: Transaction,
    place: &Place<'_>,
    to: &DeviceKey,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(tx, "only an owner may hand the database over"));
    }
    if member_role(&tx, to)?.is_none() || *to == place.entry.header.author {
        return Ok(refused(
            tx,
            "a database can only be handed over to another member",
        ));
    }
    MemberRow::put(&mut tx, to, Role::Owner)?;
    MemberRow::put(&mut tx, &place.entry.header.author, Role::Admin)?;
    run.rights_changed = true;
    Ok((tx, DONE))
}
