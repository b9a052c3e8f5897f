//! Says how a query would be answered, step by step.

use std::ops::Bound;

use spacetimedb_sats::AlgebraicType;
use store::{IndexId, TableSchema};

use crate::values::row_text;

use super::SqlResult;
use super::bind::{Cell, Entry, Scope};
use super::group::Grouping;
use super::plan::{Columns, Output, Plan};
use super::predicate::Predicate;
use super::reach::Source;
use super::steps::Way;

/// Characters of a literal that are shown.
const LITERAL_CHARS_MAX: usize = 60;

/// The plan, one row a step.
pub(super) fn explain(plan: &Plan, columns: &Columns, scope: &Scope<'_>) -> SqlResult {
    let rows = lines(plan, columns, scope).into_iter().map(|line| {
        let len = u32::try_from(line.len()).unwrap_or_else(|_| unreachable!("a query is short"));
        [&len.to_le_bytes(), line.as_bytes()].concat()
    });
    SqlResult {
        columns: vec![("plan".to_owned(), AlgebraicType::String)],
        rows: rows.collect(),
    }
}

fn lines(plan: &Plan, columns: &Columns, scope: &Scope<'_>) -> Vec<String> {
    let cells: Vec<Cell> = scope.cells().collect();
    let mut lines = vec![];
    for step in &plan.steps {
        let entry = &scope.entries()[step.table];
        let how = match &step.way {
            Way::Alone(source) => source_text(entry, source),
            Way::Reached {
                from,
                column,
                reach,
            } => {
                let index = index_name(entry.table, reach.index);
                let column = &entry.table.columns[*column].name;
                let from = &cells[*from].name;
                format!("for each row so far by index {index} ({column} = {from})")
            }
            Way::Gathered {
                from,
                column,
                source,
            } => {
                let read = source_text(entry, source);
                let column = &entry.table.columns[*column].name;
                let from = &cells[*from].name;
                format!(
                    "{read}, once into memory; for each row so far those with {column} = {from}"
                )
            }
        };
        lines.push(format!("table {}: {how}", table_name(entry)));
        for predicate in [&step.own, &step.together] {
            if *predicate != Predicate::Constant(true) {
                lines.push(format!("keep rows with {}", condition(predicate, &cells)));
            }
        }
        if plan.asked[step.table] {
            let name = table_name(entry);
            lines.push(format!("keep those that visibility filters of {name} show"));
        }
    }
    if let Some(grouping) = &plan.grouping {
        lines.extend(group_lines(grouping));
    }
    if plan.distinct {
        lines.push("keep one of equal rows".to_owned());
    }
    let few = plan.limit.map(|limit| limit.saturating_add(plan.offset));
    if !plan.order.is_empty() {
        let by = plan.order.iter();
        let by = by.map(|by| match by.descending {
            true => format!("{} DESC", by.cell.name),
            false => by.cell.name.clone(),
        });
        let by = by.collect::<Vec<_>>().join(", ");
        lines.push(match (plan.in_order, few) {
            (true, _) => format!("in order of {by} already"),
            (false, Some(few)) => format!("sort by {by}, keep the first {few}"),
            (false, None) => format!("sort by {by}"),
        });
    }
    if plan.offset > 0 {
        lines.push(format!("leave out the first {}", plan.offset));
    }
    if let Some(limit) = plan.limit {
        let ends = plan.in_order && plan.grouping.is_none();
        let ends = ends || plan.order.is_empty() && plan.grouping.is_none();
        lines.push(match ends {
            true => format!("stop after {limit}"),
            false => format!("answer {limit} at most"),
        });
    }
    lines.push(match &plan.output {
        Output::Rows(at) => format!("show rows of {}", table_name(&scope.entries()[*at])),
        Output::Cells(shown) => {
            let shown = shown.iter().zip(columns);
            let shown = shown.map(|(cell, (name, _))| match cell.name == *name {
                true => name.clone(),
                false => format!("{} AS {name}", cell.name),
            });
            format!("show {}", shown.collect::<Vec<_>>().join(", "))
        }
    });
    lines
}

fn group_lines(grouping: &Grouping) -> Vec<String> {
    let columns = &grouping.columns;
    let aggregates = columns.aggregates.iter().map(|it| it.name.as_str());
    let aggregates = aggregates.collect::<Vec<_>>().join(", ");
    let by = columns.by.iter().map(|by| by.name.as_str());
    let by = by.collect::<Vec<_>>().join(", ");
    let mut lines = vec![match (by.is_empty(), aggregates.is_empty()) {
        (true, true) => "one group".to_owned(),
        (true, false) => format!("one group: {aggregates}"),
        (false, true) => format!("group by {by}"),
        (false, false) => format!("group by {by}: {aggregates}"),
    }];
    if grouping.having != Predicate::Constant(true) {
        let aggregates = columns.aggregates.iter().map(|it| Cell {
            at: 0,
            ty: it.ty.clone(),
            name: it.name.clone(),
        });
        let cells: Vec<Cell> = columns.by.iter().cloned().chain(aggregates).collect();
        let having = condition(&grouping.having, &cells);
        lines.push(format!("keep groups with {having}"));
    }
    lines
}

fn table_name(entry: &Entry<'_>) -> String {
    match entry.alias {
        Some(alias) if alias != entry.table.name => format!("{} {alias}", entry.table.name),
        _ => entry.table.name.clone(),
    }
}

fn index_name(table: &TableSchema, id: IndexId) -> &str {
    let index = table.indexes.iter().find(|index| index.id == id);
    index.map_or("?", |index| &index.name)
}

fn source_text(entry: &Entry<'_>, source: &Source) -> String {
    let table = entry.table;
    let columns = |index: IndexId| {
        let index = table.indexes.iter().find(|known| known.id == index);
        let columns = index.map_or(&[][..], |index| &index.columns);
        columns
            .iter()
            .map(|column| &table.columns[usize::from(*column)])
    };
    let (index, mut parts) = match source {
        Source::Table => return "all rows".to_owned(),
        Source::Point(index, values) => (*index, known(columns(*index), values)),
        Source::Range {
            index,
            prefix,
            prefix_len,
            start,
            end,
        } => {
            let mut parts = known(columns(*index).take(usize::from(*prefix_len)), prefix);
            if let Some(next) = columns(*index).nth(usize::from(*prefix_len)) {
                let mut bound = |bound: &Bound<Vec<u8>>, with, without| {
                    let (sign, value) = match bound {
                        Bound::Included(value) => (with, value),
                        Bound::Excluded(value) => (without, value),
                        Bound::Unbounded => return,
                    };
                    let value = literal(&next.ty, value);
                    parts.push(format!("{} {sign} {value}", next.name));
                };
                bound(start, ">=", ">");
                bound(end, "<=", "<");
            }
            (*index, parts)
        }
    };
    let index = index_name(table, index);
    if parts.is_empty() {
        return format!("all rows by index {index}");
    }
    let last = parts.pop().unwrap_or_default();
    let parts: String = parts.iter().map(|part| format!("{part}, ")).collect();
    format!("rows by index {index} ({parts}{last})")
}

/// Columns with one value each: BSATN of them, one after the other.
fn known<'t>(columns: impl Iterator<Item = &'t store::Column>, values: &[u8]) -> Vec<String> {
    let columns: Vec<_> = columns.collect();
    let types = columns.iter().map(|column| &column.ty);
    let cells = super::run::cells(values, types).unwrap_or_default();
    let parts = columns.iter().zip(cells);
    let parts =
        parts.map(|(column, cell)| format!("{} = {}", column.name, literal(&column.ty, cell)));
    parts.collect()
}

fn literal(ty: &AlgebraicType, value: &[u8]) -> String {
    let column = [(String::new(), ty.clone())];
    let text = row_text(&column, value)
        .ok()
        .and_then(|mut text| text.pop());
    let text = text.unwrap_or_else(|| "?".to_owned());
    let mut shown: String = text.chars().take(LITERAL_CHARS_MAX).collect();
    if text.chars().nth(LITERAL_CHARS_MAX).is_some() {
        shown.push('…');
    }
    match ty {
        AlgebraicType::String => format!("'{}'", shown.replace('\'', "''")),
        _ => shown,
    }
}

/// A condition in SQL. As deep as parentheses were, which the parser has bounded.
fn condition(predicate: &Predicate, cells: &[Cell]) -> String {
    let chain = |parts: &[Predicate], between: &str| {
        let parts = parts.iter().map(|part| match part {
            Predicate::All(_) | Predicate::Any(_) => format!("({})", condition(part, cells)),
            part => condition(part, cells),
        });
        parts.collect::<Vec<_>>().join(between)
    };
    match predicate {
        Predicate::All(parts) => chain(parts, " AND "),
        Predicate::Any(parts) => chain(parts, " OR "),
        Predicate::Constant(value) => value.to_string(),
        Predicate::Literal {
            column,
            operator,
            value,
            ..
        } => {
            let cell = &cells[*column];
            let value = literal(&cell.ty, value);
            format!("{} {} {value}", cell.name, operator.sign())
        }
        Predicate::Columns {
            left,
            operator,
            right,
            ..
        } => {
            let (left, right) = (&cells[*left].name, &cells[*right].name);
            format!("{left} {} {right}", operator.sign())
        }
    }
}
