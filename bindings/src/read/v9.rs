//! Version 9: modules for 1.x. Names stand for themselves.

use std::collections::BTreeMap;

use module_host::Names;
use spacetimedb_lib::db::raw_def::v9::{
    RawConstraintDataV9, RawMiscModuleExportV9, RawModuleDefV9, TableAccess, TableType,
};
use spacetimedb_sats::AlgebraicType;

use super::{TableDraft, add_type_name, function, table};
use crate::error::BindingsError;
use crate::model::Module;

/// Reads a module of version 9.
pub(super) fn module(raw: RawModuleDefV9) -> Result<Module, BindingsError> {
    let names = Names::verbatim();
    let mut type_names = BTreeMap::new();
    for ty in &raw.types {
        add_type_name(&mut type_names, ty.ty, ty.name.scope.iter(), &ty.name.name);
    }
    let mut module = Module {
        type_names,
        ..Module::default()
    };
    for draft in raw.tables {
        if draft.table_access == TableAccess::Private || draft.table_type == TableType::System {
            continue;
        }
        let unique = draft.constraints.iter().filter_map(|it| match &it.data {
            RawConstraintDataV9::Unique(unique) => Some(unique.columns.iter()),
            _ => None,
        });
        let draft = TableDraft {
            source_name: draft.name.to_string(),
            wire_name: draft.name.to_string(),
            row_type: draft.product_type_ref,
            primary_key: draft.primary_key.iter().map(|column| column.0).collect(),
            unique: unique
                .map(|columns| columns.map(|column| column.0).collect())
                .collect(),
            indexes: draft
                .indexes
                .into_iter()
                .map(|index| {
                    let name = index.accessor_name.map(|name| name.to_string());
                    (name, index.algorithm)
                })
                .collect(),
            event: false,
        };
        module.tables.push(table(draft, &names, &raw.typespace)?);
    }
    for reducer in raw.reducers {
        if reducer.lifecycle.is_none() {
            module.reducers.push(function(
                &reducer.name,
                reducer.name.to_string(),
                &reducer.params,
                AlgebraicType::unit(),
            ));
        }
    }
    for export in raw.misc_exports {
        match export {
            RawMiscModuleExportV9::Procedure(procedure) => module.procedures.push(function(
                &procedure.name,
                procedure.name.to_string(),
                &procedure.params,
                procedure.return_type,
            )),
            RawMiscModuleExportV9::View(view) if view.is_public => {
                let draft = TableDraft::view(&view.name, view.name.to_string(), &view.return_type)?;
                module.tables.push(table(draft, &names, &raw.typespace)?);
            }
            // Defaults of columns say nothing to a client.
            _ => {}
        }
    }
    module.typespace = raw.typespace;
    Ok(module)
}
