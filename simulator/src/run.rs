//! One run: set up, hurt, heal, judge. A broken promise and a run that got stuck are different
//! verdicts: the first is wrong whatever happens later, the second may only be slow.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use peer_core::Modules;
use sync_protocol::BlobHash;

use crate::checker::Shown;
use crate::faults::Faults;
use crate::seed::Seed;
use crate::world::{Counts, World};

/// Milliseconds that setting up may take.
const SETUP_MS_MAX: u64 = 60_000;

/// Milliseconds after the healing within which all must be equal and final. Three rounds of the
/// regular comparison, a restarted finaliser's wait, and questions of the last bad minute that are
/// repeated rarely.
const HEAL_MS_MAX: u64 = 240_000;

/// Milliseconds between two looks from outside.
const LOOK_EVERY_MS: u64 = 1_000;

/// A mistake made on purpose, to see that the judge notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Disks say they have synced and have not.
    LyingDisks,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: Seed,
    /// Peers, 2 to 5; `None`: the seed decides.
    pub peers: Option<usize>,
    /// Whether to keep the lines of the trace.
    pub keep_trace: bool,
    /// A mistake to make on purpose.
    pub plant: Option<Plant>,
    /// Whether the database gets another module in the middle of the bad time.
    pub upgrade: bool,
}

impl Plan {
    /// The run of a seed, nothing planted.
    #[must_use]
    pub fn of(seed: Seed) -> Self {
        Self {
            seed,
            peers: None,
            keep_trace: false,
            plant: None,
            upgrade: false,
        }
    }
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All promises kept, all peers equal in the end.
    Passed,
    /// A promise was broken.
    Unsafe(String),
    /// The peers did not become equal in time.
    Stuck(String),
}

impl Verdict {
    /// Exit status of the program: unlike those of a failed start (1) and wrong usage (2).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Unsafe(_) => 10,
            Self::Stuck(_) => 11,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Unsafe(why) => write!(f, "UNSAFE: {why}"),
            Self::Stuck(why) => write!(f, "STUCK: {why}"),
        }
    }
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// Peers.
    pub peers: usize,
    /// What went wrong on purpose.
    pub faults: Faults,
    /// Hash of the trace.
    pub trace_hash: BlobHash,
    /// Lines of the trace.
    pub trace_lines: u64,
    /// The trace, if it was to be kept.
    pub trace: Vec<String>,
    /// Seconds of the made-up world.
    pub world_s: u64,
    /// Seconds from the healing until all were equal.
    pub healed_in_s: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls confirmed.
    pub confirmed: u64,
    /// Calls refused, by the module mostly.
    pub refused: u64,
    /// The highest cut.
    pub height: u64,
    /// The module that rules in the end.
    pub module_hash: String,
    /// How much happened.
    pub counts: Counts,
}

/// Runs one world.
#[must_use]
pub fn run(plan: &Plan, modules: &Modules) -> Report {
    let mut dice = plan.seed.child("run");
    let peers = plan.peers.unwrap_or_else(|| 2 + dice.index(4)).clamp(2, 5);
    let (world, faults) = World::new(plan.seed, peers, modules, plan.keep_trace, plan.plant);
    let mut run = Run {
        world,
        faults,
        healed_us: 0,
        upgrade: plan.upgrade,
        module_hash: String::new(),
    };
    let verdict = run.verdict(dice.between(15_000, 60_000));
    let Run {
        mut world,
        healed_us,
        module_hash,
        ..
    } = run;
    world.say(format_args!("{verdict}"));
    Report {
        verdict,
        peers,
        faults,
        trace_hash: world.trace.hash(),
        trace_lines: world.trace.lines(),
        world_s: world.now_us / 1_000_000,
        healed_in_s: world.now_us.saturating_sub(healed_us) / 1_000_000,
        calls: world.ledger.asked,
        confirmed: world.ledger.confirmed,
        refused: world.ledger.refused,
        height: world.cuts.highest(),
        module_hash,
        counts: world.counts,
        trace: world.trace.into_lines(),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}

struct Run {
    world: World,
    faults: Faults,
    healed_us: u64,
    /// Another module is still to be published.
    upgrade: bool,
    module_hash: String,
}

impl Run {
    fn verdict(&mut self, hurt_ms: u64) -> Verdict {
        // A core that panics takes its process with it: a promise broken, and the seed is told.
        let phases = catch_unwind(AssertUnwindSafe(|| self.phases(hurt_ms)));
        match phases {
            Ok(Ok(())) => Verdict::Passed,
            Ok(Err(verdict)) => {
                self.world.describe();
                verdict
            }
            Err(panic) => Verdict::Unsafe(format!("a core panicked: {}", text_of(&*panic))),
        }
    }

    fn phases(&mut self, hurt_ms: u64) -> Result<(), Verdict> {
        self.set_up()?;
        self.world.hurt(self.faults);
        self.world.begin_work();
        let end = self.world.now_us + hurt_ms * 1_000;
        let upgrade_from = self.world.now_us + hurt_ms * 500;
        while self.world.now_us < end {
            self.pass()?;
            if self.upgrade && self.world.now_us >= upgrade_from {
                self.upgrade = !self.world.upgrade();
            }
            self.invite_late(end)?;
            self.world.join_on();
            self.look()?;
        }
        self.world.end_work();
        self.world.heal();
        self.healed_us = self.world.now_us;
        self.invite_late(0)?;
        self.settle()?;
        // Nothing that happened may have made a peer useless.
        self.world.say_once_each();
        self.settle()
    }

    /// A good day: publish, invite, join, open the accounts.
    fn set_up(&mut self) -> Result<(), Verdict> {
        self.pass()?;
        self.world.publish().map_err(Verdict::Unsafe)?;
        self.world.open_accounts();
        let peers = self.world.nodes.len();
        let early = peers - usize::from(self.faults.late_joiner && peers > 2);
        for at in 1..early {
            self.world.invite(at).map_err(Verdict::Unsafe)?;
        }
        let end = self.world.now_us + SETUP_MS_MAX * 1_000;
        while !self.world.nodes[..early].iter().all(|node| node.is_member) {
            if self.world.now_us >= end {
                return Err(Verdict::Stuck(
                    "not all could join on a good day".to_owned(),
                ));
            }
            self.pass()?;
            self.world.join_on();
        }
        Ok(())
    }

    /// The late joiner is invited in the second half of the bad time, or after it.
    fn invite_late(&mut self, end_us: u64) -> Result<(), Verdict> {
        let last = self.world.nodes.len() - 1;
        let due = self.world.now_us + 10_000_000 > end_us;
        if due && self.world.nodes[last].ticket.is_none() && self.world.nodes[0].is_on() {
            self.world.invite(last).map_err(Verdict::Unsafe)?;
        }
        Ok(())
    }

    /// Lets a second pass.
    fn pass(&mut self) -> Result<(), Verdict> {
        let end = self.world.now_us + LOOK_EVERY_MS * 1_000;
        self.world.run_until(end);
        self.intact()
    }

    fn intact(&self) -> Result<(), Verdict> {
        match &self.world.broken {
            Some(why) => Err(Verdict::Unsafe(why.clone())),
            None => Ok(()),
        }
    }

    /// Looks at what every peer shows, however little it has heard of.
    fn look(&mut self) -> Result<(), Verdict> {
        for at in 0..self.world.nodes.len() {
            let Some(status) = self.world.status(at) else {
                continue;
            };
            if status.status != "ok" {
                return Err(Verdict::Unsafe(format!(
                    "peer {at} is {}: {}",
                    status.status,
                    status.detail.unwrap_or_default()
                )));
            }
            let cut = status.cut;
            let seen = self.world.cuts.see(
                at,
                cut.height,
                cut.id.to_string(),
                cut.state_root.to_string(),
            );
            seen.map_err(Verdict::Unsafe)?;
            if let Some(shown) = self.world.read(at) {
                let plausible = self.world.ledger.plausible(&shown);
                plausible.map_err(|why| Verdict::Unsafe(format!("peer {at}: {why}")))?;
            }
        }
        self.intact()
    }

    /// Until all peers are equal, everything is final, and nobody waits for an answer.
    fn settle(&mut self) -> Result<(), Verdict> {
        let end = self.world.now_us + HEAL_MS_MAX * 1_000;
        loop {
            self.pass()?;
            self.world.join_on();
            self.look()?;
            match self.unsettled() {
                None => return self.judge(),
                Some(why) if self.world.now_us >= end => return Err(Verdict::Stuck(why)),
                Some(_) => {}
            }
        }
    }

    /// What is not as it should be in the end, in time.
    fn unsettled(&mut self) -> Option<String> {
        if let Some(at) = self.world.nodes.iter().position(|node| !node.is_member) {
            return Some(format!("peer {at} has not joined"));
        }
        if self.world.calls_open() > 0 {
            return Some(format!("{} calls have no answer", self.world.calls_open()));
        }
        let mut first = None;
        for at in 0..self.world.nodes.len() {
            let Some(status) = self.world.status(at) else {
                return Some(format!("peer {at} tells no status"));
            };
            // Nobody passes on what a rogue wrote after it was found out, so what builds on that may
            // wait for ever, within its bound.
            let pending = if self.faults.rogue { 0 } else { status.pending };
            if status.tail > 0 || pending > 0 {
                let tail = status.tail;
                return Some(format!(
                    "peer {at}: {tail} calls not final, {pending} entries pending"
                ));
            }
            self.module_hash.clone_from(&status.module_hash);
            let equal = (
                status.cut.id,
                status.heads_hash,
                status.state_root,
                status.module_hash,
            );
            if *first.get_or_insert(equal.clone()) != equal {
                return Some(format!(
                    "peer {at} at cut {} differs from peer 0",
                    status.cut.height
                ));
            }
            if let Some(remote) = status.peers.iter().find(|remote| !remote.in_sync) {
                return Some(format!(
                    "peer {at} is not in sync with {}",
                    remote.id.short()
                ));
            }
        }
        None
    }

    /// All peers say that they are equal: are they, and is everything there?
    fn judge(&mut self) -> Result<(), Verdict> {
        let mut first: Option<Shown> = None;
        for at in 0..self.world.nodes.len() {
            let unsafe_at = |why: String| Verdict::Unsafe(format!("peer {at}: {why}"));
            let Some(shown) = self.world.read(at) else {
                return Err(unsafe_at("its tables cannot be read".to_owned()));
            };
            let complete = self.world.ledger.complete(&shown);
            complete.map_err(unsafe_at)?;
            match &first {
                Some(first) if *first != shown => {
                    return Err(unsafe_at(
                        "it shows other rows than peer 0 under the same state root".to_owned(),
                    ));
                }
                Some(_) => {}
                None => first = Some(shown),
            }
        }
        Ok(())
    }
}
