//! Clients of a peer that is no member any more, and clients that this peer hosted when it stopped. The
//! latter are gone, so the peer disconnects them; but
//! not before it has heard of what it wrote itself and has forgotten, as after a backup is restored:
//! a disconnect that stands before calls of that connection would take them back. For the same
//! reason it does not when it last wrote with a time of the future: then the next start does.

use sync_protocol::{ConnectionId, SystemCall, Tick};

use crate::batch::{Group, ReplyTo, Waiting};
use crate::error::Stop;
use crate::identity::Claims;
use crate::replica::{Context, Replica};
use crate::system_tables::{self, ClientRow};

/// Milliseconds that it waits for a member to tell it what it lacks. Then it goes on alone.
const ALONE_AFTER_MS: u64 = 10_000;

/// Who is to be disconnected, and from when on without having heard of anybody.
#[derive(Debug)]
pub(crate) struct Leftovers {
    connections: Vec<ConnectionId>,
    alone: Tick,
}

impl Replica {
    /// Notes who was connected here.
    pub(crate) fn note_leftovers(&mut self, ctx: &Context<'_>) -> Result<(), Stop> {
        if !self.may_write(&ctx.device) {
            return Ok(());
        }
        let mut connections = Vec::new();
        for row in self.state()?.rows(system_tables::CLIENT)? {
            let row = ClientRow::read(&row?);
            if row.author == ctx.device {
                connections.push(row.connection);
            }
        }
        let wait_ms = match self.members.len() {
            0 | 1 => 0,
            _ => ALONE_AFTER_MS,
        };
        let alone = ctx.now.tick.plus_ms(wait_ms);
        self.leftovers = (!connections.is_empty()).then_some(Leftovers { connections, alone });
        Ok(())
    }

    /// From when on they are disconnected, if there are any.
    pub(crate) fn leftovers_due(&self) -> Option<Tick> {
        let leftovers = self.leftovers.as_ref()?;
        let mut links = self.links.values();
        let heard = links.any(|link| link.conversation.in_sync());
        Some(if heard { Tick(0) } else { leftovers.alone })
    }

    /// Clients of a peer that is no member any more have nobody to say that they are gone: the
    /// finaliser does, once that is final.
    pub(crate) fn disconnect_abandoned(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        // The members are those of the visible rows.
        if self.behind || self.dirty || !std::mem::take(&mut self.abandoned_stale) {
            return Ok(());
        }
        if !self.is_finaliser(ctx) || !self.may_write(&ctx.device) || !self.health.takes_calls() {
            return Ok(());
        }
        let mut abandoned = Vec::new();
        for row in self.state()?.rows(system_tables::CLIENT)? {
            let row = ClientRow::read(&row?);
            if !self.members.contains_key(&row.author) {
                abandoned.push(row.connection);
            }
        }
        for connection in abandoned {
            self.disconnect(connection, ctx)?;
        }
        Ok(())
    }

    fn disconnect(&mut self, connection: ConnectionId, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let caller = Claims::of_device(&ctx.device);
        let call = Waiting::system(caller, &SystemCall::ClientDisconnected, connection);
        self.enqueue(Group::single(call, ReplyTo::Nobody), ctx)
    }

    /// Disconnects them, if it is time.
    pub(crate) fn disconnect_leftovers(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.leftovers_due().is_none_or(|due| ctx.now.tick < due) {
            return Ok(());
        }
        let leftovers = self.leftovers.take();
        if !self.may_write(&ctx.device) {
            return Ok(());
        }
        for connection in leftovers.into_iter().flat_map(|it| it.connections) {
            self.disconnect(connection, ctx)?;
        }
        Ok(())
    }
}
