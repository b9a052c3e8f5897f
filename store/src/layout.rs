//! A column's type, compiled once: walks BSATN bytes and turns them into sort-preserving key bytes
//! without building values.
//!
//! Key bytes of a value compare as the values do, and no key is the beginning of another of the
//! same type, so keys of several columns can simply follow each other:
//!
//! | type | key bytes |
//! |---|---|
//! | bool, unsigned | big-endian |
//! | signed | big-endian, top bit flipped |
//! | float | big-endian bits; negative ones inverted, the others with the top bit flipped |
//! | string, array of u8 | the bytes with `00` written as `00 FF`, then `00 00` |
//! | array | each element after `01`, then `00` |
//! | array whose elements take no bytes | how many, big-endian in four bytes |
//! | product | its fields |
//! | sum | the tag, then its value |
//!
//! Floats are in SpacetimeDB's order: all zeros are one value, and all NaNs are one, above infinity.
//! Where a whole row is its own key, `-0` and `0` must stay apart, and so must NaNs: rows that
//! differ in any bit are different rows. [`Layout::encode_exact`] gives IEEE 754's total order.

use spacetimedb_sats::AlgebraicType;

use crate::error::DataError;
use crate::limits::{EMPTY_ELEMENTS_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX};

/// Why bytes are not a value of a type.
pub(crate) type Malformed = &'static str;

const TOO_SHORT: Malformed = "the bytes end too early";

/// A type in the form in which bytes are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Bool,
    /// Width in bytes.
    Unsigned(usize),
    /// Width in bytes.
    Signed(usize),
    /// Width in bytes.
    Float(usize),
    String,
    /// An array of `u8`, by far the most common array.
    Bytes,
    Array {
        element: Box<Layout>,
        /// Bytes of an element, where every pattern of so many bytes is one.
        plain: Option<usize>,
    },
    Product {
        fields: Box<[Layout]>,
        /// Bytes of the whole, where every pattern of so many bytes is one.
        plain: Option<usize>,
    },
    Sum(Box<[Layout]>),
}

/// Why a type cannot be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadType {
    Unresolved,
    TooLarge,
}

impl Layout {
    /// Compiles a resolved type. `nodes` counts what the whole row type has used so far.
    pub(crate) fn compile(ty: &AlgebraicType, nodes: &mut usize) -> Result<Self, BadType> {
        Self::compile_at(ty, nodes, 0)
    }

    fn compile_at(ty: &AlgebraicType, nodes: &mut usize, depth: usize) -> Result<Self, BadType> {
        *nodes += 1;
        if depth > TYPE_DEPTH_MAX || *nodes > TYPE_NODES_MAX {
            return Err(BadType::TooLarge);
        }
        Ok(match ty {
            AlgebraicType::Ref(_) => return Err(BadType::Unresolved),
            AlgebraicType::Bool => Self::Bool,
            AlgebraicType::U8 => Self::Unsigned(1),
            AlgebraicType::U16 => Self::Unsigned(2),
            AlgebraicType::U32 => Self::Unsigned(4),
            AlgebraicType::U64 => Self::Unsigned(8),
            AlgebraicType::U128 => Self::Unsigned(16),
            AlgebraicType::U256 => Self::Unsigned(32),
            AlgebraicType::I8 => Self::Signed(1),
            AlgebraicType::I16 => Self::Signed(2),
            AlgebraicType::I32 => Self::Signed(4),
            AlgebraicType::I64 => Self::Signed(8),
            AlgebraicType::I128 => Self::Signed(16),
            AlgebraicType::I256 => Self::Signed(32),
            AlgebraicType::F32 => Self::Float(4),
            AlgebraicType::F64 => Self::Float(8),
            AlgebraicType::String => Self::String,
            AlgebraicType::Array(array) if *array.elem_ty == AlgebraicType::U8 => Self::Bytes,
            AlgebraicType::Array(array) => {
                let element = Self::compile_at(&array.elem_ty, nodes, depth + 1)?;
                let plain = element.plain();
                Self::Array {
                    element: Box::new(element),
                    plain,
                }
            }
            AlgebraicType::Product(product) => {
                let fields = product
                    .elements
                    .iter()
                    .map(|field| Self::compile_at(&field.algebraic_type, nodes, depth + 1))
                    .collect::<Result<Box<[_]>, _>>()?;
                let plain = fields.iter().map(Self::plain).sum();
                Self::Product { fields, plain }
            }
            AlgebraicType::Sum(sum) => {
                // The tag is one byte, so a 257th variant could never be written.
                if sum.variants.len() > 256 {
                    return Err(BadType::TooLarge);
                }
                Self::Sum(
                    sum.variants
                        .iter()
                        .map(|variant| Self::compile_at(&variant.algebraic_type, nodes, depth + 1))
                        .collect::<Result<Box<[_]>, _>>()?,
                )
            }
        })
    }

    /// Appends bytes that two layouts share only if values and keys of both look alike.
    pub(crate) fn describe(&self, out: &mut Vec<u8>) {
        // Widths are at most 32 and the kinds lie above them, so one byte says both.
        const SIGNED: u8 = 0x40;
        const FLOAT: u8 = 0x80;
        let wide = |kind: u8, width: &usize| kind | u8::try_from(*width).unwrap_or(0);
        match self {
            Self::Unsigned(width) => out.push(wide(0, width)),
            Self::Signed(width) => out.push(wide(SIGNED, width)),
            Self::Float(width) => out.push(wide(FLOAT, width)),
            Self::Bool => out.push(0xF0),
            Self::String => out.push(0xF1),
            Self::Bytes => out.push(0xF2),
            Self::Array { element, .. } => {
                out.push(0xF3);
                element.describe(out);
            }
            Self::Product { fields, .. } => describe_all(0xF4, fields, out),
            Self::Sum(variants) => describe_all(0xF5, variants, out),
        }
    }

    /// Bytes of a value, if they are the same for all values and every pattern of them is one.
    pub(crate) fn plain(&self) -> Option<usize> {
        match self {
            Self::Unsigned(width) | Self::Signed(width) | Self::Float(width) => Some(*width),
            Self::Product { plain, .. } => *plain,
            Self::Bool | Self::String | Self::Bytes | Self::Array { .. } | Self::Sum(_) => None,
        }
    }

    /// Steps over one value at the front of `input`, checking it.
    pub(crate) fn check(&self, input: &mut &[u8]) -> Result<(), Malformed> {
        match self {
            Self::Bool => match take(input, 1)?[0] {
                0 | 1 => Ok(()),
                _ => Err("a bool is 0 or 1"),
            },
            Self::Unsigned(width) | Self::Signed(width) | Self::Float(width) => {
                take(input, *width).map(|_| ())
            }
            Self::String => {
                let bytes = take_counted(input)?;
                match std::str::from_utf8(bytes) {
                    Ok(_) => Ok(()),
                    Err(_) => Err("a string is not UTF-8"),
                }
            }
            Self::Bytes => take_counted(input).map(|_| ()),
            Self::Array { element, plain } => {
                let count = take_count(input)?;
                match plain {
                    Some(0) => empty_elements(count),
                    Some(width) => {
                        let bytes = count.checked_mul(*width).ok_or(TOO_SHORT)?;
                        take(input, bytes).map(|_| ())
                    }
                    None => {
                        for _ in 0..count {
                            element.check(input)?;
                        }
                        Ok(())
                    }
                }
            }
            Self::Product {
                plain: Some(width), ..
            } => take(input, *width).map(|_| ()),
            Self::Product {
                fields,
                plain: None,
            } => fields.iter().try_for_each(|field| field.check(input)),
            Self::Sum(variants) => variant(variants, input)?.1.check(input),
        }
    }

    /// Steps over one value at the front of `input` and appends its key bytes to `key`: those of
    /// two values are equal where SpacetimeDB takes the values for equal.
    ///
    /// On an error `key` holds a part of them.
    pub(crate) fn encode(&self, input: &mut &[u8], key: &mut Vec<u8>) -> Result<(), Malformed> {
        self.encode_as::<false>(input, key)
    }

    /// The same, but the key bytes of two values are equal only where all their bits are.
    pub(crate) fn encode_exact(
        &self,
        input: &mut &[u8],
        key: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.encode_as::<true>(input, key)
    }

    /// Whether two values, whole and checked, have the same key bytes.
    pub(crate) fn same_key(&self, mut a: &[u8], mut b: &[u8]) -> bool {
        let (mut key_a, mut key_b) = (Vec::new(), Vec::new());
        let encoded = self
            .encode(&mut a, &mut key_a)
            .and_then(|()| self.encode(&mut b, &mut key_b));
        encoded.is_ok() && key_a == key_b
    }

    /// Whether values whose bits differ may have the same key bytes.
    pub(crate) fn has_float(&self) -> bool {
        match self {
            Self::Float(_) => true,
            Self::Array { element, .. } => element.has_float(),
            Self::Product { fields, .. } => fields.iter().any(Self::has_float),
            Self::Sum(variants) => variants.iter().any(Self::has_float),
            Self::Bool | Self::Unsigned(_) | Self::Signed(_) | Self::String | Self::Bytes => false,
        }
    }

    fn encode_as<const EXACT: bool>(
        &self,
        input: &mut &[u8],
        key: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match self {
            Self::Bool => match take(input, 1)?[0] {
                bit @ (0 | 1) => key.push(bit),
                _ => return Err("a bool is 0 or 1"),
            },
            Self::Unsigned(width) => {
                push_reversed(take(input, *width)?, key);
            }
            Self::Signed(width) => {
                let start = key.len();
                push_reversed(take(input, *width)?, key);
                key[start] ^= 0x80;
            }
            Self::Float(width) => {
                let start = key.len();
                push_reversed(take(input, *width)?, key);
                if !EXACT {
                    one_zero_one_nan(&mut key[start..]);
                }
                if key[start] & 0x80 == 0 {
                    key[start] ^= 0x80;
                } else {
                    key[start..].iter_mut().for_each(|byte| *byte = !*byte);
                }
            }
            Self::String => {
                let bytes = take_counted(input)?;
                if std::str::from_utf8(bytes).is_err() {
                    return Err("a string is not UTF-8");
                }
                push_escaped(bytes, key);
            }
            Self::Bytes => push_escaped(take_counted(input)?, key),
            Self::Array { element, plain } => {
                let count = take_count(input)?;
                if *plain == Some(0) {
                    // Such arrays differ in their length alone, and four bytes of a row that
                    // became as many key bytes as it says would be a row of 1 MiB with a key of
                    // 16 GiB.
                    empty_elements(count)?;
                    key.extend_from_slice(&as_u32(count).to_be_bytes());
                    return Ok(());
                }
                for _ in 0..count {
                    key.push(1);
                    element.encode_as::<EXACT>(input, key)?;
                }
                key.push(0);
            }
            Self::Product { fields, .. } => {
                fields
                    .iter()
                    .try_for_each(|field| field.encode_as::<EXACT>(input, key))?;
            }
            Self::Sum(variants) => {
                let (tag, layout) = variant(variants, input)?;
                key.push(tag);
                layout.encode_as::<EXACT>(input, key)?;
            }
        }
        Ok(())
    }
}

/// The bytes by which the store orders a value, BSATN of a resolved type: they compare as the
/// values do, and no value's are the beginning of another's of the same type. In a stored key they
/// are cut after [`KEY_PART_BYTES_MAX`](crate::limits::KEY_PART_BYTES_MAX).
///
/// # Errors
/// [`DataError::Decode`] if the type is unresolved, too large or nested too deeply, or the bytes
/// are not exactly one value of it.
pub fn sort_key(ty: &AlgebraicType, mut value: &[u8]) -> Result<Vec<u8>, DataError> {
    let layout = Layout::compile(ty, &mut 0).map_err(|bad| {
        DataError::Decode(match bad {
            BadType::Unresolved => "the type is not resolved",
            BadType::TooLarge => "the type is too large or nested too deeply",
        })
    })?;
    let mut key = Vec::new();
    layout
        .encode(&mut value, &mut key)
        .map_err(DataError::Decode)?;
    if value.is_empty() {
        Ok(key)
    } else {
        Err(DataError::Decode("bytes are left over after the value"))
    }
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn describe_all(kind: u8, layouts: &[Layout], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&as_u32(layouts.len()).to_le_bytes());
    layouts.iter().for_each(|layout| layout.describe(out));
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (head, rest) = input.split_at_checked(count).ok_or(TOO_SHORT)?;
    *input = rest;
    Ok(head)
}

pub(crate) fn take_count(input: &mut &[u8]) -> Result<usize, Malformed> {
    let (head, rest) = input.split_first_chunk::<4>().ok_or(TOO_SHORT)?;
    *input = rest;
    Ok(u32::from_le_bytes(*head) as usize)
}

fn take_counted<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let count = take_count(input)?;
    take(input, count)
}

fn empty_elements(count: usize) -> Result<(), Malformed> {
    if count <= EMPTY_ELEMENTS_MAX {
        Ok(())
    } else {
        Err("an array of too many empty elements")
    }
}

fn variant<'a>(variants: &'a [Layout], input: &mut &[u8]) -> Result<(u8, &'a Layout), Malformed> {
    let tag = take(input, 1)?[0];
    let layout = variants
        .get(usize::from(tag))
        .ok_or("no variant has this tag")?;
    Ok((tag, layout))
}

/// Replaces the big-endian bits of a float that equals others by those that stand for all of them:
/// zero's, or those of the NaN that arithmetic gives.
fn one_zero_one_nan(bits: &mut [u8]) {
    if let Ok(narrow) = <[u8; 4]>::try_from(&*bits) {
        let value = f32::from_be_bytes(narrow);
        if value == 0.0 {
            bits.fill(0);
        } else if value.is_nan() {
            bits.copy_from_slice(&0x7FC0_0000_u32.to_be_bytes());
        }
    } else if let Ok(wide) = <[u8; 8]>::try_from(&*bits) {
        let value = f64::from_be_bytes(wide);
        if value == 0.0 {
            bits.fill(0);
        } else if value.is_nan() {
            bits.copy_from_slice(&0x7FF8_0000_0000_0000_u64.to_be_bytes());
        }
    }
}

fn push_reversed(bytes: &[u8], key: &mut Vec<u8>) {
    key.extend(bytes.iter().rev());
}

/// A zero byte would end the key too early, so it is written as `00 FF`; the end, `00 00`, sorts
/// before that and before every other byte, so the shorter string comes first.
fn push_escaped(mut bytes: &[u8], key: &mut Vec<u8>) {
    while let Some(zero) = bytes.iter().position(|byte| *byte == 0) {
        key.extend_from_slice(&bytes[..zero]);
        key.extend_from_slice(&[0, 0xFF]);
        bytes = &bytes[zero + 1..];
    }
    key.extend_from_slice(bytes);
    key.extend_from_slice(&[0, 0]);
}
