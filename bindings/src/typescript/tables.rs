//! Tables, `tables.ts`: columns, keys and indexes, by which the library keeps and finds rows.

use super::expression::{Asks, Writer};
use super::text::{block, inline, key, library_import, result_import, string};
use super::types::import;
use crate::error::BindingsError;
use crate::model::{Column, Index, Module, Table};
use crate::names::accessor;
use crate::types::Types;

/// Writes `tables.ts`.
pub(super) fn file(module: &Module, types: &Types<'_>) -> Result<String, BindingsError> {
    let mut entries = Vec::with_capacity(module.tables.len());
    for table in &module.tables {
        let written = written(table, types)?;
        entries.push(format!("{}: {written}", key(&accessor(&table.source_name))));
    }
    let mut body = "\n/** Public tables and views of the module. */\n".to_owned();
    body += &format!("export const schema = __schema({});\n", block(&entries, 0));
    let columns = module.tables.iter().flat_map(|table| &table.columns);
    let own = import(types, columns.map(|column| &column.ty));
    Ok(library_import(&body) + &result_import(&body) + &own + &body)
}

fn written(table: &Table, types: &Types<'_>) -> Result<String, BindingsError> {
    let mut options = vec![format!("name: {}", string(&table.wire_name))];
    let indexes = table
        .indexes
        .iter()
        .filter(|index| !is_of_column(table, index));
    let indexes: Vec<String> = indexes.map(|index| index_entry(table, index)).collect();
    if !indexes.is_empty() {
        options.push(format!(
            "indexes: [\n      {},\n    ]",
            indexes.join(",\n      ")
        ));
    }
    if table.event {
        options.push("event: true".to_owned());
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    for (place, column) in table.columns.iter().enumerate() {
        let name = accessor(&column.source_name);
        let mut asked = Vec::new();
        if table.primary_key == Some(place) {
            asked.push(Asked::PrimaryKey);
        } else if table.unique.contains(&place) {
            asked.push(Asked::Unique);
        }
        if column.wire_name != name {
            asked.push(Asked::Name);
        }
        let writer = Writer::new(types, format!("{}.{name}", accessor(&table.source_name)));
        let builder = column_builder(column, &asked, &writer)?;
        columns.push(format!("{}: {builder}", key(&name)));
    }
    Ok(format!(
        "__table({}, __t.row({}))",
        block(&options, 1),
        block(&columns, 1)
    ))
}

/// What the library has to know of a column beside its type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    PrimaryKey,
    Unique,
    Name,
}

fn column_builder(
    column: &Column,
    asked: &[Asked],
    writer: &Writer<'_>,
) -> Result<String, BindingsError> {
    let builder = writer.builder(&column.ty)?;
    let asks = writer.asks(&column.ty)?;
    let can = |asked: &Asked| match asks {
        Asks::Everything => true,
        Asks::KeyAndName => *asked != Asked::Unique,
        Asks::Name => *asked == Asked::Name,
        Asks::Nothing => false,
    };
    let name = string(&column.wire_name);
    Ok(if asked.iter().all(can) {
        let calls = asked.iter().map(|asked| match asked {
            Asked::PrimaryKey => ".primaryKey()".to_owned(),
            Asked::Unique => ".unique()".to_owned(),
            Asked::Name => format!(".name({name})"),
        });
        builder + &calls.collect::<String>()
    } else {
        let known = asked.iter().map(|asked| match asked {
            Asked::PrimaryKey => "isPrimaryKey: true".to_owned(),
            Asked::Unique => "isUnique: true".to_owned(),
            Asked::Name => format!("name: {name}"),
        });
        let known = inline(&known.collect::<Vec<_>>());
        format!("new __ColumnBuilder({builder}, {known} as const)")
    })
}

/// Whether an index is the one that a unique column has anyway, under the column's own accessor.
fn is_of_column(table: &Table, index: &Index) -> bool {
    let [column] = index.columns[..] else {
        return false;
    };
    let unique = table.primary_key == Some(column) || table.unique.contains(&column);
    unique && accessor(&table.columns[column].source_name) == accessor(&index.source_name)
}

/// The library takes only trees in a client, and a tree finds whatever another index would.
fn index_entry(table: &Table, index: &Index) -> String {
    let columns = index
        .columns
        .iter()
        .map(|place| string(&accessor(&table.columns[*place].source_name)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    inline(&[
        format!("accessor: {}", string(&accessor(&index.source_name))),
        "algorithm: \"btree\"".to_owned(),
        format!("columns: [{columns}]"),
    ])
}
