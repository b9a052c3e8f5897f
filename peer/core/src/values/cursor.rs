//! Reads JSON step by step, led by whoever knows the type: no tree is built, so memory is bounded
//! by what the reader keeps, and numbers stay text, so that 256 bits survive.

use std::borrow::Cow;

use super::DEPTH_MAX;

/// Text that is not JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotJson {
    /// Byte offset.
    pub(super) at: usize,
    /// What was expected there.
    pub(super) problem: &'static str,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
    /// Nothing but white space is left.
    End,
}

/// A place in a JSON text. Cheap to copy: a copy reads the same value again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

type Read<T> = Result<T, NotJson>;

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn kind(&mut self) -> Read<Kind> {
        self.skip_space();
        Ok(match self.peek() {
            None => Kind::End,
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'"') => Kind::Text,
            Some(b'[') => Kind::List,
            Some(b'{') => Kind::Object,
            Some(_) => return self.fail("expected a JSON value"),
        })
    }

    pub(super) fn null(&mut self) -> Read<()> {
        self.word("null")
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        self.skip_space();
        let value = self.peek() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// The number as it is written.
    pub(super) fn number(&mut self) -> Read<&'a str> {
        self.skip_space();
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// The text with its escapes resolved.
    pub(super) fn text(&mut self) -> Read<Cow<'a, str>> {
        self.expect(b'"', "expected a text")?;
        let mut whole = Cow::Borrowed("");
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1F)) {
                self.at += 1;
            }
            let plain = &self.text[start..self.at];
            if whole.is_empty() {
                whole = Cow::Borrowed(plain);
            } else {
                whole.to_mut().push_str(plain);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(whole);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escaped = self.escape()?;
                    whole.to_mut().push(escaped);
                }
                None => return self.fail("the text has no closing quote"),
                Some(_) => return self.fail("a control character in a text must be escaped"),
            }
        }
    }

    pub(super) fn open_list(&mut self) -> Read<()> {
        self.open(b'[', "expected a list")
    }

    /// Whether another element follows; closes the list if not. `first` starts out true.
    pub(super) fn next_element(&mut self, first: &mut bool) -> Read<bool> {
        self.another(b']', first, "expected `,` or `]`")
    }

    pub(super) fn open_object(&mut self) -> Read<()> {
        self.open(b'{', "expected an object")
    }

    /// The name of the next member, with the cursor at its value; closes the object if there is
    /// none. `first` starts out true.
    pub(super) fn next_member(&mut self, first: &mut bool) -> Read<Option<Cow<'a, str>>> {
        if !self.another(b'}', first, "expected `,` or `}`")? {
            return Ok(None);
        }
        let name = self.text()?;
        self.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }

    /// Passes over one value.
    pub(super) fn skip(&mut self) -> Read<()> {
        let mut first = true;
        match self.kind()? {
            Kind::Null => self.null(),
            Kind::Bool => self.boolean().map(|_| ()),
            Kind::Number => self.number().map(|_| ()),
            Kind::Text => self.text().map(|_| ()),
            Kind::List => {
                self.open_list()?;
                while self.next_element(&mut first)? {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::Object => {
                self.open_object()?;
                while self.next_member(&mut first)?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::End => self.fail("expected a JSON value"),
        }
    }

    /// Says that nothing but white space follows.
    pub(super) fn finish(&mut self) -> Read<()> {
        match self.kind() {
            Ok(Kind::End) => Ok(()),
            _ => self.fail("expected the end of the text"),
        }
    }

    /// Line and column of an offset, both from 1, the column in characters.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Read<()> {
        self.skip_space();
        if self.eat(byte) {
            Ok(())
        } else {
            self.fail(problem)
        }
    }

    fn fail<T>(&self, problem: &'static str) -> Read<T> {
        Err(NotJson {
            at: self.at,
            problem,
        })
    }

    fn word(&mut self, word: &'static str) -> Read<()> {
        self.skip_space();
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        match self.text[self.at..].strip_prefix(word) {
            Some(rest) if ends(rest) => {
                self.at += word.len();
                Ok(())
            }
            _ => self.fail("expected a JSON value"),
        }
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            self.fail("expected a digit")
        } else {
            Ok(())
        }
    }

    fn open(&mut self, byte: u8, problem: &'static str) -> Read<()> {
        self.expect(byte, problem)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.fail("nested too deeply")
        } else {
            Ok(())
        }
    }

    fn another(&mut self, close: u8, first: &mut bool, problem: &'static str) -> Read<bool> {
        self.skip_space();
        if self.eat(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', problem)?;
        }
        Ok(true)
    }

    fn escape(&mut self) -> Read<char> {
        let plain = match self.peek() {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let high = self.hex_unit()?;
                // A character beyond 16 bits is written as two halves.
                let code = if (0xD800..0xDC00).contains(&high) && self.eat(b'\\') && self.eat(b'u')
                {
                    let low = self.hex_unit()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return self.fail("half of a surrogate pair is missing");
                    }
                    0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                } else {
                    high
                };
                return match char::from_u32(code) {
                    Some(character) => Ok(character),
                    None => self.fail("half of a surrogate pair is missing"),
                };
            }
            _ => return self.fail("an unknown escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    fn hex_unit(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let unit = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match unit {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.fail("expected four hex digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree, built by the cursor, to compare with another reader of JSON.
    fn tree(cursor: &mut Cursor<'_>) -> Read<serde_json::Value> {
        let mut first = true;
        Ok(match cursor.kind()? {
            Kind::Null => cursor.null().map(|()| serde_json::Value::Null)?,
            Kind::Bool => cursor.boolean()?.into(),
            Kind::Number => serde_json::from_str(cursor.number()?).expect("a JSON number"),
            Kind::Text => cursor.text()?.into_owned().into(),
            Kind::List => {
                let mut list = vec![];
                cursor.open_list()?;
                while cursor.next_element(&mut first)? {
                    list.push(tree(cursor)?);
                }
                list.into()
            }
            Kind::Object => {
                let mut object = serde_json::Map::new();
                cursor.open_object()?;
                while let Some(name) = cursor.next_member(&mut first)? {
                    object.insert(name.into_owned(), tree(cursor)?);
                }
                object.into()
            }
            Kind::End => return cursor.fail("expected a JSON value"),
        })
    }

    fn read(text: &str) -> Read<serde_json::Value> {
        let mut cursor = Cursor::new(text);
        let value = tree(&mut cursor)?;
        cursor.finish()?;
        let mut skipping = Cursor::new(text);
        skipping
            .skip()
            .and_then(|()| skipping.finish())
            .expect("what can be read can be skipped");
        Ok(value)
    }

    #[test]
    fn errors_name_the_place() {
        let check = |text: &str, at: usize, problem: &'static str| {
            assert_eq!(read(text), Err(NotJson { at, problem }), "{text}");
        };
        check("", 0, "expected a JSON value");
        check("[1 2]", 3, "expected `,` or `]`");
        check("[1,]", 3, "expected a JSON value");
        check("{\"a\" 1}", 5, "expected `:`");
        check("\"a", 2, "the text has no closing quote");
        check("\"\\ud800\"", 7, "half of a surrogate pair is missing");
        check("\"\\x\"", 2, "an unknown escape");
        check("01", 1, "expected the end of the text");
        check("1.", 2, "expected a digit");
        check("nul", 0, "expected a JSON value");
        check("truely", 0, "expected a JSON value");
        check("[] []", 3, "expected the end of the text");
        assert_eq!(Cursor::new("a\nbä x").place(5), (2, 3));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&deep(DEPTH_MAX as usize)).is_ok());
        assert!(read(&deep(DEPTH_MAX as usize + 1)).is_err());
        let unclosed = "[".repeat(1_000_000);
        assert!(Cursor::new(&unclosed).skip().is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_agrees_with_serde_json(
            text in r#"[\[\]{},:"0-9eE.+\-\\unrtfalse \t\x01äA-F]{0,24}"#
        ) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (read(&text), theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(_), Err(_)) => {}
                // They refuse numbers beyond a double; here a number is only text.
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{} {}", text, error),
                (Err(ours), Ok(_)) => prop_assert!(false, "{} {:?}", text, ours),
            }
        }
    }
}
