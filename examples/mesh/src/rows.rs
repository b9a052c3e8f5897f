//! Values as a peer writes them in JSON: products are arrays, so an identity is `["0x…"]` and a time
//! `[microseconds]`; a value of an enum is `[variant, payload]`.

use anyhow::{Context, bail};
use serde_json::Value;
use std::fmt;

/// Who calls: 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity(String);

impl Identity {
    /// Reads the digits, with `0x` before them or without.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Identity> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("an identity is 64 hex digits, and {text:?} is not");
        }
        Ok(Identity(digits.to_ascii_lowercase()))
    }

    /// As an argument of a call.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::json!([format!("0x{}", self.0)])
    }

    /// The first digits, as people tell identities apart. The very first two are the same in all.
    pub(crate) fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// One row of an answer, read column by column.
pub(crate) struct Row<'a>(pub(crate) &'a Value);

impl Row<'_> {
    /// # Errors
    /// When there is none, as with all others here.
    pub(crate) fn text(&self, column: usize) -> anyhow::Result<&str> {
        text(self.at(column)?)
    }

    /// A number that may be optional in no way.
    pub(crate) fn number(&self, column: usize) -> anyhow::Result<u64> {
        self.at(column)?.as_u64().context("a number was expected")
    }

    /// A small number.
    pub(crate) fn small(&self, column: usize) -> anyhow::Result<u32> {
        u32::try_from(self.number(column)?).context("a smaller number was expected")
    }

    pub(crate) fn float(&self, column: usize) -> anyhow::Result<f64> {
        float(self.at(column)?)
    }

    pub(crate) fn yes(&self, column: usize) -> anyhow::Result<bool> {
        self.at(column)?.as_bool().context("yes or no was expected")
    }

    pub(crate) fn identity(&self, column: usize) -> anyhow::Result<Identity> {
        identity(self.at(column)?)
    }

    /// Microseconds since 1970.
    pub(crate) fn time(&self, column: usize) -> anyhow::Result<i64> {
        time(self.at(column)?)
    }

    /// Which variant of an enum it is, counted from 0.
    pub(crate) fn variant(&self, column: usize) -> anyhow::Result<u64> {
        self.at(column)?[0].as_u64().context("an enum was expected")
    }

    /// An optional value, read by one of the functions below.
    pub(crate) fn optional<T>(
        &self,
        column: usize,
        read: impl Fn(&Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let value = self.at(column)?;
        match self.variant(column)? {
            0 => read(&value[1]).map(Some),
            _ => Ok(None),
        }
    }

    fn at(&self, column: usize) -> anyhow::Result<&Value> {
        self.0
            .get(column)
            .with_context(|| format!("a row has no column {}: {}", column + 1, self.0))
    }
}

/// # Errors
/// When it is none, as with all others here.
pub(crate) fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("a text was expected")
}

pub(crate) fn float(value: &Value) -> anyhow::Result<f64> {
    value.as_f64().context("a number was expected")
}

pub(crate) fn identity(value: &Value) -> anyhow::Result<Identity> {
    Identity::parse(text(&value[0])?)
}

pub(crate) fn time(value: &Value) -> anyhow::Result<i64> {
    value[0].as_i64().context("a time was expected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGITS: &str = "c200a768887b4b0cd46ece5e8c40ccace74e4d6dca79a5a627ede748b5ec0298";

    #[test]
    fn a_row_is_read_as_a_peer_writes_it() {
        let row = json!([
            [format!("0x{DIGITS}")],
            "roof",
            [1, []],
            [17],
            [0, 2.5],
            [1, []],
            true
        ]);
        let row = Row(&row);
        assert_eq!(row.identity(0).expect("fine").to_string(), DIGITS);
        assert_eq!(row.identity(0).expect("fine").short(), "c200a768");
        assert_eq!(row.text(1).expect("fine"), "roof");
        assert_eq!(row.variant(2).expect("fine"), 1);
        assert_eq!(row.time(3).expect("fine"), 17);
        assert_eq!(row.optional(4, float).expect("fine"), Some(2.5));
        assert_eq!(row.optional(5, float).expect("fine"), None);
        assert!(row.yes(6).expect("fine"));
        assert!(row.yes(7).is_err(), "there is no such column");
        assert!(row.number(1).is_err(), "a text is no number");
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in [
            "",
            "0x",
            &DIGITS[1..],
            &format!("{DIGITS}0"),
            &"ä".repeat(32),
        ] {
            assert!(Identity::parse(text).is_err(), "{text}");
        }
        let identity = Identity::parse(&DIGITS.to_ascii_uppercase()).expect("fine");
        assert_eq!(identity.to_json(), json!([format!("0x{DIGITS}")]));
    }
}
