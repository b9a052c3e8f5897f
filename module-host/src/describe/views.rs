//! Tables that a module computes.

use std::collections::BTreeSet;

use spacetimedb_lib::db::view::extract_view_return_product_type_ref;
use spacetimedb_primitives::ColList;
use store::TableSchema;

use super::names::Names;
use super::types::Resolver;
use super::{TableDraft, ViewDraft, tables};
use crate::def::{FIRST_VIEW_ID, ViewDef};
use crate::reasons::Reasons;

/// Builds all views, whose names have to differ from those of the tables too.
pub(super) fn build(
    drafts: &[ViewDraft],
    tables: &[TableSchema],
    names: &Names,
    resolver: &mut Resolver<'_>,
    reasons: &mut Reasons,
) -> Vec<ViewDef> {
    let mut taken: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let mut numbers = BTreeSet::new();
    let mut views: Vec<ViewDef> = Vec::new();
    for (id, draft) in (FIRST_VIEW_ID..).zip(drafts) {
        let name = &draft.source_name;
        if draft.params > 0 {
            reasons.add(format!("view {name} takes parameters: not supported"));
        }
        if !numbers.insert((draft.anonymous, draft.index)) {
            reasons.add(format!("view {name} has the number of another one"));
        }
        let row = extract_view_return_product_type_ref(&draft.return_type);
        let Some((row_type, _)) = row else {
            reasons.add(format!("view {name} does not return rows"));
            continue;
        };
        let table = TableDraft {
            source_name: name.clone(),
            row_type,
            primary_key: ColList::empty(),
            indexes: Vec::new(),
            unique: Vec::new(),
            sequences: Vec::new(),
            defaults: Vec::new(),
            public: draft.public,
            event: false,
        };
        let mut table = tables::view(id, names.function(name), &table, names, resolver, reasons);
        if let [key] = draft.key.as_slice() {
            let place = |of: &TableSchema| of.columns.iter().position(|it| it.source_name == *key);
            table.primary_key = place(&table).and_then(|place| u16::try_from(place).ok());
            if table.primary_key.is_none() {
                reasons.add(format!("view {name} has no column {key}, its primary key"));
            }
        }
        views.push(ViewDef {
            table,
            index: draft.index,
            anonymous: draft.anonymous,
        });
    }
    for view in &views {
        if !taken.insert(&view.table.name) {
            reasons.add(format!("two tables are called {}", view.table.name));
        }
    }
    views
}
