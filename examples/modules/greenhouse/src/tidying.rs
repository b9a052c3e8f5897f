//! What the database does by itself from time to time: old rows go, and jobs of those who vanished are free
//! again.
//!
//! Peers that are apart each do it. When they meet, all of it runs again in the one order: a job that was
//! freed because its actuator was out of reach stays with it, if it was there all the time.

use crate::rules::{is_away, tidy_every_s};
use crate::{Setting, alarm, claim, device, finished, reading};
use spacetimedb::{ReducerContext, ScheduleAt, Table, TimeDuration, Timestamp, reducer, table};
use std::time::Duration;

/// Most readings, and most finished jobs, that one run deletes: a run is short, also after the window was
/// made much smaller. The rest goes with the next ones.
const ROWS_MAX: usize = 1_000;

/// When to tidy up; one row.
#[table(accessor = tidy_timer, scheduled(tidy))]
pub struct TidyTimer {
    #[primary_key]
    pub id: u64,
    pub scheduled_at: ScheduleAt,
}

/// From now on, as often as these settings ask for.
pub(crate) fn schedule(ctx: &ReducerContext, setting: &Setting) {
    let every_s = tidy_every_s(setting.window_s, setting.away_s);
    let timers = ctx.db.tidy_timer();
    timers.id().delete(0);
    timers.insert(TidyTimer {
        id: 0,
        scheduled_at: Duration::from_secs(every_s.into()).into(),
    });
}

/// Deletes what is older than the window, and takes jobs from actuators that are away.
#[reducer]
pub fn tidy(ctx: &ReducerContext, _timer: TidyTimer) -> Result<(), String> {
    let setting = crate::setting(ctx)?;
    let window = TimeDuration::from_micros(i64::from(setting.window_s) * 1_000_000);
    prune(ctx, ctx.timestamp - window);
    free_jobs(ctx, setting.away_s);
    Ok(())
}

fn prune(ctx: &ReducerContext, before: Timestamp) {
    let readings = ctx.db.reading();
    // Collected first: rows go while an index is read otherwise.
    let old: Vec<_> = readings.at().filter(..before).take(ROWS_MAX).collect();
    for reading in old {
        readings.delete(reading);
    }
    let finished = ctx.db.finished();
    let old: Vec<_> = finished.at().filter(..before).take(ROWS_MAX).collect();
    for job in old {
        finished.job().delete(job.job);
    }
    let alarms = ctx.db.alarm();
    let seen_to: Vec<_> = alarms
        .iter()
        .filter(|alarm| alarm.acknowledged_by.is_some())
        .filter(|alarm| alarm.over.is_some_and(|over| over < before))
        .collect();
    for alarm in seen_to {
        alarms.device().delete(alarm.device);
    }
}

fn free_jobs(ctx: &ReducerContext, away_s: u32) {
    let now = ctx.timestamp.to_micros_since_unix_epoch();
    let claims = ctx.db.claim();
    let all: Vec<_> = claims.iter().collect();
    for claim in all {
        let device = ctx.db.device().identity().find(claim.actuator);
        let seen = device.map(|device| device.last_seen.to_micros_since_unix_epoch());
        if seen.is_none_or(|seen| is_away(seen, now, away_s)) {
            claims.job().delete(claim.job);
            log::warn!("job {} is free again: its actuator is away", claim.job);
        }
    }
}
