//! Changes of documents, which anybody who may call a reducer can send.

use std::collections::BTreeSet;

use documents::{Change, Document, DocumentError};
use sha2::{Digest as _, Sha256};

/// What every chunk begins with; then come its sum, its kind, its length.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// The kind of a change that is not compressed.
const PLAIN: u8 = 1;

/// The chunk with these contents. Its sum is right, or no input would get past it.
fn chunk(contents: &[u8]) -> Vec<u8> {
    let mut head = vec![PLAIN];
    let mut len = contents.len();
    while len >= 0x80 {
        head.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    head.push(len as u8);
    let sum = Sha256::new()
        .chain_update(&head)
        .chain_update(contents)
        .finalize();
    [&MAGIC, &sum[..4], &head, contents].concat()
}

/// The contents of a change: what is read is what stood there, the library reads it too, and a document takes it or
/// leaves it without harm.
pub(crate) fn change(contents: &[u8]) {
    let bytes = chunk(contents);
    let Ok(change) = Change::read(&bytes) else {
        return;
    };
    assert_eq!(change.bytes(), bytes);
    let needs = change.needs();
    let distinct: BTreeSet<_> = needs.iter().collect();
    assert_eq!(distinct.len(), needs.len(), "each range of operations once");
    let mut document = base();
    let before = document.json("").expect("a small document");
    match document.merge(&bytes) {
        Ok(count) => {
            assert!(count <= 1);
            document.act_as(b"after", 0).expect("a name");
            document
                .put("/after", "\"text\"")
                .expect("the root is a map");
            document.commit().expect("an edit of an edited document");
        }
        Err(DocumentError::Change(_)) => {
            assert_eq!(
                document.json(""),
                Ok(before),
                "what was refused changed nothing"
            );
        }
        Err(other) => panic!("the library met what should have been refused: {other}"),
    }
}

/// A text, a list and a counter, by one author.
fn base() -> Document {
    let mut document = Document::new();
    document.act_as(b"base", 0).expect("a name");
    document
        .put("/text", "\"some text\"")
        .expect("the root is a map");
    document.put("/list", "[1,2]").expect("the root is a map");
    document
        .put_counter("/count", 3)
        .expect("the root is a map");
    document.commit().expect("a small change");
    document
}

/// Changes that build on the document that inputs meet, without their heads: what a fuzzer begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut document = base();
    let first = document.changes().expect("a small document");
    let mut changes = vec![first];
    document.act_as(b"seed", 7).expect("a name");
    document.splice("/text", 4, 1, "\u{1F600}").expect("a text");
    changes.push(document.commit().expect("a small change"));
    document.increment("/count", -2).expect("a counter");
    document.delete("/list/0").expect("there are two");
    document.insert("/list/-", "{\"a\":1.5}").expect("a list");
    changes.push(document.commit().expect("a small change"));
    changes.into_iter().map(|bytes| contents(&bytes)).collect()
}

/// What stands behind the length.
fn contents(bytes: &[u8]) -> Vec<u8> {
    let mut at = 9;
    while bytes[at] & 0x80 != 0 {
        at += 1;
    }
    bytes[at + 1..].to_vec()
}
