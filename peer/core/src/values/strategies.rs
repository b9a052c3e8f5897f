//! Random types and values of them, for the properties of this folder.

use proptest::prelude::*;
use spacetimedb_sats::{AlgebraicType, ProductType, SumType, SumTypeVariant};

use super::special::uuid_type;

/// A type and the BSATN of a value of it.
pub(crate) fn typed_value() -> impl Strategy<Value = (AlgebraicType, Vec<u8>)> {
    any_type().prop_flat_map(|ty| (Just(ty.clone()), value_of(&ty)))
}

/// Types as modules declare them, up to three levels deep.
pub(crate) fn any_type() -> impl Strategy<Value = AlgebraicType> {
    let leaf = prop::sample::select(vec![
        AlgebraicType::Bool,
        AlgebraicType::I8,
        AlgebraicType::U8,
        AlgebraicType::I16,
        AlgebraicType::U16,
        AlgebraicType::I32,
        AlgebraicType::U32,
        AlgebraicType::I64,
        AlgebraicType::U64,
        AlgebraicType::I128,
        AlgebraicType::U128,
        AlgebraicType::I256,
        AlgebraicType::U256,
        AlgebraicType::F32,
        AlgebraicType::F64,
        AlgebraicType::String,
        AlgebraicType::bytes(),
        AlgebraicType::unit(),
        AlgebraicType::identity(),
        AlgebraicType::connection_id(),
        AlgebraicType::timestamp(),
        AlgebraicType::time_duration(),
        uuid_type(),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(AlgebraicType::array),
            inner.prop_map(AlgebraicType::option),
            several.clone().prop_map(|types| {
                let fields = types.into_iter().zip(["f0", "f1", "f2"]);
                AlgebraicType::Product(fields.map(|(ty, name)| (name, ty)).collect::<ProductType>())
            }),
            several.prop_map(|types| {
                let variants = types.into_iter().zip(["V0", "V1", "V2"]);
                let variants: Box<[_]> = variants
                    .map(|(ty, name)| SumTypeVariant::new_named(ty, name))
                    .collect();
                AlgebraicType::Sum(SumType::from(variants))
            }),
        ]
    })
}

/// The BSATN of any value of a type without references, with floats that JSON can write.
pub(crate) fn value_of(ty: &AlgebraicType) -> BoxedStrategy<Vec<u8>> {
    fn bytes<T: Arbitrary + 'static, const N: usize>(
        le: fn(T) -> [u8; N],
    ) -> BoxedStrategy<Vec<u8>> {
        any::<T>().prop_map(move |value| le(value).to_vec()).boxed()
    }
    fn sized(bytes: &[u8], len: usize) -> Vec<u8> {
        let len = u32::try_from(len).expect("short");
        [&len.to_le_bytes(), bytes].concat()
    }
    match ty {
        AlgebraicType::Bool => bytes(|value: bool| [u8::from(value)]),
        AlgebraicType::I8 | AlgebraicType::U8 => bytes(|value: u8| [value]),
        AlgebraicType::I16 | AlgebraicType::U16 => bytes(u16::to_le_bytes),
        AlgebraicType::I32 | AlgebraicType::U32 => bytes(u32::to_le_bytes),
        AlgebraicType::I64 | AlgebraicType::U64 => bytes(u64::to_le_bytes),
        AlgebraicType::I128 | AlgebraicType::U128 => bytes(u128::to_le_bytes),
        AlgebraicType::I256 | AlgebraicType::U256 => bytes(|value: [u8; 32]| value),
        AlgebraicType::F32 => (prop::num::f32::NORMAL | prop::num::f32::ZERO)
            .prop_map(|value| value.to_le_bytes().to_vec())
            .boxed(),
        AlgebraicType::F64 => (prop::num::f64::NORMAL | prop::num::f64::ZERO)
            .prop_map(|value| value.to_le_bytes().to_vec())
            .boxed(),
        AlgebraicType::String => ".{0,8}"
            .prop_map(|text| sized(text.as_bytes(), text.len()))
            .boxed(),
        AlgebraicType::Product(product) => {
            let fields: Vec<_> = product
                .elements
                .iter()
                .map(|field| value_of(&field.algebraic_type))
                .collect();
            fields.prop_map(|fields| fields.concat()).boxed()
        }
        AlgebraicType::Sum(sum) => {
            let variants = sum.variants.iter().zip(0_u8..).map(|(variant, tag)| {
                let payload = value_of(&variant.algebraic_type);
                payload
                    .prop_map(move |payload| [&[tag], &payload[..]].concat())
                    .boxed()
            });
            prop::strategy::Union::new(variants).boxed()
        }
        AlgebraicType::Array(array) => prop::collection::vec(value_of(&array.elem_ty), 0..4)
            .prop_map(|elements| sized(&elements.concat(), elements.len()))
            .boxed(),
        AlgebraicType::Ref(_) => unreachable!("types of this file have no references"),
    }
}
