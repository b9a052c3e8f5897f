//! What a transaction refuses, and its bounds.

use spacetimedb_sats::AlgebraicType;

use super::{
    ACCOUNT, ACCOUNT_ID, ACCOUNT_NAME, ACCOUNT_TEAM, ALARM, DATABASE, MESSAGE_ID, NOTE, account,
    begin, call, column, index, note, open, position, rows_of, schema, table, tables, text,
};
use crate::limits::{COLUMNS_MAX, ID_MAX, ROW_BYTES_MAX, TYPE_DEPTH_MAX};
use crate::{
    DataError, Disk, IndexId, MemoryDisk, Range, Schema, SchemaError, State, StateOptions, TableId,
};

#[test]
fn the_same_row_again_is_no_change() {
    let (state, changes) = call(open(&MemoryDisk::new()), 1, |call| {
        for _ in 0..2 {
            call.insert(ACCOUNT, &account(1, "a", 0, 0))
                .expect("the second time changes nothing");
            call.insert(NOTE, &note(1, "a"))
                .expect("the second time changes nothing");
        }
    });
    assert_eq!(changes.len(), 2);
    let (state, changes) = call(state, 2, |call| {
        call.insert(ACCOUNT, &account(1, "a", 0, 0))
            .expect("it is there");
        call.update(ACCOUNT, ACCOUNT_ID, &account(1, "a", 0, 0))
            .expect("it is there");
        let relation = [&1_u32.to_le_bytes()[..], &note(1, "a")].concat();
        assert_eq!(
            call.delete_all_by_eq(NOTE, &relation).expect("it is there"),
            1
        );
        call.insert(NOTE, &note(1, "a")).expect("it fits");
        assert_eq!(call.clear(ACCOUNT).expect("small"), 1);
        call.insert(ACCOUNT, &account(1, "a", 0, 0))
            .expect("it fits");
    });
    assert_eq!(changes, [], "deleted and inserted again is nothing");
    assert_eq!(
        state.overlay_len(),
        2 + 2 + 1,
        "rows and entries of the first call alone"
    );
}

#[test]
fn an_update_moves_the_entries() {
    let (state, _) = call(open(&MemoryDisk::new()), 1, |call| {
        call.insert(ACCOUNT, &account(1, "a", 0, 5))
            .expect("it fits");
        call.insert(ACCOUNT, &account(2, "b", 0, 6))
            .expect("it fits");
    });
    let (state, changes) = call(state, 2, |call| {
        call.update(ACCOUNT, ACCOUNT_NAME, &account(3, "a", 1, 5))
            .expect("it fits");
        let taken = call.update(ACCOUNT, ACCOUNT_ID, &account(2, "a", 0, 6));
        assert!(
            matches!(taken, Err(DataError::UniqueAlreadyExists { index }) if index == "account_name")
        );
        let taken = call.update(ACCOUNT, ACCOUNT_NAME, &account(3, "b", 0, 6));
        assert!(
            matches!(taken, Err(DataError::UniqueAlreadyExists { index }) if index == "account")
        );
    });
    let shown: Vec<_> = changes
        .iter()
        .map(|change| (change.old.is_some(), change.new.is_some()))
        .collect();
    assert_eq!(
        shown,
        [(true, false), (false, true)],
        "the row has another key now"
    );
    let point = text("a");
    let found = state
        .scan_index(ACCOUNT_NAME, &Range::point(&point))
        .expect("known");
    let found: Vec<_> = found.map(|row| row.expect("readable").to_vec()).collect();
    assert_eq!(found, [account(3, "a", 1, 5)]);
    assert_eq!(rows_of(&state, ACCOUNT).len(), 2);
}

#[test]
fn rows_without_a_primary_key_are_updated_by_a_unique_index() {
    const PAIR: TableId = TableId(4_096);
    const FIRST: IndexId = IndexId(4_096);
    let columns = vec![
        column("a", AlgebraicType::U8),
        column("b", AlgebraicType::U8),
    ];
    let mut pair = table(PAIR, "pair", columns);
    pair.indexes = vec![
        index(FIRST, "pair_a", &[0], true),
        index(IndexId(4_097), "pair_b", &[1], false),
    ];
    let schema = Schema::new(vec![pair]).expect("it fits");
    let base = MemoryDisk::new().base(&DATABASE).expect("memory");
    let state = State::open(base, schema, StateOptions::default()).expect("it opens");
    let (mut state, changes) = call(state, 1, |call| {
        call.insert(PAIR, &[1, 2]).expect("it fits");
        call.update(PAIR, FIRST, &[1, 3]).expect("it is there");
        call.update(PAIR, FIRST, &[1, 4]).expect("it is there");
        let taken = call.insert(PAIR, &[1, 2]);
        assert!(
            matches!(taken, Err(DataError::UniqueAlreadyExists { index }) if index == "pair_a")
        );
    });
    assert_eq!(changes.len(), 1, "only what is left counts");
    for n in 0..2 {
        let point = state.scan_index(FIRST, &Range::point(&[1])).expect("known");
        let rows: Vec<_> = point.map(|row| row.expect("readable").to_vec()).collect();
        assert_eq!(rows, [[1, 4]]);
        let gone = state
            .scan_index(IndexId(4_097), &Range::point(&[3]))
            .expect("known");
        assert_eq!(gone.count(), 0);
        if n == 0 {
            super::settle(&mut state, 1, 0);
        }
    }
}

#[test]
fn what_does_not_exist_or_fit_is_refused() {
    let mut transaction = begin(open(&MemoryDisk::new()), 1);
    let nowhere = TableId(1);
    assert!(matches!(
        transaction.insert(nowhere, &[]),
        Err(DataError::NoSuchTable(_))
    ));
    assert!(matches!(
        transaction.scan(nowhere),
        Err(DataError::NoSuchTable(_))
    ));
    assert!(matches!(
        transaction.row_count(nowhere),
        Err(DataError::NoSuchTable(_))
    ));
    assert!(matches!(
        transaction.clear(nowhere),
        Err(DataError::NoSuchTable(_))
    ));
    let row = account(1, "a", 0, 0);
    let refused = transaction.update(ACCOUNT, IndexId(1), &row);
    assert!(matches!(refused, Err(DataError::NoSuchIndex(_))));
    let refused = transaction.update(ACCOUNT, MESSAGE_ID, &row);
    assert!(
        matches!(refused, Err(DataError::NoSuchIndex(_))),
        "an index of another table"
    );
    let refused = transaction.update(ACCOUNT, ACCOUNT_TEAM, &row);
    assert!(matches!(refused, Err(DataError::IndexNotUnique(_))));
    let refused = transaction.update(ACCOUNT, ACCOUNT_ID, &row);
    assert!(matches!(refused, Err(DataError::NoSuchRow)));
    for bad in [&row[..row.len() - 1], &[row.clone(), vec![0]].concat(), &[]] {
        assert!(matches!(
            transaction.insert(ACCOUNT, bad),
            Err(DataError::Decode(_))
        ));
        let refused = transaction.update(ACCOUNT, ACCOUNT_ID, bad);
        assert!(matches!(refused, Err(DataError::Decode(_))));
    }
    transaction.insert(ACCOUNT, &row).expect("it fits");
    // The first row of the list fits and exists, the second is cut short: nothing goes.
    let relation = [&2_u32.to_le_bytes()[..], &row, &row[..3]].concat();
    let refused = transaction.delete_all_by_eq(ACCOUNT, &relation);
    assert!(matches!(refused, Err(DataError::Decode(_))));
    let endless = u32::MAX.to_le_bytes();
    assert!(matches!(
        transaction.delete_all_by_eq(ACCOUNT, &endless),
        Err(DataError::Decode(_))
    ));
    assert_eq!(transaction.row_count(ACCOUNT).expect("known"), 1);
}

#[test]
fn rows_and_scans_are_bounded() {
    let mut transaction = begin(open(&MemoryDisk::new()), 1);
    let words = "x".repeat(ROW_BYTES_MAX - 5);
    transaction
        .insert(NOTE, &note(0, &words))
        .expect("as large as a row may be");
    let refused = transaction.insert(NOTE, &note(0, &(words.clone() + "x")));
    assert!(matches!(refused, Err(DataError::RowTooLarge { bytes }) if bytes == ROW_BYTES_MAX + 1));
    for author in 1..63 {
        transaction
            .insert(NOTE, &note(author, &words))
            .expect("it fits");
    }
    assert_eq!(
        transaction.scan(NOTE).expect("just below the bound").len(),
        63
    );
    transaction
        .insert(NOTE, &note(63, &words))
        .expect("it fits");
    assert!(matches!(
        transaction.scan(NOTE),
        Err(DataError::ScanTooLarge)
    ));
    assert!(matches!(
        transaction.clear(NOTE),
        Err(DataError::ScanTooLarge)
    ));
    let mut written = 64;
    let refused = loop {
        match transaction.insert(NOTE, &note(written, &words)) {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
    };
    assert!(
        matches!(refused, DataError::TransactionTooLarge),
        "{refused}"
    );
    let state = transaction.abort();
    assert_eq!(state.row_count(NOTE).expect("known"), 0);
}

#[test]
fn rows_without_bytes() {
    const MARK: TableId = TableId(4_096);
    let mark = table(MARK, "mark", vec![column("unit", AlgebraicType::unit())]);
    let schema = Schema::new(vec![mark]).expect("it fits");
    let base = MemoryDisk::new().base(&DATABASE).expect("memory");
    let state = State::open(base, schema, StateOptions::default()).expect("it opens");
    let (state, changes) = call(state, 1, |call| {
        call.insert(MARK, &[]).expect("it fits");
        call.insert(MARK, &[]).expect("it is there");
        assert_eq!(call.scan(MARK).expect("small").len(), 1);
    });
    assert_eq!(changes.len(), 1);
    let (state, _) = call(state, 2, |call| {
        let endless = u32::MAX.to_le_bytes();
        assert_eq!(
            call.delete_all_by_eq(MARK, &endless)
                .expect("they are all the same"),
            1
        );
    });
    assert_eq!(state.row_count(MARK).expect("known"), 0);
}

#[test]
fn events_are_seen_in_their_call_and_never_kept() {
    let (mut state, changes) = call(open(&MemoryDisk::new()), 1, |call| {
        call.insert(ALARM, &[3]).expect("it fits");
        assert_eq!(call.scan(ALARM).expect("small").len(), 1);
        assert_eq!(call.row_count(ALARM).expect("known"), 1);
    });
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].new.as_deref(), Some(&[3][..]));
    assert_eq!(state.overlay_len(), 0);
    assert_eq!(state.row_count(ALARM).expect("known"), 0);
    state.rewind(&position(1)).expect("memory does not fail");
    assert_eq!(rows_of(&state, ALARM), []);
}

#[test]
#[should_panic(expected = "rewind")]
fn calls_run_in_order() {
    let (state, _) = call(open(&MemoryDisk::new()), 2, |call| {
        call.insert(NOTE, &note(1, "a")).expect("it fits");
    });
    let _ = begin(state, 2);
}

#[test]
fn everything_may_move_to_another_thread() {
    fn may_move<T: Send>() {}
    may_move::<State>();
    may_move::<crate::Transaction>();
    may_move::<crate::Log>();
    may_move::<crate::DirDisk>();
    may_move::<MemoryDisk>();
}

#[test]
fn names_are_found_canonical_first() {
    let mut tables = tables();
    // One table's source name is another's canonical name.
    tables[0].source_name = "note".to_owned();
    let schema = Schema::new(tables).expect("it fits");
    let id = |name| schema.table_by_name(name).map(|table| table.id);
    assert_eq!(id("account"), Some(ACCOUNT));
    assert_eq!(id("note"), Some(NOTE));
    assert_eq!(id("source_note"), Some(NOTE));
    assert_eq!(id("nothing"), None);
    let index = |name| schema.index_by_name(name).map(|(_, index)| index.id);
    assert_eq!(index("account_id"), Some(ACCOUNT_ID));
    assert_eq!(index("source_account_id"), Some(ACCOUNT_ID));
    assert_eq!(
        schema.index(ACCOUNT_NAME).map(|(table, _)| table.id),
        Some(ACCOUNT)
    );
}

#[test]
fn schemas_that_do_not_fit_are_refused() {
    use AlgebraicType as Type;
    let check = |change: &dyn Fn(&mut Vec<crate::TableSchema>), expected: &str| {
        let mut tables = tables();
        change(&mut tables);
        let error: SchemaError = Schema::new(tables).expect_err("it must not fit");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&|t| t[1].id = ACCOUNT, "two tables have the number 4096");
    check(
        &|t| t[1].name = "account".to_owned(),
        "two tables are called account",
    );
    check(
        &|t| t[1].indexes[0].id = ACCOUNT_ID,
        "two indexes have the number 4096",
    );
    check(
        &|t| t[1].indexes[0].name = "account_id".to_owned(),
        "two indexes are called account_id",
    );
    check(&|t| t[0].id = TableId(ID_MAX), "out of range");
    check(&|t| t[0].indexes[0].id = IndexId(ID_MAX), "out of range");
    check(
        &|t| t[0].primary_key = Some(4),
        "the primary key of table account names column 4",
    );
    check(
        &|t| t[0].auto_inc = vec![9],
        "auto_inc of table account names column 9",
    );
    check(
        &|t| t[0].auto_inc = vec![0, 0],
        "auto_inc of table account names column 0",
    );
    check(&|t| t[0].auto_inc = vec![1], "not an integer");
    check(&|t| t[0].indexes[2].columns = vec![2, 2], "names column 2");
    check(&|t| t[0].indexes[2].columns = vec![], "has no columns");
    let reference = Type::array(Type::Ref(spacetimedb_sats::AlgebraicTypeRef(0)));
    check(&|t| t[1].columns[0].ty = reference.clone(), "unresolved");
    let deep = (0..=TYPE_DEPTH_MAX).fold(Type::U8, |ty, _| Type::option(ty));
    check(&|t| t[1].columns[0].ty = deep.clone(), "nested too deeply");
    let many = vec![column("c", Type::U8); COLUMNS_MAX + 1];
    check(
        &|t| t[1].columns.clone_from(&many),
        "columns of table note: 1025 is more than 1024",
    );
    assert_eq!(schema().tables().len(), 5);
    let _ = index(IndexId(1), "unused", &[0], true);
}
