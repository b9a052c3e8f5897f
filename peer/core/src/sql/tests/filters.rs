//! Visibility filters: what is refused, what is shown where something is wrong all the same, and how a
//! query over them is answered.

use spacetimedb_sats::AlgebraicType;
use store::{Column, IndexId, IndexKind, IndexSchema, Schema, State, TableId, TableSchema};

use super::super::error::SqlError;
use super::super::{Access, Filters, Reading, SqlResult};
use super::{STRANGER, Views, ids, schema, some_items, state};

fn reasons(texts: &[&str], schema: &Schema) -> Vec<String> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    Filters::check(&texts, schema)
}

fn filters(texts: &[&str]) -> Filters {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    Filters::of(&texts)
}

fn ask_under(
    filters: &Filters,
    state: &State,
    owner: bool,
    text: &str,
) -> Result<SqlResult, SqlError> {
    let reading = Reading {
        state,
        views: &Views(vec![]),
        access: Access { owner, ..STRANGER },
        filters,
    };
    reading.ask(text)
}

#[test]
fn filters_that_mean_nothing_are_refused_by_name() {
    let schema = schema();
    let fine = [
        "SELECT * FROM item",
        "SELECT * FROM itemSource WHERE shelfNo = 3 OR owner = :sender",
        "SELECT item.* FROM item JOIN secret WHERE secret.owner = :sender",
        "SELECT i.* FROM secret s JOIN item i ON i.id = s.id WHERE s.owner = :sender",
        "SELECT b.* FROM item a JOIN item b ON a.shelf_no = b.shelf_no WHERE a.owner = :sender",
    ];
    for text in fine {
        assert_eq!(reasons(&[text], &schema), Vec::<String>::new(), "{text}");
    }
    let check = |text: &str, expected: &str| {
        let reasons = reasons(&[text], &schema);
        let [reason] = reasons.as_slice() else {
            panic!("{text}: {reasons:?}");
        };
        assert!(reason.starts_with("visibility filter `"), "{reason}");
        assert!(reason.contains(expected), "{reason}");
    };
    check("nonsense", "not SQL");
    check("DELETE FROM item", "changes rows");
    check("SELECT * FROM nothing", "no table `nothing`");
    check("SELECT * FROM st_table", "no table `st_table`");
    check("SELECT * FROM item WHERE price > 3", "no column `price`");
    check("SELECT * FROM item WHERE id = 'one'", "is no u64");
    check("SELECT * FROM item WHERE id = :sender", "is no u64");
    check("SELECT * FROM item WHERE note = 3", "cannot be compared");
    check("SELECT name FROM item", "whole rows of one table");
    check("SELECT COUNT(*) FROM item", "whole rows of one table");
    check("SELECT DISTINCT * FROM item", "DISTINCT is for queries");
    check("SELECT * FROM item ORDER BY id", "ORDER BY is for queries");
    check("SELECT * FROM item LIMIT 1", "LIMIT is for queries");
    check("EXPLAIN SELECT * FROM item", "EXPLAIN is for queries");
    check(
        "SELECT * FROM item i JOIN bare b ON i.id = b.id",
        "* of several tables at once",
    );
    check(
        "SELECT i.* FROM item i JOIN bare b ON i.shelf_no = b.shelf_no",
        "`bare.shelf_no` has none",
    );
    check(
        "SELECT b.* FROM item i JOIN bare b ON i.shelf_no = b.shelf_no",
        "`bare.shelf_no` has none",
    );
    check(
        "SELECT i.* FROM item i LEFT JOIN bare b ON i.id = b.id",
        "no inner one is not built",
    );
    check(
        "SELECT a.* FROM item a JOIN item b ON a.id = b.id JOIN item c ON a.id = c.id \
         JOIN item d ON a.id = d.id JOIN item e ON a.id = e.id",
        "up to 4 tables",
    );
    check(
        "SELECT * FROM item WHERE id IN (SELECT id FROM bare)",
        "IN is not built",
    );
    // A client's query still has to say how tables belong together.
    let state = state(&some_items());
    let error = ask_under(
        &filters(&[]),
        &state,
        false,
        "SELECT i.* FROM item i JOIN bare b",
    );
    let error = error.expect_err("no ON").to_string();
    assert!(
        error.contains("JOIN without ON is not built yet"),
        "{error}"
    );
}

/// Tables `t0` to `t5`, each with an indexed id; `t6` holds events.
fn chain_schema() -> Schema {
    let table = |number: u32| TableSchema {
        id: TableId(4_096 + number),
        name: format!("t{number}"),
        source_name: format!("t{number}"),
        columns: vec![Column {
            name: "id".to_owned(),
            source_name: "id".to_owned(),
            ty: AlgebraicType::U64,
        }],
        primary_key: Some(0),
        indexes: vec![IndexSchema {
            id: IndexId(4_096 + number),
            name: format!("t{number}_id"),
            source_name: format!("t{number}_id"),
            columns: vec![0],
            unique: true,
            kind: IndexKind::BTree,
        }],
        auto_inc: vec![],
        public: true,
        event: number == 6,
    };
    Schema::new((0..7).map(table).collect()).expect("a sound schema")
}

fn joins(from: usize, to: usize) -> String {
    format!("SELECT a.* FROM t{from} a JOIN t{to} b ON a.id = b.id")
}

#[test]
fn filters_that_ask_for_each_other_are_refused() {
    let schema = chain_schema();
    let check = |pairs: &[(usize, usize)], expected: &[&str]| {
        let texts: Vec<String> = pairs.iter().map(|(from, to)| joins(*from, *to)).collect();
        let reasons = Filters::check(&texts, &schema);
        assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
        for (reason, expected) in reasons.iter().zip(expected) {
            assert!(reason.contains(expected), "{reason}");
        }
    };
    check(&[(0, 0), (1, 0), (2, 1), (2, 0)], &[]);
    check(&[(0, 1), (1, 2), (2, 3), (3, 4)], &[]);
    check(&[(0, 1), (1, 0)], &["in a circle: those of t0, t1"]);
    check(&[(5, 2), (1, 2), (2, 3), (3, 1)], &["those of t1, t2, t3"]);
    check(
        &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
        &["filters of table t0 ask for rows that filters show, 5 deep; 4 is the most"],
    );
    check(&[(0, 6)], &["a table of events, which keeps no rows"]);
    check(&[(6, 0)], &[]);
}

#[test]
fn what_cannot_be_understood_shows_nothing() {
    let items = some_items();
    let state = state(&items);
    let seen = |texts: &[&str], owner, query: &str| {
        let answer = ask_under(&filters(texts), &state, owner, query);
        ids(&answer.expect("asked"))
    };
    let all = [1, 2, 3, 4, 5];
    let (items, bare) = ("SELECT * FROM item", "SELECT * FROM bare");
    assert_eq!(seen(&[], false, items), all);
    // Nobody knows what this is about.
    for texts in [&["nonsense"][..], &["SELECT * FROM item", "nonsense"]] {
        assert_eq!(seen(texts, false, items), [0; 0]);
        assert_eq!(seen(texts, false, bare), [0; 0]);
        assert_eq!(seen(texts, true, items), all);
    }
    // One that means nothing shows nothing, and others of its table show what they show.
    let odd = "SELECT * FROM item WHERE price = 3";
    assert_eq!(seen(&[odd], false, items), [0; 0]);
    assert_eq!(seen(&[odd], false, bare), all);
    assert_eq!(
        seen(&[odd, "SELECT * FROM item WHERE id < 3"], false, items),
        [1, 2]
    );
    // Those that ask for each other.
    let circle = [
        "SELECT i.* FROM item i JOIN bare b ON i.id = b.id",
        "SELECT b.* FROM bare b JOIN item i ON i.id = b.id",
    ];
    assert_eq!(seen(&circle, false, items), [0; 0]);
    assert_eq!(seen(&circle, false, bare), [0; 0]);
    assert_eq!(seen(&circle, true, bare), all);
}

#[test]
fn filters_of_one_table_are_part_of_the_condition() {
    let state = state(&some_items());
    let own = filters(&["SELECT * FROM item WHERE owner = :sender"]);
    let plan = ask_under(&own, &state, false, "EXPLAIN SELECT * FROM item").expect("explained");
    let first = String::from_utf8_lossy(&plan.rows[0]).into_owned();
    assert!(
        first.contains("rows by index index_4099 (owner ="),
        "{first}"
    );
    let joined = filters(&[
        "SELECT * FROM item WHERE owner = :sender",
        "SELECT i.* FROM item i JOIN secret s ON i.id = s.id WHERE s.id = 2",
    ]);
    let ask = |owner, text: &str| ask_under(&joined, &state, owner, text).expect(text);
    assert_eq!(ids(&ask(false, "SELECT * FROM item")), [2, 4]);
    assert_eq!(ids(&ask(false, "SELECT * FROM item WHERE id > 2")), [4]);
    assert_eq!(ids(&ask(true, "SELECT * FROM item")).len(), 5);
    let plan = ask(false, "EXPLAIN SELECT * FROM item");
    let lines: Vec<String> = plan
        .rows
        .iter()
        .map(|row| String::from_utf8_lossy(&row[4..]).into_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "table item: all rows",
            "keep those that visibility filters of item show",
            "show rows of item"
        ]
    );
    let plan = ask(true, "EXPLAIN SELECT * FROM item");
    assert_eq!(plan.rows.len(), 2, "the owner's is as ever");
}
