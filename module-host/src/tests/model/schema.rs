//! Random tables, and how a module describes them.

use proptest::prelude::*;
use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{
    RawIndexAlgorithm, RawModuleDefV9Builder, btree, direct, hash,
};
use spacetimedb_lib::db::raw_def::v10::{CaseConversionPolicy, RawModuleDefV10Builder};
use spacetimedb_primitives::{ColId, ColList};
use spacetimedb_sats::{AlgebraicType, ProductType, ProductTypeElement, bsatn};

use super::values::Ty;

/// Numbers of tables and indexes count from here, in the order of definition.
pub(super) const FIRST: u32 = 4_096;

/// The table that the puppet writes its report to: behind all others.
pub(super) const REPORT: &str = "report";

/// How a module describes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    V9,
    /// Names as they are.
    V10,
    /// Names in snake case, which splits digits off.
    V10Snake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BTree,
    Hash,
    Direct,
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) kind: Kind,
    pub(super) columns: Vec<usize>,
    /// Whether a constraint says that no two rows agree in its columns.
    pub(super) unique: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Ty>,
    pub(super) primary_key: Option<usize>,
    pub(super) indexes: Vec<Index>,
    /// Ascending.
    pub(super) auto_inc: Vec<usize>,
    /// Whether its rows are gone after the call.
    pub(super) event: bool,
}

/// What a module defines.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) format: Format,
    pub(super) tables: Vec<Table>,
    /// Whether all columns count 1, 2, 3.
    pub(super) sequential: bool,
}

impl Definition {
    /// The table and the place in it of the index with this number.
    pub(super) fn index(&self, id: u32) -> Option<(usize, &Index)> {
        let all = self.tables.iter().enumerate();
        let mut all =
            all.flat_map(|(table, it)| it.indexes.iter().map(move |index| (table, index)));
        all.nth(id.checked_sub(FIRST)? as usize)
    }

    /// How many indexes all tables have.
    pub(super) fn index_count(&self) -> usize {
        self.tables.iter().map(|table| table.indexes.len()).sum()
    }

    /// The number of the table of reports.
    pub(super) fn report(&self) -> u32 {
        FIRST + u32::try_from(self.tables.len()).unwrap()
    }

    fn name(&self, canonical: bool, prefix: &str, place: usize) -> String {
        if canonical && self.format == Format::V10Snake {
            format!("{prefix}_{place}")
        } else {
            format!("{prefix}{place}")
        }
    }

    /// A table's name, as in the source or as clients see it.
    pub(super) fn table_name(&self, canonical: bool, table: usize) -> String {
        self.name(canonical, "t", table)
    }

    /// The name of an index, as in the source or as clients see it.
    pub(super) fn index_name(&self, canonical: bool, table: usize, index: &Index) -> String {
        let mut name = self.table_name(canonical, table);
        for column in &index.columns {
            name += "_";
            name += &self.name(canonical, "c", *column);
        }
        let kind = match index.kind {
            Kind::BTree => "btree",
            Kind::Hash => "hash",
            Kind::Direct => "direct",
        };
        format!("{name}_idx_{kind}")
    }

    /// BSATN of the description.
    pub(super) fn describe(&self) -> Vec<u8> {
        let report = ProductType::from([("bytes", AlgebraicType::bytes())]);
        let described = match self.format {
            Format::V9 => {
                let mut module = RawModuleDefV9Builder::new();
                for (place, table) in self.tables.iter().enumerate() {
                    let name = self.table_name(false, place);
                    let row = self.row_type(place, table, |name, ty| {
                        AlgebraicType::Ref(module.add_algebraic_type([], name, ty, true))
                    });
                    let mut built = module.build_table_with_new_type(name, row, true);
                    if let Some(column) = table.primary_key {
                        built = built.with_primary_key(id(column));
                    }
                    for index in &table.indexes {
                        built = built.with_index_no_accessor_name(algorithm(index));
                        if index.unique {
                            built = built.with_unique_constraint(ids(&index.columns));
                        }
                    }
                    for column in &table.auto_inc {
                        built = built.with_column_sequence(id(*column));
                    }
                    built.finish();
                }
                module
                    .build_table_with_new_type(REPORT, report, true)
                    .finish();
                module.add_reducer("run", ProductType::unit(), None);
                RawModuleDef::V9(module.finish())
            }
            Format::V10 | Format::V10Snake => {
                let mut module = RawModuleDefV10Builder::new();
                for (place, table) in self.tables.iter().enumerate() {
                    let name = self.table_name(false, place);
                    let row = self.row_type(place, table, |name, ty| {
                        AlgebraicType::Ref(module.add_algebraic_type([], name, ty, true))
                    });
                    let mut built = module
                        .build_table_with_new_type(name, row, true)
                        .with_event(table.event);
                    if let Some(column) = table.primary_key {
                        built = built.with_primary_key(id(column));
                    }
                    for index in &table.indexes {
                        let name = self.index_name(false, place, index);
                        built = built.with_index_no_accessor_name(algorithm(index), name);
                        if index.unique {
                            built = built.with_unique_constraint(ids(&index.columns));
                        }
                    }
                    for column in &table.auto_inc {
                        built = built.with_column_sequence(id(*column));
                    }
                    built.finish();
                }
                module
                    .build_table_with_new_type(REPORT, report, true)
                    .with_event(true)
                    .finish();
                module.add_reducer("run", ProductType::unit());
                if self.format == Format::V10 {
                    module.set_case_conversion_policy(CaseConversionPolicy::None);
                }
                RawModuleDef::V10(module.finish())
            }
        };
        bsatn::to_vec(&described).unwrap()
    }

    /// The columns of a table. Products and enums have names of their own, as in generated code.
    fn row_type(
        &self,
        place: usize,
        table: &Table,
        mut named: impl FnMut(String, AlgebraicType) -> AlgebraicType,
    ) -> ProductType {
        let columns = table.columns.iter().enumerate();
        let columns = columns.map(|(column, ty)| {
            let described = match ty {
                Ty::Product(_) | Ty::Sum(_) => {
                    named(format!("Of{column}In{place}"), ty.described())
                }
                _ => ty.described(),
            };
            ProductTypeElement::new_named(described, self.name(false, "c", column))
        });
        ProductType::new(columns.collect())
    }
}

fn id(column: usize) -> ColId {
    ColId(u16::try_from(column).unwrap())
}

fn ids(columns: &[usize]) -> ColList {
    columns.iter().copied().map(id).collect()
}

fn algorithm(index: &Index) -> RawIndexAlgorithm {
    match index.kind {
        Kind::BTree => btree(ids(&index.columns)),
        Kind::Hash => hash(ids(&index.columns)),
        Kind::Direct => direct(id(index.columns[0])),
    }
}

fn ty() -> impl Strategy<Value = Ty> {
    let width = || prop::sample::select(vec![1_usize, 2, 4, 8, 16, 32]);
    let leaf = prop_oneof![
        1 => Just(Ty::Bool),
        5 => width().prop_map(Ty::Unsigned),
        4 => width().prop_map(Ty::Signed),
        1 => Just(Ty::F32),
        1 => Just(Ty::F64),
        2 => Just(Ty::String),
        1 => Just(Ty::Bytes),
        1 => prop::sample::select(vec![
            Ty::Identity,
            Ty::ConnectionId,
            Ty::Timestamp,
            Ty::TimeDuration,
            Ty::Uuid,
        ]),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| Ty::Array(Box::new(ty))),
            inner.clone().prop_map(|ty| Ty::Option(Box::new(ty))),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Ty::Product),
            prop::collection::vec(inner, 1..4).prop_map(Ty::Sum),
        ]
    })
}

/// An index before it is known which columns there are: its kind, numbers that stand for columns,
/// and whether it is unique.
type IndexDraft = (Kind, Vec<usize>, bool);

fn index() -> impl Strategy<Value = IndexDraft> {
    let kind = prop_oneof![
        4 => Just(Kind::BTree),
        2 => Just(Kind::Hash),
        1 => Just(Kind::Direct),
    ];
    let columns = prop_oneof![
        3 => prop::collection::vec(0_usize..6, 1),
        2 => prop::collection::vec(0_usize..6, 2..4),
    ];
    (kind, columns, prop::bool::weighted(0.4))
}

fn table() -> impl Strategy<Value = Table> {
    let columns = prop::collection::vec(ty(), 1..7);
    let primary_key = prop::option::weighted(0.6, (0_usize..6, any::<bool>()));
    let indexes = prop::collection::vec(index(), 0..4);
    let auto_inc = prop::collection::btree_set(0_usize..6, 0..3);
    let event = prop::bool::weighted(0.15);
    (columns, primary_key, indexes, auto_inc, event).prop_map(
        |(columns, primary_key, drafts, auto_inc, event)| {
            let place = |number: usize| number % columns.len();
            let mut indexes: Vec<Index> = Vec::new();
            let mut add = |kind: Kind, mut places: Vec<usize>, unique: bool| {
                let mut seen = Vec::new();
                places.retain(|place| {
                    !seen.contains(place) && {
                        seen.push(*place);
                        true
                    }
                });
                let direct = kind == Kind::Direct && columns[places[0]].is_direct();
                let kind = match kind {
                    Kind::Direct if direct => {
                        places.truncate(1);
                        Kind::Direct
                    }
                    Kind::Direct => Kind::BTree,
                    kind => kind,
                };
                // Two of one kind over the same columns would have the same name.
                let twice = |it: &Index| it.kind == kind && it.columns == places;
                if !indexes.iter().any(twice) {
                    indexes.push(Index {
                        kind,
                        columns: places,
                        unique: unique || kind == Kind::Direct,
                    });
                }
            };
            let primary_key = primary_key.map(|(number, hash)| (place(number), hash));
            for (kind, places, unique) in drafts {
                add(kind, places.into_iter().map(place).collect(), unique);
            }
            if let Some((column, hash)) = primary_key {
                add(
                    if hash { Kind::Hash } else { Kind::BTree },
                    vec![column],
                    true,
                );
            }
            // A constraint is about columns: it holds for every index over them, in any order.
            let set = |columns: &[usize]| {
                let mut columns = columns.to_vec();
                columns.sort_unstable();
                columns
            };
            let primary_key = primary_key.map(|(column, _)| column);
            let mut unique = indexes
                .iter()
                .filter(|index| index.unique)
                .map(|index| set(&index.columns))
                .collect::<Vec<_>>();
            unique.extend(primary_key.map(|column| vec![column]));
            for index in &mut indexes {
                index.unique = unique.contains(&set(&index.columns));
            }
            let auto_inc = auto_inc
                .into_iter()
                .filter(|column| columns.get(*column).is_some_and(Ty::is_integer));
            Table {
                auto_inc: auto_inc.collect(),
                columns,
                primary_key,
                indexes,
                event,
            }
        },
    )
}

/// Any definition.
pub(super) fn definition() -> impl Strategy<Value = Definition> {
    let format = prop::sample::select(vec![Format::V9, Format::V10, Format::V10Snake]);
    // Few mostly: then each of them has more rows.
    let tables = prop_oneof![
        3 => prop::collection::vec(table(), 1..3),
        1 => prop::collection::vec(table(), 3..5),
    ];
    (format, tables, any::<bool>()).prop_map(|(format, mut tables, sequential)| {
        // Modules for 1.x have no tables of events.
        if format == Format::V9 {
            tables.iter_mut().for_each(|table| table.event = false);
        }
        Definition {
            format,
            tables,
            sequential,
        }
    })
}
