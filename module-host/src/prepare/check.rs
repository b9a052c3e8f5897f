//! Reads and validates a published module, and lists every reason not to run it.

use std::collections::BTreeSet;

use wasmparser::{
    ExternalKind, FuncToValidate, FuncType, FuncValidatorAllocations, FunctionBody, Operator,
    Parser, Payload, TypeRef, ValType, ValidPayload, Validator, ValidatorResources,
};

use crate::engine::GUEST_FEATURES;
use crate::error::PrepareError;
use crate::imports::{ABI_MAJOR, ABI_MINOR, REFUSED, offered};
use crate::limits::{
    EXPORTS_MAX, FUNCTION_BRANCHED_LOCALS_MAX, FUNCTION_BYTES_MAX, FUNCTION_PARAMS_MAX,
    FUNCTION_SLOTS_MAX, FUNCTIONS_MAX, GLOBALS_MAX, IMPORTS_MAX, Limits,
    MODULE_BRANCHED_LOCALS_MAX, MODULE_BYTES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX, WASM_PAGE_BYTES,
};
use crate::reasons::Reasons;

/// Exports whose names begin so are added by the passes.
pub(super) const OUR_PREFIX: &str = "tombolo:";

/// Exports whose names begin so are added while a snapshot is taken.
const SNAPSHOT_PREFIX: &str = "__wizer_";

/// Exports that register what a module defines, run in the order of their names.
const PREINIT_PREFIX: &str = "__preinit__";

pub(crate) const MEMORY: &str = "memory";
pub(crate) const INITIALIZE: &str = "_initialize";
pub(crate) const SETUP: &str = "__setup__";
pub(crate) const DESCRIBE: &str = "__describe_module__";
pub(crate) const CALL_REDUCER: &str = "__call_reducer__";
/// The export that computes a view for a caller.
pub(crate) const CALL_VIEW: &str = "__call_view__";
/// The export that computes a view that is the same for everybody.
pub(crate) const CALL_VIEW_ANON: &str = "__call_view_anon__";

/// What the passes need to know of a module that passed.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Parameters and results of each type, by its number.
    pub(super) types: Vec<FuncType>,
    /// How many functions are imported: they come first in the numbering.
    pub(super) imported_functions: u32,
    /// The functions that it defines.
    pub(super) functions: Vec<FunctionFacts>,
    /// How many globals it defines.
    pub(super) globals: u32,
    /// Pages its memory may have.
    pub(crate) memory_pages_max: u32,
    /// What to run before it can be called.
    pub(super) initialisers: Initialisers,
}

impl Facts {
    /// Number of the global that the metering pass adds for units.
    pub(super) const fn units_global(&self) -> u32 {
        self.globals
    }

    /// Number of the global that the metering pass adds for the call depth.
    pub(super) const fn depth_global(&self) -> u32 {
        self.globals + 1
    }
}

/// What the passes need to know of one function.
#[derive(Clone, Debug, Default)]
pub(super) struct FunctionFacts {
    /// Number of its type.
    pub(super) type_index: u32,
    /// Its parameters.
    pub(super) params: u32,
    /// Its parameters and locals.
    pub(super) locals: u32,
    /// Its parameters, locals and the most operands it has at once, in 64-bit units.
    pub(super) slots: u32,
    /// Whether it calls no function of the module, so that it is always the last of a chain.
    pub(super) leaf: bool,
}

/// The exports that initialise a module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Initialisers {
    /// Whether there is `_initialize`.
    pub(super) initialize: bool,
    /// Every `__preinit__…`, in the order of their names.
    pub(super) preinit: Vec<String>,
    /// Whether there is `__setup__`.
    pub(super) setup: bool,
}

/// Validates a module.
///
/// # Errors
/// [`PrepareError::TooLarge`], [`PrepareError::Malformed`], or [`PrepareError::Refused`] with every
/// reason.
pub(crate) fn check(wasm: &[u8], limits: &Limits) -> Result<Facts, PrepareError> {
    if wasm.len() > MODULE_BYTES_MAX {
        return Err(PrepareError::TooLarge {
            bytes: wasm.len(),
            max: MODULE_BYTES_MAX,
        });
    }
    let mut checker = Checker::new(limits);
    checker
        .read(wasm)
        .map_err(|error| PrepareError::Malformed(error.to_string()))?;
    checker.finish()
}

struct Checker<'a> {
    limits: &'a Limits,
    facts: Facts,
    reasons: Reasons,
    exports: BTreeSet<String>,
    memories: usize,
    function_bodies: usize,
    branched_locals: u64,
    allocations: FuncValidatorAllocations,
}

impl<'a> Checker<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            facts: Facts {
                types: Vec::new(),
                imported_functions: 0,
                functions: Vec::new(),
                globals: 0,
                memory_pages_max: 0,
                initialisers: Initialisers::default(),
            },
            reasons: Reasons::default(),
            exports: BTreeSet::new(),
            memories: 0,
            function_bodies: 0,
            branched_locals: 0,
            allocations: FuncValidatorAllocations::default(),
        }
    }

    fn read(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        let mut validator = Validator::new_with_features(GUEST_FEATURES);
        let mut parser = Parser::new(0);
        parser.set_features(GUEST_FEATURES);
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                self.function(function, &body)?;
            }
            self.section(payload)?;
        }
        Ok(())
    }

    fn section(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    self.facts.types.push(ty?);
                }
            }
            Payload::ImportSection(imports) => {
                self.at_most("imports", imports.count() as usize, IMPORTS_MAX);
                for import in imports.into_imports() {
                    let import = import?;
                    self.import(import.module, import.name, import.ty);
                }
            }
            Payload::FunctionSection(functions) => {
                self.at_most("functions", functions.count() as usize, FUNCTIONS_MAX);
                for type_index in functions {
                    let type_index = type_index?;
                    let facts = FunctionFacts {
                        type_index,
                        ..FunctionFacts::default()
                    };
                    self.facts.functions.push(facts);
                }
            }
            Payload::TableSection(tables) => {
                self.at_most("tables", tables.count() as usize, TABLES_MAX);
                for table in tables {
                    let elements = usize::try_from(table?.ty.initial).unwrap_or(usize::MAX);
                    self.at_most("elements of a table", elements, TABLE_ELEMENTS_MAX as usize);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    self.memory(memory.initial, memory.maximum);
                }
            }
            Payload::GlobalSection(globals) => {
                self.at_most("globals", globals.count() as usize, GLOBALS_MAX);
                self.facts.globals = globals.count();
            }
            Payload::ExportSection(exports) => {
                self.at_most("exports", exports.count() as usize, EXPORTS_MAX);
                for export in exports {
                    let export = export?;
                    self.export(export.name, export.kind, export.index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at_most(&mut self, what: &str, count: usize, max: usize) {
        if count > max {
            self.reasons
                .add(format!("it has {count} {what}, the most is {max}"));
        }
    }

    fn import(&mut self, module: &str, name: &str, ty: TypeRef) {
        let (module, name) = (printable(module), printable(name));
        let TypeRef::Func(type_index) = ty else {
            self.reasons.add(format!(
                "it imports {module}::{name}, which is not a function"
            ));
            return;
        };
        self.facts.imported_functions += 1;
        if (module.as_str(), name.as_str()) == REFUSED {
            self.reasons.add(format!(
                "it imports {name}: every peer that replays the call would schedule it again"
            ));
            return;
        }
        let Some(offered) = offered().find(|known| known.module == module && known.name == name)
        else {
            self.reasons.add(why_not_offered(&module, &name));
            return;
        };
        // Validation has seen that the type exists.
        let ty = &self.facts.types[type_index as usize];
        if ty.params() != offered.params || ty.results() != offered.results {
            self.reasons
                .add(format!("it imports {module}::{name} with another type"));
        }
    }

    fn memory(&mut self, initial: u64, maximum: Option<u64>) {
        self.memories += 1;
        let permitted = u64::from(self.limits.memory_bytes_max) / WASM_PAGE_BYTES as u64;
        if initial > permitted {
            self.reasons.add(format!(
                "its memory begins with {initial} pages of 64 KiB, the database permits {permitted}"
            ));
        }
        let most = maximum.map_or(permitted, |maximum| maximum.min(permitted));
        self.facts.memory_pages_max = u32::try_from(most).unwrap_or(u32::MAX);
    }

    fn export(&mut self, name: &str, kind: ExternalKind, index: u32) {
        if [OUR_PREFIX, SNAPSHOT_PREFIX]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            self.reasons.add(format!(
                "it exports {}: that name is reserved",
                printable(name)
            ));
        }
        if name == MEMORY {
            if kind == ExternalKind::Memory {
                self.exports.insert(name.to_owned());
            }
            return;
        }
        if kind != ExternalKind::Func {
            return;
        }
        use ValType::{I32, I64};
        let expected: (&[ValType], &[ValType]) = match name {
            INITIALIZE => (&[], &[]),
            SETUP => (&[I32], &[I32]),
            DESCRIBE => (&[I32], &[]),
            CALL_REDUCER => (&[I32, I64, I64, I64, I64, I64, I64, I64, I32, I32], &[I32]),
            CALL_VIEW => (&[I32, I64, I64, I64, I64, I32, I32], &[I32]),
            CALL_VIEW_ANON => (&[I32, I32, I32], &[I32]),
            name if name.starts_with(PREINIT_PREFIX) => (&[], &[]),
            _ => return,
        };
        let ty = self.function_type(index);
        if ty.is_none_or(|ty| (ty.params(), ty.results()) != expected) {
            self.reasons
                .add(format!("its export {} has another type", printable(name)));
        }
        let initialisers = &mut self.facts.initialisers;
        match name {
            INITIALIZE => initialisers.initialize = true,
            SETUP => initialisers.setup = true,
            name if name.starts_with(PREINIT_PREFIX) => initialisers.preinit.push(name.to_owned()),
            _ => {}
        }
        self.exports.insert(name.to_owned());
    }

    /// The type of a function that the module defines. No module hands an import on under one of
    /// the names above.
    fn function_type(&self, index: u32) -> Option<&FuncType> {
        let defined = index.checked_sub(self.facts.imported_functions)?;
        let type_index = self.facts.functions.get(defined as usize)?.type_index;
        self.facts.types.get(type_index as usize)
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> wasmparser::Result<()> {
        let place = self.function_bodies;
        self.function_bodies += 1;
        let body_bytes = body.range().len();
        let index = function.index;
        if body_bytes > FUNCTION_BYTES_MAX {
            self.reasons.add(format!(
                "function {index} has {body_bytes} bytes, the most is {FUNCTION_BYTES_MAX}"
            ));
        }
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let (mut height, mut branches, mut leaf, mut vectors) = (0, 0_u64, true, false);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            validator.op(offset, &operator)?;
            height = height.max(validator.operand_stack_height());
            match operator {
                Operator::Call { function_index } => {
                    leaf &= function_index < self.facts.imported_functions;
                }
                Operator::CallIndirect { .. } => leaf = false,
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::BrIf { .. }
                | Operator::BrTable { .. } => branches += 1,
                _ => vectors |= is_vector(&validator),
            }
        }
        operators.finish()?;

        let locals = validator.len_locals();
        vectors |= (0..locals).any(|at| validator.get_local_type(at) == Some(ValType::V128));
        let slots = (locals + height).saturating_mul(if vectors { 2 } else { 1 });
        if slots > FUNCTION_SLOTS_MAX {
            self.reasons.add(format!(
                "function {index} has {slots} locals and operands, the most is {FUNCTION_SLOTS_MAX}"
            ));
        }
        let branched_locals = branches * u64::from(locals);
        self.branched_locals = self.branched_locals.saturating_add(branched_locals);
        if branched_locals > FUNCTION_BRANCHED_LOCALS_MAX {
            self.reasons.add(format!(
                "function {index} has {locals} locals and {branches} branches: too much to compile"
            ));
        }
        if let Some(facts) = self.facts.functions.get_mut(place) {
            let ty = &self.facts.types[facts.type_index as usize];
            facts.params = ty.params().len() as u32;
            facts.locals = locals;
            facts.slots = slots;
            facts.leaf = leaf;
        }
        self.allocations = validator.into_allocations();
        Ok(())
    }

    fn finish(mut self) -> Result<Facts, PrepareError> {
        if self.memories != 1 || !self.exports.contains(MEMORY) {
            self.reasons
                .add("it does not define one memory and export it as `memory`");
        }
        for needed in [DESCRIBE, CALL_REDUCER] {
            if !self.exports.contains(needed) {
                self.reasons.add(format!(
                    "it does not export {needed}: it was not built with a SpacetimeDB library"
                ));
            }
        }
        if self.branched_locals > MODULE_BRANCHED_LOCALS_MAX {
            self.reasons
                .add("its functions have too many locals and branches to compile");
        }
        let wide = |ty: &FuncType| ty.params().len().max(ty.results().len()) > FUNCTION_PARAMS_MAX;
        if self.facts.types.iter().any(wide) {
            self.reasons.add(format!(
                "it has functions of more than {FUNCTION_PARAMS_MAX} parameters or results"
            ));
        }
        self.facts.initialisers.preinit.sort();
        self.reasons.refuse()?;
        Ok(self.facts)
    }
}

/// Whether the operand on top is a vector, which takes two slots.
fn is_vector(validator: &wasmparser::FuncValidator<ValidatorResources>) -> bool {
    validator.get_operand_type(0).flatten() == Some(ValType::V128)
}

/// Why an import is not among those that are offered.
fn why_not_offered(module: &str, name: &str) -> String {
    if module.starts_with("wasi") {
        return format!(
            "it imports {module}::{name}: modules that need WASI (C#, C++) are not supported yet"
        );
    }
    match abi_version(module) {
        Some((major, minor)) if (major, minor) > (ABI_MAJOR, ABI_MINOR) => format!(
            "it imports {name} of module ABI {major}.{minor}, this peer offers \
             {ABI_MAJOR}.{ABI_MINOR}: update the peer"
        ),
        Some((major, minor)) if major < ABI_MAJOR => format!(
            "it imports {name} of module ABI {major}.{minor}, this peer offers {ABI_MAJOR}.0 to \
             {ABI_MAJOR}.{ABI_MINOR}: build it with a newer library"
        ),
        _ => format!("it imports {module}::{name}, which does not exist"),
    }
}

/// The version in the name of an import module.
fn abi_version(module: &str) -> Option<(u32, u32)> {
    let version = module.strip_prefix("spacetime_")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A name from a module, fit for a message.
fn printable(name: &str) -> String {
    const CHARS_MAX: usize = 100;
    name.chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
