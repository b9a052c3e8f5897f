//! Taking cuts: what everybody does but the finaliser. A large cut's rows are summed up aside, while calls go on; if
//! what it covers changes meanwhile, that is done at once instead.

use store::{Planning, Settlement};
use sync_protocol::{Cut, Ordered};

use super::TakenCut;
use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::replica::{Context, Replica};

/// A cut that was found good, but for its rows, which are being summed up.
#[derive(Debug)]
pub(crate) struct CutInTaking {
    cut: Cut,
    planning: Planning,
}

impl Replica {
    /// Takes a cut that a remote sent, or begins to. Cuts are taken one after the other.
    pub(crate) fn take_cut(&mut self, cut: Cut, ctx: &mut Context<'_>) -> Result<TakenCut, Stop> {
        if let Some(taking) = &self.taking {
            if taking.cut.id() == cut.id() {
                return Ok(TakenCut::Known);
            }
            self.finish_taking(ctx)?;
        }
        self.take_cut_with(cut, None, ctx)
    }

    /// Whether the cut at this height is being taken.
    pub(crate) fn is_taking(&self, height: u64) -> bool {
        let taking = self.taking.as_ref();
        taking.is_some_and(|taking| taking.cut.height == height)
    }

    /// Begins to sum up a cut's rows aside. Gives the cut back if that is to be done here.
    pub(super) fn begin_taking(
        &mut self,
        cut: Cut,
        segment: &[Ordered],
    ) -> Result<Option<Cut>, Stop> {
        match self.plan_aside(segment)? {
            Some(planning) => {
                self.taking = Some(CutInTaking { cut, planning });
                Ok(None)
            }
            None => Ok(Some(cut)),
        }
    }

    /// Takes the cut whose rows were being summed up, once they are.
    pub(crate) fn go_on_taking(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let taking = self.taking.as_mut();
        match taking.is_some_and(|taking| taking.planning.is_done()) {
            true => self.finish_taking(ctx),
            false => Ok(()),
        }
    }

    /// The same, waiting until they are.
    fn finish_taking(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(CutInTaking { cut, planning }) = self.taking.take() else {
            return Ok(());
        };
        let settlement = planning.wait()?;
        match self.take_cut_with(cut, Some(settlement), ctx)? {
            TakenCut::Taken => self.fresh_cut = Some(self.cut.encoded().to_vec()),
            TakenCut::Bad(why) => ctx.effects.push(Effect::Note {
                level: NoteLevel::Warn,
                text: format!("dropped {why}"),
            }),
            // Another cut has become ours meanwhile.
            _ => {}
        }
        Ok(())
    }

    /// Whether a settlement that was planned aside is what a cut over `segment` writes.
    pub(super) fn is_good(
        &self,
        settlement: &Settlement,
        segment: &[Ordered],
    ) -> Result<bool, Stop> {
        Ok(self.common(0, segment) == segment.len() && self.state()?.can_settle(settlement))
    }
}
