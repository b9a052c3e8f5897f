//! Queries, one by one.

use store::{Row, TableId, TableSchema};

use super::super::{Access, SQL_BYTES_MAX};
use super::{STRANGER, Views, ask, ask_as, ask_beside, columns, ids, schema, some_items, state};

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
        ask_beside(&state, &views, access, text)
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
        fill("SELECT * FROM item ORDER BY ", "idx,", "idx"),
        fill("SELECT idx FROM item GROUP BY ", "idx,", "idx"),
        fill(
            "SELECT sold FROM item GROUP BY sold HAVING ",
            "id=1 OR ",
            "id=1",
        ),
        fill("SELECT ", "SUM(", "id FROM item"),
        fill("", "EXPLAIN ", "SELECT * FROM item"),
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
