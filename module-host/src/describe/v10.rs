//! Version 10: modules for 2.x. A list of sections, in any order, at most one of a kind.

use std::collections::BTreeSet;

use spacetimedb_lib::db::raw_def::v9::{TableAccess, TableType};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNames, FunctionVisibility, RawLifeCycleReducerDefV10,
    RawModuleDefV10, RawModuleDefV10Section as Section, RawReducerDefV10, RawScheduleDefV10,
    RawSequenceDefV10, RawTableDefV10, RawTypeDefV10, RawViewDefV10, RawViewPrimaryKeyDefV10,
    reducer_default_err_return_type, reducer_default_ok_return_type,
};
use spacetimedb_sats::Typespace;

use super::names::Names;
use super::v9::{lifecycle, unique};
use super::{
    Draft, IndexDraft, ReducerDraft, ScheduleDraft, SequenceDraft, TableDraft, TypeDraft, ViewDraft,
};
use crate::reasons::Reasons;

/// Reads a module's description, noting what is not supported.
pub(super) fn draft(module: RawModuleDefV10, reasons: &mut Reasons) -> Draft {
    let mut typespace = Typespace::default();
    let mut policy = CaseConversionPolicy::default();
    let mut explicit = ExplicitNames::default();
    let (mut tables, mut reducers, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut schedules) = (Vec::new(), Vec::new());
    let (mut views, mut keys) = (Vec::new(), Vec::new());
    let mut filters = Vec::new();
    let mut seen = BTreeSet::new();
    for section in module.sections {
        if !seen.insert(place(&section)) {
            reasons.add("its description has two sections of one kind");
        }
        match section {
            Section::Typespace(some) => typespace = some,
            Section::Types(some) => types = some,
            Section::Tables(some) => tables = some,
            Section::Reducers(some) => reducers = some,
            Section::LifeCycleReducers(some) => events = some,
            Section::Schedules(some) => schedules = some,
            Section::Views(some) => views = some,
            Section::ViewPrimaryKeys(some) => keys = some,
            Section::RowLevelSecurity(some) => filters = some,
            Section::CaseConversionPolicy(some) => policy = some,
            Section::ExplicitNames(some) => explicit = some,
            section => refuse_section(section, reasons),
        }
    }
    let names = Names::new(policy, explicit).unwrap_or_else(|problem| {
        reasons.add(problem);
        Names::default()
    });
    let tables = tables
        .into_iter()
        .map(|table| table_draft(table, reasons))
        .collect();
    for event in &events {
        if !reducers
            .iter()
            .any(|reducer| reducer.source_name == event.function_name)
        {
            reasons.add(format!(
                "{} is to be called at an event, but is no reducer",
                event.function_name
            ));
        }
    }
    let reducers = reducers.into_iter().map(|reducer| {
        let is_it = |schedule: &RawScheduleDefV10| schedule.function_name == reducer.source_name;
        let is_scheduled = schedules.iter().any(is_it);
        let mut draft = reducer_draft(reducer, &events, reasons);
        draft.client_callable &= !is_scheduled;
        draft
    });
    let reducers = reducers.collect();
    let types = types.into_iter().map(|ty: RawTypeDefV10| TypeDraft {
        scope: ty
            .source_name
            .scope
            .iter()
            .map(ToString::to_string)
            .collect(),
        source_name: ty.source_name.source_name.to_string(),
        ty: ty.ty,
    });
    Draft {
        typespace,
        names,
        tables,
        reducers,
        types: types.collect(),
        schedules: schedules.into_iter().map(schedule_draft).collect(),
        views: views.into_iter().map(|it| view_draft(it, &keys)).collect(),
        filters: filters.iter().map(|it| it.sql.to_string()).collect(),
    }
}

fn view_draft(view: RawViewDefV10, keys: &[RawViewPrimaryKeyDefV10]) -> ViewDraft {
    let is_its = |key: &&RawViewPrimaryKeyDefV10| key.view_source_name == view.source_name;
    let key = keys.iter().find(is_its);
    let columns = key.into_iter().flat_map(|key| &key.columns);
    ViewDraft {
        key: columns.map(ToString::to_string).collect(),
        source_name: view.source_name.to_string(),
        index: view.index,
        anonymous: view.is_anonymous,
        public: view.is_public,
        params: view.params.elements.len(),
        return_type: view.return_type,
    }
}

fn schedule_draft(schedule: RawScheduleDefV10) -> ScheduleDraft {
    ScheduleDraft {
        table: schedule.table_name.to_string(),
        column: schedule.schedule_at_col.0,
        function: schedule.function_name.to_string(),
    }
}

/// The kind of a section, as a number.
fn place(section: &Section) -> u8 {
    match section {
        Section::Typespace(_) => 0,
        Section::Types(_) => 1,
        Section::Tables(_) => 2,
        Section::Reducers(_) => 3,
        Section::Procedures(_) => 4,
        Section::Views(_) => 5,
        Section::Schedules(_) => 6,
        Section::LifeCycleReducers(_) => 7,
        Section::RowLevelSecurity(_) => 8,
        Section::CaseConversionPolicy(_) => 9,
        Section::ExplicitNames(_) => 10,
        Section::HttpHandlers(_) => 11,
        Section::HttpRoutes(_) => 12,
        Section::ViewPrimaryKeys(_) => 13,
        Section::Submodules(_) => 14,
        // Refused in any case.
        _ => u8::MAX,
    }
}

/// Sections that are described but not built.
fn refuse_section(section: Section, reasons: &mut Reasons) {
    let mut refuse = |what: &str, name: &dyn std::fmt::Display| {
        reasons.add(format!("it has {what} ({name}): not supported yet"));
    };
    match section {
        Section::Procedures(some) => {
            some.iter()
                .for_each(|procedure| refuse("a procedure", &procedure.source_name));
        }
        Section::HttpHandlers(some) => {
            some.iter()
                .for_each(|handler| refuse("an HTTP handler", &handler.source_name));
        }
        Section::HttpRoutes(some) => {
            some.iter()
                .for_each(|route| refuse("an HTTP route", &route.path));
        }
        Section::Submodules(some) => {
            some.iter()
                .for_each(|module| refuse("a submodule", &module.namespace));
        }
        _ => reasons.add("its description has a section of a kind that is not known"),
    }
}

fn table_draft(table: RawTableDefV10, reasons: &mut Reasons) -> TableDraft {
    if table.table_type == TableType::System {
        reasons.add(format!(
            "table {} says that it belongs to the system",
            table.source_name
        ));
    }
    TableDraft {
        source_name: table.source_name.to_string(),
        row_type: table.product_type_ref,
        primary_key: table.primary_key,
        indexes: table
            .indexes
            .into_iter()
            .map(|index| IndexDraft {
                source_name: index.source_name.map(|name| name.to_string()),
                algorithm: index.algorithm,
            })
            .collect(),
        unique: table
            .constraints
            .into_iter()
            .filter_map(|it| unique(it.data, reasons))
            .collect(),
        sequences: table.sequences.iter().map(sequence).collect(),
        defaults: table
            .default_values
            .into_iter()
            .map(|default| (default.col_id.0, default.value.into_vec()))
            .collect(),
        public: table.table_access == TableAccess::Public,
        event: table.is_event,
    }
}

fn sequence(sequence: &RawSequenceDefV10) -> SequenceDraft {
    let RawSequenceDefV10 {
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

fn reducer_draft(
    reducer: RawReducerDefV10,
    events: &[RawLifeCycleReducerDefV10],
    reasons: &mut Reasons,
) -> ReducerDraft {
    let mut own = events
        .iter()
        .filter(|event| event.function_name == reducer.source_name);
    let event = own.next();
    if own.next().is_some() {
        reasons.add(format!(
            "reducer {} is for several events",
            reducer.source_name
        ));
    }
    if reducer.ok_return_type != reducer_default_ok_return_type()
        || reducer.err_return_type != reducer_default_err_return_type()
    {
        reasons.add(format!(
            "reducer {} returns something else than nothing or a text: not supported",
            reducer.source_name
        ));
    }
    let callable = matches!(reducer.visibility, FunctionVisibility::ClientCallable);
    ReducerDraft {
        source_name: reducer.source_name.to_string(),
        params: reducer.params,
        client_callable: callable && event.is_none(),
        lifecycle: event.and_then(|event| lifecycle(event.lifecycle_spec, reasons)),
    }
}
