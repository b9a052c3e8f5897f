//! The module's own types, one file each: `…_type.rs`.

use std::collections::{BTreeMap, BTreeSet};

use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, ProductType, ProductTypeElement, SumType};

use super::names::{Pool, identifier, snake, type_identifier};
use super::text::{call, field, fill};
use crate::error::BindingsError;
use crate::literal::string;
use crate::model::{Column, Module, Table};
use crate::names::{take, unnamed};
use crate::types::{Types, cyclic};

/// What has to be known of types to write them.
pub(super) struct Known<'a> {
    types: &'a Types<'a>,
    /// Types that would have no size, because they contain themselves other than in a list, if they
    /// were not in a box where others of them have them.
    boxed: BTreeSet<AlgebraicTypeRef>,
}

impl<'a> Known<'a> {
    pub(super) fn new(types: &'a Types<'a>) -> Result<Self, BindingsError> {
        let mut edges = BTreeMap::new();
        for reference in types.order() {
            let mut found = Vec::new();
            held(types.get(*reference)?, &mut found);
            edges.insert(*reference, found);
        }
        let boxed = cyclic(&edges);
        Ok(Self { types, boxed })
    }

    /// The type of a table's rows.
    pub(super) fn row_type(&self, table: &Table) -> Result<String, BindingsError> {
        match table.row {
            Some(reference) => Ok(self.types.identifier(reference)?.to_owned()),
            None => Ok(type_identifier(&table.source_name)),
        }
    }

    /// Whether the library can look rows up by a column of the type.
    pub(super) fn is_key(&self, ty: &AlgebraicType) -> Result<bool, BindingsError> {
        use AlgebraicType as T;
        Ok(match ty {
            _ if ty.is_schedule_at() => false,
            _ if is_special(ty) => true,
            T::F32 | T::F64 => false,
            T::Array(array) => self.is_key(&array.elem_ty)?,
            T::Ref(to) if self.types.is_recursive(*to) => false,
            T::Ref(to) => match self.types.get(*to)? {
                T::Sum(sum) if is_own(self.types.get(*to)?) => is_plain(sum),
                T::Product(product) => product.is_special(),
                alias => self.is_key(alias)?,
            },
            T::Sum(_) => match (ty.as_option(), ty.as_result()) {
                (Some(some), _) => self.is_key(some)?,
                (_, Some((ok, err))) => self.is_key(ok)? && self.is_key(err)?,
                (None, None) => false,
            },
            T::Product(product) => product.elements.is_empty(),
            _ => true,
        })
    }
}

/// The types that a value of a type has inside, without a list between.
fn held(ty: &AlgebraicType, found: &mut Vec<AlgebraicTypeRef>) {
    match ty {
        AlgebraicType::Ref(to) => found.push(*to),
        AlgebraicType::Product(product) => {
            let fields = product.elements.iter();
            fields.for_each(|field| held(&field.algebraic_type, found));
        }
        AlgebraicType::Sum(sum) => {
            let variants = sum.variants.iter();
            variants.for_each(|variant| held(&variant.algebraic_type, found));
        }
        _ => {}
    }
}

/// Types that the library has a type of its own for.
fn special(ty: &AlgebraicType) -> Option<&'static str> {
    Some(match ty {
        _ if ty.is_identity() => "Identity",
        _ if ty.is_connection_id() => "ConnectionId",
        _ if ty.is_timestamp() => "Timestamp",
        _ if ty.is_time_duration() => "TimeDuration",
        _ if ty.is_uuid() => "Uuid",
        _ if ty.is_schedule_at() => "ScheduleAt",
        _ => return None,
    })
}

fn is_special(ty: &AlgebraicType) -> bool {
    special(ty).is_some()
}

/// Whether a type is declared, other than those that Rust or the library has already.
fn is_own(ty: &AlgebraicType) -> bool {
    match ty {
        AlgebraicType::Product(product) => !product.is_special(),
        AlgebraicType::Sum(_) => !ty.is_option() && !ty.is_result() && !ty.is_schedule_at(),
        _ => false,
    }
}

/// Whether no variant has a value.
fn is_plain(sum: &SumType) -> bool {
    sum.variants.iter().all(|it| it.algebraic_type.is_unit())
}

/// Writes types where they are used, and collects those without a name, which get one there.
pub(super) struct Writer<'a> {
    known: &'a Known<'a>,
    /// What it writes: the type's name, or one that is made of a function's.
    owner: String,
    /// Whether the type that it writes is one of [`Known::boxed`].
    boxes: bool,
    parts: Vec<(String, AlgebraicType)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(known: &'a Known<'a>, owner: String) -> Self {
        Self {
            known,
            owner,
            boxes: false,
            parts: Vec::new(),
        }
    }

    /// A type as it is written in a file of the folder.
    pub(super) fn ty(&mut self, ty: &AlgebraicType) -> Result<String, BindingsError> {
        self.written(ty, true)
    }

    /// `by_value`: not in a list, which needs no box to have a size.
    fn written(&mut self, ty: &AlgebraicType, by_value: bool) -> Result<String, BindingsError> {
        use AlgebraicType as T;
        if let Some(special) = special(ty) {
            return Ok(format!("__sdk::{special}"));
        }
        Ok(match ty {
            T::Ref(to) => {
                let name = self.known.types.identifier(*to)?;
                match self.boxes && by_value && self.known.boxed.contains(to) {
                    true => format!("Box<super::{name}>"),
                    false => format!("super::{name}"),
                }
            }
            T::Sum(_) => match (ty.as_option(), ty.as_result()) {
                (Some(some), _) => format!("Option<{}>", self.written(some, by_value)?),
                (_, Some((ok, err))) => {
                    let (ok, err) = (self.written(ok, by_value)?, self.written(err, by_value)?);
                    format!("Result<{ok}, {err}>")
                }
                (None, None) => self.part(ty),
            },
            T::Product(product) if product.elements.is_empty() => "()".into(),
            T::Product(_) => self.part(ty),
            T::Array(array) => format!("Vec<{}>", self.written(&array.elem_ty, false)?),
            T::String => "String".into(),
            T::Bool => "bool".into(),
            T::I8 => "i8".into(),
            T::U8 => "u8".into(),
            T::I16 => "i16".into(),
            T::U16 => "u16".into(),
            T::I32 => "i32".into(),
            T::U32 => "u32".into(),
            T::I64 => "i64".into(),
            T::U64 => "u64".into(),
            T::I128 => "i128".into(),
            T::U128 => "u128".into(),
            T::I256 => "__sdk::__sats::i256".into(),
            T::U256 => "__sdk::__sats::u256".into(),
            T::F32 => "f32".into(),
            T::F64 => "f64".into(),
        })
    }

    fn part(&mut self, ty: &AlgebraicType) -> String {
        let name = format!("{}Part{}", self.owner, self.parts.len() + 1);
        self.parts.push((name.clone(), ty.clone()));
        format!("super::{name}")
    }

    /// Declares a type that is neither Rust's nor the library's.
    fn declaration(&mut self, name: &str, ty: &AlgebraicType) -> Result<String, BindingsError> {
        let mut taken = BTreeSet::new();
        let (keyword, derive, body) = match ty {
            AlgebraicType::Sum(sum) => {
                let derive = if is_plain(sum) { PLAIN } else { NOT_PLAIN };
                let mut body = String::new();
                for (place, variant) in sum.variants.iter().enumerate() {
                    let source = variant.name.as_deref();
                    let variant_name =
                        type_identifier(source.map_or(unnamed(place).as_str(), |name| name));
                    let what = || format!("variants of {name}");
                    take(&mut taken, what, &variant_name)?;
                    body += &match &variant.algebraic_type {
                        ty if ty.is_unit() => format!("    {variant_name},\n"),
                        ty => format!("    {variant_name}({}),\n", self.ty(ty)?),
                    };
                }
                ("enum", derive, body)
            }
            AlgebraicType::Product(product) => {
                let mut body = String::new();
                for (field_name, ty) in fields(name, product)? {
                    body += &field(1, &format!("pub {field_name}"), &self.ty(ty)?);
                }
                ("struct", NOT_PLAIN, body)
            }
            _ => {
                let alias = self.ty(ty)?;
                return Ok(format!("\npub type {name} = {alias};\n"));
            }
        };
        let body = match body.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{\n{body}}}"),
        };
        Ok(fill(
            DECLARATION,
            &[
                ("derive", derive),
                ("keyword", keyword),
                ("name", name),
                ("body", &body),
            ],
        ))
    }

    /// Declares the types without a name that came up so far, and those that come up by it.
    pub(super) fn parts(&mut self, pool: &mut Pool) -> Result<String, BindingsError> {
        let mut text = String::new();
        let mut next = 0;
        while let Some((name, ty)) = self.parts.get(next).cloned() {
            pool.take(&name)?;
            text += &self.declaration(&name, &ty)?;
            next += 1;
        }
        Ok(text)
    }
}

/// Names and types of a product's fields.
fn fields<'p>(
    owner: &str,
    product: &'p ProductType,
) -> Result<Vec<(String, &'p AlgebraicType)>, BindingsError> {
    let mut taken = BTreeSet::new();
    let mut found = Vec::with_capacity(product.elements.len());
    for (place, element) in product.elements.iter().enumerate() {
        let source = element.name.as_deref();
        let name = source.map_or_else(|| unnamed(place), identifier);
        take(&mut taken, || format!("fields of {owner}"), &name)?;
        found.push((name, &element.algebraic_type));
    }
    Ok(found)
}

const NOT_PLAIN: &str =
    "#[derive(Clone, Debug, PartialEq, __lib::ser::Serialize, __lib::de::Deserialize)]";

/// For an enum whose variants have no values, which can be a key.
const PLAIN: &str = "\
#[derive(
    Clone, Copy, Debug, Eq, Hash, PartialEq, __lib::ser::Serialize, __lib::de::Deserialize,
)]";

const DECLARATION: &str = "
@derive@
#[sats(crate = __lib)]
pub @keyword@ @name@ @body@

impl __sdk::InModule for @name@ {
    type Module = super::RemoteModule;
}
";

/// The imports of a file that declares types.
pub(super) const IMPORTS: &str =
    "use spacetimedb_sdk::__codegen::{self as __sdk, __lib, __query_builder as __query};\n";

/// Writes the files of all types: their names without `.rs`, and what is in them.
pub(super) fn files(
    module: &Module,
    known: &Known<'_>,
    pool: &mut Pool,
) -> Result<Vec<(String, String)>, BindingsError> {
    let mut rows: BTreeMap<AlgebraicTypeRef, Vec<&Table>> = BTreeMap::new();
    let mut files = Vec::new();
    for table in &module.tables {
        if let Some(reference) = table.row {
            rows.entry(reference).or_default().push(table);
            continue;
        }
        let columns = table.columns.iter();
        let columns = columns.map(|column| {
            let name = column.source_name.clone();
            ProductTypeElement::new(column.ty.clone(), Some(name.into()))
        });
        let ty = AlgebraicType::Product(columns.collect());
        let writer = Writer::new(known, type_identifier(&table.source_name));
        files.push(file(writer, &ty, &[table], pool)?);
    }
    for reference in known.types.order() {
        let mut writer = Writer::new(known, known.types.identifier(*reference)?.to_owned());
        writer.boxes = known.boxed.contains(reference);
        let ty = known.types.get(*reference)?;
        if !is_own(ty) && known.types.is_recursive(*reference) {
            return Err(BindingsError::Unsupported(format!(
                "{}, which contains itself and is neither a product nor a sum",
                writer.owner
            )));
        }
        let tables = rows.get(reference).map_or(&[][..], Vec::as_slice);
        files.push(file(writer, ty, tables, pool)?);
    }
    Ok(files)
}

fn file(
    mut writer: Writer<'_>,
    ty: &AlgebraicType,
    tables: &[&Table],
    pool: &mut Pool,
) -> Result<(String, String), BindingsError> {
    let name = writer.owner.clone();
    pool.take(&name)?;
    let mut text = IMPORTS.to_owned();
    text += &match ty {
        _ if is_own(ty) => writer.declaration(&name, ty)?,
        _ if !tables.is_empty() => {
            return Err(BindingsError::Unsupported(format!(
                "tables whose rows are of the library's type {name}"
            )));
        }
        _ => format!("\npub type {name} = {};\n", writer.ty(ty)?),
    };
    text += &writer.parts(pool)?;
    if let Some(table) = tables.first() {
        for more in ["Cols", "IxCols"] {
            pool.take(&format!("{name}{more}"))?;
        }
        // Types without a name are called as they were in the declaration.
        let mut again = Writer::new(writer.known, name.clone());
        let columns = table.columns.iter().map(|column| {
            let ty = again.ty(&column.ty)?;
            Ok((column, ty))
        });
        let columns = columns.collect::<Result<Vec<_>, BindingsError>>()?;
        let indexed = |place: usize| tables.iter().any(|table| is_indexed(table, place));
        text += &columns_for_queries(&name, &columns, indexed);
        if tables.iter().any(|table| !table.event) {
            text += &fill(LOOKUP, &[("row", &name)]);
        }
    }
    Ok((format!("{}_type", snake(&name)), text))
}

fn is_indexed(table: &Table, place: usize) -> bool {
    table.indexed.contains(&place)
        || table.unique.contains(&place)
        || table.primary_key == Some(place)
}

const LOOKUP: &str = "
impl __query::CanBeLookupTable for @row@ {}
";

const COLUMNS: &str = "
/// @about@ [`@row@`] in queries that the compiler checks.
pub struct @row@@kind@ @fields@

impl __query::Has@kind@ for @row@ {
    type @kind@ = @row@@kind@;

    fn @function@(table: &'static str) -> Self::@kind@ {
        @row@@kind@ @values@
    }
}
";

fn columns_for_queries(
    row: &str,
    columns: &[(&Column, String)],
    indexed: impl Fn(usize) -> bool,
) -> String {
    let kinds = [
        ("Columns of", "Cols", "cols", "Col"),
        ("Columns with an index of", "IxCols", "ix_cols", "IxCol"),
    ];
    let mut text = String::new();
    for (about, kind, function, column_type) in kinds {
        let (mut fields, mut values) = (String::new(), String::new());
        for (place, (column, ty)) in columns.iter().enumerate() {
            if kind == "IxCols" && !indexed(place) {
                continue;
            }
            let name = identifier(&column.source_name);
            let column_type = format!("__query::{column_type}");
            fields += &field(
                1,
                &format!("pub {name}"),
                &format!("{column_type}<{row}, {ty}>"),
            );
            let wire_name = string(&column.wire_name);
            let value = format!("{name}: {column_type}::new");
            values += &call(3, &value, &["table".to_owned(), wire_name], ",");
        }
        let in_braces = |inner: &str, space: &str| match inner.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{\n{inner}{space}}}"),
        };
        text += &fill(
            COLUMNS,
            &[
                ("about", about),
                ("row", row),
                ("kind", kind),
                ("function", function),
                ("fields", &in_braces(&fields, "")),
                ("values", &in_braces(&values, "        ")),
            ],
        );
    }
    text
}
