//! From a module's description of itself to tables and reducers.
//!
//! Two formats are read: version 9 of modules for 1.x and version 10 of modules for 2.x. Both
//! become one [`Draft`], which is then checked and named. What is described but not built here is
//! refused, every reason at once; what a module merely exports is never a reason.

mod names;
mod schedules;
mod tables;
mod types;
mod v10;
mod v9;
mod views;
mod walk;

use std::collections::BTreeSet;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{RawIndexAlgorithm, RawModuleDefV9Builder};
use spacetimedb_primitives::ColList;
use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, ProductType, Typespace, bsatn};
use store::Schema;

use crate::def::{Lifecycle, ModuleDef, ReducerDef};
use crate::error::PrepareError;
use crate::limits::{
    DEFINED_FILTERS_MAX, DEFINED_REDUCERS_MAX, DEFINED_TABLES_MAX, DESCRIPTION_DEPTH_MAX,
};
use crate::reasons::Reasons;
pub use names::Names;
use names::is_identifier;
use types::Resolver;

/// What both formats say, in the order of definition.
struct Draft {
    typespace: Typespace,
    names: Names,
    tables: Vec<TableDraft>,
    reducers: Vec<ReducerDraft>,
    types: Vec<TypeDraft>,
    schedules: Vec<ScheduleDraft>,
    views: Vec<ViewDraft>,
    /// Visibility filters, as they were written.
    filters: Vec<String>,
}

/// A table that the module computes, in names of the source.
struct ViewDraft {
    source_name: String,
    index: u32,
    anonymous: bool,
    public: bool,
    params: usize,
    return_type: AlgebraicType,
    /// Names of the columns of its primary key.
    key: Vec<String>,
}

/// A table whose rows say when a reducer runs, in names of the source.
struct ScheduleDraft {
    table: String,
    column: u16,
    function: String,
}

/// A type that generated code has a name for.
struct TypeDraft {
    scope: Vec<String>,
    source_name: String,
    ty: AlgebraicTypeRef,
}

struct TableDraft {
    source_name: String,
    row_type: AlgebraicTypeRef,
    primary_key: ColList,
    indexes: Vec<IndexDraft>,
    unique: Vec<ColList>,
    sequences: Vec<SequenceDraft>,
    defaults: Vec<(u16, Vec<u8>)>,
    public: bool,
    event: bool,
}

struct IndexDraft {
    source_name: Option<String>,
    algorithm: RawIndexAlgorithm,
}

struct SequenceDraft {
    column: u16,
    /// Whether it counts from 1 by 1 without bounds, as `auto_inc` does.
    plain: bool,
}

struct ReducerDraft {
    source_name: String,
    params: ProductType,
    lifecycle: Option<Lifecycle>,
    client_callable: bool,
}

/// Reads a module's description of itself, BSATN of `RawModuleDef`.
///
/// # Errors
/// [`PrepareError::Refused`] with every reason.
pub fn describe(raw: Vec<u8>) -> Result<ModuleDef, PrepareError> {
    let mut reasons = Reasons::default();
    let draft = match decode(&raw) {
        Ok(RawModuleDef::V9(module)) => Some(v9::draft(module, &mut reasons)),
        Ok(RawModuleDef::V10(module)) => Some(v10::draft(module, &mut reasons)),
        Ok(_) => {
            reasons.add("it describes itself in a format older than that of 1.0: rebuild it");
            None
        }
        Err(error) => {
            reasons.add(format!("its description of itself cannot be read: {error}"));
            None
        }
    };
    let def = draft.map(|draft| build(draft, raw, &mut reasons));
    reasons.refuse()?;
    def.ok_or_else(|| PrepareError::Refused(vec!["it describes nothing".into()]))
}

/// Decodes a description, once it is known to be of bounded depth. Says nothing about its sense.
///
/// # Errors
/// Text, for bytes that are not BSATN of `RawModuleDef` within [`DESCRIPTION_DEPTH_MAX`].
pub fn decode(raw: &[u8]) -> Result<RawModuleDef, String> {
    let mut builder = RawModuleDefV9Builder::new();
    let ty = builder.add_type::<RawModuleDef>();
    let typespace = builder.finish().typespace;
    walk::walk(raw, &ty, &typespace, DESCRIPTION_DEPTH_MAX).map_err(|error| error.to_string())?;
    bsatn::from_slice(raw).map_err(|error| error.to_string())
}

/// Whether a sequence counts from 1 by 1 without bounds.
fn is_plain(
    (start, min, max): (&Option<i128>, &Option<i128>, &Option<i128>),
    increment: i128,
) -> bool {
    start.is_none_or(|start| start == 1)
        && min.is_none_or(|min| min == 1)
        && max.is_none()
        && increment == 1
}

/// Names and checks what was described.
fn build(draft: Draft, raw: Vec<u8>, reasons: &mut Reasons) -> ModuleDef {
    let Draft {
        typespace,
        names,
        tables,
        reducers,
        types,
        schedules,
        views,
        filters,
    } = draft;
    at_most(reasons, "tables", tables.len(), DEFINED_TABLES_MAX);
    at_most(reasons, "reducers", reducers.len(), DEFINED_REDUCERS_MAX);
    let mut resolver = Resolver::new(&typespace, &names);
    let tables::Built {
        tables,
        defaults,
        shows_roles,
    } = tables::build(&tables, &names, &mut resolver, reasons);
    let reducers = build_reducers(reducers, &names, &mut resolver, reasons);
    at_most(reasons, "schedules", schedules.len(), DEFINED_TABLES_MAX);
    let schedules = schedules::build(&schedules, &tables, &reducers, reasons);
    at_most(reasons, "views", views.len(), DEFINED_TABLES_MAX);
    let views = views::build(&views, &tables, &names, &mut resolver, reasons);
    at_most(
        reasons,
        "visibility filters",
        filters.len(),
        DEFINED_FILTERS_MAX,
    );
    check_types(&types, &typespace, &names, reasons);
    // What the store refuses has been refused above, with all reasons and not only the first; the
    // store has the last word all the same.
    if reasons.is_empty()
        && let Err(error) = Schema::new(tables.clone())
    {
        reasons.add(error.to_string());
    }
    let mut def = ModuleDef::new(tables, reducers, defaults, schedules, views, filters, raw);
    def.shows_roles = shows_roles;
    def
}

fn at_most(reasons: &mut Reasons, what: &str, count: usize, max: usize) {
    if count > max {
        reasons.add(format!("it defines {count} {what}, the most is {max}"));
    }
}

/// Names of types are for generated code, which cannot have two of one name.
fn check_types(types: &[TypeDraft], typespace: &Typespace, names: &Names, reasons: &mut Reasons) {
    let mut taken = BTreeSet::new();
    for draft in types {
        let mut path = draft.scope.clone();
        path.push(names.type_name(&draft.source_name));
        let name = path.join("::");
        let ty = typespace.get(draft.ty);
        if !ty.is_some_and(|ty| ty.as_product().is_some() || ty.as_sum().is_some()) {
            reasons.add(format!(
                "type {name} is no product and no sum, or is not there"
            ));
        }
        if !taken.insert(name.clone()) {
            reasons.add(format!("two types are called {name}"));
        }
    }
}

fn build_reducers(
    drafts: Vec<ReducerDraft>,
    names: &Names,
    resolver: &mut Resolver<'_>,
    reasons: &mut Reasons,
) -> Vec<ReducerDef> {
    let mut taken = BTreeSet::new();
    let mut events = BTreeSet::new();
    let mut reducers = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let name = names.function(&draft.source_name);
        if !is_identifier(&name) {
            reasons.add(format!("{name:?} cannot be the name of a reducer"));
        }
        if !taken.insert(name.clone()) {
            reasons.add(format!("two reducers are called {name}"));
        }
        if let Some(event) = draft.lifecycle {
            if !events.insert(event) {
                reasons.add(format!("two reducers are for the event {event:?}"));
            }
            if !draft.params.elements.is_empty() {
                reasons.add(format!(
                    "reducer {name} is for the event {event:?} and has parameters: nobody passes them"
                ));
            }
        }
        let resolved = match resolver.resolve_params(&draft.params) {
            Ok(params) => params,
            Err(problem) => {
                reasons.add(format!("reducer {name}: of a parameter {problem}"));
                ProductType::unit()
            }
        };
        let arguments_type = arguments_type(&resolved);
        let mut params = Vec::with_capacity(resolved.elements.len());
        for (place, element) in resolved.elements.into_vec().into_iter().enumerate() {
            // Languages that do not name parameters have them numbered.
            let name = element
                .name
                .map_or_else(|| format!("arg_{place}"), |name| name.to_string());
            params.push((name, element.algebraic_type));
        }
        reducers.push(ReducerDef {
            name,
            source_name: draft.source_name,
            params,
            lifecycle: draft.lifecycle,
            arguments_type,
            client_callable: draft.client_callable,
        });
    }
    reducers
}

/// A short hash of parameters: of their number, order, names and types.
fn arguments_type(params: &ProductType) -> [u8; 8] {
    // Encoding cannot fail: it goes into memory, and nothing in a type refuses to be encoded.
    let bytes = bsatn::to_vec(params).unwrap_or_default();
    let hash = blake3::derive_key("tombolo arguments 1", &bytes);
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}
