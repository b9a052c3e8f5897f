//! Modules made up for a test: any tables, and for each a reducer `put_…` that inserts its
//! arguments as a row and a reducer `take_…` that deletes such a row.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{Lifecycle, RawIndexAlgorithm, TableAccess, btree};
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10Builder;
use spacetimedb_sats::{AlgebraicType, AlgebraicValue, ProductType, bsatn};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, ImportSection, Instruction as I, MemArg, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};

/// One table.
#[derive(Clone)]
pub(crate) struct MadeTable {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<(&'static str, AlgebraicType)>,
    pub(crate) key: Option<u16>,
    /// Columns of their own unique constraints.
    pub(crate) unique: Vec<u16>,
    /// Columns of indexes, with their accessors.
    pub(crate) indexes: Vec<(Vec<u16>, &'static str)>,
    pub(crate) auto_inc: Vec<u16>,
    pub(crate) defaults: Vec<(u16, AlgebraicValue)>,
    pub(crate) private: bool,
    pub(crate) event: bool,
}

/// A public table without anything but columns.
pub(crate) fn plain(name: &'static str, columns: &[(&'static str, AlgebraicType)]) -> MadeTable {
    MadeTable {
        name,
        columns: columns.to_vec(),
        key: None,
        unique: Vec::new(),
        indexes: Vec::new(),
        auto_inc: Vec::new(),
        defaults: Vec::new(),
        private: false,
        event: false,
    }
}

impl MadeTable {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn index_name(&self, columns: &[u16]) -> String {
        let names: Vec<&str> = columns
            .iter()
            .map(|place| self.columns[usize::from(*place)].0)
            .collect();
        format!("{}_{}_idx_btree", self.name, names.join("_"))
    }
}

/// An index over one or two columns.
fn over(columns: &[u16]) -> RawIndexAlgorithm {
    match columns {
        [one] => btree(*one),
        [one, two] => btree([*one, *two]),
        more => panic!("an index over {more:?}"),
    }
}

/// What the module says of itself.
fn description(tables: &[MadeTable], more: &More<'_>) -> Vec<u8> {
    let mut module = RawModuleDefV10Builder::new();
    for table in tables {
        let row: ProductType = table.columns.iter().cloned().collect();
        let mut built = module
            .build_table_with_new_type(table.name, row, true)
            .with_event(table.event);
        if table.private {
            built = built.with_access(TableAccess::Private);
        }
        if let Some(key) = table.key {
            built = built.with_primary_key(key).with_unique_constraint(key);
        }
        for column in &table.unique {
            built = built.with_unique_constraint(*column);
        }
        let keys = table.key.iter().chain(&table.unique);
        for columns in keys.map(|column| vec![*column]) {
            built = built.with_index_no_accessor_name(over(&columns), table.index_name(&columns));
        }
        for (columns, accessor) in &table.indexes {
            built = built.with_index(over(columns), table.index_name(columns), *accessor);
        }
        for column in &table.auto_inc {
            built = built.with_column_sequence(*column);
        }
        for (column, value) in &table.defaults {
            built = built.with_default_column_value(*column, value.clone());
        }
        built.finish();
        let params: ProductType = table.columns.iter().cloned().collect();
        module.add_reducer(format!("put_{}", table.name), params.clone());
        module.add_reducer(format!("take_{}", table.name), params);
    }
    for filter in more.filters {
        module.add_row_level_security(filter);
    }
    if more.trapping_init {
        module.add_lifecycle_reducer(Lifecycle::Init, "init", ProductType::unit());
    }
    bsatn::to_vec(&RawModuleDef::V10(module.finish())).expect("it can be encoded")
}

const DESCRIPTION: i32 = 0x1_0000;
const NAMES: i32 = 0x1000;
const LEN: i32 = 0x10;
const TABLE: i32 = 0x20;
const COUNT: i32 = 0x7FFC;
const ROW: i32 = 0x8000;

/// The module's bytes.
pub(crate) fn made(tables: &[MadeTable]) -> Vec<u8> {
    made_with(tables, &More::default())
}

/// What else a module may have.
#[derive(Default)]
pub(crate) struct More<'m> {
    /// Visibility filters.
    pub(crate) filters: &'m [&'m str],
    /// Whether it has an `init`, which traps.
    pub(crate) trapping_init: bool,
}

/// The same with more.
pub(crate) fn made_with(tables: &[MadeTable], more: &More<'_>) -> Vec<u8> {
    use ValType::{I32, I64};
    let described = description(tables, more);
    let mut names = Vec::new();
    let mut places = Vec::new();
    for table in tables {
        places.push((names.len(), table.name.len()));
        names.extend_from_slice(table.name.as_bytes());
    }
    let mut types = TypeSection::new();
    types.ty().function([I32; 3], [I32]);
    types.ty().function([I32; 4], [I32]);
    types.ty().function([I32], []);
    types
        .ty()
        .function([I32, I64, I64, I64, I64, I64, I64, I64, I32, I32], [I32]);
    let mut imports = ImportSection::new();
    for (name, of_type) in [
        ("table_id_from_name", 0),
        ("datastore_insert_bsatn", 0),
        ("bytes_source_read", 0),
        ("bytes_sink_write", 0),
        ("datastore_delete_all_by_eq_bsatn", 1),
    ] {
        imports.import("spacetime_10.0", name, EntityType::Function(of_type));
    }
    let (table_id, insert, source_read, sink_write, delete) = (0, 1, 2, 3, 4);
    let mut functions = FunctionSection::new();
    functions.function(2).function(3);
    let mut code = CodeSection::new();
    let mut describe = Function::new([]);
    for instruction in [
        I::I32Const(LEN),
        I::I32Const(i32::try_from(described.len()).expect("small")),
        I::I32Store(AT),
        I::LocalGet(0),
        I::I32Const(DESCRIPTION),
        I::I32Const(LEN),
        I::Call(sink_write),
        I::Drop,
        I::End,
    ] {
        describe.instruction(&instruction);
    }
    code.function(&describe);

    let mut call = Function::new([]);
    for instruction in [
        I::I32Const(LEN),
        I::I32Const(0x1000),
        I::I32Store(AT),
        I::LocalGet(8),
        I::I32Const(ROW),
        I::I32Const(LEN),
        I::Call(source_read),
        I::Drop,
        I::I32Const(COUNT),
        I::I32Const(1),
        I::I32Store(AT),
    ] {
        call.instruction(&instruction);
    }
    for (number, (at, len)) in (0..).zip(places) {
        for (reducer, is_put) in [(2 * number, true), (2 * number + 1, false)] {
            for instruction in [
                I::LocalGet(0),
                I::I32Const(reducer),
                I::I32Eq,
                I::If(BlockType::Empty),
                I::I32Const(NAMES + i32::try_from(at).expect("small")),
                I::I32Const(i32::try_from(len).expect("small")),
                I::I32Const(TABLE),
                I::Call(table_id),
            ] {
                call.instruction(&instruction);
            }
            fails(&mut call);
            call.instruction(&I::I32Const(TABLE))
                .instruction(&I::I32Load(AT));
            if is_put {
                call.instruction(&I::I32Const(ROW))
                    .instruction(&I::I32Const(LEN))
                    .instruction(&I::Call(insert));
            } else {
                call.instruction(&I::I32Const(COUNT))
                    .instruction(&I::I32Const(LEN))
                    .instruction(&I::I32Load(AT))
                    .instruction(&I::I32Const(4))
                    .instruction(&I::I32Add)
                    .instruction(&I::I32Const(TABLE))
                    .instruction(&I::Call(delete));
            }
            fails(&mut call);
            call.instruction(&I::End);
        }
    }
    if more.trapping_init {
        call.instruction(&I::LocalGet(0))
            .instruction(&I::I32Const(i32::try_from(2 * tables.len()).expect("few")))
            .instruction(&I::I32Eq);
        fails(&mut call);
    }
    call.instruction(&I::I32Const(0)).instruction(&I::End);
    code.function(&call);

    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 3,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("__describe_module__", ExportKind::Func, 5);
    exports.export("__call_reducer__", ExportKind::Func, 6);
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(NAMES), names);
    data.active(0, &ConstExpr::i32_const(DESCRIPTION), described);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code)
        .section(&data);
    module.finish()
}

const AT: MemArg = MemArg {
    offset: 0,
    align: 0,
    memory_index: 0,
};

/// Traps if the number on the stack, an import's answer, is not zero.
fn fails(function: &mut Function) {
    function
        .instruction(&I::If(BlockType::Empty))
        .instruction(&I::Unreachable)
        .instruction(&I::End);
}
