//! What running costs, in units. One unit is about the time of one simple instruction, below a
//! nanosecond on the machines of today, so that a call's 10^9 units are about a second's work. The
//! prices belong to the engine number: another price is another outcome.

use wasm_encoder::Instruction;

/// The price of an instruction, apart from what [`pays_by_bytes`] and [`pays_by_elements`] add at
/// run time.
/// Structure costs nothing, but every way of repeating something costs at least one unit.
pub(crate) fn instruction(instruction: &Instruction<'_>) -> u64 {
    use Instruction as I;
    match instruction {
        I::Nop | I::Block(_) | I::Else | I::End | I::Drop => 0,
        I::I32DivS
        | I::I32DivU
        | I::I32RemS
        | I::I32RemU
        | I::I64DivS
        | I::I64DivU
        | I::I64RemS
        | I::I64RemU => 10,
        I::F32Div | I::F64Div | I::F32Sqrt | I::F64Sqrt => 5,
        I::F32x4Div | I::F64x2Div | I::F32x4Sqrt | I::F64x2Sqrt => 10,
        I::Call(_) => 5,
        I::CallIndirect { .. } => 10,
        I::BrTable(..) => 3,
        I::MemoryCopy { .. } | I::MemoryFill(_) | I::MemoryInit { .. } => 20,
        I::TableCopy { .. } | I::TableFill(_) | I::TableInit { .. } | I::TableGrow(_) => 20,
        I::MemoryGrow(_) => 50,
        _ => 1,
    }
}

/// Bytes moved for one unit by instructions that move memory, as a power of two.
pub(crate) const BYTES_PER_UNIT_LOG2: u32 = 4;

/// Whether the instruction's last operand is a number of bytes to pay for.
pub(crate) const fn pays_by_bytes(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction,
        Instruction::MemoryCopy { .. }
            | Instruction::MemoryFill(_)
            | Instruction::MemoryInit { .. }
    )
}

/// Whether the instruction's last operand is a number of table elements, a unit each.
pub(crate) const fn pays_by_elements(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction,
        Instruction::TableCopy { .. }
            | Instruction::TableFill(_)
            | Instruction::TableInit { .. }
            | Instruction::TableGrow(_)
    )
}

/// Units of entering a function, beside those of its parameters and locals.
pub(crate) const FUNCTION: u64 = 2;

/// Parameters and locals that are set to zero for one unit.
pub(crate) const LOCALS_PER_UNIT: u64 = 8;

/// Units of a page that a call wrote to: it is copied back afterwards, and at worst the machine had
/// to be asked for it first.
pub(crate) const MARKED_PAGE: u64 = 2_000;

/// Units of any import: leaving the module and coming back.
pub(crate) const IMPORT: u64 = 50;

/// Units of looking something up by its name.
pub(crate) const LOOKUP: u64 = 200;

/// Units of opening a scan or counting: finding the place.
pub(crate) const SCAN: u64 = 1_000;

/// Units of each row that a scan finds.
pub(crate) const ROW_READ: u64 = 200;

/// Units of inserting, updating or deleting one row: its keys, its indexes, and its share of what
/// is stored at the cut.
pub(crate) const ROW_WRITTEN: u64 = 3_000;

/// Units of a console line.
pub(crate) const CONSOLE_LINE: u64 = 1_000;

/// Units of anything that is done with a document, beside what it costs by size.
pub(crate) const DOCUMENT: u64 = 20_000;

/// Units of each operation of a document when more is merged into it: the library goes through all.
pub(crate) const DOCUMENT_OP_THERE: u64 = 250;

/// Units of each operation of a document when something in it is looked for or edited.
pub(crate) const DOCUMENT_OP_SOUGHT: u64 = 50;

/// Units of each operation of a change that is read and judged.
pub(crate) const DOCUMENT_OP_READ: u64 = 200;

/// Units of a change with so many operations that is merged or made.
pub(crate) const fn document_change(ops: usize) -> u64 {
    5_000 + 3_000 * ops as u64
}

/// Units of so many bytes of changes that are read: hashing them, mostly.
pub(crate) const fn document_bytes(bytes: usize) -> u64 {
    1_000 + 5 * bytes as u64
}

/// Units of so many bytes that an import copies within memory.
pub(crate) const fn copied(bytes: usize) -> u64 {
    bytes as u64 >> BYTES_PER_UNIT_LOG2
}

/// Units of so many bytes that are written to the store.
pub(crate) const fn written(bytes: usize) -> u64 {
    bytes as u64
}
