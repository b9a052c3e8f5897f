//! Paths into a document: JSON pointers (RFC 6901). The empty path is the document, `/lists/0/title` a
//! key in the first element of a list.

use crate::error::DocumentError;
use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX};

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<String>);

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let no_path = || DocumentError::Path(text.chars().take(100).collect());
        let mut steps = Vec::new();
        for step in text.strip_prefix('/').ok_or_else(no_path)?.split('/') {
            if steps.len() == DEPTH_MAX {
                return Err(DocumentError::TooMany {
                    what: "levels on a path",
                    max: DEPTH_MAX,
                });
            }
            if step.len() > NAME_BYTES_MAX {
                return Err(DocumentError::TooMany {
                    what: "bytes in a key",
                    max: NAME_BYTES_MAX,
                });
            }
            steps.push(unescape(step).ok_or_else(no_path)?);
        }
        Ok(Self(steps))
    }

    /// The path of what holds the last step, and that step; the document itself is held by nothing.
    pub(crate) fn split_last(&self) -> Option<(&[String], &str)> {
        let (last, holder) = self.0.split_last()?;
        Some((holder, last))
    }

    /// The text form of a path.
    pub(crate) fn show(steps: &[String]) -> String {
        let escaped = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        steps.iter().map(escaped).collect()
    }
}

/// A step as it was before `~` and `/` in it were escaped.
fn unescape(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        plain.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

/// A step as a place in a list.
pub(crate) fn place(step: &str) -> Option<usize> {
    let is_plain =
        step.bytes().all(|byte| byte.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_json_pointers() {
        assert_eq!(Path::parse(""), Ok(Path(Vec::new())));
        let steps = |text| Path::parse(text).map(|path| path.0).expect("a path");
        assert_eq!(steps("/a/0"), ["a", "0"]);
        assert_eq!(steps("/a~1b/m~0n/"), ["a/b", "m~n", ""]);
        assert_eq!(Path::show(&steps("/a~1b/m~0n/")), "/a~1b/m~0n/");
        for text in ["a", "/~", "/~2", "/a~"] {
            assert_eq!(Path::parse(text), Err(DocumentError::Path(text.to_owned())));
        }
        assert!(Path::parse(&"/a".repeat(DEPTH_MAX + 1)).is_err());
        assert!(Path::parse(&format!("/{}", "a".repeat(NAME_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn places_are_plain_numbers() {
        assert_eq!([place("0"), place("17")], [Some(0), Some(17)]);
        for step in ["", "01", "+1", "-", "1 ", "99999999999999999999999"] {
            assert_eq!(place(step), None, "{step:?}");
        }
    }
}
