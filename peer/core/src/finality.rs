//! Cuts: made by the finaliser, taken by everybody else (DESIGN 4).
//!
//! Both bring execution to exactly the cut's segment, plan the settling, and compare or certify
//! the root; only then is anything written. The log is written first: after a crash in between,
//! the segment runs again from the log.

mod apart;
mod asking;
pub(crate) mod contest;
pub(crate) mod making;
mod moving;
pub(crate) mod recovery;
pub(crate) mod taking;

use std::collections::BTreeSet;

use store::{RowWrite, Settlement};
use sync_protocol::{
    Cut, DeviceKey, EntryId, Ordered, Position, Role, Struck, SystemCall, order_root,
};

use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::replica::{Context, FinalsAt, Health, Replica, latest_final};
use crate::system_tables::{self, RIGHT, RightRow, TicketRow};

/// What came of a cut that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TakenCut {
    /// It is ours now.
    Taken,
    /// It was ours already, or it is being taken.
    Known,
    /// It waits for these entries.
    Missing(Vec<EntryId>),
    /// Cuts before it are missing.
    Gap,
    /// It does not follow from ours: the two histories part somewhere.
    Apart,
    /// It breaks a rule: the sender's fault.
    Bad(String),
}

impl Replica {
    /// Whether this peer certifies cuts alone.
    pub(crate) fn is_finaliser(&self, ctx: &Context<'_>) -> bool {
        self.cut.finalisers == [ctx.device]
    }

    /// Takes a cut that a remote sent. Its rows may have been summed up aside.
    fn take_cut_with(
        &mut self,
        cut: Cut,
        planned: Option<Settlement>,
        ctx: &mut Context<'_>,
    ) -> Result<TakenCut, Stop> {
        if cut.database != self.id {
            return Ok(TakenCut::Bad("a cut of another database".to_owned()));
        }
        if cut.height <= self.cut.height {
            return self.compare_with_ours(cut, ctx);
        }
        // What this version cannot run, or what lost, is nobody's fault.
        if self.cut.engine > ctx.engine_max || self.is_forsaken(&cut) {
            return Ok(TakenCut::Known);
        }
        if ctx.is_short_of_room {
            return Ok(TakenCut::Known);
        }
        if cut.height > self.cut.height + 1 {
            return Ok(TakenCut::Gap);
        }
        if cut.parent != self.cut.id() {
            let lost = cut.term < self.term();
            return Ok(if lost {
                TakenCut::Known
            } else {
                TakenCut::Apart
            });
        }
        if let Err(error) = cut.verify_after(&self.cut, &self.genesis.recovery_keys) {
            return Ok(TakenCut::Bad(format!(
                "a cut that is not certified: {error}"
            )));
        }
        let recovery = cut.is_recovery_after(&self.cut);
        if self.contest.other_side.is_some() && !recovery {
            return Ok(TakenCut::Known); // finality stands still
        }
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let segment = self.dag.segment(&cut.frontier, &finals);
        finals.checked()?;
        let segment = match segment {
            Ok(segment) => segment,
            Err(mut missing) => {
                missing.retain(|id| !self.parked.holds(id));
                self.pending_cut = Some(cut);
                return Ok(TakenCut::Missing(missing));
            }
        };
        self.pending_cut = None;
        if root_of(&segment) != cut.order_root {
            self.fork_over(cut, ctx)?;
            return Ok(TakenCut::Known);
        }
        let cut = match planned.is_some() {
            true => cut,
            false => match self.begin_taking(cut, &segment)? {
                Some(cut) => cut,
                None => return Ok(TakenCut::Known),
            },
        };
        let settlement = match planned {
            Some(planned) if self.is_good(&planned, &segment)? => {
                self.judged = None;
                planned
            }
            _ => match self.plan_apart(&segment, Some(&cut), ctx)? {
                Some(settlement) => settlement,
                None => self.run_segment(&segment, cut.height, ctx)?,
            },
        };
        if !recovery && cut.finalisers != self.finalisers_after(segment.len())? {
            self.fork_over(cut, ctx)?;
            return Ok(TakenCut::Known);
        }
        if settlement.root != cut.state_root && !planted!(PartialCutAdvance) {
            return Err(self.diverge(&cut, segment.len(), ctx)?);
        }
        self.write_cut(cut, &segment, settlement, true, ctx)?;
        self.contest_after_cut(recovery, ctx)?;
        self.stop_behind_engine(ctx)?;
        Ok(TakenCut::Taken)
    }

    /// Whether these are the bytes of a certified cut that follows our last one: what comes with it
    /// is history.
    pub(crate) fn continues(&self, cut: &[u8]) -> bool {
        Cut::open(cut).is_ok_and(|cut| {
            cut.database == self.id
                && cut.height == self.cut.height + 1
                && cut.parent == self.cut.id()
                && cut
                    .verify_after(&self.cut, &self.genesis.recovery_keys)
                    .is_ok()
        })
    }

    /// Runs a segment again whose cut the log holds but the base does not: after a crash.
    pub(crate) fn retake_cut(&mut self, cut: Cut, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let damaged = Stop::Damaged {
            what: "segment",
            database: self.id,
        };
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let segment = self.dag.segment(&cut.frontier, &finals);
        finals.checked()?;
        let Ok(segment) = segment else {
            return Err(damaged);
        };
        let settlement = self.run_segment(&segment, cut.height, ctx)?;
        if settlement.root != cut.state_root && !planted!(PartialCutAdvance) {
            return Err(self.diverge(&cut, segment.len(), ctx)?);
        }
        self.write_cut(cut, &segment, settlement, false, ctx)
    }

    /// From a cut on whose engine this version does not know, nothing is run: the rows stay those
    /// of the cut, and entries are stored and passed on.
    pub(crate) fn stop_behind_engine(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.cut.engine <= ctx.engine_max {
            return Ok(());
        }
        self.rewind(0)?;
        self.health = Health::BehindEngine(self.cut.engine);
        let why = self.health.detail().unwrap_or_default();
        self.fail_waiting(&why, ctx.effects);
        Ok(())
    }

    /// A pending cut can wait for ever: for an entry that nobody will ever accept.
    pub(crate) fn note_invalid(
        &mut self,
        invalid: &[EntryId],
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let Some(cut) = self.pending_cut.take() else {
            return Ok(());
        };
        let finals = FinalsAt::new(&self.log, self.cut.height);
        let segment = self.dag.segment(&cut.frontier, &finals);
        finals.checked()?;
        match segment {
            Err(missing) if missing.iter().any(|id| invalid.contains(id)) => {
                self.fork_over(cut, ctx)
            }
            _ => {
                self.pending_cut = Some(cut);
                Ok(())
            }
        }
    }

    /// Brings execution to where `segment`, and if it publishes a module nothing else, has run; plans the settling.
    fn run_segment(
        &mut self,
        segment: &[Ordered],
        height: u64,
        ctx: &mut Context<'_>,
    ) -> Result<Settlement, Stop> {
        let common = self.common(0, segment);
        if common < segment.len() {
            self.rewind(common)?;
            for ordered in &segment[common..] {
                self.run(ordered, ctx)?;
            }
        }
        let rights_changed = self.executed[..segment.len()]
            .iter()
            .any(|ran| ran.rights_changed);
        let publishes = self.executed[..segment.len()]
            .iter()
            .any(|ran| ran.publishes);
        if publishes && planted!(KeepOverlayOnUpgrade) {
            // What the tail did is gone with this, and stays among what has run.
            if let Some(ran) = self.executed.get(segment.len()) {
                let from = ran.entry.position(0);
                self.rewind_state(&from)?;
            }
        } else if publishes {
            // It is judged by the state at the end of the segment.
            self.rewind(segment.len())?;
        }
        let last = segment
            .last()
            .map(|ordered| making::last_position(&ordered.entry));
        let mut extra = match &last {
            Some(last) if rights_changed => {
                let admitted = self.admitted_within(segment.len())?;
                right_rows(self.state()?, last, &self.rights, height, &admitted)?
            }
            _ => Vec::new(),
        };
        self.judged = if publishes {
            self.judge(height, ctx)?
        } else {
            None
        };
        let mut migration = None;
        if let Some(judged) = &mut self.judged {
            extra.append(&mut judged.rows);
            migration = judged.migration.take();
        }
        let state = self.state()?;
        Ok(match migration {
            Some(migration) => state.plan_migration(last.as_ref(), extra, migration)?,
            None => state.plan_settle(last.as_ref(), extra)?,
        })
    }

    /// Devices that the first so many executed entries admit, whatever came of that.
    fn admitted_within(&self, segment: usize) -> Result<BTreeSet<DeviceKey>, Stop> {
        let mut admitted = BTreeSet::new();
        for ran in self.executed[..segment]
            .iter()
            .filter(|ran| ran.rights_changed)
        {
            let entry = self.bodies.get(&ran.entry.id, &self.log, self.id)?;
            admitted.extend(entry.system_calls().filter_map(|(_, call)| match call {
                SystemCall::Admit { member, .. } => Some(member),
                _ => None,
            }));
        }
        Ok(admitted)
    }

    pub(crate) fn write_cut(
        &mut self,
        cut: Cut,
        segment: &[Ordered],
        settlement: Settlement,
        into_log: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let stubs = segment.iter().map(|ordered| &*ordered.entry);
        if into_log && !planted!(BaseBeforeLog) {
            self.log.put_cut_of_tail(&cut, stubs.clone())?;
        }
        let database = self.id;
        let state = self.state.as_mut().ok_or(Stop::Damaged {
            what: "state",
            database,
        })?;
        state.settle(settlement, cut.height)?;
        if into_log && planted!(BaseBeforeLog) {
            self.log.put_cut_of_tail(&cut, stubs)?;
        }
        self.recent_calls.note_final(
            &self.executed[..segment.len()],
            &self.bodies,
            (&self.log, database),
        )?;
        // Lines of the history of rights are written only where rights changed.
        let covered: Vec<_> = self.executed.drain(..segment.len()).collect();
        let rights_changed = covered.iter().any(|ran| ran.rights_changed);
        let publishes = covered.iter().any(|ran| ran.publishes);
        if rights_changed {
            self.rights = system_tables::rights(&self.state()?.final_rows(RIGHT)?);
            self.abandoned_stale = true;
        }
        let mut bodies = Vec::with_capacity(segment.len());
        for ordered in segment {
            self.accepted_at.remove(&ordered.entry.id);
            self.logged.remove(&ordered.entry.id);
            self.told_events.remove(&ordered.entry.id);
            bodies.extend(self.bodies.forget(&ordered.entry.id));
            self.ration.forget(&ordered.entry);
        }
        if let Some(state) = &mut self.state {
            let calls: usize = covered.iter().map(|ran| ran.outcomes.len()).sum();
            state.discard(calls, (covered, bodies));
        }
        self.tail_since = self.accepted_at.values().min().copied();
        // Only a change of rights takes anything else out of the tail.
        let before = match rights_changed {
            true => self.dag.ids(),
            false => Vec::new(),
        };
        let finals = FinalsAt::new(&self.log, cut.height);
        let released = self.dag.advance(&cut, &self.rights, &finals);
        self.final_time = self.final_time.max(latest_final(&cut, &finals));
        finals.checked()?;
        self.note_dropped(&before)?;
        let is_plain = !rights_changed
            && !publishes
            && cut.term == self.cut.term
            && cut.finalisers == self.cut.finalisers;
        self.cut_before = is_plain.then(|| (self.cut.reference(), ctx.now.tick));
        self.cut = cut;
        self.dirty = true;
        self.take_effect(ctx)?;
        if !released.is_empty() {
            self.log.append(&released)?;
            self.ration_out(&released, ctx);
            self.accepted(&released, None, ctx.now.tick);
        }
        self.release(true, ctx);
        Ok(())
    }

    /// Of what was in the tail before a cut, notes what is neither covered nor in it any more.
    fn note_dropped(&mut self, before: &[EntryId]) -> Result<(), Stop> {
        let why = |author: &DeviceKey| match self.rights.frozen.contains_key(author) {
            true => Struck::Equivocated,
            false => Struck::Removed,
        };
        let gone = before.iter().filter(|id| !self.dag.is_clean(id));
        let dropped: Vec<(EntryId, Struck)> = gone
            .filter_map(|id| Some((*id, why(&self.dag.get(id)?.header.author))))
            .collect();
        let log = (&self.log, self.id);
        self.recent_calls.note_dropped(&dropped, &self.bodies, log)
    }

    /// Tries the cut that waited for entries.
    pub(crate) fn retry_pending_cut(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(cut) = self.pending_cut.take() else {
            return Ok(());
        };
        if let TakenCut::Bad(why) = self.take_cut(cut, ctx)? {
            ctx.effects.push(Effect::Note {
                level: NoteLevel::Warn,
                text: format!("dropped {why}"),
            });
        }
        Ok(())
    }
}

fn root_of(segment: &[Ordered]) -> sync_protocol::OrderRoot {
    let ids: Vec<EntryId> = segment.iter().map(|ordered| ordered.entry.id).collect();
    order_root(&ids)
}

/// Lines to add to the history of rights at `height`: where the rows of `state` after the calls up to and with
/// `through` differ from it, and who of the `admitted` is no member after all. Such a device could write for those
/// who built on its admission, so what they wrote on top of it stays (`docs/decisions/0024-revocations-strike.md`).
pub(crate) fn right_rows(
    state: &store::State,
    through: &Position,
    known: &sync_protocol::Rights,
    height: u64,
    admitted: &BTreeSet<DeviceKey>,
) -> Result<Vec<RowWrite>, Stop> {
    let mut rights = Vec::new();
    let mut seen = BTreeSet::new();
    for row in state.rows_through(system_tables::MEMBER, through)? {
        let (device, role) = system_tables::read_member(&row?);
        seen.insert(device);
        if known.role_at(&device, height) != role {
            rights.push(RightRow::Member {
                device,
                height,
                role,
            });
        }
    }
    for device in known.roles.keys().filter(|device| !seen.contains(*device)) {
        if known.role_at(device, height).is_some() {
            rights.push(RightRow::Member {
                device: *device,
                height,
                role: None,
            });
        }
    }
    let gone = admitted.iter().filter(|device| !seen.contains(*device));
    for device in gone.filter(|device| known.role_at(device, height).is_none()) {
        // In this order: the role's code comes before that of none.
        rights.extend([Some(Role::Writer), None].map(|role| RightRow::Member {
            device: *device,
            height,
            role,
        }));
    }
    for row in state.rows_through(system_tables::TICKET, through)? {
        let row = TicketRow::read(&row?);
        if !known.tickets.contains_key(&row.ticket) {
            rights.push(RightRow::Ticket {
                ticket: row.ticket,
                height,
                role: row.role,
                expires: row.expires,
            });
        }
    }
    for row in state.rows_through(system_tables::EQUIVOCATION, through)? {
        let author = system_tables::read_equivocation(&row?);
        if !known.frozen.contains_key(&author) {
            rights.push(RightRow::Frozen { author, height });
        }
    }
    Ok(rights
        .iter()
        .map(|right| RowWrite {
            table: RIGHT,
            row: right.write(),
            delete: false,
        })
        .collect())
}
