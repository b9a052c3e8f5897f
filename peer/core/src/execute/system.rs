//! What system calls do to the system tables. Each needs the right in both author and caller.

use module_host::{Call, Lifecycle};
use store::{DataError, Transaction};
use sync_protocol::{
    ConnectionId, DeviceKey, Entry, EquivocationProof, Genesis, Invocation, NewModule, Role,
    RowWrite, SystemCall,
};

use super::{EntryRun, Executor, Ran, issuers, members, schedule};
use crate::error::Stop;
use crate::outcome::CallOutcome;
use crate::sql::{self, Unfit};
use crate::system_tables::{
    CLIENT, ClientRow, EQUIVOCATION, MemberRow, TicketRow, equivocation_row, member_role,
};
use crate::upgrade;
use crate::upgrade::rows::PUBLISH;

/// Where a system call stands and who makes it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) entry: &'a Entry,
    pub(super) index: u16,
    pub(super) invocation: &'a Invocation,
    pub(super) caller: [u8; 32],
    pub(super) caller_is_author: bool,
    pub(super) claims: Option<&'a str>,
    pub(super) role: Option<Role>,
}

pub(super) const DONE: CallOutcome = CallOutcome::Ok { units: 0, rows: 0 };

pub(super) fn refused(tx: Transaction, why: &str) -> Ran {
    (tx, CallOutcome::Refused(why.to_owned()))
}

pub(super) fn run(
    executor: &mut Executor,
    tx: Transaction,
    place: &Place<'_>,
    call: &SystemCall,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let is_genesis = matches!(call, SystemCall::Genesis(_));
    if is_genesis != place.entry.is_genesis() {
        return Ok(refused(tx, "a database is born once"));
    }
    let for_clients = matches!(
        call,
        SystemCall::ClientConnected | SystemCall::ClientDisconnected
    );
    if !for_clients && !place.caller_is_author {
        return Ok(refused(
            tx,
            "only a device itself can make this system call",
        ));
    }
    let may_write = place.role.is_some_and(Role::may_write) || planted!(SkipRightsCheck);
    let is_ordinary = for_clients || matches!(call, SystemCall::Fire(_));
    if is_ordinary && !may_write {
        return Ok(refused(tx, "this device may not write to the database"));
    }
    match call {
        SystemCall::Genesis(genesis) => be_born(executor, tx, place, genesis, run),
        SystemCall::Invite {
            ticket,
            role,
            uses,
            expires,
        } => {
            let row = TicketRow {
                ticket: *ticket,
                role: *role,
                uses_left: *uses,
                expires: *expires,
            };
            members::invite(tx, place, row, run)
        }
        SystemCall::Admit {
            member,
            ticket,
            proof,
        } => members::admit(tx, place, member, ticket, proof, run),
        SystemCall::ReportEquivocation(proof) => report(tx, place, proof, run),
        SystemCall::ClientConnected => connected(executor, tx, place, run),
        SystemCall::ClientDisconnected => disconnected(executor, tx, place, run),
        SystemCall::MoveFinaliser { to } => move_finaliser(tx, place, to, run),
        SystemCall::Publish(new_module) => publish(tx, place, new_module, run),
        SystemCall::Fire(fire) => schedule::fire(executor, tx, place, fire, run),
        SystemCall::Write(statement) => write(executor, tx, place, statement),
        SystemCall::RemoveMember { member } => members::remove(tx, place, member, run),
        SystemCall::SetRole { member, role } => members::set_role(tx, place, member, *role, run),
        SystemCall::RevokeTicket { ticket } => members::revoke_ticket(tx, place, ticket, run),
        SystemCall::TransferOwnership { to } => members::transfer(tx, place, to, run),
        SystemCall::TrustIssuer(rules) => issuers::trust(tx, place, rules),
        SystemCall::DistrustIssuer { issuer } => issuers::distrust(tx, place, issuer),
        SystemCall::SetIssuerKeys { issuer, keys } => issuers::set_keys(tx, place, issuer, keys),
        SystemCall::Bind { token } => issuers::bind(tx, place, token),
        SystemCall::Unbind {
            device,
            issuer,
            subject,
        } => issuers::unbind(tx, place, device, issuer, subject),
    }
}

fn be_born(
    executor: &mut Executor,
    mut tx: Transaction,
    place: &Place<'_>,
    genesis: &Genesis,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let creator = &place.entry.header.author;
    MemberRow::insert(&mut tx, creator, Role::Owner)?;
    for (table, row) in upgrade::birth_rows(genesis, &executor.module) {
        tx.insert(table, &row)?;
    }
    run.rights_changed = true;
    let Some(init) = executor.module.def().lifecycle(Lifecycle::Init) else {
        return Ok((tx, DONE));
    };
    lifecycle(executor, tx, place, init, ConnectionId::ZERO, run)
}

/// Runs a life-cycle reducer with the invocation's own caller.
fn lifecycle(
    executor: &mut Executor,
    tx: Transaction,
    place: &Place<'_>,
    reducer: usize,
    connection: ConnectionId,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let call = Call {
        reducer,
        sender: place.caller,
        connection,
        time: place.entry.time_of(place.index),
        args: &[],
        claims: place.claims,
        database: executor.identity,
        units: executor.options.units_per_invocation,
    };
    let (tx, outcome, _) = executor.call(tx, call, run)?;
    Ok((tx, outcome))
}

fn report(
    mut tx: Transaction,
    place: &Place<'_>,
    proof: &EquivocationProof,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    // A proof speaks for itself, so any member may bring it.
    if place.role.is_none() || proof.verify(&place.entry.database()).is_err() {
        return Ok(refused(tx, "this proves no equivocation in this database"));
    }
    tx.insert(EQUIVOCATION, &equivocation_row(&proof.author()))?;
    run.rights_changed = true;
    Ok((tx, DONE))
}

/// Writes no row: the cut that covers the call says who finalises, and its certificate proves it.
fn move_finaliser(
    tx: Transaction,
    place: &Place<'_>,
    to: &DeviceKey,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(tx, "only an owner may move finality"));
    }
    if !member_role(&tx, to)?.is_some_and(Role::may_write) {
        return Ok(refused(
            tx,
            "finality can only be moved to a member that may write",
        ));
    }
    run.finaliser = Some(*to);
    Ok((tx, DONE))
}

/// The cut that covers this judges the module; until then it is a row.
fn publish(
    mut tx: Transaction,
    place: &Place<'_>,
    new_module: &NewModule,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(
            tx,
            "only an owner of the database may publish its module",
        ));
    }
    let position = place.entry.position(place.index);
    tx.insert(PUBLISH, &upgrade::waiting_row(position, new_module))?;
    run.publishes = true;
    Ok((tx, DONE))
}

/// A statement that changes rows of the module's tables.
fn write(
    executor: &Executor,
    mut tx: Transaction,
    place: &Place<'_>,
    statement: &RowWrite,
) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(
            tx,
            "only an owner of the database may change rows by SQL; others call reducers",
        ));
    }
    match sql::apply(&mut tx, statement) {
        Ok(rows) => Ok(match schedule::note(executor.module.def(), &mut tx)? {
            Ok(()) => (tx, CallOutcome::Ok { units: 0, rows }),
            Err(why) => (tx, CallOutcome::Failed(why)),
        }),
        Err(Unfit::Refused(why)) => Ok(refused(tx, why)),
        Err(Unfit::Rows(DataError::Store(error))) => Err(error.into()),
        Err(Unfit::Rows(error)) => Ok((tx, CallOutcome::Failed(error.to_string()))),
    }
}

fn connected(
    executor: &mut Executor,
    mut tx: Transaction,
    place: &Place<'_>,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let connection = place.invocation.connection;
    if connection == ConnectionId::ZERO {
        return Ok(refused(tx, "a client's connection is never zero"));
    }
    if ClientRow::find(&tx, &connection)?.is_some() {
        return Ok(refused(tx, "that connection is in use"));
    }
    let row = ClientRow {
        connection,
        identity: place.caller,
        author: place.entry.header.author,
    };
    tx.insert(CLIENT, &row.write())?;
    match executor.module.def().lifecycle(Lifecycle::ClientConnected) {
        Some(reducer) => lifecycle(executor, tx, place, reducer, connection, run),
        None => Ok((tx, DONE)),
    }
}

fn disconnected(
    executor: &mut Executor,
    tx: Transaction,
    place: &Place<'_>,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let connection = place.invocation.connection;
    let no_such = "there is no such connection";
    let Some(client) = ClientRow::find(&tx, &connection)? else {
        return Ok(refused(tx, no_such));
    };
    // Whose peer was removed has nobody else to say that it is gone.
    if client.author != place.entry.header.author && member_role(&tx, &client.author)?.is_some() {
        return Ok(refused(tx, no_such));
    }
    // A peer also reports, in its own name, clients that it lost in a crash: the module hears of
    // the client in either case.
    let place = &Place {
        caller: client.identity,
        ..*place
    };
    let mut tx = tx;
    if let Some(reducer) = executor
        .module
        .def()
        .lifecycle(Lifecycle::ClientDisconnected)
    {
        let (mut ran, outcome) = lifecycle(executor, tx, place, reducer, connection, run)?;
        // The client is gone whatever its reducer says, so an error costs its changes only.
        if !outcome.is_ok() {
            ran.undo();
        }
        tx = ran;
    }
    ClientRow::delete(&mut tx, &connection)?;
    Ok((tx, DONE))
}
