//! Brings the overlay up to date after entries came in. What is new runs at its place; of what comes
//! after it, only calls that read something that is different now run again (see [`selective`]), or,
//! where that does not pay, everything does, in order (suffix replay, ORDERING 2.2). A serial run of
//! the whole order gives the same rows; the tests hold all of them against each other.

mod selective;

pub(crate) use self::selective::{Step, concerns_all};

use store::State;
use sync_protocol::{DeviceKey, Entry, EntryId, EquivocationProof, Ordered, Position, Struck};

use crate::batch::{Expected, ReplyTo};
use crate::effect::Effect;
use crate::error::{Stop, refuse};
use crate::execute::{EntryRun, Event, Trace};
use crate::outcome::CallOutcome;
use crate::replica::{Context, Executed, Health, Replay, Replica};
use crate::reply::{Called, ErrorKind, Reply, Written};
use crate::system_tables;

/// What the caller of an own call hears that nobody can run yet.
const NOT_YET: &str = "this device's right to write was not final when it called: the call may still run, \
                       so look before you repeat it";

impl Replica {
    /// Runs what has not run, or not at its present position. Readers see the state before or after
    /// this, never within.
    pub(crate) fn sweep(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if matches!(self.health, Health::BehindEngine(_)) {
            self.dirty = false;
        }
        if self.dirty {
            self.dirty = false;
            self.begin_rationing();
            // Whatever lies before the first change has run and stays. A cut may have taken back
            // more than changed, so what follows the last entry that has run is looked at too.
            let last = self
                .executed
                .last()
                .map_or(Position::MIN, |ran| ran.entry.position(0));
            let changed = self.dag.take_changed_from();
            let from = changed.map_or(last, |changed| changed.min(last));
            let mut from = from.start_of_entry();
            if planted!(OrderByArrival) {
                from = Position::MIN;
            }
            let kept = self
                .executed
                .partition_point(|ran| ran.entry.position(0) < from);
            let mut order: Vec<Ordered> = self.dag.tail_from(&from, self.time(ctx)).collect();
            if planted!(OrderByArrival) {
                // Stable: what has not run stays in its order, after all that has.
                let ran = |id| self.executed.iter().position(|ran| ran.entry.id == id);
                order.sort_by_key(|ordered| ran(ordered.entry.id).unwrap_or(usize::MAX));
            }
            let common = self.common(kept, &order);
            let done = match ctx.replay {
                Replay::Selective => {
                    self.sweep_selectively(kept + common, &order[common..], ctx)?
                }
                Replay::Suffix => 0,
            };
            match &mut self.state {
                Some(state) if done > 0 => state.relieve()?,
                _ => self.rewind(kept + common)?,
            }
            for at in common + done..order.len() {
                if !self.keeps_back(&order[at], &order[at..], ctx) {
                    self.run(&order[at], ctx)?;
                }
            }
            self.next_due = self.dag.next_due(self.time(ctx));
            self.answer_what_cannot_run(ctx);
        }
        self.behind = false;
        self.refresh_members(&ctx.device)
    }

    /// How many entries of `order` have run just so, after the first `kept` executed ones.
    pub(crate) fn common(&self, kept: usize, order: &[Ordered]) -> usize {
        self.executed[kept..]
            .iter()
            .zip(order)
            .take_while(|(ran, ordered)| {
                ran.entry.id == ordered.entry.id && ran.struck == ordered.struck
            })
            .count()
    }

    /// Undoes all but the first `keep` executed entries.
    pub(crate) fn rewind(&mut self, keep: usize) -> Result<(), Stop> {
        let Some(first) = self.executed.get(keep) else {
            return Ok(());
        };
        let from = first.entry.position(0);
        self.behind = true;
        self.rewind_state(&from)?;
        self.members_stale |= self.executed[keep..].iter().any(|ran| ran.rights_changed);
        self.executed.truncate(keep);
        Ok(())
    }

    /// Takes back what was written at `from` and later.
    pub(crate) fn rewind_state(&mut self, from: &Position) -> Result<(), Stop> {
        let mut state = self.take_state()?;
        state.rewind(from)?;
        self.state = Some(state);
        Ok(())
    }

    /// Runs one entry after everything that has run, and answers who waits for it.
    pub(crate) fn run(&mut self, ordered: &Ordered, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let database = self.id;
        let entry = self.bodies.get(&ordered.entry.id, &self.log, database)?;
        let mut state = self.take_state()?;
        if ctx.replay == Replay::Selective {
            state.track_reads();
        }
        let (state, run) = self.executor.run(state, &entry, ordered.struck)?;
        self.state = Some(state);
        self.executions += run.outcomes.len() as u64;
        let executed = self.conclude(ordered, &entry, run, ctx);
        self.executed.push(executed);
        self.bound_traces();
        Ok(())
    }

    fn take_state(&mut self) -> Result<State, Stop> {
        let database = self.id;
        self.state.take().ok_or(Stop::Damaged {
            what: "state",
            database,
        })
    }

    /// Tells whoever waits for an entry what its calls came to, and gives what is kept of it.
    fn conclude(
        &mut self,
        ordered: &Ordered,
        entry: &Entry,
        run: EntryRun,
        ctx: &mut Context<'_>,
    ) -> Executed {
        let database = self.id;
        self.members_stale |= run.rights_changed;
        self.note_events(entry.id, run.events);
        if entry.header.author == ctx.device && self.logged.insert(entry.id) {
            ctx.effects.extend(
                run.console
                    .into_iter()
                    .map(|line| Effect::Console { database, line }),
            );
        }
        if let Some(expected) = self.expected.remove(&entry.id) {
            for expected in expected {
                if let ReplyTo::Publish(id) = expected.reply
                    && run.outcomes[usize::from(expected.index)].is_ok()
                {
                    self.wait_for_cut(id, entry.position(expected.index), ctx);
                    continue;
                }
                answer(
                    expected,
                    entry.id,
                    &run.outcomes,
                    |index| entry.time_of(index).0,
                    ctx,
                );
            }
        }
        let units = run.traces.iter().map(|trace| trace.units);
        let units = units.fold(0, u64::saturating_add);
        let author = &entry.header.author;
        self.ration.note_ran(author, &entry.id, units, ctx.now.tick);
        let mut outcomes = run.outcomes;
        outcomes.iter_mut().for_each(CallOutcome::shorten);
        self.trace_bytes += run.traces.iter().map(Trace::bytes).sum::<usize>();
        Executed {
            entry: ordered.entry.clone(),
            struck: ordered.struck,
            outcomes,
            traces: run.traces,
            rights_changed: run.rights_changed,
            finaliser: run.finaliser,
            publishes: run.publishes,
            ordinary: selective::is_ordinary(entry),
        }
    }

    /// Events happen once: when a call that tells some runs again, nobody hears of them again.
    pub(crate) fn note_events(&mut self, entry: EntryId, events: Vec<Event>) {
        let is_followed = self.state.as_ref().is_some_and(State::is_watched);
        if !events.is_empty() && self.told_events.insert(entry) && is_followed {
            self.events.extend(events);
        }
    }

    /// An own entry that is neither executed nor held back is quarantined: we were struck, or removed, or
    /// our right to write is not final.
    fn answer_what_cannot_run(&mut self, ctx: &mut Context<'_>) {
        if self.expected.is_empty() || self.next_due.is_some() {
            return;
        }
        let forked = |proof: &EquivocationProof| proof.author() == ctx.device;
        let is_frozen = self.rights.frozen.contains_key(&ctx.device);
        let why = if !self.members.contains_key(&ctx.device) {
            CallOutcome::Void(Struck::Removed)
        } else if is_frozen || self.dag.proofs().iter().any(forked) {
            CallOutcome::Void(Struck::Equivocated)
        } else {
            CallOutcome::Refused(NOT_YET.to_owned())
        };
        for (entry, expected) in std::mem::take(&mut self.expected) {
            for expected in expected {
                let outcomes = vec![why.clone(); usize::from(expected.index) + 1];
                answer(expected, entry, &outcomes, |_| 0, ctx);
            }
        }
    }

    /// Reads the visible members again if a system call touched them.
    pub(crate) fn refresh_members(&mut self, own: &DeviceKey) -> Result<(), Stop> {
        if !std::mem::take(&mut self.members_stale) {
            return Ok(());
        }
        let mut members = std::collections::BTreeMap::new();
        for row in self.state()?.rows(system_tables::MEMBER)? {
            let (device, role) = system_tables::read_member(&row?);
            if let Some(role) = role {
                members.insert(device, role);
            }
        }
        if members != self.members {
            self.addresses
                .keep_members(own, |device| members.contains_key(device));
            self.members = members;
        }
        Ok(())
    }
}

/// Tells whoever waits what became of a call.
fn answer(
    expected: Expected,
    entry: EntryId,
    outcomes: &[CallOutcome],
    time: impl Fn(u16) -> u64,
    ctx: &mut Context<'_>,
) {
    let rejected = expected
        .connect
        .and_then(|at| outcomes[usize::from(at)].error())
        .map(|error| refuse(ErrorKind::ConnectionRejected, error.message));
    let outcome = &outcomes[usize::from(expected.index)];
    let rows = match outcome {
        CallOutcome::Ok { rows, .. } => *rows,
        _ => 0,
    };
    let result = match (rejected.or_else(|| outcome.error()), outcome) {
        (Some(error), _) => Err(error),
        (None, CallOutcome::Ok { units, .. }) => Ok(Called {
            entry,
            index: expected.index,
            timestamp: time(expected.index),
            units: *units,
        }),
        (None, other) => unreachable!("an outcome without an error is ok: {other:?}"),
    };
    let effect = match expected.reply {
        ReplyTo::Nobody => return,
        ReplyTo::Call(id) => Effect::Reply {
            id,
            reply: result.map(Reply::Called),
        },
        ReplyTo::Client(client, id) => Effect::Told {
            client,
            id,
            result,
            update: None,
        },
        // One that went well waits for its cut.
        ReplyTo::Done(id) | ReplyTo::Publish(id) => Effect::Reply {
            id,
            reply: result.map(|_| Reply::Done),
        },
        ReplyTo::Write(id, kind) => Effect::Reply {
            id,
            reply: result.map(|_| Reply::Written(Written { kind, rows })),
        },
        ReplyTo::Joiner(id) => Effect::JoinAnswer {
            id,
            bytes: crate::joining::answer(result.map(drop).map_err(|error| error.message)),
        },
    };
    ctx.effects.push(effect);
}
