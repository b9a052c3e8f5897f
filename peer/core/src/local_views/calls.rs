//! `st_invocation`: what became of the newest calls. A caller sees its own, the owner all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use store::Log;
use sync_protocol::{DatabaseId, DeviceKey, Entry, EntryId, Hlc, Struck};

use super::LocalViews;
use crate::bodies::Bodies;
use crate::error::Stop;
use crate::identity::identity_of;
use crate::limits::{RECENT_CALLS_MAX, TAIL_CALLS_SHOWN_MAX};
use crate::outcome::CallOutcome;
use crate::replica::Executed;
use crate::system_tables::Fields;

/// A call, and what became of it.
#[derive(Debug)]
struct Called {
    entry: EntryId,
    index: u16,
    author: DeviceKey,
    /// As BSATN has it.
    caller: [u8; 32],
    /// One text for all of an entry's calls of it.
    reducer: Arc<str>,
    time: Hlc,
    outcome: CallOutcome,
}

/// What the calls of an entry have in common, as far as it is known.
#[derive(Default)]
struct Common {
    /// Identities of its callers, by their numbers.
    callers: BTreeMap<u16, [u8; 32]>,
    /// What is called, by number.
    reducers: BTreeMap<u16, Arc<str>>,
}

impl Called {
    fn of(entry: &Entry, index: u16, outcome: &CallOutcome, common: &mut Common) -> Self {
        let invocation = &entry.body.invocations[usize::from(index)];
        let caller = &entry.body.callers[usize::from(invocation.caller)];
        let identity = common
            .callers
            .entry(invocation.caller)
            .or_insert_with(|| identity_of(&caller.issuer, &caller.subject));
        let name = &entry.body.names[usize::from(invocation.name)];
        let reducers = common.reducers.entry(invocation.name);
        Self {
            entry: entry.id,
            index,
            author: entry.header.author,
            caller: *identity,
            reducer: Arc::clone(reducers.or_insert_with(|| name.name.as_str().into())),
            time: entry.time_of(index),
            outcome: outcome.clone(),
        }
    }

    fn row(&self, is_final: bool) -> Vec<u8> {
        let error = match &self.outcome {
            CallOutcome::Ok { .. } => None,
            other => other.error().map(|error| error.message),
        };
        let status = match (&self.outcome, is_final) {
            (CallOutcome::Ok { .. }, false) => "tentative",
            (CallOutcome::Ok { .. }, true) => "final",
            (CallOutcome::Void(_), _) => "void",
            _ => "failed",
        };
        let time = i64::try_from(self.time.0).unwrap_or(i64::MAX);
        Fields::default()
            .bytes(format!("{}/{}", self.entry, self.index).as_bytes())
            .bytes(self.author.to_string().as_bytes())
            .fixed(&self.caller)
            .bytes(self.reducer.as_bytes())
            .fixed(&time.to_le_bytes())
            .bytes(status.as_bytes())
            .u8(u8::from(is_final))
            .option(error.as_deref().map(str::as_bytes))
            .0
    }
}

/// The calls that became final last, since the start.
#[derive(Debug, Default)]
pub(crate) struct RecentCalls {
    /// Oldest first.
    calls: VecDeque<Called>,
    /// Entries that fell out of the tail. One may be covered all the same, if somebody built on it.
    dropped: BTreeSet<EntryId>,
}

impl RecentCalls {
    /// Notes entries that a cut covers, in order.
    ///
    /// # Errors
    /// If the log does not give what it must hold.
    pub(crate) fn note_final(
        &mut self,
        executed: &[Executed],
        bodies: &Bodies,
        (log, database): (&Log, DatabaseId),
    ) -> Result<(), Stop> {
        if !self.dropped.is_empty() {
            for ran in executed {
                if self.dropped.remove(&ran.entry.id) {
                    self.calls.retain(|called| called.entry != ran.entry.id);
                }
            }
        }
        let calls: usize = executed.iter().map(|ran| ran.outcomes.len()).sum();
        let mut newest = Vec::with_capacity(calls.min(RECENT_CALLS_MAX));
        'entries: for ran in executed.iter().rev() {
            let entry = bodies.get(&ran.entry.id, log, database)?;
            let mut common = Common::default();
            for (index, outcome) in numbered(&entry, ran).rev() {
                if newest.len() == RECENT_CALLS_MAX {
                    break 'entries;
                }
                newest.push(Called::of(&entry, index, outcome, &mut common));
            }
        }
        self.take(newest);
        Ok(())
    }

    /// Notes entries that were in the tail and are not any more, because a cut ended the right of their
    /// authors: their calls are void.
    ///
    /// # Errors
    /// If the log does not give what it must hold.
    pub(crate) fn note_dropped(
        &mut self,
        dropped: &[(EntryId, Struck)],
        bodies: &Bodies,
        (log, database): (&Log, DatabaseId),
    ) -> Result<(), Stop> {
        let mut newest = Vec::new();
        'entries: for (id, why) in dropped.iter().rev() {
            let entry = bodies.get(id, log, database)?;
            let mut common = Common::default();
            for index in (0..entry.header.invocations).rev() {
                if newest.len() == RECENT_CALLS_MAX {
                    break 'entries;
                }
                newest.push(Called::of(
                    &entry,
                    index,
                    &CallOutcome::Void(*why),
                    &mut common,
                ));
            }
            self.dropped.insert(*id);
        }
        self.take(newest);
        Ok(())
    }

    fn take(&mut self, newest_first: Vec<Called>) {
        self.calls.extend(newest_first.into_iter().rev());
        let surplus = self.calls.len().saturating_sub(RECENT_CALLS_MAX);
        for gone in self.calls.drain(..surplus) {
            self.dropped.remove(&gone.entry);
        }
    }
}

/// The calls of an entry by number, with what became of them.
fn numbered<'a>(
    entry: &Entry,
    ran: &'a Executed,
) -> impl DoubleEndedIterator<Item = (u16, &'a CallOutcome)> {
    (0..entry.header.invocations).zip(&ran.outcomes)
}

impl LocalViews<'_> {
    /// Newest first. Of a tail only so many calls are looked at.
    pub(super) fn invocations(&self) -> Vec<Vec<u8>> {
        let replica = self.replica;
        let is_shown = |caller: &[u8; 32]| self.access.owner || *caller == self.access.sender;
        let mut rows = Vec::new();
        let mut looked = 0;
        for ran in replica.executed.iter().rev() {
            looked += ran.outcomes.len();
            if looked > TAIL_CALLS_SHOWN_MAX {
                break;
            }
            // A log that fails here stops the database with the next input that needs it.
            let Ok(entry) = replica.bodies.get(&ran.entry.id, &replica.log, replica.id) else {
                break;
            };
            let mut common = Common::default();
            for (index, outcome) in numbered(&entry, ran).rev() {
                let called = Called::of(&entry, index, outcome, &mut common);
                if is_shown(&called.caller) {
                    rows.push(called.row(false));
                }
            }
        }
        let recent = replica.recent_calls.calls.iter().rev();
        let recent = recent.filter(|called| is_shown(&called.caller));
        rows.extend(recent.map(|called| called.row(true)));
        rows
    }
}
