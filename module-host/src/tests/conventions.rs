//! What imports promise a module: handles, lengths and error numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{RowWrite, StateOptions};
use wasm_encoder::{Instruction as I, ValType};

use super::fixture::{Bench, Fixture, ITEM, LOCAL, SOURCE, TEXTS, TICKET, import, item, reducer};
use super::script::{BUFFER, LEN, NUMBER, Script};
use crate::{HostError, Outcome};

fn run(script: Script, texts: &[u8], rows: &[Vec<u8>]) -> Bench {
    let mut bench = Fixture::new(vec![script.end()]).texts(texts).bench();
    bench.insert(ITEM, rows);
    assert_eq!(
        bench.outcome("script"),
        Outcome::Ok,
        "the status is the number of the check + 1"
    );
    bench
}

const ITEM_ID: i32 = 4_096;
const TICKET_ID: i32 = 4_097;
const BY_ID: i32 = 4_096;
const BY_GROUP: i32 = 4_097;

#[test]
fn names_are_looked_up() {
    let texts = b"itemitem_id_idx_btreenone";
    let script = Script::new()
        .call("table_id_from_name", &[TEXTS, 4, NUMBER], 0)
        .holds(NUMBER, ITEM_ID)
        .call("index_id_from_name", &[TEXTS + 4, 17, NUMBER], 0)
        .holds(NUMBER, BY_ID)
        .call("table_id_from_name", &[TEXTS + 21, 4, NUMBER], 4)
        .call("index_id_from_name", &[TEXTS + 21, 4, NUMBER], 5)
        .call("table_id_from_name", &[TEXTS, 2_000, NUMBER], 4);
    run(script, texts, &[]);
}

#[test]
fn rows_come_whole() {
    let rows = [item(1, 5, 0.5), item(2, 5, 1.5), item(3, 6, 2.5)];
    let script = Script::new()
        .call("datastore_table_scan_bsatn", &[ITEM_ID, NUMBER], 0)
        .holds(NUMBER, 1)
        // Too small for one row: what it takes is told, nothing is lost.
        .put(LEN, 15)
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], 11)
        .holds(LEN, 16)
        // Room for two and a half.
        .put(LEN, 40)
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], 0)
        .holds(LEN, 32)
        .holds(BUFFER, 1)
        .holds(BUFFER + 16, 2)
        .put(LEN, 40)
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], -1)
        .holds(LEN, 16)
        .holds(BUFFER, 3)
        // It is gone.
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], 6)
        .call("row_iter_bsatn_close", &[1], 6);
    run(script, b"", &rows);
}

#[test]
fn a_scan_is_a_snapshot_and_an_empty_one_ends_at_once() {
    let script = Script::new()
        .call("datastore_table_scan_bsatn", &[ITEM_ID, NUMBER], 0)
        .put(LEN, 16)
        .copy(BUFFER, TEXTS, 16)
        .call("datastore_insert_bsatn", &[ITEM_ID, BUFFER, LEN], 0)
        .holds(LEN, 0)
        .put(LEN, 64)
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], -1)
        .holds(LEN, 0)
        .call("datastore_table_scan_bsatn", &[ITEM_ID, NUMBER], 0)
        .holds(NUMBER, 2)
        .call("row_iter_bsatn_close", &[2], 0)
        .call("row_iter_bsatn_close", &[2], 6)
        .call("datastore_table_row_count", &[ITEM_ID, NUMBER], 0)
        .holds(NUMBER, 1)
        .holds(NUMBER + 4, 0);
    let bench = run(script, &item(9, 9, 9.0), &[]);
    assert_eq!(bench.rows(ITEM).len(), 1);
}

#[test]
fn rows_are_inserted_updated_and_deleted() {
    // At TEXTS: the row, the row changed, a row that breaks nothing but does not exist.
    let texts = [item(1, 5, 0.5), item(1, 6, 0.5), item(2, 0, 0.0)].concat();
    let row = |number| TEXTS + 16 * number;
    let script = Script::new()
        .put(LEN, 16)
        .call("datastore_insert_bsatn", &[ITEM_ID, row(0), LEN], 0)
        .put(LEN, 16)
        // The same row again changes nothing; another with its key is refused.
        .call("datastore_insert_bsatn", &[ITEM_ID, row(0), LEN], 0)
        .put(LEN, 16)
        .call("datastore_insert_bsatn", &[ITEM_ID, row(1), LEN], 12)
        .put(LEN, 16)
        .call("datastore_update_bsatn", &[ITEM_ID, BY_ID, row(1), LEN], 0)
        .holds(LEN, 0)
        .put(LEN, 16)
        .call("datastore_update_bsatn", &[ITEM_ID, BY_ID, row(2), LEN], 15)
        .put(LEN, 16)
        .call(
            "datastore_update_bsatn",
            &[ITEM_ID, BY_GROUP, row(1), LEN],
            14,
        )
        .put(LEN, 15)
        .call("datastore_insert_bsatn", &[ITEM_ID, row(0), LEN], 3)
        .put(LEN, 16)
        .call("datastore_insert_bsatn", &[99, row(0), LEN], 4)
        .put(LEN, 16)
        .call("datastore_update_bsatn", &[ITEM_ID, 99, row(1), LEN], 5)
        // A list of one row.
        .put(BUFFER, 1)
        .copy(BUFFER + 4, row(1), 16)
        .call(
            "datastore_delete_all_by_eq_bsatn",
            &[ITEM_ID, BUFFER, 20, NUMBER],
            0,
        )
        .holds(NUMBER, 1)
        .call(
            "datastore_delete_all_by_eq_bsatn",
            &[ITEM_ID, BUFFER, 20, NUMBER],
            0,
        )
        .holds(NUMBER, 0)
        .call(
            "datastore_delete_all_by_eq_bsatn",
            &[ITEM_ID, BUFFER, 19, NUMBER],
            3,
        );
    run(script, &texts, &[]);
}

#[test]
fn generated_numbers_come_back() {
    // A ticket numbered 0 with an empty text, twice.
    let script = Script::new()
        .put(LEN, 8)
        .call("datastore_insert_bsatn", &[TICKET_ID, BUFFER, LEN], 0)
        .holds(LEN, 4)
        .holds(BUFFER, 1)
        .put(BUFFER, 0)
        .put(LEN, 8)
        .call("datastore_insert_bsatn", &[TICKET_ID, BUFFER, LEN], 0)
        .holds(BUFFER, 2)
        // A number of one's own is kept, and nothing comes back.
        .put(BUFFER, 77)
        .put(LEN, 8)
        .call("datastore_insert_bsatn", &[TICKET_ID, BUFFER, LEN], 0)
        .holds(LEN, 0)
        .holds(BUFFER, 77);
    assert_eq!(run(script, b"", &[]).rows(TICKET).len(), 3);
}

#[test]
fn indexes_are_scanned_by_range_and_point() {
    let rows = [
        item(1, 5, 0.5),
        item(2, 5, 1.5),
        item(3, 5, 2.5),
        item(4, 6, 0.5),
        item(5, 7, 0.0),
    ];
    // At TEXTS: group 5; from 1.0 on, included; without end; the point (6, 0.5).
    let mut texts = 5_u32.to_le_bytes().to_vec();
    texts.push(0);
    texts.extend(1.0_f64.to_le_bytes());
    texts.push(2);
    texts.extend(6_u32.to_le_bytes());
    texts.extend(0.5_f64.to_le_bytes());
    let (prefix, start, end, point) = (TEXTS, TEXTS + 4, TEXTS + 13, TEXTS + 14);
    let range = [BY_GROUP, prefix, 4, 1, start, 9, end, 1, NUMBER];
    let all = [BY_GROUP, 0, 0, 0, end, 1, end, 1, NUMBER];
    let script = Script::new()
        .call("datastore_index_scan_range_bsatn", &range, 0)
        .put(LEN, 64)
        .call("row_iter_bsatn_advance", &[1, BUFFER, LEN], -1)
        .holds(LEN, 32)
        .holds(BUFFER, 2)
        .holds(BUFFER + 16, 3)
        .call("datastore_btree_scan_bsatn", &range, 0)
        .call(
            "datastore_index_scan_point_bsatn",
            &[BY_GROUP, point, 12, NUMBER],
            0,
        )
        .holds(NUMBER, 3)
        .put(LEN, 64)
        .call("row_iter_bsatn_advance", &[3, BUFFER, LEN], -1)
        .holds(LEN, 16)
        .holds(BUFFER, 4)
        .call(
            "datastore_index_scan_point_bsatn",
            &[BY_GROUP, point, 11, NUMBER],
            3,
        )
        .call(
            "datastore_index_scan_point_bsatn",
            &[99, point, 12, NUMBER],
            5,
        )
        .call("datastore_delete_by_index_scan_range_bsatn", &range, 0)
        .holds(NUMBER, 2)
        .call(
            "datastore_delete_by_index_scan_point_bsatn",
            &[BY_GROUP, point, 12, NUMBER],
            0,
        )
        .holds(NUMBER, 1)
        .call("datastore_delete_by_btree_scan_bsatn", &all, 0)
        .holds(NUMBER, 2);
    assert!(run(script, &texts, &rows).rows(ITEM).is_empty());
}

#[test]
fn a_table_is_cleared() {
    let rows = (0..50).map(|id| item(id, 0, 0.0)).collect::<Vec<_>>();
    let script = Script::new()
        .call("datastore_clear", &[ITEM_ID, NUMBER], 0)
        .holds(NUMBER, 50)
        .call("datastore_clear", &[ITEM_ID, NUMBER], 0)
        .holds(NUMBER, 0)
        .call("datastore_clear", &[5, NUMBER], 4);
    assert!(run(script, b"", &rows).rows(ITEM).is_empty());
}

#[test]
fn arguments_are_read_piece_by_piece() {
    let mut script = Script::new();
    let remaining = [
        I::LocalGet(SOURCE),
        I::I32Const(NUMBER),
        I::Call(import("bytes_source_remaining_length")),
    ];
    let read = [
        I::LocalGet(SOURCE),
        I::I32Const(BUFFER),
        I::I32Const(LEN),
        I::Call(import("bytes_source_read")),
    ];
    script.body.extend(remaining.clone());
    script = script.check(0).holds(NUMBER, 6).put(LEN, 4);
    script.body.extend(read.clone());
    script = script
        .check(0)
        .holds(LEN, 4)
        .holds(BUFFER, 0x0403_0201)
        .put(LEN, 4);
    script.body.extend(read.clone());
    script = script.check(-1).holds(LEN, 2).holds(BUFFER, 0x0403_0605);
    script.body.extend(read);
    script = script.check(8);
    script.body.extend(remaining);
    script = script.check(8);
    let mut bench = Fixture::new(vec![script.end()]).bench();
    let report = bench.call_with("script", &[1, 2, 3, 4, 5, 6], None);
    assert_eq!(report.outcome, Outcome::Ok);
}

#[test]
fn no_arguments_are_source_zero() {
    let mut script = Script::new();
    script.body.push(I::LocalGet(SOURCE));
    run(script.check(0), b"", &[]);
}

#[test]
fn a_token_is_shown_to_its_own_connection_only() {
    let texts = [[3_u8; 16], [4; 16]].concat();
    let own = |expected| {
        Script::new()
            .call("get_jwt", &[TEXTS, NUMBER], 0)
            .holds(NUMBER, expected)
    };
    let script = own(1)
        .put(LEN, 64)
        .call("bytes_source_read", &[1, BUFFER, LEN], -1)
        .holds(LEN, 13)
        .holds(BUFFER, i32::from_le_bytes(*b"{\"su"))
        .call("get_jwt", &[TEXTS + 16, NUMBER], 0)
        .holds(NUMBER, 0);
    let mut bench = Fixture::new(vec![script.end()]).texts(&texts).bench();
    let report = bench.call_with("script", &[], Some("{\"sub\":\"me\"}x"));
    assert_eq!(report.outcome, Outcome::Ok);
    let mut without = Fixture::new(vec![own(0).end()]).texts(&texts).bench();
    assert_eq!(without.outcome("script"), Outcome::Ok);
}

#[test]
fn identity_timers_and_procedures() {
    let mut script = Script::new();
    script
        .body
        .extend([I::I32Const(BUFFER), I::Call(import("identity"))]);
    let script = script
        .holds(BUFFER + 28, 0x0909_0909)
        .call("console_timer_start", &[TEXTS, 4], 1)
        .call("console_timer_end", &[1], 0)
        .call("console_timer_end", &[1], 7)
        .call("procedure_start_mut_tx", &[NUMBER], 17)
        .call("procedure_commit_mut_tx", &[], 18)
        .call("procedure_abort_mut_tx", &[], 18)
        .call("procedure_http_request", &[TEXTS, 0, TEXTS, 0, NUMBER], 17);
    let mut bench = Fixture::new(vec![script.end()]).texts(b"span").bench();
    let report = bench.call("script");
    assert_eq!(report.outcome, Outcome::Ok);
    assert!(
        report.console[0]
            .message
            .starts_with("Timing span \"span\": "),
        "{report:?}"
    );
}

#[test]
fn misuse_ends_the_call_and_says_how() {
    let scan = import("datastore_table_scan_bsatn");
    let name = import("table_id_from_name");
    let body = |call: Vec<I<'static>>| call;
    let mut endless = reducer("iterators", vec![]);
    endless.locals = vec![(1, ValType::I32)];
    endless.body = vec![
        I::Loop(wasm_encoder::BlockType::Empty),
        I::I32Const(ITEM_ID),
        I::I32Const(NUMBER),
        I::Call(scan),
        I::LocalSet(LOCAL),
        I::Br(0),
        I::End,
        I::I32Const(0),
    ];
    let reducers = vec![
        reducer(
            "null",
            body(vec![I::I32Const(ITEM_ID), I::I32Const(0), I::Call(scan)]),
        ),
        reducer(
            "far",
            body(vec![I::I32Const(ITEM_ID), I::I32Const(-2), I::Call(scan)]),
        ),
        reducer(
            "text",
            body(vec![
                I::I32Const(TEXTS),
                I::I32Const(1),
                I::I32Const(NUMBER),
                I::Call(name),
            ]),
        ),
        reducer(
            "sleep",
            body(vec![
                I::I64Const(5),
                I::Call(import("procedure_sleep_until")),
                I::I32WrapI64,
            ]),
        ),
        endless,
    ];
    let mut bench = Fixture::new(reducers).texts(&[0xFF]).bench();
    let expected = [
        ("null", "a null pointer was handed to an import"),
        (
            "far",
            "an import was handed 4 bytes at 4294967294: out of memory",
        ),
        ("text", "a name is not UTF-8"),
        ("sleep", "only a procedure can sleep"),
        ("iterators", "too many row iterators are open"),
    ];
    for (name, why) in expected {
        assert_eq!(bench.outcome(name), Outcome::Trapped(why.into()), "{name}");
    }
}

/// A database file that fails when it is told to.
#[derive(Clone, Debug)]
struct Failing {
    inner: Arc<redb::backends::InMemoryBackend>,
    fails: Arc<AtomicBool>,
}

impl store::DiskFile for Failing {}

impl redb::StorageBackend for Failing {
    fn len(&self) -> std::io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("the disk is gone"));
        }
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.inner.write(offset, data)
    }
}

#[test]
fn a_failing_disk_is_never_an_outcome() {
    let script = Script::new().call("datastore_table_scan_bsatn", &[ITEM_ID, NUMBER], 0);
    let module = Fixture::new(vec![script.end()]).prepare().unwrap();
    let disk = Failing {
        inner: Arc::new(redb::backends::InMemoryBackend::new()),
        fails: Arc::new(AtomicBool::new(false)),
    };
    // More rows than the cache holds, written at a cut: they have to be read from disk.
    let mut bench = Bench::on(
        module,
        Box::new(disk.clone()),
        StateOptions {
            base_cache_bytes: 0,
            ..StateOptions::default()
        },
    );
    let rows = (0..20_000).map(|id| item(id, 0, 0.0));
    bench.settle(
        rows.map(|row| RowWrite {
            table: ITEM,
            row,
            delete: false,
        })
        .collect(),
    );
    assert_eq!(bench.outcome("script"), Outcome::Ok);
    disk.fails.store(true, Ordering::Relaxed);
    let failed = bench.try_call("script", &[], None);
    assert!(matches!(failed, Err(HostError::Store(_))), "{failed:?}");
}
