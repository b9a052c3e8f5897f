//! BSATN values as SATS-JSON, in two forms: the way SpacetimeDB's HTTP answers give rows, where
//! products are arrays and sums `[tag, value]`, and the way its clients of protocol v1 get them, where
//! both have names. In either, bytes are hex text, 256-bit numbers `"0x…"`, all other integers numbers.
//!
//! Written straight to text: a tree of JSON values cannot hold 128-bit numbers.

use std::fmt::Write;

use spacetimedb_sats::{AlgebraicType, ProductType, ProductTypeElement, i256, u256};

use super::DEPTH_MAX;
use super::bsatn::{BadValue, Reader};

/// Bytes of one row as JSON. A row has at most 1 MiB; this bounds lists of elements without bytes.
const ROW_JSON_BYTES_MAX: usize = 32 << 20;

/// Whether products and sums are written with names, where they have any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Places,
    Names,
}

/// One row as a JSON array.
///
/// # Errors
/// [`BadValue`] if the bytes are not such a row, or its text would be over 32 MiB.
pub(crate) fn row_json(
    columns: &[(String, AlgebraicType)],
    row: &[u8],
) -> Result<String, BadValue> {
    let mut from = Reader::new(row);
    let mut out = String::with_capacity(2 * row.len() + 2);
    list(&mut out, ['[', ']'], columns.iter(), |out, (_, ty)| {
        value(out, ty, &mut from, Form::Places, 0)
    })?;
    from.finish()?;
    Ok(out)
}

/// One row as a JSON object.
///
/// # Errors
/// Those of [`row_json`].
pub(crate) fn row_json_named(
    columns: &[(String, AlgebraicType)],
    row: &[u8],
) -> Result<String, BadValue> {
    let mut from = Reader::new(row);
    let mut out = String::with_capacity(4 * row.len() + 2);
    list(&mut out, ['{', '}'], columns.iter(), |out, (name, ty)| {
        key(out, name);
        value(out, ty, &mut from, Form::Names, 0)
    })?;
    from.finish()?;
    Ok(out)
}

/// The columns of an answer as SATS-JSON of a product type: the `schema` of SpacetimeDB's SQL
/// answers.
pub(crate) fn columns_json(columns: &[(String, AlgebraicType)]) -> serde_json::Value {
    let product: ProductType = columns
        .iter()
        .map(|(name, ty)| ProductTypeElement::new_named(ty.clone(), name.clone()))
        .collect();
    serde_json::to_value(product).expect("types are plain data with text keys")
}

fn value(
    out: &mut String,
    ty: &AlgebraicType,
    from: &mut Reader<'_>,
    form: Form,
    depth: u32,
) -> Result<(), BadValue> {
    if depth > DEPTH_MAX {
        return Err(BadValue::Type);
    }
    match ty {
        AlgebraicType::Bool => shown(out, from.boolean()?),
        AlgebraicType::I8 => shown(out, i8::from_le_bytes(from.array()?)),
        AlgebraicType::U8 => shown(out, u8::from_le_bytes(from.array()?)),
        AlgebraicType::I16 => shown(out, i16::from_le_bytes(from.array()?)),
        AlgebraicType::U16 => shown(out, u16::from_le_bytes(from.array()?)),
        AlgebraicType::I32 => shown(out, i32::from_le_bytes(from.array()?)),
        AlgebraicType::U32 => shown(out, u32::from_le_bytes(from.array()?)),
        AlgebraicType::I64 => shown(out, i64::from_le_bytes(from.array()?)),
        AlgebraicType::U64 => shown(out, u64::from_le_bytes(from.array()?)),
        AlgebraicType::I128 => shown(out, i128::from_le_bytes(from.array()?)),
        AlgebraicType::U128 => shown(out, u128::from_le_bytes(from.array()?)),
        AlgebraicType::I256 => {
            let number = i256::from_le_bytes(from.array()?);
            let sign = if number < i256::ZERO { "-" } else { "" };
            let _ = write!(out, "\"{sign}{:#x}\"", number.unsigned_abs());
        }
        AlgebraicType::U256 => {
            let _ = write!(out, "\"{:#x}\"", u256::from_le_bytes(from.array()?));
        }
        // JSON has no way to write NaN and infinities: null, as JavaScript does.
        AlgebraicType::F32 => json(out, f32::from_le_bytes(from.array()?)),
        AlgebraicType::F64 => json(out, f64::from_le_bytes(from.array()?)),
        AlgebraicType::String => json(out, from.string()?),
        AlgebraicType::Product(product) => {
            let has_names = product.elements.iter().all(|field| field.name.is_some());
            let around = match form == Form::Names && has_names {
                true => ['{', '}'],
                false => ['[', ']'],
            };
            list(out, around, product.elements.iter(), |out, field| {
                if let (['{', _], Some(name)) = (around, &field.name) {
                    key(out, name);
                }
                value(out, &field.algebraic_type, from, form, depth + 1)
            })?;
        }
        AlgebraicType::Sum(sum) => {
            let [tag] = from.array()?;
            let variants = sum.variants.len();
            let variant = sum
                .variants
                .get(usize::from(tag))
                .ok_or(BadValue::Tag { tag, variants })?;
            let end = match &variant.name {
                Some(name) if form == Form::Names => {
                    out.push('{');
                    key(out, name);
                    '}'
                }
                _ => {
                    let _ = write!(out, "[{tag},");
                    ']'
                }
            };
            value(out, &variant.algebraic_type, from, form, depth + 1)?;
            out.push(end);
        }
        AlgebraicType::Array(_) if ty.is_bytes() => {
            let len = from.len()?;
            out.push('"');
            for byte in from.take(len)? {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('"');
        }
        AlgebraicType::Array(array) => {
            let len = from.len()?;
            list(out, ['[', ']'], 0..len, |out, _| {
                value(out, &array.elem_ty, from, form, depth + 1)
            })?;
        }
        AlgebraicType::Ref(_) => return Err(BadValue::Type),
    }
    Ok(())
}

fn list<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T) -> Result<(), BadValue>,
) -> Result<(), BadValue> {
    out.push(open);
    for (at, item) in items.enumerate() {
        if out.len() > ROW_JSON_BYTES_MAX {
            return Err(BadValue::TooLarge(ROW_JSON_BYTES_MAX));
        }
        if at > 0 {
            out.push(',');
        }
        write(out, item)?;
    }
    out.push(close);
    Ok(())
}

fn key(out: &mut String, name: &str) {
    json(out, name);
    out.push(':');
}

fn shown(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

fn json(out: &mut String, value: impl serde::Serialize) {
    out.push_str(&serde_json::to_string(&value).expect("numbers and texts are always JSON"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spacetimedb_sats::serde::SerdeWrapper;
    use spacetimedb_sats::{AlgebraicValue, WithTypespace};

    use super::*;
    use crate::values::arguments_from_json;
    use crate::values::strategies::typed_value;

    fn check(ty: AlgebraicType, bytes: &[u8], expected: &str) {
        assert_eq!(
            row_json(&[("a".to_owned(), ty)], bytes),
            Ok(format!("[{expected}]"))
        );
    }

    #[test]
    fn rows_look_as_clients_expect() {
        use AlgebraicType as T;
        check(T::I64, &(-5_i64).to_le_bytes(), "-5");
        check(
            T::U128,
            &[255; 16],
            "340282366920938463463374607431768211455",
        );
        check(T::U256, &[255; 32], &format!("\"0x{}\"", "f".repeat(64)));
        check(T::I256, &[255; 32], "\"-0x1\"");
        check(T::F32, &0.1_f32.to_le_bytes(), "0.1");
        check(T::F64, &1.0_f64.to_le_bytes(), "1.0");
        check(T::F64, &f64::NAN.to_le_bytes(), "null");
        check(T::String, b"\x03\0\0\0a\"\n", r#""a\"\n""#);
        check(T::bytes(), b"\x02\0\0\0\x0A\xFF", "\"0aff\"");
        check(T::array(T::Bool), b"\x02\0\0\0\x01\0", "[true,false]");
        check(T::option(T::U8), &[0, 7], "[0,7]");
        check(T::option(T::U8), &[1], "[1,[]]");
        check(T::product([("x", T::U8), ("y", T::U8)]), &[1, 2], "[1,2]");
        check(T::timestamp(), &7_i64.to_le_bytes(), "[7]");
        let mut identity = [0; 32];
        identity[31] = 0xC2;
        check(
            T::identity(),
            &identity,
            &format!("[\"0xc2{}\"]", "00".repeat(31)),
        );
    }

    #[test]
    fn names_are_written_where_there_are_some() {
        use AlgebraicType as T;
        let point = T::product([("x", T::U8), ("\"y", T::option(T::timestamp()))]);
        let columns = [("at".to_owned(), point), ("n".to_owned(), T::U8)];
        assert_eq!(
            row_json_named(&columns, &[7, 1, 9]).as_deref(),
            Ok(r#"{"at":{"x":7,"\"y":{"none":{}}},"n":9}"#)
        );
        let unnamed = T::product([T::U8, T::U8]);
        assert_eq!(
            row_json_named(&[("a".to_owned(), unnamed)], &[1, 2]).as_deref(),
            Ok(r#"{"a":[1,2]}"#)
        );
    }

    #[test]
    fn damaged_rows_are_errors() {
        let columns = [("a".to_owned(), AlgebraicType::U16)];
        assert_eq!(row_json(&columns, &[1]), Err(BadValue::Truncated));
        assert_eq!(row_json(&columns, &[1, 2, 3]), Err(BadValue::Trailing(1)));
        let units = [("a".to_owned(), AlgebraicType::array(AlgebraicType::unit()))];
        assert_eq!(
            row_json(&units, &[255; 4]),
            Err(BadValue::TooLarge(ROW_JSON_BYTES_MAX))
        );
    }

    #[test]
    fn the_schema_is_a_product_type() {
        let columns = [("id".to_owned(), AlgebraicType::U64)];
        let expected = r#"{"elements":[{"name":{"some":"id"},"algebraic_type":{"U64":[]}}]}"#;
        assert_eq!(columns_json(&columns).to_string(), expected);
    }

    proptest! {
        /// What a query shows can be given to a reducer, whatever the type.
        #[test]
        fn a_row_read_is_a_row_written((ty, bytes) in typed_value()) {
            let columns = [("a".to_owned(), ty.clone())];
            let json = row_json(&columns, &bytes)?;
            let again = arguments_from_json(&columns, &json)
                .map_err(|error| TestCaseError::fail(format!("{json} {ty:?}: {error}")))?;
            prop_assert_eq!(again, bytes, "{}", json);
        }

        /// The named form, as SDKs write it, means the same.
        #[test]
        fn named_fields_are_understood((ty, bytes) in typed_value()) {
            let value = AlgebraicValue::decode(&ty, &mut &bytes[..]).expect("a value");
            let typed = WithTypespace::empty(&ty).with_value(&value);
            let json = serde_json::to_string(SerdeWrapper::from_ref(&typed))?;
            let columns = [("a".to_owned(), ty.clone())];
            let again = arguments_from_json(&columns, &format!("[{json}]"))
                .map_err(|error| TestCaseError::fail(format!("{json} {ty:?}: {error}")))?;
            prop_assert_eq!(&again, &bytes, "{}", json);
            let ours = row_json_named(&columns, &bytes)?;
            prop_assert_eq!(ours, format!("{{\"a\":{json}}}"));
        }

        #[test]
        fn any_bytes_are_read_without_panic((ty, _) in typed_value(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let columns = [("a".to_owned(), ty)];
            let sound = Reader::new(&bytes).value(&columns[0].1).is_ok_and(|read| read.len() == bytes.len());
            match row_json(&columns, &bytes) {
                Ok(_) => prop_assert!(sound),
                Err(BadValue::TooLarge(_)) => {}
                Err(_) => prop_assert!(!sound),
            }
            let _ = crate::values::row_text(&columns, &bytes);
        }

        #[test]
        fn any_json_is_read_without_panic((ty, _) in typed_value(), json in r#"[\[\]{},:"0-9e\-a-c]{0,40}"#) {
            let columns = [("a".to_owned(), ty)];
            let _ = arguments_from_json(&columns, &json);
            let _ = arguments_from_json(&columns, &format!("[{json}]"));
        }
    }
}
