//! What `EXPLAIN` says, word for word, and that it is true.

use super::super::Filters;
use super::{STRANGER, Views, ask, ask_as, ask_beside, ids, schema, some_items, state};
use crate::sql::{Access, Selection};
use store::{Row, TableId, TableSchema};

fn plan(text: &str) -> String {
    let state = state(&some_items());
    let answer = ask(&state, &format!("EXPLAIN {text}")).expect(text);
    assert_eq!(answer.columns.len(), 1);
    assert_eq!(answer.columns[0].0, "plan");
    let lines = answer.rows.iter().map(|row| {
        let text = String::from_utf8(row[4..].to_vec()).expect("UTF-8");
        assert_eq!(
            row[..4],
            u32::try_from(text.len()).expect("short").to_le_bytes()
        );
        text
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn plans_say_how_a_query_is_answered() {
    let mut wrong = vec![];
    let mut check = |text: &str, expected: &[&str]| {
        let got = plan(text);
        if got != expected.join("\n") {
            wrong.push(format!("{text}\n{got}\n"));
        }
    };
    check(
        "SELECT * FROM item",
        &["table item: all rows", "show rows of item"],
    );
    check(
        "SELECT * FROM item WHERE id = 3",
        &[
            "table item: rows by index index_4096 (id = 3)",
            "keep rows with id = 3",
            "show rows of item",
        ],
    );
    check(
        "SELECT id AS number, name FROM item i WHERE shelf_no = 1 AND score < -4 AND sold = false",
        &[
            "table item i: rows by index index_4097 (shelf_no = 1, score < -4)",
            "keep rows with shelf_no = 1 AND score < -4 AND sold = false",
            "show id AS number, name",
        ],
    );
    check(
        "SELECT * FROM item WHERE name = 'a' OR (weight > 1.5 AND false)",
        &[
            "table item: all rows",
            "keep rows with name = 'a' OR (weight > 1.5 AND false)",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item ORDER BY id LIMIT 3",
        &[
            "table item: all rows",
            "in order of id already",
            "stop after 3",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item ORDER BY id DESC LIMIT 3 OFFSET 2",
        &[
            "table item: all rows",
            "sort by id DESC, keep the first 5",
            "leave out the first 2",
            "answer 3 at most",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item ORDER BY weight, id LIMIT 3",
        &[
            "table item: all rows by index index_4100",
            "in order of weight, id already",
            "stop after 3",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item ORDER BY weight",
        &[
            "table item: all rows",
            "sort by weight",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item WHERE shelf_no = 1 ORDER BY shelf_no DESC, score, id LIMIT 2",
        &[
            "table item: rows by index index_4097 (shelf_no = 1)",
            "keep rows with shelf_no = 1",
            "in order of score, id already",
            "stop after 2",
            "show rows of item",
        ],
    );
    check(
        "SELECT * FROM item WHERE sold = true AND at >= 5 ORDER BY score LIMIT 2",
        &[
            "table item: rows by index index_4101 (sold = true, at >= 1970-01-01T00:00:00.000005Z)",
            "keep rows with sold = true AND at >= 1970-01-01T00:00:00.000005Z",
            "sort by score, keep the first 2",
            "answer 2 at most",
            "show rows of item",
        ],
    );
    check(
        "SELECT COUNT(*) AS n FROM item",
        &[
            "table item: all rows",
            "one group: COUNT(*)",
            "show COUNT(*) AS n",
        ],
    );
    check(
        "SELECT shelf_no, SUM(score) AS total FROM item GROUP BY shelf_no HAVING total > 2 AND COUNT(*) > 1 ORDER BY total DESC LIMIT 1",
        &[
            "table item: all rows",
            "group by shelf_no: SUM(score), COUNT(*)",
            "keep groups with SUM(score) > 2 AND COUNT(*) > 1",
            "sort by SUM(score) DESC, keep the first 1",
            "answer 1 at most",
            "show shelf_no, SUM(score) AS total",
        ],
    );
    check(
        "SELECT DISTINCT sold FROM item ORDER BY sold",
        &[
            "table item: all rows",
            "keep one of equal rows",
            "sort by sold",
            "show sold",
        ],
    );
    // The second table has a row for the whole condition, so it comes first.
    check(
        "SELECT i.* FROM item i JOIN bare b ON i.shelf_no = b.shelf_no WHERE b.id = 2",
        &[
            "table bare b: rows by index index_4102 (id = 2)",
            "keep rows with b.id = 2",
            "table item i: for each row so far by index index_4097 (shelf_no = b.shelf_no)",
            "show rows of item i",
        ],
    );
    // What one side has, the other has too.
    check(
        "SELECT b.* FROM item i JOIN bare b ON i.id = b.id WHERE i.id = 2 AND i.score < b.score",
        &[
            "table item i: rows by index index_4096 (id = 2)",
            "keep rows with i.id = 2",
            "table bare b: rows by index index_4102 (id = 2), once into memory; for each row so far those with id = i.id",
            "keep rows with i.score < b.score",
            "show rows of bare b",
        ],
    );
    // Only one of them can be reached.
    check(
        "SELECT i.id FROM item i JOIN bare b ON b.owner = i.owner LIMIT 4",
        &[
            "table bare b: all rows",
            "table item i: for each row so far by index index_4099 (owner = b.owner)",
            "stop after 4",
            "show i.id AS id",
        ],
    );
    check(
        "SELECT COUNT(*) AS n FROM item i JOIN bare b ON i.sold = b.sold JOIN item j ON j.id = b.id WHERE j.score > i.score",
        &[
            "table bare b: all rows",
            "table item j: for each row so far by index index_4096 (id = b.id)",
            "table item i: for each row so far by index index_4101 (sold = b.sold)",
            "keep rows with j.score > i.score",
            "one group: COUNT(*)",
            "show COUNT(*) AS n",
        ],
    );
    check(
        "SELECT a.id, b.code FROM bare a JOIN bare b ON a.code = b.code WHERE a.sold = true ORDER BY b.id",
        &[
            "table bare b: all rows",
            "table bare a: all rows, once into memory; for each row so far those with code = b.code",
            "keep rows with a.sold = true",
            "in order of b.id already",
            "show a.id AS id, b.code AS code",
        ],
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn long_literals_are_cut() {
    let got = plan(&format!(
        "SELECT * FROM item WHERE name = '{}'",
        "x".repeat(9_000)
    ));
    assert!(got.contains("xxx…"), "{got}");
    assert!(got.len() < 400, "{got}");
}

/// A join is answered from its better side, for subscriptions too: rows come in the order of the
/// table that was read first.
#[test]
fn a_first_answer_drives_from_the_better_side() {
    let items = some_items();
    let state = state(&items);
    let owner = Access {
        owner: true,
        ..STRANGER
    };
    let text = "SELECT i.* FROM item i JOIN secret s ON i.id = s.id WHERE s.id = 4";
    let selection = Selection::new(text, state.schema(), owner, &Filters::default())
        .expect("both have an index");
    assert_eq!(selection.rows(&state).expect("asked"), [items[3].bsatn()]);
    let plan = ask_as(&state, owner, &format!("EXPLAIN {text}")).expect("explained");
    let first = String::from_utf8_lossy(&plan.rows[0]).into_owned();
    assert!(first.contains("(id = 4)"), "{first}");
}

#[test]
fn views_of_the_peer_are_joined_too() {
    let state = state(&some_items());
    let view = TableSchema {
        id: TableId(1),
        name: "st_items".to_owned(),
        ..schema().tables()[0].clone()
    };
    // Not in the order of their keys, which is not to be relied on.
    let rows: Vec<Row> = some_items()
        .iter()
        .rev()
        .map(|item| item.bsatn().into())
        .collect();
    let views = Views(vec![(view, rows)]);
    let ask = |text: &str| ask_beside(&state, &views, STRANGER, text);
    let text =
        "SELECT s.id FROM st_items s JOIN item i ON i.id = s.id WHERE s.score < 0 ORDER BY id";
    assert_eq!(ids(&ask(text).expect("joined")), [3, 4, 5]);
    let text = "SELECT s.id AS x FROM st_items s JOIN item i ON i.shelf_no = s.shelf_no WHERE s.id = 2 ORDER BY i.id LIMIT 3";
    assert_eq!(ids(&ask(text).expect("joined")), [2, 2]);
    let text = "SELECT s.id AS x FROM st_items s ORDER BY x LIMIT 2";
    assert_eq!(ids(&ask(text).expect("sorted")), [1, 2]);
    let text = "SELECT a.id AS x FROM st_items a JOIN st_items b ON a.score = b.score WHERE b.id > 3 ORDER BY x";
    assert_eq!(ids(&ask(text).expect("with itself")), [4, 5]);
    let text = "SELECT COUNT(*) AS n FROM st_items";
    assert_eq!(ids(&ask(text).expect("counted")), [5]);
}

#[test]
fn a_subscription_refuses_every_other_clause_by_name() {
    let state = state(&[]);
    let check = |text: &str, clause: &str| {
        let error =
            Selection::new(text, state.schema(), STRANGER, &Filters::default()).expect_err(text);
        let error = error.to_string();
        assert!(
            error.starts_with("a subscription asks for whole rows"),
            "{error}"
        );
        assert!(
            error.contains(&format!("; {clause} is for queries")),
            "{error}"
        );
    };
    check("EXPLAIN SELECT * FROM item", "EXPLAIN");
    check("SELECT * FROM item ORDER BY id", "ORDER BY");
    check("SELECT sold FROM item GROUP BY sold", "GROUP BY");
    check("SELECT sold FROM item HAVING COUNT(*) > 1", "HAVING");
    check("SELECT DISTINCT * FROM item", "DISTINCT");
    check("SELECT * FROM item LIMIT 1", "LIMIT");
    check("SELECT * FROM item OFFSET 1", "OFFSET");
    let columns = "a choice of columns, COUNT, SUM, MIN, MAX or AVG";
    check("SELECT id FROM item", columns);
    check("SELECT SUM(id) FROM item", columns);
    check(
        "SELECT a.* FROM item a JOIN item b ON a.id = b.id JOIN item c ON b.id = c.id",
        "JOIN of more than two tables",
    );
    check(
        "SELECT * FROM item a JOIN item b ON a.id = b.id",
        "* of two tables at once",
    );
}
