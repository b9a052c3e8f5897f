//! Several branches of cuts: which one this peer follows, and what it does when they part.
//!
//! The rule is that of [`sync_protocol::Branch`]: the greater term wins, and within a term two
//! cuts at one height are a fork that only a recovery cut ends. Losing costs no entry: what was
//! final on the branch that lost waits in the tail for another cut.

use std::sync::Arc;

use sync_protocol::{Branch, BranchError, Cut, CutRef, Term, Verdict};

use super::TakenCut;
use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::rebuild::REBUILD_NOTE;
use crate::replica::{Context, Health, Replica};

/// Note in the log: the cut that contradicts ours.
pub(crate) const FORK_NOTE: &str = "fork";

/// Heads of a cut that a status names.
const HEADS_TOLD_MAX: usize = 4;

/// What this peer knows of branches other than its own.
#[derive(Default)]
pub(crate) struct Contest {
    /// Cuts of the winning branch that are still to be taken, by height: until they are, no other
    /// cut of these heights counts, and none is made here.
    pub(crate) pledge: Vec<Cut>,
    /// A branch of which too little is known to say what it means.
    branch: Option<Branch>,
    /// Finality stands still: a certified cut that ours contradict, or that breaks a rule.
    pub(crate) other_side: Option<Cut>,
}

impl Contest {
    pub(crate) fn branch_tip(&self) -> Option<CutRef> {
        self.branch.as_ref().map(Branch::reference)
    }

    pub(crate) fn other_side(&self) -> Option<Arc<[u8]>> {
        self.other_side
            .as_ref()
            .map(|cut| Arc::clone(cut.encoded()))
    }
}

impl Replica {
    /// The term that this peer follows: that of its last cut, or of the cuts it is on its way to.
    pub(crate) fn term(&self) -> Term {
        let pledged = self.contest.pledge.last();
        pledged.map_or(self.cut.term, |cut| cut.term.max(self.cut.term))
    }

    /// Reads what was known of other branches when the process stopped.
    pub(crate) fn remember_contest(&mut self) -> Result<(), Stop> {
        let open = |bytes: Vec<u8>| {
            Cut::open(&bytes).map_err(|_| Stop::Damaged {
                what: "cut",
                database: self.id,
            })
        };
        for bytes in self.log.pledge()? {
            let cut = open(bytes)?;
            if cut.height > self.cut.height {
                self.contest.pledge.push(cut);
            }
        }
        if let Some(bytes) = self.log.note(FORK_NOTE)? {
            let other = open(bytes)?;
            if other.term >= self.term() && self.contest.pledge.is_empty() {
                self.health = Health::Forked(self.describe_fork(&other)?);
                self.contest.other_side = Some(other);
            } else {
                // The power failed between the decision and this.
                self.log.drop_note(FORK_NOTE)?;
            }
        }
        Ok(())
    }

    /// Whether a cut is of a branch that this peer has left for another.
    pub(super) fn is_forsaken(&self, cut: &Cut) -> bool {
        let mut pledged = self.contest.pledge.iter();
        pledged.any(|pledged| pledged.height == cut.height && pledged.id() != cut.id())
    }

    /// Our own cut at a height.
    fn own_cut(&self, height: u64) -> Result<Option<Cut>, Stop> {
        Ok(self
            .log
            .cut(height)?
            .and_then(|bytes| Cut::open(&bytes).ok()))
    }

    /// A cut came of a height that has its cut already.
    pub(super) fn compare_with_ours(
        &mut self,
        cut: Cut,
        ctx: &mut Context<'_>,
    ) -> Result<TakenCut, Stop> {
        if self.log.cut_id(cut.height)? == Some(cut.id()) || cut.term < self.term() {
            return Ok(TakenCut::Known);
        }
        let parent = match cut.height.checked_sub(1) {
            Some(height) => self.log.cut_id(height)?,
            None => None,
        };
        if parent != Some(cut.parent) {
            return Ok(TakenCut::Apart);
        }
        Ok(match self.take_branch(vec![cut], ctx)? {
            Ok(()) => TakenCut::Known,
            Err(why) => TakenCut::Bad(why),
        })
    }

    /// Takes in consecutive cuts of a remote's history, from where it parts from ours or from the
    /// branch that is being looked at. The inner error is the remote's fault.
    pub(crate) fn take_branch(
        &mut self,
        cuts: Vec<Cut>,
        ctx: &mut Context<'_>,
    ) -> Result<Result<(), String>, Stop> {
        let Some(first) = cuts.first() else {
            return Ok(Ok(()));
        };
        let mut branch = match self.contest.branch.take() {
            Some(branch) if branch.tip().id() == first.parent => branch,
            _ => {
                let common = match first.height.checked_sub(1) {
                    Some(height) => self.own_cut(height)?,
                    None => None,
                };
                match common.filter(|common| common.id() == first.parent) {
                    Some(common) => Branch::after(common),
                    None => return Ok(Ok(())), // ours has changed since it was asked for
                }
            }
        };
        for cut in cuts {
            if branch.cuts().is_empty() && self.log.cut_id(cut.height)? == Some(cut.id()) {
                branch = Branch::after(cut);
                continue;
            }
            match branch.push(cut, &self.genesis.recovery_keys) {
                Ok(()) => {}
                Err(BranchError::Cut(error)) => {
                    return Ok(Err(format!("a branch whose cuts do not hold: {error}")));
                }
                Err(error @ BranchError::TooLong(_)) => {
                    ctx.effects.push(Effect::Note {
                        level: NoteLevel::Warn,
                        text: format!("a branch of {} was dropped: {error}", self.id.short()),
                    });
                    return Ok(Ok(()));
                }
            }
        }
        let Some(differs) = branch.cuts().first() else {
            return Ok(Ok(()));
        };
        match branch.verdict(self.term()) {
            Verdict::Better => self.give_way(&branch, ctx)?,
            Verdict::Forked if branch.common().height < self.cut.height => {
                let other = differs.clone();
                self.fork_over(other, ctx)?;
            }
            // It goes on where ours ends, and is taken cut by cut.
            Verdict::Forked => {}
            Verdict::Worse => self.contest.branch = Some(branch),
        }
        Ok(Ok(()))
    }

    /// Leaves our own cuts beyond the common one for those of a branch that has won.
    fn give_way(&mut self, branch: &Branch, ctx: &mut Context<'_>) -> Result<(), Stop> {
        // What follows the last recovery is taken as it comes: somebody may contest it yet.
        let mut before = branch.common();
        let mut pledged = 0;
        for (at, cut) in branch.cuts().iter().enumerate() {
            if cut.is_recovery_after(before) {
                pledged = at + 1;
            }
            before = cut;
        }
        self.follow(branch.common().height, &branch.cuts()[..pledged], ctx)
    }

    /// Promises to follow `pledge` after our own cut at `height`.
    pub(super) fn follow(
        &mut self,
        height: u64,
        pledge: &[Cut],
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let lost = self.cut.height - height;
        if lost == 0 {
            self.log.put_pledge(pledge)?;
            self.contest.pledge = pledge.to_vec();
            return self.lift_fork(ctx);
        }
        ctx.effects.push(Effect::Note {
            level: NoteLevel::Warn,
            text: format!(
                "database {}: {lost} of this peer's cuts gave way to a recovery after cut {height}; \
                 what they covered is tentative again",
                self.id.short()
            ),
        });
        self.log.retreat(height, pledge, REBUILD_NOTE)?;
        Err(Stop::Reopen)
    }

    /// A certified cut cannot be reconciled with ours: finality stops, the tail goes on, and the
    /// members are shown the cut.
    pub(super) fn fork_over(&mut self, other: Cut, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.contest.other_side.is_some() {
            return Ok(()); // one proof is enough
        }
        let text = self.describe_fork(&other)?;
        self.log.put_note(FORK_NOTE, other.encoded())?;
        ctx.effects.push(Effect::Note {
            level: NoteLevel::Error,
            text: format!("database {}: {text}", self.id),
        });
        self.health = Health::Forked(text);
        self.contest.other_side = Some(other);
        for link in self.links.values_mut() {
            link.wake = Some(ctx.now.tick);
        }
        Ok(())
    }

    /// A recovery has decided.
    pub(super) fn lift_fork(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        if self.contest.other_side.take().is_none() {
            return Ok(());
        }
        self.log.drop_note(FORK_NOTE)?;
        self.health = Health::Ok;
        ctx.effects.push(Effect::Note {
            level: NoteLevel::Info,
            text: format!("database {}: a recovery ended the fork", self.id.short()),
        });
        Ok(())
    }

    /// After a cut was taken: what was promised is kept, and a recovery ends a fork.
    pub(super) fn contest_after_cut(
        &mut self,
        recovery: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        self.contest.branch = None;
        if let Some(last) = self.contest.pledge.last() {
            if last.height <= self.cut.height {
                self.log.drop_pledge()?;
            }
            let height = self.cut.height;
            self.contest.pledge.retain(|cut| cut.height > height);
        }
        if recovery {
            self.lift_fork(ctx)?;
        }
        Ok(())
    }

    fn describe_fork(&self, other: &Cut) -> Result<String, Stop> {
        let what_to_do = "finality has stopped, calls are still taken; whoever holds a recovery key ends it with \
             `tombolo finaliser recover`";
        let Some(ours) = self
            .own_cut(other.height)?
            .filter(|ours| ours.id() != other.id())
        else {
            return Ok(format!(
                "cut {}/{} is certified and breaks the rules of this database: {what_to_do}",
                other.height,
                other.id()
            ));
        };
        Ok(format!(
            "two cuts of height {} are certified: here {} over {}, elsewhere {} over {}: {what_to_do}",
            ours.height,
            ours.id(),
            heads(&ours),
            other.id(),
            heads(other),
        ))
    }
}

/// The first heads of a cut, for people.
fn heads(cut: &Cut) -> String {
    let told = cut.frontier.iter().take(HEADS_TOLD_MAX);
    let mut text: Vec<String> = told.map(|id| id.short().to_string()).collect();
    if cut.frontier.len() > HEADS_TOLD_MAX {
        text.push("…".to_owned());
    }
    format!("[{}]", text.join(", "))
}
