//! Goes over BSATN without building anything, so that nothing that comes from a module is decoded
//! before it is known to be of bounded depth and no longer than it says.

use spacetimedb_sats::{AlgebraicType, Typespace};

/// Why bytes are not BSATN of a type within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WalkError {
    /// The bytes end before the value does.
    #[error("it ends too early")]
    Short,
    /// The value ends before the bytes do.
    #[error("it has {0} bytes too many")]
    Long(usize),
    /// A tag that the type does not have, a bool that is neither, text that is not UTF-8.
    #[error("it does not fit its type")]
    Misfit,
    /// Nested more deeply than permitted.
    #[error("it is nested too deeply")]
    Deep,
    /// A list longer than any that makes sense.
    #[error("a list in it has {0} elements")]
    List(usize),
}

/// Elements of a list: columns are numbered by 16 bits. Bytes are not counted as elements.
const LIST_LEN_MAX: usize = u16::MAX as usize;

/// Checks that `bytes` are one value of `ty` and nothing else.
pub(super) fn walk(
    bytes: &[u8],
    ty: &AlgebraicType,
    typespace: &Typespace,
    depth_max: usize,
) -> Result<(), WalkError> {
    let mut walker = Walker {
        rest: bytes,
        typespace,
    };
    walker.value(ty, depth_max)?;
    if walker.rest.is_empty() {
        Ok(())
    } else {
        Err(WalkError::Long(walker.rest.len()))
    }
}

struct Walker<'a> {
    rest: &'a [u8],
    typespace: &'a Typespace,
}

impl<'a> Walker<'a> {
    fn value(&mut self, ty: &AlgebraicType, depth: usize) -> Result<(), WalkError> {
        use AlgebraicType as T;
        let depth = depth.checked_sub(1).ok_or(WalkError::Deep)?;
        match ty {
            T::Ref(reference) => {
                let ty = self.typespace.get(*reference).ok_or(WalkError::Misfit)?;
                self.value(ty, depth)
            }
            T::Sum(sum) => {
                let tag = self.take(1)?[0];
                let variant = sum
                    .variants
                    .get(usize::from(tag))
                    .ok_or(WalkError::Misfit)?;
                self.value(&variant.algebraic_type, depth)
            }
            T::Product(product) => {
                let mut fields = product.elements.iter();
                fields.try_for_each(|field| self.value(&field.algebraic_type, depth))
            }
            T::Array(array) => {
                let len = self.len()?;
                if matches!(&*array.elem_ty, T::U8 | T::I8) {
                    return self.take(len).map(drop);
                }
                // Elements take at least a byte each in everything that is walked here.
                if len > self.rest.len() {
                    return Err(WalkError::Short);
                }
                if len > LIST_LEN_MAX {
                    return Err(WalkError::List(len));
                }
                (0..len).try_for_each(|_| self.value(&array.elem_ty, depth))
            }
            T::String => {
                let len = self.len()?;
                let text = self.take(len)?;
                std::str::from_utf8(text)
                    .map(drop)
                    .map_err(|_| WalkError::Misfit)
            }
            T::Bool => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err(WalkError::Misfit),
            },
            T::I8 | T::U8 => self.take(1).map(drop),
            T::I16 | T::U16 => self.take(2).map(drop),
            T::I32 | T::U32 | T::F32 => self.take(4).map(drop),
            T::I64 | T::U64 | T::F64 => self.take(8).map(drop),
            T::I128 | T::U128 => self.take(16).map(drop),
            T::I256 | T::U256 => self.take(32).map(drop),
        }
    }

    fn len(&mut self) -> Result<usize, WalkError> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WalkError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WalkError::Short)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_whole_or_not_at_all() {
        let pair = AlgebraicType::product([AlgebraicType::U16, AlgebraicType::String]);
        let check = |bytes: &[u8]| walk(bytes, &pair, Typespace::EMPTY, 8);
        assert_eq!(check(&[1, 0, 2, 0, 0, 0, b'h', b'i']), Ok(()));
        assert_eq!(check(&[1, 0, 2, 0, 0, 0, b'h']), Err(WalkError::Short));
        assert_eq!(check(&[1, 0, 0, 0, 0, 0, 7]), Err(WalkError::Long(1)));
        assert_eq!(check(&[1, 0, 1, 0, 0, 0, 0xFF]), Err(WalkError::Misfit));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = AlgebraicType::array(AlgebraicType::array(AlgebraicType::Bool));
        assert_eq!(walk(&[0; 4], &nested, Typespace::EMPTY, 1), Ok(()));
        let one_in_one = [1, 0, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(walk(&one_in_one, &nested, Typespace::EMPTY, 3), Ok(()));
        assert_eq!(
            walk(&one_in_one, &nested, Typespace::EMPTY, 2),
            Err(WalkError::Deep)
        );
        let endless = [0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(
            walk(&endless, &nested, Typespace::EMPTY, 3),
            Err(WalkError::Short)
        );
    }
}
