//! Types in words: what an error says was expected, and what a description shows.

use spacetimedb_sats::AlgebraicType;

use super::special::Special;

/// Names that one sentence lists before it says "…".
const LISTED_MAX: usize = 8;

/// Levels of a type that a description shows before it says "…".
const SHOWN_DEPTH_MAX: u32 = 4;

/// What has to be written for a value of this type, for the sentence "expected …".
pub(super) fn expectation(ty: &AlgebraicType) -> String {
    if let Some(special) = Special::of_type(ty) {
        return special.form().to_owned();
    }
    match ty {
        AlgebraicType::Bool => "true or false".to_owned(),
        AlgebraicType::String => "a text".to_owned(),
        AlgebraicType::U8 => "u8 (0 to 255)".to_owned(),
        AlgebraicType::I8 => "i8 (-128 to 127)".to_owned(),
        AlgebraicType::Array(_) if ty.is_bytes() => {
            "bytes (a hex text or a list of numbers from 0 to 255)".to_owned()
        }
        AlgebraicType::Array(array) => format!("a list of {}", type_name(&array.elem_ty)),
        AlgebraicType::Product(product) if product.is_unit() => "nothing (`[]`)".to_owned(),
        AlgebraicType::Product(product) => {
            let names: Option<Vec<_>> = product
                .elements
                .iter()
                .map(|field| field.name.as_deref())
                .collect();
            match names {
                Some(names) => format!("an object with {}", list_names(names)),
                None => format!("a list of {} values", product.elements.len()),
            }
        }
        AlgebraicType::Sum(sum) => match sum.as_option() {
            Some(some) => format!("{} or null", expectation(some)),
            None => {
                let names = sum
                    .variants
                    .iter()
                    .filter_map(|variant| variant.name.as_deref());
                format!("one of {}", list_names(names))
            }
        },
        number => type_name(number),
    }
}

/// A short name for people, as they would declare it.
pub(crate) fn type_name(ty: &AlgebraicType) -> String {
    name(ty, 0)
}

fn name(ty: &AlgebraicType, depth: u32) -> String {
    if depth > SHOWN_DEPTH_MAX {
        return "…".to_owned();
    }
    if let Some(special) = Special::of_type(ty) {
        return special.name().to_owned();
    }
    match ty {
        AlgebraicType::Bool => "bool".to_owned(),
        AlgebraicType::String => "string".to_owned(),
        AlgebraicType::Array(_) if ty.is_bytes() => "bytes".to_owned(),
        AlgebraicType::Array(array) => format!("list of {}", name(&array.elem_ty, depth + 1)),
        AlgebraicType::Product(product) => {
            let fields = product.elements.iter().map(|field| {
                let inner = name(&field.algebraic_type, depth + 1);
                field
                    .name
                    .as_ref()
                    .map_or(inner.clone(), |name| format!("{name}: {inner}"))
            });
            format!("{{{}}}", shorten(fields, ", "))
        }
        AlgebraicType::Sum(sum) => {
            if ty.is_schedule_at() {
                return "schedule".to_owned();
            }
            if let Some(some) = sum.as_option() {
                return format!("optional {}", name(some, depth + 1));
            }
            let variants = sum.variants.iter().enumerate().map(|(tag, variant)| {
                let label = variant
                    .name
                    .as_ref()
                    .map_or(tag.to_string(), ToString::to_string);
                if variant.algebraic_type.is_unit() {
                    label
                } else {
                    format!("{label}({})", name(&variant.algebraic_type, depth + 1))
                }
            });
            match sum.variants.len() {
                0 => "never".to_owned(),
                _ => shorten(variants, " | "),
            }
        }
        AlgebraicType::Ref(_) => "…".to_owned(),
        number => format!("{number:?}").to_lowercase(),
    }
}

/// `` `a`, `b`, `c` ``
pub(crate) fn list_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    shorten(names.into_iter(), ", ")
}

fn shorten(mut parts: impl Iterator<Item = String>, between: &str) -> String {
    let mut shown: Vec<_> = parts.by_ref().take(LISTED_MAX).collect();
    if parts.next().is_some() {
        shown.push("…".to_owned());
    }
    shown.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_like_declarations() {
        use AlgebraicType as T;
        let check = |ty: T, shown: &str, expected: &str| {
            assert_eq!(
                (type_name(&ty).as_str(), expectation(&ty).as_str()),
                (shown, expected)
            );
        };
        let point = T::product([("x", T::I32), ("y", T::I32)]);
        check(T::I64, "i64", "i64");
        check(T::U256, "u256", "u256");
        check(T::array(T::String), "list of string", "a list of string");
        check(point.clone(), "{x: i32, y: i32}", "an object with `x`, `y`");
        check(
            T::option(point),
            "optional {x: i32, y: i32}",
            "an object with `x`, `y` or null",
        );
        check(
            T::sum([("circle", T::F64), ("dot", T::unit())]),
            "circle(f64) | dot",
            "one of `circle`, `dot`",
        );
        check(T::identity(), "identity", "an identity (64 hex digits)");
        check(
            T::bytes(),
            "bytes",
            "bytes (a hex text or a list of numbers from 0 to 255)",
        );
        check(T::product([T::U8, T::U8]), "{u8, u8}", "a list of 2 values");
        let many = T::product([const { T::U8 }; 20]);
        assert_eq!(type_name(&many).matches("u8").count(), LISTED_MAX);
        assert!(type_name(&many).ends_with(", …}"));
    }
}
