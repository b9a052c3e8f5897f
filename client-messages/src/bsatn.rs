//! BSATN as far as messages need it: little-endian numbers, `u32` lengths before strings and lists,
//! one byte for the variant of an enum. Every value has one spelling.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Malformed;
use crate::limits::QUERIES_PER_FRAME_MAX;

/// What is written and read as BSATN.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// A list grows as its items are read: its length alone allocates nothing.
    fn take_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let mut list = Vec::new();
        for _ in 0..reader.len()? {
            list.push(Self::take(reader)?);
        }
        Ok(list)
    }
}

/// The fields of a struct, in the order of the wire.
macro_rules! product {
    ($name:ty { $($field:ident),* $(,)? }) => {
        impl $crate::bsatn::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(
                reader: &mut $crate::bsatn::Reader<'_>,
            ) -> Result<Self, $crate::error::Malformed> {
                Ok(Self {
                    $($field: $crate::bsatn::Wire::take(reader)?,)*
                })
            }
        }
    };
}

/// The variants of an enum with their numbers, and the fields of each in the order of the wire.
macro_rules! sum {
    ($name:ty, $what:literal {
        $($tag:literal => $variant:ident $(($inner:ident))? $({ $($field:ident),* $(,)? })?),* $(,)?
    }) => {
        impl $crate::bsatn::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($inner))? $({ $($field),* })? => {
                        out.push($tag);
                        $($inner.put(out);)?
                        $($($field.put(out);)*)?
                    })*
                }
            }

            fn take(
                reader: &mut $crate::bsatn::Reader<'_>,
            ) -> Result<Self, $crate::error::Malformed> {
                Ok(match u8::take(reader)? {
                    $($tag => Self::$variant $(({
                        let $inner = $crate::bsatn::Wire::take(reader)?;
                        $inner
                    }))? $({ $($field: $crate::bsatn::Wire::take(reader)?),* })?,)*
                    tag => return Err($crate::error::Malformed::UnknownTag { what: $what, tag }),
                })
            }
        }
    };
}

/// What is left of a frame.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    queries_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        Self {
            rest: frame,
            queries_left: QUERIES_PER_FRAME_MAX,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next bytes of the frame.
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        self.rest.split_off(..len).ok_or(Malformed::CutShort)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A length, and as many bytes.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.len()?;
        self.slice(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.counted()?).map_err(|_| Malformed::NotUtf8)
    }

    /// A length that what is left can hold, if each of what it counts takes at least one byte.
    pub(crate) fn len(&mut self) -> Result<usize, Malformed> {
        let len = usize::try_from(u32::take(self)?).map_err(|_| Malformed::CutShort)?;
        if len > self.rest.len() {
            return Err(Malformed::CutShort);
        }
        Ok(len)
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(Malformed::Trailing { bytes }),
        }
    }
}

/// Reads one value that is the whole of the bytes.
pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The bytes of one value.
pub(crate) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

/// Writes a length.
///
/// # Panics
/// From 4 GiB on, which no message of ours comes near.
pub(crate) fn put_len(len: usize, out: &mut Vec<u8>) {
    let len = u32::try_from(len).expect("messages are far shorter than 4 GiB");
    len.put(out);
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Wire for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(Self::from_le_bytes(reader.array()?))
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, u128, i64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::take(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Malformed::UnknownTag { what: "flags", tag }),
        }
    }
}

/// Identities and connection ids.
impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array()
    }
}

impl Wire for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        out.extend_from_slice(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Bytes::copy_from_slice(reader.counted()?))
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.text()?.to_owned())
    }

    /// The only lists of strings are queries, and those are what a client can send many of.
    fn take_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let len = reader.len()?;
        let left = reader.queries_left.checked_sub(len);
        reader.queries_left = left.ok_or(Malformed::TooMany {
            what: "query strings",
            max: QUERIES_PER_FRAME_MAX,
        })?;
        (0..len).map(|_| Self::take(reader)).collect()
    }
}

impl Wire for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.text()?.into())
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => {
                out.push(0);
                value.put(out);
            }
            None => out.push(1),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::take(reader)? {
            0 => Ok(Some(T::take(reader)?)),
            1 => Ok(None),
            tag => Err(Malformed::UnknownTag {
                what: "an option",
                tag,
            }),
        }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Ok(value) => {
                out.push(0);
                value.put(out);
            }
            Err(error) => {
                out.push(1);
                error.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::take(reader)? {
            0 => Ok(Ok(T::take(reader)?)),
            1 => Ok(Err(E::take(reader)?)),
            tag => Err(Malformed::UnknownTag {
                what: "a result",
                tag,
            }),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        for item in self {
            item.put(out);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::take_list(reader)
    }
}
