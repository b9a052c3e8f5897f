//! Making cuts: what the one finaliser does. A large cut's rows are summed up aside, while calls go
//! on; if what it covers changes meanwhile, it is made at once instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use store::{Planning, Settlement, State};
use sync_protocol::limits::{FRONTIER_MAX, SETTLE_US};
use sync_protocol::{Cut, CutDraft, EntryId, Ordered, Stub, Tick};

use super::root_of;
use crate::error::Stop;
use crate::replica::{Context, FinalsAt, Health, Replica};

/// Milliseconds between two cuts at least.
pub(crate) const CUT_EVERY_MS: u64 = 1_000;

/// Versions of rows in the tail from which on cuts are made [`BUSY`] times as often, if few rows have many versions: a cut
/// takes the core's thread some milliseconds for each ten thousand, and everybody waits meanwhile. Where less happens
/// the log is spared.
const BUSY_VERSIONS: usize = 16_000;

/// How much more often.
const BUSY: u64 = 8;

/// A long tail is covered so many times sooner and more often: it costs less to settle than to spill.
const PRESSED: u64 = 4;

/// Milliseconds after which it is looked again whether what is done aside is done.
const LOOK_MS: u64 = 5;

/// After this many settle times a finaliser no longer waits for a gapless start of the tail: an
/// author that keeps sending back-dated entries must not hold finality up.
const PATIENCE: u64 = 3;

/// A cut whose rows are being summed up.
#[derive(Debug)]
pub(crate) struct CutInMaking {
    height: u64,
    frontier: Vec<EntryId>,
    segment: Vec<Ordered>,
    planning: Planning,
}

impl Replica {
    /// When a cut could be made, if there is something to cover.
    pub(crate) fn cut_due(&self, ctx: &Context<'_>) -> Option<Tick> {
        let able = self.is_finaliser(ctx) && self.health == Health::Ok && !ctx.is_short_of_room;
        if !able || !self.contest.pledge.is_empty() {
            return None;
        }
        if self.making.is_some() || self.state.as_ref().is_some_and(State::is_settling) {
            return None; // looked after by itself
        }
        let settled = Tick(self.tail_since?.0.saturating_add(self.settle_us()));
        let state = self.state.as_ref();
        let is_busy = state.is_some_and(|state| state.is_rewritten(BUSY_VERSIONS));
        let every_ms = CUT_EVERY_MS / self.haste().max(if is_busy { BUSY } else { 1 });
        Some(
            settled
                .max(self.last_cut_at.plus_ms(every_ms))
                .max(self.may_cut_from()),
        )
    }

    /// Microseconds for which an entry has to be held before a cut covers it.
    fn settle_us(&self) -> u64 {
        SETTLE_US / self.haste()
    }

    fn haste(&self) -> u64 {
        match self.state.as_ref().is_some_and(State::is_pressed) {
            true => PRESSED,
            false => 1,
        }
    }

    /// When to look whether what is done aside is done.
    pub(crate) fn aside_due(&self, ctx: &Context<'_>) -> Option<Tick> {
        let is_settling = self.state.as_ref().is_some_and(State::is_settling);
        let is_summing_up = self.making.is_some() || self.taking.is_some();
        let is_busy = is_settling || is_summing_up || self.log.is_appending();
        is_busy.then(|| ctx.now.tick.plus_ms(LOOK_MS))
    }

    /// Makes a cut over what has been held for the settle time, if it is time for one, or goes on
    /// with the one that is being made.
    pub(crate) fn make_cut(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if let Some(state) = &mut self.state {
            state.look()?;
        }
        if self.making.is_some() {
            return self.go_on_making(ctx);
        }
        if self.cut_due(ctx).is_none_or(|due| ctx.now.tick < due) {
            return Ok(());
        }
        self.last_cut_at = ctx.now.tick;
        self.asks_since = None;
        let entries = self.settled_entries(ctx);
        let frontier = self.frontier_of(&entries);
        if entries.is_empty() || frontier.len() > FRONTIER_MAX {
            return Ok(());
        }
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let segment = self.dag.segment(&frontier, &finals);
        finals.checked()?;
        let segment = segment.unwrap_or_else(|missing| {
            unreachable!("the frontier is of executed entries: {missing:?}")
        });
        let height = self.cut.height + 1;
        if !std::mem::take(&mut self.cut_here)
            && let Some(planning) = self.plan_aside(&segment)?
        {
            self.making = Some(CutInMaking {
                height,
                frontier,
                segment,
                planning,
            });
            return Ok(());
        }
        let settlement = match self.plan_apart(&segment, None, ctx)? {
            Some(settlement) => settlement,
            None => self.run_segment(&segment, height, ctx)?,
        };
        self.certify(height, frontier, &segment, settlement, ctx)
    }

    /// Starts to sum up what a cut over `segment` changes, if that can be done aside.
    pub(super) fn plan_aside(&mut self, segment: &[Ordered]) -> Result<Option<Planning>, Stop> {
        let has_run = self.common(0, segment) == segment.len();
        let ran = &self.executed[..segment.len().min(self.executed.len())];
        // Either of these is read off the state at the end of the segment.
        let reads = ran.iter().any(|ran| ran.rights_changed || ran.publishes);
        let Some(last) = segment.last().filter(|_| has_run && !reads) else {
            return Ok(None);
        };
        let last = last_position(&last.entry);
        match &mut self.state {
            Some(state) => Ok(state.plan_aside(&last)?),
            None => Ok(None),
        }
    }

    /// Certifies the cut that is being made once its rows are summed up.
    fn go_on_making(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(mut making) = self.making.take() else {
            return Ok(());
        };
        if !making.planning.is_done() {
            self.making = Some(making);
            return Ok(());
        }
        let CutInMaking {
            height,
            frontier,
            segment,
            planning,
        } = making;
        let settlement = planning.wait()?;
        let may = self.is_finaliser(ctx)
            && self.health == Health::Ok
            && !ctx.is_short_of_room
            && self.contest.pledge.is_empty()
            && self.asks_since.is_none()
            && self.cut.height + 1 == height;
        let is_good = may && self.is_good(&settlement, &segment)?;
        if !is_good {
            self.cut_here = true;
            return Ok(());
        }
        self.judged = None;
        self.certify(height, frontier, &segment, settlement, ctx)
    }

    /// Signs the cut that `settlement` was planned for, writes it, and has it passed on.
    fn certify(
        &mut self,
        height: u64,
        frontier: Vec<EntryId>,
        segment: &[Ordered],
        settlement: Settlement,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let draft = CutDraft {
            database: self.id,
            term: self.cut.term,
            height,
            parent: self.cut.id(),
            engine: self.cut.engine,
            frontier,
            order_root: root_of(segment),
            state_root: settlement.root,
            finalisers: self.finalisers_after(segment.len())?,
        };
        let cut = Cut::seal(draft, ctx.key)
            .unwrap_or_else(|error| unreachable!("a cut of ours stays within the limits: {error}"));
        self.write_cut(cut, segment, settlement, true, ctx)?;
        self.fresh_cut = Some(self.cut.encoded().to_vec());
        Ok(())
    }

    /// Executed entries that a cut may cover now.
    fn settled_entries(&self, ctx: &Context<'_>) -> Vec<Arc<Stub>> {
        let held = |entry: &Stub| {
            self.accepted_at
                .get(&entry.id)
                .map_or(u64::MAX, |at| ctx.now.tick.since(*at))
        };
        let settle_us = self.settle_us();
        // A gapless start of the tail is flushed without running anything again.
        let start: Vec<_> = self
            .executed
            .iter()
            .take_while(|ran| held(&ran.entry) >= settle_us)
            .map(|ran| Arc::clone(&ran.entry))
            .collect();
        let is_impatient = || {
            let mut executed = self.executed.iter();
            executed.any(|ran| held(&ran.entry) >= settle_us * PATIENCE)
        };
        if !start.is_empty() || !is_impatient() {
            return start;
        }
        self.executed
            .iter()
            .filter(|ran| held(&ran.entry) >= settle_us)
            .map(|ran| Arc::clone(&ran.entry))
            .collect()
    }

    /// Heads of what is final plus `entries`, which are closed under ancestors.
    fn frontier_of(&self, entries: &[Arc<Stub>]) -> Vec<EntryId> {
        let parents: BTreeSet<EntryId> = entries
            .iter()
            .flat_map(|entry| entry.header.parents.iter().copied())
            .collect();
        let mut frontier: Vec<EntryId> = self
            .cut
            .frontier
            .iter()
            .copied()
            .chain(entries.iter().map(|entry| entry.id))
            .filter(|id| !parents.contains(id))
            .collect();
        frontier.sort_unstable();
        frontier.dedup();
        frontier
    }
}

/// Where the last call of an entry has its place.
pub(super) fn last_position(entry: &Stub) -> sync_protocol::Position {
    let invocations = entry.header.invocations;
    entry.position(invocations.saturating_sub(1))
}
