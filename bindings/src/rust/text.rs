//! Pieces of Rust, laid out as rustfmt does.

/// Characters in a line.
const WIDTH_MAX: usize = 100;
/// Characters of the arguments of a call that stands in one line.
const CALL_WIDTH_MAX: usize = 60;
/// Characters between the braces of a literal or a pattern that stands in one line.
const BRACES_WIDTH_MAX: usize = 18;
/// Characters between the braces of a variant that stands in one line.
const VARIANT_WIDTH_MAX: usize = 35;

/// Fills a template: `@name@` becomes the value of that name.
///
/// # Panics
/// When the template names what is not among the values: templates are ours.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split('@');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) = value.unwrap_or_else(|| panic!("no value for {name} in {template}"));
        text += value;
        text += rest;
    }
    text
}

fn spaces(indent: usize) -> String {
    "    ".repeat(indent)
}

fn fits(line: &str) -> bool {
    line.chars().count() <= WIDTH_MAX
}

/// The head of a function: `head(params)tail`.
pub(super) fn signature(indent: usize, head: &str, params: &[String], tail: &str) -> String {
    let space = spaces(indent);
    let line = format!("{space}{head}({}){tail}", params.join(", "));
    if fits(&line) {
        return line + "\n";
    }
    let params = params.iter().map(|param| format!("{space}    {param},\n"));
    format!(
        "{space}{head}(\n{}{space}){tail}\n",
        params.collect::<String>()
    )
}

/// The head of an implementation.
pub(super) fn implementation(what: &str, of: &str) -> String {
    let line = format!("impl {what} for {of} {{");
    match fits(&line) {
        true => line + "\n",
        false => format!("impl {what}\n    for {of}\n{{\n"),
    }
}

/// A statement or a value that is a call: `head(arguments)tail`.
pub(super) fn call(indent: usize, head: &str, arguments: &[String], tail: &str) -> String {
    let space = spaces(indent);
    let joined = arguments.join(", ");
    let line = format!("{space}{head}({joined}){tail}");
    if fits(&line) && joined.chars().count() <= CALL_WIDTH_MAX {
        return line + "\n";
    }
    let arguments = arguments.iter().map(|one| format!("{space}    {one},\n"));
    format!(
        "{space}{head}(\n{}{space}){tail}\n",
        arguments.collect::<String>()
    )
}

/// A literal or a pattern with fields, without a line's end.
pub(super) fn braces(indent: usize, head: &str, fields: &[String]) -> String {
    if fields.is_empty() {
        return format!("{head} {{}}");
    }
    let joined = fields.join(", ");
    if joined.chars().count() <= BRACES_WIDTH_MAX {
        return format!("{head} {{ {joined} }}");
    }
    let space = spaces(indent);
    let fields = fields.iter().map(|field| format!("{space}    {field},\n"));
    format!("{head} {{\n{}{space}}}", fields.collect::<String>())
}

/// An arm of a `match` with a short body.
pub(super) fn arm(indent: usize, pattern: &str, body: &str) -> String {
    let space = spaces(indent);
    let line = format!("{space}{pattern} => {body},");
    if line.lines().all(fits) {
        return line + "\n";
    }
    format!("{space}{pattern} => {{\n{space}    {body}\n{space}}}\n")
}

/// A field of a struct with its type.
pub(super) fn field(indent: usize, name: &str, ty: &str) -> String {
    let space = spaces(indent);
    let line = format!("{space}{name}: {ty},");
    if fits(&line) {
        return line + "\n";
    }
    format!("{space}{name}:\n{space}    {ty},\n")
}

/// A variant with named fields, or without any.
pub(super) struct Variant {
    pub(super) name: String,
    /// `name: type`.
    pub(super) fields: Vec<String>,
}

/// The variants of an enum. If fields of one need more than a line, fields of all get lines.
pub(super) fn variants(variants: &[Variant]) -> String {
    let in_a_line = variants.iter().all(|variant| {
        let width = variant.fields.join(", ").chars().count();
        width <= VARIANT_WIDTH_MAX
    });
    let mut text = String::new();
    for Variant { name, fields } in variants {
        text += &match fields.as_slice() {
            [] => format!("    {name},\n"),
            fields if in_a_line => format!("    {name} {{ {} }},\n", fields.join(", ")),
            fields => {
                let fields = fields.iter().map(|field| format!("        {field},\n"));
                format!("    {name} {{\n{}    }},\n", fields.collect::<String>())
            }
        };
    }
    text
}

/// A constant that is a list of paths.
pub(super) fn array(head: &str, items: &[String]) -> String {
    let joined = items.join(", ");
    let line = format!("{head}[{joined}];\n");
    if joined.chars().count() <= CALL_WIDTH_MAX && fits(line.trim_end()) {
        return line;
    }
    let items = items.iter().map(|item| format!("    {item},\n"));
    format!("{head}[\n{}];\n", items.collect::<String>())
}
