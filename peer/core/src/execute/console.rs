//! Log lines of modules, in the shape SpacetimeDB's log route gives them.

use module_host::ConsoleLine;
use serde_json::{Map, Value};
use sync_protocol::Hlc;

/// One line as a JSON object; `ts` is the invocation's own time.
pub(super) fn json(line: &ConsoleLine, time: Hlc) -> String {
    let mut object = Map::new();
    object.insert("level".to_owned(), line.level.as_str().into());
    object.insert("ts".to_owned(), time.0.into());
    let optional = [
        ("target", line.target.clone().map(Value::from)),
        ("filename", line.filename.clone().map(Value::from)),
        ("line_number", line.line.map(Value::from)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
    object.insert("message".to_owned(), line.message.clone().into());
    Value::Object(object).to_string()
}
