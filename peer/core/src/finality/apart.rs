//! A cut that orders its calls otherwise than the tail did, without running those again that have run: where no call
//! that it covers has to do with one that stays and has its place before it.

use std::collections::BTreeMap;

use store::{Dirt, Reads, Settlement, State};
use sync_protocol::{Cut, EntryId, Ordered, Position, Struck};

use super::making::last_position;
use crate::error::Stop;
use crate::replica::{Context, Executed, Replay, Replica};
use crate::sweep::{Step, concerns_all};

impl Replica {
    /// Plans a cut over `segment`, `cut` if it is there already, if calls that are not in it have run between its own,
    /// and it makes no difference whether they run after it. Then what is covered comes first among what has run.
    ///
    /// Nothing if it does make one, if that cannot be told, or if the rows do not come to what the cut says. Then what has
    /// run from the first difference on may be taken back.
    pub(super) fn plan_apart(
        &mut self,
        segment: &[Ordered],
        cut: Option<&Cut>,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Settlement>, Stop> {
        let moves_finality = cut.is_some_and(|cut| cut.finalisers != self.cut.finalisers);
        let common = self.common(0, segment);
        let is_apart = common < segment.len() && common < self.executed.len();
        if ctx.replay != Replay::Selective || moves_finality || !is_apart {
            return Ok(None);
        }
        let first = self.executed[common].entry.position(0);
        let first = first.min(segment[common].entry.position(0));
        let state = self.state()?;
        if !state.can_amend(&first) || state.spilled_bytes() > 0 {
            return Ok(None);
        }
        let covered: BTreeMap<EntryId, Option<Struck>> = segment
            .iter()
            .map(|ordered| (ordered.entry.id, ordered.struck))
            .collect();
        let is_covered = |ran: &Executed| covered.get(&ran.entry.id) == Some(&ran.struck);
        let settlement = match self.run_missing(common, segment, is_covered, ctx)? {
            true => self.plan_covered(cut, is_covered)?,
            false => None,
        };
        if settlement.is_none() {
            // What ran just now may be something that others had not seen when they ran.
            self.rewind(common)?;
        }
        Ok(settlement)
    }

    /// Plans a cut over what is covered, of which all has run, and puts it first.
    fn plan_covered(
        &mut self,
        cut: Option<&Cut>,
        is_covered: impl Fn(&Executed) -> bool,
    ) -> Result<Option<Settlement>, Stop> {
        let Some(last) = self.executed.iter().rposition(&is_covered) else {
            return Ok(None);
        };
        let Some(staying) = staying(self.state()?, &self.executed[..=last], &is_covered) else {
            return Ok(None);
        };
        let through = last_position(&self.executed[last].entry);
        let settlement = self.state()?.plan_settle_but(&through, &staying)?;
        if cut.is_some_and(|cut| cut.state_root != settlement.root) {
            return Ok(None);
        }
        let later = self.executed.split_off(last + 1);
        let (first, stays): (Vec<Executed>, Vec<Executed>) =
            self.executed.drain(..).partition(is_covered);
        self.executed = first;
        self.executed.extend(stays);
        self.executed.extend(later);
        self.judged = None;
        Ok(Some(settlement))
    }

    /// Runs what a segment has and what has not run, amid what has, as long as none of what is covered has to do with
    /// what stays before it. True: all of the segment has run.
    fn run_missing(
        &mut self,
        common: usize,
        segment: &[Ordered],
        is_covered: impl Fn(&Executed) -> bool,
        ctx: &mut Context<'_>,
    ) -> Result<bool, Stop> {
        let mut left = self.executed.split_off(common).into_iter().peekable();
        // What those wrote that stay, and what changed because of those that had not run.
        let (mut before, mut fresh) = (Dirt::default(), Dirt::default());
        let mut goes_on = true;
        for ordered in &segment[common..] {
            let place = ordered.entry.position(0);
            while goes_on && let Some(ran) = left.next_if(|ran| ran.entry.position(0) < place) {
                goes_on = is_plain(&ran) && !is_covered(&ran) && !touches(&fresh, &ran);
                for (position, _) in calls(&ran) {
                    before.add(self.state()?.written_at(&position));
                }
                self.executed.push(ran);
            }
            if !goes_on {
                break;
            }
            let id = ordered.entry.id;
            goes_on = match left.next_if(|ran| ran.entry.id == id) {
                Some(ran) => {
                    let as_before = !touches(&fresh, &ran);
                    self.executed.push(ran);
                    as_before
                }
                None => self.run_amid(&mut fresh, ordered, ctx)? == Step::Done,
            };
            let ran = self.executed.last().filter(|_| goes_on);
            goes_on = ran.is_some_and(|ran| {
                is_covered(ran) && is_plain(ran) && !depends(self.state.as_ref(), ran, &before)
            });
            if !goes_on {
                break;
            }
        }
        let later = self.executed.len();
        self.executed.extend(left);
        // What comes after all of them has run without what is new, too.
        let mut later = self.executed[later..].iter();
        let as_before = |ran: &Executed| is_plain(ran) && !touches(&fresh, ran);
        Ok(goes_on && (fresh.is_empty() || later.all(as_before)))
    }
}

/// Whether an entry's calls have read or written something of `written`, or it is not known.
fn depends(state: Option<&State>, ran: &Executed, written: &Dirt) -> bool {
    let Some(state) = state else {
        return true;
    };
    touches(written, ran)
        || calls(ran).any(|(position, _)| written.meets(&state.written_at(&position)))
}

/// Whether an entry's calls have read something of `written`, or it is not known.
fn touches(written: &Dirt, ran: &Executed) -> bool {
    calls(ran).any(|(position, reads)| reads.is_none_or(|reads| written.touches(reads, &position)))
}

/// The positions of the calls among `ran` that are not covered, if none of them has read what a covered one after it
/// wrote, or written the same. The other way round [`Replica::run_missing`] has looked.
fn staying(
    state: &State,
    ran: &[Executed],
    is_covered: impl Fn(&Executed) -> bool,
) -> Option<Vec<Position>> {
    let mut staying = Vec::new();
    let mut written = Dirt::default();
    for ran in ran.iter().rev() {
        if is_covered(ran) {
            for (position, _) in calls(ran) {
                written.add(state.written_at(&position));
            }
        } else if depends(Some(state), ran, &written) && !planted!(SettlePastReaders) {
            return None;
        } else {
            staying.extend(calls(ran).map(|(position, _)| position));
        }
    }
    Some(staying)
}

/// Whether what an entry does depends on rows alone, and nothing but rows on it.
fn is_plain(ran: &Executed) -> bool {
    ran.ordinary && !concerns_all(ran)
}

/// The calls of an entry that ran, and what each has read, if that is known.
fn calls(ran: &Executed) -> impl Iterator<Item = (Position, Option<&Reads>)> {
    let outcomes = match ran.is_void() {
        true => 0,
        false => ran.outcomes.len(),
    };
    (0..outcomes).map(|index| {
        let trace = ran.traces.get(index);
        let position = ran.entry.position(u16::try_from(index).unwrap_or(u16::MAX));
        (position, trace.and_then(|trace| trace.reads.as_ref()))
    })
}
