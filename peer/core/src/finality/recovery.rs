//! Recovery: when the finaliser is lost, or has signed what it must not, whoever holds a recovery
//! key of the database says from where finality goes on, and who makes it.

use sync_protocol::{Cut, CutDraft, CutId, DeviceKey, Role, SecretKey, order_root};

use crate::error::{Stop, refuse};
use crate::rebuild::DIVERGED_NOTE;
use crate::replica::{Context, Health, Replica};
use crate::reply::{ErrorKind, RequestError};

/// What whoever recovers has decided.
pub(crate) struct Recovery<'a> {
    pub(crate) key: &'a SecretKey,
    /// Who makes cuts from here on.
    pub(crate) to: DeviceKey,
    /// The side of a fork that stays: a height, and how the id of its cut begins.
    pub(crate) pick: Option<(u64, &'a str)>,
    /// Even though the present finaliser is there.
    pub(crate) force: bool,
    /// Whether a link to the present finaliser is up.
    pub(crate) finaliser_is_up: bool,
}

/// How far a recovery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovered {
    /// The recovery cut is signed and durable.
    Done,
    /// This peer is on its way to the side that was picked: ask again.
    OnTheWay,
}

impl Replica {
    /// Signs a recovery cut on top of our last one.
    ///
    /// It covers nothing new: the new finaliser's first cut does that. So it can be made at once,
    /// whatever the tail holds.
    pub(crate) fn recover(
        &mut self,
        recovery: &Recovery<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Result<Recovered, RequestError>, Stop> {
        if let Err(error) = self.check_recovery(recovery) {
            return Ok(Err(error));
        }
        if let Some((height, id)) = recovery.pick
            && !self.is_own(height, id)?
        {
            let other = self.contest.other_side.clone();
            let other = other.filter(|cut| cut.height == height && named(&cut.id(), id));
            return match other {
                Some(cut) if cut.height <= self.cut.height => {
                    self.follow(cut.height - 1, &[cut], ctx)?;
                    Ok(Ok(Recovered::OnTheWay))
                }
                _ => Ok(Err(refuse(
                    ErrorKind::BadRequest,
                    format!(
                        "this peer knows no certified cut {height}/{id}; `tombolo status` names both sides of a fork"
                    ),
                ))),
            };
        }
        if !self.contest.pledge.is_empty() {
            return Ok(Ok(Recovered::OnTheWay));
        }
        let height = self.cut.height + 1;
        let finalisers = vec![recovery.to];
        let Some(term) = self.cut.term.next(&self.cut.id(), &finalisers) else {
            return Ok(Err(refuse(
                ErrorKind::BadRequest,
                "this database has been recovered too often",
            )));
        };
        let settlement = self.state()?.plan_settle(None, Vec::new())?;
        let draft = CutDraft {
            database: self.id,
            term,
            height,
            parent: self.cut.id(),
            engine: self.cut.engine,
            frontier: self.cut.frontier.clone(),
            order_root: order_root(&[]),
            state_root: settlement.root,
            finalisers,
        };
        let cut = Cut::seal(draft, recovery.key)
            .unwrap_or_else(|error| unreachable!("it repeats what our last cut holds: {error}"));
        let diverged = matches!(self.health, Health::Diverged(_));
        self.write_cut(cut, &[], settlement, true, ctx)?;
        self.contest_after_cut(true, ctx)?;
        self.fresh_cut = Some(self.cut.encoded().to_vec());
        if diverged {
            // What it had not run since then runs when it is opened again.
            self.log.drop_note(DIVERGED_NOTE)?;
            return Err(Stop::Reopen);
        }
        Ok(Ok(Recovered::Done))
    }

    fn check_recovery(&self, recovery: &Recovery<'_>) -> Result<(), RequestError> {
        let keys = &self.genesis.recovery_keys;
        if !keys.contains(&recovery.key.public()) {
            let known: Vec<String> = keys.iter().map(ToString::to_string).collect();
            return Err(refuse(
                ErrorKind::Denied,
                format!(
                    "that is not a recovery key of this database: it belongs to {}, the database knows {}",
                    recovery.key.public(),
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    }
                ),
            ));
        }
        if !self
            .members
            .get(&recovery.to)
            .copied()
            .is_some_and(Role::may_write)
        {
            return Err(refuse(
                ErrorKind::BadRequest,
                format!(
                    "{} is no member that may write; `tombolo members` shows those who may",
                    recovery.to
                ),
            ));
        }
        if matches!(self.health, Health::Stopped(_) | Health::BehindEngine(_)) {
            return Err(refuse(
                ErrorKind::Unavailable,
                self.health.detail().unwrap_or_default(),
            ));
        }
        // Who picks a side has decided; on the way to it this peer is well.
        let well = self.health == Health::Ok && recovery.pick.is_none();
        if well && recovery.finaliser_is_up && !recovery.force {
            return Err(refuse(
                ErrorKind::BadRequest,
                "the finaliser is connected: hand finality over with `tombolo finaliser move`; \
                 to take it away all the same, add --force",
            ));
        }
        Ok(())
    }

    fn is_own(&self, height: u64, id: &str) -> Result<bool, Stop> {
        Ok(self
            .log
            .cut_id(height)?
            .is_some_and(|ours| named(&ours, id)))
    }
}

/// Whether `start`, at least eight digits of it, begins the id.
fn named(id: &CutId, start: &str) -> bool {
    start.len() >= 8 && id.to_string().starts_with(&start.to_ascii_lowercase())
}
