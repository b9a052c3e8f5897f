//! Module upgrades: a second `publish` under the name of a database that exists.
//!
//! A publish is a system call like any other: at its position it becomes a row that waits. The cut
//! that covers it judges it, from the rows as they are there and nothing else, so that every peer
//! judges alike; several in one segment one after the other. Accepted, its tables rule from that
//! cut on, and what lies behind the cut runs again under its code: the tail never straddles two
//! modules. Refused, nothing changes but the row that says so. One that empties the database
//! ([`clear`]) is judged there too.

mod blobs;
mod clear;
mod judge;
mod publishers;
pub(crate) mod rows;
mod rules;

use module_host::{Module, PrepareError};
use store::{Disk, Schema, Stored};
use sync_protocol::{BlobHash, Genesis, NewModule, Position};

pub(crate) use blobs::{Parked, Parking};
pub(crate) use judge::Judged;
pub(crate) use publishers::Publisher;
use rows::{INDEX, MODULE, ModuleRow, Numbers, PUBLISH, PublishOutcome, PublishRow, TABLE};

use crate::error::{Stop, refuse};
use crate::modules::Modules;
use crate::replica::{Context, Replica};
use crate::reply::{ErrorKind, RequestError, UpgradePlan, UpgradeState, UpgradeStatus};
use crate::sql::Filters;
use crate::system_tables;

/// A module and the tables of the database that it rules.
pub(crate) struct Ruling {
    pub(crate) module: Module,
    pub(crate) schema: Schema,
}

/// The schema of system tables and a module's tables under their numbers.
fn schema_of(tables: &[store::TableSchema]) -> Result<Schema, store::SchemaError> {
    Schema::new(
        system_tables::schemas()
            .into_iter()
            .chain(tables.iter().cloned())
            .collect(),
    )
}

/// Refuses a module whose visibility filters mean nothing, with every reason. Only where it is
/// published: what a filter means changes no rows, so that no cut depends on how SQL is read.
pub(crate) fn check_filters(module: &Module) -> Result<(), RequestError> {
    let def = module.def();
    let tables = def
        .tables
        .iter()
        .cloned()
        .chain([module_host::role_schema()]);
    let schema = Schema::new(tables.collect())
        .map_err(|error| refuse(ErrorKind::BadRequest, error.to_string()))?;
    let reasons = Filters::check(&def.filters, &schema);
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(refuse(ErrorKind::BadRequest, reasons.join("\n"))),
    }
}

/// A module from its bytes on disk.
fn prepare(
    hash: &BlobHash,
    genesis: &Genesis,
    modules: &Modules,
    disk: &dyn Disk,
) -> Result<Result<Module, Vec<String>>, Stop> {
    let Some(wasm) = disk.blob(hash)? else {
        return Err(Stop::Module(format!(
            "the module {hash} is not on this disk; restore a backup or join again"
        )));
    };
    match modules.prepare(&wasm, &genesis.options, disk) {
        Ok(module) => Ok(Ok(module)),
        Err(PrepareError::Host(error)) => Err(Stop::Host(error)),
        Err(PrepareError::Refused(reasons)) => Ok(Err(reasons)),
        Err(other) => Ok(Err(vec![other.to_string()])),
    }
}

impl Ruling {
    /// What rules a database, by the rows of its base; by its genesis if there are none yet.
    /// `first` is the genesis' module, if it is prepared already.
    pub(crate) fn of(
        stored: &Stored<'_>,
        genesis: &Genesis,
        first: Option<Module>,
        modules: &Modules,
        disk: &dyn Disk,
    ) -> Result<Self, Stop> {
        let last = stored.rows(MODULE)?.last().map(|row| ModuleRow::read(row));
        let hash = last.map_or(genesis.module, |row| row.module);
        let module = match first.filter(|module| module.hash() == hash) {
            Some(module) => module,
            None => prepare(&hash, genesis, modules, disk)?
                .map_err(|reasons| Stop::Module(reasons.join("; ")))?,
        };
        let tables = &module.def().tables;
        let numbers = match last {
            None => Numbers::of_first(tables),
            Some(_) => Numbers::read(&stored.rows(TABLE)?, &stored.rows(INDEX)?),
        };
        let tables = numbers.apply(tables).ok_or_else(|| {
            Stop::Module("a table or an index of it has no number in this database".to_owned())
        })?;
        let schema = schema_of(&tables).map_err(|error| Stop::Module(error.to_string()))?;
        Ok(Self { module, schema })
    }
}

/// The rows that a database is born with, about its module.
pub(crate) fn birth_rows(genesis: &Genesis, module: &Module) -> Vec<(store::TableId, Vec<u8>)> {
    let row = ModuleRow {
        number: 0,
        height: 0,
        module: genesis.module,
        len: genesis.module_len,
        engine: genesis.engine,
    };
    let numbers = Numbers::of_first(&module.def().tables).changed_rows();
    std::iter::once((MODULE, row.write()))
        .chain(numbers.into_iter().map(|write| (write.table, write.row)))
        .collect()
}

/// The row of a publish that has run at its position.
pub(crate) fn waiting_row(position: Position, new_module: &NewModule) -> Vec<u8> {
    PublishRow::waiting(position, *new_module).write()
}

impl Replica {
    /// The tables of the module, with their numbers.
    fn module_tables(&self) -> Result<Vec<store::TableSchema>, Stop> {
        let tables = self.state()?.schema().tables();
        Ok(tables
            .iter()
            .filter(|table| !system_tables::is_system(table.id))
            .cloned()
            .collect())
    }

    fn numbers(&self) -> Result<Numbers, Stop> {
        let read = |table| -> Result<Vec<store::Row>, Stop> {
            Ok(self.state()?.rows(table)?.collect::<Result<_, _>>()?)
        };
        Ok(Numbers::read(&read(TABLE)?, &read(INDEX)?))
    }

    /// All publishes after the genesis, in the order of their positions.
    fn publishes(&self) -> Result<Vec<PublishRow>, Stop> {
        self.state()?
            .rows(PUBLISH)?
            .map(|row| Ok(PublishRow::read(&row?)))
            .collect()
    }

    /// Whether a module belongs to this database: members may ask for its bytes.
    pub(crate) fn knows_module(&self, hash: &BlobHash) -> bool {
        *hash == self.genesis.module
            || self.publishes().is_ok_and(|rows| {
                rows.iter()
                    .any(|publish| publish.new_module.module == *hash)
            })
    }

    /// What a publish of `module` would do to the visible rows, if a cut judged it now.
    pub(crate) fn plan_upgrade(
        &self,
        module: &Module,
        break_clients: bool,
    ) -> Result<UpgradePlan, Stop> {
        let mut course = judge::Course::of(self)?;
        let height = self.cut.height + 1;
        let tried = course.try_module(self, module, break_clients, height)?;
        Ok(tried.into())
    }

    /// The latest publish after the genesis, and how it stands.
    pub(crate) fn last_upgrade(&self) -> Result<Option<UpgradeStatus>, Stop> {
        let rows = self.publishes()?;
        // One that waits comes last, whatever its position.
        let order = |row: &&PublishRow| match row.outcome {
            PublishOutcome::Waiting => (u64::MAX, row.position),
            _ => (row.height, row.position),
        };
        let Some(last) = rows.iter().max_by_key(order) else {
            return Ok(None);
        };
        let state = match last.outcome {
            PublishOutcome::Waiting => UpgradeState::Waiting,
            PublishOutcome::Accepted => UpgradeState::Effective,
            PublishOutcome::Refused => UpgradeState::Refused,
            PublishOutcome::Unchanged => UpgradeState::Unchanged,
        };
        let reasons = match state {
            UpgradeState::Refused => self.refusal_note(&last.position)?,
            _ => Vec::new(),
        };
        Ok(Some(UpgradeStatus {
            module_hash: last.new_module.module.to_string(),
            state,
            height: (last.outcome != PublishOutcome::Waiting).then_some(last.height),
            reasons,
        }))
    }

    /// Lets an accepted upgrade rule: the state has its schema already.
    pub(crate) fn take_effect(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(judged) = self.judged.take() else {
            return Ok(());
        };
        if let Some(module) = judged.module.clone()
            && !planted!(KeepModuleOnUpgrade)
        {
            self.executor = crate::execute::Executor::new(module, self.genesis.options, self.id)?;
            self.dirty = true;
        }
        self.tell_console(&judged, ctx);
        self.announce(&judged, ctx)
    }
}
