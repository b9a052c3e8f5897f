//! Changes of documents, which anybody who may call a reducer can send.

use std::collections::BTreeSet;

use documents::{Change, Definitions, Document, RecentChanges, read_all};
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

/// The contents of a change: what is read is what stood there, and it is judged beside a small document, the same
/// way alone and among others.
pub(crate) fn change(contents: &[u8]) {
    let bytes = chunk(contents);
    let Ok(change) = Change::read(&bytes) else {
        return;
    };
    assert_eq!(change.bytes(), bytes);
    let mut recent = RecentChanges::default();
    for _ in 0..2 {
        assert_eq!(recent.read(&bytes).as_deref(), Ok(&change));
    }
    let needs = change.needs();
    let distinct: BTreeSet<_> = needs.iter().collect();
    assert_eq!(distinct.len(), needs.len(), "each range of operations once");
    let all = base().changes().expect("a small document");
    let others = read_all(&all, |_| true).expect("its own changes");
    let mut definitions = Definitions::default();
    for other in &others {
        definitions.add(other.clone()).expect("its own changes");
    }
    let seen = others.iter().map(Change::max_op).max().unwrap_or(0);
    if definitions.add(change.clone()).is_ok() && !others.contains(&change) {
        let depends = !change.dependencies().is_empty();
        let checked = change.check(&others, if depends { seen } else { 0 });
        assert_eq!(checked, Ok(()), "it was accepted among all");
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
