//! What is wrong with the filters of a module that is about to be published.

use std::collections::{BTreeMap, BTreeSet};

use store::{Schema, TableId};

use super::super::error::SqlError;
use super::super::parse::parse_filter;
use super::rule::Rule;
use super::{FILTER_DEPTH_MAX, Filters};

/// Characters of a filter that a reason repeats.
const SHOWN_CHARS_MAX: usize = 200;

impl Filters {
    /// Every reason why these cannot be the filters of a module with these tables, one sentence each.
    pub(crate) fn check(texts: &[String], schema: &Schema) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut joins: BTreeMap<TableId, Vec<TableId>> = BTreeMap::new();
        for text in texts {
            let tied =
                parse_filter(text).and_then(|query| Rule::new(text, &query, schema, &[0; 32]));
            match tied {
                Ok(rule) => {
                    let own = rule.tables[rule.target].id;
                    joins.entry(own).or_default().extend(rule.others());
                }
                Err(error) => reasons.push(reason(text, &error)),
            }
        }
        let name = |id: &TableId| {
            let table = schema.tables().iter().find(|table| table.id == *id);
            table.map_or_else(String::new, |table| table.name.clone())
        };
        let mut search = Search {
            joins: &joins,
            depths: BTreeMap::new(),
            circles: BTreeSet::new(),
        };
        for table in joins.keys() {
            let depth = search.depth(*table, &mut Vec::new());
            if depth > FILTER_DEPTH_MAX {
                reasons.push(format!(
                    "the visibility filters of table {} ask for rows that filters show, {depth} deep; {FILTER_DEPTH_MAX} is the most",
                    name(table)
                ));
            }
        }
        reasons.extend(search.circles.iter().map(|circle| {
            let names: Vec<String> = circle.iter().map(name).collect();
            format!(
                "visibility filters ask for each other in a circle: those of {}. A filter may join a table whose own filters do not lead back",
                names.join(", ")
            )
        }));
        reasons
    }
}

/// A walk from filtered tables to those that their filters join.
struct Search<'s> {
    joins: &'s BTreeMap<TableId, Vec<TableId>>,
    depths: BTreeMap<TableId, usize>,
    circles: BTreeSet<BTreeSet<TableId>>,
}

impl Search<'_> {
    /// How many filtered tables lie one behind the other from this one on.
    fn depth(&mut self, table: TableId, path: &mut Vec<TableId>) -> usize {
        let Some(others) = self.joins.get(&table) else {
            return 0;
        };
        if let Some(at) = path.iter().position(|seen| *seen == table) {
            self.circles.insert(path[at..].iter().copied().collect());
            return 0;
        }
        if let Some(depth) = self.depths.get(&table) {
            return *depth;
        }
        path.push(table);
        let behind = others.iter().map(|other| self.depth(*other, path)).max();
        path.pop();
        let depth = behind.unwrap_or(0) + 1;
        self.depths.insert(table, depth);
        depth
    }
}

fn reason(text: &str, error: &SqlError) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("visibility filter `{shown}`: {error}")
}
