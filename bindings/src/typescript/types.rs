//! The module's own types, `types.ts`: each as a builder and as a TypeScript type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef};

use super::expression::Writer;
use super::text::{block, library_import, result_import};
use crate::error::BindingsError;
use crate::types::{Types, references};

/// The import of what other types use of `types.ts`.
pub(super) fn import<'t>(
    types: &Types<'_>,
    used: impl Iterator<Item = &'t AlgebraicType>,
) -> String {
    let mut found = Vec::new();
    used.for_each(|ty| references(ty, &mut found));
    let names = found.iter().filter_map(|at| types.identifier(*at).ok());
    let names: BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    format!("import {} from \"./types\";\n", block(&names, 0))
}

/// Writes `types.ts`.
pub(super) fn file(types: &Types<'_>) -> Result<String, BindingsError> {
    if types.order().is_empty() {
        return Ok("export {};\n".to_owned());
    }
    let mut body = String::new();
    for reference in types.order() {
        body += "\n";
        body += &declaration(types, *reference)?;
    }
    Ok(library_import(&body) + &result_import(&body) + &body)
}

fn declaration(types: &Types<'_>, reference: AlgebraicTypeRef) -> Result<String, BindingsError> {
    let Some(wire_name) = types.wire_name(reference) else {
        return Ok(String::new());
    };
    let identifier = types.identifier(reference)?;
    let ty = types.get(reference)?;
    let recursive = types.is_recursive(reference);
    let writer = Writer::of_type(types, wire_name.to_owned(), recursive);
    let object = |entries: &[String]| block(entries, 0);
    let plain_sum = !ty.is_option() && !ty.is_result() && !ty.is_schedule_at();
    let builder = match ty {
        AlgebraicType::Product(product) if !product.is_special() => {
            writer.product_builder(wire_name, product, object)?
        }
        AlgebraicType::Sum(sum) if plain_sum => writer.sum_builder(wire_name, sum, object)?,
        _ if recursive => {
            return Err(BindingsError::Unsupported(format!(
                "{identifier}, which contains itself and is neither a product nor a sum"
            )));
        }
        _ => writer.builder(ty)?,
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    if recursive {
        // The compiler cannot find out the type of what contains itself.
        let mut annotation = format!("__TypeBuilder<{identifier}, __AlgebraicType>");
        if let AlgebraicType::Sum(sum) = ty
            && plain_sum
        {
            let members = writer.constructors(sum)?;
            let _ = write!(
                annotation,
                " & {}",
                block(&members, 0).replace(",\n", ";\n")
            );
        }
        let _ = writeln!(
            text,
            "export type {identifier} = {};",
            writer.typescript(ty)?
        );
        let _ = writeln!(text, "export const {identifier}: {annotation} = {builder};");
    } else {
        let _ = writeln!(text, "export const {identifier} = {builder};");
        let _ = writeln!(
            text,
            "export type {identifier} = __Infer<typeof {identifier}>;"
        );
    }
    Ok(text)
}
