//! The JSON that people and clients write for arguments, and the JSON and text that rows become.

use spacetimedb_sats::AlgebraicType;

use crate::types::{Choices, has_odd_floats, is_value, product};
use crate::values::{arguments_from_json, row_json, row_text};

/// Some parameters, then the JSON text of a call; or choices for values of them, which are written
/// as JSON and read back.
pub(crate) fn arguments(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let params: Vec<(String, AlgebraicType)> = (0..choices.below(4))
        .map(|at| (format!("p{at}"), choices.a_type(2)))
        .collect();
    let whole = product(params.iter().map(|(_, ty)| ty.clone()));
    if let Ok(json) = std::str::from_utf8(choices.rest()) {
        match arguments_from_json(&params, json) {
            Ok(arguments) => {
                assert!(is_value(&whole, &arguments), "arguments that are none");
                there_and_back(&params, &whole, &arguments);
            }
            Err(error) => {
                let _ = error.to_string();
            }
        }
    }
    let mut arguments = Vec::new();
    choices.value(&whole, &mut arguments);
    if is_value(&whole, &arguments) {
        there_and_back(&params, &whole, &arguments);
    }
}

/// A row can always be shown, and what is shown means the row.
fn there_and_back(params: &[(String, AlgebraicType)], whole: &AlgebraicType, row: &[u8]) {
    row_text(params, row).expect("a row can be shown");
    let json = row_json(params, row).expect("a row can be written");
    serde_json::from_str::<Box<serde_json::value::RawValue>>(&json).expect("it is JSON");
    // JSON has no NaN and no infinities: they are written as null.
    if !has_odd_floats(whole, &mut &row[..]) {
        let read = arguments_from_json(params, &json);
        assert_eq!(read.as_deref(), Ok(row), "{json} for {whole:?}");
    }
}
