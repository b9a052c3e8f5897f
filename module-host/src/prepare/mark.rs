//! The marking pass: has a module note which pages of its memory it writes to, so that a call can
//! be undone by copying only those back, without a system call and without a page fault.
//!
//! Memory gets its full permitted size from the start (pages that nobody touches cost nothing), and
//! the module sees a virtual size that lives in a global. So growing fails at the same point on
//! every peer, and undoing a call never has to shrink anything. What lies between the two sizes
//! reads as zero instead of ending the call; no sound module looks there.
//!
//! A store marks the page of its first byte only. The bytes that it may put at the start of the
//! next page are copied back together with the marked one: see [`SPILL_BYTES`]. It also marks the
//! page's group: looking through the marks of all pages after each call took longer than copying.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection,
    GlobalType, Instruction as I, MemArg, MemorySection, MemoryType, Module, ValType,
};
use wasmparser::{
    ExportSectionReader, FunctionBody, GlobalSectionReader, MemorySectionReader, Parser, Payload,
};

use super::check::{Facts, OUR_PREFIX};
use crate::limits::{MARK_GROUP_BYTES, MARK_PAGE_BYTES, MARKED, PAGE_MARKS_AT, WASM_PAGE_BYTES};

/// Export of the memory that holds a byte for each group of pages, and from [`PAGE_MARKS_AT`] on a byte
/// for each page: not zero if it was written to.
pub(crate) const MARKS: &str = "tombolo:marks";

/// Export of the global that is not zero once memory was refused: 32 bits.
pub(crate) const REFUSED: &str = "tombolo:refused";

/// Bytes that a store can write beyond the page of its first byte: the widest store has 16.
pub(crate) const SPILL_BYTES: usize = 15;

/// Number of the memory of marks; the module's own is 0.
const MARKS_MEMORY: u32 = 1;

/// The mark of a page is one byte, at the number of the page.
const PAGE_MARK: MemArg = MemArg {
    offset: PAGE_MARKS_AT as u64,
    align: 0,
    memory_index: MARKS_MEMORY,
};

/// The mark of a group is one byte, at the number of the group.
const GROUP_MARK: MemArg = MemArg {
    offset: 0,
    align: 0,
    memory_index: MARKS_MEMORY,
};

const MARK_PAGE_LOG2: i32 = MARK_PAGE_BYTES.trailing_zeros() as i32;

const MARK_GROUP_LOG2: i32 = MARK_GROUP_BYTES.trailing_zeros() as i32;

/// A module that marks what it writes.
pub(super) struct Marked {
    /// The module.
    pub(super) wasm: Vec<u8>,
    /// Exports of its mutable globals and of the size of its memory. Units and depth are not among
    /// them: every call sets those anew.
    pub(super) globals: Vec<String>,
    /// Pages of 64 KiB that its memory seems to have at first.
    pub(super) pages_first: u32,
}

/// Adds marks to a metered module, before or after a snapshot was taken of it.
///
/// # Errors
/// Text, if the module cannot be read after all: a fault of ours.
pub(super) fn mark(wasm: &[u8], facts: &Facts) -> Result<Marked, String> {
    let mut globals = 0;
    let mut mutable_globals = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::GlobalSection(section) = payload.map_err(|error| error.to_string())? {
            for global in section {
                let mutable = global.map_err(|error| error.to_string())?.ty.mutable;
                if mutable && globals != facts.units_global() && globals != facts.depth_global() {
                    mutable_globals.push(globals);
                }
                globals += 1;
            }
        }
    }
    let size = globals;
    mutable_globals.extend([size, refused(size)]);
    let mut pass = Pass {
        facts,
        mutable_globals,
        size,
        size_first: 0,
        function: 0,
    };
    let mut module = Module::new();
    pass.parse_core_module(&mut module, Parser::new(0), wasm)
        .map_err(|error| error.to_string())?;
    let globals = pass
        .mutable_globals
        .iter()
        .map(|global| global_export(*global))
        .collect();
    let pages_first = pass.size_first.cast_unsigned();
    Ok(Marked {
        wasm: module.finish(),
        globals,
        pages_first,
    })
}

/// Number of the global that says whether memory was refused: the one after the size.
fn refused(size: u32) -> u32 {
    size + 1
}

fn global_export(global: u32) -> String {
    format!("{OUR_PREFIX}global:{global}")
}

struct Pass<'a> {
    facts: &'a Facts,
    mutable_globals: Vec<u32>,
    /// Number of the global that holds the virtual size of memory, in pages of 64 KiB.
    size: u32,
    /// That size at first.
    size_first: i32,
    /// Place of the function that comes next.
    function: usize,
}

type Done = Result<(), Error>;

impl Reencode for Pass<'_> {
    type Error = std::convert::Infallible;

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        from: MemorySectionReader<'_>,
    ) -> Done {
        let fixed = |pages| MemoryType {
            minimum: pages,
            maximum: Some(pages),
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        for memory in from {
            // At most 65,536, or validation had refused it.
            self.size_first = memory?.initial as i32;
        }
        let pages = u64::from(self.facts.memory_pages_max);
        let marks = PAGE_MARKS_AT as u64 + pages * (WASM_PAGE_BYTES / MARK_PAGE_BYTES) as u64;
        memories.memory(fixed(pages));
        memories.memory(fixed(marks.div_ceil(WASM_PAGE_BYTES as u64)));
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        from: GlobalSectionReader<'_>,
    ) -> Done {
        utils::parse_global_section(self, globals, from)?;
        let size = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(size, &ConstExpr::i32_const(self.size_first));
        globals.global(size, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        from: ExportSectionReader<'_>,
    ) -> Done {
        utils::parse_export_section(self, exports, from)?;
        exports.export(MARKS, ExportKind::Memory, MARKS_MEMORY);
        exports.export(REFUSED, ExportKind::Global, refused(self.size));
        for global in &self.mutable_globals {
            exports.export(&global_export(*global), ExportKind::Global, *global);
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Done {
        // As many bodies as functions: no pass adds or removes any.
        let facts = &self.facts.functions[self.function];
        self.function += 1;
        let mut locals = Vec::new();
        let mut first = facts.params;
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            first += count;
            locals.push((count, self.val_type(ty)?));
        }
        let mut writer = Writer::new(locals, first, self.size, self.facts.memory_pages_max);
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            writer.write(&instruction);
        }
        code.function(&writer.function);
        Ok(())
    }
}

/// Writes one function's code, with marks.
struct Writer {
    function: Function,
    size: u32,
    pages_max: u32,
    /// Numbers of our locals: an address, two lengths, and a value of each type.
    address: u32,
    length: u32,
    more: u32,
    value_i32: u32,
    value_i64: u32,
    value_f32: u32,
    value_f64: u32,
    value_v128: u32,
}

impl Writer {
    fn new(mut locals: Vec<(u32, ValType)>, first: u32, size: u32, pages_max: u32) -> Self {
        use ValType::{F32, F64, I32, I64, V128};
        locals.extend([(4, I32), (1, I64), (1, F32), (1, F64), (1, V128)]);
        Self {
            function: Function::new(locals),
            size,
            pages_max,
            address: first,
            length: first + 1,
            more: first + 2,
            value_i32: first + 3,
            value_i64: first + 4,
            value_f32: first + 5,
            value_f64: first + 6,
            value_v128: first + 7,
        }
    }

    fn write(&mut self, instruction: &I<'_>) {
        match instruction {
            I::MemorySize(_) => {
                self.function.instruction(&I::GlobalGet(self.size));
            }
            I::MemoryGrow(_) => self.grow(),
            // All three begin with the place to write to and end with the number of bytes.
            I::MemoryFill(_) | I::MemoryCopy { .. } | I::MemoryInit { .. } => {
                self.bulk(instruction);
            }
            instruction => {
                if let Some((mem_arg, value)) = self.store_of(instruction) {
                    self.store(mem_arg, value);
                }
                self.function.instruction(instruction);
            }
        }
    }

    /// Where a store writes, and the local for its value.
    fn store_of(&self, instruction: &I<'_>) -> Option<(MemArg, u32)> {
        Some(match instruction {
            I::I32Store(at) | I::I32Store8(at) | I::I32Store16(at) => (*at, self.value_i32),
            I::I64Store(at) | I::I64Store8(at) | I::I64Store16(at) | I::I64Store32(at) => {
                (*at, self.value_i64)
            }
            I::F32Store(at) => (*at, self.value_f32),
            I::F64Store(at) => (*at, self.value_f64),
            I::V128Store(at)
            | I::V128Store8Lane { memarg: at, .. }
            | I::V128Store16Lane { memarg: at, .. }
            | I::V128Store32Lane { memarg: at, .. }
            | I::V128Store64Lane { memarg: at, .. } => (*at, self.value_v128),
            _ => return None,
        })
    }

    /// Marks the page of a store and its group, leaving address and value on the stack as they were.
    /// An address out of memory is out of the marks too, or its mark is not looked at: the call ends
    /// either way.
    fn store(&mut self, at: MemArg, value: u32) {
        self.function
            .instruction(&I::LocalSet(value))
            .instruction(&I::LocalTee(self.address));
        // Offsets of 32-bit memories have 32 bits.
        let offset = at.offset as u32 as i32;
        self.mark_one(offset, MARK_GROUP_LOG2, GROUP_MARK);
        self.function.instruction(&I::LocalGet(self.address));
        self.mark_one(offset, MARK_PAGE_LOG2, PAGE_MARK);
        self.function
            .instruction(&I::LocalGet(self.address))
            .instruction(&I::LocalGet(value));
    }

    /// Sets the mark of what an address is in, so many bytes behind the one on the stack.
    fn mark_one(&mut self, offset: i32, log2: i32, mark: MemArg) {
        if offset != 0 {
            self.function
                .instruction(&I::I32Const(offset))
                .instruction(&I::I32Add);
        }
        self.function
            .instruction(&I::I32Const(log2))
            .instruction(&I::I32ShrU)
            .instruction(&I::I32Const(MARKED.into()))
            .instruction(&I::I32Store8(mark));
    }

    /// Marks all pages that a bulk instruction writes to, and their groups: it has three operands.
    fn bulk(&mut self, instruction: &I<'_>) {
        self.function
            .instruction(&I::LocalSet(self.length))
            .instruction(&I::LocalSet(self.value_i32))
            .instruction(&I::LocalTee(self.address))
            .instruction(&I::LocalGet(self.value_i32))
            .instruction(&I::LocalGet(self.length))
            // The instruction comes first: it ends the call if anything is out of memory, so the
            // ranges of marks below are sound.
            .instruction(instruction)
            .instruction(&I::LocalGet(self.length))
            .instruction(&I::If(BlockType::Empty));
        self.mark_range(MARK_GROUP_LOG2, GROUP_MARK);
        self.mark_range(MARK_PAGE_LOG2, PAGE_MARK);
        self.function.instruction(&I::End);
    }

    /// Sets the marks of what the bytes at the address are in, as many as the length, which is not 0.
    fn mark_range(&mut self, log2: i32, mark: MemArg) {
        let (first, more) = (self.value_i32, self.more);
        self.function
            // The last one, then the first, then how many come after the first.
            .instruction(&I::LocalGet(self.address))
            .instruction(&I::LocalGet(self.length))
            .instruction(&I::I32Add)
            .instruction(&I::I32Const(1))
            .instruction(&I::I32Sub)
            .instruction(&I::I32Const(log2))
            .instruction(&I::I32ShrU)
            .instruction(&I::LocalGet(self.address))
            .instruction(&I::I32Const(log2))
            .instruction(&I::I32ShrU)
            .instruction(&I::LocalTee(first))
            .instruction(&I::I32Sub)
            .instruction(&I::LocalTee(more))
            .instruction(&I::If(BlockType::Empty))
            .instruction(&I::LocalGet(first))
            // Filling has no offset of its own. Both are below 2^21.
            .instruction(&I::I32Const(mark.offset as i32))
            .instruction(&I::I32Add)
            .instruction(&I::I32Const(MARKED.into()))
            .instruction(&I::LocalGet(more))
            .instruction(&I::I32Const(1))
            .instruction(&I::I32Add)
            .instruction(&I::MemoryFill(MARKS_MEMORY))
            .instruction(&I::Else)
            .instruction(&I::LocalGet(first))
            .instruction(&I::I32Const(MARKED.into()))
            .instruction(&I::I32Store8(mark))
            .instruction(&I::End);
    }

    /// Grows the virtual size, or notes that it did not and answers -1 as the instruction does.
    fn grow(&mut self) {
        self.function
            .instruction(&I::LocalTee(self.length))
            .instruction(&I::I32Const(self.pages_max as i32))
            .instruction(&I::GlobalGet(self.size))
            .instruction(&I::LocalTee(self.value_i32))
            .instruction(&I::I32Sub)
            .instruction(&I::I32LeU)
            .instruction(&I::If(BlockType::Result(ValType::I32)))
            .instruction(&I::LocalGet(self.value_i32))
            .instruction(&I::LocalGet(self.length))
            .instruction(&I::I32Add)
            .instruction(&I::GlobalSet(self.size))
            .instruction(&I::LocalGet(self.value_i32))
            .instruction(&I::Else)
            .instruction(&I::I32Const(1))
            .instruction(&I::GlobalSet(refused(self.size)))
            .instruction(&I::I32Const(-1))
            .instruction(&I::End);
    }
}
