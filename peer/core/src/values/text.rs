//! BSATN values as plain text for people: what a table on a terminal shows.

use std::fmt::Write;

use spacetimedb_sats::{AlgebraicType, i256, u256};

use super::DEPTH_MAX;
use super::bsatn::{BadValue, Reader};
use super::special::{Special, special_text};

/// Bytes of one row's text: bounds lists of elements without bytes.
const ROW_TEXT_BYTES_MAX: usize = 32 << 20;

/// One row as text, cell by cell. Control characters are escaped, so that a value cannot speak to
/// the terminal; texts inside of other values are quoted, a text alone is not.
///
/// # Errors
/// [`BadValue`] if the bytes are not such a row, or its text would be over 32 MiB.
pub(crate) fn row_text(
    columns: &[(String, AlgebraicType)],
    row: &[u8],
) -> Result<Vec<String>, BadValue> {
    let mut from = Reader::new(row);
    let cells = columns.iter().map(|(_, ty)| {
        let mut cell = String::new();
        match ty {
            AlgebraicType::String => escape(&mut cell, from.string()?),
            _ => value(&mut cell, ty, &mut from, 0)?,
        }
        Ok(cell)
    });
    let cells = cells.collect::<Result<_, _>>()?;
    from.finish()?;
    Ok(cells)
}

fn value(
    out: &mut String,
    ty: &AlgebraicType,
    from: &mut Reader<'_>,
    depth: u32,
) -> Result<(), BadValue> {
    if depth > DEPTH_MAX {
        return Err(BadValue::Type);
    }
    if out.len() > ROW_TEXT_BYTES_MAX {
        return Err(BadValue::TooLarge(ROW_TEXT_BYTES_MAX));
    }
    if let Some(special) = Special::of_type(ty) {
        out.push_str(&special_text(special, from.value(&special.inner())?));
        return Ok(());
    }
    match ty {
        AlgebraicType::Bool => show(out, from.boolean()?),
        AlgebraicType::I8 => show(out, i8::from_le_bytes(from.array()?)),
        AlgebraicType::U8 => show(out, u8::from_le_bytes(from.array()?)),
        AlgebraicType::I16 => show(out, i16::from_le_bytes(from.array()?)),
        AlgebraicType::U16 => show(out, u16::from_le_bytes(from.array()?)),
        AlgebraicType::I32 => show(out, i32::from_le_bytes(from.array()?)),
        AlgebraicType::U32 => show(out, u32::from_le_bytes(from.array()?)),
        AlgebraicType::I64 => show(out, i64::from_le_bytes(from.array()?)),
        AlgebraicType::U64 => show(out, u64::from_le_bytes(from.array()?)),
        AlgebraicType::I128 => show(out, i128::from_le_bytes(from.array()?)),
        AlgebraicType::U128 => show(out, u128::from_le_bytes(from.array()?)),
        AlgebraicType::I256 => show(out, i256::from_le_bytes(from.array()?)),
        AlgebraicType::U256 => show(out, u256::from_le_bytes(from.array()?)),
        AlgebraicType::F32 => show(out, f32::from_le_bytes(from.array()?)),
        AlgebraicType::F64 => show(out, f64::from_le_bytes(from.array()?)),
        AlgebraicType::String => {
            out.push('"');
            escape(out, &from.string()?.replace('"', "\\\""));
            out.push('"');
        }
        AlgebraicType::Product(product) => {
            out.push('{');
            for (at, field) in product.elements.iter().enumerate() {
                separate(out, at);
                if let Some(name) = &field.name {
                    let _ = write!(out, "{name}: ");
                }
                value(out, &field.algebraic_type, from, depth + 1)?;
            }
            out.push('}');
        }
        AlgebraicType::Sum(sum) => {
            let [tag] = from.array()?;
            let variants = sum.variants.len();
            let variant = sum
                .variants
                .get(usize::from(tag))
                .ok_or(BadValue::Tag { tag, variants })?;
            if sum.is_option() {
                // Most options are columns that may be empty: the bare value reads best.
                return match tag {
                    0 => value(out, &variant.algebraic_type, from, depth + 1),
                    _ => {
                        out.push_str("none");
                        Ok(())
                    }
                };
            }
            match &variant.name {
                Some(name) => out.push_str(name),
                None => show(out, tag),
            }
            if !variant.algebraic_type.is_unit() {
                out.push('(');
                value(out, &variant.algebraic_type, from, depth + 1)?;
                out.push(')');
            }
        }
        AlgebraicType::Array(_) if ty.is_bytes() => {
            let len = from.len()?;
            out.push_str("0x");
            for byte in from.take(len)? {
                let _ = write!(out, "{byte:02x}");
            }
        }
        AlgebraicType::Array(array) => {
            let len = from.len()?;
            out.push('[');
            for at in 0..len {
                separate(out, at);
                value(out, &array.elem_ty, from, depth + 1)?;
            }
            out.push(']');
        }
        AlgebraicType::Ref(_) => return Err(BadValue::Type),
    }
    Ok(())
}

fn show(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

fn separate(out: &mut String, at: usize) {
    if at > 0 {
        out.push_str(", ");
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_for_people() {
        use AlgebraicType as T;
        let check = |ty: T, bytes: &[u8], expected: &str| {
            let cells = row_text(&[("a".to_owned(), ty)], bytes);
            assert_eq!(cells, Ok(vec![expected.to_owned()]));
        };
        let shape = T::sum([("Circle", T::F32), ("Dot", T::unit())]);
        check(T::String, b"\x04\0\0\0a\"\x1B\n", "a\"\\u{1b}\\n");
        check(
            T::array(T::String),
            b"\x01\0\0\0\x02\0\0\0a\"",
            "[\"a\\\"\"]",
        );
        check(T::F64, &f64::NAN.to_le_bytes(), "NaN");
        check(T::bytes(), b"\x02\0\0\0\x0A\xFF", "0x0aff");
        check(T::option(T::U8), &[0, 7], "7");
        check(T::option(T::U8), &[1], "none");
        check(shape.clone(), &[0, 0, 0, 0, 0x3F], "Circle(0.5)");
        check(shape, &[1], "Dot");
        check(
            T::product([("x", T::U8), ("y", T::I8)]),
            &[1, 255],
            "{x: 1, y: -1}",
        );
        check(T::timestamp(), &0_i64.to_le_bytes(), "1970-01-01T00:00:00Z");
        check(T::I256, &[255; 32], "-1");
    }

    #[test]
    fn claimed_lengths_cost_nothing() {
        let units = [("a".to_owned(), AlgebraicType::array(AlgebraicType::unit()))];
        assert_eq!(
            row_text(&units, &[255; 4]),
            Err(BadValue::TooLarge(ROW_TEXT_BYTES_MAX))
        );
    }
}
