//! Edits by path.

use proptest::prelude::*;

use crate::error::DocumentError;
use crate::{Document, limits};

fn document(json: &str) -> Document {
    let mut document = Document::new();
    document.act_as(&[1, 2, 3], 7).expect("a name");
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    for (key, value) in value.as_object().expect("a map") {
        document
            .put(&format!("/{key}"), &value.to_string())
            .expect("put");
    }
    document
}

#[test]
fn values_are_put_taken_away_and_counted() {
    let mut doc = document(r#"{"a":{"list":[1,2.5,null],"done":false},"title":"Tomatoes"}"#);
    doc.splice("/title", 0, 1, "Green t").expect("spliced");
    doc.put("/a/list/0", "\"one\"").expect("put");
    doc.insert("/a/list/-", "18446744073709551615")
        .expect("inserted");
    doc.insert("/a/list/1", "[true]").expect("inserted");
    doc.delete("/a/done").expect("deleted");
    doc.delete("/a/list/3").expect("deleted");
    doc.put_counter("/a/hits", 40).expect("a counter");
    doc.increment("/a/hits", 3).expect("counted");
    doc.increment("/a/hits", -1).expect("counted");
    let expected = r#"{"a":{"hits":42,"list":["one",[true],2.5,18446744073709551615]},"title":"Green tomatoes"}"#;
    assert_eq!(doc.json(""), Ok(expected.to_owned()));
    assert_eq!(doc.json("/a/list/1"), Ok("[true]".to_owned()));
    assert_eq!(doc.text("/a/list/0"), Ok("one".to_owned()));
    let change = doc.commit().expect("committed");
    let mut other = Document::new();
    assert_eq!(other.merge(&change), Ok(1));
    assert_eq!(other.json(""), Ok(expected.to_owned()));
    assert_eq!(other.heads(), doc.heads());
    assert_eq!(doc.commit(), Ok(Vec::new()), "nothing was edited since");
}

#[test]
fn the_same_edits_in_the_same_name_are_the_same_bytes() {
    let bytes = || {
        document(r#"{"a":[1,{"b":"text"}]}"#)
            .commit()
            .expect("committed")
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn edits_that_make_no_sense_say_why_and_change_nothing() {
    let mut doc = document(r#"{"list":[1],"text":"ab","map":{}}"#);
    doc.put_counter("/count", 1).expect("a counter");
    let before = doc.json("").expect("JSON");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let long = format!("\"{}\"", "a".repeat(limits::CHANGE_OPS_MAX));
    let refused: Vec<(Result<(), DocumentError>, &str)> = vec![
        (
            doc.put("list", "1"),
            "\"list\" is no path: a path is empty or begins with a slash, as in /lists/0/title",
        ),
        (
            doc.put("", "1"),
            "the document itself cannot be put or taken away, only what is in it: give a path",
        ),
        (doc.put("/nowhere/a", "1"), "nothing is at \"/nowhere\""),
        (
            doc.put("/text/0", "1"),
            "at \"/text\" is a text, not a map or a list",
        ),
        (
            doc.put("/list/1", "1"),
            "\"/list\" has 1, so there is no place 1",
        ),
        (
            doc.insert("/list/3", "1"),
            "\"/list\" has 1, so there is no place 3",
        ),
        (
            doc.insert("/map/a", "1"),
            "at \"/map\" is a map, not a list",
        ),
        (
            doc.put("/map/a", "{"),
            "the value is no JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            doc.put("/map/a", &deep),
            "the document has more levels of objects than 32",
        ),
        (
            doc.put("/map/a", &long),
            "the document has more operations in one change than 16384",
        ),
        (doc.delete("/map/a"), "nothing is at \"/map/a\""),
        (
            doc.increment("/list/0", 1),
            "at \"/list/0\" is a value, not a counter",
        ),
        (
            doc.splice("/list", 0, 0, "a"),
            "at \"/list\" is a list, not a text",
        ),
        (
            doc.splice("/text", 1, 2, "a"),
            "\"/text\" has 2, so there is no place 3",
        ),
    ];
    for (refused, why) in refused {
        assert_eq!(
            refused.map_err(|error| error.to_string()),
            Err(why.to_owned())
        );
    }
    assert_eq!(doc.json(""), Ok(before));
    let mut nobody = Document::new();
    assert_eq!(nobody.put("/a", "1"), Err(DocumentError::Nameless));
}

#[test]
fn characters_are_counted_not_bytes() {
    let mut doc = document(r#"{"text":"é😀z"}"#);
    doc.splice("/text", 2, 1, "ü").expect("spliced");
    assert_eq!(doc.text("/text"), Ok("é😀ü".to_owned()));
}

proptest! {
    #[test]
    fn any_json_comes_back_as_it_went_in(text in ".{0,20}", number in any::<i64>(), key in "[^/~]{1,8}") {
        let value = serde_json::json!({"s": text, "n": number, "l": [text, number, null, {"k": true}]});
        let mut doc = Document::new();
        doc.act_as(&[5], 0).expect("a name");
        doc.put(&format!("/{key}"), &value.to_string()).expect("put");
        let json = doc.json(&format!("/{key}")).expect("JSON");
        let back: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        prop_assert_eq!(back, value);
    }

    #[test]
    fn any_path_and_any_value_are_an_answer(path in ".{0,12}", json in ".{0,12}", at in 0..5_usize) {
        let mut doc = document(r#"{"list":[1],"text":"ab"}"#);
        let _ = doc.put(&path, &json);
        let _ = doc.insert(&path, &json);
        let _ = doc.splice(&path, at, at, &json);
        let _ = doc.delete(&path);
        let _ = doc.increment(&path, 1);
        prop_assert!(doc.commit().is_ok());
    }
}
