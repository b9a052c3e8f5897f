//! Documents as JSON: texts as strings, counters and timestamps (milliseconds) as numbers, bytes as lists
//! of numbers. Keys are in the order of their bytes, so one document has one JSON.

use automerge::{AutoCommit, ObjId, ObjType, ReadDoc as _, ScalarValue, Value};

use crate::error::DocumentError;
use crate::limits::{ANSWER_BYTES_MAX, DEPTH_MAX};

/// Writes what an object holds.
pub(crate) fn write(
    document: &AutoCommit,
    id: &ObjId,
    kind: ObjType,
) -> Result<String, DocumentError> {
    let mut writer = Writer {
        document,
        out: String::new(),
    };
    writer.object(id, kind, 0)?;
    Ok(writer.out)
}

/// Writes a value that is no object.
pub(crate) fn write_scalar(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Str(text) => serde_json::Value::from(text.as_str()).to_string(),
        ScalarValue::Int(number) | ScalarValue::Timestamp(number) => number.to_string(),
        ScalarValue::Uint(number) => number.to_string(),
        // What JSON has no number for is null there.
        ScalarValue::F64(number) => serde_json::Value::from(*number).to_string(),
        ScalarValue::Counter(counter) => i64::from(counter).to_string(),
        ScalarValue::Boolean(value) => value.to_string(),
        ScalarValue::Bytes(bytes) => serde_json::Value::from(bytes.as_slice()).to_string(),
        ScalarValue::Null | ScalarValue::Unknown { .. } => "null".to_owned(),
    }
}

struct Writer<'a> {
    document: &'a AutoCommit,
    out: String,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Result<(), DocumentError> {
        if self.out.len() + text.len() > ANSWER_BYTES_MAX {
            return Err(DocumentError::TooMany {
                what: "bytes as JSON",
                max: ANSWER_BYTES_MAX,
            });
        }
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>, id: &ObjId, depth: usize) -> Result<(), DocumentError> {
        match value {
            Value::Object(kind) => self.object(id, *kind, depth),
            Value::Scalar(scalar) => self.push(&write_scalar(scalar)),
        }
    }

    fn object(&mut self, id: &ObjId, kind: ObjType, depth: usize) -> Result<(), DocumentError> {
        if depth > DEPTH_MAX {
            return Err(DocumentError::TooMany {
                what: "levels of objects",
                max: DEPTH_MAX,
            });
        }
        match kind {
            ObjType::Text => {
                let text = self.document.text(id).map_err(library)?;
                self.push(&serde_json::Value::from(text).to_string())
            }
            ObjType::List => {
                self.push("[")?;
                for (at, item) in self.document.list_range(id, ..).enumerate() {
                    if at > 0 {
                        self.push(",")?;
                    }
                    self.value(&item.value.clone().into_value(), &item.id(), depth + 1)?;
                }
                self.push("]")
            }
            ObjType::Map | ObjType::Table => {
                self.push("{")?;
                for (at, item) in self.document.map_range(id, ..).enumerate() {
                    if at > 0 {
                        self.push(",")?;
                    }
                    self.push(&serde_json::Value::from(item.key.as_ref()).to_string())?;
                    self.push(":")?;
                    self.value(&item.value.clone().into_value(), &item.id(), depth + 1)?;
                }
                self.push("}")
            }
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
pub(crate) fn library(error: automerge::AutomergeError) -> DocumentError {
    DocumentError::Library(error.to_string())
}
