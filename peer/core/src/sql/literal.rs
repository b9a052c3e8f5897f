//! Literals of a query as values of a column's type.

use spacetimedb_sats::AlgebraicType;

use crate::values::{Integer, Special, hex_bytes, special_from_text};

/// A literal as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// Digits, perhaps with a sign, a point or an exponent.
    Number(String),
    /// `'text'`.
    Text(String),
    /// The digits of `0x…` or `X'…'`.
    Hex(String),
    Bool(bool),
    /// `:sender`.
    Sender,
}

impl Literal {
    /// The literal as BSATN of a type; `None` if it is no value of it.
    pub(super) fn as_type(&self, ty: &AlgebraicType, sender: &[u8; 32]) -> Option<Vec<u8>> {
        let mut out = vec![];
        let special = Special::of_type(ty);
        let fits = match (self, special) {
            (Self::Sender, Some(Special::Identity)) => {
                out.extend_from_slice(sender);
                true
            }
            (Self::Text(text), Some(special)) => special_from_text(special, text, &mut out),
            (Self::Number(digits), Some(Special::Timestamp | Special::TimeDuration)) => {
                integer(digits).is_some_and(|integer| integer.write(&AlgebraicType::I64, &mut out))
            }
            (Self::Hex(digits), Some(special)) => Integer::parse_hex(digits)
                .is_some_and(|integer| integer.write(&special.inner(), &mut out)),
            (_, Some(_)) => false,
            (Self::Bool(value), None) if *ty == AlgebraicType::Bool => {
                out.push(u8::from(*value));
                true
            }
            (Self::Text(text), None) if *ty == AlgebraicType::String => {
                sized(text.as_bytes(), &mut out);
                true
            }
            (Self::Hex(digits), None) if ty.is_bytes() => match hex_bytes(digits) {
                Some(bytes) => {
                    sized(&bytes, &mut out);
                    true
                }
                None => false,
            },
            (Self::Number(digits), None) if ty.is_float() => return float(digits, ty),
            (Self::Number(digits), None) => {
                integer(digits).is_some_and(|integer| integer.write(ty, &mut out))
            }
            (Self::Hex(digits), None) => {
                Integer::parse_hex(digits).is_some_and(|integer| integer.write(ty, &mut out))
            }
            _ => false,
        };
        fits.then_some(out)
    }

    /// How an error repeats it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Number(digits) => shortened(digits),
            Self::Text(text) => format!("'{}'", shortened(text)),
            Self::Hex(digits) => format!("0x{}", shortened(digits)),
            Self::Bool(value) => value.to_string(),
            Self::Sender => ":sender".to_owned(),
        }
    }
}

/// A whole number; one with an exponent, like `1e6`, counts if it is whole.
fn integer(digits: &str) -> Option<Integer> {
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else {
        return Integer::parse(digits);
    };
    // No type holds more than 78 decimal digits.
    let zeros: usize = exponent
        .trim_start_matches('+')
        .parse()
        .ok()
        .filter(|zeros| *zeros < 80)?;
    Integer::parse(&format!("{mantissa}{}", "0".repeat(zeros)))
}

fn float(digits: &str, ty: &AlgebraicType) -> Option<Vec<u8>> {
    match ty {
        AlgebraicType::F32 => {
            let value: f32 = digits.parse().ok()?;
            value.is_finite().then(|| value.to_le_bytes().to_vec())
        }
        _ => {
            let value: f64 = digits.parse().ok()?;
            value.is_finite().then(|| value.to_le_bytes().to_vec())
        }
    }
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(bytes.len()).expect("a query's text is at most 32 KiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_take_the_type_of_their_column() {
        use AlgebraicType as T;
        let number = |text: &str| Literal::Number(text.to_owned());
        let text = |text: &str| Literal::Text(text.to_owned());
        let hex = |text: &str| Literal::Hex(text.to_owned());
        let sender = [7; 32];
        let check = |literal: Literal, ty: T, expected: Option<&[u8]>| {
            assert_eq!(
                literal.as_type(&ty, &sender).as_deref(),
                expected,
                "{literal:?} {ty:?}"
            );
        };
        check(number("-1"), T::I8, Some(&[255]));
        check(number("1e2"), T::U8, Some(&[100]));
        check(number("1e3"), T::U8, None);
        check(number("1e99"), T::U256, None);
        check(number("1.5"), T::U8, None);
        check(number("1.5"), T::F32, Some(&1.5_f32.to_le_bytes()));
        check(number("1e999"), T::F64, None);
        check(number("5"), T::timestamp(), Some(&5_i64.to_le_bytes()));
        check(number("5"), T::String, None);
        check(text("hi"), T::String, Some(b"\x02\0\0\0hi"));
        check(text("5"), T::U8, None);
        check(text("1970-01-01T00:00:00Z"), T::timestamp(), Some(&[0; 8]));
        check(text(&"01".repeat(32)), T::identity(), Some(&[1; 32]));
        check(hex("ff"), T::U16, Some(&[255, 0]));
        check(hex("0a0b"), T::bytes(), Some(b"\x02\0\0\0\x0A\x0B"));
        check(hex("a"), T::bytes(), None);
        check(hex(&"01".repeat(16)), T::connection_id(), Some(&[1; 16]));
        check(Literal::Sender, T::identity(), Some(&sender));
        check(Literal::Sender, T::U256, None);
        check(Literal::Bool(true), T::Bool, Some(&[1]));
        check(Literal::Bool(true), T::U8, None);
    }
}
