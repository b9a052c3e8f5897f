//! A greenhouse whose devices coordinate themselves: sensors write readings, actuators claim jobs, alarms
//! are raised and acknowledged.
//!
//! An ordinary SpacetimeDB module. What it keeps in mind is that devices may be apart for hours and act all
//! the same:
//!
//! - What a client names in a call is the same on every peer and after every merge. So no number is counted
//!   up: a device is its identity, an alarm its device and time, a job a number that is drawn.
//! - A reading touches rows of its own device only, so readings of others that come late change nothing of it.
//! - Who is first is said by unique columns alone: a job has one claim, an actuator one job.

mod rules;
mod tidying;

use rules::{Alarmed, Bounds, check_text, check_value, within};
use spacetimedb::rand::Rng;
use spacetimedb::{Identity, ReducerContext, SpacetimeType, Table, Timestamp, reducer, table};

/// Most devices of a greenhouse.
const DEVICES_MAX: u64 = 1_000;
/// Most jobs that may wait or be worked on.
const JOBS_MAX: u64 = 1_000;
/// Numbers of jobs: six digits, which people can say to each other.
const JOB_NUMBERS: std::ops::Range<u32> = 100_000..1_000_000;
/// Numbers that are drawn until one is free.
const DRAWS_MAX: u32 = 32;
/// How long readings are kept at first, in seconds.
const WINDOW_S: u32 = 3_600;
/// After how many seconds of silence a claimer counts as away at first.
const AWAY_S: u32 = 30;

/// What a device is.
#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Temperature,
    Humidity,
    Actuator,
}

impl Kind {
    /// What its sensors can measure, with the unit; nothing for what is no sensor.
    fn measures(self) -> Option<((f64, f64), &'static str)> {
        match self {
            Kind::Temperature => Some(((-60.0, 120.0), "°C")),
            Kind::Humidity => Some(((0.0, 100.0), "%")),
            Kind::Actuator => None,
        }
    }
}

/// A sensor or an actuator. Two may have one name: if names were unique, of two devices that took one while
/// they were apart the second would not be registered, and its readings would be void.
#[table(accessor = device, public)]
pub struct Device {
    #[primary_key]
    pub identity: Identity,
    pub name: String,
    pub kind: Kind,
    pub registered: Timestamp,
    pub last_seen: Timestamp,
    /// How many readings it ever wrote.
    pub readings: u64,
    /// The newest of them.
    pub value: Option<f64>,
    /// So many in a row were out of bounds.
    pub streak: u32,
}

/// What a sensor measured. Without a number: a late one would change those of all that came after it.
#[table(accessor = reading, public)]
pub struct Reading {
    #[index(btree)]
    pub device: Identity,
    #[index(btree)]
    pub at: Timestamp,
    pub value: f64,
}

/// When readings of a kind raise an alarm.
#[table(accessor = threshold, public)]
pub struct Threshold {
    #[primary_key]
    pub kind: Kind,
    pub low: f64,
    pub high: f64,
    /// Readings in a row that have to be out of bounds.
    pub streak: u32,
}

/// A device's latest alarm.
#[table(accessor = alarm, public)]
pub struct Alarm {
    #[primary_key]
    pub device: Identity,
    /// The reading that raised it.
    pub value: f64,
    pub raised: Timestamp,
    /// Since when readings are good again.
    pub over: Option<Timestamp>,
    pub acknowledged_by: Option<Identity>,
    pub acknowledged_at: Option<Timestamp>,
}

/// What is to be done, or is being done: that says its claim.
#[table(accessor = job, public)]
pub struct Job {
    #[primary_key]
    pub number: u32,
    pub task: String,
    /// How long it takes.
    pub seconds: u32,
    pub asked: Timestamp,
    pub asked_by: Identity,
}

/// Who does which job. Both columns are unique, and nothing else decides who was first.
#[table(accessor = claim, public)]
pub struct Claim {
    #[primary_key]
    pub job: u32,
    #[unique]
    pub actuator: Identity,
    pub since: Timestamp,
}

/// A job that was done.
#[table(accessor = finished, public)]
pub struct Finished {
    #[primary_key]
    pub job: u32,
    pub task: String,
    pub actuator: Identity,
    #[index(btree)]
    pub at: Timestamp,
}

/// What can be set; one row.
#[table(accessor = setting, public)]
pub struct Setting {
    #[primary_key]
    pub id: u8,
    /// How long readings and finished jobs are kept.
    pub window_s: u32,
    /// After so many seconds of silence an actuator loses its job.
    pub away_s: u32,
    /// Who made the greenhouse.
    pub made_by: Identity,
}

/// Who has which role in the database: Tombolo keeps the rows. On a server of SpacetimeDB there are none.
#[table(accessor = sys_role, public)]
pub struct Role {
    #[primary_key]
    pub identity: Identity,
    pub role: String,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    let setting = ctx.db.setting().insert(Setting {
        id: 0,
        window_s: WINDOW_S,
        away_s: AWAY_S,
        made_by: ctx.sender(),
    });
    tidying::schedule(ctx, &setting);
    for (kind, low, high) in [(Kind::Temperature, 5.0, 35.0), (Kind::Humidity, 30.0, 90.0)] {
        ctx.db.threshold().insert(Threshold {
            kind,
            low,
            high,
            streak: 3,
        });
    }
}

/// Makes the caller a device of this greenhouse, or gives it another name.
#[reducer]
pub fn register(ctx: &ReducerContext, name: String, kind: Kind) -> Result<(), String> {
    check_text("a device's name", &name, rules::NAME_BYTES_MAX)?;
    let devices = ctx.db.device();
    if let Some(device) = devices.identity().find(ctx.sender()) {
        if device.kind != kind {
            return Err(format!(
                "this device is registered as {:?}: have it forgotten before it becomes {kind:?}",
                device.kind
            ));
        }
        devices.identity().update(Device {
            name,
            last_seen: device.last_seen.max(ctx.timestamp),
            ..device
        });
        return Ok(());
    }
    if devices.count() >= DEVICES_MAX {
        return Err(format!("a greenhouse has at most {DEVICES_MAX} devices"));
    }
    devices.insert(Device {
        identity: ctx.sender(),
        name,
        kind,
        registered: ctx.timestamp,
        last_seen: ctx.timestamp,
        readings: 0,
        value: None,
        streak: 0,
    });
    Ok(())
}

/// Says that the caller, a device, is here: what an actuator does while it works or waits.
#[reducer]
pub fn seen(ctx: &ReducerContext) -> Result<(), String> {
    let device = caller(ctx)?;
    ctx.db.device().identity().update(Device {
        last_seen: device.last_seen.max(ctx.timestamp),
        ..device
    });
    Ok(())
}

/// Removes a device that is gone for good, with its claim and its alarm. Its readings leave with the window.
#[reducer]
pub fn forget(ctx: &ReducerContext, device: Identity) -> Result<(), String> {
    gardener(ctx, "have a device forgotten")?;
    if !ctx.db.device().identity().delete(device) {
        return Err(format!("{device} is no device of this greenhouse"));
    }
    ctx.db.claim().actuator().delete(device);
    ctx.db.alarm().device().delete(device);
    Ok(())
}

/// Writes a reading of the caller: a device writes its own and nobody else's.
#[reducer]
pub fn record(ctx: &ReducerContext, value: f64) -> Result<(), String> {
    let device = caller(ctx)?;
    let Some((range, unit)) = device.kind.measures() else {
        return Err(format!(
            "{} is an actuator and measures nothing",
            device.name
        ));
    };
    check_value(value, range, unit)?;
    ctx.db.reading().insert(Reading {
        device: device.identity,
        at: ctx.timestamp,
        value,
    });
    let streak = match ctx.db.threshold().kind().find(device.kind) {
        Some(threshold) => judge(ctx, &device, &threshold, value),
        None => 0,
    };
    ctx.db.device().identity().update(Device {
        last_seen: device.last_seen.max(ctx.timestamp),
        readings: device.readings + 1,
        value: Some(value),
        streak,
        ..device
    });
    Ok(())
}

/// Raises an alarm or ends one, and gives the readings in a row that were out of bounds.
fn judge(ctx: &ReducerContext, device: &Device, threshold: &Threshold, value: f64) -> u32 {
    let bounds = Bounds {
        low: threshold.low,
        high: threshold.high,
        streak: threshold.streak,
    };
    let judged = bounds.judge(device.streak, value);
    let alarms = ctx.db.alarm();
    let latest = alarms.device().find(device.identity);
    match (judged.alarm, latest) {
        (Alarmed::Raise, Some(Alarm { over: None, .. })) => {}
        (Alarmed::Raise, latest) => {
            if latest.is_some() {
                alarms.device().delete(device.identity);
            }
            log::warn!("{}: {value} is out of bounds", device.name);
            alarms.insert(Alarm {
                device: device.identity,
                value,
                raised: ctx.timestamp,
                over: None,
                acknowledged_by: None,
                acknowledged_at: None,
            });
        }
        (Alarmed::Over, Some(alarm)) if alarm.over.is_none() => {
            alarms.device().update(Alarm {
                over: Some(ctx.timestamp),
                ..alarm
            });
        }
        (Alarmed::Over | Alarmed::Wait, _) => {}
    }
    judged.streak
}

/// Says that somebody has seen to an alarm; `raised` tells it from a later one of the same device.
#[reducer]
pub fn acknowledge(
    ctx: &ReducerContext,
    device: Identity,
    raised: Timestamp,
) -> Result<(), String> {
    let alarm = ctx.db.alarm().device().find(device);
    let alarm = alarm.filter(|alarm| alarm.raised == raised);
    let alarm = alarm.ok_or("there is no such alarm any more: look again")?;
    if let Some(by) = alarm.acknowledged_by {
        return Err(format!("{} has acknowledged it already", name_of(ctx, by)));
    }
    ctx.db.alarm().device().update(Alarm {
        acknowledged_by: Some(ctx.sender()),
        acknowledged_at: Some(ctx.timestamp),
        ..alarm
    });
    Ok(())
}

/// Asks for something to be done by whichever actuator claims it.
#[reducer]
pub fn add_job(ctx: &ReducerContext, task: String, seconds: u32) -> Result<(), String> {
    check_text("a job's text", &task, rules::TASK_BYTES_MAX)?;
    within("a job's seconds", seconds, (0, rules::JOB_SECONDS_MAX))?;
    let jobs = ctx.db.job();
    if jobs.count() >= JOBS_MAX {
        return Err(format!("{JOBS_MAX} jobs wait already: cancel some"));
    }
    let drawn = (0..DRAWS_MAX).map(|_| ctx.rng().gen_range(JOB_NUMBERS));
    let number = drawn.into_iter().find(|number| {
        jobs.number().find(*number).is_none() && ctx.db.finished().job().find(*number).is_none()
    });
    jobs.insert(Job {
        number: number.ok_or("no number was free: ask once more")?,
        task,
        seconds,
        asked: ctx.timestamp,
        asked_by: ctx.sender(),
    });
    Ok(())
}

/// Takes back a job that nobody works on.
#[reducer]
pub fn cancel_job(ctx: &ReducerContext, job: u32) -> Result<(), String> {
    let found = open_job(ctx, job)?;
    if found.asked_by != ctx.sender() {
        gardener(ctx, "cancel what somebody else asked for")?;
    }
    if let Some(claim) = ctx.db.claim().job().find(job) {
        let who = name_of(ctx, claim.actuator);
        return Err(format!("job {job} is being done by {who}"));
    }
    ctx.db.job().number().delete(job);
    Ok(())
}

/// Takes a job for the caller, an actuator. If two take one while they are apart, both are told yes, and
/// the one order says who had it: the other's claim fails when they meet.
#[reducer]
pub fn claim_job(ctx: &ReducerContext, job: u32) -> Result<(), String> {
    let device = caller(ctx)?;
    if device.kind != Kind::Actuator {
        return Err(format!("{} is a sensor and does no jobs", device.name));
    }
    open_job(ctx, job)?;
    let claims = ctx.db.claim();
    if let Some(claim) = claims.job().find(job) {
        return Err(match claim.actuator == device.identity {
            true => format!("you have job {job} already"),
            false => format!("job {job} is claimed by {}", name_of(ctx, claim.actuator)),
        });
    }
    if let Some(claim) = claims.actuator().find(device.identity) {
        return Err(format!("you do job {} still: one at a time", claim.job));
    }
    claims.insert(Claim {
        job,
        actuator: device.identity,
        since: ctx.timestamp,
    });
    ctx.db.device().identity().update(Device {
        last_seen: device.last_seen.max(ctx.timestamp),
        ..device
    });
    Ok(())
}

/// Says that the caller's job is done.
#[reducer]
pub fn finish_job(ctx: &ReducerContext, job: u32) -> Result<(), String> {
    let found = own_job(ctx, job)?;
    ctx.db.claim().job().delete(job);
    ctx.db.job().number().delete(job);
    ctx.db.finished().insert(Finished {
        job,
        task: found.task,
        actuator: ctx.sender(),
        at: ctx.timestamp,
    });
    Ok(())
}

/// Lets another actuator have the caller's job.
#[reducer]
pub fn give_up_job(ctx: &ReducerContext, job: u32) -> Result<(), String> {
    own_job(ctx, job)?;
    ctx.db.claim().job().delete(job);
    Ok(())
}

/// Sets how long readings and finished jobs are kept.
#[reducer]
pub fn set_window(ctx: &ReducerContext, seconds: u32) -> Result<(), String> {
    gardener(ctx, "set the window")?;
    within("the window's seconds", seconds, rules::WINDOW_SECONDS)?;
    set(
        ctx,
        Setting {
            window_s: seconds,
            ..setting(ctx)?
        },
    );
    Ok(())
}

/// Sets after how many seconds of silence an actuator loses its job.
#[reducer]
pub fn set_away(ctx: &ReducerContext, seconds: u32) -> Result<(), String> {
    gardener(ctx, "set when a device is away")?;
    within("the seconds of silence", seconds, rules::AWAY_SECONDS)?;
    set(
        ctx,
        Setting {
            away_s: seconds,
            ..setting(ctx)?
        },
    );
    Ok(())
}

/// Sets when readings of a kind raise an alarm.
#[reducer]
pub fn set_threshold(
    ctx: &ReducerContext,
    kind: Kind,
    low: f64,
    high: f64,
    streak: u32,
) -> Result<(), String> {
    gardener(ctx, "set thresholds")?;
    if kind.measures().is_none() {
        return Err(format!("{kind:?} measures nothing"));
    }
    Bounds { low, high, streak }.check()?;
    ctx.db.threshold().kind().delete(kind);
    ctx.db.threshold().insert(Threshold {
        kind,
        low,
        high,
        streak,
    });
    Ok(())
}

/// The device that calls.
fn caller(ctx: &ReducerContext) -> Result<Device, String> {
    let device = ctx.db.device().identity().find(ctx.sender());
    device.ok_or_else(|| {
        format!(
            "{} is no device of this greenhouse: register it first",
            ctx.sender()
        )
    })
}

/// Whether the caller looks after the greenhouse: who made it, or an owner or admin of the database.
fn gardener(ctx: &ReducerContext, what: &str) -> Result<(), String> {
    let role = ctx.db.sys_role().identity().find(ctx.sender());
    let has_role = role.is_some_and(|role| ["owner", "admin"].contains(&role.role.as_str()));
    match has_role || setting(ctx)?.made_by == ctx.sender() {
        true => Ok(()),
        false => Err(format!(
            "only an owner or admin of the greenhouse may {what}"
        )),
    }
}

fn open_job(ctx: &ReducerContext, job: u32) -> Result<Job, String> {
    if let Some(job) = ctx.db.job().number().find(job) {
        return Ok(job);
    }
    Err(match ctx.db.finished().job().find(job) {
        Some(done) => format!("job {job} was done by {}", name_of(ctx, done.actuator)),
        None => format!("there is no job {job}"),
    })
}

/// The job, if the caller has claimed it.
fn own_job(ctx: &ReducerContext, job: u32) -> Result<Job, String> {
    let found = open_job(ctx, job)?;
    match ctx.db.claim().job().find(job) {
        Some(claim) if claim.actuator == ctx.sender() => Ok(found),
        Some(claim) => Err(format!(
            "job {job} is not yours: {} has it",
            name_of(ctx, claim.actuator)
        )),
        None => Err(format!("job {job} is not yours: nobody has claimed it")),
    }
}

fn setting(ctx: &ReducerContext) -> Result<Setting, String> {
    let setting = ctx.db.setting().id().find(0);
    setting.ok_or_else(|| "the row of settings is gone: an owner has deleted it".to_string())
}

fn set(ctx: &ReducerContext, setting: Setting) {
    let setting = ctx.db.setting().id().update(setting);
    tidying::schedule(ctx, &setting);
}

/// What a device is called; of others the beginning of the identity.
fn name_of(ctx: &ReducerContext, identity: Identity) -> String {
    match ctx.db.device().identity().find(identity) {
        Some(device) => device.name,
        None => identity.to_hex().chars().take(8).collect(),
    }
}
