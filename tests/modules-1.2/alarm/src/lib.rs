//! Rings at a time: a table that schedules a reducer.

use spacetimedb::{ReducerContext, ScheduleAt, reducer, table};

#[table(name = alarm, scheduled(ring, at = at))]
pub struct Alarm {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub at: ScheduleAt,
    pub text: String,
}

#[reducer]
pub fn ring(_ctx: &ReducerContext, alarm: Alarm) {
    log::info!("{}", alarm.text);
}
