//! Opening a database again. The base is exactly one cut; whatever the log holds beyond it runs
//! again: first the segments of later cuts (a crash between log and base), then the tail.

use std::sync::Arc;

use store::Log;
use sync_protocol::limits::PULL_BYTES_MAX;
use sync_protocol::{Cut, DatabaseId, Entry, Genesis, Hlc, Offered, Position};

use crate::addresses::{ADDRESSES_NOTE, Addresses};
use crate::birth::{self, Unborn};
use crate::error::Stop;
use crate::rebuild::{self, REBUILD_NOTE};
use crate::replica::{Context, FinalsAt, OwnChain, Replica};

/// Note in the log: the local name.
pub(crate) const NAME_NOTE: &str = "name";

/// What stands between the names in that note. No name has it.
pub(crate) const NAMES_BETWEEN: char = '\n';

/// Opens the database `id`. `None`: its files were made but it never came to be.
pub(crate) fn open(
    id: DatabaseId,
    epoch: u64,
    ctx: &mut Context<'_>,
) -> Result<Option<Replica>, Stop> {
    let damaged = |what| Stop::Damaged { what, database: id };
    let log = ctx.open_log(&id)?;
    let Some(last) = log.last_cut()? else {
        return Ok(None);
    };
    let last = Cut::open(&last).map_err(|_| damaged("cut"))?;
    let log = if log.note(REBUILD_NOTE)?.is_some() {
        drop(log);
        rebuild::rebuild(id, last.height, ctx)?;
        ctx.open_log(&id)?
    } else {
        log
    };
    let (entry, genesis) = birth_of(&log, &id)?;
    let names = log
        .note(NAME_NOTE)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| genesis.name.clone());
    let mut names = names.split(NAMES_BETWEEN).map(str::to_owned);
    let name = names.next().unwrap_or_default();
    let own = OwnChain::starting(epoch);
    let unborn = Unborn::open(entry, genesis, None, log, ctx)?;
    let mut replica = match unborn.state.height() {
        Some(height) => {
            let cut = unborn
                .log
                .cut(height)?
                .and_then(|bytes| Cut::open(&bytes).ok())
                .ok_or_else(|| damaged("cut"))?;
            birth::living(unborn, cut, own, name, ctx)?
        }
        None => {
            let cut = unborn
                .log
                .cut(0)?
                .and_then(|bytes| Cut::open(&bytes).ok())
                .ok_or_else(|| damaged("cut"))?;
            let newborn = unborn.run()?;
            if newborn.settlement.root != cut.state_root {
                return Err(Stop::Diverged { height: 0 });
            }
            newborn.settle(cut, true, own, name, ctx)?
        }
    };
    replica.aliases = names.collect();
    if replica.remember_divergence()? {
        return Ok(Some(replica));
    }
    for height in replica.cut.height + 1..=last.height {
        match replica.retake(height, ctx) {
            Err(Stop::Diverged { .. }) => {
                replica.remember_divergence()?;
                return Ok(Some(replica));
            }
            other => other?,
        }
    }
    replica.remember_contest()?;
    replica.stop_behind_engine(ctx)?;
    replica.ration.begin_start();
    replica.reload_tail(ctx)?;
    let was_ahead = replica.leave_the_future(ctx);
    replica.sweep(ctx)?;
    replica.ration.end_start();
    replica.reload_addresses(ctx)?;
    if !was_ahead {
        replica.note_leftovers(ctx)?;
    }
    replica.fresh.clear();
    replica.ask_before_cutting(ctx);
    Ok(Some(replica))
}

/// The genesis of a log, entry and content.
pub(crate) fn birth_of(log: &Log, id: &DatabaseId) -> Result<(Arc<Entry>, Genesis), Stop> {
    let damaged = || Stop::Damaged {
        what: "genesis",
        database: *id,
    };
    let (entries, _) = log.segment(0, 0, PULL_BYTES_MAX)?;
    let entry = entries
        .first()
        .and_then(|bytes| Entry::open(bytes).ok())
        .map(Arc::new)
        .ok_or_else(damaged)?;
    let genesis = birth::genesis_of(&entry, id).ok_or_else(damaged)?;
    Ok((entry, genesis))
}

impl Replica {
    pub(crate) fn retake(&mut self, height: u64, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let database = self.id;
        let damaged = |what| Stop::Damaged { what, database };
        let cut = self
            .log
            .cut(height)?
            .and_then(|bytes| Cut::open(&bytes).ok())
            .ok_or_else(|| damaged("cut"))?;
        let mut from = 0;
        loop {
            let (entries, more) = self.log.segment(height, from, PULL_BYTES_MAX)?;
            from += u32::try_from(entries.len()).map_err(|_| damaged("segment"))?;
            self.reoffer(&entries, ctx)?;
            if !more {
                break;
            }
        }
        self.retake_cut(cut, ctx)
    }

    /// After the tail has run: whoever was admitted in it is a member too.
    fn reload_addresses(&mut self, ctx: &Context<'_>) -> Result<(), Stop> {
        let note = self.log.note(ADDRESSES_NOTE)?.unwrap_or_default();
        self.addresses = Addresses::load(&note, &ctx.device);
        let members = &self.members;
        self.addresses
            .keep_members(&ctx.device, |device| members.contains_key(device));
        Ok(())
    }

    fn reload_tail(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let mut from = Position::MIN;
        loop {
            let (page, next) = self.log.tail_page(&from, PULL_BYTES_MAX)?;
            self.reoffer(&page, ctx)?;
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Hands entries of the own log to the DAG. Their signatures were checked before they were
    /// stored.
    fn reoffer(&mut self, encoded: &[Vec<u8>], ctx: &Context<'_>) -> Result<(), Stop> {
        for bytes in encoded {
            let entry = Entry::open(bytes)
                .map(Arc::new)
                .map_err(|_| Stop::Damaged {
                    what: "entry",
                    database: self.id,
                })?;
            let finals = FinalsAt::new(&self.log, self.cut.height);
            let offered = self.dag.offer(Arc::clone(&entry), None, &finals);
            finals.checked()?;
            if entry.header.author == ctx.device {
                self.logged.insert(entry.id);
            }
            self.bodies.keep(&entry);
            if let Offered::Accepted(entries) = offered {
                for entry in entries {
                    if entry.header.author != ctx.device {
                        self.ration.note_from_log(entry.id);
                    }
                    // One that waits can be cited by nobody, not even by us.
                    if entry.header.author == ctx.device && entry.last_time() > self.own.last_time {
                        self.own.last_time = entry.last_time();
                        self.own.previous = Some(entry.id);
                    }
                    self.accepted_at.insert(entry.id, ctx.now.tick);
                    self.tail_since.get_or_insert(ctx.now.tick);
                }
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// Does not build on what this peer wrote when its clock was far ahead: that runs when its time
    /// has come, and what is written from now on does not wait for it. True if there is such.
    fn leave_the_future(&mut self, ctx: &Context<'_>) -> bool {
        let was_ahead = self.ahead_of_time(ctx).is_some();
        if was_ahead {
            self.own.previous = None;
            self.own.last_time = Hlc::default();
        }
        was_ahead
    }
}
