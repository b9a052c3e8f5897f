//! Any message is read as it was written; any bytes are read without harm.

mod v1;
mod v2;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::BsatnRowList;

fn a_text() -> impl Strategy<Value = String> {
    "[a-zü\"\\\\\u{0}]{0,6}"
}

fn a_name() -> impl Strategy<Value = Arc<str>> {
    a_text().prop_map(Arc::from)
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from)
}

fn some_rows() -> impl Strategy<Value = BsatnRowList> {
    let fixed = prop::collection::vec(any::<[u8; 3]>(), 0..4)
        .prop_map(|rows| rows.iter().collect::<BsatnRowList>());
    let uneven = prop::collection::vec(some_bytes(), 0..4)
        .prop_map(|rows| rows.iter().collect::<BsatnRowList>());
    prop_oneof![fixed, uneven]
}

/// Puts up to two other bytes somewhere.
fn change(message: &mut [u8], at: prop::sample::Index, others: &[u8]) {
    let at = at.index(message.len());
    for (place, other) in message.iter_mut().skip(at).zip(others.iter().take(2)) {
        *place = *other;
    }
}
