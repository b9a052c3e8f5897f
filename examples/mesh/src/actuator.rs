//! `greenhouse actuator`: claims jobs and does them. The work is simulated: it takes the job's seconds.

use crate::device::{Waits, state_file};
use crate::duty::{Duty, Fate, Seen, Step};
use crate::peer::{CallId, Peer, Place, Refused};
use crate::rows::{self, Row};
use crate::sensor::register;
use crate::state;
use crate::world::{now_us, pause};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `actuator`.
#[derive(Args, Debug)]
pub(crate) struct Actuator {
    #[command(flatten)]
    place: Place,
    /// What people call it
    name: String,
    /// Begin only when the claim is final: for work that must never be done twice
    #[arg(long)]
    sure: bool,
    /// Milliseconds between two looks for jobs
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    every: u64,
    /// Folder for its token, by which it is the same device the next time [default: greenhouse in
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "GREENHOUSE_STATE")]
    state: Option<PathBuf>,
}

impl Actuator {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let peer = Peer::of(&self.place)?;
        let (peer, identity) = peer.known_by(&state_file(self.state.as_deref(), &self.name)?)?;
        register(&peer, &self.name, "Actuator")?;
        println!("{}: {identity} at {}", self.name, peer.address());
        let mut duty = Duty::new(identity, self.sure);
        let mut waits = Waits::default();
        loop {
            match turn(&peer, &mut duty, &self.name) {
                Ok(()) => {
                    waits.over();
                    pause(Duration::from_millis(self.every));
                }
                Err(error) => {
                    let wait = waits.next();
                    eprintln!(
                        "{}: {error:#}; trying again in {} s",
                        self.name,
                        wait.as_secs()
                    );
                    pause(wait);
                }
            }
        }
    }
}

/// Looks, and does what follows.
fn turn(peer: &Peer, duty: &mut Duty, name: &str) -> anyhow::Result<()> {
    let seen = look(peer, duty)?;
    let mut steps = duty.next(&seen);
    // Answers may have steps of their own, which are never answered again.
    while !steps.is_empty() {
        let mut more = Vec::new();
        for step in steps {
            more.extend(done(peer, duty, name, &seen, step)?);
        }
        steps = more;
    }
    Ok(())
}

fn done(
    peer: &Peer,
    duty: &mut Duty,
    name: &str,
    seen: &Seen,
    step: Step,
) -> anyhow::Result<Vec<Step>> {
    let (reducer, job) = match step {
        Step::Say(text) => {
            println!("{name}: {text}");
            return Ok(vec![]);
        }
        Step::Lost { job, to } => {
            let sql = format!("SELECT name FROM device WHERE identity = 0x{to}");
            let rows = peer.rows(&sql)?;
            let who = rows.first().and_then(|row| row[0].as_str());
            let who = who.unwrap_or(to.short());
            println!("{name}: job {job}: lost: {who} has it, whose claim comes first");
            return Ok(vec![]);
        }
        Step::Here => match peer.call("seen", &json!([])) {
            Ok(_) => return Ok(vec![]),
            Err(Refused::No(_, why)) => {
                eprintln!("{name}: {why}; registering again");
                register(peer, name, "Actuator")?;
                return Ok(vec![]);
            }
            Err(later) => return Err(later.into()),
        },
        Step::Claim(job) => ("claim_job", job),
        Step::Finish(job) => ("finish_job", job),
    };
    match (peer.call(reducer, &json!([job])), reducer) {
        (Ok(call), "claim_job") => Ok(duty.claimed(job, call, seen)),
        (Ok(call), _) => Ok(duty.finished(job, call)),
        (Err(Refused::No(_, why)), _) => Ok(duty.refused(&why, seen)),
        (Err(later), _) => Err(later.into()),
    }
}

fn look(peer: &Peer, duty: &Duty) -> anyhow::Result<Seen> {
    let setting = peer.rows("SELECT away_s FROM setting")?;
    let setting = setting.first().context("this database is no greenhouse")?;
    Ok(Seen {
        now_us: now_us(),
        jobs: state::jobs(peer)?,
        fates: fates(peer, &duty.calls())?,
        away_s: Row(setting).small(0)?,
    })
}

fn fates(peer: &Peer, calls: &[CallId]) -> anyhow::Result<BTreeMap<CallId, Fate>> {
    let mut fates = BTreeMap::new();
    for call in calls {
        let sql = format!(
            "SELECT status, is_final, error FROM st_invocation WHERE id = '{}'",
            call.0
        );
        // What the peer does not know any more is not told.
        if let Some(row) = peer.rows(&sql)?.first() {
            fates.insert(call.clone(), fate(row)?);
        }
    }
    Ok(fates)
}

fn fate(row: &Value) -> anyhow::Result<Fate> {
    let row = Row(row);
    Ok(match row.text(0)? {
        "final" => Fate::Final,
        "tentative" => Fate::Open,
        // Until it is final, it may still succeed: whoever was before it may turn out to come later.
        _ if !row.yes(1)? && row.text(0)? != "void" => Fate::Open,
        other => {
            let error = row.optional(2, |value| Ok(rows::text(value)?.to_owned()))?;
            Fate::Failed(error.unwrap_or_else(|| other.to_owned()))
        }
    })
}
