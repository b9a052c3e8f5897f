//! Views as the module ABI has them: what a module may do while it computes one, and the forms in which
//! it answers.

use store::{TableId, TableSchema};
use wasm_encoder::{Instruction as I, ValType};

use super::fixture::{Bench, Fixture, ITEM, SCRATCH, TEXTS, at, import, item};
use crate::imports::offered;
use crate::{ViewDef, ViewRows};

/// All imports that change rows.
const WRITES: [&str; 7] = [
    "datastore_insert_bsatn",
    "datastore_update_bsatn",
    "datastore_delete_all_by_eq_bsatn",
    "datastore_delete_by_index_scan_range_bsatn",
    "datastore_delete_by_btree_scan_bsatn",
    "datastore_delete_by_index_scan_point_bsatn",
    "datastore_clear",
];

/// `TRANSACTION_IS_READ_ONLY`.
const READ_ONLY: u8 = 19;

/// The third parameter of what computes a view.
const VIEW_SINK: u32 = 2;

pub(super) fn definition() -> ViewDef {
    ViewDef {
        table: TableSchema {
            id: TableId(2_200),
            name: "view".to_owned(),
            source_name: "view".to_owned(),
            columns: vec![],
            primary_key: None,
            indexes: vec![],
            auto_inc: vec![],
            public: true,
            event: false,
        },
        index: 0,
        anonymous: true,
    }
}

fn bench(view: Vec<I<'static>>, texts: &[u8]) -> Bench {
    let mut fixture = Fixture::new(vec![]).texts(texts);
    fixture.view = Some(view);
    fixture.bench()
}

/// Instructions that write so many bytes from a place in memory to the sink.
fn say(from: i32, len: usize) -> Vec<I<'static>> {
    vec![
        I::I32Const(SCRATCH + 0x100),
        I::I32Const(i32::try_from(len).unwrap()),
        I::I32Store(at(0)),
        I::LocalGet(VIEW_SINK),
        I::I32Const(from),
        I::I32Const(SCRATCH + 0x100),
        I::Call(import("bytes_sink_write")),
        I::Drop,
    ]
}

#[test]
fn a_view_changes_no_rows() {
    let mut body = Vec::new();
    for (place, name) in (0..).zip(WRITES) {
        body.push(I::I32Const(SCRATCH + place));
        let offered = offered().find(|import| import.name == name).unwrap();
        for param in offered.params {
            body.push(match ValType::try_from(*param).unwrap() {
                ValType::I64 => I::I64Const(0),
                _ => I::I32Const(0),
            });
        }
        body.push(I::Call(import(name)));
        body.push(I::I32Store8(at(0)));
    }
    body.extend(say(SCRATCH, WRITES.len()));
    body.push(I::I32Const(0));
    let mut bench = bench(body, &[]);
    bench.insert(ITEM, &[item(1, 2, 3.0)]);
    let answered = bench.view(&definition());
    assert_eq!(answered, Ok(ViewRows::Rows(vec![READ_ONLY; WRITES.len()])));
    assert_eq!(bench.rows(ITEM).len(), 1);
}

#[test]
fn a_view_sees_the_rows_that_are_there() {
    let count = vec![
        I::I32Const(i32::try_from(ITEM.0).unwrap()),
        I::I32Const(SCRATCH),
        I::Call(import("datastore_table_row_count")),
        I::Drop,
    ];
    let body = [count, say(SCRATCH, 8), vec![I::I32Const(0)]].concat();
    let mut bench = bench(body, &[]);
    bench.insert(ITEM, &[item(1, 2, 3.0), item(2, 2, 3.0)]);
    for _ in 0..2 {
        let answered = bench.view(&definition());
        assert_eq!(answered, Ok(ViewRows::Rows(2_u64.to_le_bytes().to_vec())));
    }
}

#[test]
fn a_view_answers_with_rows_a_query_or_an_error() {
    let check = |status: i32, said: &[u8], expected: Result<ViewRows, &str>| {
        let body = [say(TEXTS, said.len()), vec![I::I32Const(status)]].concat();
        let answered = bench(body, said).view(&definition());
        assert_eq!(answered, expected.map_err(str::to_owned), "{status}");
    };
    check(0, b"rows", Ok(ViewRows::Rows(b"rows".to_vec())));
    check(2, b"\0rows", Ok(ViewRows::Rows(b"rows".to_vec())));
    check(2, b"", Ok(ViewRows::Rows(vec![0; 4])));
    let query = Ok(ViewRows::Query("SELECT".to_owned()));
    check(2, b"\x01\x06\0\0\0SELECT", query);
    check(2, b"\x01\x06", Err("it gave a query that is no text"));
    check(2, b"\x09", Err("it gave an answer of unknown kind 9"));
    check(1, b"not today", Err("not today"));
    check(7, b"", Err("it returned an unknown status: 7"));
}

#[test]
fn a_view_that_loops_or_is_not_there_is_an_error() {
    let body = vec![
        I::Loop(wasm_encoder::BlockType::Empty),
        I::Br(0),
        I::End,
        I::I32Const(0),
    ];
    let mut looping = bench(body, &[]);
    looping.units = 100_000;
    let error = looping.view(&definition()).unwrap_err();
    assert!(error.contains("used up its units"), "{error}");
    let mut without = Fixture::new(vec![]).bench();
    let error = without.view(&definition()).unwrap_err();
    assert!(
        error.contains("exports nothing that computes one"),
        "{error}"
    );
}
