//! What every module has, `remote_module.rs`: the connection, contexts of callbacks, and what the client
//! library does with messages, by way of the other files.

use super::functions::variant;
use super::names::{identifier, snake};
use super::text::{Variant, arm, array, braces, field, fill, variants};
use super::types::Known;
use crate::error::BindingsError;
use crate::literal::string;
use crate::model::{Function, Module};

/// Writes `remote_module.rs`.
pub(super) fn file(module: &Module, known: &Known<'_>) -> Result<String, BindingsError> {
    let mut text = CONNECTION.to_owned();
    text += &fill(ANY_CONTEXT, &[("context", "DbConnection")]);
    for (name, event, about) in CONTEXTS {
        // Those without an event have nothing to look at.
        let public = if *event == "()" { "" } else { "pub " };
        let what = "    /// What happened.\n";
        let values = [
            ("context", *name),
            ("event", *event),
            ("about", *about),
            ("public", public),
            ("what", if public.is_empty() { "" } else { what }),
        ];
        text += &fill(CONTEXT, &values);
        text += &fill(ANY_CONTEXT, &values);
    }
    text += &database(module, known)?;
    text += &reducers(&module.reducers, known)?;
    Ok(text)
}

fn database(module: &Module, known: &Known<'_>) -> Result<String, BindingsError> {
    let (mut updates, mut diffs, mut received) = (String::new(), String::new(), String::new());
    let (mut registered, mut applied, mut invoked) = (String::new(), String::new(), String::new());
    let mut names = Vec::new();
    for table in &module.tables {
        let row = format!("super::{}", known.row_type(table)?);
        let own = format!("pub(super) {}", identifier(&table.source_name));
        let file = format!("super::{}_table", snake(&table.source_name));
        updates += &field(1, &own, &format!("__sdk::TableUpdate<{row}>"));
        diffs += &field(1, &own, &format!("__sdk::TableAppliedDiff<'r, {row}>"));
        let body = format!("{file}::receive(self, rows)");
        received += &arm(3, &string(&table.wire_name), &body);
        registered += &format!("        {file}::register(cache);\n");
        applied += &format!("        {file}::apply(self, cache, &mut applied);\n");
        invoked += &format!("        {file}::invoke(self, event, callbacks);\n");
        names.push(format!("{file}::NAME"));
    }
    let updates = match updates.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{updates}}}"),
    };
    let registered = match registered.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{registered}    }}"),
    };
    let names = array("const TABLE_NAMES: &[&str] = &", &names);
    Ok(fill(
        DATABASE,
        &[
            ("updates", &updates),
            ("diffs", &diffs),
            ("received", &received),
            ("registered", &registered),
            ("applied", &applied),
            ("invoked", &invoked),
            ("names", &names),
        ],
    ))
}

fn reducers(reducers: &[Function], known: &Known<'_>) -> Result<String, BindingsError> {
    if reducers.is_empty() {
        return Ok(NO_REDUCERS.to_owned());
    }
    let mut all: Vec<Variant> = Vec::new();
    let (mut names, mut bytes) = (String::new(), String::new());
    for reducer in reducers {
        let (variant, params) = variant(reducer, known)?;
        let name = format!("Self::{}", variant.name);
        names += &arm(3, &format!("{name} {{ .. }}"), &string(&reducer.wire_name));
        bytes += &match params.as_slice() {
            [] => format!("            {name} => {{}}\n"),
            params => {
                let pattern = braces(3, &name, params);
                // Names that were converted do not end as this one does: it is no parameter's.
                let write = |param| {
                    format!("                __sats::bsatn::to_writer(&mut bytes_, {param})?;\n")
                };
                let statements: String = params.iter().map(write).collect();
                format!("            {pattern} => {{\n{statements}            }}\n")
            }
        };
        all.push(variant);
    }
    Ok(fill(
        REDUCERS,
        &[
            ("variants", &variants(&all)),
            ("names", &names),
            ("bytes", &bytes),
        ],
    ))
}

/// Name, type of the event, and what the context is for.
const CONTEXTS: &[(&str, &str, &str)] = &[
    (
        "EventContext",
        "__sdk::Event<Reducer>",
        "What callbacks for rows are given.",
    ),
    (
        "ReducerEventContext",
        "__sdk::ReducerEvent<Reducer>",
        "What callbacks for a call's outcome are given.",
    ),
    (
        "ProcedureEventContext",
        "()",
        "What callbacks for a procedure's outcome are given.",
    ),
    (
        "SubscriptionEventContext",
        "()",
        "What callbacks for subscriptions that are applied or ended are given.",
    ),
    (
        "ErrorContext",
        "Option<__sdk::Error>",
        "What callbacks for errors are given.",
    ),
];

const CONNECTION: &str = "\
use spacetimedb_sdk::__codegen::{self as __sdk, __lib, __sats, __ws};

/// The module, where code works with any module.
#[derive(Debug)]
pub struct RemoteModule;

/// A context of any kind of this module: the connection, or what a callback is given.
pub trait RemoteDbContext:
    __sdk::DbContext<
        DbView = RemoteTables,
        Reducers = RemoteReducers,
        Procedures = RemoteProcedures,
        SubscriptionBuilder = __sdk::SubscriptionBuilder<RemoteModule>,
    >
{
}

impl<Context> RemoteDbContext for Context where
    Context: __sdk::DbContext<
            DbView = RemoteTables,
            Reducers = RemoteReducers,
            Procedures = RemoteProcedures,
            SubscriptionBuilder = __sdk::SubscriptionBuilder<RemoteModule>,
        >
{
}

/// The tables, each by the method of its `…TableAccess`.
pub struct RemoteTables {
    pub(super) imp: __sdk::DbContextImpl<RemoteModule>,
}

impl __sdk::InModule for RemoteTables {
    type Module = RemoteModule;
}

/// The reducers, each by the methods of the trait that is called as it is.
pub struct RemoteReducers {
    pub(super) imp: __sdk::DbContextImpl<RemoteModule>,
}

impl __sdk::InModule for RemoteReducers {
    type Module = RemoteModule;
}

/// The procedures, each by the methods of the trait that is called as it is.
pub struct RemoteProcedures {
    pub(super) imp: __sdk::DbContextImpl<RemoteModule>,
}

impl __sdk::InModule for RemoteProcedures {
    type Module = RemoteModule;
}

/// What a call came to: done, refused by the reducer with a text, or not run as it should.
pub(super) type Outcome = Result<Result<(), String>, __sdk::InternalError>;

pub(super) fn ignore_reducer(_: &ReducerEventContext, _: Outcome) {}

pub(super) fn ignore_procedure<T>(_: &ProcedureEventContext, _: Result<T, __sdk::InternalError>) {}

/// A subscription, to end it.
#[derive(Clone)]
pub struct SubscriptionHandle {
    imp: __sdk::SubscriptionHandleImpl<RemoteModule>,
}

impl __sdk::InModule for SubscriptionHandle {
    type Module = RemoteModule;
}

impl __sdk::SubscriptionHandle for SubscriptionHandle {
    fn new(imp: __sdk::SubscriptionHandleImpl<RemoteModule>) -> Self {
        Self { imp }
    }

    fn is_ended(&self) -> bool {
        self.imp.is_ended()
    }

    fn is_active(&self) -> bool {
        self.imp.is_active()
    }

    fn unsubscribe_then(self, on_end: __sdk::OnEndedCallback<RemoteModule>) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(Some(on_end))
    }

    fn unsubscribe(self) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(None)
    }
}

/// A connection to a database with this module.
///
/// It does nothing by itself: have it run with one of `run_threaded`, `run_async`, `frame_tick` and the
/// like.
pub struct DbConnection {
    /// The rows that this client is subscribed to.
    pub db: RemoteTables,
    /// Calls of reducers.
    pub reducers: RemoteReducers,
    /// Calls of procedures.
    pub procedures: RemoteProcedures,
    imp: __sdk::DbContextImpl<RemoteModule>,
}

impl DbConnection {
    /// Begins a connection.
    pub fn builder() -> __sdk::DbConnectionBuilder<RemoteModule> {
        __sdk::DbConnectionBuilder::new()
    }

    /// Handles a message, if there is one.
    pub fn advance_one_message(&self) -> __sdk::Result<bool> {
        self.imp.advance_one_message()
    }

    /// Waits for a message and handles it.
    #[cfg(not(target_arch = \"wasm32\"))]
    pub fn advance_one_message_blocking(&self) -> __sdk::Result<()> {
        self.imp.advance_one_message_blocking()
    }

    /// Waits for a message and handles it.
    pub async fn advance_one_message_async(&self) -> __sdk::Result<()> {
        self.imp.advance_one_message_async().await
    }

    /// Handles all messages that there are.
    pub fn frame_tick(&self) -> __sdk::Result<()> {
        self.imp.frame_tick()
    }

    /// Handles messages in a thread of its own, until the connection ends.
    #[cfg(not(target_arch = \"wasm32\"))]
    pub fn run_threaded(&self) -> std::thread::JoinHandle<()> {
        self.imp.run_threaded()
    }

    /// Handles messages until the connection ends.
    pub async fn run_async(&self) -> __sdk::Result<()> {
        self.imp.run_async().await
    }
}

impl __sdk::DbConnection for DbConnection {
    fn new(imp: __sdk::DbContextImpl<RemoteModule>) -> Self {
        Self {
            db: RemoteTables { imp: imp.clone() },
            reducers: RemoteReducers { imp: imp.clone() },
            procedures: RemoteProcedures { imp: imp.clone() },
            imp,
        }
    }
}
";

/// What the connection and all contexts have.
const ANY_CONTEXT: &str = "
impl __sdk::InModule for @context@ {
    type Module = RemoteModule;
}

impl __sdk::DbContext for @context@ {
    type DbView = RemoteTables;
    type Reducers = RemoteReducers;
    type Procedures = RemoteProcedures;
    type SubscriptionBuilder = __sdk::SubscriptionBuilder<RemoteModule>;

    fn db(&self) -> &RemoteTables {
        &self.db
    }

    fn reducers(&self) -> &RemoteReducers {
        &self.reducers
    }

    fn procedures(&self) -> &RemoteProcedures {
        &self.procedures
    }

    fn is_active(&self) -> bool {
        self.imp.is_active()
    }

    fn disconnect(&self) -> __sdk::Result<()> {
        self.imp.disconnect()
    }

    fn subscription_builder(&self) -> Self::SubscriptionBuilder {
        __sdk::SubscriptionBuilder::new(&self.imp)
    }

    fn try_identity(&self) -> Option<__sdk::Identity> {
        self.imp.try_identity()
    }

    fn connection_id(&self) -> __sdk::ConnectionId {
        self.imp.connection_id()
    }

    fn try_connection_id(&self) -> Option<__sdk::ConnectionId> {
        self.imp.try_connection_id()
    }
}
";

const CONTEXT: &str = "
/// @about@
pub struct @context@ {
    /// The rows that this client is subscribed to.
    pub db: RemoteTables,
    /// Calls of reducers.
    pub reducers: RemoteReducers,
    /// Calls of procedures.
    pub procedures: RemoteProcedures,
@what@    @public@event: @event@,
    imp: __sdk::DbContextImpl<RemoteModule>,
}

impl __sdk::@context@ for @context@ {}

impl __sdk::AbstractEventContext for @context@ {
    type Event = @event@;

    fn event(&self) -> &Self::Event {
        &self.event
    }

    fn new(imp: __sdk::DbContextImpl<RemoteModule>, event: Self::Event) -> Self {
        Self {
            db: RemoteTables { imp: imp.clone() },
            reducers: RemoteReducers { imp: imp.clone() },
            procedures: RemoteProcedures { imp: imp.clone() },
            event,
            imp,
        }
    }
}
";

const DATABASE: &str = "
@names@
impl __sdk::SpacetimeModule for RemoteModule {
    type DbConnection = DbConnection;
    type EventContext = EventContext;
    type ReducerEventContext = ReducerEventContext;
    type ProcedureEventContext = ProcedureEventContext;
    type SubscriptionEventContext = SubscriptionEventContext;
    type ErrorContext = ErrorContext;
    type Reducer = Reducer;
    type DbView = RemoteTables;
    type Reducers = RemoteReducers;
    type Procedures = RemoteProcedures;
    type DbUpdate = DbUpdate;
    type AppliedDiff<'r> = AppliedDiff<'r>;
    type SubscriptionHandle = SubscriptionHandle;
    type QueryBuilder = __sdk::QueryBuilder;

    const ALL_TABLE_NAMES: &'static [&'static str] = TABLE_NAMES;

    fn register_tables(cache: &mut __sdk::ClientCache<Self>) @registered@
}

/// Changed rows, as they were received.
#[derive(Debug, Default)]
pub struct DbUpdate @updates@

impl __sdk::InModule for DbUpdate {
    type Module = RemoteModule;
}

/// Rows of one table in a message.
pub(super) enum Rows {
    Changed(__ws::v2::TableUpdate),
    Inserted(__ws::common::BsatnRowList),
    Deleted(__ws::common::BsatnRowList),
}

impl Rows {
    pub(super) fn parse<Row>(self) -> __sdk::Result<__sdk::TableUpdate<Row>>
    where
        Row: __lib::de::DeserializeOwned + std::fmt::Debug,
    {
        match self {
            Rows::Changed(update) => __sdk::TableUpdate::parse_table_update(update),
            Rows::Inserted(rows) => __sdk::parse_row_list_as_inserts(rows),
            Rows::Deleted(rows) => __sdk::parse_row_list_as_deletes(rows),
        }
    }
}

impl DbUpdate {
    fn receive(&mut self, table: &str, rows: Rows) -> __sdk::Result<()> {
        match table {
@received@            unknown => {
                let error = __sdk::InternalError::unknown_name(\"table\", unknown, \"a message\");
                Err(error.into())
            }
        }
    }
}

impl TryFrom<__ws::v2::TransactionUpdate> for DbUpdate {
    type Error = __sdk::Error;

    fn try_from(update: __ws::v2::TransactionUpdate) -> __sdk::Result<Self> {
        let mut all = Self::default();
        for table in __sdk::transaction_update_iter_table_updates(update) {
            let name = table.table_name.clone();
            all.receive(&name, Rows::Changed(table))?;
        }
        Ok(all)
    }
}

impl __sdk::DbUpdate for DbUpdate {
    fn apply_to_client_cache(
        &self,
        cache: &mut __sdk::ClientCache<RemoteModule>,
    ) -> AppliedDiff<'_> {
        let mut applied = AppliedDiff::default();
@applied@        applied
    }

    fn parse_initial_rows(rows: __ws::v2::QueryRows) -> __sdk::Result<Self> {
        let mut all = Self::default();
        for table in rows.tables {
            all.receive(&table.table, Rows::Inserted(table.rows))?;
        }
        Ok(all)
    }

    fn parse_unsubscribe_rows(rows: __ws::v2::QueryRows) -> __sdk::Result<Self> {
        let mut all = Self::default();
        for table in rows.tables {
            all.receive(&table.table, Rows::Deleted(table.rows))?;
        }
        Ok(all)
    }
}

/// Changed rows, as they were applied to the client's copy.
#[derive(Default)]
pub struct AppliedDiff<'r> {
@diffs@    rest: std::marker::PhantomData<&'r ()>,
}

impl __sdk::InModule for AppliedDiff<'_> {
    type Module = RemoteModule;
}

impl<'r> __sdk::AppliedDiff<'r> for AppliedDiff<'r> {
    fn invoke_row_callbacks(
        &self,
        event: &EventContext,
        callbacks: &mut __sdk::DbCallbacks<RemoteModule>,
    ) {
@invoked@    }
}
";

const REDUCERS: &str = "
/// A call of a reducer with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Reducer {
@variants@}

impl __sdk::InModule for Reducer {
    type Module = RemoteModule;
}

impl __sdk::Reducer for Reducer {
    fn reducer_name(&self) -> &'static str {
        match self {
@names@        }
    }

    fn args_bsatn(&self) -> Result<Vec<u8>, __sats::bsatn::EncodeError> {
        let mut bytes_ = Vec::new();
        match self {
@bytes@        }
        Ok(bytes_)
    }
}
";

const NO_REDUCERS: &str = "
/// A call of a reducer: there is none to call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reducer {}

impl __sdk::InModule for Reducer {
    type Module = RemoteModule;
}

impl __sdk::Reducer for Reducer {
    fn reducer_name(&self) -> &'static str {
        match *self {}
    }

    fn args_bsatn(&self) -> Result<Vec<u8>, __sats::bsatn::EncodeError> {
        match *self {}
    }
}
";
