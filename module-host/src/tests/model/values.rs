//! Types and values of columns: how they are ordered, written and read. Written from the
//! documents, with none of the code under test.

use spacetimedb_sats::{AlgebraicType, ProductTypeElement, SumTypeVariant};

/// Elements of an array whose elements take no bytes: more are no value.
const NOTHINGS_MAX: usize = 65_536;

/// The type of a column, or of a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    Bool,
    /// Width in bytes.
    Unsigned(usize),
    /// Width in bytes.
    Signed(usize),
    F32,
    F64,
    String,
    Bytes,
    Identity,
    ConnectionId,
    Timestamp,
    TimeDuration,
    Uuid,
    Array(Box<Ty>),
    Option(Box<Ty>),
    Product(Vec<Ty>),
    Sum(Vec<Ty>),
}

/// A value. Their order is that of their types: numbers by size, floats by IEEE 754's total order
/// (of [`Value::plain`] ones: by size, all NaNs above infinity), texts and lists element by element,
/// enums by tag first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Bool(bool),
    /// The upper and the lower half of 256 bits.
    Unsigned(u128, u128),
    /// The upper and the lower half of 256 bits.
    Signed(i128, u128),
    Single(Single),
    Double(Double),
    Bytes(Vec<u8>),
    /// Elements of an array, fields of a product.
    List(Vec<Value>),
    Sum(u8, Box<Value>),
}

/// The bits of a float of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Single(pub(super) u32);

/// The bits of a float of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Double(pub(super) u64);

impl Ord for Single {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        f32::from_bits(self.0).total_cmp(&f32::from_bits(other.0))
    }
}

impl PartialOrd for Single {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Double {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        f64::from_bits(self.0).total_cmp(&f64::from_bits(other.0))
    }
}

impl PartialOrd for Double {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A row: a value for each column.
pub(super) type Row = Vec<Value>;

impl Ty {
    /// As a module describes it.
    pub(super) fn described(&self) -> AlgebraicType {
        use AlgebraicType as T;
        match self {
            Self::Bool => T::Bool,
            Self::Unsigned(1) => T::U8,
            Self::Unsigned(2) => T::U16,
            Self::Unsigned(4) => T::U32,
            Self::Unsigned(8) => T::U64,
            Self::Unsigned(16) => T::U128,
            Self::Unsigned(_) => T::U256,
            Self::Signed(1) => T::I8,
            Self::Signed(2) => T::I16,
            Self::Signed(4) => T::I32,
            Self::Signed(8) => T::I64,
            Self::Signed(16) => T::I128,
            Self::Signed(_) => T::I256,
            Self::F32 => T::F32,
            Self::F64 => T::F64,
            Self::String => T::String,
            Self::Bytes => T::bytes(),
            Self::Identity => T::identity(),
            Self::ConnectionId => T::connection_id(),
            Self::Timestamp => T::timestamp(),
            Self::TimeDuration => T::time_duration(),
            Self::Uuid => T::uuid(),
            Self::Array(element) => T::array(element.described()),
            Self::Option(some) => T::option(some.described()),
            Self::Product(fields) => {
                let fields = fields.iter().enumerate().map(|(place, ty)| {
                    ProductTypeElement::new_named(ty.described(), format!("f{place}"))
                });
                T::product(fields.collect::<Box<[_]>>())
            }
            Self::Sum(variants) => {
                let variants = variants.iter().enumerate().map(|(place, ty)| {
                    SumTypeVariant::new_named(ty.described(), format!("V{place}"))
                });
                T::sum(variants.collect::<Box<[_]>>())
            }
        }
    }

    /// Whether it is one number, which an `auto_inc` column must be.
    pub(super) const fn is_integer(&self) -> bool {
        matches!(self, Self::Unsigned(_) | Self::Signed(_))
    }

    /// Whether a direct index can be over it: small numbers, and enums that are nothing else.
    pub(super) fn is_direct(&self) -> bool {
        match self {
            Self::Sum(variants) => variants.iter().all(|ty| *ty == Self::Product(vec![])),
            ty => matches!(ty, Self::Unsigned(1 | 2 | 4 | 8)),
        }
    }

    /// Whether its values take no bytes.
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Product(fields) if fields.iter().all(Self::is_nothing))
    }

    /// Bytes of a number, and whether it is signed; of everything that is written like one.
    const fn number(&self) -> Option<(usize, bool)> {
        match self {
            Self::Unsigned(width) => Some((*width, false)),
            Self::Signed(width) => Some((*width, true)),
            Self::Identity => Some((32, false)),
            Self::ConnectionId | Self::Uuid => Some((16, false)),
            Self::Timestamp | Self::TimeDuration => Some((8, true)),
            _ => None,
        }
    }

    /// What the variants of an enum hold; an option is one.
    fn variants(&self) -> Option<Vec<&Self>> {
        const NONE: &Ty = &Ty::Product(Vec::new());
        match self {
            Self::Option(some) => Some(vec![some, NONE]),
            Self::Sum(variants) => Some(variants.iter().collect()),
            _ => None,
        }
    }

    /// Reads a value off the front of BSATN; `None` if there is none.
    pub(super) fn read(&self, input: &mut &[u8]) -> Option<Value> {
        if let Some((width, signed)) = self.number() {
            let bytes = take(input, width)?;
            let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let mut wide = [if negative { 0xFF } else { 0 }; 32];
            wide[..width].copy_from_slice(bytes);
            let half = |at: usize| u128::from_le_bytes(wide[at..at + 16].try_into().unwrap());
            return Some(if signed {
                Value::Signed(half(16).cast_signed(), half(0))
            } else {
                Value::Unsigned(half(16), half(0))
            });
        }
        if let Some(variants) = self.variants() {
            let tag = take(input, 1)?[0];
            let value = variants.get(usize::from(tag))?.read(input)?;
            return Some(Value::Sum(tag, Box::new(value)));
        }
        Some(match self {
            Self::Bool => match take(input, 1)?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return None,
            },
            Self::F32 => {
                Value::Single(Single(u32::from_le_bytes(take(input, 4)?.try_into().ok()?)))
            }
            Self::F64 => {
                Value::Double(Double(u64::from_le_bytes(take(input, 8)?.try_into().ok()?)))
            }
            Self::String | Self::Bytes => {
                let count = read_count(input)?;
                let bytes = take(input, count)?.to_vec();
                if *self == Self::String {
                    std::str::from_utf8(&bytes).ok()?;
                }
                Value::Bytes(bytes)
            }
            Self::Array(element) => {
                let count = read_count(input)?;
                if element.is_nothing() && count > NOTHINGS_MAX {
                    return None;
                }
                let mut elements = Vec::new();
                for _ in 0..count {
                    elements.push(element.read(input)?);
                }
                Value::List(elements)
            }
            Self::Product(fields) => {
                let fields = fields.iter().map(|field| field.read(input));
                Value::List(fields.collect::<Option<_>>()?)
            }
            _ => unreachable!("numbers and enums are dealt with above"),
        })
    }

    /// Key bytes of a value, as `docs/FILE_FORMAT.md` has them. Only keys that are cut are compared
    /// by these; all others by [`Value`]'s own order.
    pub(super) fn key_bytes(&self, value: &Value, key: &mut Vec<u8>) {
        match (self, value) {
            (_, Value::Bool(bit)) => key.push(u8::from(*bit)),
            (_, Value::Unsigned(..) | Value::Signed(..) | Value::Single(_) | Value::Double(_)) => {
                let start = key.len();
                value.write(self, key);
                key[start..].reverse();
                let float = matches!(value, Value::Single(_) | Value::Double(_));
                if float && key[start] & 0x80 != 0 {
                    key[start..].iter_mut().for_each(|byte| *byte = !*byte);
                } else if !matches!(value, Value::Unsigned(..)) {
                    key[start] ^= 0x80;
                }
            }
            (_, Value::Bytes(bytes)) => escaped(bytes.iter().copied(), key),
            (Self::Array(element), Value::List(elements)) if **element == Self::Unsigned(1) => {
                let mut bytes = Vec::new();
                elements
                    .iter()
                    .for_each(|value| value.write(element, &mut bytes));
                escaped(bytes.into_iter(), key);
            }
            // Nothing tells such arrays apart but their length.
            (Self::Array(element), Value::List(elements)) if element.is_nothing() => {
                let count = u32::try_from(elements.len()).unwrap();
                key.extend_from_slice(&count.to_be_bytes());
            }
            (Self::Array(element), Value::List(elements)) => {
                for value in elements {
                    key.push(1);
                    element.key_bytes(value, key);
                }
                key.push(0);
            }
            (Self::Product(fields), Value::List(values)) => {
                for (field, value) in fields.iter().zip(values) {
                    field.key_bytes(value, key);
                }
            }
            (_, Value::Sum(tag, value)) => {
                key.push(*tag);
                if let Some(variants) = self.variants() {
                    variants[usize::from(*tag)].key_bytes(value, key);
                }
            }
            (_, Value::List(_)) => unreachable!("only arrays and products are lists"),
        }
    }

    /// A value of this type: the same for the same seed, simple for small ones, and such that few
    /// seeds meet often.
    pub(super) fn value(&self, seed: u32) -> Value {
        if let Some((width, signed)) = self.number() {
            return number(width, signed, seed);
        }
        if let Some(variants) = self.variants() {
            let count = u32::try_from(variants.len()).unwrap();
            let tag = seed % count;
            let value = variants[tag as usize].value(seed / count);
            return Value::Sum(u8::try_from(tag).unwrap(), Box::new(value));
        }
        match self {
            Self::Bool => Value::Bool(seed % 2 == 1),
            Self::F32 => {
                let floats = [
                    0,
                    1.0_f32.to_bits(),
                    0x8000_0000,
                    f32::NAN.to_bits(),
                    0xFFC0_0001,
                    0x7F80_0001,
                    f32::NEG_INFINITY.to_bits(),
                    1,
                    (-1.5_f32).to_bits(),
                    f32::MAX.to_bits(),
                ];
                Value::Single(Single(floats[seed as usize % floats.len()]))
            }
            Self::F64 => {
                let floats = [
                    0,
                    1.0_f64.to_bits(),
                    0x8000_0000_0000_0000,
                    f64::NAN.to_bits(),
                    0xFFF8_0000_0000_0001,
                    0x7FF0_0000_0000_0001,
                    f64::INFINITY.to_bits(),
                    1,
                    (-1.5_f64).to_bits(),
                    f64::MIN.to_bits(),
                ];
                Value::Double(Double(floats[seed as usize % floats.len()]))
            }
            Self::String => {
                // Long ones are around the lengths at which a stored key is cut, some alike up to
                // there.
                let long = |count: usize, end: &str| "x".repeat(count) + end;
                let texts = [
                    String::new(),
                    "a".into(),
                    "b".into(),
                    long(600, ""),
                    "a\0".into(),
                    long(600, "a"),
                    "ab".into(),
                    long(510, ""),
                    "a\0b".into(),
                    long(511, ""),
                    "ä".into(),
                    long(479, "z"),
                    "\u{10FFFF}".into(),
                    long(509, "b"),
                    long(600, "b"),
                    "z".into(),
                ];
                Value::Bytes(texts[seed as usize % texts.len()].clone().into_bytes())
            }
            Self::Bytes => {
                let all: [&[u8]; 8] = [
                    b"",
                    b"\0",
                    b"\x01",
                    b"\xFF",
                    b"\0\0",
                    b"\0\xFF",
                    b"\xFF\0",
                    b"\x01\x01",
                ];
                Value::Bytes(match seed as usize {
                    seed if seed < 16 => all[seed % all.len()].to_vec(),
                    seed => [
                        vec![(seed % 2) as u8; [255, 256, 510, 700][seed % 4]],
                        all[seed % 3].to_vec(),
                    ]
                    .concat(),
                })
            }
            Self::Array(element) => {
                let count = seed % 4;
                let element =
                    |place: u32| element.value((seed / 4).wrapping_add(place * (seed / 8)));
                Value::List((0..count).map(element).collect())
            }
            Self::Product(fields) => {
                let mut rest = seed;
                let mut value = |field: &Self| {
                    let value = field.value(rest % 5);
                    rest /= 2;
                    value
                };
                Value::List(fields.iter().map(&mut value).collect())
            }
            _ => unreachable!("numbers and enums are dealt with above"),
        }
    }
}

impl Value {
    /// The value that stands for all that are the same to an index: of floats, all zeros are one,
    /// and all NaNs are one.
    pub(super) fn plain(&self) -> Self {
        match self {
            Self::Single(Single(bits)) => match f32::from_bits(*bits) {
                0.0 => Self::Single(Single(0)),
                value if value.is_nan() => Self::Single(Single(0x7FC0_0000)),
                _ => self.clone(),
            },
            Self::Double(Double(bits)) => match f64::from_bits(*bits) {
                0.0 => Self::Double(Double(0)),
                value if value.is_nan() => Self::Double(Double(0x7FF8_0000_0000_0000)),
                _ => self.clone(),
            },
            Self::List(values) => Self::List(values.iter().map(Self::plain).collect()),
            Self::Sum(tag, value) => Self::Sum(*tag, Box::new(value.plain())),
            other => other.clone(),
        }
    }

    /// Appends its BSATN.
    pub(super) fn write(&self, ty: &Ty, out: &mut Vec<u8>) {
        match self {
            Self::Bool(bit) => out.push(u8::from(*bit)),
            Self::Unsigned(upper, lower) => {
                let wide = [lower.to_le_bytes(), upper.to_le_bytes()].concat();
                out.extend_from_slice(&wide[..ty.number().unwrap().0]);
            }
            Self::Signed(upper, lower) => {
                let wide = [lower.to_le_bytes(), upper.to_le_bytes()].concat();
                out.extend_from_slice(&wide[..ty.number().unwrap().0]);
            }
            Self::Single(Single(bits)) => out.extend_from_slice(&bits.to_le_bytes()),
            Self::Double(Double(bits)) => out.extend_from_slice(&bits.to_le_bytes()),
            Self::Bytes(bytes) => {
                out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Self::List(values) => match ty {
                Ty::Array(element) => {
                    out.extend_from_slice(&u32::try_from(values.len()).unwrap().to_le_bytes());
                    values.iter().for_each(|value| value.write(element, out));
                }
                Ty::Product(fields) => {
                    let fields = values.iter().zip(fields);
                    fields.for_each(|(value, field)| value.write(field, out));
                }
                _ => unreachable!("only arrays and products are lists"),
            },
            Self::Sum(tag, value) => {
                out.push(*tag);
                value.write(ty.variants().unwrap()[usize::from(*tag)], out);
            }
        }
    }
}

/// A number of 256 bits: the smallest ones, those at the ends of a width, those in its middle, and
/// some that columns numbered by time get.
fn number(width: usize, signed: bool, seed: u32) -> Value {
    let bits = 8 * width;
    // Numbers are thought of as 256 bits, low half first, and cut to the width.
    let power = |bit: usize| match bit {
        0..128 => (0, 1_u128 << bit),
        _ => (1_u128 << (bit - 128), 0),
    };
    let below = |(upper, lower): (u128, u128)| match lower {
        0 => (upper.wrapping_sub(1), u128::MAX),
        _ => (upper, lower - 1),
    };
    // What a column gets that is numbered by time, in one of the first calls: so that it is taken.
    let by_time = |seed: u32| {
        let since = super::world::call_time(u64::from(seed / 2) + 1) - super::world::START;
        (0, u128::from(since) * 4_096 + u128::from(seed % 2))
    };
    let (upper, lower) = match seed % 24 {
        small @ 0..=2 => (0, u128::from(small)),
        seed @ 3..=6 if width >= 8 => by_time(seed - 3),
        // All bits: the largest, or -1.
        7 => (u128::MAX, u128::MAX),
        8 => (u128::MAX, u128::MAX - 1),
        9 => power(bits - 1),
        10 => below(power(bits - 1)),
        11 => below(below(power(bits - 1))),
        12 => power(bits / 2),
        13 => power(8 % bits),
        small => (0, u128::from(small)),
    };
    let mut wide = [lower.to_le_bytes(), upper.to_le_bytes()].concat();
    wide.truncate(width);
    let ty = if signed {
        Ty::Signed(width)
    } else {
        Ty::Unsigned(width)
    };
    ty.read(&mut &wide[..]).unwrap()
}

fn escaped(bytes: impl Iterator<Item = u8>, key: &mut Vec<u8>) {
    for byte in bytes {
        key.push(byte);
        if byte == 0 {
            key.push(0xFF);
        }
    }
    key.extend_from_slice(&[0, 0]);
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(head)
}

fn read_count(input: &mut &[u8]) -> Option<usize> {
    let bytes = take(input, 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}
