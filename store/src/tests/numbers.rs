//! Numbers of `auto_inc` columns: by time, by sequence, around taken ones, and none left.

use spacetimedb_sats::AlgebraicType;
use sync_protocol::{Hlc, Position};

use super::{DATABASE, begin, column, index, position, settle, table};
use crate::{
    CallContext, DataError, Disk, IndexId, MemoryDisk, Schema, State, StateOptions, TableId,
};

const THING: TableId = TableId(4_096);
const THING_ID: IndexId = IndexId(4_096);

fn open(disk: &MemoryDisk, ty: AlgebraicType, sequential_auto_inc: bool) -> State {
    let mut thing = table(
        THING,
        "thing",
        vec![column("id", ty), column("n", AlgebraicType::U8)],
    );
    thing.primary_key = Some(0);
    thing.auto_inc = vec![0];
    thing.indexes = vec![index(THING_ID, "thing_id", &[0], true)];
    let schema = Schema::new(vec![thing]).expect("it fits");
    let options = StateOptions {
        sequential_auto_inc,
        ..StateOptions::default()
    };
    State::open(disk.base(&DATABASE).expect("memory"), schema, options).expect("it opens")
}

/// µs from 2024 to the time of the `n`-th call.
fn since_2024(n: u64) -> u128 {
    u128::from(position(n).hlc.0 - 1_704_067_200_000_000)
}

fn little_endian(width: usize, number: u128) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(width.max(16), 0);
    bytes.truncate(width);
    bytes
}

fn row(width: usize, id: u128, n: u8) -> Vec<u8> {
    [little_endian(width, id), vec![n]].concat()
}

#[test]
fn wide_columns_are_numbered_by_time() {
    use AlgebraicType as Type;
    for (ty, width) in [
        (Type::U64, 8),
        (Type::I64, 8),
        (Type::U128, 16),
        (Type::I128, 16),
        (Type::U256, 32),
        (Type::I256, 32),
    ] {
        let mut transaction = begin(open(&MemoryDisk::new(), ty, false), 1);
        for n in 0..3 {
            let given = transaction
                .insert(THING, &row(width, 0, 7))
                .expect("it fits");
            assert_eq!(given, little_endian(width, since_2024(1) * 4_096 + n));
        }
        // A row that brings its own number gets none.
        assert_eq!(
            transaction
                .insert(THING, &row(width, 5, 7))
                .expect("it fits"),
            []
        );
    }
}

#[test]
fn taken_numbers_are_skipped_and_the_count_only_grows() {
    let mut transaction = begin(open(&MemoryDisk::new(), AlgebraicType::U64, false), 1);
    let first = since_2024(1) * 4_096;
    for n in [0, 1, 3] {
        transaction
            .insert(THING, &row(8, first + n, 0))
            .expect("it fits");
    }
    let mut draw = || transaction.insert(THING, &row(8, 0, 7)).expect("it fits");
    assert_eq!(draw(), little_endian(8, first + 2));
    assert_eq!(draw(), little_endian(8, first + 4));
    let rows = [&1_u32.to_le_bytes()[..], &row(8, first + 4, 7)].concat();
    assert_eq!(
        transaction.delete_all_by_eq(THING, &rows).expect("it fits"),
        1
    );
    let next = transaction.insert(THING, &row(8, 0, 7)).expect("it fits");
    assert_eq!(
        next,
        little_endian(8, first + 5),
        "a number is not given out twice in a call"
    );
}

#[test]
fn the_same_time_again_does_not_collide() {
    let mut state = open(&MemoryDisk::new(), AlgebraicType::U64, false);
    for n in 1..=3 {
        let context = CallContext {
            position: position(n),
            time: Hlc(0),
        };
        let mut transaction = state.begin(context);
        let given = transaction.insert(THING, &row(8, 0, 7)).expect("it fits");
        assert_eq!(
            given,
            little_endian(8, u128::from(n)),
            "zero is never given out"
        );
        state = transaction.commit().0;
    }
}

#[test]
fn narrow_columns_count_in_the_one_order() {
    let disk = MemoryDisk::new();
    let mut state = open(&disk, AlgebraicType::U32, false);
    let draw = |state: State, n: u64, keep: bool| {
        let mut transaction = begin(state, n);
        let given = transaction.insert(THING, &row(4, 0, 7)).expect("it fits");
        let number = u32::from_le_bytes(given.try_into().expect("four bytes"));
        (
            if keep {
                transaction.commit().0
            } else {
                transaction.abort()
            },
            number,
        )
    };
    for (n, keep, expected) in [(1, true, 1), (2, false, 2), (3, true, 2), (4, true, 3)] {
        let (next, number) = draw(state, n, keep);
        assert_eq!(number, expected);
        state = next;
    }
    state.rewind(&position(4)).expect("memory does not fail");
    let (next, number) = draw(state, 4, true);
    assert_eq!(number, 3, "taken back with the call that drew it");
    state = next;
    settle(&mut state, 3, 0);
    drop(state);
    disk.crash();
    let (_, number) = draw(open(&disk, AlgebraicType::U32, false), 5, true);
    assert_eq!(number, 3, "what was settled stays drawn");
}

#[test]
fn wide_columns_count_where_the_database_asks_for_it() {
    let mut transaction = begin(open(&MemoryDisk::new(), AlgebraicType::U64, true), 1);
    for n in 1..=3 {
        let given = transaction.insert(THING, &row(8, 0, 7)).expect("it fits");
        assert_eq!(given, little_endian(8, n));
    }
}

#[test]
fn a_full_column_says_so() {
    for (ty, largest) in [(AlgebraicType::U8, 255), (AlgebraicType::I8, 127)] {
        let mut transaction = begin(open(&MemoryDisk::new(), ty, false), 1);
        for expected in 1..=largest {
            let given = transaction
                .insert(THING, &row(1, 0, 7))
                .expect("room is left");
            assert_eq!(given, [expected]);
        }
        let full = transaction.insert(THING, &row(1, 0, 7));
        assert!(matches!(full, Err(DataError::AutoIncOverflow { column }) if column == "id"));
        assert_eq!(
            transaction.row_count(THING).expect("known"),
            u64::from(largest)
        );
    }
    let late = CallContext {
        position: Position::MIN,
        time: Hlc(u64::MAX),
    };
    let mut transaction = open(&MemoryDisk::new(), AlgebraicType::U64, false).begin(late);
    let full = transaction.insert(THING, &row(8, 0, 7));
    assert!(matches!(full, Err(DataError::AutoIncOverflow { .. })));
}

#[test]
fn a_long_stretch_of_taken_numbers_is_passed_in_few_steps() {
    let mut transaction = begin(open(&MemoryDisk::new(), AlgebraicType::U32, false), 1);
    for id in 1..=20_000 {
        transaction.insert(THING, &row(4, id, 0)).expect("it fits");
    }
    let given = transaction
        .insert(THING, &row(4, 0, 7))
        .expect("room is left");
    let number = u32::from_le_bytes(given.try_into().expect("four bytes"));
    assert!(number > 20_000, "{number} is free");
    // 1,024 steps of one, then 2 + 4 + 8 + …: the first sum beyond the taken ones.
    assert_eq!(
        number,
        1 + 1_024 + (2..=14).map(|bit| 1 << (bit - 1)).sum::<u32>() + (1 << 14)
    );
    let next = transaction
        .insert(THING, &row(4, 0, 7))
        .expect("room is left");
    assert_eq!(next, (number + 1).to_le_bytes());
}

#[test]
fn updates_draw_too() {
    let mut transaction = begin(open(&MemoryDisk::new(), AlgebraicType::U32, false), 1);
    let missing = transaction.update(THING, THING_ID, &row(4, 0, 7));
    assert!(
        matches!(missing, Err(DataError::NoSuchRow)),
        "a fresh number has no row yet"
    );
}
