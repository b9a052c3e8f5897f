//! Many seeds, one after the other or several at a time, and what they came to together. A campaign
//! can be stopped and gone on with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context;
use peer_core::Modules;
use serde_json::{Value, json};

use crate::market::Market;
use crate::plan::Plan;
use crate::run::{Report, Verdict, run};

/// What many runs came to together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Runs that are over.
    pub runs: u64,
    /// Peers of all of them.
    pub peers: u64,
    /// Calls made, acknowledged, refused.
    pub calls: [u64; 3],
    /// Messages sent.
    pub messages: u64,
    /// Losses of power.
    pub crashes: u64,
    /// Times at which the network parted.
    pub partitions: u64,
    /// Partitions, lost links and one-way links.
    pub disturbances: u64,
    /// Disks that were full or gave back wrong bits.
    pub disk_faults: u64,
    /// Messages that no honest peer would have sent, and such that were kept back.
    pub lies: u64,
    /// Cuts of the highest histories.
    pub cuts: u64,
    /// Databases that ended with the upgraded module.
    pub upgrades: u64,
    /// The most rounds that it took until all were equal.
    pub rounds_max: u64,
}

/// The numbers with their names, for people and for the file that a campaign goes on from.
const NAMES: [&str; 14] = [
    "runs",
    "peers",
    "calls",
    "acknowledged",
    "refused",
    "messages",
    "crashes",
    "partitions",
    "disturbances",
    "disk_faults",
    "lies",
    "cuts",
    "upgrades",
    "rounds_max",
];

impl Totals {
    fn add(&mut self, report: &Report) {
        let counts = &report.counts;
        self.runs += 1;
        self.peers += report.peers as u64;
        let calls = [report.calls, report.confirmed, report.refused];
        for (sum, more) in self.calls.iter_mut().zip(calls) {
            *sum += more;
        }
        self.messages += counts.messages;
        self.crashes += counts.crashes;
        self.partitions += counts.partitions;
        self.disturbances += counts.disturbances;
        self.disk_faults += counts.disk_faults;
        self.lies += counts.lies;
        self.cuts += report.height;
        self.upgrades += u64::from(report.upgraded);
        self.rounds_max = self.rounds_max.max(report.rounds().unwrap_or_default());
    }

    /// Names and numbers.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 14] {
        let numbers = [
            self.runs,
            self.peers,
            self.calls[0],
            self.calls[1],
            self.calls[2],
            self.messages,
            self.crashes,
            self.partitions,
            self.disturbances,
            self.disk_faults,
            self.lies,
            self.cuts,
            self.upgrades,
            self.rounds_max,
        ];
        std::array::from_fn(|at| (NAMES[at], numbers[at]))
    }

    fn to_json(self) -> Value {
        let named: BTreeMap<_, _> = self.named().into_iter().collect();
        json!(named)
    }

    fn of_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        Some(Self {
            runs: number("runs")?,
            peers: number("peers")?,
            calls: [
                number("calls")?,
                number("acknowledged")?,
                number("refused")?,
            ],
            messages: number("messages")?,
            crashes: number("crashes")?,
            partitions: number("partitions")?,
            disturbances: number("disturbances")?,
            disk_faults: number("disk_faults")?,
            lies: number("lies")?,
            cuts: number("cuts")?,
            upgrades: number("upgrades")?,
            rounds_max: number("rounds_max")?,
        })
    }
}

/// Seeds that follow each other, each with the same things left out.
#[derive(Debug)]
pub struct Campaign<'a> {
    /// The first; what it leaves out, all leave out.
    pub first: Plan,
    /// How many.
    pub runs: u64,
    /// How many at a time.
    pub jobs: usize,
    /// Where it notes after each seed how far it is, so that it can go on from there. Removed when
    /// all have passed: the next campaign begins anew.
    pub file: Option<&'a Path>,
}

/// How far a campaign is.
#[derive(Debug, Default)]
struct Progress {
    totals: Totals,
    /// Seeds that are over although one before them is not.
    ahead: BTreeMap<u64, Report>,
    /// The number of the first that is not over.
    next: u64,
    failed: Option<(Plan, Report)>,
}

impl Campaign<'_> {
    /// Runs until all are over or one fails. `heard` is told of each, in the order of the seeds.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is of another campaign.
    pub fn run(
        &self,
        modules: &Modules,
        market: &Market,
        heard: impl Fn(&Plan, &Report) + Sync,
    ) -> anyhow::Result<(Totals, Option<(Plan, Report)>)> {
        let progress = Mutex::new(self.resumed()?);
        let start = lock(&progress).next;
        let taken = AtomicU64::new(start);
        let stop = AtomicBool::new(false);
        let trouble = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let number = taken.fetch_add(1, Ordering::Relaxed);
                        if number >= self.runs || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let report = run(&self.plan(number), modules, market);
                        let mut progress = lock(&progress);
                        progress.ahead.insert(number, report);
                        let outcome = self.advance(&mut progress, &heard);
                        if progress.failed.is_some() || outcome.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        if let Err(error) = outcome {
                            *lock(&trouble) = Some(error);
                        }
                    }
                });
            }
        });
        if let Some(error) = lock(&trouble).take() {
            return Err(error);
        }
        let progress = progress.into_inner();
        let progress = progress.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(file) = self.file
            && progress.next >= self.runs
            && file.exists()
        {
            std::fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok((progress.totals, progress.failed))
    }

    fn plan(&self, number: u64) -> Plan {
        let mut plan = self.first.clone();
        plan.seed.0 = plan.seed.0.wrapping_add(number);
        plan
    }

    /// Takes in what is over, in the order of the seeds.
    fn advance(
        &self,
        progress: &mut Progress,
        heard: &impl Fn(&Plan, &Report),
    ) -> anyhow::Result<()> {
        while progress.failed.is_none() {
            let Some(report) = progress.ahead.remove(&progress.next) else {
                break;
            };
            let plan = self.plan(progress.next);
            heard(&plan, &report);
            if report.verdict == Verdict::Passed {
                progress.totals.add(&report);
                progress.next += 1;
                self.note(progress)?;
            } else {
                progress.failed = Some((plan, report));
            }
        }
        Ok(())
    }

    fn note(&self, progress: &Progress) -> anyhow::Result<()> {
        let Some(file) = self.file else {
            return Ok(());
        };
        let note = json!({
            "campaign": self.first.to_string(),
            "next": progress.next,
            "totals": progress.totals.to_json(),
        });
        // Beside it first: whoever stops the program in the middle finds the old one.
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, note.to_string())
            .and_then(|()| std::fs::rename(&fresh, file))
            .with_context(|| format!("writing {}", file.display()))
    }

    fn resumed(&self) -> anyhow::Result<Progress> {
        let fresh = Progress::default();
        let Some(file) = self.file.filter(|file| file.exists()) else {
            return Ok(fresh);
        };
        let text =
            std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let note: Value = serde_json::from_str(&text).unwrap_or_default();
        let same = note.get("campaign").and_then(Value::as_str) == Some(&self.first.to_string());
        let next = note.get("next").and_then(Value::as_u64);
        let totals = note.get("totals").and_then(Totals::of_json);
        match (same, next, totals) {
            (true, Some(next), Some(totals)) => Ok(Progress {
                totals,
                next,
                ..fresh
            }),
            _ => anyhow::bail!(
                "{} does not belong to the campaign `{}`: name another file, or remove it",
                file.display(),
                self.first
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panicked over a run has changed nothing here.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
