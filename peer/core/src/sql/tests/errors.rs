//! What is refused, each with its sentence.

use super::super::error::SqlError;
use super::{ask, state};

#[test]
fn errors_point_at_the_place() {
    let state = state(&[]);
    let supported = "Supported is SELECT of *, columns, COUNT, SUM, MIN, MAX, AVG FROM tables, joined with JOIN … ON a.x = b.y, \
                     with WHERE (=, <>, !=, <, >, <=, >=, AND, OR), GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET, DISTINCT, \
                     and EXPLAIN before it; for the owner also INSERT … VALUES, UPDATE … SET and DELETE";
    let mut wrong = vec![];
    let mut check = |text: &str, expected: &str| {
        let got = ask(&state, text).expect_err(text);
        assert!(!got.is_ours());
        let got = got.to_string().replace(supported, "(supported)");
        if got != expected {
            wrong.push(format!("{text}\n  got      {got}\n  expected {expected}"));
        }
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
    check("DROP TABLE item", "DROP is not built. (supported)");
    check("truncate table item", "TRUNCATE is not built. (supported)");
    check(
        "SELECT id, COUNT(*) AS n FROM item",
        "column `id` (line 1, column 8) differs within a group: name it in GROUP BY, or take COUNT, SUM, MIN, \
         MAX or AVG of it",
    );
    check(
        "SELECT sold FROM item GROUP BY sold ORDER BY id",
        "column `id` (line 1, column 46) differs within a group: name it in GROUP BY, or take COUNT, SUM, MIN, \
         MAX or AVG of it",
    );
    check(
        "SELECT SUM(name) FROM item",
        "SUM (line 1, column 8) is of integers up to 128 bits and of floats, and column `name` is of type \
         string. COUNT, MIN and MAX are of any column",
    );
    check(
        "SELECT sold, AVG(at) FROM item GROUP BY sold",
        "AVG (line 1, column 14) is of integers up to 128 bits and of floats, and column `at` is of type \
         timestamp. COUNT, MIN and MAX are of any column",
    );
    check(
        "SELECT DISTINCT sold FROM item ORDER BY id",
        "with DISTINCT, rows are sorted by what is selected, and `id` (line 1, column 41) is not",
    );
    check(
        "SELECT * FROM item ORDER BY price",
        "table `item` has no column `price` (line 1, column 29). It has `id`, `name`, `shelf_no`, \
         `score`, `weight`, `sold`, `owner`, `at`, …",
    );
    check(
        "SELECT COUNT(*) AS n FROM item HAVING n > 'a'",
        "column `COUNT(*)` is of type u64, and 'a' (line 1, column 43) is no u64",
    );
    check(
        "SELECT * FROM item JOIN item ON item.id = item.id",
        "two tables are called `item` (line 1, column 25): give one of them another name with AS",
    );
    check(
        "SELECT a.* FROM item a JOIN bare b ON a.id = b.id JOIN item c ON a.id = b.id",
        "ON has to compare a column of the joined table with one of a table in front of it (line 1, column 68)",
    );
    let joins: String = (0..8)
        .map(|n| format!(" JOIN item i{n} ON i{n}.id = item.id"))
        .collect();
    check(
        &format!("SELECT item.* FROM item{joins}"),
        "a query joins 8 tables at most (line 1, column 20). Split it",
    );
    check(
        "SELECT * FROM item LIMIT 99999999999999999999",
        "this is not SQL that can be read: LIMIT takes a whole number, got 99999999999999999999 (line 1, column 26)",
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
            "SELECT * FROM item ORDER BY 1",
            "ORDER BY of anything but a column, an alias or an aggregate is not built yet (line 1, column 29)",
        ),
        (
            "SELECT * FROM item ORDER BY id NULLS LAST",
            "NULLS FIRST or LAST is not built yet (line 1, column 29)",
        ),
        (
            "SELECT * FROM item ORDER BY COUNT(*)",
            "an aggregate in ORDER BY without one in the answer, or GROUP BY is not built yet (line 1, column 29)",
        ),
        (
            "SELECT COUNT(*) FROM item GROUP BY 1",
            "GROUP BY of anything but columns is not built yet (line 1, column 36)",
        ),
        (
            "SELECT COUNT(*) FROM item GROUP BY ALL",
            "GROUP BY ALL is not built yet",
        ),
        (
            "SELECT COUNT(*) FROM item GROUP BY ROLLUP (sold)",
            "GROUP BY of anything but columns is not built yet",
        ),
        (
            "SELECT COUNT(*) FROM item GROUP BY sold WITH ROLLUP",
            "ROLLUP, CUBE or another modifier of GROUP BY is not built yet",
        ),
        (
            "SELECT * FROM item GROUP BY id",
            "* with GROUP BY or HAVING is not built yet",
        ),
        (
            "SELECT item.* FROM item HAVING COUNT(*) > 1",
            "* with GROUP BY or HAVING is not built yet (line 1, column 8)",
        ),
        (
            "SELECT id FROM item WHERE COUNT(*) > 1",
            "an aggregate in WHERE (HAVING takes conditions on groups) is not built yet (line 1, column 27)",
        ),
        (
            "SELECT DISTINCT ON (sold) id FROM item",
            "SELECT ALL or DISTINCT ON is not built yet",
        ),
        (
            "SELECT * FROM item LIMIT 5, 1",
            "LIMIT with two numbers is not built yet",
        ),
        (
            "SELECT * FROM item LIMIT 5 OFFSET id",
            "OFFSET of anything but a number is not built yet (line 1, column 35)",
        ),
        (
            "SELECT * FROM item FETCH FIRST 5 ROWS ONLY",
            "FETCH is not built yet",
        ),
        (
            "EXPLAIN ANALYZE SELECT * FROM item",
            "EXPLAIN ANALYZE is not built yet",
        ),
        (
            "EXPLAIN DELETE FROM item",
            "EXPLAIN of anything but SELECT is not built yet",
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
            "SELECT MEDIAN(id) FROM item",
            "a function other than COUNT, SUM, MIN, MAX and AVG is not built yet (line 1, column 8)",
        ),
        (
            "SELECT SUM(*) FROM item",
            "an aggregate of anything but one column, or * for COUNT is not built yet (line 1, column 8)",
        ),
        (
            "SELECT SUM(id + 1) FROM item",
            "an aggregate of anything but a column is not built yet (line 1, column 8)",
        ),
        (
            "SELECT COUNT(DISTINCT id) AS n FROM item",
            "DISTINCT or ALL inside of an aggregate is not built yet (line 1, column 8)",
        ),
        (
            "SELECT COUNT(*) FILTER (WHERE id = 1) FROM item",
            "FILTER is not built yet (line 1, column 8)",
        ),
        (
            "SELECT SUM(id) OVER () FROM item",
            "OVER is not built yet (line 1, column 8)",
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
            "FROM with more or less than one table (write JOIN … ON) is not built yet",
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
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let syntax = ask(&state, "SELEC * FROM item").expect_err("no SQL");
    assert!(
        matches!(&syntax, SqlError::Syntax(text) if text.contains("Line: 1, Column: 1")),
        "{syntax}"
    );
}
