//! Every import, asked wrongly: what it answers, and what wins when several things are wrong. Bad
//! pointers come first, then the error numbers in the order of the ABI's documentation.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{RawModuleDefV9Builder, btree, hash};
use spacetimedb_sats::{AlgebraicType as T, ProductType, bsatn};
use store::TableId;
use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::fixture::{Bench, Fixture, LOCAL, Reducer, SCRATCH, TEXTS, import, item, reducer};
use crate::imports::OFFERED;
use crate::{Limits, Outcome, PrepareError};

/// Room for what an import gives back.
const OUT: i32 = SCRATCH + 64;

/// What lies at [`TEXTS`], piece by piece.
const NAME: i32 = TEXTS;
const UNBOUNDED: i32 = NAME + 4;
const ONE: i32 = UNBOUNDED + 1;
const ROW: i32 = ONE + 4;
const RELATION: i32 = ROW + 16;
const SIXTEEN: i32 = RELATION + 20;
const FIFTEEN: i32 = SIXTEEN + 4;
const BAD_TEXT: i32 = FIFTEEN + 4;
const OTHER_ROW: i32 = BAD_TEXT + 1;
const FEW_ROW: i32 = OTHER_ROW + 16;
const TWO: i32 = FEW_ROW + 2;
const CLASH_ROW: i32 = TWO + 4;

fn texts() -> Vec<u8> {
    let row = item(1, 5, 0.5);
    [
        b"none",
        &[2][..],
        &1_u32.to_le_bytes(),
        &row,
        &1_u32.to_le_bytes(),
        &row,
        &16_u32.to_le_bytes(),
        &15_u32.to_le_bytes(),
        &[0xFF],
        &item(2, 6, 1.5),
        &[0, 1],
        &2_u32.to_le_bytes(),
        &item(1, 6, 1.5),
    ]
    .concat()
}

const ITEM_ID: i32 = 4_096;
const FEW_ID: i32 = 4_097;
const BY_ID: i32 = 4_096;
const BY_GROUP: i32 = 4_097;
const BY_HASH: i32 = 4_098;
const BY_WEIGHT: i32 = 4_099;
const FEW_BY_NUMBER: i32 = 4_100;

/// Tables with an index of each sort, and one whose numbers run out.
fn described(mut fixture: Fixture) -> Fixture {
    let mut module = RawModuleDefV9Builder::new();
    let columns = ProductType::from([("id", T::U32), ("group", T::U32), ("weight", T::F64)]);
    module
        .build_table_with_new_type("item", columns, false)
        .with_unique_constraint(0)
        .with_primary_key(0)
        .with_unique_constraint(2)
        .with_index_no_accessor_name(btree(0))
        .with_index_no_accessor_name(btree([1, 2]))
        .with_index_no_accessor_name(hash([1, 2]))
        .with_index_no_accessor_name(btree(2))
        .finish();
    let columns = ProductType::from([("number", T::I8), ("twice", T::U8)]);
    module
        .build_table_with_new_type("few", columns, false)
        .with_unique_constraint(0)
        .with_auto_inc_primary_key(0)
        .with_index_no_accessor_name(btree(0))
        .with_unique_constraint(1)
        .with_index_no_accessor_name(btree(1))
        .finish();
    for reducer in &fixture.reducers {
        module.add_reducer(reducer.name, ProductType::unit(), None);
    }
    fixture.description = Some(bsatn::to_vec(&RawModuleDef::V9(module.finish())).unwrap());
    fixture
}

/// How many bytes a pointer points to.
#[derive(Clone, Copy)]
enum Bytes {
    Fixed(i32),
    /// The parameter of that place says how many.
    Counted(usize),
}

/// An import with every number in its arguments wrong and every pointer good.
struct Wrong {
    import: &'static str,
    args: Vec<i32>,
    /// Which arguments are pointers.
    pointers: Vec<(usize, Bytes)>,
    /// What it answers in a call, and while the module is initialised.
    in_call: Answer,
    outside: Answer,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Status(i32),
    /// It ends the call, or initialising, with this text.
    Ends(&'static str),
    /// It has no status.
    Nothing,
}

use Answer::{Ends, Nothing, Status};
use Bytes::{Counted, Fixed};

fn wrong(
    import: &'static str,
    args: &[i32],
    pointers: &[(usize, Bytes)],
    in_call: Answer,
    outside: Answer,
) -> Wrong {
    Wrong {
        import,
        args: args.to_vec(),
        pointers: pointers.to_vec(),
        in_call,
        outside,
    }
}

/// Numbers that stand for nothing: no table, index, iterator, source, sink or timer.
const NO: i32 = 99;

fn all_wrong() -> Vec<Wrong> {
    let no_transaction = Status(2);
    let range = |import| {
        wrong(
            import,
            &[NO, NAME, 4, 70_000, NAME, 4, NAME, 4, OUT],
            &[
                (1, Counted(2)),
                (4, Counted(5)),
                (6, Counted(7)),
                (8, Fixed(4)),
            ],
            Status(5),
            no_transaction,
        )
    };
    let point = |import| {
        let pointers = [(1, Counted(2)), (3, Fixed(4))];
        wrong(
            import,
            &[NO, NAME, 4, OUT],
            &pointers,
            Status(5),
            no_transaction,
        )
    };
    let name = |import, status| {
        let pointers = [(0, Counted(1)), (2, Fixed(4))];
        wrong(import, &[NAME, 4, OUT], &pointers, status, no_transaction)
    };
    let to_table = |import, bytes| {
        let pointers = [(1, Fixed(bytes))];
        wrong(import, &[NO, OUT], &pointers, Status(4), no_transaction)
    };
    let buffer = |import, status| {
        let pointers = [(1, Fixed(16)), (2, Fixed(4))];
        wrong(import, &[NO, ROW, SIXTEEN], &pointers, status, status)
    };
    vec![
        name("table_id_from_name", Status(4)),
        name("index_id_from_name", Status(5)),
        to_table("datastore_table_row_count", 8),
        to_table("datastore_table_scan_bsatn", 4),
        to_table("datastore_clear", 8),
        range("datastore_index_scan_range_bsatn"),
        range("datastore_btree_scan_bsatn"),
        range("datastore_delete_by_index_scan_range_bsatn"),
        range("datastore_delete_by_btree_scan_bsatn"),
        point("datastore_index_scan_point_bsatn"),
        point("datastore_delete_by_index_scan_point_bsatn"),
        wrong(
            "datastore_delete_all_by_eq_bsatn",
            &[NO, NAME, 4, OUT],
            &[(1, Counted(2)), (3, Fixed(4))],
            Status(4),
            no_transaction,
        ),
        wrong(
            "datastore_insert_bsatn",
            &[NO, ROW, FIFTEEN],
            &[(1, Fixed(15)), (2, Fixed(4))],
            Status(4),
            no_transaction,
        ),
        wrong(
            "datastore_update_bsatn",
            &[NO, NO, ROW, FIFTEEN],
            &[(2, Fixed(15)), (3, Fixed(4))],
            Status(4),
            no_transaction,
        ),
        buffer("row_iter_bsatn_advance", Status(6)),
        wrong("row_iter_bsatn_close", &[NO], &[], Status(6), Status(6)),
        buffer("bytes_source_read", Status(8)),
        buffer("bytes_sink_write", Status(8)),
        wrong(
            "bytes_source_remaining_length",
            &[NO, OUT],
            &[(1, Fixed(4))],
            Status(8),
            Status(8),
        ),
        wrong(
            "console_log",
            // A null pointer says that there is no target, file or text.
            &[200, 0, 4, 0, 4, -1, 0, 4],
            &[],
            Nothing,
            Nothing,
        ),
        wrong(
            "console_timer_start",
            &[BAD_TEXT, 1],
            &[(0, Counted(1))],
            Status(1),
            Status(1),
        ),
        wrong("console_timer_end", &[NO], &[], Status(7), Status(7)),
        wrong(
            "identity",
            &[OUT],
            &[(0, Fixed(32))],
            Nothing,
            Ends("`identity` was asked for before any call"),
        ),
        wrong(
            "get_jwt",
            &[NAME, OUT],
            &[(0, Fixed(16)), (1, Fixed(4))],
            Status(0),
            no_transaction,
        ),
        wrong(
            "procedure_start_mut_tx",
            &[OUT],
            &[(0, Fixed(8))],
            Status(17),
            Ends("only a procedure can start a transaction"),
        ),
        wrong("procedure_commit_mut_tx", &[], &[], Status(18), Status(18)),
        wrong("procedure_abort_mut_tx", &[], &[], Status(18), Status(18)),
        wrong(
            "procedure_http_request",
            &[NAME, 4, NAME, 4, OUT],
            &[(0, Counted(1)), (2, Counted(3)), (4, Fixed(4))],
            Status(17),
            Ends("only a procedure can make an HTTP request"),
        ),
    ]
}

/// The call of an import; leaves its status, or zero if it has none.
pub(super) fn calling(import_name: &str, args: &[i32], has_status: bool) -> Vec<I<'static>> {
    let mut body = args.iter().map(|arg| I::I32Const(*arg)).collect::<Vec<_>>();
    body.push(I::Call(import(import_name)));
    if !has_status {
        body.push(I::I32Const(0));
    }
    body
}

/// A reducer that is content if the import answers with `expected`; if not, its own status is a
/// thousand more than the answer.
fn expecting(name: String, import_name: &str, args: &[i32], expected: Answer) -> Reducer {
    let mut body = calling(import_name, args, expected != Nothing);
    if let Status(expected) = expected {
        body.extend([
            I::LocalTee(LOCAL),
            I::I32Const(expected),
            I::I32Ne,
            I::If(BlockType::Empty),
            I::LocalGet(LOCAL),
            I::I32Const(1_000),
            I::I32Add,
            I::Return,
            I::End,
            I::I32Const(0),
        ]);
    }
    let mut reducer = reducer(name.leak(), body);
    reducer.locals = vec![(1, ValType::I32)];
    reducer
}

#[test]
fn every_import_is_asked() {
    let asked = all_wrong();
    let asked = asked.iter().map(|wrong| wrong.import).collect::<Vec<_>>();
    for offered in OFFERED {
        // Its argument is no pointer; it has a test of its own below.
        let alone = offered.name == "procedure_sleep_until";
        assert!(alone || asked.contains(&offered.name), "{}", offered.name);
    }
}

#[test]
fn bad_pointers_end_the_call_whatever_else_is_wrong() {
    let memory = i64::from(Limits::default().memory_bytes_max);
    let mut reducers = Vec::new();
    let mut expected = Vec::new();
    let mut check = |import: &str, args: Vec<i32>, why: String| {
        let name = format!("r{}", expected.len());
        let plain = ["identity", "console_log"].contains(&import);
        reducers.push(reducer(name.leak(), calling(import, &args, !plain)));
        expected.push((format!("{import}{args:?}"), why));
    };
    let far =
        |bytes: i32, at: i64| format!("an import was handed {bytes} bytes at {at}: out of memory");
    for wrong in all_wrong() {
        for (place, bytes) in &wrong.pointers {
            let bytes = match bytes {
                Fixed(bytes) => *bytes,
                Counted(count) => wrong.args[*count],
            };
            let with = |pointer: i64| {
                let mut args = wrong.args.clone();
                args[*place] = pointer as i32;
                args
            };
            let null = "a null pointer was handed to an import".to_owned();
            check(wrong.import, with(0), null);
            let last = memory - i64::from(bytes) + 1;
            check(wrong.import, with(last), far(bytes, last));
            check(wrong.import, with(0xFFFF_FFFF), far(bytes, 0xFFFF_FFFF));
        }
    }
    // A null pointer is an absent text; any other is checked.
    for place in [1, 3, 6] {
        let mut args = vec![2, 0, 4, 0, 4, 1, 0, 4];
        args[place] = -3;
        check("console_log", args, far(4, 0xFFFF_FFFD));
    }
    let mut bench = Bench::new(
        described(Fixture::new(reducers).texts(&texts()))
            .prepare()
            .unwrap(),
    );
    for (number, (what, why)) in expected.into_iter().enumerate() {
        let outcome = bench.outcome(&format!("r{number}"));
        assert_eq!(outcome, Outcome::Trapped(why), "{what}");
    }
}

#[test]
fn an_empty_prefix_may_have_any_pointer() {
    let args = |pointer| [BY_GROUP, pointer, 4, 0, UNBOUNDED, 1, UNBOUNDED, 1, OUT];
    let mut cases = Vec::new();
    for import in [
        "datastore_index_scan_range_bsatn",
        "datastore_btree_scan_bsatn",
        "datastore_delete_by_index_scan_range_bsatn",
        "datastore_delete_by_btree_scan_bsatn",
    ] {
        cases.extend([
            (import, args(0).to_vec(), 0),
            (import, args(-1).to_vec(), 0),
        ]);
    }
    answers(&cases, &[]);
}

/// Each import answers as said, on a database with these rows of `item`.
fn answers(cases: &[(&'static str, Vec<i32>, i32)], rows: &[Vec<u8>]) {
    let reducers = cases
        .iter()
        .enumerate()
        .map(|(number, (import, args, expected))| {
            expecting(format!("r{number}"), import, args, Status(*expected))
        });
    let fixture = Fixture::new(reducers.collect()).texts(&texts());
    let module = described(fixture).prepare().unwrap();
    for (number, case) in cases.iter().enumerate() {
        // Each on rows of its own: some of them delete.
        let mut bench = Bench::new(module.clone());
        bench.insert(TableId(ITEM_ID as u32), rows);
        // All numbers of the narrow column are taken.
        let few = (1_u8..=127).map(|number| vec![number, number]);
        bench.insert(TableId(FEW_ID as u32), &few.collect::<Vec<_>>());
        let outcome = bench.outcome(&format!("r{number}"));
        assert_eq!(outcome, Outcome::Ok, "{case:?}; the answer is 1000 less");
    }
}

#[test]
fn numbers_that_stand_for_nothing_are_errors() {
    let reducers = all_wrong().into_iter().map(|wrong| {
        expecting(
            wrong.import.to_owned(),
            wrong.import,
            &wrong.args,
            wrong.in_call,
        )
    });
    let fixture = Fixture::new(reducers.collect()).texts(&texts());
    let mut bench = Bench::new(described(fixture).prepare().unwrap());
    for wrong in all_wrong() {
        let outcome = bench.outcome(wrong.import);
        assert_eq!(
            outcome,
            Outcome::Ok,
            "{}; the answer is 1000 less",
            wrong.import
        );
    }
}

#[test]
fn outside_of_a_transaction_there_are_no_rows() {
    for wrong in all_wrong() {
        let mut body = calling(
            wrong.import,
            &wrong.args,
            wrong.outside != Nothing && wrong.import != "identity",
        );
        let expected = match wrong.outside {
            Status(expected) => expected,
            _ => 0,
        };
        body.extend([
            I::I32Const(expected),
            I::I32Ne,
            I::If(BlockType::Empty),
            I::Unreachable,
            I::End,
        ]);
        let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
        fixture.texts = texts();
        fixture.initialisers = vec![("__preinit__10", body)];
        match (wrong.outside, fixture.prepare()) {
            (Ends(expected), Err(PrepareError::Initialise { why, .. })) => {
                assert_eq!(why, expected, "{}", wrong.import);
            }
            (Status(_) | Nothing, Ok(_)) => {}
            (_, Ok(_)) => panic!("{}: it went well", wrong.import),
            (_, Err(error)) => panic!("{}: {error}", wrong.import),
        }
    }
}

#[test]
fn only_procedures_sleep() {
    let sleep = || vec![I::I64Const(5), I::Call(import("procedure_sleep_until"))];
    let mut body = sleep();
    body.push(I::I32WrapI64);
    let mut fixture = Fixture::new(vec![reducer("sleep", body)]);
    let why = "only a procedure can sleep";
    assert_eq!(
        fixture.bench().outcome("sleep"),
        Outcome::Trapped(why.into())
    );
    let mut body = sleep();
    body.push(I::Drop);
    fixture.initialisers = vec![("__preinit__10", body)];
    match fixture.prepare() {
        Err(PrepareError::Initialise { why: told, .. }) => assert_eq!(told, why),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it slept"),
    }
}

#[test]
fn a_name_is_text() {
    let reducers = ["table_id_from_name", "index_id_from_name"]
        .map(|import| reducer(import, calling(import, &[BAD_TEXT, 1, OUT], true)));
    let mut bench = Fixture::new(reducers.into()).texts(&texts()).bench();
    for import in ["table_id_from_name", "index_id_from_name"] {
        assert_eq!(
            bench.outcome(import),
            Outcome::Trapped("a name is not UTF-8".into())
        );
    }
}

#[test]
fn a_name_longer_than_any_is_unknown() {
    let args = |len| vec![SCRATCH, len, OUT];
    answers(
        &[
            ("table_id_from_name", args(5_000), 4),
            ("index_id_from_name", args(5_000), 5),
            ("table_id_from_name", args(0), 4),
        ],
        &[],
    );
}

#[test]
fn the_index_is_looked_at_before_the_range() {
    // An index, a prefix of so many columns, and where both bounds are.
    let range = |index, (prefix, len, columns), (bound, bound_len)| {
        vec![
            index, prefix, len, columns, bound, bound_len, UNBOUNDED, 1, OUT,
        ]
    };
    let end = |index, (bound, len)| vec![index, 0, 0, 0, UNBOUNDED, 1, bound, len, OUT];
    let none = (0, 0, 0);
    let group = (ONE, 4, 1);
    let (all, bad, short) = ((UNBOUNDED, 1), (NAME, 4), (SIXTEEN + 1, 2));
    let mut cases = Vec::new();
    for import in [
        "datastore_index_scan_range_bsatn",
        "datastore_btree_scan_bsatn",
        "datastore_delete_by_index_scan_range_bsatn",
        "datastore_delete_by_btree_scan_bsatn",
    ] {
        cases.extend([
            (import, range(NO, group, bad), 5),
            // Below the module's own numbers lie ours.
            (import, range(1, none, all), 5),
            (import, range(BY_HASH, none, bad), 10),
            (import, range(BY_HASH, none, all), 10),
            (import, range(BY_HASH, group, all), 10),
            (import, range(BY_HASH, (ONE, 4, 70_000), all), 10),
            (import, range(BY_GROUP, none, all), 0),
            (import, range(BY_GROUP, group, all), 0),
            (import, range(BY_GROUP, none, bad), 3),
            (import, range(BY_GROUP, none, short), 3),
            (import, range(BY_GROUP, none, (UNBOUNDED, 2)), 3),
            (import, end(BY_GROUP, bad), 3),
            (import, end(BY_GROUP, (UNBOUNDED, 0)), 3),
            // A prefix too short, too long, of all columns, of more than there are.
            (import, range(BY_GROUP, (ONE, 3, 1), all), 3),
            (import, range(BY_GROUP, (ONE, 5, 1), all), 3),
            (import, range(BY_GROUP, (ROW + 4, 12, 2), all), 3),
            (import, range(BY_GROUP, (ROW, 16, 3), all), 3),
            (import, range(BY_GROUP, (ONE, 4, 70_000), all), 3),
        ]);
    }
    for import in [
        "datastore_index_scan_point_bsatn",
        "datastore_delete_by_index_scan_point_bsatn",
    ] {
        let point = |index, at, len| vec![index, at, len, OUT];
        cases.extend([
            (import, point(NO, NAME, 4), 5),
            (import, point(1, ONE, 4), 5),
            // Every index answers points.
            (import, point(BY_HASH, ROW + 4, 12), 0),
            (import, point(BY_GROUP, ROW + 4, 12), 0),
            (import, point(BY_ID, ONE, 4), 0),
            (import, point(BY_HASH, ROW + 4, 11), 3),
            (import, point(BY_GROUP, ROW + 4, 4), 3),
            (import, point(BY_ID, ONE, 5), 3),
            (import, point(BY_ID, ONE, 0), 3),
        ]);
    }
    answers(&cases, &[item(1, 5, 0.5)]);
}

#[test]
fn what_wins_when_a_row_is_written() {
    let insert = |table, row, len| vec![table, row, len];
    let update = |table, index, row, len| vec![table, index, row, len];
    let (insert_row, update_row) = ("datastore_insert_bsatn", "datastore_update_bsatn");
    let cases = [
        (insert_row, insert(NO, ROW, FIFTEEN), 4),
        (insert_row, insert(1, ROW, SIXTEEN), 4),
        (insert_row, insert(ITEM_ID, ROW, FIFTEEN), 3),
        (insert_row, insert(ITEM_ID, ROW, TWO), 3),
        // The same row is there; the key is taken; another unique column is.
        (insert_row, insert(ITEM_ID, ROW, SIXTEEN), 0),
        (insert_row, insert(ITEM_ID, CLASH_ROW, SIXTEEN), 12),
        (insert_row, insert(ITEM_ID, OTHER_ROW, SIXTEEN), 12),
        // No number is left, and the other column is taken too.
        (insert_row, insert(FEW_ID, FEW_ROW, TWO), 16),
        (update_row, update(NO, NO, ROW, FIFTEEN), 4),
        (update_row, update(ITEM_ID, NO, ROW, FIFTEEN), 5),
        // An index of another table.
        (update_row, update(ITEM_ID, FEW_BY_NUMBER, ROW, FIFTEEN), 5),
        (update_row, update(ITEM_ID, BY_GROUP, ROW, FIFTEEN), 14),
        (update_row, update(ITEM_ID, BY_HASH, ROW, SIXTEEN), 14),
        (update_row, update(ITEM_ID, BY_ID, ROW, FIFTEEN), 3),
        // No such row, and what is unique in it is taken.
        (update_row, update(ITEM_ID, BY_ID, OTHER_ROW, SIXTEEN), 15),
        (update_row, update(ITEM_ID, BY_ID, CLASH_ROW, SIXTEEN), 12),
        // Found by another unique column, it would take another row's key.
        (
            update_row,
            update(ITEM_ID, BY_WEIGHT, CLASH_ROW, SIXTEEN),
            12,
        ),
        (update_row, update(ITEM_ID, BY_ID, ROW, SIXTEEN), 0),
        (update_row, update(FEW_ID, FEW_BY_NUMBER, FEW_ROW, TWO), 16),
        (
            "datastore_delete_all_by_eq_bsatn",
            vec![NO, NAME, 4, OUT],
            4,
        ),
        (
            "datastore_delete_all_by_eq_bsatn",
            vec![ITEM_ID, NAME, 4, OUT],
            3,
        ),
        (
            "datastore_delete_all_by_eq_bsatn",
            vec![ITEM_ID, RELATION, 19, OUT],
            3,
        ),
        (
            "datastore_delete_all_by_eq_bsatn",
            vec![ITEM_ID, RELATION, 21, OUT],
            3,
        ),
        (
            "datastore_delete_all_by_eq_bsatn",
            vec![ITEM_ID, RELATION, 20, OUT],
            0,
        ),
        ("datastore_clear", vec![NO, OUT], 4),
        ("datastore_clear", vec![1, OUT], 4),
    ];
    answers(&cases, &[item(1, 5, 0.5), item(3, 6, 1.5)]);
}

#[test]
fn a_sink_is_there_for_whom_it_was_given_to() {
    // In a call the number of the sink is 1, whatever the module makes of it.
    answers(
        &[
            ("bytes_sink_write", vec![1, ROW, SIXTEEN], 0),
            ("bytes_sink_write", vec![0, ROW, SIXTEEN], 8),
            ("bytes_sink_write", vec![2, ROW, SIXTEEN], 8),
        ],
        &[],
    );
    // Before a module is asked to describe itself, nobody listens.
    let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
    fixture.texts = texts();
    let mut body = calling("bytes_sink_write", &[1, ROW, SIXTEEN], true);
    body.extend([
        I::I32Const(8),
        I::I32Ne,
        I::If(BlockType::Empty),
        I::Unreachable,
        I::End,
    ]);
    fixture.initialisers = vec![("_initialize", body)];
    fixture.prepare().unwrap();
}
