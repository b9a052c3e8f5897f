//! Types and values out of any bytes, and what they mean, told once more and plainly: nothing here
//! shares code with what it is compared with.

use std::cmp::Ordering;

use spacetimedb_sats::{AlgebraicType, ProductTypeElement, SumTypeVariant, i256, u256};
use store::limits::EMPTY_ELEMENTS_MAX;

/// Makes choices out of bytes; after their end every choice is the first.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_le_bytes([0; 8].map(|_: u8| self.byte()))
    }

    /// What no choice has used.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// A type, at most `depth` levels of others inside it.
    pub(crate) fn a_type(&mut self, depth: u8) -> AlgebraicType {
        use AlgebraicType as Type;
        match self.below(if depth == 0 { 20 } else { 27 }) {
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
            19 => Type::unit(),
            20 => Type::option(self.a_type(depth - 1)),
            21 | 22 => Type::array(self.a_type(depth - 1)),
            23 | 24 => {
                let variants = (0..self.below(4)).map(|at| SumTypeVariant {
                    name: Some(format!("v{at}").into()),
                    algebraic_type: self.a_type(depth - 1),
                });
                Type::sum(variants.collect::<Box<[_]>>())
            }
            _ => {
                let fields = (0..self.below(4)).map(|at| ProductTypeElement {
                    name: Some(format!("f{at}").into()),
                    algebraic_type: self.a_type(depth - 1),
                });
                Type::product(fields.collect::<Box<[_]>>())
            }
        }
    }

    /// Appends BSATN of a value; nothing of use where a type has no values.
    pub(crate) fn value(&mut self, ty: &AlgebraicType, out: &mut Vec<u8>) {
        use AlgebraicType as Type;
        match ty {
            Type::Bool => out.push(self.below(2)),
            Type::String => {
                let alphabet = [
                    "",
                    "a",
                    "\0",
                    "b",
                    "\u{1}",
                    "é",
                    "\u{10FFFF}",
                    "\"",
                    "\\",
                    "\n",
                ];
                let text: String = (0..self.below(5))
                    .map(|_| alphabet[usize::from(self.below(10))])
                    .collect();
                out.extend_from_slice(&counted(text.as_bytes()));
            }
            Type::Array(array) => {
                let count = self.below(4);
                out.extend_from_slice(&u32::from(count).to_le_bytes());
                (0..count).for_each(|_| self.value(&array.elem_ty, out));
            }
            Type::Product(product) => product
                .elements
                .iter()
                .for_each(|field| self.value(&field.algebraic_type, out)),
            Type::Sum(sum) => {
                let Ok(count) = u8::try_from(sum.variants.len()) else {
                    return;
                };
                if count > 0 {
                    let tag = self.below(count);
                    out.push(tag);
                    self.value(&sum.variants[usize::from(tag)].algebraic_type, out);
                }
            }
            number => {
                // Bytes that repeat, but for one: neighbours are common.
                let (fill, at, other) = (self.byte(), self.byte(), self.byte());
                let width = width_of(number).unwrap_or(0);
                let start = out.len();
                out.resize(start + width, fill);
                if let Some(byte) = out[start..].get_mut(usize::from(at)) {
                    *byte = other;
                }
            }
        }
    }
}

/// The type of a row with columns of these types.
pub(crate) fn product(types: impl Iterator<Item = AlgebraicType>) -> AlgebraicType {
    let fields = types.map(|algebraic_type| ProductTypeElement {
        name: None,
        algebraic_type,
    });
    AlgebraicType::product(fields.collect::<Box<[_]>>())
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), bytes].concat()
}

/// Bytes of a number.
fn width_of(ty: &AlgebraicType) -> Option<usize> {
    use AlgebraicType as Type;
    Some(match ty {
        Type::U8 | Type::I8 => 1,
        Type::U16 | Type::I16 => 2,
        Type::U32 | Type::I32 | Type::F32 => 4,
        Type::U64 | Type::I64 | Type::F64 => 8,
        Type::U128 | Type::I128 => 16,
        Type::U256 | Type::I256 => 32,
        _ => return None,
    })
}

/// Whether all values of the type take no bytes.
fn is_empty(ty: &AlgebraicType) -> bool {
    match ty {
        AlgebraicType::Product(product) => product
            .elements
            .iter()
            .all(|field| is_empty(&field.algebraic_type)),
        _ => false,
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take_array(bytes)?)).ok()
}

/// Steps over one value; `None` if there is none at the front.
pub(crate) fn step(ty: &AlgebraicType, bytes: &mut &[u8]) -> Option<()> {
    use AlgebraicType as Type;
    match ty {
        Type::Ref(_) => None,
        Type::Bool => (take(bytes, 1)?[0] < 2).then_some(()),
        Type::String => {
            let count = take_count(bytes)?;
            String::from_utf8(take(bytes, count)?.to_vec()).ok()?;
            Some(())
        }
        Type::Array(array) => {
            let count = take_count(bytes)?;
            if is_empty(&array.elem_ty) {
                return (count <= EMPTY_ELEMENTS_MAX).then_some(());
            }
            (0..count).try_for_each(|_| step(&array.elem_ty, bytes))
        }
        Type::Product(product) => product
            .elements
            .iter()
            .try_for_each(|field| step(&field.algebraic_type, bytes)),
        Type::Sum(sum) => {
            let tag = take(bytes, 1)?[0];
            step(&sum.variants.get(usize::from(tag))?.algebraic_type, bytes)
        }
        number => take(bytes, width_of(number)?).map(|_| ()),
    }
}

/// Whether the bytes are one value, and nothing else.
pub(crate) fn is_value(ty: &AlgebraicType, mut bytes: &[u8]) -> bool {
    step(ty, &mut bytes).is_some() && bytes.is_empty()
}

/// Whether a float anywhere in the value is one that JSON cannot say.
pub(crate) fn has_odd_floats(ty: &AlgebraicType, bytes: &mut &[u8]) -> bool {
    use AlgebraicType as Type;
    match ty {
        Type::F32 => take_array(bytes).is_none_or(|bits| !f32::from_le_bytes(bits).is_finite()),
        Type::F64 => take_array(bytes).is_none_or(|bits| !f64::from_le_bytes(bits).is_finite()),
        Type::Array(array) => {
            let count = take_count(bytes).unwrap_or(0);
            !is_empty(&array.elem_ty) && (0..count).any(|_| has_odd_floats(&array.elem_ty, bytes))
        }
        Type::Product(product) => product
            .elements
            .iter()
            .any(|field| has_odd_floats(&field.algebraic_type, bytes)),
        Type::Sum(sum) => {
            let variant = take(bytes, 1).and_then(|tag| sum.variants.get(usize::from(tag[0])));
            variant.is_none_or(|variant| has_odd_floats(&variant.algebraic_type, bytes))
        }
        other => step(other, bytes).is_none(),
    }
}

/// As SpacetimeDB's indexes do: all zeros are one value, all NaNs are one, above infinity.
fn compare_floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if a < b => Ordering::Less,
        (false, false) if a > b => Ordering::Greater,
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// Compares two values as a person would: numbers as numbers, floats as SpacetimeDB does, text and lists from the front, the shorter one first. `None` if one of them is none.
pub(crate) fn compare(ty: &AlgebraicType, a: &mut &[u8], b: &mut &[u8]) -> Option<Ordering> {
    use AlgebraicType as Type;
    macro_rules! numbers {
        ($number:ty) => {{
            let (a, b) = (take_array(a)?, take_array(b)?);
            <$number>::from_le_bytes(a).cmp(&<$number>::from_le_bytes(b))
        }};
    }
    Some(match ty {
        Type::Ref(_) => return None,
        Type::Bool | Type::U8 => numbers!(u8),
        Type::I8 => numbers!(i8),
        Type::U16 => numbers!(u16),
        Type::I16 => numbers!(i16),
        Type::U32 => numbers!(u32),
        Type::I32 => numbers!(i32),
        Type::U64 => numbers!(u64),
        Type::I64 => numbers!(i64),
        Type::U128 => numbers!(u128),
        Type::I128 => numbers!(i128),
        Type::U256 => numbers!(u256),
        Type::I256 => numbers!(i256),
        Type::F32 => {
            let (a, b) = (take_array(a)?, take_array(b)?);
            compare_floats(f32::from_le_bytes(a).into(), f32::from_le_bytes(b).into())
        }
        Type::F64 => {
            let (a, b) = (take_array(a)?, take_array(b)?);
            compare_floats(f64::from_le_bytes(a), f64::from_le_bytes(b))
        }
        Type::String => {
            let (count_a, count_b) = (take_count(a)?, take_count(b)?);
            take(a, count_a)?.cmp(take(b, count_b)?)
        }
        Type::Array(array) => {
            let (count_a, count_b) = (take_count(a)?, take_count(b)?);
            if !is_empty(&array.elem_ty) {
                for _ in 0..count_a.min(count_b) {
                    let order = compare(&array.elem_ty, a, b)?;
                    if order.is_ne() {
                        return Some(order);
                    }
                }
            }
            count_a.cmp(&count_b)
        }
        Type::Product(product) => {
            for field in &product.elements {
                let order = compare(&field.algebraic_type, a, b)?;
                if order.is_ne() {
                    return Some(order);
                }
            }
            Ordering::Equal
        }
        Type::Sum(sum) => {
            let (tag_a, tag_b) = (take(a, 1)?[0], take(b, 1)?[0]);
            if tag_a != tag_b {
                return Some(tag_a.cmp(&tag_b));
            }
            let variant = sum.variants.get(usize::from(tag_a))?;
            compare(&variant.algebraic_type, a, b)?
        }
    })
}
