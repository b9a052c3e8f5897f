//! Types as builders, which the client library reads and writes values by, and as TypeScript.

use std::cell::Cell;
use std::collections::BTreeSet;

use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, ProductType, SumType};

use super::text::{inline, key, string};
use crate::error::BindingsError;
use crate::names::{accessor, take, type_identifier, unnamed};
use crate::types::Types;

/// `result.ts`.
pub(super) const RESULT_FILE: &str = r#"import {
  t as __t,
} from "spacetimedb";
import type {
  AlgebraicType as __AlgebraicType,
  TypeBuilder as __TypeBuilder,
} from "spacetimedb";

/** Either of two values. */
export type Result<Ok, Err> = { ok: Ok } | { err: Err };

/** The builder of a result, with the type that its values have when the program runs. */
export function result<Ok, Err>(
  ok: __TypeBuilder<Ok, any>,
  err: __TypeBuilder<Err, any>,
): __TypeBuilder<Result<Ok, Err>, __AlgebraicType> {
  return __t.result(ok, err) as unknown as __TypeBuilder<Result<Ok, Err>, __AlgebraicType>;
}
"#;

/// What a builder can be asked for, beside being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// `primaryKey()`, `unique()` and `name()`.
    Everything,
    /// `primaryKey()` and `name()`.
    KeyAndName,
    /// `name()`.
    Name,
    Nothing,
}

/// Writes types where they are used.
pub(super) struct Writer<'a> {
    types: &'a Types<'a>,
    /// What it writes: the type's name, or where the type is used.
    owner: String,
    /// Nameless types so far. The library wants a name for each and cares no further.
    nameless: Cell<usize>,
    /// Whether it writes a type that contains itself.
    recursive: bool,
}

impl<'a> Writer<'a> {
    /// Writes types used by a column, a parameter or a result.
    pub(super) fn new(types: &'a Types<'a>, owner: String) -> Self {
        Self {
            types,
            owner,
            nameless: Cell::new(0),
            recursive: false,
        }
    }

    /// Writes a type that has a name.
    pub(super) fn of_type(types: &'a Types<'a>, name: String, recursive: bool) -> Self {
        Self {
            recursive,
            ..Self::new(types, name)
        }
    }

    fn nameless(&self) -> String {
        self.nameless.set(self.nameless.get() + 1);
        format!("{}.{}", self.owner, self.nameless.get())
    }

    /// The builder of a type.
    pub(super) fn builder(&self, ty: &AlgebraicType) -> Result<String, BindingsError> {
        use AlgebraicType as T;
        if let Some(special) = special(ty) {
            return Ok(format!("__t.{}()", special.0));
        }
        Ok(match ty {
            T::Ref(to) => self.types.identifier(*to)?.to_owned(),
            T::Sum(sum) => {
                if let Some(some) = ty.as_option() {
                    format!("__t.option({})", self.builder(some)?)
                } else if let Some((ok, err)) = ty.as_result() {
                    format!("__result({}, {})", self.builder(ok)?, self.builder(err)?)
                } else {
                    self.sum_builder(&self.nameless(), sum, inline)?
                }
            }
            T::Product(product) if product.elements.is_empty() => "__t.unit()".into(),
            T::Product(product) => self.product_builder(&self.nameless(), product, inline)?,
            T::Array(array) if matches!(*array.elem_ty, T::U8) => "__t.byteArray()".into(),
            T::Array(array) => format!("__t.array({})", self.builder(&array.elem_ty)?),
            T::String => "__t.string()".into(),
            T::Bool => "__t.bool()".into(),
            T::I8 => "__t.i8()".into(),
            T::U8 => "__t.u8()".into(),
            T::I16 => "__t.i16()".into(),
            T::U16 => "__t.u16()".into(),
            T::I32 => "__t.i32()".into(),
            T::U32 => "__t.u32()".into(),
            T::I64 => "__t.i64()".into(),
            T::U64 => "__t.u64()".into(),
            T::I128 => "__t.i128()".into(),
            T::U128 => "__t.u128()".into(),
            T::I256 => "__t.i256()".into(),
            T::U256 => "__t.u256()".into(),
            T::F32 => "__t.f32()".into(),
            T::F64 => "__t.f64()".into(),
        })
    }

    /// The builder of a product; `object` puts the entries together.
    pub(super) fn product_builder(
        &self,
        name: &str,
        product: &ProductType,
        object: impl Fn(&[String]) -> String,
    ) -> Result<String, BindingsError> {
        let mut entries = Vec::with_capacity(product.elements.len());
        for (field, ty) in self.fields(product)? {
            entries.push(self.entry(&field, ty)?);
        }
        Ok(format!(
            "__t.object({}, {})",
            string(name),
            object(&entries)
        ))
    }

    /// The builder of a sum; `object` puts the entries together.
    pub(super) fn sum_builder(
        &self,
        name: &str,
        sum: &SumType,
        object: impl Fn(&[String]) -> String,
    ) -> Result<String, BindingsError> {
        let mut entries = Vec::with_capacity(sum.variants.len());
        for (variant, ty) in self.variants(sum)? {
            entries.push(self.entry(&variant, ty)?);
        }
        Ok(format!("__t.enum({}, {})", string(name), object(&entries)))
    }

    /// One field or variant. What is not defined yet when the program loads is got when it is asked for.
    fn entry(&self, name: &str, ty: &AlgebraicType) -> Result<String, BindingsError> {
        let builder = self.builder(ty)?;
        Ok(if self.recursive && self.types.comes_later(ty) {
            format!("get {}() {{ return {builder}; }}", key(name))
        } else {
            format!("{}: {builder}", key(name))
        })
    }

    fn fields<'p>(
        &self,
        product: &'p ProductType,
    ) -> Result<Vec<(String, &'p AlgebraicType)>, BindingsError> {
        let fields = product.elements.iter().enumerate().map(|(place, element)| {
            let name = element.name.as_deref();
            (
                name.map_or_else(|| unnamed(place), accessor),
                &element.algebraic_type,
            )
        });
        self.distinct("fields", fields.collect())
    }

    fn variants<'s>(
        &self,
        sum: &'s SumType,
    ) -> Result<Vec<(String, &'s AlgebraicType)>, BindingsError> {
        let variants = sum.variants.iter().enumerate().map(|(place, variant)| {
            let name = variant.name.as_deref();
            (
                name.map_or_else(|| unnamed(place), type_identifier),
                &variant.algebraic_type,
            )
        });
        self.distinct("variants", variants.collect())
    }

    fn distinct<'t>(
        &self,
        what: &str,
        parts: Vec<(String, &'t AlgebraicType)>,
    ) -> Result<Vec<(String, &'t AlgebraicType)>, BindingsError> {
        let mut taken = BTreeSet::new();
        for (name, _) in &parts {
            take(&mut taken, || format!("{what} of {}", self.owner), name)?;
        }
        Ok(parts)
    }

    /// A type in TypeScript: the one that its builder's values have.
    pub(super) fn typescript(&self, ty: &AlgebraicType) -> Result<String, BindingsError> {
        use AlgebraicType as T;
        if let Some(special) = special(ty) {
            return Ok(format!("__{}", special.1));
        }
        Ok(match ty {
            T::Ref(to) => self.types.identifier(*to)?.to_owned(),
            T::Sum(sum) => {
                if let Some(some) = ty.as_option() {
                    format!("({} | undefined)", self.typescript(some)?)
                } else if let Some((ok, err)) = ty.as_result() {
                    let (ok, err) = (self.typescript(ok)?, self.typescript(err)?);
                    format!("__Result<{ok}, {err}>")
                } else {
                    self.sum_typescript(sum)?
                }
            }
            T::Product(product) => {
                let mut entries = Vec::with_capacity(product.elements.len());
                for (name, ty) in self.fields(product)? {
                    entries.push(format!("{}: {}", key(&name), self.typescript(ty)?));
                }
                inline(&entries)
            }
            T::Array(array) if matches!(*array.elem_ty, T::U8) => "Uint8Array".into(),
            T::Array(array) => format!("{}[]", self.typescript(&array.elem_ty)?),
            T::String => "string".into(),
            T::Bool => "boolean".into(),
            T::I64 | T::U64 | T::I128 | T::U128 | T::I256 | T::U256 => "bigint".into(),
            T::I8 | T::U8 | T::I16 | T::U16 | T::I32 | T::U32 | T::F32 | T::F64 => "number".into(),
        })
    }

    fn sum_typescript(&self, sum: &SumType) -> Result<String, BindingsError> {
        let mut variants = Vec::with_capacity(sum.variants.len());
        for (name, ty) in self.variants(sum)? {
            variants.push(self.variant_typescript(&name, ty)?);
        }
        Ok(if variants.is_empty() {
            "never".into()
        } else {
            format!("({})", variants.join(" | "))
        })
    }

    fn variant_typescript(&self, name: &str, ty: &AlgebraicType) -> Result<String, BindingsError> {
        let tag = string(name);
        Ok(if ty.is_unit() {
            format!("{{ tag: {tag} }}")
        } else {
            format!("{{ tag: {tag}, value: {} }}", self.typescript(ty)?)
        })
    }

    /// What makes the variants of a sum, as members of its builder.
    pub(super) fn constructors(&self, sum: &SumType) -> Result<Vec<String>, BindingsError> {
        let mut members = Vec::with_capacity(sum.variants.len());
        for (name, ty) in self.variants(sum)? {
            let made = self.variant_typescript(&name, ty)?;
            members.push(if ty.is_unit() {
                format!("readonly {}: {made}", key(&name))
            } else {
                let value = self.typescript(ty)?;
                format!("readonly {}: (value: {value}) => {made}", key(&name))
            });
        }
        Ok(members)
    }

    /// What the builder of a type can be asked for.
    pub(super) fn asks(&self, ty: &AlgebraicType) -> Result<Asks, BindingsError> {
        use AlgebraicType as T;
        if let Some((builder, _)) = special(ty) {
            return Ok(if builder == "scheduleAt" {
                Asks::Name
            } else {
                Asks::Everything
            });
        }
        Ok(match ty {
            T::Ref(to) => self.asks_of(*to)?,
            _ if ty.is_option() => Asks::Name,
            _ if ty.is_result() || ty.is_unit() => Asks::Nothing,
            T::Sum(_) => Asks::KeyAndName,
            T::Product(_) | T::Array(_) | T::F32 | T::F64 => Asks::Name,
            _ => Asks::Everything,
        })
    }

    fn asks_of(&self, to: AlgebraicTypeRef) -> Result<Asks, BindingsError> {
        Ok(if self.types.is_recursive(to) {
            Asks::Nothing
        } else {
            match self.types.get(to)? {
                // A product that is called something is an object, even without fields.
                AlgebraicType::Product(_) => Asks::Name,
                ty => self.asks(ty)?,
            }
        })
    }
}

/// Types that the library has a builder and a type of its own for.
fn special(ty: &AlgebraicType) -> Option<(&'static str, &'static str)> {
    let found = if ty.is_identity() {
        ("identity", "Identity")
    } else if ty.is_connection_id() {
        ("connectionId", "ConnectionId")
    } else if ty.is_timestamp() {
        ("timestamp", "Timestamp")
    } else if ty.is_time_duration() {
        ("timeDuration", "TimeDuration")
    } else if ty.is_uuid() {
        ("uuid", "Uuid")
    } else if ty.is_schedule_at() {
        ("scheduleAt", "ScheduleAt")
    } else {
        return None;
    };
    Some(found)
}
