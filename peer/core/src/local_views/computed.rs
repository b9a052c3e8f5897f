//! Views that the module computes. They are no part of the state, so they are computed by the peer that
//! somebody asks, for the one who asks, from the rows that are visible there; a view that fails tells
//! that to whoever asked, and nobody else notices.

use std::collections::BTreeMap;
use std::sync::Arc;

use module_host::{ViewDef, ViewRows};
use store::{Row, State, TableSchema};

use crate::error::Stop;
use crate::replica::Replica;
use crate::sql::{Access, Filters, Reading, SqlError, VirtualTables, tables_named};
use crate::values::Reader;

/// Rows of the views that a query names, by name.
pub(crate) type Computed = BTreeMap<String, (TableSchema, Vec<Row>)>;

/// A view's own queries ask for tables, not for views.
struct TablesOnly;

impl VirtualTables for TablesOnly {
    fn table(&self, _name: &str) -> Option<(TableSchema, Vec<Row>)> {
        None
    }
}

impl Replica {
    /// The view of that name that these may read, canonical or as in the source.
    pub(crate) fn view_named(&self, name: &str, owner: bool) -> Option<&ViewDef> {
        let views = self.executor.module().def().views.iter();
        let mut views = views.filter(|view| owner || view.table.public);
        let is_it = |view: &&ViewDef| view.table.name == name || view.table.source_name == name;
        views.find(is_it)
    }

    /// Computes what the texts name of the module's views.
    ///
    /// # Errors
    /// [`Stop`] if the store or the host failed; inside, what is wrong with a text, or why the module
    /// gave no rows.
    pub(crate) fn compute_views<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a str>,
        access: Access,
    ) -> Result<Result<Computed, SqlError>, Stop> {
        let mut computed = Computed::new();
        if self.executor.module().def().views.is_empty() {
            return Ok(Ok(computed));
        }
        for text in texts {
            let names = match tables_named(text) {
                Ok(names) => names,
                Err(error) => return Ok(Err(error)),
            };
            for name in names {
                let is_table = self.state()?.schema().table_by_name(&name).is_some();
                let view = self.view_named(&name, access.owner).filter(|_| !is_table);
                let Some(view) = view.cloned() else { continue };
                if computed.contains_key(&name) {
                    continue;
                }
                match self.compute(&view, access)? {
                    Ok(rows) => {
                        computed.insert(name, (view.table, rows));
                    }
                    Err(why) => return Ok(Err(SqlError::View { name, why })),
                }
            }
        }
        Ok(Ok(computed))
    }

    fn compute(
        &mut self,
        view: &ViewDef,
        access: Access,
    ) -> Result<Result<Vec<Row>, String>, Stop> {
        let database = self.id;
        let state = self.state.take().ok_or(Stop::Damaged {
            what: "state",
            database,
        })?;
        let (state, rows) = self.executor.view(state, view, access.sender)?;
        let rows = rows.and_then(|rows| match rows {
            ViewRows::Rows(list) => rows_of_list(&view.table, &list),
            ViewRows::Query(text) => rows_of_query(view, &text, &state, access),
        });
        self.state = Some(state);
        Ok(rows)
    }
}

/// The rows of a list that the module wrote: nothing of it is trusted.
fn rows_of_list(table: &TableSchema, list: &[u8]) -> Result<Vec<Row>, String> {
    let wrong = || "it gave rows that are none of its type".to_owned();
    let (len, mut rest) = list.split_first_chunk::<4>().ok_or_else(wrong)?;
    let len = u32::from_le_bytes(*len);
    let mut rows = Vec::new();
    for _ in 0..len {
        let mut reader = Reader::new(rest);
        let mut bytes = 0;
        for column in &table.columns {
            bytes += reader.value(&column.ty).map_err(|_| wrong())?.len();
        }
        // Rows without bytes would cost nothing to write and memory to keep.
        if bytes == 0 {
            return Err(wrong());
        }
        let (row, after) = rest.split_at(bytes);
        rows.push(Arc::from(row));
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(rows),
        false => Err(wrong()),
    }
}

/// The rows that a view's query asks for. The module may read its private tables, and decides what it
/// shows of them.
fn rows_of_query(
    view: &ViewDef,
    text: &str,
    state: &State,
    access: Access,
) -> Result<Vec<Row>, String> {
    let reading = Reading {
        state,
        views: &TablesOnly,
        access: Access {
            owner: true,
            ..access
        },
        filters: &Filters::default(),
    };
    let answer = reading.ask(text).map_err(|error| error.to_string())?;
    let types = answer.columns.iter().map(|(_, ty)| ty);
    if !types.eq(view.table.columns.iter().map(|column| &column.ty)) {
        return Err("its query asks for rows of another type".to_owned());
    }
    Ok(answer.rows.into_iter().map(Arc::from).collect())
}
