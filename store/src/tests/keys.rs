//! Key bytes compare as values do, for every column type; malformed bytes are refused.

use std::cmp::Ordering;

use proptest::prelude::*;
use spacetimedb_sats::{AlgebraicType, AlgebraicValue, ProductTypeElement, SumTypeVariant};

use crate::key::Key;
use crate::layout::Layout;

/// Draws choices from bytes that proptest made, so that a failure shrinks to few and small ones.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    fn a_type(&mut self, depth: u8) -> AlgebraicType {
        use AlgebraicType as Type;
        match self.below(if depth == 0 { 19 } else { 24 }) {
            0 => Type::Bool,
            1 => Type::U8,
            2 => Type::U16,
            3 => Type::U32,
            4 => Type::U64,
            5 => Type::U128,
            6 => Type::U256,
            7 => Type::I8,
            8 => Type::I16,
            9 => Type::I32,
            10 => Type::I64,
            11 => Type::I128,
            12 => Type::I256,
            13 => Type::F32,
            14 => Type::F64,
            15 => Type::String,
            16 => Type::identity(),
            17 => Type::timestamp(),
            18 => Type::bytes(),
            19 => Type::option(self.a_type(depth - 1)),
            20 => Type::array(self.a_type(depth - 1)),
            21 => {
                let variants = (0..=self.below(3)).map(|_| SumTypeVariant {
                    name: None,
                    algebraic_type: self.a_type(depth - 1),
                });
                Type::sum(variants.collect::<Box<[_]>>())
            }
            _ => {
                let fields = (0..self.below(4)).map(|_| ProductTypeElement {
                    name: None,
                    algebraic_type: self.a_type(depth - 1),
                });
                Type::product(fields.collect::<Box<[_]>>())
            }
        }
    }

    /// BSATN of a value. Few different ones of each type, so that equal beginnings are common.
    fn value(&mut self, ty: &AlgebraicType, out: &mut Vec<u8>) {
        use AlgebraicType as Type;
        match ty {
            Type::Bool => out.push(self.below(2)),
            Type::U8 | Type::I8 => self.integer(1, out),
            Type::U16 | Type::I16 => self.integer(2, out),
            Type::U32 | Type::I32 => self.integer(4, out),
            Type::U64 | Type::I64 => self.integer(8, out),
            Type::U128 | Type::I128 => self.integer(16, out),
            Type::U256 | Type::I256 => self.integer(32, out),
            Type::F32 => {
                #[expect(clippy::cast_possible_truncation, reason = "any float will do")]
                let float = self.float() as f32;
                out.extend_from_slice(&float.to_bits().to_le_bytes());
            }
            Type::F64 => out.extend_from_slice(&self.float().to_bits().to_le_bytes()),
            Type::String => {
                let alphabet = ["", "a", "\0", "b", "\u{1}", "é", "\u{10FFFF}"];
                let text: String = (0..self.below(4))
                    .map(|_| alphabet[usize::from(self.below(7))])
                    .collect();
                out.extend_from_slice(&super::text(&text));
            }
            Type::Array(array) => {
                let count = self.below(4);
                out.extend_from_slice(&u32::from(count).to_le_bytes());
                (0..count).for_each(|_| self.value(&array.elem_ty, out));
            }
            Type::Product(product) => {
                product
                    .elements
                    .iter()
                    .for_each(|field| self.value(&field.algebraic_type, out));
            }
            Type::Sum(sum) => {
                let tag = self.below(u8::try_from(sum.variants.len()).expect("few variants"));
                out.push(tag);
                self.value(&sum.variants[usize::from(tag)].algebraic_type, out);
            }
            Type::Ref(_) => unreachable!("types are resolved"),
        }
    }

    fn integer(&mut self, width: usize, out: &mut Vec<u8>) {
        let edges = [0, 1, 0x7F, 0x80, 0xFF];
        let fill = edges[usize::from(self.below(5))];
        let start = out.len();
        out.resize(start + width, fill);
        let place = start + usize::from(self.byte()) % width;
        out[place] = edges[usize::from(self.below(5))];
    }

    fn float(&mut self) -> f64 {
        let edges = [
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7FF4_0000_0000_0001),
            1.0,
            -1.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e-40,
            -1e-40,
            1e30,
            -1e30,
            2.0,
        ];
        edges[usize::from(self.below(14))]
    }
}

fn layout(ty: &AlgebraicType) -> Layout {
    Layout::compile(ty, &mut 0).expect("the type is resolved and small")
}

fn key(layout: &Layout, bytes: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    let mut rest = bytes;
    layout
        .encode(&mut rest, &mut key)
        .expect("the value is well formed");
    assert!(rest.is_empty(), "exactly one value was there");
    key
}

fn is_whole(layout: &Layout, mut bytes: &[u8]) -> bool {
    layout.check(&mut bytes).is_ok() && bytes.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys_compare_as_values_do(
        shape in proptest::collection::vec(any::<u8>(), 0..12),
        one in proptest::collection::vec(any::<u8>(), 0..24),
        two in proptest::collection::vec(any::<u8>(), 0..24),
        same in 0_usize..24,
    ) {
        let ty = Choices(shape.iter()).a_type(3);
        // The second value begins with the first one's choices, or nothing would ever be close.
        let two: Vec<u8> = one.iter().take(same).chain(two.iter().skip(same)).copied().collect();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        Choices(one.iter()).value(&ty, &mut a);
        Choices(two.iter()).value(&ty, &mut b);
        let value = |bytes: &[u8]| AlgebraicValue::decode(&ty, &mut &bytes[..]).expect("well formed");
        let layout = layout(&ty);
        prop_assert!(is_whole(&layout, &a));
        let (key_a, key_b) = (key(&layout, &a), key(&layout, &b));
        prop_assert_eq!(key_a.cmp(&key_b), value(&a).cmp(&value(&b)), "type {:?}", ty);
        if key_a != key_b {
            prop_assert!(!key_a.starts_with(&key_b), "no key is the beginning of another");
        }
    }

    #[test]
    fn bytes_cut_short_or_left_over_are_refused(
        shape in proptest::collection::vec(any::<u8>(), 0..12),
        dice in proptest::collection::vec(any::<u8>(), 0..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let ty = Choices(shape.iter()).a_type(3);
        let mut bytes = Vec::new();
        Choices(dice.iter()).value(&ty, &mut bytes);
        let layout = layout(&ty);
        if !bytes.is_empty() {
            let short = &bytes[..cut.index(bytes.len())];
            prop_assert!(!is_whole(&layout, short));
            prop_assert!(layout.encode(&mut &short[..], &mut Vec::new()).is_err());
        }
        bytes.push(0);
        prop_assert!(!is_whole(&layout, &bytes));
    }

    /// Whatever bytes come, walking and encoding agree on whether they are a value, and neither
    /// panics.
    #[test]
    fn walking_and_encoding_accept_the_same(
        shape in proptest::collection::vec(any::<u8>(), 0..12),
        bytes in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..40),
    ) {
        let layout = layout(&Choices(shape.iter()).a_type(3));
        let (mut walked, mut encoded) = (&bytes[..], &bytes[..]);
        let walk = layout.check(&mut walked);
        let encode = layout.encode(&mut encoded, &mut Vec::new());
        prop_assert_eq!(walk.is_ok(), encode.is_ok());
        if walk.is_ok() {
            prop_assert_eq!(walked, encoded);
        }
    }

    /// Keys in memory have two forms and a short cut for comparing; neither shows.
    #[test]
    fn keys_in_memory_compare_as_bytes(
        a in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..50),
        b in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..50),
        same in 0_usize..50,
    ) {
        let b: Vec<u8> = a.iter().take(same).chain(b.iter().skip(same)).copied().collect();
        let (key_a, key_b) = (Key::from(a.as_slice()), Key::from(b.as_slice()));
        prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
        prop_assert_eq!(key_a == key_b, a == b);
        prop_assert_eq!(key_a.as_bytes(), a);
    }

    /// Where a whole row is its own key, no two floats are one.
    #[test]
    fn exact_keys_of_floats_are_in_total_order(a in any::<u64>(), b in any::<u64>()) {
        let layout = layout(&AlgebraicType::F64);
        let key = |bits: u64| {
            let mut key = Vec::new();
            layout.encode_exact(&mut &bits.to_le_bytes()[..], &mut key).expect("eight bytes");
            key
        };
        let order = f64::from_bits(a).total_cmp(&f64::from_bits(b));
        prop_assert_eq!(key(a).cmp(&key(b)), order);
        prop_assert_eq!(order == Ordering::Equal, a == b);
    }

    #[test]
    fn keys_of_floats_are_in_the_order_of_their_library(a in any::<u32>(), b in any::<u32>()) {
        let layout = layout(&AlgebraicType::F32);
        let value = |bits: u32| AlgebraicValue::F32(f32::from_bits(bits).into());
        prop_assert_eq!(
            key(&layout, &a.to_le_bytes()).cmp(&key(&layout, &b.to_le_bytes())),
            value(a).cmp(&value(b))
        );
    }
}

#[test]
fn there_is_one_zero_and_one_nan() {
    let check = |ty: AlgebraicType, ascending: &[&[&[u8]]]| {
        let layout = layout(&ty);
        let keys: Vec<Vec<Vec<u8>>> = ascending
            .iter()
            .map(|same| same.iter().map(|bytes| key(&layout, bytes)).collect())
            .collect();
        for same in &keys {
            assert!(
                same.iter().all(|key| *key == same[0]),
                "{ty:?}: {same:02x?}"
            );
        }
        assert!(
            keys.windows(2).all(|pair| pair[0][0] < pair[1][0]),
            "{ty:?}: {keys:02x?}"
        );
    };
    let f = f64::to_le_bytes;
    let odd_nan = f64::from_bits(0xFFF0_0000_0000_0001);
    check(
        AlgebraicType::F64,
        &[
            &[&f(f64::NEG_INFINITY)],
            &[&f(-f64::MIN_POSITIVE)],
            &[&f(0.0), &f(-0.0)],
            &[&f(5e-324)],
            &[&f(f64::INFINITY)],
            &[&f(f64::NAN), &f(-f64::NAN), &f(odd_nan)],
        ],
    );
    let f = f32::to_le_bytes;
    check(
        AlgebraicType::F32,
        &[
            &[&f(f32::NEG_INFINITY)],
            &[&f(0.0), &f(-0.0)],
            &[&f(1e-45)],
            &[&f(f32::INFINITY)],
            &[&f(f32::NAN), &f(-f32::NAN), &f(f32::from_bits(0xFF80_0001))],
        ],
    );
}

#[test]
fn bad_values_are_refused() {
    let refused = |ty: AlgebraicType, bytes: &[u8]| {
        assert!(!is_whole(&layout(&ty), bytes), "{ty:?} {bytes:?}");
        assert!(
            layout(&ty)
                .encode(&mut &bytes[..], &mut Vec::new())
                .is_err(),
            "{ty:?} {bytes:?}"
        );
    };
    refused(AlgebraicType::Bool, &[2]);
    refused(AlgebraicType::String, &[1, 0, 0, 0, 0xFF]);
    refused(AlgebraicType::String, &[0xFF, 0xFF, 0xFF, 0xFF, b'a']);
    refused(AlgebraicType::bytes(), &[2, 0, 0, 0, 1]);
    refused(AlgebraicType::option(AlgebraicType::U8), &[2, 0]);
    refused(AlgebraicType::never(), &[0]);
    // Four thousand million empty elements fit into four bytes and into no memory.
    refused(AlgebraicType::array(AlgebraicType::unit()), &[0xFF; 4]);
    refused(AlgebraicType::array(AlgebraicType::U64), &[0xFF; 4]);
}
