//! The one text that stands for many: what clients of SpacetimeDB 1.x send to follow everything.

use std::borrow::Cow;

use module_host::{ModuleDef, ROLE};
use store::Schema;

use crate::system_tables::is_system;

/// `SELECT * FROM *`, in any case and with any blanks.
const ALL: [&str; 4] = ["SELECT", "*", "FROM", "*"];

/// The texts, with one for each public table of the module in the place of [`ALL`]. Private tables are
/// not among them for the owner either, nor what the module does not declare: code that was generated
/// for clients does not know them. Tables of events are there for whoever can be told of events.
pub(crate) fn expanded<'a>(
    texts: &'a [String],
    schema: &Schema,
    def: &ModuleDef,
    events: bool,
) -> Cow<'a, [String]> {
    if !texts.iter().any(|text| is_all(text)) {
        return texts.into();
    }
    let mut expanded = Vec::new();
    for text in texts {
        if !is_all(text) {
            expanded.push(text.clone());
            continue;
        }
        let tables = schema.tables().iter();
        let declared = |id| !is_system(id) || id == ROLE && def.shows_roles;
        let tables =
            tables.filter(|table| table.public && declared(table.id) && (events || !table.event));
        expanded.extend(tables.map(|table| {
            let name = table.name.replace('"', "\"\"");
            format!("SELECT * FROM \"{name}\"")
        }));
    }
    expanded.into()
}

fn is_all(text: &str) -> bool {
    let words = text.trim_end_matches([';', ' ']).split_whitespace();
    words
        .map(str::to_ascii_uppercase)
        .eq(ALL.map(str::to_owned))
}
