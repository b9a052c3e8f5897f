//! The names that clients and SQL see, from those in the source.

use std::collections::BTreeMap;

use convert_case::{Case, Casing};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNameEntry, ExplicitNames, NameMapping,
};

/// Bytes of any name.
const NAME_BYTES_MAX: usize = sync_protocol::limits::NAME_BYTES_MAX;

/// How a module's names become canonical: what it says itself, else what its policy makes of them.
#[derive(Debug, Default)]
pub struct Names {
    verbatim: bool,
    tables: BTreeMap<String, String>,
    functions: BTreeMap<String, String>,
    indexes: BTreeMap<String, String>,
}

impl Names {
    /// Every name stands for itself: modules of 1.x.
    #[must_use]
    pub fn verbatim() -> Self {
        Self {
            verbatim: true,
            ..Self::default()
        }
    }

    /// What a module of 2.x says.
    ///
    /// # Errors
    /// Text, for a policy or a kind of name that is not known.
    pub fn new(policy: CaseConversionPolicy, explicit: ExplicitNames) -> Result<Self, String> {
        let mut names = match policy {
            CaseConversionPolicy::None => Self::verbatim(),
            CaseConversionPolicy::SnakeCase => Self::default(),
            _ => return Err("it converts names by a policy that is not known".into()),
        };
        for entry in explicit.into_entries() {
            let (
                map,
                NameMapping {
                    source_name,
                    canonical_name,
                    ..
                },
            ) = match entry {
                ExplicitNameEntry::Table(mapping) => (&mut names.tables, mapping),
                ExplicitNameEntry::Function(mapping) => (&mut names.functions, mapping),
                ExplicitNameEntry::Index(mapping) => (&mut names.indexes, mapping),
                _ => return Err("it names something of a kind that is not known".into()),
            };
            let before = map.insert(source_name.to_string(), canonical_name.to_string());
            if before.is_some_and(|before| *before != *canonical_name) {
                return Err(format!("it gives {source_name} two names"));
            }
        }
        Ok(names)
    }

    /// Keeps an index's name as it is.
    pub(super) fn keep_index(&mut self, name: &str) {
        self.indexes.insert(name.to_owned(), name.to_owned());
    }

    /// Of a table.
    #[must_use]
    pub fn table(&self, source: &str) -> String {
        self.tables
            .get(source)
            .cloned()
            .unwrap_or_else(|| self.field(source))
    }

    /// Of a reducer.
    #[must_use]
    pub fn function(&self, source: &str) -> String {
        self.functions
            .get(source)
            .cloned()
            .unwrap_or_else(|| self.field(source))
    }

    /// Of an index, if the module gives it one.
    #[must_use]
    pub fn index(&self, source: &str) -> Option<String> {
        self.indexes.get(source).cloned()
    }

    /// Of a column, a parameter or a field.
    #[must_use]
    pub fn field(&self, source: &str) -> String {
        if self.verbatim {
            source.to_owned()
        } else {
            source.to_case(Case::Snake)
        }
    }

    /// Of a type, in generated code.
    #[must_use]
    pub fn type_name(&self, source: &str) -> String {
        if self.verbatim {
            source.to_owned()
        } else {
            source.to_case(Case::Pascal)
        }
    }

    /// Of a variant of an enum.
    #[must_use]
    pub fn variant(&self, source: &str) -> String {
        if self.verbatim {
            source.to_owned()
        } else {
            source.to_case(Case::Camel)
        }
    }
}

/// Whether a name can stand in SQL and in code: letters, digits and `_`, not beginning with a digit.
/// Beyond ASCII only spaces and control characters are refused, because what counts as a letter
/// there changes from release to release.
pub(super) fn is_identifier(name: &str) -> bool {
    let part = |c: char| {
        c == '_'
            || c.is_ascii_alphanumeric()
            || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
    };
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(part)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_splits_digits_and_drops_outer_underscores() {
        let names = Names::default();
        let cases = [
            ("person2", "person_2"),
            ("u8", "u_8"),
            ("_foo", "foo"),
            ("MyTable", "my_table"),
            ("messageText", "message_text"),
            ("HTTPServer", "http_server"),
            ("already_snake", "already_snake"),
        ];
        for (source, canonical) in cases {
            assert_eq!(names.field(source), canonical, "of {source}");
        }
        assert_eq!(names.variant("FirstKind"), "firstKind");
        assert_eq!(Names::verbatim().field("person2"), "person2");
    }

    #[test]
    fn explicit_names_win() {
        let mut explicit = ExplicitNames::default();
        explicit.insert_table("people", "Person");
        explicit.insert_function("sayHi", "hello");
        explicit.insert_index("people_age_idx_btree", "by_age");
        let names = Names::new(CaseConversionPolicy::SnakeCase, explicit);
        let names = names.expect("both are known");
        assert_eq!(names.table("people"), "Person");
        assert_eq!(names.function("sayHi"), "hello");
        assert_eq!(names.function("sayBye"), "say_bye");
        assert_eq!(
            names.index("people_age_idx_btree").as_deref(),
            Some("by_age")
        );
    }

    #[test]
    fn identifiers_are_what_sql_can_say() {
        for good in ["a", "_a1", "größe", "表"] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "1a", "a b", "a-b", "a.b", "a\u{a0}b", &"x".repeat(300)] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
