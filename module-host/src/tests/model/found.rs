//! What the model found, once more by name.

use crate::Outcome;
use crate::tests::fixture::{Fixture, SCRATCH, at, import, reducer};
use wasm_encoder::Instruction as I;

#[test]
fn an_unknown_table_is_told_before_an_unknown_index() {
    // Index 0 belongs to the peer, index 5,000 to nobody.
    for index in [0, 5_000] {
        let body = vec![
            I::I32Const(SCRATCH),
            I::I32Const(3),
            I::I32Store(at(0)),
            I::I32Const(5_000),
            I::I32Const(index),
            I::I32Const(SCRATCH + 16),
            I::I32Const(SCRATCH),
            I::Call(import("datastore_update_bsatn")),
            I::I32Const(4),
            I::I32Sub,
        ];
        let mut bench = Fixture::new(vec![reducer("update", body)]).bench();
        assert_eq!(bench.outcome("update"), Outcome::Ok, "index {index}");
    }
}
