//! Building the base anew: from the genesis through the cuts that the log holds, into a second
//! file that takes the place of the first when it is whole. After another branch has won, because
//! the base is only ever at one cut; and when the base itself is not to be trusted any more.
//!
//! The log decides, so nothing is lost by it: what no cut covers is in the tail, as ever. A crash
//! at any time leaves the note that says to begin again.

use sync_protocol::{Cut, DatabaseId, EntryId, Now};

use crate::batch::ReplyTo;
use crate::birth::{BaseFile, Unborn};
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::error::{Stop, refuse};
use crate::replica::{Context, Health, OwnChain, Replica};
use crate::reply::{ErrorKind, Reply, RequestError};
use crate::restart;

/// Note in the log: the base is not at one of its cuts, or not to be trusted.
pub(crate) const REBUILD_NOTE: &str = "rebuild";

/// Note in the log: at this height our rows differed from the certified ones. Eight bytes.
pub(crate) const DIVERGED_NOTE: &str = "diverged";

/// Runs the log from its genesis to the cut at `through` on an empty second base.
///
/// # Errors
/// [`Stop::Diverged`] at the first cut that certifies other rows.
pub(crate) fn replay(id: DatabaseId, through: u64, ctx: &mut Context<'_>) -> Result<Replica, Stop> {
    let damaged = |what| Stop::Damaged { what, database: id };
    let log = ctx.open_log(&id)?;
    let (entry, genesis) = restart::birth_of(&log, &id)?;
    let cut = log
        .cut(0)?
        .and_then(|bytes| Cut::open(&bytes).ok())
        .ok_or_else(|| damaged("cut"))?;
    let own = OwnChain::starting(0);
    let name = genesis.name.clone();
    let newborn = Unborn::on(BaseFile::Spare, entry, genesis, None, log, ctx)?.run()?;
    if newborn.settlement.root != cut.state_root {
        return Err(Stop::Diverged { height: 0 });
    }
    let mut replica = newborn.settle(cut, true, own, name, ctx)?;
    for height in 1..=through {
        replica.retake(height, ctx)?;
    }
    Ok(replica)
}

/// Puts a base in place that is exactly at the log's last cut.
pub(crate) fn rebuild(id: DatabaseId, last: u64, ctx: &mut Context<'_>) -> Result<(), Stop> {
    drop(replay(id, last, ctx)?);
    ctx.disk.use_spare_base(&id)?;
    let mut log = ctx.open_log(&id)?;
    log.drop_note(DIVERGED_NOTE)?;
    log.drop_note(REBUILD_NOTE)?;
    ctx.effects.push(Effect::Note {
        level: NoteLevel::Info,
        text: format!(
            "database {}: rebuilt from its log up to cut {last}",
            id.short()
        ),
    });
    Ok(())
}

impl Core {
    /// Closes a database and opens it again, as a restart of the peer would. Whoever waits goes on
    /// waiting.
    pub(crate) fn reopen(&mut self, now: Now, id: DatabaseId) {
        let Some(mut old) = self.replicas.remove(&id) else {
            return;
        };
        old.state = None;
        let carried = Carried::of(old);
        let epoch = self.parts.epoch;
        let opened = restart::open(id, epoch, &mut self.parts.context(now));
        match opened {
            Ok(Some(mut replica)) => {
                carried.into_replica(&mut replica);
                self.replicas.insert(id, replica);
                for remote in self.parts.links.clone() {
                    self.open_link(now, remote, id);
                }
            }
            Ok(None) => {} // its log has no cut: it was never more than an attempt
            Err(stop) => {
                let text = stop.to_string();
                carried.fail(&text, &mut self.parts.effects);
                self.parts.note(
                    NoteLevel::Error,
                    format!("database {id} cannot be opened: {text}"),
                );
                self.broken.insert(id, text);
            }
        }
    }

    /// `tombolo rebuild`.
    pub(crate) fn rebuild(&mut self, now: Now, text: &str) -> Result<Reply, RequestError> {
        let id = self.find_or_broken(text)?;
        match self.replicas.get_mut(&id) {
            Some(replica) => replica.log.put_note(REBUILD_NOTE, &[])?,
            None => {
                let ctx = self.parts.context(now);
                let mut log = ctx.open_log(&id)?;
                log.put_note(REBUILD_NOTE, &[])?;
            }
        }
        self.restore(now, id)
    }

    /// Opens a database again that may be out of service.
    fn restore(&mut self, now: Now, id: DatabaseId) -> Result<Reply, RequestError> {
        if self.replicas.contains_key(&id) {
            self.reopen(now, id);
        } else {
            let epoch = self.parts.epoch;
            let opened = restart::open(id, epoch, &mut self.parts.context(now));
            match opened {
                Ok(Some(replica)) => {
                    self.broken.remove(&id);
                    self.replicas.insert(id, replica);
                    for remote in self.parts.links.clone() {
                        self.open_link(now, remote, id);
                    }
                }
                Ok(None) => {}
                Err(stop) => {
                    self.broken.insert(id, stop.to_string());
                }
            }
        }
        match (self.replicas.get(&id), self.broken.get(&id)) {
            (Some(replica), _) if replica.serves() => Ok(Reply::Done),
            (Some(replica), _) => Err(refuse(
                ErrorKind::Unavailable,
                replica.health.detail().unwrap_or_default(),
            )),
            (None, why) => Err(refuse(
                ErrorKind::Unavailable,
                format!(
                    "the database cannot be opened: {}",
                    why.map_or("its log is empty", String::as_str)
                ),
            )),
        }
    }

    /// `tombolo dump`: the rows at a cut, run again from the log, beside the database's files.
    pub(crate) fn dump(
        &mut self,
        now: Now,
        text: &str,
        height: Option<u64>,
    ) -> Result<Reply, RequestError> {
        let id = self.find_or_broken(text)?;
        let was_here = self.replicas.contains_key(&id);
        // The log has one user at a time.
        let carried = self.replicas.remove(&id).map(|mut old| {
            old.state = None;
            Carried::of(old)
        });
        let dumped = self.dump_closed(now, id, height);
        if was_here {
            let epoch = self.parts.epoch;
            let opened = restart::open(id, epoch, &mut self.parts.context(now));
            match (opened, carried) {
                (Ok(Some(mut replica)), Some(carried)) => {
                    carried.into_replica(&mut replica);
                    self.replicas.insert(id, replica);
                    for remote in self.parts.links.clone() {
                        self.open_link(now, remote, id);
                    }
                }
                (Err(stop), carried) => {
                    let text = stop.to_string();
                    if let Some(carried) = carried {
                        carried.fail(&text, &mut self.parts.effects);
                    }
                    self.broken.insert(id, text);
                }
                (Ok(_), _) => {}
            }
        }
        Ok(Reply::Dumped(dumped?))
    }

    fn dump_closed(
        &mut self,
        now: Now,
        id: DatabaseId,
        height: Option<u64>,
    ) -> Result<String, RequestError> {
        let mut ctx = self.parts.context(now);
        let last = ctx.open_log(&id)?.last_height()?;
        let last = last.ok_or_else(|| refuse(ErrorKind::NotFound, "the database has no cut"))?;
        let height = height.unwrap_or(last);
        if height > last {
            return Err(refuse(
                ErrorKind::BadRequest,
                format!("this peer knows cuts up to {last} only"),
            ));
        }
        let replica = replay(id, height, &mut ctx)?;
        let name = replica.dump_at_cut(&ctx)?;
        drop(replica);
        drop(ctx.disk.spare_base(&id)?); // leaves an empty file in place of a large one
        Ok(name)
    }
}

/// What a database keeps while it is closed and opened again.
struct Carried {
    name: String,
    aliases: Vec<String>,
    own: OwnChain,
    batch: crate::batch::Batch,
    expected: std::collections::BTreeMap<EntryId, Vec<crate::batch::Expected>>,
    publishers: Vec<crate::upgrade::Publisher>,
    executions: u64,
}

impl Carried {
    fn of(old: Replica) -> Self {
        Self {
            name: old.name,
            aliases: old.aliases,
            own: old.own,
            batch: old.batch,
            expected: old.expected,
            publishers: old.publishers,
            executions: old.executions,
        }
    }

    fn into_replica(self, replica: &mut Replica) {
        replica.name = self.name;
        replica.aliases = self.aliases;
        replica.executions += self.executions;
        // Opening has given up the clients of the process before; ours are still there.
        replica.batch = self.batch;
        replica.expected = self.expected;
        replica.publishers = self.publishers;
        replica.own = if replica.can_build_on(self.own.previous) {
            self.own
        } else {
            // What was written last waits for a cut that may never come: a chain of its own does
            // not wait with it.
            OwnChain {
                last_time: self.own.last_time,
                ..OwnChain::starting(self.own.epoch.wrapping_add(1))
            }
        };
        replica.dirty = true;
    }

    /// Tells everybody who waits that there will be no outcome.
    fn fail(mut self, why: &str, effects: &mut Vec<Effect>) {
        let (_, batched) = self.batch.take();
        let sealed = self.expected.into_values().flatten();
        for expected in batched.into_iter().chain(sealed) {
            crate::requests::fail(expected.reply, why, effects);
        }
        for publisher in self.publishers {
            crate::requests::fail(ReplyTo::Publish(publisher.id), why, effects);
        }
    }
}

impl Replica {
    /// Whether our next entry can cite this one.
    fn can_build_on(&self, previous: Option<EntryId>) -> bool {
        previous.is_none_or(|id| {
            self.dag.contains(&id) || matches!(self.log.final_entry(&id), Ok(Some(_)))
        })
    }

    /// Remembers that our rows are not those that `cut` certifies, and keeps them to be looked at.
    pub(crate) fn diverge(
        &mut self,
        cut: &Cut,
        segment: usize,
        ctx: &mut Context<'_>,
    ) -> Result<Stop, Stop> {
        self.rewind(segment)?;
        let dump = self.dump_against(cut, ctx)?;
        self.log
            .put_note(DIVERGED_NOTE, &cut.height.to_le_bytes())?;
        ctx.effects.push(Effect::Note {
            level: NoteLevel::Error,
            text: format!(
                "database {}: its rows after cut {} are kept in `{dump}` beside its files",
                self.id, cut.height
            ),
        });
        Ok(Stop::Diverged { height: cut.height })
    }

    /// Whether it diverged before the process stopped. Then it serves nothing until it is rebuilt.
    pub(crate) fn remember_divergence(&mut self) -> Result<bool, Stop> {
        let Some(note) = self.log.note(DIVERGED_NOTE)? else {
            return Ok(false);
        };
        let height = note
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.health = Health::Diverged(Stop::Diverged { height }.to_string());
        Ok(true)
    }
}
