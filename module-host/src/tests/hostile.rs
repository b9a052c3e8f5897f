//! Bytes that nobody meant to be a module: refused or run, never a panic.

use crate::describe::describe;
use crate::prepare::prepare;
use crate::{Limits, Module, PrepareError};
use wasm_encoder::Instruction as I;

use super::fixture::{Bench, Fixture, SCRATCH, at, engine, import, reducer};

/// SplitMix64: tiny, and the same for ever.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// A few bytes changed, taken out, doubled or cut off.
    fn mutate(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(2) {
            let place = self.below(bytes.len());
            match self.below(12) {
                0 => bytes.truncate(place),
                1 => drop(bytes.drain(place..bytes.len().min(place + 1 + self.below(8)))),
                2 => {
                    let piece = bytes[place..bytes.len().min(place + 1 + self.below(8))].to_vec();
                    bytes.splice(place..place, piece);
                }
                3..6 if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
                6 if !bytes.is_empty() => bytes[place] = [0, 0x7F, 0x80, 0xFF][self.below(4)],
                _ if !bytes.is_empty() => bytes[place] = self.next() as u8,
                _ => {}
            }
        }
        bytes
    }
}

/// A module with little else than code and data, so that most mutations hit those.
fn original() -> Fixture {
    let body = vec![
        I::I32Const(4_096),
        I::I32Const(SCRATCH),
        I::Call(import("datastore_table_scan_bsatn")),
        I::Drop,
        I::I32Const(SCRATCH),
        I::I64Const(5),
        I::I64Store(at(9)),
        I::I32Const(1),
        I::MemoryGrow(0),
        I::Drop,
        I::I32Const(0),
    ];
    let filler = [
        I::I32Const(SCRATCH),
        I::I32Const(SCRATCH),
        I::I32Load(at(4)),
        I::I32Const(3),
        I::I32Mul,
        I::I32Store8(at(8)),
    ];
    let mut long = filler.iter().cycle().take(600).cloned().collect::<Vec<_>>();
    long.push(I::I32Const(0));
    Fixture::new(vec![
        reducer("one", body),
        reducer("two", vec![I::I32Const(1)]),
        reducer("long", long),
    ])
}

#[test]
fn broken_modules_are_refused_or_run() {
    const SEED: u64 = 20_260_723;
    let mut dice = Dice(SEED);
    let engine = engine();
    let wasm = original().wasm();
    let limits = Limits {
        memory_bytes_max: 1 << 20,
        units_per_invocation: 100_000,
        ..Limits::default()
    };
    let (mut refused, mut usable) = (0, 0);
    for round in 0..800 {
        let broken = dice.mutate(&wasm);
        match Module::prepare(engine, &broken, limits) {
            Err(PrepareError::Host(fault)) => {
                panic!("our fault, seed {SEED}, round {round}: {fault}")
            }
            Err(_) => refused += 1,
            Ok(module) => {
                usable += 1;
                let names = module
                    .def()
                    .reducers
                    .iter()
                    .map(|reducer| reducer.name.clone());
                let names = names.collect::<Vec<_>>();
                let mut bench = Bench::both(&broken, limits);
                for name in names {
                    bench
                        .try_call(&name, &[1, 2, 3], None)
                        .unwrap_or_else(|fault| {
                            panic!("our fault, seed {SEED}, round {round}: {fault}")
                        });
                    assert!(bench.is_image(), "seed {SEED}, round {round}");
                }
            }
        }
    }
    assert!(
        refused > 100 && usable > 50,
        "{refused} refused, {usable} usable"
    );
}

#[test]
fn broken_descriptions_are_refused_or_read() {
    const SEED: u64 = 1_001;
    let mut dice = Dice(SEED);
    let v9 = original().describe();
    let v10 = super::real_module::chat().def().raw.clone();
    let (mut refused, mut read) = (0, 0);
    for round in 0..6_000 {
        let original = if round % 2 == 0 { &v9 } else { &v10 };
        match describe(dice.mutate(original)) {
            Ok(_) => read += 1,
            Err(PrepareError::Refused(_)) => refused += 1,
            Err(other) => panic!("seed {SEED}, round {round}: {other}"),
        }
    }
    assert!(
        refused > 100 && read > 100,
        "{refused} refused, {read} read"
    );
}

#[test]
fn a_broken_real_module_passes_all_passes_or_none() {
    const SEED: u64 = 77;
    let mut dice = Dice(SEED);
    let engine = engine();
    let wasm = super::real_module::CHAT;
    let limits = Limits::default();
    for round in 0..25 {
        if let Err(PrepareError::Host(fault)) = prepare(engine, &dice.mutate(wasm), &limits) {
            panic!("our fault, seed {SEED}, round {round}: {fault}");
        }
    }
}
