//! From a definition, of whichever version, to what a client sees of it.

mod v10;
mod v9;

use std::collections::{BTreeMap, BTreeSet};

use module_host::Names;
use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::RawIndexAlgorithm;
use spacetimedb_lib::db::view::extract_view_return_product_type_ref;
use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, ProductType, Typespace};

use crate::LocalTable;
use crate::error::BindingsError;
use crate::model::{Column, Function, Index, Module, Table};
use crate::names::unnamed;

/// Reads a definition, and adds the tables that no module has.
pub(crate) fn module(
    definition: RawModuleDef,
    local: &[LocalTable],
) -> Result<Module, BindingsError> {
    let mut module = match definition {
        RawModuleDef::V9(module) => v9::module(module)?,
        RawModuleDef::V10(module) => v10::module(module)?,
        _ => return Err(BindingsError::Old),
    };
    module.tables.extend(local.iter().map(local_table));
    Ok(module)
}

fn local_table(table: &LocalTable) -> Table {
    let columns = table.columns.iter().map(|(name, ty)| Column {
        source_name: name.clone(),
        wire_name: name.clone(),
        ty: ty.clone(),
    });
    Table {
        source_name: table.name.clone(),
        wire_name: table.name.clone(),
        row: None,
        columns: columns.collect(),
        primary_key: table.keyed.then_some(0),
        unique: BTreeSet::new(),
        indexed: BTreeSet::new(),
        indexes: Vec::new(),
        event: false,
    }
}

/// What both versions say of a table.
struct TableDraft {
    source_name: String,
    wire_name: String,
    row_type: AlgebraicTypeRef,
    /// Places, as they were written: not known to exist.
    primary_key: Vec<u16>,
    unique: Vec<Vec<u16>>,
    /// With the names in the source, where there are any.
    indexes: Vec<(Option<String>, RawIndexAlgorithm)>,
    event: bool,
}

impl TableDraft {
    /// A view is read as a table without keys or indexes.
    fn view(
        source_name: &str,
        wire_name: String,
        return_type: &AlgebraicType,
    ) -> Result<Self, BindingsError> {
        let Some((row_type, _)) = extract_view_return_product_type_ref(return_type) else {
            return Err(BindingsError::Senseless(format!(
                "view {source_name} does not return rows"
            )));
        };
        Ok(Self {
            source_name: source_name.to_owned(),
            wire_name,
            row_type,
            primary_key: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
            event: false,
        })
    }
}

fn table(draft: TableDraft, names: &Names, typespace: &Typespace) -> Result<Table, BindingsError> {
    let name = &draft.source_name;
    let senseless = |what: &str| BindingsError::Senseless(format!("table {name}: {what}"));
    let Some(AlgebraicType::Product(row)) = typespace.get(draft.row_type) else {
        return Err(senseless("its row type is not a product"));
    };
    let mut columns = Vec::with_capacity(row.elements.len());
    for element in &row.elements {
        let source = element
            .name
            .as_deref()
            .ok_or_else(|| senseless("a column has no name"))?;
        columns.push(Column {
            source_name: source.to_owned(),
            wire_name: names.field(source),
            ty: element.algebraic_type.clone(),
        });
    }
    let place = |column: u16| {
        let column = usize::from(column);
        (column < columns.len())
            .then_some(column)
            .ok_or_else(|| senseless("it names a column that does not exist"))
    };
    let primary_key = match draft.primary_key[..] {
        [] => None,
        [column] => Some(place(column)?),
        _ => {
            return Err(BindingsError::Unsupported(format!(
                "table {name}, whose primary key has several columns"
            )));
        }
    };
    let mut unique = BTreeSet::new();
    for columns in &draft.unique {
        // Client libraries know only columns that are unique on their own.
        if let [column] = columns[..] {
            unique.insert(place(column)?);
        }
    }
    unique.retain(|column| Some(*column) != primary_key);
    let mut indexed = BTreeSet::new();
    let mut indexes = Vec::new();
    for (source, algorithm) in draft.indexes {
        let over = index_columns(algorithm)
            .ok_or_else(|| BindingsError::Unsupported(format!("an index of table {name}")))?;
        let columns: Vec<usize> = over.into_iter().map(place).collect::<Result<_, _>>()?;
        if let [column] = columns[..] {
            indexed.insert(column);
        }
        let Some(source_name) = source else { continue };
        indexes.push(Index {
            source_name,
            columns,
        });
    }
    Ok(Table {
        source_name: draft.source_name,
        wire_name: draft.wire_name,
        row: Some(draft.row_type),
        columns,
        primary_key,
        unique,
        indexed,
        indexes,
        event: draft.event,
    })
}

fn index_columns(algorithm: RawIndexAlgorithm) -> Option<Vec<u16>> {
    let columns = match algorithm {
        RawIndexAlgorithm::BTree { columns } | RawIndexAlgorithm::Hash { columns } => columns,
        RawIndexAlgorithm::Direct { column } => column.into(),
        _ => return None,
    };
    Some(columns.iter().map(|column| column.0).collect())
}

fn function(
    source_name: &str,
    wire_name: String,
    params: &ProductType,
    returns: AlgebraicType,
) -> Function {
    let params = params.elements.iter().enumerate().map(|(place, element)| {
        let name = element.name.as_deref();
        (
            name.map_or_else(|| unnamed(place), str::to_owned),
            element.algebraic_type.clone(),
        )
    });
    Function {
        source_name: source_name.to_owned(),
        wire_name,
        params: params.collect(),
        returns,
    }
}

/// Adds a type's name. A type of several names keeps the first.
fn add_type_name(
    names: &mut BTreeMap<AlgebraicTypeRef, String>,
    ty: AlgebraicTypeRef,
    scope: impl Iterator<Item = impl ToString>,
    name: &str,
) {
    let mut path: Vec<String> = scope.map(|part| part.to_string()).collect();
    path.push(name.to_owned());
    names.entry(ty).or_insert_with(|| path.join("."));
}
