//! The judge. It stands outside: it knows what clients asked, what they were told, what they can
//! read, and which entries lie on which disk. Of what it judges it shares the decoding of entries
//! and cuts, and nothing else: order, rights and what calls do are worked out here once more, in the
//! simplest way.
//!
//! - [`ledger`]: what was acknowledged is there, once; what nobody said is not.
//! - [`history`]: the one order, from the entries alone; causes before effects; no entry twice.
//! - [`model`]: the rows that the calls give in that order, one after the other, with what was
//!   due ([`deliveries`]), what the owner wrote by statements ([`statements`]), what people typed into the
//!   one document ([`scrawls`]), and who might at all ([`members`]).
//! - [`cuts`]: what is final stays.
//! - [`bounds`]: what a peer may send and keep.
//!
//! A new checker looks at [`Shown`], at a [`history::History`] or at effects, returns
//! `Result<(), String>`, and is called in `run.rs`, in `look` while things go wrong or in `judge`
//! at the end.

pub(crate) mod bounds;
pub(crate) mod cuts;
mod deliveries;
pub(crate) mod history;
pub(crate) mod ledger;
mod members;
pub(crate) mod model;
mod scrawls;
mod statements;

use std::collections::BTreeMap;

/// The tables of the module, as anybody may read them, and the one that an upgrade adds.
pub(crate) const TABLES: [&str; 11] = [
    "account",
    "delivery",
    "name",
    "note",
    "number",
    "saying",
    "scrawl",
    "stall",
    "tally",
    "visitor",
    ADDED_TABLE,
];

/// There after the upgrade only.
pub(crate) const ADDED_TABLE: &str = "receipt";

/// What one peer shows: rows as JSON arrays, by table, sorted as texts.
pub(crate) type Shown = BTreeMap<&'static str, Vec<String>>;

/// The first difference between two shows, for a person.
pub(crate) fn difference(expected: &Shown, found: &Shown) -> Option<String> {
    let none = Vec::new();
    for table in TABLES {
        let (expected, found) = (
            expected.get(table).unwrap_or(&none),
            found.get(table).unwrap_or(&none),
        );
        if let Some(row) = expected.iter().find(|row| !found.contains(row)) {
            return Some(format!("{table} lacks {row}"));
        }
        if let Some(row) = found.iter().find(|row| !expected.contains(row)) {
            return Some(format!("{table} has {row}, which should not be there"));
        }
        if expected.len() != found.len() {
            return Some(format!("{table} has a row more than once"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_either_way() {
        let shown = |rows: &[&str]| -> Shown {
            let rows = rows.iter().map(|row| (*row).to_owned()).collect();
            BTreeMap::from([("stall", rows)])
        };
        assert_eq!(difference(&shown(&["a", "b"]), &shown(&["a", "b"])), None);
        assert_eq!(difference(&shown(&[]), &Shown::new()), None);
        for (expected, found) in [
            (&["a"][..], &[][..]),
            (&[], &["a"]),
            (&["a"], &["b"]),
            (&["a"], &["a", "a"]),
        ] {
            assert!(difference(&shown(expected), &shown(found)).is_some());
        }
    }
}
