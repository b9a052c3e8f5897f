//! Documents that a call has open, and documents as a column.

use spacetimedb::SpacetimeType;
use spacetimedb::sats::u256;

use crate::Error;
use crate::host::{Answer, Handle};

/// A document that this call has open.
///
/// Paths are JSON pointers (RFC 6901): the empty path is the document, which is a map, and `/items/0/title` a
/// key in the first element of a list. Places in a text count characters. Opening costs units in proportion to what
/// is merged, everything else in proportion to what the document holds, deleted characters included.
#[derive(Debug)]
pub struct Document(Handle);

impl Document {
    /// An empty one.
    ///
    /// # Errors
    /// Outside of calls and views.
    pub fn new() -> Result<Self, Error> {
        Handle::open().map(Self)
    }

    /// One of these changes, in any order. Each may be several that stand one after another.
    ///
    /// # Errors
    /// When one of them is malformed, or builds on one that is not among them.
    pub fn of_changes<'a>(changes: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let document = Self::new()?;
        let all: Vec<u8> = changes.into_iter().flatten().copied().collect();
        document.merge(&all)?;
        Ok(document)
    }

    /// Merges changes, and says how many were new. Either all are merged or none.
    ///
    /// # Errors
    /// When one of them is malformed, or builds on one that is not there.
    pub fn merge(&self, changes: &[u8]) -> Result<u32, Error> {
        let count = self.0.merge(changes)?;
        Ok(count
            .iter()
            .rev()
            .fold(0, |count, byte| count << 8 | u32::from(*byte)))
    }

    /// Edits that follow are those of this call: they get an actor that is derived from who calls, when and
    /// from where, from what the document holds and from `salt`, and the call's time. So the same call makes the
    /// same bytes on every peer. Give the key of the row that the document belongs to for a salt.
    ///
    /// # Errors
    /// When the document cannot take edits.
    ///
    /// # Panics
    /// In a view, which edits nothing.
    pub fn act(&self, salt: &[u8]) -> Result<(), Error> {
        done(self.0.act(salt))
    }

    /// Puts a JSON value at a key of a map or in the place of an element of a list. Strings become texts that
    /// people can write in together.
    ///
    /// # Errors
    /// When the path leads nowhere, or the value is no JSON.
    pub fn put(&self, path: &str, json: &str) -> Result<(), Error> {
        done(self.0.put(path, json))
    }

    /// Inserts a JSON value into a list, before the element that the path names; `/items/-` appends.
    ///
    /// # Errors
    /// When the path leads to no list, or the value is no JSON.
    pub fn insert(&self, path: &str, json: &str) -> Result<(), Error> {
        done(self.0.insert(path, json))
    }

    /// Puts a counter, to which several can add at once.
    ///
    /// # Errors
    /// When the path leads nowhere.
    pub fn put_counter(&self, path: &str, start: i64) -> Result<(), Error> {
        done(self.0.put_counter(path, start))
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// When the path leads to no counter.
    pub fn increment(&self, path: &str, by: i64) -> Result<(), Error> {
        done(self.0.increment(path, by))
    }

    /// Takes away what is at a path.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn delete(&self, path: &str) -> Result<(), Error> {
        done(self.0.delete(path))
    }

    /// Takes `delete` characters out of a text, from character `at` on, and puts others there.
    ///
    /// # Errors
    /// When the path leads to no text, or the text is shorter.
    pub fn splice(&self, path: &str, at: u32, delete: u32, text: &str) -> Result<(), Error> {
        done(self.0.splice(path, at, delete, text))
    }

    /// The change that the edits since the last one make: nothing if there were none.
    ///
    /// # Errors
    /// When it would be too large.
    pub fn commit(&self) -> Result<Vec<u8>, Error> {
        self.0.commit()
    }

    /// All changes, one after another: what [`Document::merge`] makes the document of again.
    ///
    /// # Errors
    /// As [`Document::commit`], which it begins with.
    pub fn changes(&self) -> Result<Vec<u8>, Error> {
        self.0.changes()
    }

    /// Names of the changes that no other builds on: two documents with the same heads are the same.
    ///
    /// # Errors
    /// As [`Document::commit`], which it begins with.
    pub fn heads(&self) -> Result<Vec<u256>, Error> {
        let bytes = self.0.heads()?;
        let (heads, _) = bytes.as_chunks();
        Ok(heads
            .iter()
            .map(|head| u256::from_be_bytes(*head))
            .collect())
    }

    /// What is at a path, as JSON. Texts are strings, counters numbers.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn json(&self, path: &str) -> Result<String, Error> {
        text(self.0.json(path))
    }

    /// The text at a path.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, path: &str) -> Result<String, Error> {
        text(self.0.text(path))
    }
}

fn done(answer: Answer) -> Result<(), Error> {
    answer.map(drop)
}

fn text(answer: Answer) -> Result<String, Error> {
    String::from_utf8(answer?).map_err(|_| Error::new("the peer gave something that is no text"))
}

/// A small document as a column: all of its changes, one after another.
#[derive(SpacetimeType, Clone, Debug, Default, PartialEq, Eq)]
pub struct Doc {
    /// As Automerge's libraries read them (`loadIncremental`).
    pub changes: Vec<u8>,
}

impl Doc {
    /// Opens it.
    ///
    /// # Errors
    /// When what is in the column is no document.
    pub fn open(&self) -> Result<Document, Error> {
        Document::of_changes([self.changes.as_slice()])
    }

    /// What to put into the column for a document.
    ///
    /// # Errors
    /// As [`Document::commit`], which it begins with.
    pub fn of(document: &Document) -> Result<Self, Error> {
        document.changes().map(|changes| Self { changes })
    }

    /// Merges changes that a client sent.
    ///
    /// # Errors
    /// When one of them is malformed, or builds on one that is not there. The column is as it was.
    pub fn merge(&mut self, changes: &[u8]) -> Result<(), Error> {
        let document = self.open()?;
        document.merge(changes)?;
        *self = Self::of(&document)?;
        Ok(())
    }
}
