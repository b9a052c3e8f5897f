//! The metering pass: has a module count its own units and call depth. It comes before every other
//! pass, so that what others add is never paid for.
//!
//! A function's code is cut where control can come in or go elsewhere; each such segment takes its
//! whole price from a global as it begins. Entering a function and going round a loop also look
//! whether anything is left: between two such looks code runs straight on, so it cannot run for
//! long. Instructions that move memory or table elements pay for these first, and look as well.
//!
//! Every function that calls others adds its weight to a second global while it runs. A function
//! that calls none is the last of its chain, so only a large frame has to be counted. Bodies are
//! wrapped in a block, so that every way out of them passes the place where the weight is taken
//! off again.

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection,
    GlobalType, Instruction as I, MemorySection, MemoryType, Module, SectionId, TypeSection,
    ValType,
};
use wasmparser::{
    CustomSectionReader, ExportSectionReader, FunctionBody, GlobalSectionReader,
    MemorySectionReader, Parser, TypeSectionReader,
};

use super::check::{Facts, FunctionFacts};
use crate::limits::{DEPTH_SLOTS, INITIALISE_UNITS_MAX};
use crate::prices;

/// Export of the global that holds the units left: 64 bits, below zero when they are used up.
pub(crate) const UNITS: &str = "tombolo:units";

/// Export of the global that holds the call depth: 32 bits, above the maximum when it was exceeded.
pub(crate) const DEPTH: &str = "tombolo:depth";

/// Adds metering to a module that passed the check. Names and other custom sections are dropped.
///
/// # Errors
/// Text, if the module cannot be read after all: a fault of ours.
pub(super) fn meter(wasm: &[u8], facts: &Facts, call_depth_max: u32) -> Result<Vec<u8>, String> {
    let mut pass = Pass {
        facts,
        call_depth_max: i32::try_from(call_depth_max).unwrap_or(i32::MAX),
        units: facts.units_global(),
        depth: facts.depth_global(),
        block_types: BTreeMap::new(),
        function: 0,
        globals_done: false,
    };
    let mut module = Module::new();
    pass.parse_core_module(&mut module, Parser::new(0), wasm)
        .map_err(|error| error.to_string())?;
    Ok(module.finish())
}

struct Pass<'a> {
    facts: &'a Facts,
    call_depth_max: i32,
    /// Numbers of our globals.
    units: u32,
    depth: u32,
    /// For each list of several results, the number of a type without parameters that has them.
    block_types: BTreeMap<Vec<wasmparser::ValType>, u32>,
    /// Place of the function that comes next.
    function: usize,
    globals_done: bool,
}

type Done = Result<(), Error>;

impl Reencode for Pass<'_> {
    type Error = std::convert::Infallible;

    fn parse_custom_section(&mut self, _: &mut Module, _: CustomSectionReader<'_>) -> Done {
        Ok(())
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, from: TypeSectionReader<'_>) -> Done {
        utils::parse_type_section(self, types, from)?;
        for ty in &self.facts.types {
            if ty.results().len() > 1 && !self.block_types.contains_key(ty.results()) {
                let results = ty.results().iter().map(|ty| self.val_type(*ty));
                let results = results.collect::<Result<Vec<_>, _>>()?;
                let number = types.len();
                types.ty().function([], results);
                self.block_types.insert(ty.results().to_vec(), number);
            }
        }
        Ok(())
    }

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        from: MemorySectionReader<'_>,
    ) -> Done {
        for memory in from {
            let memory = self.memory_type(memory?)?;
            let maximum = Some(u64::from(self.facts.memory_pages_max));
            memories.memory(MemoryType { maximum, ..memory });
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        from: GlobalSectionReader<'_>,
    ) -> Done {
        utils::parse_global_section(self, globals, from)?;
        self.add_globals(globals);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Done {
        // Globals stand right before exports, and every module that passed the check has those.
        if before == Some(SectionId::Export) && !self.globals_done {
            let mut globals = GlobalSection::new();
            self.add_globals(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        from: ExportSectionReader<'_>,
    ) -> Done {
        utils::parse_export_section(self, exports, from)?;
        exports.export(UNITS, ExportKind::Global, self.units);
        exports.export(DEPTH, ExportKind::Global, self.depth);
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Done {
        // As many bodies as functions: the module was validated.
        let facts = &self.facts.functions[self.function];
        self.function += 1;
        let mut locals = Vec::new();
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            locals.push((count, self.val_type(ty)?));
        }
        locals.extend([(1, ValType::I64), (1, ValType::I32)]);
        let mut instructions = Vec::new();
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            instructions.push(self.parse_instruction(&mut reader)?);
        }
        let mut writer = Writer {
            function: Function::new(locals),
            units: self.units,
            depth: self.depth,
            amount: facts.locals,
            count: facts.locals + 1,
        };
        writer.write(
            facts,
            self.block_type_of(facts)?,
            self.call_depth_max,
            &instructions,
        );
        code.function(&writer.function);
        Ok(())
    }
}

impl Pass<'_> {
    fn add_globals(&mut self, globals: &mut GlobalSection) {
        let global = |val_type| GlobalType {
            val_type,
            mutable: true,
            shared: false,
        };
        globals.global(
            global(ValType::I64),
            &ConstExpr::i64_const(INITIALISE_UNITS_MAX as i64),
        );
        globals.global(global(ValType::I32), &ConstExpr::i32_const(0));
        self.globals_done = true;
    }

    /// The type of a block that leaves what the function returns.
    fn block_type_of(&mut self, facts: &FunctionFacts) -> Result<BlockType, Error> {
        let results = self.facts.types[facts.type_index as usize].results();
        Ok(match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(self.val_type(*one)?),
            several => BlockType::FunctionType(self.block_types[several]),
        })
    }
}

/// What a function adds to the call depth while it runs; zero if it need not be counted.
fn weight(facts: &FunctionFacts) -> i32 {
    let large = facts.slots / DEPTH_SLOTS;
    let weight = if facts.leaf { large } else { 1 + large };
    i32::try_from(weight).unwrap_or(i32::MAX)
}

/// Writes one function's code, metered.
struct Writer {
    function: Function,
    /// Numbers of our globals.
    units: u32,
    depth: u32,
    /// Number of a local for 64-bit amounts of units.
    amount: u32,
    /// Number of a local for 32-bit counts of bytes or elements.
    count: u32,
}

impl Writer {
    fn write(
        &mut self,
        facts: &FunctionFacts,
        block_type: BlockType,
        call_depth_max: i32,
        instructions: &[I<'_>],
    ) {
        let weight = weight(facts);
        let locals = u64::from(facts.locals) / prices::LOCALS_PER_UNIT;
        let segments = Segments::new(instructions, prices::FUNCTION + locals);

        self.charge_and_look(segments.prices[0]);
        if weight > 0 {
            self.deepen(weight, call_depth_max);
            self.function.instruction(&I::Block(block_type));
        }
        // The function's own end closes the block instead, and follows after the way out.
        let mut segment = 0;
        let mut nesting = 0_u32;
        for (at, instruction) in instructions.iter().enumerate() {
            match instruction {
                I::Block(_) | I::Loop(_) | I::If(_) => nesting += 1,
                I::End => nesting = nesting.saturating_sub(1),
                _ => {}
            }
            let last = at + 1 == instructions.len();
            match instruction {
                I::Return if weight > 0 => {
                    self.function.instruction(&I::Br(nesting));
                }
                I::End if last && weight > 0 => {
                    self.function.instruction(&I::End);
                    self.rise(weight);
                    self.function.instruction(&I::End);
                }
                instruction => {
                    self.pay_by_count(instruction);
                    self.function.instruction(instruction);
                }
            }
            if segments.ends_after[at] && !last {
                segment += 1;
                match (instruction, segments.prices[segment]) {
                    (_, 0) => {}
                    (I::Loop(_), price) => self.charge_and_look(price),
                    (_, price) => self.charge(price),
                }
            }
        }
    }

    /// Takes a price.
    fn charge(&mut self, price: u64) {
        self.function
            .instruction(&I::GlobalGet(self.units))
            .instruction(&I::I64Const(price as i64))
            .instruction(&I::I64Sub)
            .instruction(&I::GlobalSet(self.units));
    }

    /// Takes a price, and ends the call if there was not enough.
    fn charge_and_look(&mut self, price: u64) {
        self.function
            .instruction(&I::GlobalGet(self.units))
            .instruction(&I::I64Const(price as i64))
            .instruction(&I::I64Sub);
        self.settle();
    }

    /// Stores the units left, which are on the stack, and ends the call if they are below zero.
    fn settle(&mut self) {
        self.function
            .instruction(&I::LocalTee(self.amount))
            .instruction(&I::GlobalSet(self.units))
            .instruction(&I::LocalGet(self.amount))
            .instruction(&I::I64Const(0))
            .instruction(&I::I64LtS)
            .instruction(&I::If(BlockType::Empty))
            .instruction(&I::Unreachable)
            .instruction(&I::End);
    }

    /// Pays for what an instruction is about to move: the count is its last operand.
    fn pay_by_count(&mut self, instruction: &I<'_>) {
        let shift = if prices::pays_by_bytes(instruction) {
            prices::BYTES_PER_UNIT_LOG2
        } else if prices::pays_by_elements(instruction) {
            0
        } else {
            return;
        };
        self.function
            .instruction(&I::LocalTee(self.count))
            .instruction(&I::GlobalGet(self.units))
            .instruction(&I::LocalGet(self.count))
            .instruction(&I::I64ExtendI32U)
            .instruction(&I::I64Const(i64::from(shift)))
            .instruction(&I::I64ShrU)
            .instruction(&I::I64Sub);
        self.settle();
    }

    /// Goes one function deeper, and ends the call if that is too deep.
    fn deepen(&mut self, weight: i32, call_depth_max: i32) {
        self.function
            .instruction(&I::GlobalGet(self.depth))
            .instruction(&I::I32Const(weight))
            .instruction(&I::I32Add)
            .instruction(&I::LocalTee(self.count))
            .instruction(&I::GlobalSet(self.depth))
            .instruction(&I::LocalGet(self.count))
            .instruction(&I::I32Const(call_depth_max))
            .instruction(&I::I32GtS)
            .instruction(&I::If(BlockType::Empty))
            .instruction(&I::Unreachable)
            .instruction(&I::End);
    }

    /// Comes back up.
    fn rise(&mut self, weight: i32) {
        self.function
            .instruction(&I::GlobalGet(self.depth))
            .instruction(&I::I32Const(weight))
            .instruction(&I::I32Sub)
            .instruction(&I::GlobalSet(self.depth));
    }
}

/// Where a function's code is cut, and what each piece costs.
struct Segments {
    /// For each instruction, whether a segment ends after it.
    ends_after: Vec<bool>,
    /// Price of each segment, in order.
    prices: Vec<u64>,
}

impl Segments {
    fn new(instructions: &[I<'_>], first_price: u64) -> Self {
        let joins = joins(instructions);
        let mut ends_after = Vec::with_capacity(instructions.len());
        let mut all = vec![first_price];
        let mut price = first_price;
        for (instruction, joins) in instructions.iter().zip(joins) {
            let ends = joins
                || matches!(
                    instruction,
                    I::Loop(_)
                        | I::If(_)
                        | I::Else
                        | I::Br(_)
                        | I::BrIf(_)
                        | I::BrTable(..)
                        | I::Return
                        | I::Unreachable
                );
            // A loop's own price is paid on every round.
            if !matches!(instruction, I::Loop(_)) {
                price += prices::instruction(instruction);
            }
            if let Some(last) = all.last_mut() {
                *last = price;
            }
            if ends {
                price = match instruction {
                    I::Loop(_) => prices::instruction(instruction),
                    _ => 0,
                };
                all.push(price);
            }
            ends_after.push(ends);
        }
        Self {
            ends_after,
            prices: all,
        }
    }
}

/// For each instruction, whether it is the end of a block where control comes in from elsewhere:
/// of every `if`, and of every block that something branches to. A loop is entered at its head.
fn joins(instructions: &[I<'_>]) -> Vec<bool> {
    struct Open {
        is_loop: bool,
        is_target: bool,
    }
    let mut joins = vec![false; instructions.len()];
    // The function's own block lies at the bottom.
    let mut open = vec![Open {
        is_loop: false,
        is_target: true,
    }];
    let target = |open: &mut Vec<Open>, label: u32| {
        let depth = open.len().checked_sub(label as usize + 1);
        if let Some(block) = depth.and_then(|depth| open.get_mut(depth)) {
            block.is_target = true;
        }
    };
    for (at, instruction) in instructions.iter().enumerate() {
        match instruction {
            I::Block(_) => open.push(Open {
                is_loop: false,
                is_target: false,
            }),
            I::Loop(_) => open.push(Open {
                is_loop: true,
                is_target: false,
            }),
            I::If(_) => open.push(Open {
                is_loop: false,
                is_target: true,
            }),
            I::Br(label) | I::BrIf(label) => target(&mut open, *label),
            I::BrTable(labels, default) => {
                for label in labels.iter().chain([default]) {
                    target(&mut open, *label);
                }
            }
            I::End => {
                joins[at] = open
                    .pop()
                    .is_some_and(|block| block.is_target && !block.is_loop)
            }
            _ => {}
        }
    }
    joins
}
