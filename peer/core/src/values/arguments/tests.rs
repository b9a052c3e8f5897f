//! One table of JSON and BSATN a kind of type.

use super::*;
use crate::values::special::uuid_type;

fn point() -> AlgebraicType {
    AlgebraicType::product([("x", AlgebraicType::I32), ("y_pos", AlgebraicType::I32)])
}

fn shape() -> AlgebraicType {
    AlgebraicType::sum([
        ("Circle", AlgebraicType::U8),
        ("Dot", AlgebraicType::unit()),
        ("At", point()),
    ])
}

/// One argument `a` of type `ty`, given alone in a list.
fn check(ty: &AlgebraicType, json: &str, expected: Result<&[u8], &str>) {
    let params = [("a".to_owned(), ty.clone())];
    let got = arguments_from_json(&params, &format!("[{json}]"));
    let got = got.as_deref().map_err(ToString::to_string);
    assert_eq!(got, expected.map_err(str::to_owned), "{json}");
    // The same by name.
    let keyed = arguments_from_json(&params, &format!("{{\"a\": {json}}}"));
    if let Ok(expected) = expected {
        assert_eq!(keyed.as_deref(), Ok(expected), "{json}");
    } else {
        assert!(keyed.is_err(), "{json}");
    }
}

fn ok(ty: &AlgebraicType, json: &str, bytes: &[u8]) {
    check(ty, json, Ok(bytes));
}

fn refused(ty: &AlgebraicType, json: &str, why: &str) {
    check(ty, json, Err(&format!("argument 1 `a`{why}")));
}

#[test]
fn numbers() {
    use AlgebraicType as T;
    ok(&T::I64, "-2", &(-2_i64).to_le_bytes());
    ok(&T::U16, "\"0x1ff\"", &[0xFF, 1]);
    ok(
        &T::U128,
        "340282366920938463463374607431768211455",
        &[255; 16],
    );
    ok(&T::U256, &format!("\"0x{}\"", "ff".repeat(32)), &[255; 32]);
    ok(&T::I128, "\"-1\"", &[255; 16]);
    ok(&T::F32, "0.1", &0.1_f32.to_le_bytes());
    ok(&T::F64, "-1e3", &(-1000_f64).to_le_bytes());
    ok(&T::F64, "\"-Infinity\"", &f64::NEG_INFINITY.to_le_bytes());
    ok(&T::F32, "\"NaN\"", &f32::NAN.to_le_bytes());
    ok(&T::Bool, "true", &[1]);
    refused(&T::I64, "\"ten\"", ": expected i64, got the text \"ten\"");
    refused(
        &T::U8,
        "256",
        ": expected u8 (0 to 255), got the number 256",
    );
    refused(&T::U32, "-1", ": expected u32, got the number -1");
    refused(&T::U32, "1.5", ": expected u32, got the number 1.5");
    refused(&T::F64, "1e999", ": expected f64, got the number 1e999");
    refused(&T::F32, "1e39", ": expected f32, got the number 1e39");
    refused(&T::F64, "null", ": expected f64, got null");
    refused(&T::Bool, "1", ": expected true or false, got the number 1");
    refused(&T::I64, "{}", ": expected i64, got an empty object");
}

#[test]
fn texts_and_bytes() {
    use AlgebraicType as T;
    ok(&T::String, r#""h\u00e9""#, b"\x03\0\0\0h\xC3\xA9");
    ok(&T::bytes(), "\"0x0aFF\"", b"\x02\0\0\0\x0A\xFF");
    ok(&T::bytes(), "[10, 255]", b"\x02\0\0\0\x0A\xFF");
    ok(&T::bytes(), "\"\"", b"\0\0\0\0");
    ok(&T::array(T::U16), "[1, 2]", b"\x02\0\0\0\x01\0\x02\0");
    refused(&T::String, "5", ": expected a text, got the number 5");
    refused(
        &T::bytes(),
        "\"0x0\"",
        ": expected bytes (a hex text or a list of numbers from 0 to 255), got the text \"0x0\"",
    );
    refused(
        &T::array(T::U16),
        "[1, 70000]",
        ", element 2: expected u16, got the number 70000",
    );
    refused(
        &T::array(T::U16),
        "\"ab\"",
        ": expected a list of u16, got the text \"ab\"",
    );
}

#[test]
fn products_and_enums() {
    use AlgebraicType as T;
    let at = [2, 1, 0, 0, 0, 2, 0, 0, 0];
    ok(&point(), r#"{"y_pos": 2, "x": 1}"#, &at[1..]);
    ok(&point(), r#"{"yPos": 2, "X": 1}"#, &at[1..]);
    ok(&point(), "[1, 2]", &at[1..]);
    ok(&T::unit(), "[]", &[]);
    ok(&T::unit(), "null", &[]);
    ok(&shape(), r#"{"Circle": 7}"#, &[0, 7]);
    ok(&shape(), r#"{"circle": 7}"#, &[0, 7]);
    ok(&shape(), r#""Dot""#, &[1]);
    ok(&shape(), r#"{"Dot": []}"#, &[1]);
    ok(&shape(), r#"{"1": {}}"#, &[1]);
    ok(&shape(), r#"[2, {"x": 1, "y_pos": 2}]"#, &at);
    ok(&shape(), r#"["At", [1, 2]]"#, &at);
    let fields = "expected an object with `x`, `y_pos`, got";
    refused(
        &point(),
        r#"{"x": 1}"#,
        &format!(": {fields} no field `y_pos`"),
    );
    refused(
        &point(),
        r#"{"x": 1, "z": 1}"#,
        &format!(": {fields} a field `z`"),
    );
    refused(
        &point(),
        r#"{"x": 1, "x": 1}"#,
        &format!(": {fields} the field `x` twice"),
    );
    refused(&point(), "[1]", &format!(": {fields} a list of 1 element"));
    refused(
        &point(),
        "[1, 2, 3]",
        &format!(": {fields} a list of 3 elements"),
    );
    refused(
        &point(),
        "[1, true]",
        ", field `y_pos`: expected i32, got true",
    );
    let variants = "expected one of `Circle`, `Dot`, `At`, got";
    refused(
        &shape(),
        r#""Square""#,
        &format!(": {variants} the text \"Square\""),
    );
    refused(
        &shape(),
        r#""Circle""#,
        &format!(": {variants} the text \"Circle\""),
    );
    refused(
        &shape(),
        r#"{"Square": 1}"#,
        &format!(": {variants} an object with `Square`"),
    );
    refused(
        &shape(),
        r#"{"Dot": [], "At": []}"#,
        &format!(": {variants} a second variant `At`"),
    );
    refused(&shape(), "{}", &format!(": {variants} an empty object"));
    refused(
        &shape(),
        "[9, []]",
        &format!(": {variants} a list of 2 elements"),
    );
    refused(&shape(), "3", &format!(": {variants} the number 3"));
    refused(
        &T::array(shape()),
        r#"["Dot", {"At": {"x": 1, "y_pos": "no"}}]"#,
        ", element 2, variant `At`, field `y_pos`: expected i32, got the text \"no\"",
    );
}

#[test]
fn options() {
    use AlgebraicType as T;
    let number = T::option(T::U16);
    for json in ["null", r#"{"none": []}"#, r#"{"none": null}"#, "[1, []]"] {
        ok(&number, json, &[1]);
    }
    for json in ["5", "\"5\"", r#"{"some": 5}"#, "[0, 5]"] {
        ok(&number, json, &[0, 5, 0]);
    }
    refused(&number, "true", ": expected u16, got true");
    // An option of a list: two numbers are the list, a list after a tag is the payload.
    let list = T::option(T::array(T::U16));
    ok(&list, "[0, 5]", b"\0\x02\0\0\0\0\0\x05\0");
    ok(&list, "[0, [5]]", b"\0\x01\0\0\0\x05\0");
    ok(&list, "[5]", b"\0\x01\0\0\0\x05\0");
    ok(&list, "[]", b"\0\0\0\0\0");
    ok(&list, "[1, []]", &[1]);
    ok(
        &T::option(point()),
        r#"{"x": 1, "y_pos": 2}"#,
        &[0, 1, 0, 0, 0, 2, 0, 0, 0],
    );
    ok(&T::option(shape()), r#""Dot""#, &[0, 1]);
    ok(&T::option(shape()), r#"{"some": {"Dot": []}}"#, &[0, 1]);
    ok(&T::option(number), "[0, [1, []]]", &[0, 1]);
}

#[test]
fn special_types() {
    use AlgebraicType as T;
    let mut identity = vec![0; 32];
    (identity[0], identity[31]) = (0x34, 0xC2);
    let hex = format!("c2{}34", "00".repeat(30));
    for json in [
        format!("\"{hex}\""),
        format!("\"0x{hex}\""),
        format!("{{\"__identity__\": \"0x{hex}\"}}"),
        format!("{{\"__identity__\": \"{hex}\"}}"),
        format!("[\"0x{hex}\"]"),
    ] {
        ok(&T::identity(), &json, &identity);
    }
    ok(
        &T::connection_id(),
        &format!("\"{}01\"", "00".repeat(15)),
        &1_u128.to_le_bytes(),
    );
    ok(
        &T::connection_id(),
        "{\"__connection_id__\": 1}",
        &1_u128.to_le_bytes(),
    );
    ok(
        &uuid_type(),
        "\"00000000-0000-0000-0000-000000000001\"",
        &1_u128.to_le_bytes(),
    );
    let second = 1_000_000_i64.to_le_bytes();
    for json in [
        "1000000",
        "\"1970-01-01T00:00:01Z\"",
        "{\"__timestamp_micros_since_unix_epoch__\": 1000000}",
        "[1000000]",
    ] {
        ok(&T::timestamp(), json, &second);
    }
    ok(&T::time_duration(), "1000000", &second);
    ok(
        &T::time_duration(),
        "{\"__time_duration_micros__\": \"1000000\"}",
        &second,
    );
    let form = ": expected an identity (64 hex digits), got";
    refused(&T::identity(), "\"me\"", &format!("{form} the text \"me\""));
    refused(&T::identity(), "true", &format!("{form} true"));
    refused(
        &T::timestamp(),
        "\"noon\"",
        ": expected a timestamp (microseconds since 1970 or RFC 3339 text), got the text \"noon\"",
    );
}

#[test]
fn how_many_and_which() {
    let params = [
        ("from".to_owned(), AlgebraicType::U64),
        ("amount".to_owned(), AlgebraicType::I64),
    ];
    let whole = |json: &str, expected: &str| {
        let got = arguments_from_json(&params, json).map_err(|error| error.to_string());
        assert_eq!(got, Err(expected.to_owned()), "{json}");
    };
    whole(
        "[1, \"ten\"]",
        "argument 2 `amount`: expected i64, got the text \"ten\"",
    );
    whole(
        "[1]",
        "argument 2 `amount` is missing: expected i64; 1 of 2 was given",
    );
    whole(
        "",
        "argument 1 `from` is missing: expected u64; 0 of 2 were given",
    );
    whole(
        "{\"amount\": 1}",
        "argument 1 `from` is missing: expected u64; 1 of 2 was given",
    );
    whole(
        "[1, 2, 3]",
        "3 arguments were given, but the reducer takes `from` (u64), `amount` (i64)",
    );
    whole(
        "{\"to\": 1}",
        "there is no parameter `to`: the reducer takes `from` (u64), `amount` (i64)",
    );
    whole(
        "{\"from\": 1, \"from\": 2}",
        "argument `from` is given twice",
    );
    whole(
        "nonsense",
        "the arguments are not JSON: expected a JSON value at line 1, column 1",
    );
    whole(
        "7 8",
        "the arguments are not JSON: expected the end of the text at line 1, column 3",
    );
    whole(
        "7",
        "expected the arguments as a JSON array, or as an object keyed by parameter, got the number 7",
    );
    whole(
        "[1,\n 2",
        "the arguments are not JSON: expected `,` or `]` at line 2, column 3",
    );
    whole(
        "[1, 2] x",
        "the arguments are not JSON: expected the end of the text at line 1, column 8",
    );
    assert_eq!(arguments_from_json(&[], " "), Ok(vec![]));
    assert_eq!(arguments_from_json(&[], "[]"), Ok(vec![]));
    assert_eq!(arguments_from_json(&[], "{}"), Ok(vec![]));
    let none = arguments_from_json(&[], "[1]").map_err(|error| error.to_string());
    assert_eq!(
        none,
        Err("1 arguments were given, but the reducer takes none".to_owned())
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let list = [("a".to_owned(), AlgebraicType::array(AlgebraicType::U256))];
    let zeros = format!("[[{}0]]", "0,".repeat(ARGUMENTS_BYTES_MAX / 32));
    assert!(matches!(
        arguments_from_json(&list, &zeros),
        Err(ArgumentError::TooLarge { what: "BSATN", .. })
    ));
    let long = " ".repeat(ARGUMENTS_JSON_BYTES_MAX + 1);
    assert!(matches!(
        arguments_from_json(&list, &long),
        Err(ArgumentError::TooLarge {
            what: "JSON text",
            ..
        })
    ));
    let nested = "[".repeat(100_000);
    assert!(matches!(
        arguments_from_json(&list, &nested),
        Err(ArgumentError::Wrong { .. } | ArgumentError::NotJson { .. })
    ));
    let mut deep = AlgebraicType::U8;
    for _ in 0..=DEPTH_MAX {
        deep = AlgebraicType::option(deep);
    }
    let deep = [("a".to_owned(), deep)];
    assert!(matches!(
        arguments_from_json(&deep, "[1]"),
        Err(ArgumentError::TooDeep { .. })
    ));
}
