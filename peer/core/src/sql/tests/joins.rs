//! Two tables at once: what an index answers is what all pairs of rows give.

use super::super::Filters;
use super::{Item, STRANGER, ask, ids, some_items, state};
use crate::sql::{Access, Selection};

/// Pairs of the rows, as `item JOIN bare` sees them.
fn pairs(items: &[Item], wanted: impl Fn(&Item, &Item) -> bool) -> Vec<(u64, u64)> {
    let all = items.iter().flat_map(|a| items.iter().map(move |b| (a, b)));
    let mut pairs: Vec<_> = all
        .filter(|(a, b)| wanted(a, b))
        .map(|(a, b)| (a.id, b.id))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn an_index_and_a_look_at_all_rows_find_the_same_pairs() {
    let items = some_items();
    let state = state(&items);
    let check = |text: &str, wanted: fn(&Item, &Item) -> bool| {
        let expected = pairs(&items, wanted);
        let text = format!("SELECT i.id, b.id AS other FROM {text}");
        let answer = ask(&state, &text).expect("it can be asked");
        let id = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let mut found: Vec<_> = answer
            .rows
            .iter()
            .map(|row| (id(&row[..8]), id(&row[8..])))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
        let count = text.replacen("i.id, b.id AS other", "COUNT(*) AS n", 1);
        let counted = ask(&state, &count).expect("it can be counted");
        assert_eq!(
            counted.rows,
            [(expected.len() as u64).to_le_bytes().to_vec()]
        );
    };
    // By an index of one side, of the other, of both, of several columns, of none.
    check("item i JOIN bare b ON i.id = b.id", |a, b| a.id == b.id);
    check("item i JOIN bare b ON b.shelf_no = i.shelf_no", |a, b| {
        a.shelf == b.shelf
    });
    check("bare b JOIN item i ON i.shelf_no = b.shelf_no", |a, b| {
        a.shelf == b.shelf
    });
    check("item i INNER JOIN item b ON i.owner = b.owner", |a, b| {
        a.owner == b.owner
    });
    check(
        "item i JOIN bare b ON i.shelf_no = b.shelf_no WHERE i.id < b.id AND b.sold = false",
        |a, b| a.shelf == b.shelf && a.id < b.id && !b.sold,
    );
    check(
        "item i JOIN bare b ON (i.sold = b.sold) WHERE i.id = 2 OR b.id = 3",
        |a, b| a.sold == b.sold && (a.id == 2 || b.id == 3),
    );
    check(
        "item i JOIN bare b ON i.name = b.name WHERE i.id = 4",
        |a, b| a.name == b.name && a.id == 4,
    );
}

#[test]
fn whole_rows_of_either_table_or_of_both() {
    let items = some_items();
    let state = state(&items);
    let text = "SELECT item.* FROM item JOIN bare ON item.id = bare.id WHERE bare.sold = true";
    assert_eq!(ids(&ask(&state, text).expect("asked")), [3]);
    let text =
        "SELECT bare.* FROM item JOIN bare ON item.shelf_no = bare.shelf_no WHERE item.id = 2";
    let answer = ask(&state, text).expect("asked");
    assert_eq!(ids(&answer), [2, 4]);
    assert_eq!(answer.columns.len(), 10);
    let text = "SELECT * FROM item JOIN bare ON item.id = bare.id LIMIT 2";
    let answer = ask(&state, text).expect("asked");
    assert_eq!((answer.rows.len(), answer.columns.len()), (2, 20));
    assert_eq!(answer.rows[0], items[0].bsatn().repeat(2));
}

#[test]
fn names_have_to_say_which_table() {
    let state = state(&[]);
    let check = |text: &str, expected: &str| {
        let error = ask(&state, text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check(
        "SELECT * FROM item JOIN bare ON item.id = bare.id WHERE sold = true",
        "more than one table has a column `sold` (line 1, column 57)",
    );
    check(
        "SELECT * FROM item JOIN bare ON item.id = item.shelf_no",
        "ON has to compare a column of the joined table with one of a table in front of it",
    );
    check(
        "SELECT * FROM item JOIN bare ON item.id = bare.name",
        "columns `item.id` (u64) and `bare.name` (string, line 1, column 48) cannot be compared",
    );
    check(
        "SELECT other.* FROM item JOIN bare ON item.id = bare.id",
        "there is no table `other` that you may read",
    );
    check(
        "SELECT * FROM item JOIN secret ON item.id = secret.id",
        "there is no table `secret` that you may read (line 1, column 25)",
    );
    check(
        "SELECT * FROM item a JOIN bare b ON item.id = b.id",
        "there is no table `item` that you may read",
    );
}

#[test]
fn a_subscription_needs_an_index_on_both_sides() {
    let state = state(&[]);
    let owner = Access {
        owner: true,
        ..STRANGER
    };
    let follow = |text: &str| Selection::new(text, state.schema(), owner, &Filters::default());
    follow("SELECT i.* FROM item i JOIN secret s ON i.id = s.id").expect("both have one");
    let error = follow("SELECT i.* FROM item i JOIN bare b ON i.shelf_no = b.shelf_no");
    let error = error.expect_err("bare has none").to_string();
    assert!(error.contains("`bare.shelf_no` has none"), "{error}");
    let error = follow("SELECT * FROM item i JOIN bare b ON i.id = b.id");
    let error = error.expect_err("of which table?").to_string();
    assert!(error.contains("whole rows"), "{error}");
}
