//! The judgement at a cut: which of its publishes are accepted, and what that does to the rows.

use module_host::{Module, ScheduleDef, ViewDef};
use store::{Migration, RowWrite, TableSchema};
use sync_protocol::Position;

use super::rows::{MODULE, ModuleRow, Numbers, PUBLISH, PublishOutcome, PublishRow};
use super::rules::{self, Plan};
use super::{clear, prepare, schema_of};
use crate::error::Stop;
use crate::replica::{Context, Replica};
use crate::reply::UpgradePlan;

/// What a publish that empties the database does.
const CLEARED: &str = "all rows are deleted, and `init` runs";

/// Why a publish is refused behind one that empties, in the same cut.
const EMPTIED: &str =
    "a publish before it, covered by the same cut, empties the database: publish it again";

/// What an upgrade does, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) all: Vec<String>,
    pub(crate) breaking: Vec<String>,
}

/// Steps, or why there are none.
impl From<Result<Steps, Vec<String>>> for UpgradePlan {
    fn from(tried: Result<Steps, Vec<String>>) -> Self {
        match tried {
            Ok(Steps { all, breaking }) => Self {
                steps: all,
                breaking,
                reasons: Vec::new(),
            },
            Err(reasons) => Self {
                reasons,
                ..Self::default()
            },
        }
    }
}

/// What became of one publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) row: PublishRow,
    /// What it did; or why it did nothing.
    pub(crate) result: Result<Steps, Vec<String>>,
}

/// The publishes of one cut, judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdicts: Vec<Verdict>,
    /// The module that rules from this cut on, if it is another than before.
    pub(crate) module: Option<Module>,
    /// What the cut writes.
    pub(crate) rows: Vec<RowWrite>,
    pub(crate) migration: Option<Migration>,
    /// Lines that `init` logged.
    pub(crate) console: Vec<String>,
}

/// Where the upgrades of one cut have led so far.
pub(super) struct Course {
    tables: Vec<TableSchema>,
    schedules: Vec<ScheduleDef>,
    views: Vec<ViewDef>,
    filters: Vec<String>,
    numbers: Numbers,
    migration: Option<Migration>,
    /// Whether nothing stays of the rows that are here.
    pub(super) empties: bool,
    /// Lines that `init` logged when it ran anew.
    console: Vec<String>,
}

impl Course {
    /// Nothing has changed yet.
    pub(super) fn of(replica: &Replica) -> Result<Self, Stop> {
        Ok(Self {
            tables: replica.module_tables()?,
            schedules: replica.executor.module().def().schedules.clone(),
            views: replica.executor.module().def().views.clone(),
            filters: replica.executor.module().def().filters.clone(),
            numbers: replica.numbers()?,
            migration: None,
            empties: false,
            console: Vec::new(),
        })
    }

    /// Goes on to another module, if the rules and the visible rows let it.
    pub(super) fn try_module(
        &mut self,
        replica: &Replica,
        module: &Module,
        break_clients: bool,
        height: u64,
    ) -> Result<Result<Steps, Vec<String>>, Stop> {
        // What it asks of the rows could not be answered: they are not written yet.
        if self.empties {
            return Ok(Err(vec![EMPTIED.to_owned()]));
        }
        let current = rules::Current {
            tables: &self.tables,
            schedules: &self.schedules,
            views: &self.views,
            filters: &self.filters,
        };
        let Plan {
            tables,
            numbers,
            steps,
            breaking,
            checks,
            appended,
            ended,
        } = match rules::plan(current, &self.numbers, module.def(), height) {
            Ok(plan) => plan,
            Err(reasons) => return Ok(Err(reasons)),
        };
        let mut reasons = Vec::new();
        if !break_clients {
            let breaks = |step: &String| {
                format!(
                    "{step}: clients built for the old module break; publish with `--break-clients` if that is meant"
                )
            };
            reasons.extend(breaking.iter().map(breaks));
        }
        let schema = match schema_of(&tables) {
            Ok(schema) => schema,
            Err(error) => {
                reasons.push(error.to_string());
                return Ok(Err(reasons));
            }
        };
        let mut migration = match &self.migration {
            Some(earlier) => earlier.then(schema),
            None => Migration::to(schema),
        };
        for (table, columns) in &appended {
            migration.append(*table, columns);
        }
        for (table, column) in ended {
            migration.end_sequence(table, column);
        }
        for (check, or_else) in checks {
            if !replica.state()?.holds(&migration, &check)? {
                reasons.push(or_else);
            }
        }
        if !reasons.is_empty() {
            return Ok(Err(reasons));
        }
        *self = Self {
            tables,
            schedules: module.def().schedules.clone(),
            views: module.def().views.clone(),
            filters: module.def().filters.clone(),
            numbers,
            migration: Some(migration),
            empties: false,
            console: Vec::new(),
        };
        Ok(Ok(Steps {
            all: steps,
            breaking,
        }))
    }

    /// Begins anew with a module, whatever is here: other tables under numbers of their own, with what
    /// `init` writes at `position`.
    pub(super) fn try_clear(
        &mut self,
        replica: &Replica,
        module: &Module,
        position: &Position,
        height: u64,
    ) -> Result<Result<Steps, Vec<String>>, Stop> {
        let mut numbers = self.numbers.clone();
        for table in &self.tables {
            for index in &table.indexes {
                numbers.take_index(table.id, &index.name, height);
            }
            numbers.take_table(&table.name, height);
        }
        let mut tables = module.def().tables.clone();
        for table in &mut tables {
            table.id = numbers.give_table(&table.name, height);
            for index in &mut table.indexes {
                index.id = numbers.give_index(table.id, &index.name, height);
            }
        }
        let schemas = schema_of(&tables).and_then(|schema| Ok((schema, schema_of(&tables)?)));
        let (schema, of_init) = match schemas {
            Ok(schemas) => schemas,
            Err(error) => return Ok(Err(vec![error.to_string()])),
        };
        let born = match clear::born(replica, module, of_init, position)? {
            Ok(born) => born,
            Err(why) => return Ok(Err(vec![why])),
        };
        let mut migration = Migration::emptying(schema);
        migration.bring(born.written);
        *self = Self {
            tables,
            schedules: module.def().schedules.clone(),
            views: module.def().views.clone(),
            filters: module.def().filters.clone(),
            numbers,
            migration: Some(migration),
            empties: true,
            console: born.console,
        };
        Ok(Ok(Steps {
            all: vec![CLEARED.to_owned()],
            breaking: Vec::new(),
        }))
    }
}

impl Replica {
    /// Judges the publishes that wait, one after the other. The visible rows are those at the end
    /// of the cut's segment. `None`: none waits.
    pub(crate) fn judge(&self, height: u64, ctx: &Context<'_>) -> Result<Option<Judged>, Stop> {
        let waiting: Vec<PublishRow> = self
            .publishes()?
            .into_iter()
            .filter(|publish| publish.outcome == PublishOutcome::Waiting)
            .collect();
        if waiting.is_empty() {
            return Ok(None);
        }
        let mut course = Course::of(self)?;
        let mut ruling = self.executor.module().clone();
        let mut last = None;
        let mut verdicts = Vec::with_capacity(waiting.len());
        for publish in waiting {
            let hash = publish.new_module.module;
            let is_same = hash == ruling.hash() && !publish.new_module.clear;
            let (outcome, result) = if is_same {
                (PublishOutcome::Unchanged, Ok(Steps::default()))
            } else {
                match self.try_publish(&mut course, &publish, height, ctx)? {
                    Ok((module, steps)) => {
                        ruling = module;
                        last = Some(publish.new_module);
                        (PublishOutcome::Accepted, Ok(steps))
                    }
                    Err(reasons) => (PublishOutcome::Refused, Err(reasons)),
                }
            };
            let row = PublishRow {
                outcome,
                height,
                ..publish
            };
            verdicts.push(Verdict { row, result });
        }
        let write = |table, row| RowWrite {
            table,
            row,
            delete: false,
        };
        let mut rows: Vec<RowWrite> = verdicts
            .iter()
            .map(|verdict| write(PUBLISH, verdict.row.write()))
            .collect();
        rows.extend(course.numbers.changed_rows());
        if course.empties {
            rows.extend(self.rows_that_go()?);
        }
        if let Some(new_module) = last {
            let count = self.state()?.row_count(MODULE)?;
            let row = ModuleRow {
                number: u32::try_from(count).unwrap_or(u32::MAX),
                height,
                module: new_module.module,
                len: new_module.module_len,
                engine: new_module.engine,
            };
            rows.push(write(MODULE, row.write()));
        }
        Ok(Some(Judged {
            verdicts,
            module: last.map(|_| ruling),
            rows,
            migration: course.migration,
            console: course.console,
        }))
    }

    fn try_publish(
        &self,
        course: &mut Course,
        publish: &PublishRow,
        height: u64,
        ctx: &Context<'_>,
    ) -> Result<Result<(Module, Steps), Vec<String>>, Stop> {
        let new_module = &publish.new_module;
        if new_module.engine != self.cut.engine {
            return Ok(Err(vec![format!(
                "it is for engine {}, the database runs on engine {}",
                new_module.engine, self.cut.engine
            )]));
        }
        let prepared = prepare(&new_module.module, &self.genesis, ctx.modules, ctx.disk)?;
        let module = match prepared {
            Ok(module) => module,
            Err(reasons) => return Ok(Err(reasons)),
        };
        let steps = match new_module.clear {
            true => course.try_clear(self, &module, &publish.position, height)?,
            false => course.try_module(self, &module, new_module.break_clients, height)?,
        };
        Ok(steps.map(|steps| (module, steps)))
    }
}

impl Verdict {
    /// The publish's place in the one order.
    pub(crate) fn position(&self) -> &Position {
        &self.row.position
    }
}
