//! One run: set up, hurt, heal, judge. A broken promise and a run that got stuck are different
//! verdicts: the first is wrong whatever happens later, the second may only be slow.

mod deluge;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use peer_core::Modules;
use sync_protocol::{BlobHash, DatabaseId};

use crate::checker::history::History;
use crate::checker::model::Model;
use crate::checker::{Shown, bounds, difference};
use crate::faults::Faults;
use crate::market::Market;
use crate::plan::Plan;
use crate::seed::Dice;
use crate::world::{AWAY_MS, CLOCK_JUMP_MS_MAX, Counts, WITNESS, World};

/// Milliseconds that setting up may take: slow peers in a line join one after the other.
const SETUP_MS_MAX: u64 = 180_000;

/// Milliseconds after the healing within which all must be equal and final. Three rounds of the
/// regular comparison, a restarted finaliser's wait, and questions of the last bad minute that are
/// repeated rarely.
const HEAL_MS_MAX: u64 = 240_000;

/// The same for what was held back of somebody who wrote far too much, which runs in its time.
const DELUGE_MS_MAX: u64 = 180_000;

/// Milliseconds of one round of the regular comparison between two peers.
const ROUND_MS: u64 = 30_000;

/// Milliseconds between two looks from outside.
const LOOK_EVERY_MS: u64 = 1_000;

/// The same while a wrong clock's future is waited for.
const RARE_LOOK_EVERY_MS: u64 = 600_000;

/// Milliseconds within which a peer that was put out has heard all that it is told.
const FAREWELL_MS: u64 = 90_000;

/// Minutes for which peers who are equal are listened to.
const QUIET_MINUTES: u64 = 2;

/// Looks between two at which all that a peer shows is read, and such at which it is held against
/// the model.
const LOOKS_PER_READ: u64 = 3;
const LOOKS_PER_MODEL: u64 = 6;

/// Peers up to which a bad time lasts its full length: everything costs more in larger worlds.
const SMALL: u64 = 5;

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
    /// Seconds from the healing until all were equal for the first time.
    pub healed_in_s: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls confirmed.
    pub confirmed: u64,
    /// Calls refused, by the module mostly.
    pub refused: u64,
    /// The highest cut.
    pub height: u64,
    /// Whether the module with one table more rules in the end.
    pub upgraded: bool,
    /// How much happened.
    pub counts: Counts,
}

impl Report {
    /// Rounds of the regular comparison that it took until all were equal. `None`: a clock was so
    /// far ahead that what it stamped had to become due first.
    #[must_use]
    pub fn rounds(&self) -> Option<u64> {
        let waited = self.faults.apart_ms > 0 || self.faults.clock_jump_every_ms > 0;
        (!waited).then_some(self.healed_in_s * 1_000 / ROUND_MS + 1)
    }
}

/// Runs one world.
#[must_use]
pub fn run(plan: &Plan, modules: &Modules, market: &Market) -> Report {
    run_on(plan, modules, market, false)
}

/// The same on disks that say they have synced and have not, if they lie.
#[must_use]
pub fn run_on(plan: &Plan, modules: &Modules, market: &Market, disks_lie: bool) -> Report {
    let mut dice = plan.seed.child("run");
    let (peers, faults) = (plan.peers(), plan.faults());
    let mut run = Run {
        world: World::new(plan, modules, market, disks_lie),
        faults,
        next_module: market.next_hash(),
        dice: plan.seed.child("looks"),
        looks: 0,
        healed_us: 0,
        healed_in_us: 0,
        upgraded: false,
    };
    let hurt_ms = dice.between(15_000, 60_000) * SMALL / SMALL.max(peers as u64);
    let verdict = run.verdict(hurt_ms);
    let Run {
        mut world,
        healed_in_us,
        upgraded,
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
        healed_in_s: healed_in_us / 1_000_000,
        calls: world.ledger.asked,
        confirmed: world.ledger.acknowledged(),
        refused: world.ledger.refused,
        height: world.cuts.highest(),
        upgraded,
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
    next_module: BlobHash,
    /// Decides at whom a look looks closely.
    dice: Dice,
    looks: u64,
    healed_us: u64,
    healed_in_us: u64,
    upgraded: bool,
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
        let end = self.world.now_us + hurt_ms * 1_000;
        self.world.hurt(self.faults, hurt_ms * 1_000);
        self.world.begin_work();
        while self.world.now_us < end {
            self.pass(LOOK_EVERY_MS)?;
            self.invite_late(end)?;
            self.world.join_on();
            self.world.follow();
            self.look()?;
        }
        self.world.end_work();
        self.world.heal();
        self.healed_us = self.world.now_us;
        self.invite_late(0)?;
        self.settle()?;
        self.healed_in_us = self.world.now_us - self.healed_us;
        // Nothing that happened may have made a peer useless.
        self.world.say_once_each();
        self.settle()?;
        self.go_on_in_a_deluge()?;
        self.be_quiet()?;
        self.end_with_a_false_root()
    }

    /// Peers who have nothing to tell each other hardly talk.
    fn be_quiet(&mut self) -> Result<(), Verdict> {
        // Clocks that a liar set may still let something become due.
        if self.faults.lies.any() {
            return Ok(());
        }
        // Rows that were written while a clock was ahead are due by that clock.
        let patience_ms = QUIET_MINUTES * 60_000 + self.jumps_ms();
        let patience = self.world.now_us + patience_ms * 1_000;
        while self.world.deliveries_wait() && self.world.now_us < patience {
            self.pass(LOOK_EVERY_MS)?;
        }
        // Whoever was put out may just have begun to find out.
        if self.has_contested() {
            self.pass(FAREWELL_MS)?;
        }
        let before = self.world.counts.messages;
        self.pass(QUIET_MINUTES * 60_000)?;
        let messages = self.world.counts.messages - before;
        bounds::quiet(messages, self.world.links(), QUIET_MINUTES).map_err(Verdict::Unsafe)
    }

    /// A cut over rows that no calls give stops whoever takes it.
    fn end_with_a_false_root(&mut self) -> Result<(), Verdict> {
        let other_finaliser = self.faults.finaliser_moves || self.faults.finaliser_lost;
        let has_witness = !self.world.is_contested(WITNESS);
        if !self.faults.false_root || other_finaliser || self.faults.lies.any() || !has_witness {
            return Ok(());
        }
        self.world.leave_witness_alone();
        self.pass(LOOK_EVERY_MS)?;
        let told = self.world.tell_false_root().map_err(Verdict::Unsafe)?;
        self.pass(LOOK_EVERY_MS)?;
        match self.world.status(WITNESS) {
            Some(status) if told && status.status != "diverged" => Err(Verdict::Unsafe(format!(
                "peer {WITNESS} is {} after a cut whose state root is not its own",
                status.status
            ))),
            _ => Ok(()),
        }
    }

    /// A good day: publish, invite, join, open the accounts.
    fn set_up(&mut self) -> Result<(), Verdict> {
        self.pass(LOOK_EVERY_MS)?;
        self.world.publish().map_err(Verdict::Unsafe)?;
        self.world.learn_tables();
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
            self.pass(LOOK_EVERY_MS)?;
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

    /// Lets some time pass.
    fn pass(&mut self, ms: u64) -> Result<(), Verdict> {
        let end = self.world.now_us + ms * 1_000;
        self.world.run_until(end);
        self.intact()
    }

    fn intact(&self) -> Result<(), Verdict> {
        match &self.world.broken {
            Some(why) => Err(Verdict::Unsafe(why.clone())),
            None => Ok(()),
        }
    }

    /// Looks at what every peer shows, however little it has heard of; at one of them closely.
    fn look(&mut self) -> Result<(), Verdict> {
        self.looks += 1;
        let closely = self.dice.index(self.world.nodes.len());
        let reads = self.looks.is_multiple_of(LOOKS_PER_READ);
        for at in 0..self.world.nodes.len() {
            let unsafe_at = |why: String| Verdict::Unsafe(format!("peer {at}: {why}"));
            let Some(status) = self.world.status(at) else {
                continue;
            };
            let excused = self.world.nodes[at].in_trouble && status.status == "stopped"
                || self.world.may_fork() && status.status == "forked";
            if status.status != "ok" && !excused {
                return Err(unsafe_at(format!(
                    "it is {}: {}",
                    status.status,
                    status.detail.unwrap_or_default()
                )));
            }
            bounds::memory(&status, self.world.links_of(at)).map_err(unsafe_at)?;
            let cut = status.cut;
            let (id, root) = (cut.id.to_string(), cut.state_root.to_string());
            let seen = self.world.cuts.see(at, cut.height, id, root);
            seen.map_err(Verdict::Unsafe)?;
            if reads && at == closely && status.status == "ok" {
                self.look_closely(at)?;
            }
        }
        self.intact()
    }

    fn look_closely(&mut self, at: usize) -> Result<(), Verdict> {
        let unsafe_at = |why: String| Verdict::Unsafe(format!("peer {at}: {why}"));
        let Some(shown) = self.world.read(at) else {
            return self.intact();
        };
        self.world.ledger.plausible(&shown).map_err(unsafe_at)?;
        self.world.check_follower(at).map_err(unsafe_at)?;
        // Who is void, and what is held back until it is due, is known for sure in the end only.
        let sure = !(self.faults.lies.any() || self.has_contested())
            && self.faults.apart_ms == 0
            && self.faults.clock_jump_every_ms == 0
            && !self.world.nodes[at].in_trouble
            && !(self.world.may_fork() && self.world.status(at).is_none_or(|s| s.pending > 0));
        if !sure || !self.looks.is_multiple_of(LOOKS_PER_MODEL) {
            return Ok(());
        }
        self.world.come_to_rest(at);
        let Some(shown) = self.world.read(at) else {
            return self.intact();
        };
        let history = self.history(at).map_err(unsafe_at)?;
        let mut model = self.model_of(&history);
        model.run_all(&history.tail);
        match difference(&model.shown(), &shown) {
            None => Ok(()),
            Some(why) => Err(unsafe_at(format!(
                "what it shows meanwhile is wrong: {why}"
            ))),
        }
    }

    fn history(&self, at: usize) -> Result<History, String> {
        let database: Result<DatabaseId, _> = self.world.database.parse();
        let database = database.map_err(|error| error.to_string())?;
        History::read(&self.world.nodes[at].disk, &database)
    }

    /// What the final calls give, one after the other.
    fn model_of(&self, history: &History) -> Model {
        let mut model = Model::of(&self.world.tables);
        for segment in &history.segments {
            model.segment(segment, &self.next_module);
        }
        model
    }

    /// Whether some peer may be put out.
    fn has_contested(&self) -> bool {
        self.world.is_contested(self.world.nodes.len() - 1)
    }

    /// Milliseconds after the healing within which all must be equal and final.
    fn patience_ms(&self) -> u64 {
        let ahead_ms = self.faults.apart_ms.max(0).cast_unsigned();
        let away_ms = match self.faults.restored_backup {
            true => AWAY_MS,
            false => 0,
        };
        // What was written with a time of the future becomes due by then.
        HEAL_MS_MAX + ahead_ms + self.jumps_ms() + away_ms + self.deluge_ms()
    }

    /// Milliseconds by which a clock may have jumped ahead.
    fn jumps_ms(&self) -> u64 {
        match self.faults.clock_jump_every_ms {
            0 => 0,
            _ => CLOCK_JUMP_MS_MAX,
        }
    }

    /// Milliseconds that it may take until what was held back has run.
    fn deluge_ms(&self) -> u64 {
        u64::from(self.faults.lies.deluges) * DELUGE_MS_MAX
    }

    /// Until all peers are equal, everything is final, and nobody waits for an answer.
    fn settle(&mut self) -> Result<(), Verdict> {
        let began = self.world.now_us;
        let end = began + self.patience_ms() * 1_000;
        loop {
            let soon = self.world.now_us < began + HEAL_MS_MAX * 1_000;
            self.pass(if soon {
                LOOK_EVERY_MS
            } else {
                RARE_LOOK_EVERY_MS
            })?;
            self.world.join_on();
            self.world.follow();
            self.look()?;
            match self.unsettled().or_else(|| self.held_back()) {
                None => return self.judge(),
                Some(why) if self.world.now_us >= end => return Err(Verdict::Stuck(why)),
                Some(_) => {}
            }
        }
    }

    /// Peers that are still there.
    fn present(&self) -> Vec<usize> {
        let nodes = self.world.nodes.iter().enumerate();
        nodes
            .filter(|(at, node)| !node.is_gone && !self.world.is_contested(*at))
            .map(|(at, _)| at)
            .collect()
    }

    /// What is not as it should be in the end, in time.
    fn unsettled(&mut self) -> Option<String> {
        let present = self.present();
        let nodes = &self.world.nodes;
        if let Some(at) = present.iter().find(|at| !nodes[**at].is_member) {
            return Some(format!("peer {at} has not joined"));
        }
        if self.world.calls_open() > 0 {
            return Some(format!("{} calls have no answer", self.world.calls_open()));
        }
        let mut first = None;
        for at in present {
            let Some(status) = self.world.status(at) else {
                return Some(format!("peer {at} tells no status"));
            };
            // Nobody passes on what a rogue wrote after it was found out, nor what a peer that is
            // gone kept to itself, so what builds on that may wait for ever, within its bound.
            let excused = self.faults.lies.any() || self.faults.leaver || self.has_contested();
            let pending = if excused { 0 } else { status.pending };
            if status.tail > 0 || pending > 0 {
                let tail = status.tail;
                return Some(format!(
                    "peer {at}: {tail} calls not final, {pending} entries pending"
                ));
            }
            // What a liar stamped days ahead is no matter.
            let mut held = status.held.iter();
            if let Some(held) = held.find(|held| !held.is_ahead) {
                let entries = held.entries;
                return Some(format!("peer {at} holds {entries} entries back"));
            }
            if status.status != "ok" {
                return Some(format!("peer {at} is {}", status.status));
            }
            self.upgraded = status.module_hash == self.next_module.to_string();
            let equal = (
                status.cut.id,
                status.heads_hash,
                status.state_root,
                status.module_hash,
            );
            if *first.get_or_insert(equal.clone()) != equal {
                return Some(format!(
                    "peer {at} at cut {} differs from another",
                    status.cut.height
                ));
            }
            let mut remotes = status.peers.iter();
            if let Some(remote) =
                remotes.find(|remote| !remote.in_sync && !self.world.is_put_out(&remote.id))
            {
                return Some(format!(
                    "peer {at} is not in sync with {}",
                    remote.id.short()
                ));
            }
        }
        None
    }

    /// What was acknowledged with a time of the future and is not due yet, so that nobody has run
    /// it: it is no part of what peers call their tail.
    fn held_back(&self) -> Option<String> {
        if self.patience_ms() - self.deluge_ms() <= HEAL_MS_MAX + AWAY_MS {
            return None;
        }
        let history = self.history(*self.present().first()?).ok()?;
        let entry = self
            .world
            .ledger
            .any_of(&history.tail, |peer| self.world.is_rogue(peer))?;
        Some(format!("entry {entry} is acknowledged and not due yet"))
    }

    /// All peers say that they are equal: are they, and is everything there?
    fn judge(&mut self) -> Result<(), Verdict> {
        let mut first: Option<(History, Shown)> = None;
        for at in self.present() {
            let unsafe_at = |why: String| Verdict::Unsafe(format!("peer {at}: {why}"));
            self.world.check_follower(at).map_err(unsafe_at)?;
            let Some(shown) = self.world.read(at) else {
                return Err(unsafe_at("its tables cannot be read".to_owned()));
            };
            let history = self.history(at).map_err(unsafe_at)?;
            if let Some((others, expected)) = &first {
                history.same_finals(others).map_err(unsafe_at)?;
                if let Some(why) = difference(expected, &shown) {
                    return Err(unsafe_at(format!("it is not equal to another: {why}")));
                }
                continue;
            }
            history.check().map_err(unsafe_at)?;
            let world = &self.world;
            let excused = |peer: usize| world.is_rogue(peer);
            world.cuts.kept(&history.cut_ids()).map_err(unsafe_at)?;
            let ledger = &world.ledger;
            ledger
                .complete(&history.places(), excused, !world.clocks_are_far_off())
                .map_err(unsafe_at)?;
            let nothing_is_void = !self.faults.lies.any() && !self.has_contested();
            ledger
                .readable(&shown, excused, nothing_is_void)
                .map_err(unsafe_at)?;
            ledger.plausible(&shown).map_err(unsafe_at)?;
            if let Some(why) = difference(&self.model_of(&history).shown(), &shown) {
                return Err(unsafe_at(format!(
                    "calls made one after the other give something else: {why}"
                )));
            }
            first = Some((history, shown));
        }
        Ok(())
    }
}
