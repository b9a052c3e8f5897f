//! Edits of a document. Each is looked at whole before the library is asked to do it, so that one that
//! is refused has changed nothing.

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjId, ObjType, Prop, ReadDoc as _, ScalarValue};
use serde_json::Value;

use crate::document::{Document, Kind, too_many, wrong_kind};
use crate::error::DocumentError;
use crate::json::library;
use crate::limits::{CHANGE_OPS_MAX, DEPTH_MAX, NAME_BYTES_MAX};
use crate::path::{Path, place};

/// The step that stands for the place behind the last element of a list (RFC 6901).
const BEHIND: &str = "-";

impl Document {
    /// Puts a JSON value at a key of a map, or in the place of an element of a list. Strings become
    /// texts, which people can write in together; objects and lists become maps and lists.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn put(&mut self, path: &str, json: &str) -> Result<(), DocumentError> {
        let value = self.parse(json)?;
        let (id, prop) = self.place_to_put(path)?;
        self.guarded(|library| put_value(library, &id, prop, &value))
    }

    /// Puts a counter, which counts from `start`: increments of several writers add up.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn put_counter(&mut self, path: &str, start: i64) -> Result<(), DocumentError> {
        self.room_for(1)?;
        let (id, prop) = self.place_to_put(path)?;
        self.guarded(|doc| {
            doc.put(&id, prop, ScalarValue::counter(start))
                .map_err(library)
        })
    }

    /// Inserts a JSON value into a list, before the element that the path names; `-` names the place
    /// behind the last.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn insert(&mut self, path: &str, json: &str) -> Result<(), DocumentError> {
        let value = self.parse(json)?;
        let path = Path::parse(path)?;
        let (holder, step) = path.split_last().ok_or_else(no_place)?;
        let at = self.at(holder)?;
        let Kind::Object(ObjType::List) = at.kind else {
            return Err(wrong_kind(holder, &at.kind, "a list"));
        };
        let len = self.library.length(&at.id);
        let index = if step == BEHIND {
            Some(len)
        } else {
            place(step)
        };
        let index = index.ok_or_else(|| DocumentError::Nothing(Path::show(&path.0)))?;
        if index > len {
            return Err(beyond(holder, len, index));
        }
        self.guarded(|library| insert_value(library, &at.id, index, &value))
    }

    /// Takes away what is at a key of a map or at a place of a list.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn delete(&mut self, path: &str) -> Result<(), DocumentError> {
        self.room_for(1)?;
        let steps = Path::parse(path)?;
        self.at(&steps.0)?;
        let (id, prop) = self.place_to_put(path)?;
        self.guarded(|doc| doc.delete(&id, prop).map_err(library))
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn increment(&mut self, path: &str, by: i64) -> Result<(), DocumentError> {
        self.room_for(1)?;
        let steps = Path::parse(path)?;
        let at = self.at(&steps.0)?;
        let Kind::Scalar(ScalarValue::Counter(_)) = at.kind else {
            return Err(wrong_kind(&steps.0, &at.kind, "a counter"));
        };
        let (id, prop) = self.place_to_put(path)?;
        self.guarded(|doc| doc.increment(&id, prop, by).map_err(library))
    }

    /// Takes `delete` characters out of a text, from character `at` on, and puts others there.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub fn splice(
        &mut self,
        path: &str,
        at: usize,
        delete: usize,
        text: &str,
    ) -> Result<(), DocumentError> {
        self.room_for(text.chars().count().saturating_add(delete))?;
        let steps = Path::parse(path)?.0;
        let found = self.at(&steps)?;
        let Kind::Object(ObjType::Text) = found.kind else {
            return Err(wrong_kind(&steps, &found.kind, "a text"));
        };
        let len = self.library.length(&found.id);
        let end = at.saturating_add(delete);
        if end > len {
            return Err(beyond(&steps, len, end));
        }
        // At most CHANGE_OPS_MAX, as was just looked at.
        let delete = isize::try_from(delete).unwrap_or(isize::MAX);
        self.guarded(|doc| {
            doc.splice_text(&found.id, at, delete, text)
                .map_err(library)
        })
    }

    /// What holds the last step of a path, and the step for the library.
    fn place_to_put(&self, path: &str) -> Result<(ObjId, Prop), DocumentError> {
        let path = Path::parse(path)?;
        let (holder, step) = path.split_last().ok_or_else(no_place)?;
        let at = self.at(holder)?;
        match at.kind {
            Kind::Object(ObjType::Map | ObjType::Table) => Ok((at.id, Prop::Map(step.to_owned()))),
            Kind::Object(ObjType::List) => {
                let len = self.library.length(&at.id);
                let index =
                    place(step).ok_or_else(|| DocumentError::Nothing(Path::show(&path.0)))?;
                if index >= len {
                    return Err(beyond(holder, len, index));
                }
                Ok((at.id, Prop::Seq(index)))
            }
            kind => Err(wrong_kind(holder, &kind, "a map or a list")),
        }
    }

    /// Whether edits may be made, and so many operations more fit into the change.
    fn room_for(&self, ops: usize) -> Result<(), DocumentError> {
        self.whole()?;
        if !self.acts {
            return Err(DocumentError::Nameless);
        }
        if self.library.pending_ops().saturating_add(ops) > CHANGE_OPS_MAX {
            return Err(too_many("operations in one change", CHANGE_OPS_MAX));
        }
        Ok(())
    }

    /// A JSON value that the document can hold, and that fits into the change.
    fn parse(&self, json: &str) -> Result<Value, DocumentError> {
        // It takes a few bytes to say an operation, so this bounds what parsing costs.
        self.room_for(0)?;
        let value: Value = serde_json::from_str(json)
            .map_err(|error| DocumentError::Value(format!("the value is no JSON: {error}")))?;
        let ops = count_ops(&value, 0)?;
        self.room_for(ops)?;
        Ok(value)
    }
}

fn no_place() -> DocumentError {
    DocumentError::Value(
        "the document itself cannot be put or taken away, only what is in it: give a path"
            .to_owned(),
    )
}

fn beyond(steps: &[String], len: usize, at: usize) -> DocumentError {
    DocumentError::Place {
        path: Path::show(steps),
        len,
        at,
    }
}

/// The operations that make a value.
fn count_ops(value: &Value, depth: usize) -> Result<usize, DocumentError> {
    if depth > DEPTH_MAX {
        return Err(too_many("levels of objects", DEPTH_MAX));
    }
    Ok(match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => {
            scalar_of(number)?;
            1
        }
        Value::String(text) => 1 + text.chars().count(),
        Value::Array(items) => {
            let mut ops = 1;
            for item in items {
                ops += count_ops(item, depth + 1)?;
            }
            ops
        }
        Value::Object(entries) => {
            let mut ops = 1;
            for (key, value) in entries {
                if key.len() > NAME_BYTES_MAX {
                    return Err(too_many("bytes in a key", NAME_BYTES_MAX));
                }
                ops += count_ops(value, depth + 1)?;
            }
            ops
        }
    })
}

/// A number as the document holds it: whole ones as integers, others as floats.
fn scalar_of(number: &serde_json::Number) -> Result<ScalarValue, DocumentError> {
    if let Some(whole) = number.as_i64() {
        return Ok(ScalarValue::Int(whole));
    }
    if let Some(whole) = number.as_u64() {
        return Ok(ScalarValue::Uint(whole));
    }
    match number.as_f64() {
        Some(float) => Ok(ScalarValue::F64(float)),
        None => Err(DocumentError::Value(format!("{number} is out of range"))),
    }
}

fn put_value(
    doc: &mut AutoCommit,
    id: &ObjId,
    prop: Prop,
    value: &Value,
) -> Result<(), DocumentError> {
    match kind_of(value) {
        Some(kind) => {
            let made = doc.put_object(id, prop, kind).map_err(library)?;
            fill(doc, &made, value)
        }
        None => doc.put(id, prop, plain(value)?).map_err(library),
    }
}

fn insert_value(
    doc: &mut AutoCommit,
    id: &ObjId,
    at: usize,
    value: &Value,
) -> Result<(), DocumentError> {
    match kind_of(value) {
        Some(kind) => {
            let made = doc.insert_object(id, at, kind).map_err(library)?;
            fill(doc, &made, value)
        }
        None => doc.insert(id, at, plain(value)?).map_err(library),
    }
}

/// What kind of object a value becomes, if any.
const fn kind_of(value: &Value) -> Option<ObjType> {
    match value {
        Value::String(_) => Some(ObjType::Text),
        Value::Array(_) => Some(ObjType::List),
        Value::Object(_) => Some(ObjType::Map),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn plain(value: &Value) -> Result<ScalarValue, DocumentError> {
    match value {
        Value::Bool(value) => Ok(ScalarValue::Boolean(*value)),
        Value::Number(number) => scalar_of(number),
        _ => Ok(ScalarValue::Null),
    }
}

/// Fills an object that was just made. The depth was looked at before.
fn fill(doc: &mut AutoCommit, id: &ObjId, value: &Value) -> Result<(), DocumentError> {
    match value {
        Value::String(text) => doc.splice_text(id, 0, 0, text).map_err(library),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                insert_value(doc, id, at, item)?;
            }
            Ok(())
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                put_value(doc, id, Prop::Map(key.clone()), value)?;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}
