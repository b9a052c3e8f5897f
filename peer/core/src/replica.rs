//! One database on this peer: its log, its rows, its module, its conversations.
//!
//! `ingest` takes entries in, `sweep` runs them, `finality` makes and takes cuts, `conversations` talks to members; this
//! file holds what they share and how own calls become entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Disk, Log, State, StoreError};
use sync_protocol::limits::AHEAD_US_MAX;
use sync_protocol::{
    AwaitedBodies, Cut, CutRef, Dag, DatabaseId, DeviceKey, Draft, Entry, EntryId, FinalEntry,
    Finals, Genesis, Hlc, Now, Offered, Rights, Role, SecretKey, Struck, Stub, Tick,
};

use crate::addresses::Addresses;
use crate::batch::{Batch, Expected, Group};
use crate::bodies::Bodies;
use crate::conduct::Conduct;
use crate::conversations::{Answered, Link};
use crate::effect::Effect;
use crate::error::Stop;
use crate::execute::{Event, Executor, Trace};
use crate::finality::contest::Contest;
use crate::finality::making::CutInMaking;
use crate::finality::taking::CutInTaking;
use crate::leftovers::Leftovers;
use crate::limits::NAMED_AFTER_US;
use crate::local_views::RecentCalls;
use crate::memory::{FileCaches, MemoryBudget};
use crate::modules::Modules;
use crate::neighbours::Neighbours;
use crate::outcome::CallOutcome;
use crate::partials::Partials;
use crate::quotas::{Quotas, Ration};
use crate::schedules::Firing;
use crate::upgrade::{Judged, Parked, Publisher};

/// What runs again when something changed in the past. The rows are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// Calls that read something that is different now, as far as that pays.
    #[default]
    Selective,
    /// Everything after the first change.
    Suffix,
}

/// What a replica needs of the peer while it handles one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    /// Mesh time: stamps entries, holds them back.
    pub(crate) mesh: Hlc,
    /// The own clock without correction: what a Hello tells.
    pub(crate) own_wall: u64,
    pub(crate) key: &'a SecretKey,
    pub(crate) device: DeviceKey,
    pub(crate) disk: &'a dyn Disk,
    pub(crate) partials: &'a mut Partials,
    /// The highest engine number that this version runs.
    pub(crate) engine_max: u32,
    pub(crate) replay: Replay,
    /// Nothing is to be written that can be put off.
    pub(crate) is_short_of_room: bool,
    pub(crate) memory: MemoryBudget,
    pub(crate) quotas: Quotas,
    pub(crate) caches: FileCaches,
    pub(crate) conduct: &'a mut Conduct,
    pub(crate) modules: &'a Modules,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    /// Opens the log of a database, making it if there is none.
    pub(crate) fn open_log(&self, database: &DatabaseId) -> Result<Log, StoreError> {
        let mut log = Log::open(self.disk.log(database)?, self.caches.log_bytes)?;
        log.set_aside(self.disk.aside());
        Ok(log)
    }

    /// Cuts a remote off.
    pub(crate) fn hang_up(&mut self, remote: DeviceKey, why: String) {
        let refuse_ms = self.conduct.cut_off(remote, self.now.tick, &why);
        self.effects.push(Effect::HangUp {
            remote,
            why,
            refuse_ms,
        });
    }
}

/// How a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ok,
    /// Two certified cuts at one height: finality stops, the tail goes on.
    Forked(String),
    /// Our rows differ from the certified ones.
    Diverged(String),
    /// The database needs an engine that this peer does not know: it reads but does not run.
    BehindEngine(u32),
    /// Its files or its module failed.
    Stopped(String),
}

impl Health {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Forked(_) => "forked",
            Self::Diverged(_) => "diverged",
            Self::BehindEngine(_) => "behind-engine",
            Self::Stopped(_) => "stopped",
        }
    }

    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Ok => None,
            Self::Forked(text) | Self::Diverged(text) | Self::Stopped(text) => Some(text.clone()),
            Self::BehindEngine(engine) => Some(format!(
                "the database runs on engine {engine}, which this version does not know: update tombolo"
            )),
        }
    }

    /// Whether calls can be taken.
    pub(crate) fn takes_calls(&self) -> bool {
        matches!(self, Self::Ok | Self::Forked(_))
    }
}

/// An entry of the tail that ran, with what became of it.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) entry: Arc<Stub>,
    pub(crate) struck: Option<Struck>,
    pub(crate) outcomes: Vec<CallOutcome>,
    /// One for each outcome; none if the entry is void or nobody knows any more.
    pub(crate) traces: Vec<Trace>,
    pub(crate) rights_changed: bool,
    /// Whom a move of finality in it names.
    pub(crate) finaliser: Option<DeviceKey>,
    /// A module was published.
    pub(crate) publishes: bool,
    /// It only calls reducers, and says which clients are there: what it does depends on rows alone.
    pub(crate) ordinary: bool,
}

impl Executed {
    /// Whether none of its calls ran.
    pub(crate) fn is_void(&self) -> bool {
        self.struck.is_some_and(Struck::is_void)
    }
}

/// The chain this process writes.
#[derive(Debug)]
pub(crate) struct OwnChain {
    pub(crate) epoch: u64,
    pub(crate) next_seq: u64,
    pub(crate) previous: Option<EntryId>,
    pub(crate) last_time: Hlc,
    /// An entry of it may not be on the disk yet.
    pub(crate) is_unwritten: bool,
}

impl OwnChain {
    /// One without entries.
    pub(crate) const fn starting(epoch: u64) -> Self {
        Self {
            epoch,
            next_seq: 0,
            previous: None,
            last_time: Hlc(0),
            is_unwritten: false,
        }
    }
}

/// The latest time of what a cut covers: that of one of its heads.
pub(crate) fn latest_final(cut: &Cut, finals: &dyn Finals) -> Hlc {
    let heads = cut.frontier.iter();
    let times = heads.filter_map(|head| Some(finals.final_entry(head)?.last_time));
    times.max().unwrap_or_default()
}

/// One database.
pub(crate) struct Replica {
    pub(crate) id: DatabaseId,
    /// What it is called on this peer.
    pub(crate) name: String,
    /// What else it is called.
    pub(crate) aliases: Vec<String>,
    pub(crate) genesis: Genesis,
    pub(crate) creator: DeviceKey,
    pub(crate) log: Log,
    pub(crate) dag: Dag,
    /// Large entries whose bodies are awaited.
    pub(crate) awaited: AwaitedBodies,
    pub(crate) cut: Cut,
    pub(crate) rights: Rights,
    pub(crate) executor: Executor,
    /// `None` after a run that failed on our side: the database is stopped then.
    pub(crate) state: Option<State>,
    pub(crate) executed: Vec<Executed>,
    /// Bytes of all traces, at most: less once entries became final.
    pub(crate) trace_bytes: usize,
    /// Entries came in that have not run.
    pub(crate) dirty: bool,
    /// Calls that had run were taken back for a cut and have not run again: what is visible is not to
    /// be seen by anybody.
    pub(crate) behind: bool,
    /// When an entry that is held back may run.
    pub(crate) next_due: Option<Hlc>,
    /// The latest time of what is final.
    pub(crate) final_time: Hlc,
    /// Visible members, kept beside the rows because every message asks for them.
    pub(crate) members: BTreeMap<DeviceKey, Role>,
    pub(crate) members_stale: bool,
    pub(crate) own: OwnChain,
    pub(crate) batch: Batch,
    pub(crate) expected: BTreeMap<EntryId, Vec<Expected>>,
    pub(crate) bodies: Bodies,
    /// What others' entries may cost, and which are held back.
    pub(crate) ration: Ration,
    /// When each entry of the tail came in: a finaliser covers what it has held for a while.
    pub(crate) accepted_at: BTreeMap<EntryId, Tick>,
    /// Since when there has been a tail: O(1) to ask at every input.
    pub(crate) tail_since: Option<Tick>,
    /// Own entries of the tail whose log lines have been written.
    pub(crate) logged: BTreeSet<EntryId>,
    /// Entries of the tail whose events clients have been told.
    pub(crate) told_events: BTreeSet<EntryId>,
    /// Rows that this peer fires.
    pub(crate) firing: Firing,
    /// For `st_invocation`.
    pub(crate) recent_calls: RecentCalls,
    /// Events that clients are about to be told.
    pub(crate) events: Vec<Event>,
    pub(crate) links: BTreeMap<DeviceKey, Link>,
    /// Final history that remotes sent, to be taken in.
    pub(crate) history: Vec<Answered>,
    pub(crate) neighbours: Neighbours,
    /// Where members listen.
    pub(crate) addresses: Addresses,
    /// Entries to push, with whom they came from.
    pub(crate) fresh: Vec<(Arc<Entry>, Option<DeviceKey>)>,
    /// A cut to push.
    pub(crate) fresh_cut: Option<Vec<u8>>,
    /// Entries that wait for the modules they publish.
    pub(crate) parked: Parked,
    /// What the cut that is being made or taken makes of its publishes.
    pub(crate) judged: Option<Judged>,
    /// Clients whose publish waits for its cut.
    pub(crate) publishers: Vec<Publisher>,
    /// The cut before the last one, and when that came, if it changed rows alone.
    pub(crate) cut_before: Option<(CutRef, Tick)>,
    /// A cut that waits for entries.
    pub(crate) pending_cut: Option<Cut>,
    /// The cut that is being made, while its rows are summed up aside.
    pub(crate) making: Option<CutInMaking>,
    /// The cut that is being taken, while its rows are summed up aside.
    pub(crate) taking: Option<CutInTaking>,
    /// The next cut is made at once: what the last one was to cover changed meanwhile.
    pub(crate) cut_here: bool,
    pub(crate) last_cut_at: Tick,
    /// Since when this peer has waited for members to say where they stand before it signs cuts.
    pub(crate) asks_since: Option<Tick>,
    /// Clients of before the start.
    pub(crate) leftovers: Option<Leftovers>,
    /// It is to be looked for clients of peers that are no members any more.
    pub(crate) abandoned_stale: bool,
    pub(crate) contest: Contest,
    pub(crate) health: Health,
    pub(crate) executions: u64,
    /// It was said once that entries came which only a newer version can read.
    pub(crate) newer_noted: bool,
}

/// What cuts up to a height cover, by the log. A disk error is kept and surfaces after the call,
/// because validity itself must not depend on the disk.
pub(crate) struct FinalsAt<'a> {
    log: &'a Log,
    height: u64,
    error: std::cell::RefCell<Option<StoreError>>,
}

impl<'a> FinalsAt<'a> {
    pub(crate) fn new(log: &'a Log, height: u64) -> Self {
        Self {
            log,
            height,
            error: std::cell::RefCell::new(None),
        }
    }

    fn keep<T>(&self, result: Result<Option<T>, StoreError>) -> Option<T> {
        result.unwrap_or_else(|error| {
            self.error.replace(Some(error));
            None
        })
    }

    /// The disk error that happened while it was asked, if any.
    pub(crate) fn checked(self) -> Result<(), StoreError> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

impl Finals for FinalsAt<'_> {
    fn final_entry(&self, id: &EntryId) -> Option<FinalEntry> {
        self.keep(self.log.final_entry(id))
            .filter(|entry| entry.height <= self.height)
    }
}

impl Replica {
    /// The rows. Only a stopped database has none, and a stopped database is asked nothing.
    pub(crate) fn state(&self) -> Result<&State, Stop> {
        self.state.as_ref().ok_or(Stop::Damaged {
            what: "state",
            database: self.id,
        })
    }

    /// What it is called on this peer, its first name first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// Whether entries of this device count.
    pub(crate) fn may_write(&self, device: &DeviceKey) -> bool {
        let role = self.members.get(device);
        role.is_some_and(|role| role.may_write()) && self.dag.lets_write(device)
    }

    /// Runs what is dirty, answers who waits, makes cuts, and tells the members.
    pub(crate) fn settle_down(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        self.take_in_history(ctx)?;
        self.release(false, ctx);
        if self.held_back_is_due(ctx) {
            self.dirty = true;
        }
        if self.dirty {
            self.sweep(ctx)?;
            self.retry_pending_cut(ctx)?;
        }
        self.disconnect_leftovers(ctx)?;
        self.disconnect_abandoned(ctx)?;
        self.fire_due(ctx)?;
        self.go_on_taking(ctx)?;
        self.make_cut(ctx)?;
        self.sweep(ctx)?;
        self.answer_late_publishers(ctx);
        self.converse(ctx)
    }

    /// Adds calls to the batch, flushing it first if they would not fit.
    pub(crate) fn enqueue(&mut self, group: Group, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.batch.is_full_for(&group) {
            self.flush(ctx)?;
        }
        self.batch.push(group, ctx.now.tick);
        Ok(())
    }

    /// Seals the batch into an entry, begins to write it to the log, and queues it for the members.
    /// Who called this waits for the log before anything leaves the peer (see
    /// [`Core::with_any`](crate::Core)).
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.dirty && self.ration.is_unrun() {
            // What ours builds on cannot be held back any more, so it must have shown what it costs.
            self.sweep(ctx)?;
        }
        let (body, expected) = self.batch.take();
        let time = self.time(ctx);
        let parents = self.dag.parents_for_next(self.own.previous, time);
        let (stride, place) = self.stride(&ctx.device);
        let earliest = time
            .max(self.latest_time(&parents)?)
            .max(self.own.last_time);
        let base = self.base_for_next(&parents, ctx.now.tick);
        let draft = Draft {
            database: self.id,
            epoch: self.own.epoch,
            seq: self.own.next_seq,
            parents,
            hlc: stamp(earliest, stride, place),
            stride,
            base,
        };
        let entry = Entry::seal(draft, body, ctx.key)
            .unwrap_or_else(|error| unreachable!("a batch stays within the limits: {error}"));
        let entry = Arc::new(entry);
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let offered = self.dag.offer(Arc::clone(&entry), None, &finals);
        finals.checked()?;
        // Before anything can fail, or those who wait would never be answered.
        if !expected.is_empty() {
            self.expected.insert(entry.id, expected);
        }
        self.own.is_unwritten = true;
        // Nothing is asked of the log between this and the end of the run, which goes on beside it.
        self.log.begin_append(vec![Arc::clone(&entry)])?;
        self.own.previous = Some(entry.id);
        self.own.next_seq += 1;
        self.own.last_time = entry.last_time();
        match offered {
            Offered::Accepted(entries) => self.accepted(&entries, None, ctx.now.tick),
            other => unreachable!("an own entry builds on what is here: {other:?}"),
        }
        Ok(())
    }

    /// The cut that the next entry names. For a moment after one that changed rows alone it is the one before, if
    /// none of `parents` names a later one: a member cannot run what names a cut that it has not taken.
    fn base_for_next(&self, parents: &[EntryId], now: Tick) -> CutRef {
        let last = self.cut.reference();
        let lagging = self.cut_before.as_ref();
        let lagging = lagging.filter(|(_, since)| now.since(*since) < NAMED_AFTER_US);
        let Some((before, _)) = lagging else {
            return last;
        };
        let mut parents = parents.iter().filter_map(|id| self.dag.get(id));
        let is_past = |parent: &Stub| parent.header.base.place() > before.place();
        match parents.any(|parent| is_past(parent)) {
            true => last,
            false => *before,
        }
    }

    /// Waits until all that was appended to the log is on the disk if an own entry is among it; otherwise
    /// has it written, and waits for nothing.
    pub(crate) fn write_on(&mut self) -> Result<(), StoreError> {
        match std::mem::take(&mut self.own.is_unwritten) {
            true => self.log.settle(),
            false => self.log.carry_on(),
        }
    }

    /// Mesh time, or that of what is final if it is later: nothing can come before that any more, so
    /// nothing up to there is ahead. Otherwise a finaliser whose clock was wrong once would make
    /// everybody wait for the day that it saw.
    pub(crate) fn time(&self, ctx: &Context<'_>) -> Hlc {
        self.time_at(ctx.mesh)
    }

    /// The same for a mesh time.
    pub(crate) fn time_at(&self, mesh: Hlc) -> Hlc {
        mesh.max(self.final_time)
    }

    /// Whether our own chain ends so far ahead that what we write next would be held back with it,
    /// by us too: the clock was wrong and has been set right. In microseconds, by how much.
    pub(crate) fn ahead_of_time(&self, ctx: &Context<'_>) -> Option<u64> {
        let ahead = self.own.last_time.0.saturating_sub(self.time(ctx).0);
        (ahead > 2 * AHEAD_US_MAX).then_some(ahead)
    }

    fn latest_time(&self, parents: &[EntryId]) -> Result<Hlc, Stop> {
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let latest = self.dag.latest_time(parents, &finals);
        finals.checked()?;
        Ok(latest)
    }

    /// Whether an entry that was held back may run now.
    pub(crate) fn held_back_is_due(&self, ctx: &Context<'_>) -> bool {
        self.next_due.is_some_and(|due| due <= self.time(ctx))
    }

    /// Bits to shift an invocation's index by, and our place among the members, so that no two
    /// members share a microsecond (DESIGN 3).
    fn stride(&self, device: &DeviceKey) -> (u8, u64) {
        let members = self.members.len().max(1);
        let stride = usize::BITS - (members - 1).leading_zeros();
        let stride = u8::try_from(stride)
            .unwrap_or(sync_protocol::limits::STRIDE_MAX)
            .min(sync_protocol::limits::STRIDE_MAX);
        let place = self.members.keys().position(|member| member == device);
        (stride, place.unwrap_or(0) as u64)
    }

    /// Notes entries that the DAG has taken in. They are in the log, or on their way.
    pub(crate) fn accepted(&mut self, entries: &[Arc<Entry>], from: Option<DeviceKey>, tick: Tick) {
        for entry in entries {
            self.bodies.keep(entry);
            self.accepted_at.insert(entry.id, tick);
            self.tail_since.get_or_insert(tick);
            self.dirty = true;
            // What is held back is not spread; who compares what it holds with ours asks for it.
            if !self.dag.is_held(&entry.id) {
                self.fresh.push((Arc::clone(entry), from));
            }
        }
    }
}

/// The first time after `earliest` that is ours: `place` modulo `2^stride`.
fn stamp(earliest: Hlc, stride: u8, place: u64) -> Hlc {
    let step = 1u64 << stride;
    let next = earliest.0.saturating_add(1);
    let ahead = (place % step).wrapping_sub(next) & (step - 1);
    Hlc(next.saturating_add(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_later_and_belongs_to_its_author_alone() {
        for earliest in 0..40 {
            for stride in 0..4 {
                for place in 0..(1 << stride) {
                    let stamped = stamp(Hlc(earliest), stride, place).0;
                    assert!(stamped > earliest && stamped <= earliest + (1 << stride));
                    assert_eq!(stamped % (1 << stride), place);
                }
            }
        }
    }
}
