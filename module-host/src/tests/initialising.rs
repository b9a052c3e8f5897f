//! What happens once, before any call, and what a call finds of it.

use wasm_encoder::{BlockType, Instruction as I};

use super::fixture::{COUNTER, Fixture, SCRATCH, at, import, reducer};
use crate::{Outcome, PrepareError};

fn add_one() -> Vec<I<'static>> {
    vec![
        I::GlobalGet(COUNTER),
        I::I32Const(1),
        I::I32Add,
        I::GlobalSet(COUNTER),
    ]
}

fn times_ten() -> Vec<I<'static>> {
    vec![
        I::GlobalGet(COUNTER),
        I::I32Const(10),
        I::I32Mul,
        I::GlobalSet(COUNTER),
    ]
}

/// Grows memory by a page and writes a number to its end.
fn grow() -> Vec<I<'static>> {
    vec![
        I::I32Const(1),
        I::MemoryGrow(0),
        I::Drop,
        I::I32Const((3 << 16) - 4),
        I::I32Const(99),
        I::I32Store(at(0)),
    ]
}

/// Zero if the number on the stack is as expected, and writes over what was found.
fn expect(mut body: Vec<I<'static>>, expected: i32) -> Vec<I<'static>> {
    body.extend([I::I32Const(expected), I::I32Ne]);
    body.extend([I::I32Const(0), I::GlobalSet(COUNTER)]);
    body.extend([
        I::I32Const((3 << 16) - 4),
        I::I32Const(0),
        I::I32Store(at(0)),
    ]);
    body
}

fn looking() -> Fixture {
    let last = vec![I::I32Const((3 << 16) - 4), I::I32Load(at(0))];
    Fixture::new(vec![
        reducer("counter", expect(vec![I::GlobalGet(COUNTER)], 80)),
        reducer("size", expect(vec![I::MemorySize(0)], 3)),
        reducer("last", expect(last, 99)),
    ])
}

#[test]
fn initialisers_run_in_the_order_of_their_names_and_calls_find_what_they_left() {
    let mut fixture = looking();
    // The counter begins with 7.
    fixture.initialisers = vec![
        ("__preinit__20_second", times_ten()),
        ("__preinit__30_third", grow()),
        (
            "__preinit__10_first",
            vec![
                I::GlobalGet(COUNTER),
                I::I32Const(1),
                I::I32Add,
                I::GlobalSet(COUNTER),
            ],
        ),
    ];
    let mut bench = fixture.bench();
    assert!(bench.module.keeps_instance());
    for _ in 0..2 {
        for name in ["counter", "size", "last"] {
            assert_eq!(bench.outcome(name), Outcome::Ok, "{name}");
            assert!(bench.is_image());
        }
    }
}

#[test]
fn without_a_snapshot_initialisers_run_before_every_call() {
    let mut fixture = looking();
    let mut first = add_one();
    // A table that changes cannot be part of a snapshot.
    first.extend([
        I::I32Const(0),
        I::I32Const(0),
        I::TableGet(0),
        I::TableSet(0),
    ]);
    fixture.initialisers = vec![
        ("_initialize", first),
        ("__preinit__10", times_ten()),
        ("__preinit__20", grow()),
    ];
    let mut bench = fixture.bench();
    assert!(!bench.module.keeps_instance());
    for _ in 0..2 {
        for name in ["counter", "size", "last"] {
            assert_eq!(bench.outcome(name), Outcome::Ok, "{name}");
        }
    }
}

#[test]
fn an_initialiser_that_breaks_off_is_named() {
    let endless = vec![I::Loop(BlockType::Empty), I::Br(0), I::End];
    let identity = vec![I::I32Const(SCRATCH), I::Call(import("identity"))];
    let scan = vec![
        I::I32Const(4_096),
        I::I32Const(SCRATCH),
        I::Call(import("datastore_table_scan_bsatn")),
        I::I32Const(2),
        I::I32Eq,
        I::If(BlockType::Empty),
        I::Unreachable,
        I::End,
    ];
    let cases = [
        (vec![I::Unreachable], "it aborted"),
        (endless, "it used more than 2000000000 units"),
        (identity, "`identity` was asked for before any call"),
        // There is no transaction: error 2.
        (scan, "it aborted"),
    ];
    for (body, expected) in cases {
        let mut fixture = looking();
        fixture.initialisers = vec![("__preinit__10", body)];
        match fixture.prepare() {
            Err(PrepareError::Initialise { export, why }) => {
                assert_eq!((&export[..], &why[..]), ("__preinit__10", expected));
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was prepared"),
        }
    }
}
