//! Walks BSATN bytes by their type, without building values.

use spacetimedb_sats::AlgebraicType;

use super::DEPTH_MAX;

/// Bytes that are not a value of their type. Rows were checked when they were written, so this
/// means a damaged disk or arguments that a client encoded wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    /// Fewer bytes than the type needs.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// Bytes after the last field.
    #[error("{0} bytes follow after the last field")]
    Trailing(usize),
    /// A tag that no variant has.
    #[error("tag {tag} of an enum with {variants} variants")]
    Tag {
        /// What was read.
        tag: u8,
        /// How many there are.
        variants: usize,
    },
    /// A bool that is neither 0 nor 1.
    #[error("byte {0} where a bool was expected")]
    Bool(u8),
    /// A string that is not UTF-8.
    #[error("a string that is not UTF-8")]
    NotUtf8,
    /// A type that refers to another one, or is nested too deeply.
    #[error("a type that is nested over {DEPTH_MAX} levels or not resolved")]
    Type,
    /// The written form would be larger than its bound.
    #[error("a value whose text would be larger than {0} bytes")]
    TooLarge(usize),
}

/// The bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], BadValue> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadValue::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadValue> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadValue::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The `u32` length before a string or a list.
    pub(crate) fn len(&mut self) -> Result<usize, BadValue> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, BadValue> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(BadValue::Bool(other)),
        }
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, BadValue> {
        let len = self.len()?;
        std::str::from_utf8(self.take(len)?).map_err(|_| BadValue::NotUtf8)
    }

    /// Reads one value of type `ty` and answers its bytes.
    ///
    /// # Errors
    /// [`BadValue`] if the bytes are not such a value.
    pub(crate) fn value(&mut self, ty: &AlgebraicType) -> Result<&'a [u8], BadValue> {
        let before = self.0;
        self.skip(ty, 0)?;
        Ok(&before[..before.len() - self.0.len()])
    }

    /// Says that everything was read.
    pub(crate) fn finish(&self) -> Result<(), BadValue> {
        match self.0.len() {
            0 => Ok(()),
            len => Err(BadValue::Trailing(len)),
        }
    }

    fn skip(&mut self, ty: &AlgebraicType, depth: u32) -> Result<(), BadValue> {
        if depth > DEPTH_MAX {
            return Err(BadValue::Type);
        }
        if let Some(width) = scalar_width(ty) {
            return if *ty == AlgebraicType::Bool {
                self.boolean().map(|_| ())
            } else {
                self.take(width).map(|_| ())
            };
        }
        match ty {
            AlgebraicType::String => self.string().map(|_| ()),
            AlgebraicType::Product(product) => product
                .elements
                .iter()
                .try_for_each(|field| self.skip(&field.algebraic_type, depth + 1)),
            AlgebraicType::Sum(sum) => {
                let [tag] = self.array()?;
                let variants = sum.variants.len();
                let variant = sum
                    .variants
                    .get(usize::from(tag))
                    .ok_or(BadValue::Tag { tag, variants })?;
                self.skip(&variant.algebraic_type, depth + 1)
            }
            AlgebraicType::Array(array) => {
                let len = self.len()?;
                if let Some(width) = scalar_width(&array.elem_ty)
                    && *array.elem_ty != AlgebraicType::Bool
                {
                    let bytes = len.checked_mul(width).ok_or(BadValue::Truncated)?;
                    return self.take(bytes).map(|_| ());
                }
                for _ in 0..len {
                    let left = self.0.len();
                    self.skip(&array.elem_ty, depth + 1)?;
                    // Elements of no bytes: the others are the same, so a claimed length of
                    // four billion costs nothing.
                    if self.0.len() == left {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(BadValue::Type),
        }
    }
}

/// Bytes of a scalar, `None` for everything else.
pub(super) const fn scalar_width(ty: &AlgebraicType) -> Option<usize> {
    Some(match ty {
        AlgebraicType::Bool | AlgebraicType::I8 | AlgebraicType::U8 => 1,
        AlgebraicType::I16 | AlgebraicType::U16 => 2,
        AlgebraicType::I32 | AlgebraicType::U32 | AlgebraicType::F32 => 4,
        AlgebraicType::I64 | AlgebraicType::U64 | AlgebraicType::F64 => 8,
        AlgebraicType::I128 | AlgebraicType::U128 => 16,
        AlgebraicType::I256 | AlgebraicType::U256 => 32,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &AlgebraicType, bytes: &[u8], expected: Result<usize, BadValue>) {
        assert_eq!(
            Reader::new(bytes).value(ty).map(<[u8]>::len),
            expected,
            "{bytes:?}"
        );
    }

    #[test]
    fn a_value_ends_where_its_type_says() {
        let units = AlgebraicType::array(AlgebraicType::unit());
        let option = AlgebraicType::option(AlgebraicType::U16);
        check(&AlgebraicType::U64, &[0; 9], Ok(8));
        check(&AlgebraicType::U64, &[0; 7], Err(BadValue::Truncated));
        check(&AlgebraicType::String, b"\x02\0\0\0hix", Ok(6));
        check(
            &AlgebraicType::String,
            b"\x01\0\0\0\xFF",
            Err(BadValue::NotUtf8),
        );
        check(&option, &[0, 1, 2, 3], Ok(3));
        check(&option, &[1, 1, 2, 3], Ok(1));
        check(
            &option,
            &[2],
            Err(BadValue::Tag {
                tag: 2,
                variants: 2,
            }),
        );
        check(
            &AlgebraicType::bytes(),
            &[255, 255, 255, 255, 0],
            Err(BadValue::Truncated),
        );
        check(&units, &[255; 4], Ok(4));
        check(&AlgebraicType::Bool, &[2], Err(BadValue::Bool(2)));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut ty = AlgebraicType::U8;
        for _ in 0..=DEPTH_MAX {
            ty = AlgebraicType::product([ty]);
        }
        check(&ty, &[1], Err(BadValue::Type));
    }
}
