//! The passes add counting and marking, and change nothing else: random programs come to the same
//! with and without them.

use wasm_encoder::{BlockType, Instruction as I, ValType};
use wasmtime::{Engine, Linker, Module as Plain, Store, Val};

use super::fixture::{Fixture, LOCAL, Reducer, at, reducer};
use super::hostile::Dice;
use crate::Outcome;
use crate::imports::session::Session;

/// Locals of a random program, of each type.
const I32: u32 = LOCAL;
const I64: u32 = LOCAL + 4;
const F64: u32 = LOCAL + 8;
/// Counts the rounds of all loops together.
const ROUNDS: u32 = LOCAL + 12;

/// Writes random code that leaves the stack as it was.
struct Author<'a> {
    dice: &'a mut Dice,
    body: Vec<I<'static>>,
    helper: Option<u32>,
}

impl Author<'_> {
    fn block(&mut self, depth: usize) {
        for _ in 0..=self.dice.below(6) {
            self.statement(depth);
        }
    }

    fn address(&mut self) -> i32 {
        // Around the ends of pages, where a store may spill.
        let page = 1 + self.dice.below(4) as i32;
        page * 4_096 + self.dice.below(40) as i32 - 20
    }

    fn i32_value(&mut self) {
        let local = I32 + self.dice.below(4) as u32;
        let load = at(self.address());
        self.body.extend(match self.dice.below(5) {
            0 => vec![I::I32Const(self.dice.next() as i32)],
            1 => vec![I::LocalGet(local), I::I32Const(1), I::I32Add],
            2 => vec![I::I32Const(0), I::I32Load16U(load)],
            3 => vec![I::LocalGet(local), I::I32Popcnt],
            _ => vec![I::LocalGet(local)],
        });
    }

    fn statement(&mut self, depth: usize) {
        let memory = at(self.address());
        let local = |dice: &mut Dice, first: u32| first + dice.below(4) as u32;
        match self.dice.below(14) {
            0 => {
                self.body.push(I::I32Const(0));
                self.i32_value();
                let store = [
                    I::I32Store(memory),
                    I::I32Store8(memory),
                    I::I32Store16(memory),
                ];
                self.body.push(store[self.dice.below(3)].clone());
            }
            1 => {
                let value = I::LocalGet(local(self.dice, I64));
                let store = [
                    I::I64Store(memory),
                    I::I64Store32(memory),
                    I::I64Store8(memory),
                ];
                self.body
                    .extend([I::I32Const(0), value, store[self.dice.below(3)].clone()]);
            }
            2 => {
                let value = I::LocalGet(local(self.dice, F64));
                self.body
                    .extend([I::I32Const(0), value, I::F64Store(memory)]);
            }
            3 => {
                self.i32_value();
                self.body.push(I::LocalSet(local(self.dice, I32)));
            }
            4 => {
                let (from, to) = (local(self.dice, I64), local(self.dice, I64));
                let by = self.dice.next() as i64;
                self.body.extend([
                    I::LocalGet(from),
                    I::I64Const(by),
                    I::I64Mul,
                    I::LocalSet(to),
                ]);
            }
            5 => {
                let (from, to) = (local(self.dice, F64), local(self.dice, F64));
                let operation = [I::F64Add, I::F64Div, I::F64Min, I::F64Mul];
                let operation = operation[self.dice.below(4)].clone();
                self.body.extend([
                    I::LocalGet(from),
                    I::LocalGet(to),
                    operation,
                    I::LocalSet(to),
                ]);
            }
            6 => {
                let (to, len) = (self.address(), self.dice.below(9_000) as i32);
                let value = self.dice.below(256) as i32;
                let fill = [I::I32Const(to), I::I32Const(value), I::I32Const(len)];
                self.body.extend(fill);
                self.body.push(I::MemoryFill(0));
            }
            7 => {
                let (to, from) = (self.address(), self.address());
                let len = self.dice.below(9_000) as i32;
                self.body
                    .extend([I::I32Const(to), I::I32Const(from), I::I32Const(len)]);
                self.body.push(I::MemoryCopy {
                    src_mem: 0,
                    dst_mem: 0,
                });
            }
            8 => {
                let pages = self.dice.below(3) as i32;
                self.body.extend([I::I32Const(pages), I::MemoryGrow(0)]);
                self.body.push(I::LocalSet(local(self.dice, I32)));
            }
            9 => self
                .body
                .extend([I::MemorySize(0), I::LocalSet(local(self.dice, I32))]),
            10 if depth > 0 => {
                self.i32_value();
                self.body.push(I::If(BlockType::Empty));
                self.block(depth - 1);
                if self.dice.below(2) == 0 {
                    self.body.push(I::Else);
                    self.block(depth - 1);
                }
                self.body.push(I::End);
            }
            11 if depth > 0 => {
                self.body.push(I::Loop(BlockType::Empty));
                self.block(depth - 1);
                let count = [
                    I::LocalGet(ROUNDS),
                    I::I32Const(1),
                    I::I32Add,
                    I::LocalTee(ROUNDS),
                ];
                self.body.extend(count);
                self.body
                    .extend([I::I32Const(50), I::I32LtU, I::BrIf(0), I::End]);
            }
            12 if depth > 0 => {
                self.body.push(I::Block(BlockType::Empty));
                self.block(depth - 1);
                self.i32_value();
                self.body.push(I::BrIf(0));
                self.block(depth - 1);
                self.body.push(I::End);
            }
            13 if self.helper.is_some() => {
                let helper = self.helper.unwrap();
                let arguments = [I::LocalGet(I64), I::LocalGet(I32), I::LocalGet(I32 + 1)];
                self.body.extend(arguments);
                self.body.push(I::Call(helper));
                self.body.push(I::LocalSet(local(self.dice, I32)));
            }
            _ => {
                self.i32_value();
                self.body
                    .extend([I::I32Const(7), I::I32GtU, I::If(BlockType::Empty)]);
                self.i32_value();
                self.body.extend([I::Return, I::End]);
            }
        }
    }
}

fn program(dice: &mut Dice, name: &'static str, helper: Option<u32>) -> Reducer {
    let mut author = Author {
        dice,
        body: vec![],
        helper,
    };
    author.block(3);
    // What memory holds afterwards is part of what it comes to.
    author.body.extend([
        I::I32Const(0),
        I::LocalSet(ROUNDS),
        I::Loop(BlockType::Empty),
        I::LocalGet(I64),
        I::I64Const(31),
        I::I64Mul,
        I::LocalGet(ROUNDS),
        I::I64Load(at(0)),
        I::I64Add,
        I::LocalSet(I64),
        I::LocalGet(ROUNDS),
        I::I32Const(8),
        I::I32Add,
        I::LocalTee(ROUNDS),
        // The fixture's own texts lie behind.
        I::I32Const(0x7F00),
        I::I32LtU,
        I::BrIf(0),
        I::End,
        I::LocalGet(I64),
        I::I32WrapI64,
    ]);
    let mut reducer = reducer(name, author.body);
    reducer.locals = vec![
        (4, ValType::I32),
        (4, ValType::I64),
        (4, ValType::F64),
        (1, ValType::I32),
    ];
    reducer
}

/// The status that the same module comes to without our passes.
fn plain_run(wasm: &[u8]) -> u32 {
    let mut config = wasmtime::Config::new();
    config.cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config).unwrap();
    let module = Plain::new(&engine, wasm).unwrap();
    let mut linker = Linker::<Session>::new(&engine);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = Store::new(&engine, Session::new());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let call = instance.get_func(&mut store, "__call_reducer__").unwrap();
    let words = std::iter::repeat_n(Val::I64(0), 7);
    let params = [Val::I32(0)]
        .into_iter()
        .chain(words)
        .chain([Val::I32(0), Val::I32(1)]);
    let mut status = [Val::I32(0)];
    call.call(&mut store, &params.collect::<Vec<_>>(), &mut status)
        .unwrap();
    status[0].unwrap_i32().cast_unsigned()
}

#[test]
fn programs_come_to_the_same_with_and_without_passes() {
    const SEED: u64 = 5_150;
    let mut dice = Dice(SEED);
    for round in 0..60 {
        let mut fixture = Fixture::new(vec![reducer("program", vec![])]);
        let helper = fixture.helper();
        fixture.helpers = vec![program(&mut dice, "helper", None)];
        fixture.reducers = vec![program(&mut dice, "program", Some(helper))];
        let place = format!("seed {SEED}, round {round}");
        let mut bench = fixture.bench();
        let report = bench.call("program");
        let expected = match plain_run(&fixture.wasm()) {
            0 => Outcome::Ok,
            1 => Outcome::Failed(String::new()),
            status => Outcome::Trapped(format!("it returned an unknown status: {status}")),
        };
        assert_eq!(report.outcome, expected, "{place}");
        assert!(bench.is_image(), "{place}");
        assert_eq!(bench.call("program"), report, "{place}: the same again");
    }
}
