//! Version 9: modules for 1.x. Names stand for themselves.

use spacetimedb_lib::db::raw_def::v9::{
    Lifecycle as RawLifecycle, RawConstraintDataV9, RawMiscModuleExportV9, RawModuleDefV9,
    RawSequenceDefV9, RawTableDefV9, TableAccess, TableType,
};
use spacetimedb_primitives::ColList;

use super::names::Names;
use super::{
    Draft, IndexDraft, ReducerDraft, ScheduleDraft, SequenceDraft, TableDraft, TypeDraft, ViewDraft,
};
use crate::def::Lifecycle;
use crate::reasons::Reasons;

/// Reads a module's description, noting what is not supported.
pub(super) fn draft(module: RawModuleDefV9, reasons: &mut Reasons) -> Draft {
    for export in &module.misc_exports {
        match export {
            RawMiscModuleExportV9::ColumnDefaultValue(default) => {
                if module
                    .tables
                    .iter()
                    .all(|table| table.name != default.table)
                {
                    reasons.add(format!(
                        "a default is for table {}, which does not exist",
                        default.table
                    ));
                }
            }
            RawMiscModuleExportV9::Procedure(procedure) => {
                reasons.add(format!(
                    "it has a procedure ({}): not supported yet",
                    procedure.name
                ));
            }
            RawMiscModuleExportV9::View(_) => {} // read below
            _ => reasons.add("it exports something of a kind that is not known"),
        }
    }
    let filters = module.row_level_security.iter();
    let filters = filters.map(|filter| filter.sql.to_string()).collect();
    let mut names = Names::verbatim();
    let indexes = module.tables.iter().flat_map(|table| &table.indexes);
    for name in indexes.filter_map(|index| index.name.as_ref()) {
        names.keep_index(name);
    }
    let schedules = module.tables.iter().filter_map(|table| {
        let schedule = table.schedule.as_ref()?;
        Some(ScheduleDraft {
            table: table.name.to_string(),
            column: schedule.scheduled_at_column.0,
            function: schedule.reducer_name.to_string(),
        })
    });
    let schedules = schedules.collect();
    let views = module
        .misc_exports
        .iter()
        .filter_map(|export| match export {
            RawMiscModuleExportV9::View(view) => Some(ViewDraft {
                source_name: view.name.to_string(),
                index: view.index,
                anonymous: view.is_anonymous,
                public: view.is_public,
                params: view.params.elements.len(),
                return_type: view.return_type.clone(),
                key: Vec::new(),
            }),
            _ => None,
        });
    let views = views.collect();
    let misc_exports = &module.misc_exports;
    let tables = module
        .tables
        .into_iter()
        .map(|table| table_draft(table, misc_exports, reasons));
    let tables = tables.collect();
    let reducers = module.reducers.into_iter().map(|reducer| ReducerDraft {
        source_name: reducer.name.to_string(),
        params: reducer.params,
        client_callable: reducer.lifecycle.is_none(),
        lifecycle: reducer
            .lifecycle
            .and_then(|event| lifecycle(event, reasons)),
    });
    let types = module.types.into_iter().map(|ty| TypeDraft {
        scope: ty.name.scope.iter().map(ToString::to_string).collect(),
        source_name: ty.name.name.to_string(),
        ty: ty.ty,
    });
    Draft {
        reducers: reducers.collect(),
        typespace: module.typespace,
        names,
        tables,
        types: types.collect(),
        schedules,
        views,
        filters,
    }
}

/// The event, if it is one that is known.
pub(super) fn lifecycle(event: RawLifecycle, reasons: &mut Reasons) -> Option<Lifecycle> {
    match event {
        RawLifecycle::Init => Some(Lifecycle::Init),
        RawLifecycle::OnConnect => Some(Lifecycle::ClientConnected),
        RawLifecycle::OnDisconnect => Some(Lifecycle::ClientDisconnected),
        _ => {
            reasons.add("it has a reducer for an event that is not known");
            None
        }
    }
}

/// The columns of a constraint, if it is of a kind that is known.
pub(super) fn unique(data: RawConstraintDataV9, reasons: &mut Reasons) -> Option<ColList> {
    match data {
        RawConstraintDataV9::Unique(unique) => Some(unique.columns),
        _ => {
            reasons.add("it has a constraint of a kind that is not known");
            None
        }
    }
}

fn table_draft(
    table: RawTableDefV9,
    misc_exports: &[RawMiscModuleExportV9],
    reasons: &mut Reasons,
) -> TableDraft {
    if table.table_type == TableType::System {
        reasons.add(format!(
            "table {} says that it belongs to the system",
            table.name
        ));
    }
    let defaults = misc_exports.iter().filter_map(|export| match export {
        RawMiscModuleExportV9::ColumnDefaultValue(default) if default.table == table.name => {
            Some((default.col_id.0, default.value.to_vec()))
        }
        _ => None,
    });
    TableDraft {
        source_name: table.name.to_string(),
        row_type: table.product_type_ref,
        primary_key: table.primary_key,
        indexes: table
            .indexes
            .into_iter()
            .map(|index| IndexDraft {
                source_name: index.name.map(|name| name.to_string()),
                algorithm: index.algorithm,
            })
            .collect(),
        unique: table
            .constraints
            .into_iter()
            .filter_map(|it| unique(it.data, reasons))
            .collect(),
        sequences: table.sequences.iter().map(sequence).collect(),
        defaults: defaults.collect(),
        public: table.table_access == TableAccess::Public,
        event: false,
    }
}

fn sequence(sequence: &RawSequenceDefV9) -> SequenceDraft {
    let RawSequenceDefV9 {
        start,
        min_value,
        max_value,
        increment,
        ..
    } = sequence;
    let bounds = (start, min_value, max_value);
    SequenceDraft {
        column: sequence.column.0,
        plain: super::is_plain(bounds, *increment),
    }
}
