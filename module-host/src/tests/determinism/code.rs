//! Float instructions on every odd operand, and random code of all of them.

use proptest::prelude::*;
use wasm_encoder::{Instruction as I, ValType};

use super::operations::{
    ODD, Operation, arithmetic, around_floats, integers, lanes_of_32, lanes_of_64, odd, risky,
    store,
};
use crate::tests::fixture::{Bench, Fixture, ITEM, LOCAL, Reducer, SCRATCH, at, import, reducer};
use crate::{Limits, Outcome};

/// Where a row is put together: its number, then what it says.
const ROW: i32 = SCRATCH + 64;
const LEN: i32 = SCRATCH + 32;

/// Writes the bytes of a value to rows: 12 of each row of 16 are free to say anything.
fn tell(body: &mut Vec<I<'static>>, number: usize, ty: ValType, value: &[I<'static>]) {
    let bytes = SCRATCH + 128;
    for half in [0, 8] {
        body.extend([
            I::I32Const(bytes + half),
            I::I64Const(0),
            I::I64Store(at(0)),
        ]);
    }
    body.push(I::I32Const(bytes));
    body.extend_from_slice(value);
    body.push(store(ty));
    let halves = if ty == ValType::V128 { 2 } else { 1 };
    for half in 0..halves {
        let id = i32::try_from(2 * number).unwrap() + half;
        body.extend([
            I::I32Const(ROW),
            I::I32Const(id),
            I::I32Store(at(0)),
            I::I32Const(ROW),
            I::I32Const(bytes),
            I::I64Load(at(8 * half)),
            I::I64Store(at(8)),
            I::I32Const(LEN),
            I::I32Const(16),
            I::I32Store(at(0)),
            I::I32Const(4_096),
            I::I32Const(ROW),
            I::I32Const(LEN),
            I::Call(import("datastore_insert_bsatn")),
            I::Drop,
        ]);
    }
}

/// One instruction on all operands, or pairs of them.
fn on_all_operands((op, params, result): &Operation) -> Vec<I<'static>> {
    let pairs = if params.len() > 1 { ODD } else { 1 };
    let mut body = vec![];
    for first in 0..ODD {
        for second in 0..pairs {
            let mut value = vec![odd(params[0], first)];
            let others = params[1..].iter().enumerate();
            value.extend(others.map(|(place, ty)| odd(*ty, second + place)));
            value.push(op.clone());
            tell(&mut body, first * pairs + second, *result, &value);
        }
    }
    body.push(I::I32Const(0));
    body
}

/// What an instruction gave for all operands, in order: 8 bytes each.
fn results(operations: &[Operation], mut look: impl FnMut(&Operation, &[u64])) {
    // A reducer's name is static: a few modules of one reducer each are as good.
    for operation in operations {
        let fixture = Fixture::new(vec![reducer("all", on_all_operands(operation))]);
        let mut bench = fixture.bench();
        assert_eq!(bench.outcome("all"), Outcome::Ok, "{:?}", operation.0);
        let rows = bench.rows(ITEM);
        let bits = rows
            .iter()
            .map(|row| u64::from_le_bytes(row[8..].try_into().unwrap()));
        look(operation, &bits.collect::<Vec<_>>());
    }
}

fn one_nan_of_32(bits: u32) -> bool {
    !f32::from_bits(bits).is_nan() || bits == 0x7FC0_0000
}

fn one_nan_of_64(bits: u64) -> bool {
    !f64::from_bits(bits).is_nan() || bits == 0x7FF8_0000_0000_0000
}

#[test]
fn float_arithmetic_gives_the_one_nan_under_both_back_ends() {
    let halves = |bits: u64| [bits as u32, (bits >> 32) as u32];
    results(&arithmetic(), |(op, _, result), all| {
        let one = |bits: &u64| match result {
            ValType::F32 => one_nan_of_32(*bits as u32),
            _ => one_nan_of_64(*bits),
        };
        assert!(all.iter().all(one), "{op:?}: {all:x?}");
    });
    results(&lanes_of_32(), |(op, ..), all| {
        let mut lanes = all.iter().copied().flat_map(halves);
        assert!(lanes.all(one_nan_of_32), "{op:?}: {all:x?}");
    });
    results(&lanes_of_64(), |(op, ..), all| {
        assert!(all.iter().copied().all(one_nan_of_64), "{op:?}: {all:x?}");
    });
}

#[test]
fn what_surrounds_floats_is_the_same_under_both_back_ends() {
    // The bench compares; here it is only made sure that there was something to compare.
    results(&around_floats(), |(op, params, _), all| {
        let least = if params.len() > 1 { ODD * ODD } else { ODD };
        assert!(all.len() >= least, "{op:?}");
    });
}

/// A random piece of straight code: each value is made of constants and of values before it.
fn straight_code(steps: &[(bool, u16, [u8; 3])]) -> Reducer {
    let safe = [
        arithmetic(),
        around_floats(),
        integers(),
        lanes_of_32(),
        lanes_of_64(),
    ]
    .concat();
    let risky = risky();
    let mut types: Vec<ValType> = vec![];
    let mut body = vec![];
    for (dare, which, operands) in steps {
        let from = if *dare { &risky } else { &safe };
        let (op, params, result) = &from[usize::from(*which) % from.len()];
        for (ty, operand) in params.iter().zip(operands) {
            let operand = usize::from(*operand);
            let held = types.iter().enumerate().filter(|(_, held)| *held == ty);
            let held = held.map(|(place, _)| place).collect::<Vec<_>>();
            // As often as not what was made before, if there is any.
            body.push(match held.len() {
                count if count > 0 && operand % 2 == 1 => {
                    I::LocalGet(LOCAL + u32::try_from(held[operand / 2 % count]).unwrap())
                }
                _ => odd(*ty, operand / 2),
            });
        }
        body.extend([
            op.clone(),
            I::LocalSet(LOCAL + u32::try_from(types.len()).unwrap()),
        ]);
        types.push(*result);
    }
    for (place, ty) in types.iter().enumerate() {
        let value = [I::LocalGet(LOCAL + u32::try_from(place).unwrap())];
        tell(&mut body, place, *ty, &value);
    }
    body.push(I::I32Const(0));
    Reducer {
        name: "code",
        locals: types.into_iter().map(|ty| (1, ty)).collect(),
        body,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_code_does_the_same_under_both_back_ends(
        steps in prop::collection::vec(
            (prop::bool::weighted(0.03), any::<u16>(), any::<[u8; 3]>()),
            1..60,
        ),
    ) {
        let wasm = Fixture::new(vec![straight_code(&steps)]).wasm();
        let mut bench = Bench::both(&wasm, Limits::default());
        let outcome = bench.outcome("code");
        prop_assert!(matches!(outcome, Outcome::Ok | Outcome::Trapped(_)), "{:?}", outcome);
    }
}
