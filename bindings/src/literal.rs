//! Text as a literal.

use std::fmt::Write as _;

/// A string literal, which TypeScript and Rust write alike.
pub(crate) fn string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            // Two of these end a line of JavaScript, and invisible text should not hide in a literal.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a string does not fail.
                let _ = write!(literal, "\\u{{{:x}}}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_literal() {
        assert_eq!(string("a\"b\\c\n\u{2028}é"), r#""a\"b\\c\u{a}\u{2028}é""#);
    }
}
