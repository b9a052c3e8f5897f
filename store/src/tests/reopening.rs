//! What a reopened base keeps, and what it refuses.

use spacetimedb_sats::AlgebraicType;

use super::{
    ACCOUNT, ACCOUNT_TEAM, DATABASE, MEMBER, NOTE, NOTE_AUTHOR, account, call, column, index, note,
    open, rows_of, settle, tables,
};
use crate::{
    Disk, IndexId, MemoryDisk, Range, Schema, State, StateOptions, StoreError, TableId, TableSchema,
};

/// Two accounts and a note at height 0.
fn settled() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut state, _) = call(open(&disk), 1, |call| {
        call.insert(ACCOUNT, &account(1, "a", 0, 5))
            .expect("it fits");
        call.insert(ACCOUNT, &account(2, "b", 0, 5))
            .expect("it fits");
        call.insert(NOTE, &note(1, "x")).expect("it fits");
    });
    settle(&mut state, 1, 0);
    disk
}

fn reopen(disk: &MemoryDisk, tables: Vec<TableSchema>) -> Result<State, StoreError> {
    let base = disk.base(&DATABASE).expect("memory does not fail");
    State::open(
        base,
        Schema::new(tables).expect("it fits"),
        StateOptions::default(),
    )
}

fn count(state: &State, index: IndexId) -> usize {
    state
        .scan_index(index, &Range::EVERYTHING)
        .expect("known")
        .count()
}

#[test]
fn a_new_index_is_built_and_a_dropped_one_goes() {
    const SCORE: IndexId = IndexId(6_000);
    let disk = settled();
    let root = open(&disk).root().expect("readable");
    let mut changed = tables();
    changed[0].indexes.remove(2);
    changed[0]
        .indexes
        .push(index(SCORE, "account_score", &[3], false));
    let state = reopen(&disk, changed).expect("it can be indexed");
    assert_eq!(count(&state, SCORE), 2);
    assert_eq!(
        state.root().expect("readable"),
        root,
        "entries are no part of the root"
    );
    drop(state);
    let state = reopen(&disk, tables()).expect("it can be indexed");
    assert_eq!(count(&state, ACCOUNT_TEAM), 2);
    let (mut state, _) = call(state, 2, |call| {
        assert_eq!(call.clear(ACCOUNT).expect("small"), 2);
    });
    settle(&mut state, 2, 1);
    assert_eq!(count(&state, ACCOUNT_TEAM), 0);
}

#[test]
fn an_index_that_becomes_another_is_built_again() {
    let disk = settled();
    let mut changed = tables();
    changed[0].indexes[2].columns = vec![3];
    let state = reopen(&disk, changed).expect("it can be indexed");
    let score = 5_i64.to_le_bytes();
    let rows = state
        .scan_index(ACCOUNT_TEAM, &Range::point(&score))
        .expect("known");
    assert_eq!(rows.count(), 2);
}

#[test]
fn a_unique_index_must_hold() {
    let disk = settled();
    let mut changed = tables();
    changed[0].indexes[2].unique = true;
    let refused = reopen(&disk, changed);
    assert!(matches!(
        refused,
        Err(StoreError::NotUnique {
            id: ACCOUNT_TEAM,
            ..
        })
    ));
    assert_eq!(count(&open(&disk), ACCOUNT_TEAM), 2, "nothing was changed");
}

#[test]
fn other_columns_are_refused() {
    let disk = settled();
    let changes: [&dyn Fn(&mut TableSchema); 4] = [
        &|table| table.columns[1].ty = AlgebraicType::bytes(),
        &|table| table.columns.push(column("more", AlgebraicType::U8)),
        &|table| table.primary_key = Some(0),
        &|table| table.event = true,
    ];
    for change in changes {
        let mut changed = tables();
        change(&mut changed[1]);
        let refused = reopen(&disk, changed);
        assert!(matches!(
            refused,
            Err(StoreError::TableChanged { id: NOTE, .. })
        ));
    }
    let mut renamed = tables();
    renamed[1].name = "remark".to_owned();
    renamed[1].columns[0].name = "writer".to_owned();
    let state = reopen(&disk, renamed).expect("names are not stored");
    assert_eq!(rows_of(&state, NOTE).len(), 1);
}

#[test]
fn tables_come_and_empty_ones_go() {
    let disk = settled();
    let mut fewer = tables();
    fewer.retain(|table| table.id != MEMBER);
    drop(reopen(&disk, fewer).expect("the table was empty"));
    let state = reopen(&disk, tables()).expect("the table is new");
    assert_eq!(state.row_count(MEMBER).expect("known"), 0);
    assert_eq!(state.row_count(ACCOUNT).expect("known"), 2);
    drop(state);
    let mut fewer = tables();
    fewer.retain(|table| table.id != NOTE);
    let refused = reopen(&disk, fewer);
    assert!(matches!(
        refused,
        Err(StoreError::TableChanged { id: NOTE, .. })
    ));
}

#[test]
fn the_order_of_tables_does_not_matter() {
    let disk = settled();
    let root = open(&disk).root().expect("readable");
    let mut turned = tables();
    turned.reverse();
    let state = reopen(&disk, turned).expect("the same tables");
    assert_eq!(state.row_count(ACCOUNT).expect("known"), 2);
    assert_eq!(state.row_count(NOTE).expect("known"), 1);
    assert_eq!(state.root().expect("readable"), root);
    assert_eq!(count(&state, NOTE_AUTHOR), 1);
    assert_eq!(state.height(), Some(0));
    assert!(state.schema().table(TableId(1)).is_none());
}
