//! Tables whose rows say when a reducer is to run.

use std::collections::BTreeSet;

use spacetimedb_sats::AlgebraicType;
use store::TableSchema;

use super::ScheduleDraft;
use crate::def::{ReducerDef, ScheduleDef};
use crate::reasons::Reasons;

/// Ties schedules to their tables and reducers, which have been built; names are those of the source.
pub(super) fn build(
    drafts: &[ScheduleDraft],
    tables: &[TableSchema],
    reducers: &[ReducerDef],
    reasons: &mut Reasons,
) -> Vec<ScheduleDef> {
    let mut taken = BTreeSet::new();
    let mut schedules = Vec::new();
    for draft in drafts {
        let (table, function) = (&draft.table, &draft.function);
        let named = |other: &&TableSchema| other.source_name == *table;
        let Some(schema) = tables.iter().find(named) else {
            reasons.add(format!(
                "table {table} schedules {function}, and does not exist"
            ));
            continue;
        };
        if !taken.insert(table) {
            reasons.add(format!("table {table} has two schedules"));
        }
        match schedule(draft, schema, reducers) {
            Ok(schedule) => schedules.push(schedule),
            Err(why) => reasons.add(format!("table {table} schedules {function}: {why}")),
        }
    }
    schedules
}

fn schedule(
    draft: &ScheduleDraft,
    table: &TableSchema,
    reducers: &[ReducerDef],
) -> Result<ScheduleDef, &'static str> {
    let key = table
        .primary_key
        .and_then(|place| table.columns.get(usize::from(place)));
    if key.is_none_or(|column| column.ty != AlgebraicType::U64) {
        return Err("its primary key has to be a u64");
    }
    let at = table.columns.get(usize::from(draft.column));
    if at.is_none_or(|column| !column.ty.is_schedule_at()) {
        return Err("the column that says when is no ScheduleAt");
    }
    if table.event {
        return Err("a table of events keeps no rows that could wait");
    }
    let named = |reducer: &ReducerDef| reducer.source_name == draft.function;
    let reducer = reducers.iter().position(named);
    let reducer = reducer.ok_or("there is no reducer of that name")?;
    let types = |of: &AlgebraicType| -> Option<Vec<AlgebraicType>> {
        let product = of.as_product()?;
        let types = product.elements.iter().map(|it| it.algebraic_type.clone());
        Some(types.collect())
    };
    let columns: Vec<_> = table.columns.iter().map(|it| it.ty.clone()).collect();
    match reducers[reducer].params.as_slice() {
        [(_, row)] if types(row).as_ref() == Some(&columns) => {}
        _ => return Err("it has to take a row of the table and nothing else"),
    }
    Ok(ScheduleDef {
        table: table.name.clone(),
        column: draft.column,
        reducer,
    })
}
