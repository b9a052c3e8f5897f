//! An entry by itself, of a database that is not there: for what is done with entries whatever is in them.

use std::iter::repeat_n;

use sync_protocol::{
    Body, CallName, Caller, ConnectionId, CutId, CutRef, DatabaseId, Draft, Entry, EntryId, Hlc,
    Invocation, SecretKey, Term,
};

/// Its database.
pub(crate) const DATABASE: DatabaseId = DatabaseId([4; 32]);

/// One call with arguments of so many bytes.
pub(crate) fn entry(seq: u64, bytes: usize) -> Entry {
    let draft = Draft {
        database: DATABASE,
        epoch: 1,
        seq,
        parents: vec![EntryId([1; 32])],
        hlc: Hlc(1_000_000 + seq),
        stride: 0,
        base: CutRef {
            term: Term::FIRST,
            height: 0,
            id: CutId([2; 32]),
        },
    };
    let body = Body {
        names: vec![CallName {
            name: "write".to_owned(),
            arguments_type: [3; 8],
        }],
        callers: vec![Caller {
            issuer: "me".to_owned(),
            subject: "me".to_owned(),
            claims: String::new(),
        }],
        invocations: vec![Invocation {
            name: 0,
            caller: 0,
            connection: ConnectionId([1; 16]),
            args: repeat_n(7, bytes).collect(),
        }],
    };
    let key = SecretKey::from_bytes(&[5; 32]);
    Entry::seal(draft, body, &key).expect("it fits")
}
