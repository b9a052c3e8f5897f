//! A module's description as version 9: one record a table, and every name canonical.

use std::collections::BTreeMap;

use convert_case::{Case, Casing};
use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{
    RawColumnDefaultValueV9, RawConstraintDataV9, RawConstraintDefV9, RawIndexAlgorithm,
    RawIndexDefV9, RawMiscModuleExportV9, RawModuleDefV9, RawProcedureDefV9, RawReducerDefV9,
    RawScheduleDefV9, RawScopedTypeNameV9, RawSequenceDefV9, RawTableDefV9, RawTypeDefV9,
    RawViewDefV9,
};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNameEntry, RawModuleDefV10, RawTableDefV10,
};
use spacetimedb_sats::raw_identifier::RawIdentifier;
use spacetimedb_sats::{
    AlgebraicType, AlgebraicTypeRef, ProductType, ProductTypeElement, SumType, SumTypeVariant,
    Typespace,
};

use super::DEPTH_MAX;
use super::schema::BadDescription;

/// Brings a description into version 9.
///
/// # Errors
/// [`BadDescription`] for a format before that one, and for types nested beyond any bound.
pub(super) fn to_v9(module: RawModuleDef) -> Result<RawModuleDefV9, BadDescription> {
    let mut module = match module {
        RawModuleDef::V9(module) => module,
        RawModuleDef::V10(module) => from_v10(&module)?,
        _ => {
            return Err(BadDescription(
                "it has a format before version 9".to_owned(),
            ));
        }
    };
    name_the_nameless(&mut module);
    Ok(module)
}

/// The canonical names of a module of 2.x.
struct Names {
    verbatim: bool,
    tables: BTreeMap<String, RawIdentifier>,
    functions: BTreeMap<String, RawIdentifier>,
    indexes: BTreeMap<String, RawIdentifier>,
}

impl Names {
    fn of(module: &RawModuleDefV10) -> Self {
        let verbatim = matches!(module.case_conversion_policy(), CaseConversionPolicy::None);
        let mut names = Self {
            verbatim,
            tables: BTreeMap::new(),
            functions: BTreeMap::new(),
            indexes: BTreeMap::new(),
        };
        let explicit = module.explicit_names().cloned().unwrap_or_default();
        for entry in explicit.into_entries() {
            let (map, mapping) = match entry {
                ExplicitNameEntry::Table(mapping) => (&mut names.tables, mapping),
                ExplicitNameEntry::Function(mapping) => (&mut names.functions, mapping),
                ExplicitNameEntry::Index(mapping) => (&mut names.indexes, mapping),
                _ => continue,
            };
            map.insert(mapping.source_name.to_string(), mapping.canonical_name);
        }
        names
    }

    fn convert(&self, source: &str, case: Case) -> RawIdentifier {
        if self.verbatim {
            RawIdentifier::from(source.to_owned())
        } else {
            RawIdentifier::from(source.to_case(case))
        }
    }

    fn table(&self, source: &str) -> RawIdentifier {
        self.tables
            .get(source)
            .cloned()
            .unwrap_or_else(|| self.convert(source, Case::Snake))
    }

    fn function(&self, source: &str) -> RawIdentifier {
        self.functions
            .get(source)
            .cloned()
            .unwrap_or_else(|| self.convert(source, Case::Snake))
    }

    /// A type with its fields and variants renamed; references stay.
    fn ty(&self, ty: &AlgebraicType, depth: u32) -> Result<AlgebraicType, BadDescription> {
        if depth > DEPTH_MAX {
            return Err(BadDescription("a type is nested too deeply".to_owned()));
        }
        Ok(match ty {
            AlgebraicType::Product(product) => {
                AlgebraicType::Product(self.product(product, depth)?)
            }
            AlgebraicType::Sum(sum) => {
                // Options and the like are known by the names of their variants.
                let keep = sum.is_special();
                let variants = sum.variants.iter().map(|variant| {
                    let algebraic_type = self.ty(&variant.algebraic_type, depth + 1)?;
                    let name = variant.name.as_ref().map(|name| {
                        if keep {
                            name.clone()
                        } else {
                            self.convert(name, Case::Camel)
                        }
                    });
                    Ok(SumTypeVariant {
                        name,
                        algebraic_type,
                    })
                });
                let variants: Box<[_]> = variants.collect::<Result<_, BadDescription>>()?;
                AlgebraicType::Sum(SumType::from(variants))
            }
            AlgebraicType::Array(array) => {
                AlgebraicType::array(self.ty(&array.elem_ty, depth + 1)?)
            }
            simple => simple.clone(),
        })
    }

    fn product(&self, product: &ProductType, depth: u32) -> Result<ProductType, BadDescription> {
        // Identities, times and the like are known by the names of their fields.
        let keep = product.is_special();
        let elements = product.elements.iter().map(|element| {
            let algebraic_type = self.ty(&element.algebraic_type, depth + 1)?;
            let name = element.name.as_ref().map(|name| {
                if keep {
                    name.clone()
                } else {
                    self.convert(name, Case::Snake)
                }
            });
            Ok(ProductTypeElement {
                name,
                algebraic_type,
            })
        });
        let elements: Box<[_]> = elements.collect::<Result<_, BadDescription>>()?;
        Ok(ProductType::from(elements))
    }
}

fn from_v10(module: &RawModuleDefV10) -> Result<RawModuleDefV9, BadDescription> {
    let names = Names::of(module);
    let types = module
        .typespace()
        .map_or(&[][..], |typespace| &typespace.types);
    let types = types
        .iter()
        .map(|ty| names.ty(ty, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let lifecycles = all(module.lifecycle_reducers());
    let reducers = all(module.reducers()).iter().map(|reducer| {
        let mut events = lifecycles.iter();
        let event = events.find(|event| event.function_name == reducer.source_name);
        Ok(RawReducerDefV9 {
            name: names.function(&reducer.source_name),
            params: names.product(&reducer.params, 0)?,
            lifecycle: event.map(|event| event.lifecycle_spec),
        })
    });
    let named_types = all(module.types()).iter().map(|ty| RawTypeDefV9 {
        name: RawScopedTypeNameV9 {
            scope: ty.source_name.scope.clone(),
            name: names.convert(&ty.source_name.source_name, Case::Pascal),
        },
        ty: ty.ty,
        custom_ordering: ty.custom_ordering,
    });
    Ok(RawModuleDefV9 {
        tables: all(module.tables())
            .iter()
            .map(|table| table_of(table, module, &names))
            .collect(),
        reducers: reducers.collect::<Result<_, BadDescription>>()?,
        types: named_types.collect(),
        misc_exports: misc_exports(module, &names)?,
        row_level_security: all(module.row_level_security()).to_vec(),
        typespace: Typespace::new(types),
    })
}

fn all<T>(section: Option<&Vec<T>>) -> &[T] {
    section.map_or(&[], Vec::as_slice)
}

fn table_of(table: &RawTableDefV10, module: &RawModuleDefV10, names: &Names) -> RawTableDefV9 {
    let mut schedules = all(module.schedules()).iter();
    let schedule = schedules.find(|schedule| schedule.table_name == table.source_name);
    RawTableDefV9 {
        name: names.table(&table.source_name),
        product_type_ref: table.product_type_ref,
        primary_key: table.primary_key.clone(),
        indexes: table
            .indexes
            .iter()
            .map(|index| RawIndexDefV9 {
                name: index
                    .source_name
                    .as_ref()
                    .and_then(|name| names.indexes.get(&**name).cloned()),
                accessor_name: index.accessor_name.clone(),
                algorithm: index.algorithm.clone(),
            })
            .collect(),
        constraints: table
            .constraints
            .iter()
            .map(|constraint| RawConstraintDefV9 {
                name: None,
                data: constraint.data.clone(),
            })
            .collect(),
        sequences: table
            .sequences
            .iter()
            .map(|sequence| RawSequenceDefV9 {
                name: None,
                column: sequence.column,
                start: sequence.start,
                min_value: sequence.min_value,
                max_value: sequence.max_value,
                increment: sequence.increment,
            })
            .collect(),
        schedule: schedule.map(|schedule| RawScheduleDefV9 {
            name: None,
            reducer_name: names.function(&schedule.function_name),
            scheduled_at_column: schedule.schedule_at_col,
        }),
        table_type: table.table_type,
        table_access: table.table_access,
    }
}

fn misc_exports(
    module: &RawModuleDefV10,
    names: &Names,
) -> Result<Vec<RawMiscModuleExportV9>, BadDescription> {
    let mut exports = vec![];
    for table in all(module.tables()) {
        exports.extend(table.default_values.iter().map(|default| {
            RawMiscModuleExportV9::ColumnDefaultValue(RawColumnDefaultValueV9 {
                table: names.table(&table.source_name),
                col_id: default.col_id,
                value: default.value.clone(),
            })
        }));
    }
    for procedure in all(module.procedures()) {
        exports.push(RawMiscModuleExportV9::Procedure(RawProcedureDefV9 {
            name: names.function(&procedure.source_name),
            params: names.product(&procedure.params, 0)?,
            return_type: names.ty(&procedure.return_type, 0)?,
        }));
    }
    for view in all(module.views()) {
        exports.push(RawMiscModuleExportV9::View(RawViewDefV9 {
            name: names.function(&view.source_name),
            index: view.index,
            is_public: view.is_public,
            is_anonymous: view.is_anonymous,
            params: names.product(&view.params, 0)?,
            return_type: names.ty(&view.return_type, 0)?,
        }));
    }
    Ok(exports)
}

/// Gives indexes, constraints, sequences and schedules the names that they have if the module says
/// nothing else.
fn name_the_nameless(module: &mut RawModuleDefV9) {
    let RawModuleDefV9 {
        tables, typespace, ..
    } = module;
    for table in tables {
        let columns = column_names(typespace, table.product_type_ref);
        let named = |places: &mut dyn Iterator<Item = usize>| {
            let name = |place: usize| columns.get(place).map_or("", String::as_str);
            places.map(name).collect::<Vec<_>>().join("_")
        };
        let table_name = &*table.name;
        for index in &mut table.indexes {
            let (columns, kind) = match &index.algorithm {
                RawIndexAlgorithm::BTree { columns } => (columns.clone(), "btree"),
                RawIndexAlgorithm::Hash { columns } => (columns.clone(), "hash"),
                RawIndexAlgorithm::Direct { column } => ((*column).into(), "direct"),
                _ => continue,
            };
            let columns = named(&mut columns.iter().map(|column| column.idx()));
            index
                .name
                .get_or_insert_with(|| format!("{table_name}_{columns}_idx_{kind}").into());
        }
        for constraint in &mut table.constraints {
            let RawConstraintDataV9::Unique(unique) = &constraint.data else {
                continue;
            };
            let columns = named(&mut unique.columns.iter().map(|column| column.idx()));
            constraint
                .name
                .get_or_insert_with(|| format!("{table_name}_{columns}_key").into());
        }
        for sequence in &mut table.sequences {
            let column = named(&mut std::iter::once(sequence.column.idx()));
            sequence
                .name
                .get_or_insert_with(|| format!("{table_name}_{column}_seq").into());
        }
        if let Some(schedule) = &mut table.schedule {
            schedule
                .name
                .get_or_insert_with(|| format!("{table_name}_sched").into());
        }
    }
}

fn column_names(typespace: &Typespace, row: AlgebraicTypeRef) -> Vec<String> {
    let Some(AlgebraicType::Product(row)) = typespace.get(row) else {
        return vec![];
    };
    let name = |element: &ProductTypeElement| element.name.as_ref().map(ToString::to_string);
    row.elements
        .iter()
        .map(|element| name(element).unwrap_or_default())
        .collect()
}
