//! Alarms that ring: rows that say when a reducer runs. And views of them.

use std::time::Duration;

use spacetimedb::{
    AnonymousViewContext, Identity, Query, ReducerContext, ScheduleAt, SpacetimeType, Table,
    TimeDuration, Timestamp, ViewContext, reducer, table, view,
};

/// When to ring.
#[table(accessor = alarm, public, scheduled(ring))]
pub struct Alarm {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub scheduled_at: ScheduleAt,
    pub note: String,
    /// How often an alarm that snoozes puts itself off.
    pub snoozes: u32,
}

/// What rang.
#[table(accessor = rung, public)]
pub struct Rung {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub note: String,
    pub at: Timestamp,
    pub by: Identity,
}

/// While there is one, nothing rings, and nobody leaves without an error.
#[table(accessor = jam, public)]
pub struct Jam {
    #[primary_key]
    pub id: u8,
}

/// Who is here.
#[table(accessor = visitor, public)]
pub struct Visitor {
    #[primary_key]
    pub identity: Identity,
    pub left: u32,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    ctx.db.alarm().insert(Alarm {
        id: 0,
        scheduled_at: ScheduleAt::Time(ctx.timestamp),
        note: "born".to_string(),
        snoozes: 0,
    });
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) -> Result<(), String> {
    let identity = ctx.sender();
    // Noted before it is looked whether anybody may leave: an error has to undo it.
    match ctx.db.visitor().identity().find(identity) {
        Some(visitor) => {
            let left = visitor.left + 1;
            ctx.db
                .visitor()
                .identity()
                .update(Visitor { left, ..visitor });
        }
        None => {
            ctx.db.visitor().insert(Visitor { identity, left: 1 });
        }
    }
    not_jammed(ctx)
}

/// Rings once, so many milliseconds from now; of the past with a negative number.
#[reducer]
pub fn set_alarm(ctx: &ReducerContext, after_ms: i64, note: String, snoozes: u32) {
    let at = ctx.timestamp + TimeDuration::from_micros(after_ms * 1_000);
    ctx.db.alarm().insert(Alarm {
        id: 0,
        scheduled_at: ScheduleAt::Time(at),
        note,
        snoozes,
    });
}

/// Rings again and again, so many milliseconds apart.
#[reducer]
pub fn set_interval(ctx: &ReducerContext, every_ms: u32, note: String) {
    ctx.db.alarm().insert(Alarm {
        id: 0,
        scheduled_at: Duration::from_millis(every_ms.into()).into(),
        note,
        snoozes: 0,
    });
}

/// Takes back all alarms with that note.
#[reducer]
pub fn cancel(ctx: &ReducerContext, note: String) {
    for alarm in ctx.db.alarm().iter().filter(|alarm| alarm.note == note) {
        ctx.db.alarm().id().delete(alarm.id);
    }
}

/// Jams the clockwork, or mends it.
#[reducer]
pub fn set_jam(ctx: &ReducerContext, jammed: bool) {
    ctx.db.jam().id().delete(1);
    if jammed {
        ctx.db.jam().insert(Jam { id: 1 });
    }
}

/// What a row of alarms runs.
#[reducer]
pub fn ring(ctx: &ReducerContext, alarm: Alarm) -> Result<(), String> {
    ctx.db.rung().insert(Rung {
        id: 0,
        note: alarm.note.clone(),
        at: ctx.timestamp,
        by: ctx.sender(),
    });
    not_jammed(ctx)?;
    match alarm.note.as_str() {
        "once more" => {
            ctx.db.alarm().id().delete(alarm.id);
        }
        "snooze" if alarm.snoozes > 0 => {
            let at = ctx.timestamp + TimeDuration::from_micros(1_000_000);
            ctx.db.alarm().id().update(Alarm {
                scheduled_at: ScheduleAt::Time(at),
                snoozes: alarm.snoozes - 1,
                ..alarm
            });
        }
        _ => {}
    }
    Ok(())
}

/// What rang with this note, for everybody.
#[view(accessor = loud_ring, public)]
fn loud_ring(ctx: &AnonymousViewContext) -> Vec<Rung> {
    ctx.db.rung().note().filter("loud").collect()
}

/// How often the one who asks has left.
#[view(accessor = my_visits, public)]
fn my_visits(ctx: &ViewContext) -> Option<Visitor> {
    ctx.db.visitor().identity().find(ctx.sender())
}

/// The same as a query.
#[view(accessor = visits_by_query, public)]
fn visits_by_query(ctx: &ViewContext) -> impl Query<Visitor> {
    let sender = ctx.sender();
    ctx.from
        .visitor()
        .r#where(move |row| row.identity.eq(sender))
}

/// How much there is. Cannot be told while the clockwork is jammed.
#[view(accessor = tally, public)]
fn tally(ctx: &AnonymousViewContext) -> Option<Tally> {
    assert!(ctx.db.jam().id().find(1).is_none(), "nobody can count now");
    Some(Tally {
        alarms: ctx.db.alarm().count(),
        rung: ctx.db.rung().count(),
    })
}

/// A row that is in no table.
#[derive(SpacetimeType)]
pub struct Tally {
    pub alarms: u64,
    pub rung: u64,
}

fn not_jammed(ctx: &ReducerContext) -> Result<(), String> {
    match ctx.db.jam().id().find(1) {
        None => Ok(()),
        Some(_) => Err("the clockwork is jammed".to_string()),
    }
}
