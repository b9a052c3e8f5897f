//! Names in Rust.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use convert_case::Case;

use crate::error::BindingsError;
use crate::names::{converted, take};

/// What a table, column, parameter or function is called, as a part of longer names: `sentAt` is
/// `sent_at`. It may be a keyword.
pub(super) fn snake(source: &str) -> String {
    converted(source, Case::Snake, is_part)
}

/// The same as a name of its own.
pub(super) fn identifier(source: &str) -> String {
    raw(snake(source))
}

/// What a type or a variant is called: `first_kind` is `FirstKind`.
pub(super) fn type_identifier(source: &str) -> String {
    raw(converted(source, Case::Pascal, is_part))
}

/// What counts as a letter beyond ASCII is left to the compiler.
fn is_part(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphabetic())
}

fn raw(name: String) -> String {
    match name.as_str() {
        // These cannot be raw.
        "_" | "crate" | "self" | "super" | "Self" => name + "_",
        _ if KEYWORDS.contains(&name.as_str()) => format!("r#{name}"),
        _ => name,
    }
}

/// Keywords of every edition so far, those included that are kept for later.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Names that the files have for every module, and names of the language that they use: a type of the
/// module that is called so would hide them.
const TAKEN: &[&str] = &[
    "AppliedDiff",
    "Box",
    "Clone",
    "Copy",
    "DbConnection",
    "DbUpdate",
    "Debug",
    "Default",
    "ErrorContext",
    "EventContext",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "Into",
    "Iterator",
    "Option",
    "PartialEq",
    "ProcedureEventContext",
    "Reducer",
    "ReducerEventContext",
    "RemoteDbContext",
    "RemoteModule",
    "RemoteProcedures",
    "RemoteReducers",
    "RemoteTables",
    "remote_module",
    "Result",
    "Send",
    "String",
    "SubscriptionEventContext",
    "SubscriptionHandle",
    "Sync",
    "TryFrom",
    "Vec",
];

/// Everything that the folder's root offers: types, traits and files have their names from one pool.
pub(super) struct Pool(BTreeSet<String>);

impl Pool {
    pub(super) fn new() -> Self {
        Self(TAKEN.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Refuses a name that is there already.
    pub(super) fn take(&mut self, name: &str) -> Result<(), BindingsError> {
        take(&mut self.0, || "things".into(), name)
    }
}

/// The order in which rustfmt sorts imports: numbers in them by their value, `_` before all others.
pub(super) fn version_order(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a_rest.chars().next(), b_rest.chars().next()) else {
            return a_rest.len().cmp(&b_rest.len());
        };
        let ordering = if x.is_ascii_digit() && y.is_ascii_digit() {
            let number = |text: &str| {
                let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
                text.len() - rest.len()
            };
            let (a_end, b_end) = (number(a_rest), number(b_rest));
            let (a_digits, b_digits) = (&a_rest[..a_end], &b_rest[..b_end]);
            (a_rest, b_rest) = (&a_rest[a_end..], &b_rest[b_end..]);
            let value = |digits: &str| digits.trim_start_matches('0').to_owned();
            let (a_value, b_value) = (value(a_digits), value(b_digits));
            let by_value = a_value
                .len()
                .cmp(&b_value.len())
                .then(a_value.cmp(&b_value));
            // Of two that are equal, the one with more zeros in front comes first.
            by_value.then(b_digits.len().cmp(&a_digits.len()))
        } else {
            (a_rest, b_rest) = (&a_rest[x.len_utf8()..], &b_rest[y.len_utf8()..]);
            (x != '_', x).cmp(&(y != '_', y))
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_never_keywords() {
        let cases = [
            ("sentAt", "sent_at"),
            ("person2", "person_2"),
            ("u8", "u_8"),
            ("_age", "age"),
            ("type", "r#type"),
            ("Type", "r#type"),
            ("self", "self_"),
            ("_", "__"),
            ("2nd", "_2_nd"),
            ("_0", "_0"),
            ("größe", "größe"),
            ("a.b", "a_b"),
            ("a$b", "a_b"),
        ];
        for (source, expected) in cases {
            assert_eq!(identifier(source), expected, "of {source}");
        }
        assert_eq!(snake("type"), "type");
        assert_eq!(type_identifier("self"), "Self_");
        assert_eq!(type_identifier("chat_line2"), "ChatLine2");
    }

    #[test]
    fn numbers_in_names_are_sorted_by_value() {
        let mut names = ["u_16", "a", "u_8", "ab", "a_b", "u_08", "u_8_x", "u"];
        names.sort_by(|a, b| version_order(a, b));
        assert_eq!(
            names,
            ["a", "a_b", "ab", "u", "u_08", "u_8", "u_8_x", "u_16"]
        );
    }
}
