//! Emptying: a publish of which nothing that was there before stays. Judged at the cut like any other;
//! accepted, the tables begin anew with what the module's `init` writes.
//!
//! `init` runs where the cut is judged, over empty tables in memory, at the position of the publish and
//! as its author. So what it writes is a function of the module and that position, the same on every
//! peer, and becomes part of the one write of the cut. If it fails, the publish is refused and nothing
//! changes.

use module_host::Module;
use store::{Disk, MemoryDisk, RowWrite, Schema, Settlement, State, StateOptions};
use sync_protocol::{DeviceKey, EntryId, Hlc, Position};

use super::judge::Course;
use crate::error::Stop;
use crate::execute::Executor;
use crate::replica::Replica;
use crate::reply::UpgradePlan;
use crate::system_tables::{CLIENT, SCHEDULE};

/// Bytes of page cache for tables that are read once.
const CACHE_BYTES: usize = 1 << 20;

/// What an `init` left.
pub(super) struct Born {
    /// What it wrote.
    pub(super) written: Settlement,
    /// Lines that it logged.
    pub(super) console: Vec<String>,
}

/// Runs `init` over empty tables; inside, why that fails.
pub(super) fn born(
    replica: &Replica,
    module: &Module,
    schema: Schema,
    position: &Position,
) -> Result<Result<Born, String>, Stop> {
    let options = StateOptions {
        sequential_auto_inc: replica.genesis.options.sequential_auto_inc,
        base_cache_bytes: CACHE_BYTES,
        ..StateOptions::default()
    };
    let state = State::open(MemoryDisk::new().base(&replica.id)?, schema, options)?;
    let mut executor = Executor::new(module.clone(), replica.genesis.options, replica.id)?;
    let (state, outcome, console) = executor.init(state, *position)?;
    if let Some(error) = outcome.error() {
        return Ok(Err(format!("its `init` failed: {error}")));
    }
    let written = state.plan_settle(Some(position), Vec::new())?;
    Ok(Ok(Born { written, console }))
}

impl Replica {
    /// What a publish that empties would come to, if a cut judged it now.
    pub(crate) fn plan_clear(
        &self,
        module: &Module,
        author: &DeviceKey,
        time: Hlc,
    ) -> Result<UpgradePlan, Stop> {
        let position = Position {
            hlc: time,
            author: *author,
            entry: EntryId([0; 32]),
            index: 0,
        };
        let height = self.cut.height + 1;
        let tried = Course::of(self)?.try_clear(self, module, &position, height)?;
        Ok(tried.into())
    }

    /// Rows of the database's own tables that mean nothing once it is empty: when rows are due that are
    /// gone, and clients whom the module has not heard of.
    pub(super) fn rows_that_go(&self) -> Result<Vec<RowWrite>, Stop> {
        let mut gone = Vec::new();
        for table in [SCHEDULE, CLIENT] {
            for row in self.state()?.rows(table)? {
                gone.push(RowWrite {
                    table,
                    row: row?.to_vec(),
                    delete: true,
                });
            }
        }
        Ok(gone)
    }
}
