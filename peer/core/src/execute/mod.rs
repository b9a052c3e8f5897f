//! Runs the invocations of one entry, each in a transaction at its position.
//!
//! Everything here is a function of the entry and the rows below it, so it gives the same outcome
//! on every peer. Permissions are checked in the one order, at the invocation's position, never in
//! a pass of their own (ORDERING 6).

mod callers;
mod console;
mod issuers;
mod members;
mod schedule;
mod system;

use module_host::{Call, Lifecycle, Module, Outcome, Runner, ViewCall, ViewDef, ViewRows};
use store::{CallContext, Changed, ReadMark, Reads, Row, RowChange, State, TableId, Transaction};
use sync_protocol::{
    ConnectionId, DatabaseId, DeviceKey, Entry, EntryId, Hlc, Invocation, Options, Position, Role,
    SYSTEM_CALL_NAME, Struck, SystemCall,
};

use self::callers::{CheckedCaller, NamedCaller, foreign_caller, named_callers};
use crate::error::Stop;
use crate::identity::{did_key, identity_of};
use crate::outcome::CallOutcome;
use crate::sql::Filters;
use crate::system_tables::{self, ClientRow};

/// What a call left behind besides its outcome: from it follows whether it has to run again when
/// something before it changes.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// What it read; `None` if nobody knows any more.
    pub(crate) reads: Option<Reads>,
    /// Units that it used of the entry's budget.
    pub(crate) units: u64,
}

impl Trace {
    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.reads.as_ref().map_or(0, Reads::bytes)
    }
}

/// What running one entry gave.
#[derive(Debug, Default)]
pub(crate) struct EntryRun {
    /// One outcome per invocation, in order.
    pub(crate) outcomes: Vec<CallOutcome>,
    /// One trace per invocation, in order; none of an entry that is void.
    pub(crate) traces: Vec<Trace>,
    /// Lines that the module logged, as JSON objects.
    pub(crate) console: Vec<String>,
    /// Whether a system call changed members, tickets or frozen authors.
    pub(crate) rights_changed: bool,
    /// Whom its last move of finality names.
    pub(crate) finaliser: Option<DeviceKey>,
    /// Whether a module was published.
    pub(crate) publishes: bool,
    /// Events that its calls told, in order.
    pub(crate) events: Vec<Event>,
}

impl EntryRun {
    /// None of the entry's calls runs.
    pub(crate) fn void(&mut self, entry: &Entry, why: Struck) {
        self.outcomes = vec![CallOutcome::Void(why); entry.body.invocations.len()];
        // Whom it admits may have written for those who could not know.
        let admits = |call| matches!(call, SystemCall::Admit { .. });
        self.rights_changed = entry.system_calls().any(|(_, call)| admits(call));
    }
}

/// A row of a table whose rows are events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) table: TableId,
    pub(crate) row: Row,
}

/// A module with its one living instance and the options of its database.
pub(crate) struct Executor {
    module: Module,
    runner: Runner,
    options: Options,
    /// What clients see. Calls see everything.
    filters: Filters,
    /// Whether the module has tables of events.
    has_events: bool,
    /// The database's identity as modules see it: little-endian.
    identity: [u8; 32],
}

/// A call name of an entry, looked up once.
enum Target {
    System,
    Reducer(usize),
    Unknown(String),
}

/// A transaction and what became of the invocation that ran in it.
type Ran = (Transaction, CallOutcome);

/// An entry whose calls are about to run: what they have in common is looked up once.
pub(crate) struct Readied<'a> {
    entry: &'a Entry,
    /// The role that its author has at most: somebody demoted it, which it had not seen.
    demoted: Option<Role>,
    callers: Vec<NamedCaller<'a>>,
    targets: Vec<Target>,
}

/// One call of an entry.
#[derive(Clone, Copy)]
pub(crate) struct CallAt {
    pub(crate) index: u16,
    /// What the calls before it left of the entry's budget.
    pub(crate) units_left: u64,
    /// Whether calls at later positions have been executed and stay.
    pub(crate) amid: bool,
}

/// What calls of one entry that follow each other need not look up again. System calls change it, so it
/// is forgotten after one.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The author's role.
    role: Option<Option<Role>>,
    client: Option<KnownClient>,
}

/// Who is at a connection.
#[derive(Debug)]
struct KnownClient {
    connection: ConnectionId,
    identity: Option<[u8; 32]>,
    read: ReadMark,
    /// The call that found it; what it says is good for the next one alone, because in between may
    /// be one that has not run again.
    by: u16,
}

impl Known {
    /// Whose connection it is, for the call with this index.
    fn client(
        &mut self,
        tx: &Transaction,
        connection: &ConnectionId,
        index: u16,
    ) -> Result<Option<[u8; 32]>, Stop> {
        if let Some(known) = &mut self.client
            && known.connection == *connection
            && known.by.checked_add(1) == Some(index)
        {
            tx.note_read(&known.read);
            known.by = index;
            return Ok(known.identity);
        }
        let identity = ClientRow::find(tx, connection)?.map(|client| client.identity);
        self.client = Some(KnownClient {
            connection: *connection,
            identity,
            read: ClientRow::read_mark(tx, connection)?,
            by: index,
        });
        Ok(identity)
    }
}

/// What one call came to.
#[derive(Debug)]
pub(crate) struct CallRun {
    pub(crate) outcome: CallOutcome,
    pub(crate) trace: Trace,
    /// What is different for later calls that have been executed.
    pub(crate) changed: Changed,
}

impl Executor {
    pub(crate) fn new(
        module: Module,
        options: Options,
        database: DatabaseId,
    ) -> Result<Self, Stop> {
        let runner = module.instantiate()?;
        let has_events = module.def().tables.iter().any(|table| table.event);
        let mut identity = database.0;
        identity.reverse();
        Ok(Self {
            filters: Filters::of(&module.def().filters),
            module,
            runner,
            options,
            has_events,
            identity,
        })
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// What the module shows to whom.
    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Whether clients are rows: the module wants to hear of them.
    pub(crate) fn has_clients(&self) -> bool {
        self.module
            .def()
            .lifecycle(Lifecycle::ClientConnected)
            .is_some()
            || self
                .module
                .def()
                .lifecycle(Lifecycle::ClientDisconnected)
                .is_some()
    }

    /// Runs an entry, or voids it if it is `struck`, on top of `state`, whose overlay must hold
    /// everything before it and nothing after. After an error the state is gone: the database stops, its log is whole.
    pub(crate) fn run(
        &mut self,
        mut state: State,
        entry: &Entry,
        struck: Option<Struck>,
    ) -> Result<(State, EntryRun), Stop> {
        let mut run = EntryRun::default();
        if let Some(why) = struck.filter(|struck| struck.is_void()) {
            run.void(entry, why);
            return Ok((state, run));
        }
        let readied = self.ready(entry, struck);
        let calls = usize::from(entry.header.invocations);
        run.outcomes.reserve_exact(calls);
        run.traces.reserve_exact(calls);
        let mut call = CallAt {
            index: 0,
            units_left: self.options.units_per_entry,
            amid: false,
        };
        let mut known = Known::default();
        for index in 0..entry.header.invocations {
            call.index = index;
            let (next, ran) = self.run_call(state, &readied, call, &mut known, &mut run)?;
            state = next;
            state.relieve()?;
            call.units_left = call.units_left.saturating_sub(ran.trace.units);
            run.outcomes.push(ran.outcome);
            run.traces.push(ran.trace);
        }
        Ok((state, run))
    }

    /// Looks up what the calls of an entry have in common.
    pub(crate) fn ready<'a>(&self, entry: &'a Entry, struck: Option<Struck>) -> Readied<'a> {
        Readied {
            entry,
            demoted: match struck {
                Some(Struck::Demoted(role)) => Some(role),
                _ => None,
            },
            callers: named_callers(entry),
            targets: self.targets(entry),
        }
    }

    /// Units that an entry's calls may use together, and one of them.
    pub(crate) fn budgets(&self) -> (u64, u64) {
        let Options {
            units_per_entry,
            units_per_invocation,
            ..
        } = self.options;
        (units_per_entry, units_per_invocation)
    }

    /// Runs one call of an entry. `known` is what the calls before it looked up. Of `run` only what the
    /// whole entry adds up to is touched.
    pub(crate) fn run_call(
        &mut self,
        state: State,
        readied: &Readied<'_>,
        call: CallAt,
        known: &mut Known,
        run: &mut EntryRun,
    ) -> Result<(State, CallRun), Stop> {
        let Readied {
            entry,
            demoted,
            callers,
            targets,
        } = readied;
        let invocation = &entry.body.invocations[usize::from(call.index)];
        let context = CallContext {
            position: entry.position(call.index),
            time: entry.time_of(call.index),
        };
        let time = context.time;
        let tx = match call.amid {
            true => state.begin_amid(context),
            false => state.begin(context),
        };
        let author_role = match known.role {
            Some(role) => role,
            None => system_tables::member_role(&tx, &entry.header.author)?,
        };
        known.role = Some(author_role);
        let author_role = match demoted {
            Some(most) => author_role.map(|role| role.lesser(*most)),
            None => author_role,
        };
        let target = &targets[usize::from(invocation.name)];
        let caller = match &callers[usize::from(invocation.caller)] {
            NamedCaller::Own(caller) => Ok(caller.clone()),
            NamedCaller::Foreign(identity, user) => {
                foreign_caller(&tx, &entry.header.author, author_role, *identity, user)?
            }
        };
        let mut units_left = call.units_left;
        let (tx, outcome) = match (target, &caller) {
            (_, Err(why)) => (tx, CallOutcome::Refused(why.clone())),
            (Target::System, Ok(caller)) => {
                *known = Known::default();
                self.run_system(tx, entry, call.index, invocation, caller, author_role, run)?
            }
            (Target::Unknown(why), Ok(_)) => (tx, CallOutcome::Refused(why.clone())),
            (Target::Reducer(reducer), Ok(caller)) => self.run_reducer(
                tx,
                *reducer,
                (invocation, call.index),
                caller,
                time,
                (author_role, known),
                &mut units_left,
                run,
            )?,
        };
        let ended = tx.end(outcome.is_ok());
        if self.has_events {
            note_events(ended.events, run);
        }
        let trace = Trace {
            reads: match planted!(ForgetFailedReads) && !outcome.is_ok() {
                true => Some(Reads::default()),
                false => ended.reads,
            },
            units: call.units_left - units_left,
        };
        let ran = CallRun {
            outcome,
            trace,
            changed: ended.changed,
        };
        Ok((ended.state, ran))
    }

    /// Runs `init`, if the module has one, for the author of the publish at `position`. Gives the lines
    /// that it logged. After an error of the host the state is gone, as with [`Executor::run`].
    pub(crate) fn init(
        &mut self,
        state: State,
        position: Position,
    ) -> Result<(State, CallOutcome, Vec<String>), Stop> {
        let time = position.hlc;
        let Some(reducer) = self.module.def().lifecycle(Lifecycle::Init) else {
            return Ok((state, system::DONE, Vec::new()));
        };
        let did = did_key(&position.author);
        let call = Call {
            reducer,
            sender: identity_of(&did, &did),
            connection: ConnectionId::ZERO,
            time,
            args: &[],
            claims: None,
            database: self.identity,
            units: self.options.units_per_invocation,
        };
        let mut run = EntryRun::default();
        let tx = state.begin(CallContext { position, time });
        let (tx, outcome, _) = self.call(tx, call, &mut run)?;
        let ended = tx.end(outcome.is_ok());
        Ok((ended.state, outcome, run.console))
    }

    /// Computes a view from the visible rows. After an error of the host the state is gone, as with
    /// [`Executor::run`].
    pub(crate) fn view(
        &mut self,
        state: State,
        view: &ViewDef,
        sender: [u8; 32],
    ) -> Result<(State, Result<ViewRows, String>), Stop> {
        // Behind everything that has run, whose rows it sees; nothing is written there.
        let end = Position {
            hlc: Hlc(u64::MAX),
            author: DeviceKey([u8::MAX; 32]),
            entry: EntryId([u8::MAX; 32]),
            index: u16::MAX,
        };
        let tx = state.begin(CallContext {
            position: end,
            time: end.hlc,
        });
        let call = ViewCall {
            view,
            sender,
            database: self.identity,
            units: self.options.units_per_invocation,
        };
        let (tx, rows) = self.runner.view(call, tx)?;
        Ok((tx.abort(), rows))
    }

    fn targets(&self, entry: &Entry) -> Vec<Target> {
        let def = self.module.def();
        entry
            .body
            .names
            .iter()
            .map(|call| {
                if call.name == SYSTEM_CALL_NAME {
                    return Target::System;
                }
                match def.reducer_by_name(&call.name) {
                    None => Target::Unknown(format!("there is no reducer `{}`", call.name)),
                    Some((_, reducer))
                        if reducer.lifecycle.is_some() || !reducer.client_callable =>
                    {
                        Target::Unknown(format!("`{}` cannot be called by clients", call.name))
                    }
                    Some((_, reducer)) if reducer.arguments_type != call.arguments_type => {
                        Target::Unknown(format!(
                            "the arguments of `{}` have another type in this module",
                            call.name
                        ))
                    }
                    Some((index, _)) => Target::Reducer(index),
                }
            })
            .collect()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site, all of them plain values"
    )]
    fn run_reducer(
        &mut self,
        tx: Transaction,
        reducer: usize,
        (invocation, index): (&Invocation, u16),
        caller: &CheckedCaller<'_>,
        time: Hlc,
        (role, known): (Option<Role>, &mut Known),
        units_left: &mut u64,
        run: &mut EntryRun,
    ) -> Result<Ran, Stop> {
        if !role.is_some_and(Role::may_write) && !planted!(SkipRightsCheck) {
            return Ok((
                tx,
                CallOutcome::Refused("this device may not write to the database".to_owned()),
            ));
        }
        if invocation.connection == ConnectionId::ZERO {
            return Ok((
                tx,
                CallOutcome::Refused(
                    "a call needs a connection; zero is for system calls".to_owned(),
                ),
            ));
        }
        if self.has_clients() {
            let client = known.client(&tx, &invocation.connection, index)?;
            if client != Some(caller.identity) {
                return Ok((
                    tx,
                    CallOutcome::Refused("the module did not accept this connection".to_owned()),
                ));
            }
        }
        if *units_left == 0 {
            return Ok((
                tx,
                CallOutcome::Trapped("the calls before it used up the entry's budget".to_owned()),
            ));
        }
        let units = self.options.units_per_invocation.min(*units_left);
        let (tx, outcome, used) = self.call(
            tx,
            Call {
                reducer,
                sender: caller.identity,
                connection: invocation.connection,
                time,
                args: &invocation.args,
                claims: caller.claims.as_deref(),
                database: self.identity,
                units,
            },
            run,
        )?;
        *units_left = units_left.saturating_sub(used);
        Ok((tx, outcome))
    }

    /// Runs the guest once. The transaction comes back open.
    fn call(
        &mut self,
        tx: Transaction,
        call: Call<'_>,
        run: &mut EntryRun,
    ) -> Result<(Transaction, CallOutcome, u64), Stop> {
        let time = call.time;
        let budget = call.units;
        let (mut tx, report) = self.runner.call(call, tx)?;
        run.console
            .extend(report.console.iter().map(|line| console::json(line, time)));
        let outcome = match report.outcome {
            Outcome::Ok => match schedule::note(self.module.def(), &mut tx)? {
                Ok(()) => CallOutcome::Ok {
                    units: report.units,
                    rows: 0,
                },
                Err(why) => CallOutcome::Failed(why),
            },
            Outcome::Failed(text) => CallOutcome::Failed(text),
            Outcome::Trapped(text) => CallOutcome::Trapped(text),
            Outcome::OutOfUnits => CallOutcome::Trapped(format!(
                "the reducer used up its budget of {budget} units: it loops, or does too much in one call"
            )),
            Outcome::TooDeep => CallOutcome::Trapped(format!(
                "the reducer called itself more than {} levels deep",
                self.options.call_depth_max
            )),
        };
        Ok((tx, outcome, report.units))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site, all of them plain values"
    )]
    fn run_system(
        &mut self,
        tx: Transaction,
        entry: &Entry,
        index: u16,
        invocation: &Invocation,
        caller: &CheckedCaller<'_>,
        role: Option<Role>,
        run: &mut EntryRun,
    ) -> Result<Ran, Stop> {
        let Ok(system_call) = SystemCall::decode(&invocation.args) else {
            return Ok((
                tx,
                CallOutcome::Refused("not a system call this peer knows".to_owned()),
            ));
        };
        system::run(
            self,
            tx,
            &system::Place {
                entry,
                index,
                invocation,
                caller: caller.identity,
                caller_is_author: caller.is_author,
                claims: caller.claims.as_deref(),
                role,
            },
            &system_call,
            run,
        )
    }
}

/// The events that a call told.
fn note_events(events: Vec<RowChange>, run: &mut EntryRun) {
    for RowChange { table, new, .. } in events {
        if let Some(row) = new {
            run.events.push(Event { table, row });
        }
    }
}
