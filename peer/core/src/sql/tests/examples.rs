//! Queries and errors, one by one.

use store::{Row, TableId, TableSchema};

use super::super::error::SqlError;
use super::super::{Access, SQL_BYTES_MAX, run};
use super::{STRANGER, Views, ask, ask_as, columns, ids, schema, some_items, state};

#[test]
fn conditions_choose_rows() {
    let state = state(&some_items());
    let check = |condition: &str, expected: &[u64]| {
        for table in ["item", "bare", "itemSource"] {
            let answer = ask(&state, &format!("SELECT * FROM {table} WHERE {condition}"));
            assert_eq!(
                answer.map(|answer| ids(&answer)).ok(),
                Some(expected.to_vec()),
                "{condition}"
            );
        }
    };
    check("id = 3", &[3]);
    check("3 = id", &[3]);
    check("id = 0x3", &[3]);
    check("2 < id AND id <= 4", &[3, 4]);
    check("id > 3 AND id < 2", &[]);
    check("id >= 2 AND id > 2 AND id <= 4 AND id < 5", &[3, 4]);
    check("id <> 3 AND id != 1", &[2, 4, 5]);
    check("id = 1 OR id = 5 OR id = 99", &[1, 5]);
    check("(id = 1 OR id = 2) AND shelf_no = 0", &[2]);
    check("id = 1 OR id = 2 AND shelf_no = 1", &[1]);
    check("name = 'it''s 2'", &[2]);
    check("name > 'it''s 3'", &[4, 5]);
    check("shelf_no = 1 AND score < -4", &[3, 5]);
    check("shelfNo = 1 AND score = -5", &[3]);
    check("score >= 0", &[1, 2]);
    check("weight = 1.5", &[3]);
    check("weight < 1.5 AND weight > 0", &[1, 2]);
    check("weight = 1 AND weight = 2", &[]);
    check("sold = true", &[3]);
    check("sold <> TRUE AND true", &[1, 2, 4, 5]);
    check("false", &[]);
    check("owner = :sender", &[4]);
    check("owner < :sender", &[1, 2, 3, 5]);
    check(&format!("owner = 0x{}", "02".repeat(32)), &[2]);
    check(&format!("owner = X'{}'", "02".repeat(32)), &[2]);
    check(&format!("owner = '{}'", "02".repeat(32)), &[2]);
    check("at = '1970-01-01T00:00:02Z'", &[2]);
    check("at >= 4000000 AND sold = false", &[4, 5]);
    check("code = 0x0202", &[2]);
    check("code < X'0202'", &[1]);
    check("id = 1e0", &[1]);
    check("name = name", &[1, 2, 3, 4, 5]);
    check("\"id\" = 2", &[2]);
}

#[test]
fn what_is_selected_is_answered() {
    let state = state(&some_items());
    let check = |text: &str, names: &[&str], rows: &[&[u8]]| {
        let answer = ask(&state, text).expect(text);
        let got: Vec<_> = answer
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            (got.as_slice(), answer.rows),
            (names, rows.iter().map(|row| row.to_vec()).collect()),
            "{text}"
        );
    };
    check(
        "SELECT COUNT(*) AS n FROM item",
        &["n"],
        &[&5_u64.to_le_bytes()],
    );
    check(
        "select count(*) from item where id > 2;",
        &["count"],
        &[&3_u64.to_le_bytes()],
    );
    check("SELECT COUNT(*) AS n FROM item LIMIT 0", &["n"], &[]);
    check(
        "SELECT COUNT(*) AS n FROM item LIMIT 2",
        &["n"],
        &[&5_u64.to_le_bytes()],
    );
    check(
        "SELECT score, shelfNo FROM item WHERE id = 1",
        &["score", "shelfNo"],
        &[&[5, 0, 1, 0, 0, 0]],
    );
    check(
        "SELECT i.sold AS gone FROM item AS i WHERE i.id = 3",
        &["gone"],
        &[&[1]],
    );
    check(
        "SELECT item.note FROM item WHERE item.id <= 2 LIMIT 5",
        &["note"],
        &[&[0, 1], &[1]],
    );
    check("SELECT sold FROM item LIMIT 2", &["sold"], &[&[0], &[0]]);
    check("SELECT sold FROM item LIMIT 0", &["sold"], &[]);
    let all = ask(&state, "SELECT item.* FROM item WHERE id = 2 LIMIT 1").expect("an answer");
    assert_eq!(all.rows, vec![some_items()[1].bsatn()]);
    let names: Vec<_> = all.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[2], "shelf_no", "headers of * are canonical");
}

#[test]
fn errors_point_at_the_place() {
    let state = state(&[]);
    let supported = "Supported is SELECT of columns, * or COUNT(*) AS name FROM one table, or two with JOIN … ON a.x = b.y, \
                     with WHERE (=, <>, !=, <, >, <=, >=, AND, OR) and LIMIT";
    let check = |text: &str, expected: &str| {
        let got = ask(&state, text).expect_err(text);
        assert!(!got.is_ours());
        assert_eq!(
            got.to_string().replace(supported, "(supported)"),
            expected,
            "{text}"
        );
    };
    check("", "expected one statement, got 0");
    check(
        "SELECT * FROM item; SELECT * FROM item",
        "expected one statement, got 2",
    );
    check(
        "SELECT * FROM nothing",
        "there is no table `nothing` that you may read (line 1, column 15). There is `item`, `bare`",
    );
    check(
        "SELECT * FROM secret",
        "there is no table `secret` that you may read (line 1, column 15). There is `item`, `bare`",
    );
    check(
        "SELECT * FROM Item",
        "there is no table `Item` that you may read (line 1, column 15). There is `item`, `bare`",
    );
    check(
        "SELECT id\nFROM item WHERE Id = 1",
        "table `item` has no column `Id` (line 2, column 17). It has `id`, `name`, `shelf_no`, \
         `score`, `weight`, `sold`, `owner`, `at`, …",
    );
    check(
        "SELECT bare.id FROM item",
        "there is no table `bare` that you may read (line 1, column 13). There is `item`",
    );
    check(
        "SELECT * FROM item WHERE score = 'high'",
        "column `score` is of type i16, and 'high' (line 1, column 34) is no i16",
    );
    check(
        "SELECT * FROM item WHERE score = 40000",
        "column `score` is of type i16, and 40000 (line 1, column 34) is no i16",
    );
    check(
        "SELECT * FROM item WHERE name = :sender",
        "column `name` is of type string, and :sender (line 1, column 33) is no string",
    );
    check(
        "SELECT * FROM item WHERE note = 1",
        "column `note` (line 1, column 26) is of type optional u8, which cannot be compared",
    );
    check(
        "SELECT * FROM item WHERE id = score",
        "columns `id` (u64) and `score` (i16, line 1, column 31) cannot be compared",
    );
    check(
        "SELECT * FROM item WHERE 1 = 1",
        "expected a column on one side of the comparison at line 1, column 26",
    );
    check(
        "INSERT INTO item VALUES (1)",
        "INSERT is not built yet: rows are changed by reducers. (supported)",
    );
    check(
        "delete from item",
        "DELETE is not built yet: rows are changed by reducers. (supported)",
    );
    check(
        "UPDATE item SET id = 1",
        "UPDATE is not built yet: rows are changed by reducers. (supported)",
    );
    for (text, what) in [
        (
            "SELECT * FROM item LEFT JOIN bare ON item.id = bare.id",
            "a JOIN that is no inner one is not built yet (line 1, column 30)",
        ),
        (
            "SELECT * FROM item JOIN bare ON item.id > bare.id",
            "ON of anything but the equality of two columns is not built yet (line 1, column 33)",
        ),
        (
            "SELECT * FROM item JOIN bare USING (id)",
            "JOIN without ON is not built yet (line 1, column 25)",
        ),
        (
            "SELECT * FROM item a JOIN item b ON a.id = b.id JOIN item c ON a.id = c.id",
            "JOIN of more than two tables is not built yet (line 1, column 15)",
        ),
        (
            "SELECT * FROM item ORDER BY id",
            "ORDER BY is not built yet",
        ),
        (
            "SELECT shelf_no FROM item GROUP BY shelf_no",
            "GROUP BY is not built yet",
        ),
        ("SELECT DISTINCT id FROM item", "DISTINCT is not built yet"),
        (
            "SELECT * FROM item LIMIT 5 OFFSET 1",
            "OFFSET is not built yet",
        ),
        (
            "SELECT * FROM item WHERE NOT sold = true",
            "NOT is not built yet (line 1, column 30)",
        ),
        (
            "SELECT * FROM item WHERE sold",
            "a condition that is only a column is not built yet (line 1, column 26)",
        ),
        (
            "SELECT * FROM item WHERE name LIKE 'a%'",
            "LIKE is not built yet (line 1, column 26)",
        ),
        (
            "SELECT * FROM item WHERE id IN (1, 2)",
            "IN is not built yet (line 1, column 26)",
        ),
        (
            "SELECT * FROM item WHERE id BETWEEN 1 AND 2",
            "BETWEEN is not built yet (line 1, column 26)",
        ),
        (
            "SELECT * FROM item WHERE id IS NULL",
            "IS NULL is not built yet (line 1, column 26)",
        ),
        (
            "SELECT * FROM item WHERE id = NULL",
            "NULL is not built yet (line 1, column 31)",
        ),
        (
            "SELECT * FROM item WHERE id = id + 1",
            "an operator inside of a comparison or a list of columns is not built yet (line 1, column 31)",
        ),
        (
            "SELECT * FROM item WHERE id = :other",
            "a parameter other than :sender is not built yet (line 1, column 31)",
        ),
        (
            "SELECT SUM(id) FROM item",
            "a function other than COUNT is not built yet (line 1, column 8)",
        ),
        (
            "SELECT COUNT(id) AS n FROM item",
            "COUNT of anything but * is not built yet (line 1, column 8)",
        ),
        (
            "SELECT id, COUNT(*) AS n FROM item",
            "COUNT(*) beside other columns is not built yet (line 1, column 12)",
        ),
        (
            "SELECT *, id FROM item",
            "* beside other columns is not built yet",
        ),
        (
            "SELECT id + 1 FROM item",
            "an operator inside of a comparison or a list of columns is not built yet (line 1, column 8)",
        ),
        (
            "SELECT * FROM (SELECT * FROM item)",
            "FROM of anything but a table's name is not built yet",
        ),
        (
            "SELECT * FROM item, bare",
            "FROM with more or less than one table is not built yet",
        ),
        (
            "SELECT * FROM a.item",
            "a table name with a dot is not built yet",
        ),
        (
            "SELECT * FROM item UNION SELECT * FROM bare",
            "UNION, VALUES or a nested query is not built yet",
        ),
        (
            "WITH x AS (SELECT 1) SELECT * FROM item",
            "WITH is not built yet",
        ),
    ] {
        check(text, &format!("{what}. (supported)"));
    }
    let syntax = ask(&state, "SELEC * FROM item").expect_err("no SQL");
    assert!(
        matches!(&syntax, SqlError::Syntax(text) if text.contains("Line: 1, Column: 1")),
        "{syntax}"
    );
}

#[test]
fn the_owner_reads_private_tables() {
    let state = state(&some_items());
    let owner = Access {
        owner: true,
        ..STRANGER
    };
    let answer = ask_as(&state, owner, "SELECT COUNT(*) AS n FROM secret").expect("an answer");
    assert_eq!(answer.rows, vec![5_u64.to_le_bytes().to_vec()]);
}

#[test]
fn views_of_the_peer_are_tables_too() {
    let state = state(&[]);
    let view = |name: &str, public| TableSchema {
        id: TableId(1),
        name: name.to_owned(),
        source_name: name.to_owned(),
        columns: columns(),
        primary_key: Some(0),
        indexes: schema().tables()[0].indexes.clone(),
        auto_inc: vec![],
        public,
        event: false,
    };
    let rows: Vec<Row> = some_items()
        .iter()
        .map(|item| item.bsatn().into())
        .collect();
    let views = Views(vec![
        (view("st_items", true), rows.clone()),
        (view("st_keys", false), rows),
    ]);
    let ask = |text: &str, owner| {
        let access = Access { owner, ..STRANGER };
        run(text, state.schema(), &state, &views, access)
            .map(|answer| ids(&answer))
            .ok()
    };
    assert_eq!(
        ask("SELECT * FROM st_items WHERE id = 2", false),
        Some(vec![2])
    );
    assert_eq!(
        ask("SELECT * FROM st_keys WHERE id = 2", true),
        Some(vec![2])
    );
    assert_eq!(ask("SELECT * FROM st_keys", false), None);
    assert_eq!(
        ask("SELECT COUNT(*) AS n FROM st_items", false),
        Some(vec![5])
    );
}

/// Whatever is written, in however small a stack it is read: a tree of the parser's is dropped by
/// recursion.
#[test]
fn no_text_overflows_the_stack() {
    let fill = |head: &str, part: &str, tail: &str| {
        let parts = (SQL_BYTES_MAX - head.len() - tail.len()) / part.len();
        format!("{head}{}{tail}", part.repeat(parts))
    };
    let head = "SELECT * FROM item WHERE ";
    let texts = vec![
        fill(head, "id=1 AND ", "id=1"),
        fill(head, "id=1 OR ", "id=1"),
        fill(head, "1+", "1"),
        fill(head, "1-", "1 = id"),
        fill(head, "id=", "1"),
        fill(head, "(", ""),
        fill(head, "(", &")".repeat(16_000)),
        fill(head, "NOT ", "true"),
        fill(head, "-", "1 = id"),
        fill(head, "a.", "b = 1"),
        fill(head, "id", "[1]"),
        fill(&format!("{head} a"), "[1]", ""),
        fill(&format!("{head} a"), "::INT", " = 1"),
        fill(head, "CASE WHEN ", ""),
        fill("SELECT * FROM ", "(SELECT * FROM ", ""),
        fill("SELECT ", "1+", "1 FROM item"),
        fill("SELECT * FROM item ORDER BY ", "1+", "1"),
        fill("SELECT * FROM item QUALIFY ", "1+", "1"),
        fill("SELECT * FROM item ", "JOIN item ", ""),
        fill("SELECT * FROM item ", "UNION SELECT * FROM item ", ""),
        fill("", ";", ""),
        fill("/*", "/*", ""),
    ];
    let read = move || {
        let state = state(&[]);
        texts
            .iter()
            .filter(|text| ask(&state, text).is_ok())
            .count()
    };
    let thread = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(read)
        .expect("a thread");
    // Only the long chains within the bound on tokens could be answered, and none is.
    assert_eq!(thread.join().expect("no overflow"), 0);
    let long = format!("{head}{}id=1", "id=1 OR ".repeat(1_000));
    assert!(
        ask(&state(&[]), &long).is_ok(),
        "a thousand conditions are fine"
    );
}
