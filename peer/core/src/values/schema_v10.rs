//! A module's description as version 10: one section a kind, and names as in the source.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{RawMiscModuleExportV9, RawModuleDefV9, RawTableDefV9};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, FunctionVisibility, RawColumnDefaultValueV10, RawConstraintDefV10,
    RawIndexDefV10, RawLifeCycleReducerDefV10, RawModuleDefV10, RawModuleDefV10Section as Section,
    RawProcedureDefV10, RawReducerDefV10, RawScheduleDefV10, RawScopedTypeNameV10,
    RawSequenceDefV10, RawTableDefV10, RawTypeDefV10, RawViewDefV10,
    reducer_default_err_return_type, reducer_default_ok_return_type,
};

use super::schema::BadDescription;

/// Brings a description into version 10. One of that version stays as it is.
///
/// # Errors
/// [`BadDescription`] for a format before version 9.
pub(super) fn to_v10(module: RawModuleDef) -> Result<RawModuleDefV10, BadDescription> {
    match module {
        RawModuleDef::V10(module) => Ok(module),
        RawModuleDef::V9(module) => Ok(from_v9(&module)),
        _ => Err(BadDescription(
            "it has a format before version 9".to_owned(),
        )),
    }
}

fn from_v9(module: &RawModuleDefV9) -> RawModuleDefV10 {
    let types = module.types.iter().map(|ty| RawTypeDefV10 {
        source_name: RawScopedTypeNameV10 {
            scope: ty.name.scope.clone(),
            source_name: ty.name.name.clone(),
        },
        ty: ty.ty,
        custom_ordering: ty.custom_ordering,
    });
    let mut sections = vec![
        Section::Typespace(module.typespace.clone()),
        Section::Types(types.collect()),
        Section::Tables(
            module
                .tables
                .iter()
                .map(|table| table_of(table, module))
                .collect(),
        ),
        Section::Reducers(reducers(module)),
    ];
    let mut add = |len: usize, section: Section| {
        if len > 0 {
            sections.push(section);
        }
    };
    let procedures = procedures(module);
    add(procedures.len(), Section::Procedures(procedures));
    let views = views(module);
    add(views.len(), Section::Views(views));
    let schedules = schedules(module);
    add(schedules.len(), Section::Schedules(schedules));
    let events = lifecycle_reducers(module);
    add(events.len(), Section::LifeCycleReducers(events));
    let filters = module.row_level_security.clone();
    add(filters.len(), Section::RowLevelSecurity(filters));
    // Names of 1.x stand for themselves, and only this policy leaves them alone.
    sections.push(Section::CaseConversionPolicy(CaseConversionPolicy::None));
    RawModuleDefV10 { sections }
}

fn table_of(table: &RawTableDefV9, module: &RawModuleDefV9) -> RawTableDefV10 {
    let defaults = module
        .misc_exports
        .iter()
        .filter_map(|export| match export {
            RawMiscModuleExportV9::ColumnDefaultValue(default) if default.table == table.name => {
                Some(RawColumnDefaultValueV10 {
                    col_id: default.col_id,
                    value: default.value.clone(),
                })
            }
            _ => None,
        });
    RawTableDefV10 {
        source_name: table.name.clone(),
        product_type_ref: table.product_type_ref,
        primary_key: table.primary_key.clone(),
        indexes: table
            .indexes
            .iter()
            .map(|index| RawIndexDefV10 {
                source_name: index.name.clone(),
                accessor_name: index.accessor_name.clone(),
                algorithm: index.algorithm.clone(),
            })
            .collect(),
        constraints: table
            .constraints
            .iter()
            .map(|constraint| RawConstraintDefV10 {
                source_name: constraint.name.clone(),
                data: constraint.data.clone(),
            })
            .collect(),
        sequences: table
            .sequences
            .iter()
            .map(|sequence| RawSequenceDefV10 {
                source_name: sequence.name.clone(),
                column: sequence.column,
                start: sequence.start,
                min_value: sequence.min_value,
                max_value: sequence.max_value,
                increment: sequence.increment,
            })
            .collect(),
        table_type: table.table_type,
        table_access: table.table_access,
        default_values: defaults.collect(),
        is_event: false,
    }
}

/// A reducer that an event or a schedule calls is not for clients.
fn reducers(module: &RawModuleDefV9) -> Vec<RawReducerDefV10> {
    let reducers = module.reducers.iter().map(|reducer| RawReducerDefV10 {
        source_name: reducer.name.clone(),
        params: reducer.params.clone(),
        visibility: match reducer.lifecycle {
            Some(_) => FunctionVisibility::Private,
            None => FunctionVisibility::ClientCallable,
        },
        ok_return_type: reducer_default_ok_return_type(),
        err_return_type: reducer_default_err_return_type(),
    });
    reducers.collect()
}

fn lifecycle_reducers(module: &RawModuleDefV9) -> Vec<RawLifeCycleReducerDefV10> {
    let events = module.reducers.iter().filter_map(|reducer| {
        let function_name = reducer.name.clone();
        let lifecycle_spec = reducer.lifecycle?;
        Some(RawLifeCycleReducerDefV10 {
            lifecycle_spec,
            function_name,
        })
    });
    events.collect()
}

fn schedules(module: &RawModuleDefV9) -> Vec<RawScheduleDefV10> {
    let schedules = module.tables.iter().filter_map(|table| {
        let schedule = table.schedule.as_ref()?;
        Some(RawScheduleDefV10 {
            source_name: schedule.name.clone(),
            table_name: table.name.clone(),
            schedule_at_col: schedule.scheduled_at_column,
            function_name: schedule.reducer_name.clone(),
        })
    });
    schedules.collect()
}

fn procedures(module: &RawModuleDefV9) -> Vec<RawProcedureDefV10> {
    let procedures = module
        .misc_exports
        .iter()
        .filter_map(|export| match export {
            RawMiscModuleExportV9::Procedure(procedure) => Some(RawProcedureDefV10 {
                source_name: procedure.name.clone(),
                params: procedure.params.clone(),
                return_type: procedure.return_type.clone(),
                visibility: FunctionVisibility::ClientCallable,
            }),
            _ => None,
        });
    procedures.collect()
}

fn views(module: &RawModuleDefV9) -> Vec<RawViewDefV10> {
    let views = module
        .misc_exports
        .iter()
        .filter_map(|export| match export {
            RawMiscModuleExportV9::View(view) => Some(RawViewDefV10 {
                source_name: view.name.clone(),
                index: view.index,
                is_public: view.is_public,
                is_anonymous: view.is_anonymous,
                params: view.params.clone(),
                return_type: view.return_type.clone(),
            }),
            _ => None,
        });
    views.collect()
}
