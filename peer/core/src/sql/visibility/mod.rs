//! Which rows of a table a client sees: those that at least one of the table's visibility filters
//! lets through. A filter is a query that the module brings along; the rows of other tables that it
//! joins are again those that the same client sees. Who owns the database sees everything, and so
//! does the module.
//!
//! Filters of one table alone become part of a query's condition. Those that join other tables are
//! asked for each row: whether there are rows that belong to it. So a query never multiplies rows,
//! and what its filters show can be told from the rows that changed ([`changes`]).
//!
//! Fails closed: a filter that cannot be read or tied shows nothing.

mod changes;
mod check;
mod look;
mod rule;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use spacetimedb_sats::AlgebraicType;
use store::{Row, Schema, TableId, TableSchema};

use super::error::SqlError;
use super::literal::Literal;
use super::parse::parse_filter;
use super::predicate::Predicate;
use super::query::{Condition, Operand, Projection, Query};
use super::{Access, Reading};
pub(crate) use changes::Changes;
pub(super) use look::Look;
use rule::{Rule, Start};

/// Tables of a filter.
pub(crate) const FILTER_TABLES_MAX: usize = 4;

/// Filters that ask for rows that filters show, one inside of the other.
pub(crate) const FILTER_DEPTH_MAX: usize = 4;

/// Bytes of the rows that a client sees of a table and that are listed by its filters, instead of
/// asking for each row of the table whether it is one of them.
const LISTED_BYTES_MAX: usize = super::GATHERED_BYTES_MAX;

/// The filters of a module, tied to no tables yet.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    written: Vec<(String, Query)>,
    /// One of them cannot be read. Nobody knows what it is about, so nothing is shown.
    unreadable: bool,
}

impl Filters {
    /// Takes the texts of a module's filters apart.
    pub(crate) fn of(texts: &[String]) -> Self {
        let mut filters = Self::default();
        for text in texts {
            match parse_filter(text) {
                Ok(query) => filters.written.push((text.clone(), query)),
                Err(_) => filters.unreadable = true,
            }
        }
        filters
    }

    fn is_empty(&self) -> bool {
        self.written.is_empty() && !self.unreadable
    }

    /// Those of a table.
    fn of_table<'a>(
        &'a self,
        table: TableId,
        schema: &'a Schema,
    ) -> impl Iterator<Item = &'a (String, Query)> {
        let filters = self.written.iter();
        filters.filter(move |(_, query)| target(query, schema).is_some_and(|it| it.id == table))
    }
}

/// The table whose rows a filter is about.
fn target<'s>(query: &Query, schema: &'s Schema) -> Option<&'s TableSchema> {
    let mut tables = query.tables.iter();
    let named = |text: &str| schema.table_by_name(text);
    match &query.projection {
        Projection::All(None) => match (tables.next(), tables.next()) {
            (Some(only), None) => named(&only.table.text),
            _ => None,
        },
        Projection::All(Some(shown)) => {
            let by_alias = tables.find(|from| from.alias.as_deref() == Some(&shown.text));
            let by_name = || {
                let mut tables = query.tables.iter();
                tables.find(|from| {
                    let table = named(&from.table.text);
                    from.table.text == shown.text
                        || table.is_some_and(|table| {
                            table.name == shown.text || table.source_name == shown.text
                        })
                })
            };
            named(&by_alias.or_else(by_name)?.table.text)
        }
        Projection::Items(_) => None,
    }
}

/// Whether a query says who asks.
fn is_personal(query: &Query) -> bool {
    fn names_sender(condition: &Condition) -> bool {
        let is_sender = |operand: &Operand| matches!(operand, Operand::Literal(Literal::Sender, _));
        match condition {
            Condition::And(parts) | Condition::Or(parts) => parts.iter().any(names_sender),
            Condition::Compare { left, right, .. } => is_sender(left) || is_sender(right),
            Condition::Constant(_) => false,
        }
    }
    query.condition.as_ref().is_some_and(names_sender)
}

/// What one caller sees of some tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visible {
    /// Tables that have filters, with those that could be tied: these tables themselves, and what
    /// their filters join.
    rules: BTreeMap<TableId, Vec<Rule>>,
    personal: bool,
}

/// A column and the value that it has in every row that matters.
pub(crate) type Point = (usize, Vec<u8>);

impl Visible {
    /// Ties the filters that matter for these tables.
    pub(super) fn of<'t>(
        filters: &Filters,
        schema: &Schema,
        access: Access,
        tables: impl IntoIterator<Item = &'t TableSchema>,
    ) -> Self {
        let mut visible = Self::default();
        if access.owner || filters.is_empty() {
            return visible;
        }
        for table in tables {
            visible.tie(filters, schema, access, table.id, &mut Vec::new());
        }
        visible
    }

    /// Ties the filters of a table; `path` leads to it. False if it is asked for by itself, or too
    /// deep: who asks for it is left out.
    fn tie(
        &mut self,
        filters: &Filters,
        schema: &Schema,
        access: Access,
        table: TableId,
        path: &mut Vec<TableId>,
    ) -> bool {
        if path.contains(&table) || path.len() > FILTER_DEPTH_MAX {
            return false;
        }
        if self.rules.contains_key(&table) {
            return true;
        }
        let mut written = filters.of_table(table, schema).peekable();
        if written.peek().is_none() && !filters.unreadable {
            return true;
        }
        path.push(table);
        let mut rules = Vec::new();
        for (text, query) in written {
            let Ok(mut rule) = Rule::new(text, query, schema, &access.sender) else {
                continue;
            };
            let others: Vec<TableId> = rule.others().collect();
            let mut tied = others.into_iter();
            if tied.all(|other| self.tie(filters, schema, access, other, path)) {
                rule.choose_start(|other| self.is_hidden(other), |other| self.is_listed(other));
                self.personal |= is_personal(query);
                rules.push(rule);
            }
        }
        path.pop();
        if filters.unreadable {
            rules.clear();
        }
        self.rules.insert(table, rules);
        true
    }

    /// Whether what is seen depends on who asks.
    pub(super) fn is_personal(&self) -> bool {
        self.personal
    }

    fn is_hidden(&self, table: TableId) -> bool {
        self.rules.contains_key(&table)
    }

    fn is_listed(&self, table: TableId) -> bool {
        let rules = self.rules.get(&table);
        rules.is_some_and(|rules| rules.iter().all(|rule| rule.start.is_some()))
    }

    /// The condition that says it all, where the filters of a table ask for no others. Its cells are
    /// those of the table.
    pub(super) fn condition(&self, table: TableId) -> Option<Predicate> {
        let rules = self.rules.get(&table)?;
        let alone = rules.iter().all(|rule| rule.tables.len() == 1);
        let mut conditions = rules.iter().map(|rule| rule.predicate.clone());
        alone.then(|| match (conditions.next(), conditions.next()) {
            (None, _) => Predicate::Constant(false),
            (Some(only), None) => only,
            (Some(one), Some(other)) => {
                Predicate::Any([one, other].into_iter().chain(conditions).collect())
            }
        })
    }

    /// Whether rows of a table have to be asked for one by one.
    pub(super) fn asks(&self, table: TableId) -> bool {
        let rules = self.rules.get(&table);
        rules.is_some_and(|rules| rules.iter().any(|rule| rule.tables.len() > 1))
    }

    /// Whether a row of a table is seen.
    pub(super) fn sees(
        &self,
        table: TableId,
        row: &Row,
        look: &Look<'_>,
    ) -> Result<bool, SqlError> {
        let Some(rules) = self.rules.get(&table) else {
            return Ok(true);
        };
        for rule in rules {
            let mut found = false;
            let steps = &rule.from[rule.target];
            let given = [Row::clone(row)];
            self.walk(rule, steps, Some(&given), look, true, &mut |_| {
                found = true;
                Ok(ControlFlow::Break(()))
            })?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All rows of a table that are seen, if that costs less than to ask for each; in no order that
    /// means anything, but the same one whenever the rows are the same.
    pub(super) fn list(
        &self,
        table: TableId,
        look: &Look<'_>,
    ) -> Result<Option<Vec<Row>>, SqlError> {
        if !self.is_listed(table) {
            return Ok(None);
        }
        let mut listed = std::collections::BTreeSet::new();
        let mut bytes = 0;
        for rule in self.rules.get(&table).into_iter().flatten() {
            let Some(start) = rule.start else {
                return Ok(None);
            };
            let steps = match start {
                Start::Source(at) | Start::Listed(at) => &rule.from[at],
            };
            let given = match start {
                Start::Source(_) => None,
                Start::Listed(at) => match self.list(rule.tables[at].id, look)? {
                    Some(rows) => Some(rows),
                    None => return Ok(None),
                },
            };
            let mut is_too_much = false;
            self.walk(rule, steps, given.as_deref(), look, true, &mut |rows| {
                let row = rows[rule.target];
                if !listed.contains(row) {
                    bytes += row.len() + store::limits::ROW_OVERHEAD_BYTES;
                    listed.insert(Row::clone(row));
                }
                is_too_much = bytes > LISTED_BYTES_MAX;
                Ok(match is_too_much {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })?;
            if is_too_much {
                return Ok(None);
            }
        }
        Ok(Some(listed.into_iter().collect()))
    }

    /// The tables that the filters of a table join, and those that these join, without the table.
    pub(super) fn joined(&self, table: TableId) -> Vec<TableId> {
        let mut found = Vec::new();
        let mut open = vec![table];
        while let Some(next) = open.pop() {
            for other in self
                .rules
                .get(&next)
                .into_iter()
                .flatten()
                .flat_map(Rule::all)
            {
                if !found.contains(&other) {
                    found.push(other);
                    open.push(other);
                }
            }
        }
        found
    }

    /// Types of the columns of a table that a filter names.
    pub(super) fn columns(&self, table: TableId) -> Option<&[AlgebraicType]> {
        let tables = self.rules.values().flatten().flat_map(|rule| &rule.tables);
        let mut tables = tables.filter(|known| known.id == table);
        tables.next().map(|known| known.columns.as_slice())
    }

    /// What a row of a table needs to have for its filters to show it: one of these. `None`: nothing
    /// in particular.
    pub(super) fn points_of_target(&self, table: TableId) -> Option<Vec<Point>> {
        let rules = self.rules.get(&table)?.iter();
        rules.map(|rule| rule.point(rule.target).cloned()).collect()
    }

    /// What a row of a table needs to have to matter for what the filters of `of` and of what they
    /// join show of it, beside being one of the rows that `of` shows itself. `None`: nothing in
    /// particular.
    pub(super) fn points_beside(&self, table: TableId, of: TableId) -> Option<Vec<Point>> {
        let mut points = Vec::new();
        let shown = std::iter::once(of).chain(self.joined(of));
        for rule in shown.filter_map(|it| self.rules.get(&it)).flatten() {
            let places = rule.tables.iter().enumerate();
            let beside = places.filter(|(at, it)| *at != rule.target && it.id == table);
            for (at, _) in beside {
                match rule.point(at) {
                    Some(point) => points.push(point.clone()),
                    None if rule.is_other(at) => points.extend(self.points_of_target(table)?),
                    None => return None,
                }
            }
        }
        Some(points)
    }

    /// Whether the same filters stand for the same tables.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let alike = |(one, other): (&Rule, &Rule)| one.is_like(other);
        self.rules.keys().eq(other.rules.keys())
            && self
                .rules
                .values()
                .zip(other.rules.values())
                .all(|(one, other)| one.len() == other.len() && one.iter().zip(other).all(alike))
    }

    /// Walks over rows of a rule's tables that belong together. `given` are the rows of the first
    /// step, instead of those of its source; `nested` says that rows of other tables count only as
    /// far as they are seen.
    fn walk(
        &self,
        rule: &Rule,
        steps: &[super::steps::Step],
        given: Option<&[Row]>,
        look: &Look<'_>,
        nested: bool,
        see: &mut See<'_>,
    ) -> Result<(), SqlError> {
        let walk = Walk {
            visible: self,
            rule,
            steps,
            given,
            look,
            nested,
        };
        let no_row = Row::from(&[][..]);
        let cells = vec![&[][..]; rule.cells_len];
        let rows = vec![&no_row; rule.tables.len()];
        walk.from(0, &cells, &rows, see).map(|_| ())
    }
}

/// How many rows of a table one sees who asks.
pub(super) fn seen_count(here: &Reading<'_>, table: &TableSchema) -> Result<u64, SqlError> {
    let state = here.state;
    let failed = |source| SqlError::Store {
        table: table.name.clone(),
        source,
    };
    let visible = Visible::of(here.filters, state.schema(), here.access, [table]);
    if !visible.is_hidden(table.id) {
        return state.row_count(table.id).map_err(failed);
    }
    let looked = Cell::new(0);
    let look = Look::now(state, &looked);
    if let Some(listed) = visible.list(table.id, &look)? {
        return Ok(listed.len() as u64);
    }
    let mut count = 0;
    for row in state.rows(table.id).map_err(failed)? {
        let row = row.map_err(|error| failed(error.into()))?;
        count += u64::from(visible.sees(table.id, &row, &look)?);
    }
    Ok(count)
}

/// Takes a row of each table.
type See<'s> = dyn FnMut(&[&Row]) -> Result<ControlFlow<()>, SqlError> + 's;

/// A walk over a rule's tables, one inside of the other.
struct Walk<'w> {
    visible: &'w Visible,
    rule: &'w Rule,
    steps: &'w [super::steps::Step],
    given: Option<&'w [Row]>,
    look: &'w Look<'w>,
    nested: bool,
}

impl Walk<'_> {
    /// Walks over the rows of one step, and those of the steps behind it for each of them.
    fn from(
        &self,
        at: usize,
        cells: &[&[u8]],
        rows: &[&Row],
        see: &mut See<'_>,
    ) -> Result<ControlFlow<()>, SqlError> {
        let Some(step) = self.steps.get(at) else {
            return see(rows);
        };
        let table = &self.rule.tables[step.table];
        let behind = self.rule.behind[step.table];
        let is_given = at == 0 && self.given.is_some();
        let is_asked = self.nested && !is_given && self.rule.is_other(step.table);
        let found: look::Found<'_> = match self.given.filter(|_| at == 0) {
            Some(given) => Box::new(given.iter().map(|row| Ok(Row::clone(row)))),
            None => self.look.found(table, &step.way, cells)?,
        };
        for row in found {
            let row = row?;
            self.look.count()?;
            let mut cells = cells.to_vec();
            let own = table.cells(&row, step.cells_len)?;
            cells[behind..behind + own.len()].copy_from_slice(&own);
            if !step.own.holds(&cells) || !step.together.holds(&cells) {
                continue;
            }
            if is_asked && !self.visible.sees(table.id, &row, self.look)? {
                continue;
            }
            let mut rows = rows.to_vec();
            rows[step.table] = &row;
            if self.from(at + 1, &cells, &rows, see)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
