//! Names that are valid in client code.

use std::collections::BTreeSet;

use convert_case::{Case, Casing};

use crate::error::BindingsError;
use crate::model::{Function, Module};

/// What a table, column, parameter or index is called in TypeScript: `sent_at` is `sentAt`.
pub(crate) fn accessor(source: &str) -> String {
    identifier(source, Case::Camel)
}

/// What a type or a variant is called in client code: `firstKind` is `FirstKind`.
pub(crate) fn type_identifier(source: &str) -> String {
    identifier(source, Case::Pascal)
}

/// What a field without a name is called: objects with keys that are numbers lose their order.
pub(crate) fn unnamed(place: usize) -> String {
    format!("_{place}")
}

fn identifier(source: &str, case: Case) -> String {
    let valid = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
    converted(source, case, valid)
}

/// A name in another case, made of what is valid in a name, and not beginning with a digit.
pub(crate) fn converted(source: &str, case: Case, valid: fn(char) -> bool) -> String {
    let converted = source.to_case(case);
    // Only underscores: they are all that there is.
    let name = if converted.is_empty() {
        source
    } else {
        &converted
    };
    let name: String = name
        .chars()
        .map(|c| if valid(c) { c } else { '_' })
        .collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
        format!("_{name}")
    } else {
        name
    }
}

/// Refuses two things of a kind that a language would give one name.
pub(crate) fn distinct(
    module: &Module,
    accessor: fn(&str) -> String,
    of_function: fn(&Function) -> String,
) -> Result<(), BindingsError> {
    let mut tables = BTreeSet::new();
    for table in &module.tables {
        let name = &table.source_name;
        take(&mut tables, || "tables".into(), &accessor(name))?;
        let what = || format!("columns of table {name}");
        let mut columns = BTreeSet::new();
        for column in &table.columns {
            take(&mut columns, what, &accessor(&column.source_name))?;
        }
        let what = || format!("indexes of table {name}");
        let mut indexes = BTreeSet::new();
        for index in &table.indexes {
            take(&mut indexes, what, &accessor(&index.source_name))?;
        }
    }
    for (what, functions) in [
        ("reducers", &module.reducers),
        ("procedures", &module.procedures),
    ] {
        let mut taken = BTreeSet::new();
        for function in functions {
            take(&mut taken, || what.into(), &of_function(function))?;
            let what = || format!("parameters of {}", function.wire_name);
            let mut params = BTreeSet::new();
            for (param, _) in &function.params {
                take(&mut params, what, &accessor(param))?;
            }
        }
    }
    Ok(())
}

/// Bytes of a name. A peer refuses longer ones in modules.
const NAME_BYTES_MAX: usize = 256;

/// Refuses a name that another thing of the kind has already, or that is longer than names are.
pub(crate) fn take(
    taken: &mut BTreeSet<String>,
    what: impl FnOnce() -> String,
    name: &str,
) -> Result<(), BindingsError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(BindingsError::Senseless(format!(
            "a name in it has {} bytes",
            name.len()
        )));
    }
    if taken.insert(name.to_owned()) {
        return Ok(());
    }
    Err(BindingsError::SameName {
        what: what(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accessors_are_camel_case_and_never_numbers() {
        let cases = [
            ("sent_at", "sentAt"),
            ("person2", "person2"),
            ("u_8", "u8"),
            ("_age", "age"),
            ("HTTPServer", "httpServer"),
            ("2nd", "_2Nd"),
            ("0", "_0"),
            ("_", "_"),
            ("", "_"),
            ("größe", "größe"),
            ("a-b c", "aBC"),
            ("a.b", "a_b"),
        ];
        for (source, expected) in cases {
            assert_eq!(accessor(source), expected, "of {source}");
        }
        assert_eq!(type_identifier("first_kind"), "FirstKind");
        assert_eq!(type_identifier("chat_Line"), "ChatLine");
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut taken = BTreeSet::new();
        let what = || "columns".to_owned();
        assert_eq!(take(&mut taken, what, "a"), Ok(()));
        assert_eq!(
            take(&mut taken, what, "a"),
            Err(BindingsError::SameName {
                what: what(),
                name: "a".into()
            })
        );
    }
}
