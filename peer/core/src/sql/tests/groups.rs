//! Aggregates, order and bounds, one by one.

use proptest::prelude::*;
use spacetimedb_sats::AlgebraicType;

use super::super::error::SqlError;
use super::super::{ANSWER_ROWS_MAX, GROUPS_MAX};
use super::{Item, ask, ids, some_items, state};

fn names_and_types(text: &str) -> Vec<(String, AlgebraicType)> {
    ask(&state(&some_items()), text).expect(text).columns
}

#[test]
fn aggregates_have_names_and_types() {
    let text = "SELECT sold, COUNT(*), COUNT(note) AS noted, SUM(score), SUM(id) AS ids, SUM(weight) AS heavy, \
                MIN(name), MAX(owner) AS last, avg(shelf_no) FROM item GROUP BY sold";
    let expected = [
        ("sold", AlgebraicType::Bool),
        ("count", AlgebraicType::U64),
        ("noted", AlgebraicType::U64),
        ("sum", AlgebraicType::I128),
        ("ids", AlgebraicType::U128),
        ("heavy", AlgebraicType::F64),
        ("min", AlgebraicType::String),
        ("last", AlgebraicType::identity()),
        ("avg", AlgebraicType::F64),
    ];
    let expected = expected.map(|(name, ty)| (name.to_owned(), ty));
    assert_eq!(names_and_types(text), expected);
}

#[test]
fn groups_are_answered() {
    let state = state(&some_items());
    let check = |text: &str, expected: &[&[u8]]| {
        let answer = ask(&state, text).expect(text);
        let expected: Vec<Vec<u8>> = expected.iter().map(|row| row.to_vec()).collect();
        assert_eq!(answer.rows, expected, "{text}");
    };
    let whole = |sum: i128| sum.to_le_bytes();
    check(
        "SELECT SUM(score) AS total FROM item GROUP BY shelf_no ORDER BY shelf_no",
        &[&whole(0 - 10), &whole(5 - 5 - 15)],
    );
    check(
        "SELECT shelfNo FROM item GROUP BY item.shelf_no ORDER BY COUNT(*) DESC",
        &[&1_u32.to_le_bytes(), &0_u32.to_le_bytes()],
    );
    check(
        "SELECT COUNT(note) AS n FROM item HAVING COUNT(*) >= 5",
        &[&4_u64.to_le_bytes()],
    );
    check("SELECT COUNT(*) AS n FROM item HAVING n > 5", &[]);
    check(
        "SELECT AVG(score) AS a FROM item",
        &[&(-5.0_f64).to_le_bytes()],
    );
    check(
        "SELECT SUM(weight) AS w FROM item WHERE id <= 3",
        &[&3.0_f64.to_le_bytes()],
    );
    check("SELECT MIN(note) AS m FROM item", &[&[0, 1]]);
    check("SELECT MAX(note) AS m FROM item", &[&[1]]);
    check(
        "SELECT MAX(code) AS m FROM item WHERE id < 3",
        &[&[2, 0, 0, 0, 2, 2]],
    );
    // Of no rows there is a count and a sum, and nothing else.
    check(
        "SELECT COUNT(*) AS n, SUM(id) AS s FROM item WHERE id > 9",
        &[&[0; 24]],
    );
    check(
        "SELECT COUNT(*) AS n, MIN(id) AS m FROM item WHERE id > 9",
        &[],
    );
    check("SELECT AVG(id) AS a FROM item WHERE id > 9", &[]);
    check(
        "SELECT COUNT(*) AS n FROM item WHERE id > 9 GROUP BY sold",
        &[],
    );
    check(
        "SELECT DISTINCT sold FROM item ORDER BY sold DESC",
        &[&[1], &[0]],
    );
    check(
        "SELECT sold FROM item ORDER BY id DESC LIMIT 2 OFFSET 1",
        &[&[0], &[1]],
    );
    check("SELECT sold FROM item OFFSET 4", &[&[0]]);
    check("SELECT sold FROM item LIMIT 3 OFFSET 9", &[]);
    check(
        "SELECT id AS score FROM item ORDER BY score LIMIT 1",
        &[&1_u64.to_le_bytes()],
    );
    check("SELECT COUNT(*) AS n FROM item OFFSET 1", &[]);
}

#[test]
fn a_sum_beyond_its_type_is_an_error() {
    let wide = |ids: &[u64]| -> Vec<Item> {
        let first = some_items().swap_remove(0);
        let items = ids.iter().map(|id| Item {
            id: *id,
            ..first.clone()
        });
        items.collect()
    };
    // 64 bits never fill 128; the sum below is of numbers that have as many.
    let state = state(&wide(&[u64::MAX, u64::MAX - 1]));
    let answer = ask(&state, "SELECT SUM(id) AS s FROM item").expect("it fits");
    let sum = u128::from(u64::MAX) * 2 - 1;
    assert_eq!(answer.rows, [sum.to_le_bytes().to_vec()]);
}

#[test]
fn groups_and_answers_are_bounded() {
    let first = some_items().swap_remove(0);
    let many = u64::try_from(GROUPS_MAX).expect("it fits") + 1;
    let items: Vec<Item> = (0..many)
        .map(|id| Item {
            id,
            ..first.clone()
        })
        .collect();
    let state = state(&items);
    let groups = ask(&state, "SELECT id FROM item GROUP BY id").expect_err("one too many");
    assert!(matches!(groups, SqlError::TooManyGroups), "{groups}");
    let fits = ask(
        &state,
        "SELECT id FROM item WHERE id > 0 GROUP BY id ORDER BY id DESC LIMIT 1",
    );
    assert_eq!(ids(&fits.expect("as many as may be")), [many - 1]);
    // A million rows and more, none of which is kept before it is too many.
    let pairs = "FROM item a JOIN bare b ON a.shelf_no = b.shelf_no WHERE a.id < 20";
    assert!(many * 20 > ANSWER_ROWS_MAX as u64);
    let sorted = ask(&state, &format!("SELECT a.sold {pairs} ORDER BY b.weight"));
    assert!(matches!(sorted, Err(SqlError::TooLarge)));
    let counted = ask(&state, &format!("SELECT COUNT(*) AS n {pairs}")).expect("counted");
    assert_eq!(ids(&counted), [many * 20]);
    let few = ask(
        &state,
        &format!("SELECT b.id AS x {pairs} ORDER BY b.id DESC LIMIT 1"),
    );
    assert_eq!(ids(&few.expect("only one is kept")), [many - 1]);
}

#[test]
fn a_join_that_multiplies_is_ended() {
    let first = some_items().swap_remove(0);
    let items: Vec<Item> = (0..120)
        .map(|id| Item {
            id,
            ..first.clone()
        })
        .collect();
    let state = state(&items);
    let joins: String = (0..4)
        .map(|n| format!(" JOIN item i{n} ON i{n}.shelf_no = item.shelf_no"))
        .collect();
    let counted = ask(&state, &format!("SELECT COUNT(*) AS n FROM item{joins}"));
    assert!(matches!(counted, Err(SqlError::JoinTooLong)), "{counted:?}");
}

proptest! {
    #[test]
    fn any_clause_is_read_without_panic(text in r#"(SELECT|EXPLAIN|FROM|item|bare|JOIN|ON|a|id|sold|=|1|'a'|AND|,|LIMIT|OFFSET|COUNT\(\*\)|SUM|MIN|AVG|\(|\)|\*|\.|GROUP BY|ORDER BY|HAVING|DISTINCT|DESC|AS n| ){0,20}"#) {
        let state = state(&[]);
        let _ = ask(&state, &text);
    }
}
