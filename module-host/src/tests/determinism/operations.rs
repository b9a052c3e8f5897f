//! Instructions with their types, and operands that are hard on them.

use wasm_encoder::{Instruction as I, ValType};

use ValType::{F32, F64, I32, I64, V128};

/// An instruction, what it takes, and what it gives.
pub(super) type Operation = (I<'static>, &'static [ValType], ValType);

/// Float arithmetic: where it gives no number, it gives the one NaN.
pub(super) fn arithmetic() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [
        I::F32Ceil,
        I::F32Floor,
        I::F32Trunc,
        I::F32Nearest,
        I::F32Sqrt,
    ] {
        all.push((op, &[F32], F32));
    }
    for op in [
        I::F64Ceil,
        I::F64Floor,
        I::F64Trunc,
        I::F64Nearest,
        I::F64Sqrt,
    ] {
        all.push((op, &[F64], F64));
    }
    for op in [
        I::F32Add,
        I::F32Sub,
        I::F32Mul,
        I::F32Div,
        I::F32Min,
        I::F32Max,
    ] {
        all.push((op, &[F32, F32], F32));
    }
    for op in [
        I::F64Add,
        I::F64Sub,
        I::F64Mul,
        I::F64Div,
        I::F64Min,
        I::F64Max,
    ] {
        all.push((op, &[F64, F64], F64));
    }
    all.push((I::F32DemoteF64, &[F64], F32));
    all.push((I::F64PromoteF32, &[F32], F64));
    all
}

/// The same, lane by lane: four floats, or two.
pub(super) fn lanes_of_32() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [
        I::F32x4Ceil,
        I::F32x4Floor,
        I::F32x4Trunc,
        I::F32x4Nearest,
        I::F32x4Sqrt,
    ] {
        all.push((op, &[V128], V128));
    }
    for op in [
        I::F32x4Add,
        I::F32x4Sub,
        I::F32x4Mul,
        I::F32x4Div,
        I::F32x4Min,
        I::F32x4Max,
    ] {
        all.push((op, &[V128, V128], V128));
    }
    all.push((I::F32x4DemoteF64x2Zero, &[V128], V128));
    all
}

pub(super) fn lanes_of_64() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [
        I::F64x2Ceil,
        I::F64x2Floor,
        I::F64x2Trunc,
        I::F64x2Nearest,
        I::F64x2Sqrt,
    ] {
        all.push((op, &[V128], V128));
    }
    for op in [
        I::F64x2Add,
        I::F64x2Sub,
        I::F64x2Mul,
        I::F64x2Div,
        I::F64x2Min,
        I::F64x2Max,
    ] {
        all.push((op, &[V128, V128], V128));
    }
    all.push((I::F64x2PromoteLowF32x4, &[V128], V128));
    all
}

/// Everything else that takes or gives a float; none of it ends a call.
pub(super) fn around_floats() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [I::F32Abs, I::F32Neg] {
        all.push((op, &[F32], F32));
    }
    for op in [I::F64Abs, I::F64Neg] {
        all.push((op, &[F64], F64));
    }
    all.push((I::F32Copysign, &[F32, F32], F32));
    all.push((I::F64Copysign, &[F64, F64], F64));
    for op in [I::F32Eq, I::F32Ne, I::F32Lt, I::F32Gt, I::F32Le, I::F32Ge] {
        all.push((op, &[F32, F32], I32));
    }
    for op in [I::F64Eq, I::F64Ne, I::F64Lt, I::F64Gt, I::F64Le, I::F64Ge] {
        all.push((op, &[F64, F64], I32));
    }
    all.extend([
        (I::I32TruncSatF32S, &[F32][..], I32),
        (I::I32TruncSatF32U, &[F32], I32),
        (I::I32TruncSatF64S, &[F64], I32),
        (I::I32TruncSatF64U, &[F64], I32),
        (I::I64TruncSatF32S, &[F32], I64),
        (I::I64TruncSatF32U, &[F32], I64),
        (I::I64TruncSatF64S, &[F64], I64),
        (I::I64TruncSatF64U, &[F64], I64),
        (I::F32ConvertI32S, &[I32], F32),
        (I::F32ConvertI32U, &[I32], F32),
        (I::F32ConvertI64S, &[I64], F32),
        (I::F32ConvertI64U, &[I64], F32),
        (I::F64ConvertI32S, &[I32], F64),
        (I::F64ConvertI32U, &[I32], F64),
        (I::F64ConvertI64S, &[I64], F64),
        (I::F64ConvertI64U, &[I64], F64),
        (I::I32ReinterpretF32, &[F32], I32),
        (I::I64ReinterpretF64, &[F64], I64),
        (I::F32ReinterpretI32, &[I32], F32),
        (I::F64ReinterpretI64, &[I64], F64),
        (I::F32x4Splat, &[F32], V128),
        (I::F64x2Splat, &[F64], V128),
    ]);
    for op in [
        I::F32x4Abs,
        I::F32x4Neg,
        I::F64x2Abs,
        I::F64x2Neg,
        I::I32x4TruncSatF32x4S,
        I::I32x4TruncSatF32x4U,
        I::I32x4TruncSatF64x2SZero,
        I::I32x4TruncSatF64x2UZero,
        I::F32x4ConvertI32x4S,
        I::F32x4ConvertI32x4U,
        I::F64x2ConvertLowI32x4S,
        I::F64x2ConvertLowI32x4U,
    ] {
        all.push((op, &[V128], V128));
    }
    for op in [
        I::F32x4PMin,
        I::F32x4PMax,
        I::F64x2PMin,
        I::F64x2PMax,
        I::F32x4Eq,
        I::F32x4Lt,
        I::F32x4Ge,
        I::F64x2Ne,
        I::F64x2Gt,
        I::F64x2Le,
    ] {
        all.push((op, &[V128, V128], V128));
    }
    all
}

/// Whole numbers and bits; none of it ends a call.
pub(super) fn integers() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [
        I::I32Clz,
        I::I32Ctz,
        I::I32Popcnt,
        I::I32Eqz,
        I::I32Extend8S,
        I::I32Extend16S,
    ] {
        all.push((op, &[I32], I32));
    }
    for op in [
        I::I64Clz,
        I::I64Ctz,
        I::I64Popcnt,
        I::I64Extend8S,
        I::I64Extend32S,
    ] {
        all.push((op, &[I64], I64));
    }
    for op in [
        I::I32Add,
        I::I32Sub,
        I::I32Mul,
        I::I32And,
        I::I32Or,
        I::I32Xor,
        I::I32Shl,
        I::I32ShrS,
        I::I32ShrU,
        I::I32Rotl,
        I::I32Rotr,
        I::I32LtS,
        I::I32GtU,
        I::I32LeS,
        I::I32GeU,
    ] {
        all.push((op, &[I32, I32], I32));
    }
    for op in [
        I::I64Add,
        I::I64Sub,
        I::I64Mul,
        I::I64And,
        I::I64Or,
        I::I64Xor,
        I::I64Shl,
        I::I64ShrS,
        I::I64ShrU,
        I::I64Rotl,
        I::I64Rotr,
    ] {
        all.push((op, &[I64, I64], I64));
    }
    for op in [I::I64Eq, I::I64LtS, I::I64LtU, I::I64GeS] {
        all.push((op, &[I64, I64], I32));
    }
    all.extend([
        (I::I32WrapI64, &[I64][..], I32),
        (I::I64ExtendI32S, &[I32], I64),
        (I::I64ExtendI32U, &[I32], I64),
        (I::I8x16Splat, &[I32], V128),
        (I::I64x2Splat, &[I64], V128),
        (I::I8x16Bitmask, &[V128], I32),
        (I::I64x2Bitmask, &[V128], I32),
        (I::V128AnyTrue, &[V128], I32),
        (I::I32x4AllTrue, &[V128], I32),
        (I::I16x8ExtractLaneS(3), &[V128], I32),
        (I::I8x16ExtractLaneU(15), &[V128], I32),
        (I::I64x2ExtractLane(1), &[V128], I64),
        (I::F32x4ExtractLane(2), &[V128], F32),
        (I::F64x2ExtractLane(1), &[V128], F64),
        (I::V128Bitselect, &[V128, V128, V128], V128),
        (I::I8x16Shl, &[V128, I32], V128),
        (I::I16x8ShrS, &[V128, I32], V128),
        (I::I64x2ShrU, &[V128, I32], V128),
    ]);
    for op in [
        I::V128Not,
        I::I8x16Popcnt,
        I::I8x16Abs,
        I::I16x8Neg,
        I::I32x4ExtAddPairwiseI16x8S,
        I::I16x8ExtendLowI8x16S,
        I::I64x2ExtendHighI32x4U,
    ] {
        all.push((op, &[V128], V128));
    }
    for op in [
        I::I8x16Swizzle,
        I::I8x16AddSatS,
        I::I8x16SubSatU,
        I::I8x16AvgrU,
        I::I8x16MinS,
        I::I16x8Q15MulrSatS,
        I::I16x8NarrowI32x4U,
        I::I8x16NarrowI16x8S,
        I::I32x4DotI16x8S,
        I::I32x4Mul,
        I::I64x2Mul,
        I::I64x2ExtMulLowI32x4S,
        I::I16x8ExtMulHighI8x16U,
        I::I32x4MaxU,
        I::I64x2GtS,
        I::V128AndNot,
        I::I8x16Shuffle([0, 31, 2, 29, 4, 27, 6, 25, 8, 23, 10, 21, 12, 19, 14, 17]),
    ] {
        all.push((op, &[V128, V128], V128));
    }
    all
}

/// What ends a call for some operands.
pub(super) fn risky() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for op in [I::I32DivS, I::I32DivU, I::I32RemS, I::I32RemU] {
        all.push((op, &[I32, I32], I32));
    }
    for op in [I::I64DivS, I::I64DivU, I::I64RemS, I::I64RemU] {
        all.push((op, &[I64, I64], I64));
    }
    all.extend([
        (I::I32TruncF32S, &[F32][..], I32),
        (I::I32TruncF64U, &[F64], I32),
        (I::I64TruncF32U, &[F32], I64),
        (I::I64TruncF64S, &[F64], I64),
    ]);
    all
}

const ODD_32: [u32; 13] = [
    0,
    0x8000_0000,
    0x3F80_0000,
    0xBFC0_0000,
    0x7F80_0000,
    0xFF80_0000,
    0x7FC0_0000,
    0xFFC0_0000,
    0x7FC0_BEEF,
    0xFFA0_0001,
    0x0000_0001,
    0x7F7F_FFFF,
    0x4F00_0000,
];

const ODD_64: [u64; 13] = [
    0,
    0x8000_0000_0000_0000,
    0x3FF0_0000_0000_0000,
    0xBFF8_0000_0000_0000,
    0x7FF0_0000_0000_0000,
    0xFFF0_0000_0000_0000,
    0x7FF8_0000_0000_0000,
    0xFFF8_0000_0000_0000,
    0x7FF8_0000_DEAD_BEEF,
    0xFFF4_0000_0000_0001,
    0x0000_0000_0000_0001,
    0x7FEF_FFFF_FFFF_FFFF,
    0x43E0_0000_0000_0000,
];

/// How many operands of a type there are.
pub(super) const ODD: usize = ODD_32.len();

/// One of the operands of a type.
pub(super) fn odd(ty: ValType, which: usize) -> I<'static> {
    let which = which % ODD;
    match ty {
        I32 => I::I32Const(ODD_32[which].cast_signed()),
        I64 => I::I64Const(ODD_64[which].cast_signed()),
        F32 => I::F32Const(f32::from_bits(ODD_32[which]).into()),
        F64 => I::F64Const(f64::from_bits(ODD_64[which]).into()),
        // Lanes that differ, of either width.
        _ if which.is_multiple_of(2) => {
            let lane = |lane: usize| u128::from(ODD_32[(which + 3 * lane) % ODD]);
            I::V128Const((lane(0) | lane(1) << 32 | lane(2) << 64 | lane(3) << 96).cast_signed())
        }
        _ => {
            let lane = |lane: usize| u128::from(ODD_64[(which + 3 * lane) % ODD]);
            I::V128Const((lane(0) | lane(1) << 64).cast_signed())
        }
    }
}

/// Instructions that write a value of a type to memory, its address below it on the stack: 16 bytes
/// at most.
pub(super) fn store(ty: ValType) -> I<'static> {
    let at = super::super::fixture::at(0);
    match ty {
        I32 => I::I32Store(at),
        I64 => I::I64Store(at),
        F32 => I::F32Store(at),
        F64 => I::F64Store(at),
        _ => I::V128Store(at),
    }
}
