//! Which rows this peer fires, and when. The author of a row is the first; should its peer be away, the
//! other members follow, each a little later than the one before, so that mostly one does it. Two that
//! do not hear of each other may both: execution knows better than to run it twice.

use std::collections::BTreeMap;
use std::ops::Bound;

use store::{Range, TableId};
use sync_protocol::{ConnectionId, DeviceKey, Fire, Hlc, SystemCall, Tick};

use super::ScheduleRow;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::error::Stop;
use crate::identity::Claims;
use crate::limits::{FIRE_GRACE_US, FIRES_LOOKED_AT_MAX};
use crate::replica::{Context, Health, Replica};
use crate::system_tables::SCHEDULE_DUE;

/// Milliseconds after which a call that fired nothing is made again.
const AGAIN_MS: u64 = 10_000;

/// What this peer fired lately, and when the next row is due.
#[derive(Debug, Default)]
pub(crate) struct Firing {
    sent: BTreeMap<(TableId, u64), (Fire, Tick)>,
    wake: Option<Tick>,
}

impl Firing {
    /// When rows are to be looked at again.
    pub(crate) fn wake(&self) -> Option<Tick> {
        self.wake
    }

    fn was_sent(&self, row: &ScheduleRow) -> Option<Tick> {
        let (fire, at) = self.sent.get(&(row.table, row.key))?;
        (*fire == row.fire()).then_some(*at)
    }
}

impl Replica {
    /// Calls for the rows that this peer is to fire now.
    pub(crate) fn fire_due(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        self.firing.wake = None;
        let able = self.health == Health::Ok
            && !self.executor.module().def().schedules.is_empty()
            && self.may_write(&ctx.device)
            && !ctx.is_short_of_room
            && self.ahead_of_time(ctx).is_none();
        if !able {
            return Ok(());
        }
        let now = self.time(ctx);
        let is_old = |at: Tick| ctx.now.tick.since(at) >= AGAIN_MS * 1_000;
        self.firing.sent.retain(|_, (_, at)| !is_old(*at));
        let (rows, wake) = self.rows_to_fire(ctx, now)?;
        for row in rows {
            let call = SystemCall::Fire(row.fire());
            let caller = Claims::of_device(&ctx.device);
            let call = Waiting::system(caller, &call, ConnectionId::ZERO);
            self.enqueue(Group::single(call, ReplyTo::Nobody), ctx)?;
            let sent = (row.fire(), ctx.now.tick);
            self.firing.sent.insert((row.table, row.key), sent);
        }
        self.firing.wake = wake;
        Ok(())
    }

    /// The rows whose turn it is, and when to look again.
    fn rows_to_fire(
        &self,
        ctx: &Context<'_>,
        now: Hlc,
    ) -> Result<(Vec<ScheduleRow>, Option<Tick>), Stop> {
        let everything = Range::Prefix {
            prefix: &[],
            prefix_len: 0,
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        let mut rows = Vec::new();
        let mut wake: Option<Tick> = None;
        let mut wake_at = |at: Tick| wake = Some(wake.map_or(at, |wake: Tick| wake.min(at)));
        let due = self.state()?.scan_index(SCHEDULE_DUE, &everything)?;
        for row in due.take(FIRES_LOOKED_AT_MAX) {
            let row = ScheduleRow::read(&row?);
            let turn = row
                .due
                .0
                .saturating_add(self.grace(&row.author, &ctx.device));
            if turn > now.0 {
                wake_at(Tick(ctx.now.tick.0.saturating_add(turn - now.0)));
            } else if let Some(sent) = self.firing.was_sent(&row) {
                wake_at(sent.plus_ms(AGAIN_MS));
            } else {
                rows.push(row);
            }
            if row.due > now {
                break; // none after it is due
            }
        }
        Ok((rows, wake))
    }

    /// How long this device leaves it to others to fire a row, in microseconds: none if it wrote the
    /// row itself, else as many times as there are members between the author and it.
    fn grace(&self, author: &DeviceKey, own: &DeviceKey) -> u64 {
        if author == own {
            return 0;
        }
        let writers = self.members.iter().filter(|(_, role)| role.may_write());
        let writers: Vec<&DeviceKey> = writers.map(|(device, _)| device).collect();
        let place = |device: &DeviceKey| writers.partition_point(|other| *other < device);
        let len = writers.len().max(1);
        let rank = (place(own) + len - place(author) % len) % len;
        // One who is a member no more has no place of its own.
        let rank = rank.max(1) as u64;
        rank.saturating_mul(FIRE_GRACE_US)
    }
}
