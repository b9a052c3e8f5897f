//! How the greenhouse stands, as the peer of this device sees it: read with a few queries, shown by `watch`.

use crate::peer::Peer;
use crate::rows::{self, Identity, Row};
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Over how many seconds the rate of readings is taken.
const RATE_SECONDS: i64 = 10;
/// The newest finished jobs that are shown.
const FINISHED_SHOWN: usize = 5;

/// All that a view shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// When it was read, in microseconds since 1970.
    pub(crate) now_us: i64,
    /// The peer's address for clients.
    pub(crate) peer: String,
    pub(crate) devices: Vec<Device>,
    pub(crate) links: Vec<Link>,
    pub(crate) jobs: Vec<Job>,
    /// Newest first.
    pub(crate) finished: Vec<Finished>,
    pub(crate) alarms: Vec<Alarm>,
    /// Readings that are there.
    pub(crate) readings: u64,
    /// Of the last ten seconds.
    pub(crate) readings_per_second: f64,
    pub(crate) window_s: u32,
    pub(crate) away_s: u32,
    /// Height of the last cut.
    pub(crate) cut: u64,
    /// Calls that no cut covers.
    pub(crate) not_final: u64,
}

/// A sensor or an actuator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) last_seen_us: i64,
    pub(crate) readings: u64,
    pub(crate) value: Option<f64>,
}

/// Another member's peer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    /// Its device key.
    pub(crate) device: String,
    pub(crate) connected: bool,
    pub(crate) in_sync: bool,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) address: Option<String>,
}

/// What is to be done or being done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) number: u32,
    pub(crate) task: String,
    pub(crate) seconds: u32,
    pub(crate) asked_us: i64,
    pub(crate) claim: Option<Claim>,
}

/// Who does a job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) actuator: Identity,
    pub(crate) since_us: i64,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) job: u32,
    pub(crate) task: String,
    pub(crate) actuator: Identity,
    pub(crate) at_us: i64,
}

/// A device's latest alarm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alarm {
    pub(crate) device: Identity,
    pub(crate) value: f64,
    pub(crate) raised_us: i64,
    pub(crate) over_us: Option<i64>,
    pub(crate) acknowledged_by: Option<Identity>,
}

impl State {
    /// Asks a peer for all of it.
    ///
    /// # Errors
    /// When the peer does not answer, or its database is no greenhouse.
    pub(crate) fn read(peer: &Peer, now_us: i64) -> anyhow::Result<State> {
        let since = now_us - RATE_SECONDS * 1_000_000;
        let recent = count(peer, &format!("reading WHERE at > {since}"))?;
        let setting = one(peer, "SELECT window_s, away_s FROM setting")?;
        let cut = one(peer, "SELECT height, not_final FROM st_cut")?;
        Ok(State {
            now_us,
            peer: peer.address().to_owned(),
            devices: devices(peer)?,
            links: links(peer)?,
            jobs: jobs(peer)?,
            finished: finished(peer)?,
            alarms: alarms(peer)?,
            readings: count(peer, "reading")?,
            readings_per_second: recent as f64 / RATE_SECONDS as f64,
            window_s: Row(&setting).small(0)?,
            away_s: Row(&setting).small(1)?,
            cut: Row(&cut).number(0)?,
            not_final: Row(&cut).number(1)?,
        })
    }

    /// What a device is called; of others the beginning of the identity.
    pub(crate) fn name_of(&self, identity: &Identity) -> String {
        let device = self.devices.iter().find(|one| one.identity == *identity);
        device.map_or_else(|| identity.short().to_owned(), |one| one.name.clone())
    }

    /// Whether a device has been silent for so long that it would lose its job.
    pub(crate) fn is_away(&self, device: &Device) -> bool {
        crate::rules::is_away(device.last_seen_us, self.now_us, self.away_s)
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let devices = self.devices.iter().map(|device| {
            json!({
                "identity": device.identity.to_string(),
                "name": device.name,
                "kind": device.kind,
                "last_seen": device.last_seen_us,
                "away": self.is_away(device),
                "readings": device.readings,
                "value": device.value,
            })
        });
        let links = self.links.iter().map(|link| {
            json!({
                "device": link.device,
                "connected": link.connected,
                "in_sync": link.in_sync,
                "rtt_ms": link.rtt_ms,
                "reached": link.reached(),
                "address": link.address,
            })
        });
        let jobs = self.jobs.iter().map(|job| {
            json!({
                "number": job.number,
                "task": job.task,
                "seconds": job.seconds,
                "asked": job.asked_us,
                "claimed_by": job.claim.as_ref().map(|claim| claim.actuator.to_string()),
                "claimed_by_name": job.claim.as_ref().map(|claim| self.name_of(&claim.actuator)),
                "claimed_since": job.claim.as_ref().map(|claim| claim.since_us),
            })
        });
        let finished = self.finished.iter().map(|job| {
            json!({
                "number": job.job,
                "task": job.task,
                "done_by": job.actuator.to_string(),
                "done_by_name": self.name_of(&job.actuator),
                "at": job.at_us,
            })
        });
        let alarms = self.alarms.iter().map(|alarm| {
            json!({
                "device": alarm.device.to_string(),
                "device_name": self.name_of(&alarm.device),
                "value": alarm.value,
                "raised": alarm.raised_us,
                "over": alarm.over_us,
                "acknowledged_by": alarm.acknowledged_by.as_ref().map(Identity::to_string),
            })
        });
        json!({
            "peer": self.peer,
            "at": self.now_us,
            "devices": devices.collect::<Vec<_>>(),
            "links": links.collect::<Vec<_>>(),
            "jobs": jobs.collect::<Vec<_>>(),
            "finished": finished.collect::<Vec<_>>(),
            "alarms": alarms.collect::<Vec<_>>(),
            "readings": self.readings,
            "readings_per_second": self.readings_per_second,
            "window_s": self.window_s,
            "away_s": self.away_s,
            "cut": self.cut,
            "not_final": self.not_final,
        })
    }
}

impl Link {
    /// How it is reached, in a word or two.
    pub(crate) fn reached(&self) -> &'static str {
        match &self.address {
            _ if !self.connected => "not reached",
            Some(address) if address.contains("/p2p-circuit") => "relayed",
            Some(address) if address.contains("/quic") => "QUIC",
            Some(address) if address.contains("/tcp/") => "TCP",
            _ => "connected",
        }
    }

    /// Its address without what the transport says.
    pub(crate) fn host(&self) -> &str {
        let parts = self.address.as_deref().unwrap_or_default();
        parts.split('/').nth(2).unwrap_or_default()
    }
}

fn one(peer: &Peer, sql: &str) -> anyhow::Result<Value> {
    let row = peer.rows(sql)?.into_iter().next();
    row.with_context(|| format!("{sql}: no row; is this database a greenhouse?"))
}

fn count(peer: &Peer, of: &str) -> anyhow::Result<u64> {
    let row = one(peer, &format!("SELECT COUNT(*) AS n FROM {of}"))?;
    Row(&row).number(0)
}

fn devices(peer: &Peer) -> anyhow::Result<Vec<Device>> {
    let sql = "SELECT identity, name, kind, last_seen, readings, value FROM device ORDER BY name, identity";
    let device = |row: &Value| {
        let row = Row(row);
        Ok(Device {
            identity: row.identity(0)?,
            name: row.text(1)?.to_owned(),
            kind: match row.variant(2)? {
                0 => "temperature",
                1 => "humidity",
                _ => "actuator",
            },
            last_seen_us: row.time(3)?,
            readings: row.number(4)?,
            value: row.optional(5, rows::float)?,
        })
    };
    peer.rows(sql)?.iter().map(device).collect()
}

fn links(peer: &Peer) -> anyhow::Result<Vec<Link>> {
    // Round trips are told to the owner only.
    let told = match peer.is_owner() {
        true => peer.get("/v1/peer/peers")?,
        false => json!([]),
    };
    let told: BTreeMap<&str, &Value> = told
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|remote| Some((remote["id"].as_str()?, remote)))
        .collect();
    let sql = "SELECT device, address, connected, in_sync FROM st_peer WHERE this_peer = false ORDER BY device";
    let link = |row: &Value| {
        let row = Row(row);
        let device = row.text(0)?.to_owned();
        let remote = told.get(device.as_str());
        let shown = row.optional(1, |value| Ok(rows::text(value)?.to_owned()))?;
        let address = remote.and_then(|remote| remote["address"].as_str());
        Ok(Link {
            connected: row.yes(2)?,
            in_sync: row.yes(3)?,
            rtt_ms: remote.and_then(|remote| remote["rtt_ms"].as_f64()),
            address: address.map(str::to_owned).or(shown),
            device,
        })
    };
    peer.rows(sql)?.iter().map(link).collect()
}

/// Those that wait and those that are being done, oldest first.
///
/// # Errors
/// When the peer does not tell.
pub(crate) fn jobs(peer: &Peer) -> anyhow::Result<Vec<Job>> {
    let mut claims = BTreeMap::new();
    for row in peer.rows("SELECT job, actuator, since FROM claim")? {
        let row = Row(&row);
        let claim = Claim {
            actuator: row.identity(1)?,
            since_us: row.time(2)?,
        };
        claims.insert(row.small(0)?, claim);
    }
    let sql = "SELECT number, task, seconds, asked FROM job ORDER BY asked, number";
    let job = |row: &Value| {
        let row = Row(row);
        let number = row.small(0)?;
        Ok(Job {
            number,
            task: row.text(1)?.to_owned(),
            seconds: row.small(2)?,
            asked_us: row.time(3)?,
            claim: claims.get(&number).cloned(),
        })
    };
    peer.rows(sql)?.iter().map(job).collect()
}

fn finished(peer: &Peer) -> anyhow::Result<Vec<Finished>> {
    let sql = format!(
        "SELECT job, task, actuator, at FROM finished ORDER BY at DESC, job LIMIT {FINISHED_SHOWN}"
    );
    let done = |row: &Value| {
        let row = Row(row);
        Ok(Finished {
            job: row.small(0)?,
            task: row.text(1)?.to_owned(),
            actuator: row.identity(2)?,
            at_us: row.time(3)?,
        })
    };
    peer.rows(&sql)?.iter().map(done).collect()
}

fn alarms(peer: &Peer) -> anyhow::Result<Vec<Alarm>> {
    let sql = "SELECT device, value, raised, over, acknowledged_by FROM alarm ORDER BY raised DESC, device";
    let alarm = |row: &Value| {
        let row = Row(row);
        Ok(Alarm {
            device: row.identity(0)?,
            value: row.float(1)?,
            raised_us: row.time(2)?,
            over_us: row.optional(3, rows::time)?,
            acknowledged_by: row.optional(4, rows::identity)?,
        })
    };
    peer.rows(sql)?.iter().map(alarm).collect()
}
