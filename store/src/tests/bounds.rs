//! Ranges: every kind of bound, prefixes, values longer than a stored key, and what is refused.

use std::ops::Bound;

use spacetimedb_sats::AlgebraicType;

use super::{
    ACCOUNT, ACCOUNT_ID, ACCOUNT_NAME, ACCOUNT_TEAM, DATABASE, account, begin, column, index, open,
    settle, table, text,
};
use crate::{
    DataError, Disk, IndexId, IndexKind, MemoryDisk, Range, Row, Schema, State, StateOptions,
    TableId, Transaction,
};

/// Accounts 1 to 6 in two teams; the odd ones are in the base, the others in the overlay, and the
/// last is the transaction's own.
fn accounts() -> Transaction {
    let disk = MemoryDisk::new();
    let mut state = open(&disk);
    for (n, ids) in [(1, [1, 3, 5].as_slice()), (2, &[2, 4])] {
        let mut transaction = begin(state, n);
        for id in ids {
            insert(&mut transaction, *id);
        }
        state = transaction.commit().0;
        if n == 1 {
            settle(&mut state, 1, 0);
        }
    }
    let mut transaction = begin(state, 3);
    insert(&mut transaction, 6);
    transaction
}

fn insert(transaction: &mut Transaction, id: u32) {
    let team = u8::from(id > 3);
    let row = account(id, &format!("n{id}"), team, i64::from(id) - 3);
    transaction.insert(ACCOUNT, &row).expect("it fits");
}

fn ids(rows: &[Row]) -> Vec<u32> {
    let id = |row: &Row| u32::from_le_bytes(*row.first_chunk().expect("the id comes first"));
    rows.iter().map(id).collect()
}

fn abi_bound(bound: Bound<&[u8]>) -> Vec<u8> {
    match bound {
        Bound::Included(value) => [&[0], value].concat(),
        Bound::Excluded(value) => [&[1], value].concat(),
        Bound::Unbounded => vec![2],
    }
}

#[test]
fn bounds_of_one_column() {
    let transaction = accounts();
    let check = |start: Bound<u32>, end: Bound<u32>, expected: &[u32]| {
        let (start, end) = (start.map(u32::to_le_bytes), end.map(u32::to_le_bytes));
        let start = abi_bound(start.as_ref().map(|value| value.as_slice()));
        let end = abi_bound(end.as_ref().map(|value| value.as_slice()));
        let range = Range::from_abi(&[], 0, &start, &end).expect("well formed");
        let rows = transaction
            .scan_range(ACCOUNT_ID, &range)
            .expect("it can be asked");
        assert_eq!(ids(&rows), expected, "{range:?}");
    };
    use Bound::{Excluded, Included, Unbounded};
    check(Unbounded, Unbounded, &[1, 2, 3, 4, 5, 6]);
    check(Included(2), Included(4), &[2, 3, 4]);
    check(Excluded(2), Excluded(4), &[3]);
    check(Included(5), Unbounded, &[5, 6]);
    check(Unbounded, Excluded(3), &[1, 2]);
    check(Included(3), Included(3), &[3]);
    check(Excluded(3), Excluded(3), &[]);
    check(Included(4), Included(2), &[]);
    check(Included(u32::MAX), Unbounded, &[]);
    check(Excluded(u32::MAX), Unbounded, &[]);
    check(Unbounded, Included(u32::MAX), &[1, 2, 3, 4, 5, 6]);
}

#[test]
fn prefixes_and_points() {
    let transaction = accounts();
    let scan = |range: Range<'_>| {
        ids(&transaction
            .scan_range(ACCOUNT_TEAM, &range)
            .expect("it can be asked"))
    };
    let least = 2_i64.to_le_bytes();
    assert_eq!(scan(Range::EVERYTHING), [1, 2, 3, 4, 5, 6]);
    let (start, end) = (Bound::Included(&least[..]), Bound::Unbounded);
    assert_eq!(
        scan(Range::Prefix {
            prefix: &[1],
            prefix_len: 1,
            start,
            end
        }),
        [5, 6]
    );
    let (start, end) = (Bound::Unbounded, Bound::Excluded(&least[..]));
    assert_eq!(
        scan(Range::Prefix {
            prefix: &[1],
            prefix_len: 1,
            start,
            end
        }),
        [4]
    );
    let (start, end) = (Bound::Included(&[0][..]), Bound::Included(&[0][..]));
    assert_eq!(
        scan(Range::Prefix {
            prefix: &[],
            prefix_len: 0,
            start,
            end
        }),
        [1, 2, 3]
    );
    assert_eq!(scan(Range::point(&[&[1][..], &least].concat())), [5]);
    assert_eq!(scan(Range::point(&[&[0][..], &least].concat())), []);
}

#[test]
fn malformed_ranges_are_refused() {
    let transaction = accounts();
    let refused = |index, range: Range<'_>| {
        let result = transaction.scan_range(index, &range);
        assert!(
            matches!(result, Err(DataError::Decode(_))),
            "{range:?}: {result:?}"
        );
    };
    refused(ACCOUNT_ID, Range::point(&[1, 0, 0]));
    refused(ACCOUNT_ID, Range::point(&[1, 0, 0, 0, 0]));
    refused(ACCOUNT_NAME, Range::point(&[1, 0, 0, 0, 0xFF]));
    let free = (Bound::Unbounded, Bound::Unbounded);
    let whole = Range::Prefix {
        prefix: &[1, 0, 0, 0],
        prefix_len: 1,
        start: free.0,
        end: free.1,
    };
    refused(ACCOUNT_ID, whole);
    let long = Range::Prefix {
        prefix: &[1, 2],
        prefix_len: 1,
        start: free.0,
        end: free.1,
    };
    refused(ACCOUNT_TEAM, long);
    let far = Range::Prefix {
        prefix: &[],
        prefix_len: u16::MAX,
        start: free.0,
        end: free.1,
    };
    refused(ACCOUNT_ID, far);
    for bytes in [&[][..], &[3], &[2, 0]] {
        assert!(matches!(
            Range::from_abi(&[], 0, bytes, &[2]),
            Err(DataError::Decode(_))
        ));
        assert!(matches!(
            Range::from_abi(&[], 0, &[2], bytes),
            Err(DataError::Decode(_))
        ));
    }
    let unknown = transaction.scan_range(IndexId(1), &Range::EVERYTHING);
    assert!(matches!(unknown, Err(DataError::NoSuchIndex(IndexId(1)))));
}

#[test]
fn values_longer_than_a_stored_key() {
    let disk = MemoryDisk::new();
    let mut transaction = begin(open(&disk), 1);
    // All begin alike for longer than a stored key reaches, and come in the wrong order.
    let name = |tail: &str| "x".repeat(600) + tail;
    let tails = ["d", "b", "", "a", "c"];
    for (id, tail) in (1..).zip(tails) {
        let row = account(id, &name(tail), 0, 0);
        transaction.insert(ACCOUNT, &row).expect("it fits");
    }
    transaction
        .insert(ACCOUNT, &account(9, "x", 0, 0))
        .expect("it fits");
    transaction
        .insert(ACCOUNT, &account(10, "y", 0, 0))
        .expect("it fits");
    let taken = transaction.insert(ACCOUNT, &account(11, &name("c"), 0, 0));
    assert!(matches!(taken, Err(DataError::UniqueAlreadyExists { .. })));
    let (mut state, _) = transaction.commit();
    for settled in [false, true] {
        if settled {
            settle(&mut state, 1, 0);
        }
        let scan = |start: Bound<&str>, end: Bound<&str>| {
            let (start, end) = (start.map(text), end.map(text));
            let range = Range::Prefix {
                prefix: &[],
                prefix_len: 0,
                start: start.as_ref().map(Vec::as_slice),
                end: end.as_ref().map(Vec::as_slice),
            };
            let rows = state
                .scan_index(ACCOUNT_NAME, &range)
                .expect("it can be asked");
            let mut found = ids(&rows.map(|row| row.expect("readable")).collect::<Vec<_>>());
            found.sort_unstable();
            found
        };
        let (b, c) = (name("b"), name("c"));
        assert_eq!(scan(Bound::Included(&b), Bound::Included(&c)), [2, 5]);
        assert_eq!(scan(Bound::Excluded(&b), Bound::Excluded(&c)), []);
        assert_eq!(scan(Bound::Excluded(&b), Bound::Unbounded), [1, 5, 10]);
        assert_eq!(scan(Bound::Unbounded, Bound::Excluded(&b)), [3, 4, 9]);
        assert_eq!(
            scan(Bound::Excluded("x"), Bound::Excluded("y")),
            [1, 2, 3, 4, 5]
        );
        let point = text(&c);
        let rows = state
            .scan_index(ACCOUNT_NAME, &Range::point(&point))
            .expect("it can be asked");
        assert_eq!(
            ids(&rows.map(|row| row.expect("readable")).collect::<Vec<_>>()),
            [5]
        );
    }
}

#[test]
fn hash_indexes_answer_points_only() {
    const PAIR: TableId = TableId(5_000);
    const BOTH: IndexId = IndexId(5_000);
    let columns = vec![
        column("a", AlgebraicType::U8),
        column("b", AlgebraicType::U8),
    ];
    let mut pair = table(PAIR, "pair", columns);
    pair.indexes = vec![index(BOTH, "pair_both", &[0, 1], false)];
    pair.indexes[0].kind = IndexKind::Hash;
    let base = MemoryDisk::new()
        .base(&DATABASE)
        .expect("memory does not fail");
    let schema = Schema::new(vec![pair]).expect("it fits");
    let state = State::open(base, schema, StateOptions::default()).expect("it opens");
    let mut transaction = begin(state, 1);
    for row in [[1, 1], [1, 2], [2, 1]] {
        transaction.insert(PAIR, &row).expect("it fits");
    }
    let point = transaction
        .scan_range(BOTH, &Range::point(&[1, 2]))
        .expect("a point");
    assert_eq!(point.len(), 1);
    let narrow = Range::from_abi(&[1], 1, &[0, 2], &[0, 2]).expect("well formed");
    assert_eq!(
        transaction
            .scan_range(BOTH, &narrow)
            .expect("a point in disguise"),
        point
    );
    for range in [
        Range::EVERYTHING,
        Range::from_abi(&[1], 1, &[0, 1], &[0, 2]).expect("bounds"),
    ] {
        let refused = transaction.scan_range(BOTH, &range);
        assert!(matches!(refused, Err(DataError::WrongIndexAlgo(BOTH))));
        let refused = transaction.delete_by_range(BOTH, &range);
        assert!(matches!(refused, Err(DataError::WrongIndexAlgo(BOTH))));
    }
    assert_eq!(
        transaction.delete_by_range(BOTH, &narrow).expect("a point"),
        1
    );
}
