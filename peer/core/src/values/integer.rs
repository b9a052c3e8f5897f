//! Integers of every width between their text and their bytes.

use spacetimedb_sats::{AlgebraicType, u256};

use super::bsatn::scalar_width;

/// An integer as written, wide enough for every type: a sign and 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer {
    negative: bool,
    magnitude: u256,
}

impl Integer {
    /// Reads decimal digits, or hex digits after `0x`, with an optional sign in front. `None` if
    /// the text is anything else, or needs more than 256 bits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (radix, digits) = match digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"))
        {
            Some(digits) => (16, digits),
            None => (10, digits),
        };
        Some(Self {
            negative,
            magnitude: magnitude(digits, radix)?,
        })
    }

    /// Reads hex digits without a prefix.
    pub(crate) fn parse_hex(digits: &str) -> Option<Self> {
        Some(Self {
            negative: false,
            magnitude: magnitude(digits, 16)?,
        })
    }

    /// Appends the BSATN form of an integer type. `false`, and nothing is appended, if `ty` is no
    /// integer type or cannot hold the value.
    pub(crate) fn write(self, ty: &AlgebraicType, out: &mut Vec<u8>) -> bool {
        let (true, Some(width)) = (ty.is_integer(), scalar_width(ty)) else {
            return false;
        };
        let bits = 8 * width as u32;
        // The magnitudes a type holds: below 2^bits, or below 2^(bits-1) with one more below zero.
        let fits = if !ty.is_signed() {
            (!self.negative || self.magnitude == u256::ZERO)
                && (bits == 256 || self.magnitude >> bits == u256::ZERO)
        } else {
            let half = u256::ONE << (bits - 1);
            self.magnitude < half || (self.negative && self.magnitude == half)
        };
        if fits {
            let value = if self.negative {
                u256::ZERO.wrapping_sub(self.magnitude)
            } else {
                self.magnitude
            };
            out.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        fits
    }
}

fn magnitude(digits: &str, radix: u32) -> Option<u256> {
    if digits.is_empty() {
        return None;
    }
    let mut value = u256::ZERO;
    for digit in digits.chars() {
        let digit = digit.to_digit(radix)?;
        value = value
            .checked_mul(u256::from(radix))?
            .checked_add(u256::from(digit))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ty: &AlgebraicType, expected: Option<&[u8]>) {
        let mut out = Vec::new();
        let fits = Integer::parse(text).is_some_and(|integer| integer.write(ty, &mut out));
        assert_eq!(fits.then_some(&out[..]), expected, "{text} as {ty:?}");
    }

    #[test]
    fn every_width_has_its_edges() {
        use AlgebraicType as T;
        check("0", &T::U8, Some(&[0]));
        check("-0", &T::U8, Some(&[0]));
        check("255", &T::U8, Some(&[255]));
        check("256", &T::U8, None);
        check("-1", &T::U8, None);
        check("-128", &T::I8, Some(&[0x80]));
        check("128", &T::I8, None);
        check("-129", &T::I8, None);
        check("+7", &T::I16, Some(&[7, 0]));
        check("0x10", &T::I16, Some(&[16, 0]));
        check("-0xff", &T::I16, Some(&[1, 0xFF]));
        let max = "340282366920938463463374607431768211455";
        check(max, &T::U128, Some(&[255; 16]));
        check(max, &T::I128, None);
        let top = format!("0x{}", "f".repeat(64));
        check(&top, &T::U256, Some(&[255; 32]));
        check(&top, &T::I256, None);
        check(&format!("0x1{}", "0".repeat(64)), &T::U256, None);
        let mut lowest = [0; 32];
        lowest[31] = 0x80;
        check(&format!("-0x8{}", "0".repeat(63)), &T::I256, Some(&lowest));
        for text in ["", "-", "0x", "1.0", "1e3", " 1", "ten", "--1", "1_000"] {
            check(text, &T::I64, None);
        }
        check("1", &T::F64, None);
    }
}
