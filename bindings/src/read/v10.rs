//! Version 10: modules for 2.x. A list of sections, in any order, at most one of a kind.

use std::collections::{BTreeMap, BTreeSet};

use module_host::Names;
use spacetimedb_lib::db::raw_def::v9::{RawConstraintDataV9, TableAccess, TableType};
use spacetimedb_lib::db::raw_def::v10::{
    FunctionVisibility, RawModuleDefV10, RawModuleDefV10Section as Section, RawTableDefV10,
    RawViewDefV10, RawViewPrimaryKeyDefV10,
};
use spacetimedb_sats::raw_identifier::RawIdentifier;
use spacetimedb_sats::{AlgebraicType, Typespace};

use super::{TableDraft, add_type_name, function, table};
use crate::error::BindingsError;
use crate::model::{Module, Table};

/// Reads a module of version 10.
pub(super) fn module(raw: RawModuleDefV10) -> Result<Module, BindingsError> {
    let policy = raw.case_conversion_policy();
    let mut module = Module::default();
    let mut explicit = None;
    let (mut tables, mut views, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reducers, mut procedures) = (Vec::new(), Vec::new());
    let mut uncallable = BTreeSet::new();
    let mut type_names = BTreeMap::new();
    for section in raw.sections {
        match section {
            Section::Typespace(some) => module.typespace = some,
            Section::Types(some) => {
                for ty in &some {
                    let name = &ty.source_name;
                    add_type_name(&mut type_names, ty.ty, name.scope.iter(), &name.source_name);
                }
            }
            Section::Tables(some) => tables = some,
            Section::Views(some) => views = some,
            Section::ViewPrimaryKeys(some) => keys = some,
            Section::Reducers(some) => reducers = some,
            Section::Procedures(some) => procedures = some,
            // What the database calls by itself is not for clients, whatever else is said of it.
            Section::LifeCycleReducers(some) => {
                uncallable.extend(some.into_iter().map(|event| event.function_name));
            }
            Section::Schedules(some) => {
                uncallable.extend(some.into_iter().map(|schedule| schedule.function_name));
            }
            Section::ExplicitNames(some) => explicit = Some(some),
            Section::Submodules(some) if !some.is_empty() => {
                return Err(BindingsError::Unsupported("submodules".into()));
            }
            // Visibility filters and HTTP routes say nothing to a client.
            _ => {}
        }
    }
    module.type_names = type_names;
    let names =
        Names::new(policy, explicit.unwrap_or_default()).map_err(BindingsError::Senseless)?;
    for draft in tables {
        if draft.table_access == TableAccess::Public && draft.table_type == TableType::User {
            let draft = table_draft(draft, &names);
            module.tables.push(table(draft, &names, &module.typespace)?);
        }
    }
    for draft in views.iter().filter(|view| view.is_public) {
        module
            .tables
            .push(view(draft, &keys, &names, &module.typespace)?);
    }
    let callable = |visibility, name: &RawIdentifier| {
        matches!(visibility, FunctionVisibility::ClientCallable) && !uncallable.contains(name)
    };
    for reducer in reducers {
        if callable(reducer.visibility, &reducer.source_name) {
            let name = &reducer.source_name;
            let returns = AlgebraicType::unit();
            let reducer = function(name, names.function(name), &reducer.params, returns);
            module.reducers.push(reducer);
        }
    }
    for procedure in procedures {
        if callable(procedure.visibility, &procedure.source_name) {
            let name = &procedure.source_name;
            let returns = procedure.return_type;
            let procedure = function(name, names.function(name), &procedure.params, returns);
            module.procedures.push(procedure);
        }
    }
    Ok(module)
}

fn table_draft(table: RawTableDefV10, names: &Names) -> TableDraft {
    let unique = table.constraints.iter().filter_map(|it| match &it.data {
        RawConstraintDataV9::Unique(unique) => Some(unique.columns.iter()),
        _ => None,
    });
    TableDraft {
        source_name: table.source_name.to_string(),
        wire_name: names.table(&table.source_name),
        row_type: table.product_type_ref,
        primary_key: table.primary_key.iter().map(|column| column.0).collect(),
        unique: unique
            .map(|columns| columns.map(|column| column.0).collect())
            .collect(),
        indexes: table
            .indexes
            .into_iter()
            .map(|index| {
                let name = index.accessor_name.map(|name| name.to_string());
                (name, index.algorithm)
            })
            .collect(),
        event: table.is_event,
    }
}

fn view(
    view: &RawViewDefV10,
    keys: &[RawViewPrimaryKeyDefV10],
    names: &Names,
    typespace: &Typespace,
) -> Result<Table, BindingsError> {
    let name = &view.source_name;
    let mut draft = TableDraft::view(name, names.function(name), &view.return_type)?;
    let key = keys.iter().find(|key| key.view_source_name == *name);
    let row = typespace.get(draft.row_type).and_then(|ty| ty.as_product());
    if let (Some(key), Some(row)) = (key, row) {
        for column in &key.columns {
            let place = row
                .elements
                .iter()
                .position(|element| element.name.as_ref() == Some(column));
            let place = place.and_then(|place| u16::try_from(place).ok());
            draft.primary_key.push(place.ok_or_else(|| {
                BindingsError::Senseless(format!("view {name} has a key that is no column"))
            })?);
        }
    }
    table(draft, names, typespace)
}
