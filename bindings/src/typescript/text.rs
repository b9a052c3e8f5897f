//! Pieces of TypeScript.

use std::fmt::Write as _;

pub(super) use crate::literal::string;

/// A key of an object, in quotes if it needs them.
pub(super) fn key(name: &str) -> String {
    let plain = |c: char| c == '_' || c == '$' || c.is_ascii_alphanumeric();
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        string(name)
    }
}

/// An object over several lines: `entries` are whole, without commas.
pub(super) fn block(entries: &[String], indent: usize) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let space = "  ".repeat(indent);
    let mut text = String::from("{\n");
    for entry in entries {
        let _ = writeln!(text, "{space}  {entry},");
    }
    text + &space + "}"
}

/// An object on one line.
pub(super) fn inline(entries: &[String]) -> String {
    if entries.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", entries.join(", "))
    }
}

/// The import of what a text uses from the client library, under names that begin with `__`: an
/// import that is not used is an error for compilers that are set to be strict.
pub(super) fn library_import(body: &str) -> String {
    let mut text = String::new();
    for (keyword, names) in [("import", LIBRARY_VALUES), ("import type", LIBRARY_TYPES)] {
        let used = names.iter().filter(|name| mentions(body, name));
        let names: Vec<String> = used.map(|name| format!("{name} as __{name}")).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "{keyword} {} from \"spacetimedb\";", block(&names, 0));
        }
    }
    text
}

/// The import of what a text uses of `result.ts`.
pub(super) fn result_import(body: &str) -> String {
    let names = [("result", "result"), ("Result", "type Result")];
    let used = names.iter().filter(|(name, _)| mentions(body, name));
    let used: Vec<String> = used
        .map(|(name, import)| format!("{import} as __{name}"))
        .collect();
    if used.is_empty() {
        String::new()
    } else {
        format!("import {}{RESULT_IMPORT}\n", block(&used, 0))
    }
}

/// How an import of `result.ts` ends.
pub(super) const RESULT_IMPORT: &str = " from \"./result\";";

/// What the client library exports, as values.
const LIBRARY_VALUES: &[&str] = &[
    "ColumnBuilder",
    "procedureSchema",
    "procedures",
    "reducerSchema",
    "reducers",
    "schema",
    "t",
    "table",
];

/// What the client library exports, as types.
const LIBRARY_TYPES: &[&str] = &[
    "AlgebraicType",
    "ConnectionId",
    "Identity",
    "Infer",
    "ScheduleAt",
    "TimeDuration",
    "Timestamp",
    "TypeBuilder",
    "Uuid",
];

/// Whether a text has a name with `__` before it, as a whole word.
fn mentions(body: &str, name: &str) -> bool {
    let word = format!("__{name}");
    let part = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
    body.match_indices(&word).any(|(at, _)| {
        let (before, after) = (&body[..at], &body[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_if_they_need_it() {
        assert_eq!(key("a_1"), "a_1");
        assert_eq!(key("größe"), "\"größe\"");
        assert_eq!(key("1a"), "\"1a\"");
    }

    #[test]
    fn only_what_is_used_is_imported() {
        let import = library_import("x: __t.u8(), y: __tables, z: a__table");
        assert_eq!(import, "import {\n  t as __t,\n} from \"spacetimedb\";\n");
        assert_eq!(result_import("__result_(1)"), "");
    }
}
