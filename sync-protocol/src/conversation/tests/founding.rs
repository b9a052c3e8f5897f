//! How the databases of these tests begin.

use std::sync::Arc;

use crate::cut::{Cut, CutDraft, Term, order_root};
use crate::entry::{Caller, Entry};
use crate::ids::{BlobHash, CutId, StateRoot};
use crate::keys::SecretKey;
use crate::system_call::{Genesis, Options};
use crate::time::Hlc;

/// A database whose founders are all members from the beginning, and the key of its creator.
pub(super) fn found(keys: &[SecretKey], blob: &[u8]) -> (Arc<Entry>, Cut) {
    let creator = &keys[0];
    let genesis = Genesis {
        name: "test".to_owned(),
        module: BlobHash::of(blob),
        module_len: u32::try_from(blob.len()).expect("small"),
        engine: 1,
        options: Options {
            sequential_auto_inc: false,
            memory_bytes_max: 1,
            units_per_invocation: 1,
            units_per_entry: 1,
            call_depth_max: 1,
        },
        finalisers: vec![creator.public()],
        recovery_keys: Vec::new(),
    };
    let entry = Entry::genesis([9; 32], 0, Hlc(1), caller(), genesis, creator).expect("sealed");
    let draft = CutDraft {
        database: entry.id.into(),
        term: Term::FIRST,
        height: 0,
        parent: CutId::ZERO,
        engine: 1,
        frontier: vec![entry.id],
        order_root: order_root(&[entry.id]),
        state_root: StateRoot::ZERO,
        finalisers: vec![creator.public()],
    };
    let cut = Cut::seal(draft, creator).expect("sealed");
    (Arc::new(entry), cut)
}

/// Who makes all calls.
pub(super) fn caller() -> Caller {
    Caller {
        issuer: "issuer".to_owned(),
        subject: "subject".to_owned(),
        claims: String::new(),
    }
}
