//! What an actuator does next: decided from what it sees of the greenhouse, without clock, peer or terminal.
//!
//! A claim that a peer took may still turn out to come second, when somebody else's comes from a part of
//! the mesh that was out of reach. So an actuator looks again and again whether the job is still its own. One whose work
//! must never be done twice waits until its claim is final before it begins: then nobody can come before it.

use crate::peer::CallId;
use crate::rows::Identity;
use crate::state::Job;
use std::collections::BTreeMap;

/// How often an actuator says that it is here while it has nothing to do, in microseconds.
const IDLE_SEEN_US: i64 = 10_000_000;
/// How long it claims nothing after it was refused again and again, in microseconds: first this long, then
/// twice as long each time. A call that fails is kept as any other.
const REFUSED_WAIT_US: i64 = 1_000_000;
/// Not longer than this many times that.
const REFUSED_WAITS_MAX: i64 = 16;
/// Out of so many of the oldest free jobs one is taken, not always the same by all.
const CHOICE: usize = 4;
/// Finished jobs whose finality is waited for at a time; of more than that the oldest is not told.
const UNSETTLED_MAX: usize = 32;

/// What an actuator sees when it looks.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) now_us: i64,
    pub(crate) jobs: Vec<Job>,
    /// What became of the calls that are [waited for](Duty::calls), as far as the peer still knows.
    pub(crate) fates: BTreeMap<CallId, Fate>,
    /// After how many seconds of silence a job is taken from an actuator.
    pub(crate) away_s: u32,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may still change.
    Open,
    /// It succeeded, and that stays.
    Final,
    /// It failed, with this text.
    Failed(String),
}

/// What an actuator is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Claim this job. Answered with [`Duty::claimed`] or [`Duty::refused`].
    Claim(u32),
    /// Finish this job. Answered with [`Duty::finished`] or [`Duty::refused`].
    Finish(u32),
    /// Say that it is here.
    Here,
    /// Tell whoever watches.
    Say(String),
    /// Tell that a job turned out to be another device's.
    Lost { job: u32, to: Identity },
}

/// An actuator at work.
#[derive(Debug)]
pub(crate) struct Duty {
    own: Identity,
    /// Whether to wait until a claim is final before the work begins.
    sure: bool,
    phase: Phase,
    /// When it was last heard of, by the clock that [`Seen`] tells.
    told_us: i64,
    /// Until when it claims nothing.
    idle_until_us: i64,
    /// How long the next refusal makes it wait, in multiples of [`REFUSED_WAIT_US`].
    refused_waits: i64,
    /// Finished jobs that are not final yet.
    unsettled: Vec<(u32, CallId)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The claim was taken and is not final yet.
    Unsure {
        job: u32,
        call: CallId,
    },
    Work {
        job: u32,
        until_us: i64,
    },
    /// The work is done; the peer has not taken that yet.
    Done {
        job: u32,
    },
}

impl Duty {
    pub(crate) fn new(own: Identity, sure: bool) -> Duty {
        Duty {
            own,
            sure,
            phase: Phase::Idle,
            told_us: i64::MIN,
            idle_until_us: i64::MIN,
            refused_waits: 1,
            unsettled: Vec::new(),
        }
    }

    /// The calls whose fate it wants to see.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        let claim = match &self.phase {
            Phase::Unsure { call, .. } => Some(call.clone()),
            _ => None,
        };
        let finished = self.unsettled.iter().map(|(_, call)| call.clone());
        claim.into_iter().chain(finished).collect()
    }

    /// What to do now, in order.
    pub(crate) fn next(&mut self, seen: &Seen) -> Vec<Step> {
        let mut steps = self.settled(seen);
        steps.extend(self.lost(seen));
        match &self.phase {
            Phase::Idle => steps.extend(self.begin(seen)),
            Phase::Unsure { job, call } => {
                if seen.fates.get(call) == Some(&Fate::Final) {
                    steps.push(Step::Say(format!("job {job}: the claim is final")));
                    steps.push(self.work(*job, seen));
                }
            }
            Phase::Work { job, until_us } if seen.now_us >= *until_us => {
                let job = *job;
                self.phase = Phase::Done { job };
                steps.push(Step::Finish(job));
            }
            Phase::Work { .. } => {}
            // The peer did not take it the last time.
            Phase::Done { job } => steps.push(Step::Finish(*job)),
        }
        if seen.now_us.saturating_sub(self.told_us) >= self.every_us(seen) {
            self.told_us = seen.now_us;
            steps.push(Step::Here);
        }
        steps
    }

    /// A claim was taken.
    pub(crate) fn claimed(&mut self, job: u32, call: CallId, seen: &Seen) -> Vec<Step> {
        self.told_us = seen.now_us;
        self.refused_waits = 1;
        if self.sure {
            self.phase = Phase::Unsure { job, call };
            return vec![Step::Say(format!("job {job}: claimed, not final yet"))];
        }
        vec![
            Step::Say(format!("job {job}: claimed")),
            self.work(job, seen),
        ]
    }

    /// A job's end was taken.
    pub(crate) fn finished(&mut self, job: u32, call: CallId) -> Vec<Step> {
        self.phase = Phase::Idle;
        self.unsettled.push((job, call));
        if self.unsettled.len() > UNSETTLED_MAX {
            self.unsettled.remove(0);
        }
        vec![Step::Say(format!("job {job}: done"))]
    }

    /// The greenhouse said no to a claim or to the end of a job.
    pub(crate) fn refused(&mut self, why: &str, seen: &Seen) -> Vec<Step> {
        self.phase = Phase::Idle;
        self.idle_until_us = seen.now_us + self.refused_waits * REFUSED_WAIT_US;
        self.refused_waits = (self.refused_waits * 2).min(REFUSED_WAITS_MAX);
        vec![Step::Say(format!("refused: {why}"))]
    }

    /// Jobs whose end cannot change any more.
    fn settled(&mut self, seen: &Seen) -> Vec<Step> {
        let mut said = Vec::new();
        self.unsettled.retain(|(job, call)| {
            said.push(Step::Say(match seen.fates.get(call) {
                Some(Fate::Final) => format!("job {job}: final, this device did it"),
                Some(Fate::Failed(why)) => {
                    format!("job {job}: void, somebody else was first: {why}")
                }
                Some(Fate::Open) | None => return true,
            }));
            false
        });
        said
    }

    /// Whether the job that it has is somebody else's by now, or gone.
    fn lost(&mut self, seen: &Seen) -> Option<Step> {
        let job = match &self.phase {
            Phase::Idle => return None,
            Phase::Unsure { job, .. } | Phase::Work { job, .. } | Phase::Done { job } => *job,
        };
        let found = seen.jobs.iter().find(|one| one.number == job);
        let claim = found.and_then(|found| found.claim.as_ref());
        let why = match (found, claim) {
            (Some(_), Some(claim)) if claim.actuator == self.own => return None,
            (Some(_), Some(claim)) => {
                let to = claim.actuator.clone();
                self.phase = Phase::Idle;
                return Some(Step::Lost { job, to });
            }
            (Some(_), None) => "it was taken from this device, which was silent".to_owned(),
            (None, _) => "it is done or cancelled".to_owned(),
        };
        self.phase = Phase::Idle;
        Some(Step::Say(format!("job {job}: lost: {why}")))
    }

    /// Goes on with a job of an earlier life, or takes one of the oldest that are free.
    fn begin(&mut self, seen: &Seen) -> Vec<Step> {
        let mine = |job: &&Job| job.claim.as_ref().is_some_and(|it| it.actuator == self.own);
        if let Some(job) = seen.jobs.iter().find(mine) {
            let job = job.number;
            return vec![
                Step::Say(format!("job {job}: still claimed from before")),
                self.work(job, seen),
            ];
        }
        if seen.now_us < self.idle_until_us {
            return vec![];
        }
        let free = seen.jobs.iter().filter(|job| job.claim.is_none());
        let oldest: Vec<u32> = free.map(|job| job.number).take(CHOICE).collect();
        if oldest.is_empty() {
            return vec![];
        }
        // Two that look at one moment had better not want the same: each begins at a place of its own.
        let place = self.own.to_string().bytes().map(usize::from).sum::<usize>();
        vec![Step::Claim(oldest[place % oldest.len()])]
    }

    fn work(&mut self, job: u32, seen: &Seen) -> Step {
        let found = seen.jobs.iter().find(|one| one.number == job);
        let (task, seconds) = found.map_or(("", 0), |job| (job.task.as_str(), job.seconds));
        self.phase = Phase::Work {
            job,
            until_us: seen.now_us + i64::from(seconds) * 1_000_000,
        };
        Step::Say(format!("job {job}: {task} ({seconds} s)"))
    }

    /// Three times before the job would be taken away; without a job seldom, as each time is a call.
    fn every_us(&self, seen: &Seen) -> i64 {
        match self.phase {
            Phase::Idle => IDLE_SEEN_US,
            _ => (i64::from(seen.away_s) * 1_000_000 / 3).min(IDLE_SEEN_US),
        }
    }
}

#[cfg(test)]
mod tests;
