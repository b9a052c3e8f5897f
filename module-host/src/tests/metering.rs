//! Units and call depth: the same everywhere, to the last unit.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::fixture::{Fixture, LOCAL, SCRATCH, SINK, SOURCE, TIME, at, import, reducer};
use crate::{Limits, Outcome, prices};

/// What every call costs before the reducer's first instruction: the entry of `__call_reducer__`
/// with its ten parameters, its four operands, and the indirect call.
const ENTRY: u64 = prices::FUNCTION + 10 / prices::LOCALS_PER_UNIT + 4 + 10;

/// A function of three parameters.
const FUNCTION: u64 = prices::FUNCTION;

#[test]
fn straight_code_costs_what_its_instructions_cost() {
    let mut bench = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]).bench();
    let report = bench.call("nothing");
    assert_eq!(
        (report.outcome, report.units),
        (Outcome::Ok, ENTRY + FUNCTION + 1)
    );
}

#[test]
fn a_loop_pays_for_every_round() {
    let rounds = 10;
    let body = vec![
        I::I32Const(rounds),
        I::LocalSet(SOURCE),
        I::Loop(BlockType::Empty),
        I::LocalGet(SOURCE),
        I::I32Const(1),
        I::I32Sub,
        I::LocalTee(SOURCE),
        I::BrIf(0),
        I::End,
        I::I32Const(0),
    ];
    let mut bench = Fixture::new(vec![reducer("count", body)]).bench();
    let report = bench.call("count");
    assert_eq!(report.outcome, Outcome::Ok);
    assert_eq!(report.units, ENTRY + FUNCTION + 2 + 10 * 6 + 1);
    assert_eq!(bench.call("count").units, report.units, "the same again");
}

#[test]
fn both_ways_through_a_branch_pay_only_for_themselves() {
    let branch = |condition| {
        vec![
            I::I32Const(condition),
            I::If(BlockType::Result(ValType::I32)),
            I::I32Const(0),
            I::Else,
            I::I32Const(1),
            I::I32Const(1),
            I::I32DivU,
            I::I32Const(1),
            I::I32Sub,
            I::End,
        ]
    };
    let reducers = vec![reducer("short", branch(1)), reducer("long", branch(0))];
    let mut bench = Fixture::new(reducers).bench();
    assert_eq!(bench.call("short").units, ENTRY + FUNCTION + 2 + 1);
    assert_eq!(bench.call("long").units, ENTRY + FUNCTION + 2 + 14);
}

#[test]
fn bytes_moved_are_paid_for() {
    let fill = |bytes| {
        vec![
            I::I32Const(SCRATCH),
            I::I32Const(1),
            I::I32Const(bytes),
            I::MemoryFill(0),
            I::I32Const(0),
        ]
    };
    let reducers = vec![reducer("none", fill(0)), reducer("page", fill(4_096))];
    let mut bench = Fixture::new(reducers).bench();
    let none = bench.call("none").units;
    assert_eq!(none, ENTRY + FUNCTION + 3 + 20 + 1);
    assert_eq!(
        bench.call("page").units,
        none + 4_096 / 16 + prices::MARKED_PAGE
    );
}

#[test]
fn an_endless_loop_runs_out_of_units() {
    let endless = vec![I::Loop(BlockType::Empty), I::Br(0), I::End, I::I32Const(0)];
    let mut bench = Fixture::new(vec![reducer("endless", endless)]).bench();
    for units in [0, 1, 1_000, 1_000_000] {
        bench.units = units;
        let report = bench.call("endless");
        assert_eq!((report.outcome, report.units), (Outcome::OutOfUnits, units));
    }
}

#[test]
fn a_call_gets_no_more_than_the_database_permits() {
    let endless = vec![I::Loop(BlockType::Empty), I::Br(0), I::End, I::I32Const(0)];
    let limits = Limits {
        units_per_invocation: 500,
        ..Limits::default()
    };
    let mut bench = Fixture::new(vec![reducer("endless", endless)]).bench_with(limits);
    assert_eq!(bench.call("endless").units, 500);
}

#[test]
fn the_exact_price_is_enough_and_one_unit_less_is_not() {
    let body = vec![
        I::I32Const(SCRATCH),
        I::I32Const(1),
        I::I32Store(at(0)),
        I::I32Const(0),
    ];
    let mut bench = Fixture::new(vec![reducer("store", body)]).bench();
    let price = bench.call("store").units;
    assert_eq!(price, ENTRY + FUNCTION + 4 + prices::MARKED_PAGE);
    bench.units = price;
    assert_eq!(bench.outcome("store"), Outcome::Ok);
    bench.units = price - 1;
    let report = bench.call("store");
    assert_eq!(
        (report.outcome, report.units),
        (Outcome::OutOfUnits, price - 1)
    );
}

#[test]
fn what_was_not_paid_for_is_no_success_even_if_nobody_looked() {
    // The last branch is paid for as it begins, and returns without another look.
    let mut body = vec![I::I32Const(1), I::If(BlockType::Empty)];
    body.extend([I::I32Const(1), I::Drop].into_iter().cycle().take(200));
    body.extend([I::End, I::I32Const(0)]);
    let mut bench = Fixture::new(vec![reducer("branch", body)]).bench();
    let price = bench.call("branch").units;
    bench.units = price;
    assert_eq!(bench.outcome("branch"), Outcome::Ok);
    bench.units = price - 50;
    let report = bench.call("branch");
    assert_eq!(
        (report.outcome, report.units),
        (Outcome::OutOfUnits, price - 50)
    );
}

#[test]
fn prices_belong_to_the_engine_number() {
    // Whoever changes a price changes outcomes: then the engine gets another number, and this test
    // other figures.
    assert_eq!(crate::ENGINE, 1);
    let mut bench = recursion(20).bench();
    assert_eq!(bench.call("dive").units, 312);
    let scan = [I::I32Const(4_096), I::I32Const(SCRATCH)];
    let scan = scan
        .into_iter()
        .chain([I::Call(import("datastore_table_scan_bsatn"))]);
    let mut bench = Fixture::new(vec![reducer("scan", scan.collect())]).bench();
    assert_eq!(bench.call("scan").units, 3_076);
}

/// A helper that calls itself as often as its second parameter says, or for ever.
fn recursion(rounds: i32) -> Fixture {
    let mut fixture = Fixture::new(vec![reducer("dive", vec![])]);
    let helper = fixture.helper();
    fixture.reducers[0].body = vec![
        I::I64Const(0),
        I::I32Const(rounds),
        I::I32Const(0),
        I::Call(helper),
    ];
    let body = vec![
        I::LocalGet(SOURCE),
        I::If(BlockType::Result(ValType::I32)),
        I::LocalGet(TIME),
        I::LocalGet(SOURCE),
        I::I32Const(1),
        I::I32Sub,
        I::LocalGet(SINK),
        I::Call(helper),
        I::Else,
        I::I32Const(0),
        I::End,
    ];
    fixture.helpers = vec![reducer("helper", body)];
    fixture
}

#[test]
fn endless_recursion_is_too_deep() {
    let mut bench = recursion(-1).bench();
    let first = bench.call("dive");
    assert_eq!(first.outcome, Outcome::TooDeep);
    assert_eq!(bench.call("dive"), first);
}

#[test]
fn call_depth_is_exact() {
    // `__call_reducer__`, the reducer, and the helper once more than it calls itself.
    let limits = Limits {
        call_depth_max: 100,
        ..Limits::default()
    };
    assert_eq!(
        recursion(97).bench_with(limits).outcome("dive"),
        Outcome::Ok
    );
    assert_eq!(
        recursion(98).bench_with(limits).outcome("dive"),
        Outcome::TooDeep
    );
}

#[test]
fn the_largest_frames_end_by_depth_and_not_by_the_stack() {
    // Values that stay alive across the call to itself: as operands, or in locals.
    for count in [1, 20, 27, 28, 60, 500, 2_000] {
        for in_locals in [false, true] {
            let mut fixture = Fixture::new(vec![reducer("dive", vec![])]);
            let helper = fixture.helper();
            fixture.reducers[0].body = vec![
                I::I64Const(1),
                I::I32Const(1),
                I::I32Const(0),
                I::Call(helper),
            ];
            let mut dive = reducer("helper", vec![]);
            let value = |at: u32| {
                [
                    I::LocalGet(TIME),
                    I::I64Const(i64::from(at) * 77 + 1),
                    I::I64Mul,
                ]
            };
            let call = [
                I::I64Const(2),
                I::I32Const(1),
                I::I32Const(0),
                I::Call(helper),
            ];
            let add_up = [I::I64ExtendI32U, I::I64Add];
            if in_locals {
                dive.locals = vec![(count, ValType::I64)];
                for at in 0..count {
                    dive.body.extend(value(at));
                    dive.body.push(I::LocalSet(LOCAL + at));
                }
                dive.body.push(I::I64Const(0));
                dive.body.extend(call);
                dive.body.extend(add_up);
                for at in 0..count {
                    dive.body.extend([I::LocalGet(LOCAL + at), I::I64Xor]);
                }
            } else {
                dive.body.extend((0..count).flat_map(value));
                dive.body.extend(call);
                dive.body.extend(add_up);
                dive.body.extend((1..count).map(|_| I::I64Xor));
            }
            dive.body.push(I::I32WrapI64);
            fixture.helpers = vec![dive];
            let report = fixture.bench().call("dive");
            assert_eq!(
                report.outcome,
                Outcome::TooDeep,
                "{count} values, {in_locals}"
            );
        }
    }
}

#[test]
fn depth_is_given_back_on_every_way_out() {
    // A helper that leaves by `return`, by a branch to its outermost label, and by falling out,
    // far more often than the depth permits.
    let leave = |way: i32| {
        let exit = match way {
            0 => I::Return,
            1 => I::Br(1),
            _ => I::Drop,
        };
        vec![
            I::LocalGet(SOURCE),
            I::If(BlockType::Empty),
            I::I32Const(0),
            exit,
            I::End,
            I::I64Const(0),
            I::I32Const(0),
            I::I32Const(0),
            I::Call(u32::MAX),
        ]
    };
    for way in 0..3 {
        let mut fixture = Fixture::new(vec![reducer("often", vec![])]);
        let helper = fixture.helper();
        let mut body = leave(way);
        body.iter_mut()
            .filter(|i| matches!(i, I::Call(_)))
            .for_each(|i| *i = I::Call(helper + 1));
        fixture.helpers = vec![
            reducer("leave", body),
            reducer("leaf", vec![I::I32Const(0)]),
        ];
        fixture.reducers[0].locals = vec![(1, ValType::I32)];
        fixture.reducers[0].body = vec![
            I::I32Const(5_000),
            I::LocalSet(LOCAL),
            I::Loop(BlockType::Empty),
            I::I64Const(0),
            I::I32Const(1),
            I::I32Const(0),
            I::Call(helper),
            I::Drop,
            I::LocalGet(LOCAL),
            I::I32Const(1),
            I::I32Sub,
            I::LocalTee(LOCAL),
            I::BrIf(0),
            I::End,
            I::I32Const(0),
        ];
        assert_eq!(
            fixture.bench().outcome("often"),
            Outcome::Ok,
            "way out {way}"
        );
    }
}

#[test]
fn imports_are_paid_for() {
    let scan = vec![
        I::I32Const(4_096),
        I::I32Const(SCRATCH),
        I::Call(import("datastore_table_scan_bsatn")),
    ];
    let mut bench = Fixture::new(vec![reducer("scan", scan)]).bench();
    let none = bench.call("scan").units;
    let own = ENTRY + FUNCTION + 2 + 5;
    assert_eq!(
        none,
        own + prices::IMPORT + prices::SCAN + prices::MARKED_PAGE
    );
    let rows = (0..100)
        .map(|id| super::fixture::item(id, 0, 0.0))
        .collect::<Vec<_>>();
    bench.insert(super::fixture::ITEM, &rows);
    let full = bench.call("scan").units;
    assert_eq!(full, none + 100 * prices::ROW_READ + 100 * 16 / 16);
    bench.units = full - prices::MARKED_PAGE - 1;
    assert_eq!(bench.outcome("scan"), Outcome::OutOfUnits);
}

#[test]
fn the_passes_do_the_same_every_time() {
    let wasm = recursion(5).wasm();
    let prepare =
        || crate::prepare::prepare(super::fixture::engine(), &wasm, &Limits::default()).unwrap();
    let (once, again) = (prepare(), prepare());
    assert_eq!(once.wasm, again.wasm);
    assert_eq!(once.globals, again.globals);
}
