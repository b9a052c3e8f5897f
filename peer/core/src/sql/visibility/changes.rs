//! What changes of what somebody sees, told from the rows that changed.
//!
//! A row may come into sight or go out of it without having changed itself: if a row that it is
//! joined with did. Let a row have been seen because of some rows that belong together, and be seen
//! no more, or the other way round. Then one of these changed, and between the one of them that is
//! nearest to it and itself there are rows that did not change: so it is found from that one, as it
//! was or as it is, over the rows as they are now. What is found that way is asked for twice: over the
//! rows as they were, and as they are. Nothing is kept for it, and nothing but that is read.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use store::{Row, RowChange, TableId};

use super::super::aggregate::canonical;
use super::super::error::SqlError;
use super::rule::RuleTable;
use super::{Look, Visible};

/// Rows of a table by what they have in one column.
type ByValue = BTreeMap<Vec<u8>, Vec<Row>>;

/// Rows that are different now, of all tables that somebody follows.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    tables: BTreeMap<TableId, OfTable>,
}

#[derive(Debug, Default)]
struct OfTable {
    came: BTreeSet<Row>,
    went: BTreeSet<Row>,
    /// Those that went, by column and value, as far as somebody has asked for them.
    went_by: RefCell<BTreeMap<usize, ByValue>>,
}

impl Changes {
    pub(crate) fn of(changes: &[RowChange]) -> Self {
        let mut tables: BTreeMap<TableId, OfTable> = BTreeMap::new();
        for change in changes {
            let of_table = tables.entry(change.table).or_default();
            of_table.came.extend(change.new.clone());
            of_table.went.extend(change.old.clone());
        }
        Self { tables }
    }

    /// Whether a row is there that was not.
    pub(super) fn came(&self, table: TableId, row: &Row) -> bool {
        let of_table = self.tables.get(&table);
        of_table.is_some_and(|of_table| of_table.came.contains(row))
    }

    /// Whether a row was there that is not.
    fn went(&self, table: TableId, row: &Row) -> bool {
        let of_table = self.tables.get(&table);
        of_table.is_some_and(|of_table| of_table.went.contains(row))
    }

    /// All rows of a table that were there and are not.
    pub(super) fn went_all(&self, table: TableId) -> Vec<Row> {
        let of_table = self.tables.get(&table);
        let went = of_table.into_iter().flat_map(|of_table| &of_table.went);
        went.cloned().collect()
    }

    /// Those that had a value in a column.
    pub(super) fn went_with(
        &self,
        table: &RuleTable,
        column: usize,
        value: &[u8],
    ) -> Result<Vec<Row>, SqlError> {
        let Some(of_table) = self.tables.get(&table.id) else {
            return Ok(Vec::new());
        };
        let mut went_by = of_table.went_by.borrow_mut();
        let by_value = match went_by.entry(column) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut by_value = ByValue::new();
                for row in &of_table.went {
                    let cells = table.cells(row, column + 1)?;
                    let value = canonical(&table.columns[column], cells[column]);
                    by_value.entry(value).or_default().push(Row::clone(row));
                }
                unknown.insert(by_value)
            }
        };
        Ok(by_value.get(value).cloned().unwrap_or_default())
    }
}

impl Visible {
    /// How what is seen of a table's rows that fulfil `wanted` changed: 1 for a row that came into
    /// sight, −1 for one that went out of it. `touched` are changed rows, at least those that may
    /// matter; `now` looks at the rows as they are.
    pub(in super::super) fn changes(
        &self,
        table: TableId,
        wanted: &dyn Fn(&Row) -> Result<bool, SqlError>,
        touched: &[(TableId, Row)],
        (changes, now): (&Changes, Look<'_>),
    ) -> Result<Vec<(Row, i64)>, SqlError> {
        let before = now.before(changes);
        let mut changed = Vec::new();
        for row in self.touched(table, touched, &now)? {
            if !wanted(&row)? {
                continue;
            }
            let (came, went) = (changes.came(table, &row), changes.went(table, &row));
            let was_seen = !came && self.sees(table, &row, &before)?;
            let is_seen = !went && self.sees(table, &row, &now)?;
            match (was_seen, is_seen) {
                (false, true) => changed.push((row, 1)),
                (true, false) => changed.push((row, -1)),
                _ => {}
            }
        }
        Ok(changed)
    }

    /// Rows of a table whose being seen may be different: those that changed, and those that are
    /// found from rows of other tables that may be seen or not.
    fn touched(
        &self,
        table: TableId,
        changed: &[(TableId, Row)],
        now: &Look<'_>,
    ) -> Result<BTreeSet<Row>, SqlError> {
        let own = changed.iter().filter(|(of, _)| *of == table);
        let mut touched: BTreeSet<Row> = own.map(|(_, row)| Row::clone(row)).collect();
        for rule in self.rules.get(&table).into_iter().flatten() {
            for (at, other) in rule.tables.iter().enumerate() {
                if at == rule.target {
                    continue;
                }
                // Of the table itself, other rows count whether they are seen or not.
                let from = match rule.is_other(at) {
                    true => self.touched(other.id, changed, now)?,
                    false => {
                        let own = changed.iter().filter(|(of, _)| *of == table);
                        own.map(|(_, row)| Row::clone(row)).collect()
                    }
                };
                let from: Vec<Row> = from.into_iter().collect();
                if from.is_empty() {
                    continue;
                }
                let steps = &rule.toward[at];
                self.walk(rule, steps, Some(&from), now, false, &mut |rows| {
                    touched.insert(Row::clone(rows[rule.target]));
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(touched)
    }
}
