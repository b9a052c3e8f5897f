//! Compares two BSATN values of one type without decoding more than needed.

use std::cmp::Ordering;

use spacetimedb_sats::AlgebraicType;

use crate::values::Special;

/// How values of a column's type are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Bool and unsigned numbers.
    Unsigned,
    /// Signed numbers.
    Signed,
    /// Numbers as IEEE 754 compares them: NaN is neither less, equal, nor greater.
    Float32,
    /// The same, wider.
    Float64,
    /// Strings and bytes: byte by byte, behind a length.
    Sized,
}

impl Comparison {
    /// `None` for types without an order.
    pub(super) fn of(ty: &AlgebraicType) -> Option<Self> {
        if let Some(special) = Special::of_type(ty) {
            return Self::of(&special.inner());
        }
        Some(match ty {
            AlgebraicType::Bool => Self::Unsigned,
            AlgebraicType::F32 => Self::Float32,
            AlgebraicType::F64 => Self::Float64,
            AlgebraicType::String => Self::Sized,
            integer if integer.is_signed() => Self::Signed,
            integer if integer.is_unsigned() => Self::Unsigned,
            bytes if bytes.is_bytes() => Self::Sized,
            _ => return None,
        })
    }

    /// Whether an index orders values as this does. Indexes take all NaNs for one and
    /// give it a place, so floats are compared row by row.
    pub(super) const fn is_indexed_alike(self) -> bool {
        !matches!(self, Self::Float32 | Self::Float64)
    }

    /// Compares two values of the type; both are whole.
    pub(super) fn compare(self, left: &[u8], right: &[u8]) -> Option<Ordering> {
        match self {
            Self::Unsigned => Some(left.iter().rev().cmp(right.iter().rev())),
            Self::Signed => {
                let top = |bytes: &[u8]| bytes.last().map_or(0, |top| top ^ 0x80);
                let below = |bytes: &[u8]| bytes.len().saturating_sub(1);
                let rest = || {
                    left[..below(left)]
                        .iter()
                        .rev()
                        .cmp(right[..below(right)].iter().rev())
                };
                Some(top(left).cmp(&top(right)).then_with(rest))
            }
            Self::Float32 => {
                let number = |bytes: &[u8]| bytes.try_into().ok().map(f32::from_le_bytes);
                number(left)?.partial_cmp(&number(right)?)
            }
            Self::Float64 => {
                let number = |bytes: &[u8]| bytes.try_into().ok().map(f64::from_le_bytes);
                number(left)?.partial_cmp(&number(right)?)
            }
            Self::Sized => Some(left.get(4..).cmp(&right.get(4..))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spacetimedb_sats::AlgebraicValue;

    use super::*;
    use crate::values::strategies::value_of;

    #[test]
    fn floats_compare_as_numbers() {
        let compare = |left: f64, right: f64| {
            Comparison::Float64.compare(&left.to_le_bytes(), &right.to_le_bytes())
        };
        assert_eq!(compare(-0.0, 0.0), Some(Ordering::Equal));
        assert_eq!(compare(f64::NAN, f64::NAN), None);
        assert_eq!(compare(-1.5, 1.0), Some(Ordering::Less));
    }

    fn comparable() -> impl Strategy<Value = AlgebraicType> {
        use AlgebraicType as T;
        prop::sample::select(vec![
            T::Bool,
            T::I8,
            T::U8,
            T::I64,
            T::U64,
            T::I128,
            T::U128,
            T::I256,
            T::U256,
            T::F32,
            T::F64,
            T::String,
            T::bytes(),
            T::identity(),
            T::timestamp(),
        ])
    }

    proptest! {
        #[test]
        fn bytes_compare_as_their_values(
            (ty, left, right) in comparable()
                .prop_flat_map(|ty| (Just(ty.clone()), value_of(&ty), value_of(&ty)))
        ) {
            let decode = |bytes: &[u8]| AlgebraicValue::decode(&ty, &mut &bytes[..]).expect("a value");
            let comparison = Comparison::of(&ty).expect("comparable");
            prop_assert_eq!(comparison.compare(&left, &right), Some(decode(&left).cmp(&decode(&right))));
            prop_assert_eq!(comparison.compare(&left, &left), Some(Ordering::Equal));
        }
    }
}
