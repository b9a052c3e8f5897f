//! What C does and Rust does not: reading memory that nobody wrote, and trusting that nobody else did.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use crate::tests::fixture::{Fixture, ITEM, LOCAL, Reducer, SCRATCH, at, import, item, reducer};
use crate::{Limits, Outcome};

/// Adds up all of memory from `from` on, and fills what it read with something else: what a C
/// function does that forgets to initialise its variables, on a stack that others have used.
fn read_and_spoil(name: &'static str, from: i32, bytes: i32) -> Reducer {
    let (address, sum) = (LOCAL, LOCAL + 1);
    let body = vec![
        I::I32Const(from),
        I::LocalSet(address),
        I::Loop(BlockType::Empty),
        I::LocalGet(sum),
        I::I64Const(31),
        I::I64Mul,
        I::LocalGet(address),
        I::I64Load(at(0)),
        I::I64Add,
        I::LocalSet(sum),
        I::LocalGet(address),
        I::LocalGet(address),
        I::I64ExtendI32U,
        I::I64Const(0x5EED),
        I::I64Mul,
        I::I64Store(at(0)),
        I::LocalGet(address),
        I::I32Const(8),
        I::I32Add,
        I::LocalTee(address),
        I::I32Const(from + bytes),
        I::I32LtU,
        I::BrIf(0),
        I::End,
        // What was read decides whether it finishes.
        I::LocalGet(sum),
        I::I64Eqz,
        I::I32Eqz,
    ];
    Reducer {
        name,
        locals: vec![(1, ValType::I32), (1, ValType::I64)],
        body,
    }
}

#[test]
fn memory_that_nobody_wrote_is_zero_in_every_call() {
    let spoil_and_break_off = {
        let mut spoil = read_and_spoil("break_off", SCRATCH, 0x2000);
        spoil.body.extend([I::Drop, I::Unreachable]);
        spoil
    };
    // The second page of 64 KiB is behind everything; the last lies beyond the virtual size, where
    // a careless module can reach all the same.
    let reducers = vec![
        read_and_spoil("on_the_stack", SCRATCH, 0x2000),
        read_and_spoil("behind", 0x1_8000, 0x8000),
        read_and_spoil("beyond", 0x10_0000, 0x1000),
        spoil_and_break_off,
    ];
    let mut bench = Fixture::new(reducers).bench();
    for _ in 0..2 {
        for name in ["on_the_stack", "behind", "beyond"] {
            assert_eq!(bench.outcome(name), Outcome::Ok, "{name}");
        }
        assert!(matches!(bench.outcome("break_off"), Outcome::Trapped(_)));
        assert!(bench.is_image());
    }
}

#[test]
fn rows_leave_nothing_behind_in_a_buffer_used_twice() {
    // Reads a long scan, then a short one into the same buffer, and trusts what lies behind.
    let buffer = SCRATCH + 256;
    let read = |table: i32| {
        vec![
            I::I32Const(table),
            I::I32Const(SCRATCH),
            I::Call(import("datastore_table_scan_bsatn")),
            I::Drop,
            I::I32Const(SCRATCH + 16),
            I::I32Const(1_024),
            I::I32Store(at(0)),
            I::I32Const(SCRATCH),
            I::I32Load(at(0)),
            I::I32Const(buffer),
            I::I32Const(SCRATCH + 16),
            I::Call(import("row_iter_bsatn_advance")),
            I::Drop,
        ]
    };
    let mut body = read(4_096);
    body.extend(read(4_097));
    // Nothing was written by the empty scan: the first row of the long one is still there.
    body.extend([
        I::I32Const(buffer),
        I::I32Load(at(0)),
        I::I32Const(1),
        I::I32Ne,
    ]);
    let mut bench = Fixture::new(vec![reducer("trust", body)]).bench();
    bench.insert(ITEM, &[item(1, 2, 3.0), item(2, 2, 3.0)]);
    for _ in 0..3 {
        assert_eq!(bench.outcome("trust"), Outcome::Ok);
    }
}

#[test]
fn equal_times_give_equal_dice_and_their_own_places() {
    // A guest draws its dice from the time it is told: here it keeps it as a row's number.
    let body = vec![
        I::I32Const(SCRATCH),
        I::LocalGet(crate::tests::fixture::TIME),
        I::I64Store(at(8)),
        I::I32Const(SCRATCH + 16),
        I::I32Const(16),
        I::I32Store(at(0)),
        I::I32Const(4_096),
        I::I32Const(SCRATCH),
        I::I32Const(SCRATCH + 16),
        I::Call(import("datastore_insert_bsatn")),
    ];
    let mut bench = Fixture::new(vec![reducer("keep", body)]).bench();
    let first = bench.call("keep");
    assert_eq!(first.outcome, Outcome::Ok);
    let rows = bench.rows(ITEM);
    // The same moment again: the same row, which is there already.
    bench.same_time();
    assert_eq!(bench.call("keep").outcome, Outcome::Ok);
    assert_eq!(bench.rows(ITEM), rows);
    // Another moment: another row with the same key, which is refused.
    assert_eq!(
        bench.outcome("keep"),
        Outcome::Trapped("it returned an unknown status: 12".into())
    );
}

#[test]
fn growth_ends_at_the_same_page_under_both_back_ends() {
    // Grows page by page until it is refused, writes to the last page it got, and returns how many
    // that were, less what is expected.
    let limits = Limits {
        memory_bytes_max: 3 << 20,
        ..Limits::default()
    };
    let body = vec![
        I::Loop(BlockType::Empty),
        I::I32Const(1),
        I::MemoryGrow(0),
        I::I32Const(-1),
        I::I32Ne,
        I::BrIf(0),
        I::End,
        I::MemorySize(0),
        I::I32Const(16),
        I::I32Shl,
        I::I32Const(8),
        I::I32Sub,
        I::I64Const(-1),
        I::I64Store(at(0)),
        I::MemorySize(0),
        I::I32Const(48),
        I::I32Sub,
    ];
    let mut bench = Fixture::new(vec![reducer("grow", body)]).bench_with(limits);
    for _ in 0..2 {
        assert_eq!(bench.outcome("grow"), Outcome::Ok);
        assert!(bench.is_image());
    }
}
