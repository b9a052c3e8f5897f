//! Nothing of one call reaches the next.

use wasm_encoder::{Instruction as I, ValType};

use super::fixture::{COUNTER, Fixture, LOCAL, SCRATCH, at, import, item, reducer};
use crate::Outcome;
use crate::limits::MARK_GROUP_BYTES;

/// Adds one to a number in memory and fails with what it was, as a status.
fn count_in_memory() -> Vec<I<'static>> {
    vec![
        I::I32Const(SCRATCH),
        I::I32Const(SCRATCH),
        I::I32Load(at(0)),
        I::I32Const(1),
        I::I32Add,
        I::I32Store(at(0)),
        I::I32Const(SCRATCH),
        I::I32Load(at(0)),
        I::I32Const(1),
        I::I32Sub,
    ]
}

fn count_in_global() -> Vec<I<'static>> {
    vec![
        I::GlobalGet(COUNTER),
        I::I32Const(1),
        I::I32Add,
        I::GlobalSet(COUNTER),
        I::GlobalGet(COUNTER),
        I::I32Const(8),
        I::I32Sub,
    ]
}

#[test]
fn counters_do_not_survive_a_call() {
    let reducers = vec![
        reducer("memory", count_in_memory()),
        reducer("global", count_in_global()),
    ];
    let mut bench = Fixture::new(reducers).bench();
    assert!(bench.module.keeps_instance());
    for _ in 0..3 {
        assert_eq!(bench.outcome("memory"), Outcome::Ok);
        assert_eq!(bench.outcome("global"), Outcome::Ok);
        assert!(bench.is_image());
    }
}

/// Stores of every width, at the end of a page and with an offset, and every bulk instruction.
fn scribble() -> Vec<I<'static>> {
    let edge = SCRATCH + 4_095;
    let mut body = vec![];
    let address = |body: &mut Vec<I<'static>>, at| body.push(I::I32Const(at));
    let i64_stores = [
        I::I64Store(at(0)),
        I::I64Store32(at(8)),
        I::I64Store16(at(16)),
        I::I64Store8(at(24)),
    ];
    for store in i64_stores {
        address(&mut body, edge);
        body.extend([I::I64Const(-1), store]);
    }
    for store in [
        I::I32Store(at(4_096)),
        I::I32Store16(at(4_097)),
        I::I32Store8(at(0x8000)),
    ] {
        address(&mut body, edge);
        body.extend([I::I32Const(-1), store]);
    }
    address(&mut body, edge + 0x3000);
    body.extend([I::F32Const(1.5_f32.into()), I::F32Store(at(0))]);
    address(&mut body, edge + 0x4000);
    body.extend([I::F64Const(1.5_f64.into()), I::F64Store(at(0))]);
    address(&mut body, edge + 0x5000);
    body.extend([I::V128Const(-1), I::V128Store(at(0))]);
    address(&mut body, edge + 0x6000);
    body.extend([
        I::V128Const(-1),
        I::V128Store64Lane {
            memarg: at(2),
            lane: 1,
        },
    ]);
    // A range over several pages, and one that ends exactly at a page's end.
    body.extend([
        I::I32Const(edge + 0x7000),
        I::I32Const(0xAA),
        I::I32Const(0x2002),
        I::MemoryFill(0),
    ]);
    body.extend([
        I::I32Const(0x13000),
        I::I32Const(edge + 0x7000),
        I::I32Const(0x1000),
        I::MemoryCopy {
            src_mem: 0,
            dst_mem: 0,
        },
    ]);
    // From one group of pages into the next, and over several of them.
    let group = MARK_GROUP_BYTES as i32;
    address(&mut body, 8 * group - 4);
    body.extend([I::I64Const(-1), I::I64Store(at(0))]);
    for (from, bytes) in [(10 * group - 1, 2), (12 * group - 1, 3 * group + 2)] {
        address(&mut body, from);
        body.extend([I::I32Const(0xAA), I::I32Const(bytes), I::MemoryFill(0)]);
    }
    // The very end of memory, far behind its virtual size.
    body.extend([
        I::I32Const((64 << 20) - 8),
        I::I64Const(-1),
        I::I64Store(at(0)),
    ]);
    body.push(I::I32Const(0));
    body
}

#[test]
fn every_kind_of_store_is_undone() {
    let mut bench = Fixture::new(vec![reducer("scribble", scribble())]).bench();
    for _ in 0..2 {
        assert_eq!(bench.outcome("scribble"), Outcome::Ok);
        assert!(bench.is_image());
    }
}

#[test]
fn what_a_broken_off_call_wrote_is_undone() {
    let mut body = scribble();
    body.pop();
    body.push(I::Unreachable);
    let mut bench = Fixture::new(vec![reducer("scribble", body)]).bench();
    assert_eq!(
        bench.outcome("scribble"),
        Outcome::Trapped("it aborted".into())
    );
    assert!(bench.is_image());
}

#[test]
fn what_imports_write_is_undone() {
    // Rows go to the last bytes of one page and the first of the next.
    let buffer = SCRATCH + 4_090;
    let body = vec![
        I::I32Const(4_096),
        I::I32Const(SCRATCH + 0x3FFE),
        I::Call(import("datastore_table_scan_bsatn")),
        I::Drop,
        I::I32Const(SCRATCH + 16),
        I::I32Const(1_000),
        I::I32Store(at(0)),
        I::I32Const(SCRATCH + 0x3FFE),
        I::I32Load(at(0)),
        I::I32Const(buffer),
        I::I32Const(SCRATCH + 16),
        I::Call(import("row_iter_bsatn_advance")),
        I::I32Const(1),
        I::I32Add,
    ];
    let mut bench = Fixture::new(vec![reducer("read", body)]).bench();
    bench.insert(super::fixture::ITEM, &[item(1, 2, 3.0), item(2, 2, 3.0)]);
    assert_eq!(bench.outcome("read"), Outcome::Ok);
    assert!(bench.is_image());
}

#[test]
fn a_call_that_writes_nearly_everything_is_undone() {
    let body = vec![
        I::I32Const(0x10000),
        I::I32Const(1),
        I::I32Const(40 << 20),
        I::MemoryFill(0),
        I::I32Const(0),
    ];
    let reducers = vec![reducer("flood", body), reducer("memory", count_in_memory())];
    let mut bench = Fixture::new(reducers).bench();
    assert_eq!(bench.outcome("flood"), Outcome::Ok);
    assert!(bench.is_image());
    assert_eq!(bench.outcome("memory"), Outcome::Ok);
}

#[test]
fn handles_do_not_survive_a_call() {
    // Advances iterator 1 without having opened it: error 6.
    let body = vec![
        I::I32Const(1),
        I::I32Const(SCRATCH),
        I::I32Const(SCRATCH + 64),
        I::Call(import("row_iter_bsatn_advance")),
        I::I32Const(6),
        I::I32Sub,
    ];
    let open = vec![
        I::I32Const(4_096),
        I::I32Const(SCRATCH),
        I::Call(import("datastore_table_scan_bsatn")),
    ];
    let mut bench = Fixture::new(vec![reducer("open", open), reducer("stale", body)]).bench();
    assert_eq!(bench.outcome("open"), Outcome::Ok);
    assert_eq!(bench.outcome("stale"), Outcome::Ok);
}

#[test]
fn a_module_that_changes_its_table_gets_a_fresh_instance() {
    // Trades the last element of its table, empty at first, for a function: status 1 if it was
    // not empty.
    let slot = 2;
    let mut change = reducer("change", vec![]);
    change.locals = vec![(1, ValType::I32)];
    change.body = vec![
        I::I32Const(slot),
        I::TableGet(0),
        I::RefIsNull,
        I::I32Eqz,
        I::LocalSet(LOCAL),
        I::I32Const(slot),
        I::I32Const(0),
        I::TableGet(0),
        I::TableSet(0),
        I::LocalGet(LOCAL),
    ];
    let fixture = Fixture::new(vec![change, reducer("memory", count_in_memory())]);
    let mut bench = fixture.bench();
    assert!(!bench.module.keeps_instance());
    let first = bench.call("change");
    for _ in 0..3 {
        assert_eq!(bench.call("change"), first, "{first:?}");
        assert_eq!(first.outcome, Outcome::Ok);
        assert_eq!(bench.outcome("memory"), Outcome::Ok);
    }
}
