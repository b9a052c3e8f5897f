//! Small modules, put together instruction by instruction, and a database to run them on.

use std::sync::OnceLock;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{RawModuleDefV9Builder, btree};
use spacetimedb_sats::{AlgebraicType, ProductType, bsatn};
use store::{
    CallContext, Disk, MemoryDisk, Row, RowChange, RowWrite, Schema, State, StateOptions, TableId,
    Transaction,
};
use sync_protocol::{ConnectionId, DatabaseId, DeviceKey, EntryId, Hlc, Position};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction as I, MemArg,
    MemorySection, MemoryType, RefType, TableSection, TableType, TypeSection, ValType,
};

use crate::imports::offered;
use crate::{
    Backend, Call, HostEngine, HostError, Limits, Module, Outcome, PrepareError, Report, Runner,
    ViewCall, ViewDef, ViewRows,
};

/// Where a reducer may write without touching anything else; one page of 4 KiB.
pub(super) const SCRATCH: i32 = 0x2000;

/// Where texts of a module lie.
pub(super) const TEXTS: i32 = 0x4000;

/// Where the description lies, and its length.
const DESCRIPTION: i32 = 0x8000;
const DESCRIPTION_LEN: i32 = 0x7F00;

/// Number of the first reducer's function type: time, argument source, error sink to status.
const REDUCER_TYPE: u32 = 0;

/// Locals of a reducer that its parameters take: the time, the source, the sink.
pub(super) const TIME: u32 = 0;
pub(super) const SOURCE: u32 = 1;
pub(super) const SINK: u32 = 2;
/// The first local that a reducer declares itself.
pub(super) const LOCAL: u32 = 3;

/// The global that a reducer may use.
pub(super) const COUNTER: u32 = 0;

/// The number of an import's function.
pub(super) fn import(name: &str) -> u32 {
    let place = offered().position(|import| import.name == name);
    u32::try_from(place.expect("the import is offered")).unwrap()
}

/// A number in memory.
pub(super) fn at(offset: i32) -> MemArg {
    MemArg {
        offset: u64::try_from(offset).unwrap(),
        align: 0,
        memory_index: 0,
    }
}

/// One reducer: what it does between its first instruction and its `end`. It leaves a status.
pub(super) struct Reducer {
    pub(super) name: &'static str,
    pub(super) locals: Vec<(u32, ValType)>,
    pub(super) body: Vec<I<'static>>,
}

pub(super) fn reducer(name: &'static str, body: Vec<I<'static>>) -> Reducer {
    Reducer {
        name,
        locals: vec![],
        body,
    }
}

/// One engine for all tests.
pub(super) fn engine() -> &'static HostEngine {
    static ENGINE: OnceLock<HostEngine> = OnceLock::new();
    ENGINE.get_or_init(|| HostEngine::new().unwrap())
}

/// The same, interpreting.
pub(super) fn interpreter() -> &'static HostEngine {
    static ENGINE: OnceLock<HostEngine> = OnceLock::new();
    ENGINE.get_or_init(|| HostEngine::with(Backend::Pulley).unwrap())
}

/// A module to be.
pub(super) struct Fixture {
    pub(super) reducers: Vec<Reducer>,
    pub(super) texts: Vec<u8>,
    pub(super) pages: u64,
    /// Functions beside the reducers, of their type; the first has the number [`Fixture::helper`].
    pub(super) helpers: Vec<Reducer>,
    /// Imports beside those that are offered: module, name.
    pub(super) extra_imports: Vec<(String, String)>,
    pub(super) description: Option<Vec<u8>>,
    pub(super) extra_exports: Vec<String>,
    /// What `__describe_module__` does before it writes the description.
    pub(super) describing: Vec<I<'static>>,
    /// Exports without parameters and results.
    pub(super) initialisers: Vec<(&'static str, Vec<I<'static>>)>,
    /// What computes a view that is the same for everybody: its number, its arguments and the sink
    /// to status.
    pub(super) view: Option<Vec<I<'static>>>,
}

impl Fixture {
    pub(super) fn new(reducers: Vec<Reducer>) -> Self {
        Self {
            reducers,
            texts: vec![],
            pages: 2,
            helpers: vec![],
            extra_imports: vec![],
            description: None,
            extra_exports: vec![],
            describing: vec![],
            initialisers: vec![],
            view: None,
        }
    }

    /// Puts texts at [`TEXTS`].
    pub(super) fn texts(mut self, texts: &[u8]) -> Self {
        self.texts = texts.to_vec();
        self
    }

    /// The number of the first helper.
    pub(super) fn helper(&self) -> u32 {
        u32::try_from(offered().count() + self.extra_imports.len() + self.reducers.len()).unwrap()
    }

    /// The module's bytes.
    pub(super) fn wasm(&self) -> Vec<u8> {
        use ValType::{I32, I64};
        let description = self.description.clone().unwrap_or_else(|| self.describe());
        let functions = self.reducers.len() + self.helpers.len();
        let describe =
            u32::try_from(offered().count() + self.extra_imports.len() + functions).unwrap();

        let mut types = TypeSection::new();
        types.ty().function([I64, I32, I32], [I32]);
        types.ty().function([I32], []);
        types
            .ty()
            .function([I32, I64, I64, I64, I64, I64, I64, I64, I32, I32], [I32]);
        types.ty().function([], []);
        types.ty().function([I32, I32, I32], [I32]);
        let mut imports = ImportSection::new();
        for import in offered() {
            let val = |ty: &wasmparser::ValType| ValType::try_from(*ty).unwrap();
            let number = types.len();
            types.ty().function(
                import.params.iter().map(val),
                import.results.iter().map(val),
            );
            imports.import(
                import.module,
                import.name,
                wasm_encoder::EntityType::Function(number),
            );
        }
        for (module, name) in &self.extra_imports {
            imports.import(module, name, wasm_encoder::EntityType::Function(3));
        }

        let mut section = FunctionSection::new();
        let mut code = CodeSection::new();
        for reducer in self.reducers.iter().chain(&self.helpers) {
            section.function(REDUCER_TYPE);
            let mut function = Function::new(reducer.locals.clone());
            reducer.body.iter().for_each(|instruction| {
                function.instruction(instruction);
            });
            code.function(function.instruction(&I::End));
        }
        section.function(1);
        let mut function = Function::new([]);
        self.describing.iter().for_each(|instruction| {
            function.instruction(instruction);
        });
        for instruction in [
            I::I32Const(DESCRIPTION_LEN),
            I::I32Const(i32::try_from(description.len()).unwrap()),
            I::I32Store(at(0)),
            I::LocalGet(0),
            I::I32Const(DESCRIPTION),
            I::I32Const(DESCRIPTION_LEN),
            I::Call(import("bytes_sink_write")),
            I::Drop,
            I::End,
        ] {
            function.instruction(&instruction);
        }
        code.function(&function);
        section.function(2);
        let mut function = Function::new([]);
        for instruction in [
            I::LocalGet(7),
            I::LocalGet(8),
            I::LocalGet(9),
            I::LocalGet(0),
            I::CallIndirect {
                type_index: REDUCER_TYPE,
                table_index: 0,
            },
            I::End,
        ] {
            function.instruction(&instruction);
        }
        code.function(&function);
        for (_, body) in &self.initialisers {
            section.function(3);
            let mut function = Function::new([]);
            body.iter().for_each(|instruction| {
                function.instruction(instruction);
            });
            code.function(function.instruction(&I::End));
        }

        if let Some(body) = &self.view {
            section.function(4);
            let mut function = Function::new([]);
            body.iter().for_each(|instruction| {
                function.instruction(instruction);
            });
            code.function(function.instruction(&I::End));
        }

        let count = u64::try_from(functions).unwrap();
        let mut tables = TableSection::new();
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: count + 1,
            maximum: None,
            shared: false,
        });
        let first = describe - u32::try_from(functions).unwrap();
        let mut elements = ElementSection::new();
        let all = (first..describe).collect::<Vec<_>>();
        elements.active(
            None,
            &ConstExpr::i32_const(0),
            Elements::Functions(all.into()),
        );
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: self.pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let counter = GlobalType {
            val_type: I32,
            mutable: true,
            shared: false,
        };
        globals.global(counter, &ConstExpr::i32_const(7));
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("__describe_module__", ExportKind::Func, describe);
        exports.export("__call_reducer__", ExportKind::Func, describe + 1);
        for export in &self.extra_exports {
            exports.export(export, ExportKind::Func, first);
        }
        for (number, (name, _)) in (describe + 2..).zip(&self.initialisers) {
            exports.export(name, ExportKind::Func, number);
        }
        if self.view.is_some() {
            let number = describe + 2 + u32::try_from(self.initialisers.len()).unwrap();
            exports.export("__call_view_anon__", ExportKind::Func, number);
        }
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(TEXTS), self.texts.iter().copied());
        data.active(0, &ConstExpr::i32_const(DESCRIPTION), description);

        let mut module = wasm_encoder::Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&section)
            .section(&tables)
            .section(&memories)
            .section(&globals)
            .section(&exports)
            .section(&elements)
            .section(&code)
            .section(&data);
        module.finish()
    }

    /// Two tables: `item` with a primary key, an index and a unique constraint, and `ticket` with
    /// numbers of its own.
    pub(super) fn describe(&self) -> Vec<u8> {
        use AlgebraicType as T;
        let mut module = RawModuleDefV9Builder::new();
        let item = ProductType::from([("id", T::U32), ("group", T::U32), ("weight", T::F64)]);
        module
            .build_table_with_new_type("item", item, false)
            .with_unique_constraint(0)
            .with_primary_key(0)
            .with_index_no_accessor_name(btree(0))
            .with_index_no_accessor_name(btree([1, 2]))
            .finish();
        let ticket = ProductType::from([("number", T::U32), ("text", T::String)]);
        module
            .build_table_with_new_type("ticket", ticket, false)
            .with_unique_constraint(0)
            .with_auto_inc_primary_key(0)
            .with_index_no_accessor_name(btree(0))
            .finish();
        for reducer in &self.reducers {
            module.add_reducer(reducer.name, ProductType::unit(), None);
        }
        bsatn::to_vec(&RawModuleDef::V9(module.finish())).unwrap()
    }

    pub(super) fn prepare(&self) -> Result<Module, PrepareError> {
        self.prepare_with(Limits::default())
    }

    pub(super) fn prepare_with(&self, limits: Limits) -> Result<Module, PrepareError> {
        Module::prepare(engine(), &self.wasm(), limits)
    }

    pub(super) fn bench(&self) -> Bench {
        self.bench_with(Limits::default())
    }

    pub(super) fn bench_with(&self, limits: Limits) -> Bench {
        Bench::both(&self.wasm(), limits)
    }
}

pub(super) const ITEM: TableId = TableId(4_096);
pub(super) const TICKET: TableId = TableId(4_097);

/// A module, an instance of it, and a database.
pub(super) struct Bench {
    pub(super) module: Module,
    pub(super) runner: Runner,
    /// An instance that is interpreted: every call is tried on it first, and must come to the same.
    interpreted: Option<Runner>,
    state: Option<State>,
    time: u64,
    /// Place among calls of one moment.
    index: u16,
    pub(super) units: u64,
}

impl Bench {
    /// Runs under both back ends.
    pub(super) fn both(wasm: &[u8], limits: Limits) -> Self {
        let module = Module::prepare(interpreter(), wasm, limits).unwrap();
        let mut bench = Self::new(Module::prepare(engine(), wasm, limits).unwrap());
        bench.interpreted = Some(module.instantiate().unwrap());
        bench
    }

    pub(super) fn new(module: Module) -> Self {
        let database = MemoryDisk::default().base(&DatabaseId::ZERO).unwrap();
        Self::on(module, database, StateOptions::default())
    }

    pub(super) fn on(
        module: Module,
        database: Box<dyn store::DiskFile>,
        options: StateOptions,
    ) -> Self {
        let schema = Schema::new(module.def().tables.clone()).unwrap();
        let state = State::open(database, schema, options).unwrap();
        let runner = module.instantiate().unwrap();
        Self {
            module,
            runner,
            interpreted: None,
            state: Some(state),
            time: 1_000,
            index: 0,
            units: 1_000_000_000,
        }
    }

    /// Whether nothing is left of a call in either instance.
    pub(super) fn is_image(&self) -> bool {
        let interpreted = self.interpreted.as_ref();
        self.runner.is_image() && interpreted.is_none_or(Runner::is_image)
    }

    /// Calls a reducer without arguments.
    pub(super) fn call(&mut self, name: &str) -> Report {
        self.call_with(name, &[], None)
    }

    pub(super) fn outcome(&mut self, name: &str) -> Outcome {
        self.call(name).outcome
    }

    pub(super) fn call_with(&mut self, name: &str, args: &[u8], claims: Option<&str>) -> Report {
        self.try_call(name, args, claims).unwrap()
    }

    /// Calls a reducer and keeps its changes if it went well.
    pub(super) fn try_call(
        &mut self,
        name: &str,
        args: &[u8],
        claims: Option<&str>,
    ) -> Result<Report, HostError> {
        let (reducer, _) = self
            .module
            .def()
            .reducer_by_name(name)
            .expect("a reducer of that name");
        let call = Call {
            reducer,
            sender: [7; 32],
            connection: ConnectionId([3; 16]),
            time: Hlc(self.time),
            args,
            claims,
            database: [9; 32],
            units: self.units,
        };
        let mut transaction = self.begin();
        let mut interpreted = None;
        if let Some(runner) = &mut self.interpreted {
            let context = *transaction.context();
            let (ended, report) = runner.call(call, transaction)?;
            let (mut state, changes) = ended_by(ended, &report);
            state.rewind(&context.position).unwrap();
            transaction = state.begin(context);
            interpreted = Some((report, changes));
        }
        let (transaction, report) = self.runner.call(call, transaction)?;
        let (state, changes) = ended_by(transaction, &report);
        self.state = Some(state);
        if let Some((interpreted, interpreted_changes)) = interpreted {
            assert_eq!(interpreted, report, "interpreted, and compiled");
            assert_eq!(interpreted_changes, changes, "interpreted, and compiled");
        }
        Ok(report)
    }

    /// The next call has the time of the last one.
    pub(super) fn same_time(&mut self) {
        self.time -= 10;
        self.index += 1;
    }

    /// A transaction; the state comes back with [`Bench::end`].
    pub(super) fn begin(&mut self) -> Transaction {
        self.time += 10;
        let position = Position {
            hlc: Hlc(self.time),
            author: DeviceKey::ZERO,
            entry: EntryId::ZERO,
            index: self.index,
        };
        let context = CallContext {
            position,
            time: Hlc(self.time),
        };
        self.state.take().unwrap().begin(context)
    }

    /// Computes the view of the module.
    pub(super) fn view(&mut self, view: &ViewDef) -> Result<ViewRows, String> {
        let call = ViewCall {
            view,
            sender: [7; 32],
            database: [9; 32],
            units: self.units,
        };
        let transaction = self.begin();
        let (transaction, rows) = self.runner.view(call, transaction).unwrap();
        self.state = Some(transaction.abort());
        rows
    }

    /// Inserts rows, as if a call before had.
    pub(super) fn insert(&mut self, table: TableId, rows: &[Vec<u8>]) {
        let mut transaction = self.begin();
        for row in rows {
            transaction.insert(table, row).unwrap();
        }
        self.state = Some(transaction.commit().0);
    }

    /// Writes rows to disk, as a cut does.
    pub(super) fn settle(&mut self, rows: Vec<RowWrite>) {
        let state = self.state.as_mut().unwrap();
        let settlement = state.plan_settle(None, rows).unwrap();
        state.settle(settlement, 0).unwrap();
    }

    pub(super) fn rows(&self, table: TableId) -> Vec<Row> {
        self.state
            .as_ref()
            .unwrap()
            .rows(table)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }
}

/// Keeps what a call did, if it went well.
fn ended_by(transaction: Transaction, report: &Report) -> (State, Vec<RowChange>) {
    match report.outcome {
        Outcome::Ok => transaction.commit(),
        _ => (transaction.abort(), Vec::new()),
    }
}

/// BSATN of a row of `item`.
pub(super) fn item(id: u32, group: u32, weight: f64) -> Vec<u8> {
    [
        &id.to_le_bytes()[..],
        &group.to_le_bytes(),
        &weight.to_le_bytes(),
    ]
    .concat()
}
