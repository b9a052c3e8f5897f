//! Tables with their columns, indexes and constraints.

use std::collections::{BTreeMap, BTreeSet};

use spacetimedb_lib::db::raw_def::v9::RawIndexAlgorithm;
use spacetimedb_primitives::ColList;
use spacetimedb_sats::{AlgebraicType, SumType, Typespace};
use store::{Column, IndexId, IndexKind, IndexSchema, TableId, TableSchema};

use super::names::{Names, is_identifier};
use super::types::Resolver;
use super::walk::walk;
use super::{IndexDraft, TableDraft, at_most};
use crate::def::{ColumnDefault, FIRST_ID};
use crate::limits::{COLUMNS_MAX, INDEXES_MAX, TYPE_DEPTH_MAX};
use crate::reasons::Reasons;
use crate::roles;

/// What a module's tables are.
pub(super) struct Built {
    pub(super) tables: Vec<TableSchema>,
    pub(super) defaults: Vec<ColumnDefault>,
    /// It declares the table of roles, and publicly.
    pub(super) shows_roles: bool,
}

/// Builds all tables, with the values of columns that an update adds.
pub(super) fn build(
    drafts: &[TableDraft],
    names: &Names,
    resolver: &mut Resolver<'_>,
    reasons: &mut Reasons,
) -> Built {
    let mut tables = Vec::with_capacity(drafts.len());
    let mut defaults = Vec::new();
    let mut next_index = FIRST_ID;
    let mut roles = None;
    let mut numbers = FIRST_ID..;
    for draft in drafts {
        let name = names.table(&draft.source_name);
        if name == roles::NAME && roles.is_none() {
            declare_roles(draft, name, names, resolver, reasons);
            roles = Some(draft.public);
            continue;
        }
        let number = numbers.next().unwrap_or(u32::MAX);
        if !is_identifier(&name) {
            reasons.add(format!("{name:?} cannot be the name of a table"));
        }
        if name.starts_with(RESERVED) {
            reasons.add(format!(
                "{name:?} cannot be the name of a table: {RESERVED}… is for those of the database"
            ));
        }
        let mut table = Builder {
            schema: TableSchema {
                id: TableId(number),
                name,
                source_name: draft.source_name.clone(),
                columns: Vec::new(),
                primary_key: None,
                indexes: Vec::new(),
                auto_inc: Vec::new(),
                public: draft.public,
                event: draft.event,
            },
            names,
            next_index: &mut next_index,
            reasons,
        };
        table.whole(draft, resolver);
        defaults.extend(table.defaults(draft));
        tables.push(table.schema);
    }
    names_differ(&tables, reasons);
    Built {
        tables,
        defaults,
        shows_roles: roles.unwrap_or_default(),
    }
}

/// A table that the module declares in order to read it: the database keeps it.
fn declare_roles(
    draft: &TableDraft,
    name: String,
    names: &Names,
    resolver: &mut Resolver<'_>,
    reasons: &mut Reasons,
) {
    let mut next_index = FIRST_ID;
    let mut table = Builder {
        schema: TableSchema {
            name,
            source_name: draft.source_name.clone(),
            columns: Vec::new(),
            primary_key: None,
            indexes: Vec::new(),
            auto_inc: Vec::new(),
            event: draft.event,
            ..roles::role_schema()
        },
        names,
        next_index: &mut next_index,
        reasons,
    };
    table.whole(draft, resolver);
    if !draft.defaults.is_empty() || !roles::is_declared_well(&table.schema) {
        table.refuse(
            "the database keeps it, and it has the columns identity: Identity, the primary key, and \
             role: String, and nothing else",
        );
    }
}

/// Builds the table that a view is read as.
pub(super) fn view(
    id: u32,
    name: String,
    draft: &TableDraft,
    names: &Names,
    resolver: &mut Resolver<'_>,
    reasons: &mut Reasons,
) -> TableSchema {
    if !is_identifier(&name) || name.starts_with(RESERVED) {
        reasons.add(format!("{name:?} cannot be the name of a view"));
    }
    let mut table = Builder {
        schema: TableSchema {
            id: TableId(id),
            name,
            source_name: draft.source_name.clone(),
            columns: Vec::new(),
            primary_key: None,
            indexes: Vec::new(),
            auto_inc: Vec::new(),
            public: draft.public,
            event: false,
        },
        names,
        next_index: &mut 0,
        reasons,
    };
    table.columns(draft, resolver);
    table.schema
}

/// How names of tables begin that a database has beside the module's.
const RESERVED: &str = "sys_";

/// Tables and indexes are looked up by their canonical name, else by that of the source: whichever
/// it is, it must mean one of them.
fn names_differ(tables: &[TableSchema], reasons: &mut Reasons) {
    let named = |table: &TableSchema| (table.name.clone(), table.source_name.clone());
    one_meaning("tables", tables.iter().map(named), reasons);
    let indexes = tables.iter().flat_map(|table| &table.indexes);
    let named = |index: &IndexSchema| (index.name.clone(), index.source_name.clone());
    one_meaning("indexes", indexes.map(named), reasons);
}

fn one_meaning(
    what: &str,
    names: impl Iterator<Item = (String, String)> + Clone,
    reasons: &mut Reasons,
) {
    let mut canonical = BTreeMap::new();
    for (place, (name, _)) in names.clone().enumerate() {
        if canonical.insert(name.clone(), place).is_some() {
            reasons.add(format!("two {what} are called {name}"));
        }
    }
    let mut sources = BTreeSet::new();
    for (place, (name, source)) in names.enumerate() {
        let is_another = canonical.get(&source).is_some_and(|other| *other != place);
        if name != source && (is_another || !sources.insert(source.clone())) {
            reasons.add(format!(
                "two {what} are called {source}, one of them in the source only"
            ));
        }
    }
}

struct Builder<'a, 'r> {
    schema: TableSchema,
    names: &'a Names,
    next_index: &'a mut u32,
    reasons: &'r mut Reasons,
}

impl Builder<'_, '_> {
    fn refuse(&mut self, reason: impl AsRef<str>) {
        self.reasons
            .add(format!("table {}: {}", self.schema.name, reason.as_ref()));
    }

    /// All but the defaults of columns.
    fn whole(&mut self, draft: &TableDraft, resolver: &mut Resolver<'_>) {
        self.columns(draft, resolver);
        self.primary_key(&draft.primary_key);
        self.auto_inc(draft);
        self.indexes(draft);
        self.unique(draft);
    }

    fn columns(&mut self, draft: &TableDraft, resolver: &mut Resolver<'_>) {
        // Fields of the row type are its columns, with both of their names.
        let row = match resolver.typespace().get(draft.row_type) {
            Some(AlgebraicType::Product(row)) => row,
            _ => return self.refuse("its row type is not a product"),
        };
        at_most(
            self.reasons,
            "columns in a table",
            row.elements.len(),
            COLUMNS_MAX,
        );
        let mut taken = BTreeSet::new();
        for (place, element) in row.elements.iter().take(COLUMNS_MAX).enumerate() {
            let Some(source_name) = element.name.as_ref().map(ToString::to_string) else {
                self.refuse(format!("column {place} has no name"));
                continue;
            };
            let name = self.names.field(&source_name);
            if !is_identifier(&name) {
                self.refuse(format!("{name:?} cannot be the name of a column"));
            }
            if !taken.insert(name.clone()) {
                self.refuse(format!("two columns are called {name}"));
            }
            let ty = match resolver.resolve(&element.algebraic_type) {
                Ok(ty) => ty,
                Err(problem) => {
                    self.refuse(format!("of column {name} {problem}"));
                    AlgebraicType::unit()
                }
            };
            self.schema.columns.push(Column {
                name,
                source_name,
                ty,
            });
        }
    }

    /// The columns' places, or none if one of them is not there.
    fn places(&mut self, what: &str, columns: &ColList) -> Option<Vec<u16>> {
        let places = columns.iter().map(|column| column.0).collect::<Vec<_>>();
        if places.is_empty() {
            self.refuse(format!("{what} is over no column"));
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut sound = true;
        for place in &places {
            let problem = if self.column(*place).is_none() {
                format!("{what} is over column {place}, which does not exist")
            } else if !seen.insert(*place) {
                format!("{what} is over column {} twice", self.column_name(*place))
            } else {
                continue;
            };
            self.refuse(problem);
            sound = false;
        }
        sound.then_some(places)
    }

    fn column(&self, place: u16) -> Option<&Column> {
        self.schema.columns.get(usize::from(place))
    }

    /// What to call a column by in a reason.
    fn column_name(&self, place: u16) -> String {
        self.column(place)
            .map_or_else(|| place.to_string(), |column| column.name.clone())
    }

    fn primary_key(&mut self, columns: &ColList) {
        if columns.is_empty() {
            return;
        }
        match self.places("its primary key", columns).as_deref() {
            None => {}
            Some([column]) => self.schema.primary_key = Some(*column),
            Some(several) => {
                let names = several.iter().map(|place| self.column_name(*place));
                let names = names.collect::<Vec<_>>().join(", ");
                self.refuse(format!(
                    "its primary key has several columns ({names}): not supported"
                ));
            }
        }
    }

    fn auto_inc(&mut self, draft: &TableDraft) {
        let mut columns = BTreeSet::new();
        for sequence in &draft.sequences {
            let column = sequence.column;
            let Some(found) = self.column(column) else {
                self.refuse(format!(
                    "auto_inc is for column {column}, which does not exist"
                ));
                continue;
            };
            let name = found.name.clone();
            if !found.ty.is_integer() {
                self.refuse(format!("column {name} has auto_inc but is not an integer"));
                continue;
            }
            if !sequence.plain {
                self.refuse(format!(
                    "column {name} does not count 1, 2, 3: not supported"
                ));
            }
            if !columns.insert(column) {
                self.refuse(format!("column {name} has auto_inc twice"));
            }
        }
        self.schema.auto_inc = columns.into_iter().collect();
    }

    fn indexes(&mut self, draft: &TableDraft) {
        at_most(
            self.reasons,
            "indexes on a table",
            draft.indexes.len(),
            INDEXES_MAX,
        );
        for IndexDraft {
            source_name,
            algorithm,
        } in draft.indexes.iter().take(INDEXES_MAX)
        {
            let (kind, columns) = match algorithm {
                RawIndexAlgorithm::BTree { columns } => (IndexKind::BTree, columns.clone()),
                RawIndexAlgorithm::Hash { columns } => (IndexKind::Hash, columns.clone()),
                RawIndexAlgorithm::Direct { column } => (IndexKind::Direct, ColList::from(*column)),
                _ => {
                    self.refuse("an index of a kind that is not known");
                    continue;
                }
            };
            let what = match source_name {
                Some(name) => format!("index {name}"),
                None => "an index".to_owned(),
            };
            let Some(columns) = self.places(&what, &columns) else {
                continue;
            };
            if kind == IndexKind::Direct {
                self.check_direct(draft, &what, columns[0]);
            }
            self.index(source_name.clone(), columns, kind, false);
        }
    }

    /// A direct index is a list with a place for each value: of small integers, each there once.
    fn check_direct(&mut self, draft: &TableDraft, what: &str, column: u16) {
        let name = self.column_name(column);
        let small = self.column(column).is_some_and(|column| {
            use AlgebraicType as T;
            let plain_enum = column.ty.as_sum().is_some_and(SumType::is_simple_enum);
            plain_enum || matches!(column.ty, T::U8 | T::U16 | T::U32 | T::U64)
        });
        if !small {
            self.refuse(format!(
                "{what} is direct, and column {name} is no u8, u16, u32, u64 or plain enum"
            ));
        }
        let alone = ColList::from(column);
        let unique = draft.unique.iter().chain([&draft.primary_key]);
        if !unique.into_iter().any(|columns| *columns == alone) {
            self.refuse(format!("{what} is direct, and column {name} is not unique"));
        }
    }

    /// Each unique constraint is kept by an index over its columns, in whatever order.
    fn unique(&mut self, draft: &TableDraft) {
        let primary_key = self.schema.primary_key.map(ColList::from);
        let constraints = draft.unique.iter().chain(&primary_key);
        for columns in constraints.cloned().collect::<Vec<_>>() {
            let Some(places) = self.places("a unique constraint", &columns) else {
                continue;
            };
            let wanted = places.iter().collect::<BTreeSet<_>>();
            let mut found = false;
            for index in &mut self.schema.indexes {
                if index.columns.iter().collect::<BTreeSet<_>>() == wanted {
                    index.unique = true;
                    found = true;
                }
            }
            if !found {
                self.index(None, places, IndexKind::BTree, true);
            }
        }
    }

    fn index(
        &mut self,
        source_name: Option<String>,
        columns: Vec<u16>,
        kind: IndexKind,
        unique: bool,
    ) {
        let columns_of = |name: fn(&Column) -> &str| {
            let names = columns
                .iter()
                .map(|place| name(&self.schema.columns[usize::from(*place)]));
            names.collect::<Vec<_>>().join("_")
        };
        let kind_name = match kind {
            IndexKind::BTree => "btree",
            IndexKind::Hash => "hash",
            IndexKind::Direct => "direct",
        };
        let generated = |table: &str, columns: String| format!("{table}_{columns}_idx_{kind_name}");
        let source_name = source_name.unwrap_or_else(|| {
            generated(
                &self.schema.source_name,
                columns_of(|column| &column.source_name),
            )
        });
        let name = self
            .names
            .index(&source_name)
            .unwrap_or_else(|| generated(&self.schema.name, columns_of(|column| &column.name)));
        if !is_identifier(&name) {
            self.refuse(format!("{name:?} cannot be the name of an index"));
        }
        // Two indexes that differ in nothing (`#[unique]` and `#[index]` on one column) are one.
        let same = |index: &IndexSchema| index.name == name && index.columns == columns;
        if self.schema.indexes.iter().any(same) {
            return;
        }
        let id = IndexId(*self.next_index);
        *self.next_index += 1;
        self.schema.indexes.push(IndexSchema {
            id,
            name,
            source_name,
            columns,
            unique,
            kind,
        });
    }

    fn defaults(&mut self, draft: &TableDraft) -> Vec<ColumnDefault> {
        let mut defaults = Vec::new();
        let mut seen = BTreeSet::new();
        for (column, value) in &draft.defaults {
            if !seen.insert(*column) {
                self.refuse(format!(
                    "column {} has two defaults",
                    self.column_name(*column)
                ));
                continue;
            }
            let Some(place) = self.schema.columns.get(usize::from(*column)) else {
                self.refuse(format!(
                    "a default is for column {column}, which does not exist"
                ));
                continue;
            };
            // A value nests no deeper than its type.
            match walk(value, &place.ty, Typespace::EMPTY, TYPE_DEPTH_MAX + 1) {
                Ok(()) => defaults.push(ColumnDefault {
                    table: self.schema.id,
                    column: *column,
                    value: value.clone(),
                }),
                Err(error) => self.refuse(format!(
                    "the default of column {}: {error}",
                    place.name.clone()
                )),
            }
        }
        defaults
    }
}
