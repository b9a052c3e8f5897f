//! Tables and views, one file each: `…_table.rs`, with what reads the client's copy of the rows.

use super::names::{Pool, identifier, snake, type_identifier};
use super::text::{call, fill, implementation, signature};
use super::types::{Known, Writer};
use crate::error::BindingsError;
use crate::literal::string;
use crate::model::Table;

/// Writes a table's file: its name without `.rs`, and what is in it.
pub(super) fn file(
    table: &Table,
    known: &Known<'_>,
    pool: &mut Pool,
) -> Result<(String, String), BindingsError> {
    let row = known.row_type(table)?;
    let pascal = type_identifier(&table.source_name);
    let accessor = identifier(&table.source_name);
    let name = string(&table.wire_name);
    let access = |kind: &str| signature(1, &format!("fn {accessor}"), &["&self".into()], kind);
    let query = "__query::Table<Row>";
    let values = [
        ("row", row.as_str()),
        ("table", pascal.as_str()),
        ("accessor", accessor.as_str()),
        ("name", name.as_str()),
        (
            "accessor_impl",
            &implementation(
                "__sdk::TableAccessor<super::RemoteTables>",
                &format!("{pascal}TableAccessor"),
            ),
        ),
        ("get", &access(&format!(" -> {pascal}TableHandle<'_>;"))),
        (
            "get_body",
            &access(&format!(" -> {pascal}TableHandle<'_> {{")),
        ),
        ("query", &access(&format!(" -> {query};"))),
        ("query_body", &access(&format!(" -> {query} {{"))),
    ];
    for name in [
        "TableHandle",
        "TableAccess",
        "TableAccessor",
        "QueryTableAccess",
    ] {
        pool.take(&format!("{pascal}{name}"))?;
    }
    let key = match table.primary_key {
        Some(place) if known.is_key(&table.columns[place].ty)? => Some(place),
        _ => None,
    };
    let mut text = fill(HANDLE, &values);
    pool.take(&format!("{pascal}InsertCallbackId"))?;
    if table.event {
        text += &fill(EVENT, &values);
    } else {
        pool.take(&format!("{pascal}DeleteCallbackId"))?;
        text += &fill(PERSISTENT, &values);
        if key.is_some() {
            pool.take(&format!("{pascal}UpdateCallbackId"))?;
            text += &fill(KEYED, &values);
        }
        text += &unique(table, known, pool)?;
    }
    text += &own_copy(table, key, known)?;
    text += &fill(QUERY, &values);
    Ok((format!("{}_table", snake(&table.source_name)), text))
}

/// Places of columns by which the library finds rows.
fn unique_places(table: &Table, known: &Known<'_>) -> Result<Vec<usize>, BindingsError> {
    let mut places = Vec::new();
    for (place, column) in table.columns.iter().enumerate() {
        let unique = table.primary_key == Some(place) || table.unique.contains(&place);
        if unique && known.is_key(&column.ty)? {
            places.push(place);
        }
    }
    Ok(places)
}

/// A way to find a row for each unique column.
fn unique(table: &Table, known: &Known<'_>, pool: &mut Pool) -> Result<String, BindingsError> {
    let pascal = type_identifier(&table.source_name);
    let mut text = String::new();
    // Keys have no types without names, so nothing is declared for them.
    let mut writer = Writer::new(known, pascal.clone());
    for place in unique_places(table, known)? {
        let column = &table.columns[place];
        let index = unique_type(table, place);
        pool.take(&index)?;
        let accessor = identifier(&column.source_name);
        let ty = writer.ty(&column.ty)?;
        let this = || "&self".to_owned();
        let get = signature(
            1,
            &format!("pub fn {accessor}"),
            &[this()],
            &format!(" -> {index}<'ctx> {{"),
        );
        let row = "row: &Row".to_owned();
        let of = signature(1, "fn of", &[row], &format!(" -> &{ty} {{"));
        let value = format!("value: &{ty}");
        let find = signature(1, "pub fn find", &[this(), value], " -> Option<Row> {");
        text += &fill(
            UNIQUE,
            &[
                ("index", &index),
                ("table", &pascal),
                ("accessor", &accessor),
                ("type", &ty),
                ("get", &get),
                ("find", &find),
                ("of", &of),
                ("name", &string(&column.wire_name)),
            ],
        );
    }
    Ok(text)
}

/// How the connection keeps its copy of the table.
fn own_copy(table: &Table, key: Option<usize>, known: &Known<'_>) -> Result<String, BindingsError> {
    let mut columns = String::new();
    if !table.event {
        for place in unique_places(table, known)? {
            let name = string(&table.columns[place].wire_name);
            let of = format!("{}::of", unique_type(table, place));
            columns += &call(1, "table.add_unique_constraint", &[name, of], ";");
        }
    }
    let field = identifier(&table.source_name);
    let apply = match (table.event, key) {
        (true, _) => "rows.into_event_diff();",
        (false, None) => "cache.apply_diff_to_table(NAME, rows);",
        (false, Some(_)) => {
            "cache.apply_diff_to_table(NAME, rows);\n    \
             let diff = diff.with_updates_by_pk(key);"
        }
    };
    let key = match key {
        Some(place) => {
            let column = &table.columns[place];
            let ty = Writer::new(known, String::new()).ty(&column.ty)?;
            let row = ["row: &Row".to_owned()];
            let head = signature(0, "fn key", &row, &format!(" -> &{ty} {{"));
            let accessor = identifier(&column.source_name);
            format!(
                "\n/// By what a row is the same one after an update.\n{head}    &row.{accessor}\n}}\n"
            )
        }
        None => String::new(),
    };
    Ok(fill(
        OWN_COPY,
        &[
            ("columns", &columns),
            ("apply", apply),
            ("field", &field),
            ("key", &key),
        ],
    ))
}

/// The type of what finds a row by a column.
fn unique_type(table: &Table, place: usize) -> String {
    let column = type_identifier(&table.columns[place].source_name);
    format!("{}{column}Unique", type_identifier(&table.source_name))
}

const HANDLE: &str = "\
use spacetimedb_sdk::__codegen::{self as __sdk, __query_builder as __query};

type Row = super::@row@;

/// What the table is called on the wire.
pub(super) const NAME: &str = @name@;

/// The rows of a table that this client is subscribed to, and callbacks for their changes.
pub struct @table@TableHandle<'ctx> {
    imp: __sdk::TableHandle<Row>,
    ctx: std::marker::PhantomData<&'ctx super::RemoteTables>,
}

/// Gives the handle of the table, of [`super::RemoteTables`].
pub trait @table@TableAccess {
@get@}

impl @table@TableAccess for super::RemoteTables {
@get_body@        @table@TableHandle {
            imp: self.imp.get_table(NAME),
            ctx: std::marker::PhantomData,
        }
    }
}

/// Stands for the table where code works with any table.
#[derive(Clone, Copy, Debug, Default)]
pub struct @table@TableAccessor;

@accessor_impl@    type Row = Row;
    type Handle<'db> = @table@TableHandle<'db>;

    fn get<'db>(db: &'db super::RemoteTables) -> Self::Handle<'db> {
        db.@accessor@()
    }
}

/// Names a callback for inserted rows, to remove it.
pub struct @table@InsertCallbackId(__sdk::CallbackId);

impl __sdk::TableLike for @table@TableHandle<'_> {
    type Row = Row;
    type EventContext = super::EventContext;

    fn count(&self) -> u64 {
        self.imp.count()
    }

    fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.imp.iter()
    }
}

impl __sdk::WithInsert for @table@TableHandle<'_> {
    type InsertCallbackId = @table@InsertCallbackId;

    fn on_insert(
        &self,
        callback: impl FnMut(&super::EventContext, &Row) + Send + 'static,
    ) -> Self::InsertCallbackId {
        let id = self.imp.on_insert(callback);
        @table@InsertCallbackId(id)
    }

    fn remove_on_insert(&self, callback: Self::InsertCallbackId) {
        self.imp.remove_on_insert(callback.0);
    }
}
";

const EVENT: &str = "
impl __sdk::EventTable for @table@TableHandle<'_> {
    type Row = Row;
    type EventContext = super::EventContext;
    type InsertCallbackId = @table@InsertCallbackId;

    fn count(&self) -> u64 {
        self.imp.count()
    }

    fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.imp.iter()
    }

    fn on_insert(
        &self,
        callback: impl FnMut(&super::EventContext, &Row) + Send + 'static,
    ) -> Self::InsertCallbackId {
        __sdk::WithInsert::on_insert(self, callback)
    }

    fn remove_on_insert(&self, callback: Self::InsertCallbackId) {
        __sdk::WithInsert::remove_on_insert(self, callback);
    }
}
";

const PERSISTENT: &str = "
/// Names a callback for deleted rows, to remove it.
pub struct @table@DeleteCallbackId(__sdk::CallbackId);

impl __sdk::WithDelete for @table@TableHandle<'_> {
    type DeleteCallbackId = @table@DeleteCallbackId;

    fn on_delete(
        &self,
        callback: impl FnMut(&super::EventContext, &Row) + Send + 'static,
    ) -> Self::DeleteCallbackId {
        let id = self.imp.on_delete(callback);
        @table@DeleteCallbackId(id)
    }

    fn remove_on_delete(&self, callback: Self::DeleteCallbackId) {
        self.imp.remove_on_delete(callback.0);
    }
}

impl __sdk::Table for @table@TableHandle<'_> {
    type Row = Row;
    type EventContext = super::EventContext;
    type InsertCallbackId = @table@InsertCallbackId;
    type DeleteCallbackId = @table@DeleteCallbackId;

    fn count(&self) -> u64 {
        self.imp.count()
    }

    fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.imp.iter()
    }

    fn on_insert(
        &self,
        callback: impl FnMut(&super::EventContext, &Row) + Send + 'static,
    ) -> Self::InsertCallbackId {
        __sdk::WithInsert::on_insert(self, callback)
    }

    fn remove_on_insert(&self, callback: Self::InsertCallbackId) {
        __sdk::WithInsert::remove_on_insert(self, callback);
    }

    fn on_delete(
        &self,
        callback: impl FnMut(&super::EventContext, &Row) + Send + 'static,
    ) -> Self::DeleteCallbackId {
        __sdk::WithDelete::on_delete(self, callback)
    }

    fn remove_on_delete(&self, callback: Self::DeleteCallbackId) {
        __sdk::WithDelete::remove_on_delete(self, callback);
    }
}
";

const KEYED: &str = "
/// Names a callback for updated rows, to remove it.
pub struct @table@UpdateCallbackId(__sdk::CallbackId);

impl __sdk::WithUpdate for @table@TableHandle<'_> {
    type UpdateCallbackId = @table@UpdateCallbackId;

    fn on_update(
        &self,
        callback: impl FnMut(&super::EventContext, &Row, &Row) + Send + 'static,
    ) -> Self::UpdateCallbackId {
        let id = self.imp.on_update(callback);
        @table@UpdateCallbackId(id)
    }

    fn remove_on_update(&self, callback: Self::UpdateCallbackId) {
        self.imp.remove_on_update(callback.0);
    }
}

impl __sdk::TableWithPrimaryKey for @table@TableHandle<'_> {
    type UpdateCallbackId = @table@UpdateCallbackId;

    fn on_update(
        &self,
        callback: impl FnMut(&super::EventContext, &Row, &Row) + Send + 'static,
    ) -> Self::UpdateCallbackId {
        __sdk::WithUpdate::on_update(self, callback)
    }

    fn remove_on_update(&self, callback: Self::UpdateCallbackId) {
        __sdk::WithUpdate::remove_on_update(self, callback);
    }
}
";

const UNIQUE: &str = "
/// Finds a row by its `@accessor@`.
pub struct @index@<'ctx> {
    imp: __sdk::UniqueConstraintHandle<Row, @type@>,
    ctx: std::marker::PhantomData<&'ctx super::RemoteTables>,
}

impl<'ctx> @table@TableHandle<'ctx> {
    /// Gives what finds a row by its `@accessor@`.
@get@        let table = &self.imp;
        let imp = table.get_unique_constraint(@name@);
        let ctx = std::marker::PhantomData;
        @index@ { imp, ctx }
    }
}

impl @index@<'_> {
    /// The row with this value, if this client is subscribed to it.
@find@        self.imp.find(value)
    }

@of@        &row.@accessor@
    }
}
";

const OWN_COPY: &str = "@key@
pub(super) fn register(cache: &mut __sdk::ClientCache<super::RemoteModule>) {
    let table = cache.get_or_make_table::<Row>(NAME);
@columns@}

/// Takes rows out of a message.
pub(super) fn receive(
    update: &mut super::DbUpdate,
    rows: super::remote_module::Rows,
) -> __sdk::Result<()> {
    let all = &mut update.@field@;
    all.append(rows.parse()?);
    Ok(())
}

pub(super) fn apply<'r>(
    update: &'r super::DbUpdate,
    cache: &mut __sdk::ClientCache<super::RemoteModule>,
    applied: &mut super::AppliedDiff<'r>,
) {
    let rows = &update.@field@;
    let diff = @apply@
    applied.@field@ = diff;
}

pub(super) fn invoke(
    applied: &super::AppliedDiff<'_>,
    event: &super::EventContext,
    callbacks: &mut __sdk::DbCallbacks<super::RemoteModule>,
) {
    let diff = &applied.@field@;
    callbacks.invoke_table_row_callbacks(NAME, diff, event);
}
";

const QUERY: &str = "
/// Begins queries of the table that the compiler checks.
pub trait @table@QueryTableAccess {
@query@}

impl @table@QueryTableAccess for __sdk::QueryTableAccessor {
@query_body@        __query::Table::new(NAME)
    }
}
";
