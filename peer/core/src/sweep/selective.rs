//! The selective sweep (ORDERING 2.3): one pass from the first change to the end of the tail, in
//! order. Calls of new entries run at their place amid the others; entries that have no place any
//! more are withdrawn; a call that stays runs again only if it read something that has changed
//! before it. What a call writes changes nothing before it, so each runs at most once a pass, and
//! the result is that of a serial run.
//!
//! Where that does not pay the rest runs as a suffix: when too many of the last calls that were looked
//! at had to run again, because what is changed there stays changed; when what
//! changed is spilled, and when rights, members or modules are concerned, which every call reads.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use store::Dirt;
use sync_protocol::{Entry, Ordered, SystemCall};

use crate::error::Stop;
use crate::execute::{CallAt, EntryRun, Known, Trace};
use crate::limits::{
    SELECTIVE_CALLS_MIN, SELECTIVE_PERCENT_MAX, SELECTIVE_WINDOW_CALLS, TRACE_BYTES_MAX,
};
use crate::replica::{Context, Executed, Replica};

/// A pass that is under way.
struct Pass {
    dirt: Dirt,
    /// What had been executed and was not looked at yet.
    left: Peekable<IntoIter<Executed>>,
    /// Executed calls that were looked at since it was judged last whether this pays.
    looked: usize,
    /// Those of them that ran again.
    again: usize,
}

impl Pass {
    /// After an entry that stays: whether to go on. Not if so many calls run again that running all of
    /// them would have been quicker. Judged once a window: how it went there is what is to be expected
    /// of the rest.
    fn verdict(&mut self) -> Step {
        if self.looked < SELECTIVE_WINDOW_CALLS {
            return Step::Done;
        }
        let loses = self.again * 100 > self.looked * SELECTIVE_PERCENT_MAX;
        (self.looked, self.again) = (0, 0);
        match loses {
            true => Step::Suffix,
            false => Step::Done,
        }
    }
}

/// How an entry was dealt with.
#[derive(PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    /// It and all after it have to run as a suffix.
    Suffix,
}

impl Replica {
    /// Brings the first entries of `order` up to date, whose place is after the first `keep` executed
    /// ones. Returns how many; what comes after them has to run, and nothing of it has.
    pub(super) fn sweep_selectively(
        &mut self,
        keep: usize,
        order: &[Ordered],
        ctx: &mut Context<'_>,
    ) -> Result<usize, Stop> {
        let calls = |executed: &[Executed]| -> usize {
            executed.iter().map(|ran| ran.outcomes.len()).sum()
        };
        let total = calls(&self.executed[keep..]);
        let (Some(first_old), Some(first_new)) = (self.executed.get(keep), order.first()) else {
            return Ok(0);
        };
        let first = first_old.entry.position(0).min(first_new.entry.position(0));
        let can_amend = |state: &store::State| state.can_amend(&first);
        if total < SELECTIVE_CALLS_MIN || !self.state.as_ref().is_some_and(can_amend) {
            return Ok(0);
        }
        let mut pass = Pass {
            dirt: Dirt::default(),
            left: self.executed.split_off(keep).into_iter().peekable(),
            looked: 0,
            again: 0,
        };
        for (done, ordered) in order.iter().enumerate() {
            let step = self.withdraw_before(&mut pass, ordered)?;
            if pass.left.peek().is_none() {
                // All that is left is new, and after everything that has run.
                return Ok(done);
            }
            if self.keeps_back(ordered, &order[done..], ctx) {
                continue;
            }
            if step == Step::Suffix || self.take_step(&mut pass, ordered, ctx)? == Step::Suffix {
                self.rewind_state(&ordered.entry.position(0))?;
                self.members_stale |= pass.left.any(|ran| ran.rights_changed);
                return Ok(done);
            }
        }
        // What is left has no place any more.
        if let Some(first) = pass.left.peek() {
            self.rewind_state(&first.entry.position(0))?;
            self.members_stale |= pass.left.any(|ran| ran.rights_changed);
        }
        Ok(order.len())
    }

    /// Forgets what the oldest calls have read, if it takes too much memory.
    pub(super) fn bound_traces(&mut self) {
        if self.trace_bytes <= TRACE_BYTES_MAX {
            return;
        }
        let bytes_of = |ran: &Executed| ran.traces.iter().map(Trace::bytes).sum::<usize>();
        self.trace_bytes = self.executed.iter().map(bytes_of).sum();
        for ran in &mut self.executed {
            if self.trace_bytes <= TRACE_BYTES_MAX / 2 {
                break;
            }
            self.trace_bytes -= bytes_of(ran);
            ran.traces = Vec::new();
        }
    }

    /// Takes back what has no place before `next` any more.
    fn withdraw_before(&mut self, pass: &mut Pass, next: &Ordered) -> Result<Step, Stop> {
        let position = next.entry.position(0);
        let is_before = |ran: &Executed| ran.entry.position(0) < position;
        while let Some(ran) = pass.left.next_if(is_before) {
            self.members_stale |= ran.rights_changed;
            if concerns_all(&ran) {
                self.rewind_state(&ran.entry.position(0))?;
                return Ok(Step::Suffix);
            }
            self.withdraw(pass, &ran)?;
        }
        Ok(Step::Done)
    }

    fn withdraw(&mut self, pass: &mut Pass, ran: &Executed) -> Result<(), Stop> {
        let mut state = self.take_state()?;
        for (index, outcome) in (0_u16..).zip(&ran.outcomes) {
            if outcome.is_ok() {
                pass.dirt.add(state.withdraw(&ran.entry.position(index)));
            }
        }
        self.state = Some(state);
        Ok(())
    }

    /// Deals with one entry of the order, while others after it have been executed.
    fn take_step(
        &mut self,
        pass: &mut Pass,
        ordered: &Ordered,
        ctx: &mut Context<'_>,
    ) -> Result<Step, Stop> {
        let is_it = |ran: &Executed| ran.entry.id == ordered.entry.id;
        if pass.left.peek().is_some_and(is_it) {
            let Some(mut ran) = pass.left.next() else {
                return Ok(Step::Suffix);
            };
            if ran.struck == ordered.struck {
                let step = self.run_again(pass, &mut ran)?;
                if step == Step::Done {
                    self.executed.push(ran);
                } else {
                    self.members_stale |= ran.rights_changed;
                }
                return Ok(step);
            }
            self.members_stale |= ran.rights_changed;
            if concerns_all(&ran) {
                return Ok(Step::Suffix);
            }
            self.withdraw(pass, &ran)?;
        }
        self.run_amid(&mut pass.dirt, ordered, ctx)
    }

    /// Runs those calls of an entry again that read something that has changed.
    fn run_again(&mut self, pass: &mut Pass, ran: &mut Executed) -> Result<Step, Stop> {
        if ran.is_void() || pass.dirt.is_empty() {
            return Ok(Step::Done);
        }
        let calls = ran.outcomes.len();
        pass.looked += calls;
        let is_dirty = |pass: &Pass, ran: &Executed, index: usize| {
            let reads = ran.traces.get(index).and_then(|trace| trace.reads.as_ref());
            let position = ran.entry.position(u16::try_from(index).unwrap_or(u16::MAX));
            reads.is_none_or(|reads| pass.dirt.touches(reads, &position))
        };
        let Some(first) = (0..calls).find(|index| is_dirty(pass, ran, *index)) else {
            return Ok(pass.verdict());
        };
        if ran.traces.len() != calls || concerns_all(ran) {
            return Ok(Step::Suffix);
        }
        let entry = self.bodies.get(&ran.entry.id, &self.log, self.id)?;
        if !is_ordinary(&entry) {
            return Ok(Step::Suffix);
        }
        let (per_entry, per_call) = self.executor.budgets();
        let readied = self.executor.ready(&entry, ran.struck);
        let mut state = self.take_state()?;
        let (mut known, mut run) = (Known::default(), EntryRun::default());
        let mut units_left = per_entry;
        // Calls share a budget: if it ran short, before or now, each depends on those before it.
        let mut is_short = units_of(&ran.traces).saturating_add(per_call) > per_entry;
        for index in 0..calls {
            if index >= first && (is_short || is_dirty(pass, ran, index)) {
                let call = CallAt {
                    index: u16::try_from(index).unwrap_or(u16::MAX),
                    units_left,
                    amid: true,
                };
                let (next, mut again) = self
                    .executor
                    .run_call(state, &readied, call, &mut known, &mut run)?;
                state = next;
                pass.again += 1;
                self.executions += 1;
                pass.dirt.add(again.changed);
                again.outcome.shorten();
                ran.outcomes[index] = again.outcome;
                self.trace_bytes += again.trace.bytes();
                ran.traces[index] = again.trace;
                is_short |= units_of(&ran.traces).saturating_add(per_call) > per_entry;
            }
            units_left = units_left.saturating_sub(ran.traces[index].units);
        }
        self.state = Some(state);
        self.note_events(ran.entry.id, run.events);
        Ok(pass.verdict())
    }

    /// Runs an entry that has its place before others that have been executed, and adds to `dirt` what that changes
    /// for these.
    pub(crate) fn run_amid(
        &mut self,
        dirt: &mut Dirt,
        ordered: &Ordered,
        ctx: &mut Context<'_>,
    ) -> Result<Step, Stop> {
        let entry: Arc<Entry> = self.bodies.get(&ordered.entry.id, &self.log, self.id)?;
        if !is_ordinary(&entry) {
            return Ok(Step::Suffix);
        }
        let mut run = EntryRun::default();
        if let Some(why) = ordered.struck.filter(|struck| struck.is_void()) {
            run.void(&entry, why);
        } else {
            let readied = self.executor.ready(&entry, ordered.struck);
            let mut state = self.take_state()?;
            let mut known = Known::default();
            let mut call = CallAt {
                index: 0,
                units_left: self.executor.budgets().0,
                amid: true,
            };
            for index in 0..entry.header.invocations {
                call.index = index;
                let (next, ran) = self
                    .executor
                    .run_call(state, &readied, call, &mut known, &mut run)?;
                state = next;
                dirt.add(ran.changed);
                call.units_left = call.units_left.saturating_sub(ran.trace.units);
                run.outcomes.push(ran.outcome);
                run.traces.push(ran.trace);
            }
            self.state = Some(state);
            self.executions += u64::from(entry.header.invocations);
        }
        let executed = self.conclude(ordered, &entry, run, ctx);
        self.executed.push(executed);
        Ok(Step::Done)
    }
}

fn units_of(traces: &[Trace]) -> u64 {
    traces.iter().map(|trace| trace.units).sum()
}

/// Whether an entry did something that every call may depend on.
pub(crate) fn concerns_all(ran: &Executed) -> bool {
    ran.rights_changed || ran.publishes || ran.finaliser.is_some()
}

/// Whether an entry only calls reducers, by name or because they were due, and says which clients are
/// there.
pub(super) fn is_ordinary(entry: &Entry) -> bool {
    let mut calls = entry.system_calls();
    calls.all(|(_, call)| {
        matches!(
            call,
            SystemCall::ClientConnected | SystemCall::ClientDisconnected | SystemCall::Fire(_)
        )
    })
}
