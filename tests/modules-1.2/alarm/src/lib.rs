//! Rings at a time: a table that schedules a reducer.

use spacetimedb::{ReducerContext, ScheduleAt, Table, reducer, table};

#[table(name = alarm, scheduled(ring, at = at))]
pub struct Alarm {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub at: ScheduleAt,
    pub text: String,
}

/// Rings at once.
#[reducer]
pub fn set(ctx: &ReducerContext, text: String) {
    ctx.db.alarm().insert(Alarm {
        id: 0,
        at: ScheduleAt::Time(ctx.timestamp),
        text,
    });
}

#[reducer]
pub fn ring(_ctx: &ReducerContext, alarm: Alarm) {
    log::info!("{}", alarm.text);
}
